"""Answers in the protocols of AWS: JSON 1.1, the XML of S3 and of the query protocol, and none at all."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from launch.rehearsal.calls import Call

STATUS = {
    "AccessDenied": 403,
    "ConflictException": 409,
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServerError": 500,
    "NotImplemented": 501,
    "ServiceUnavailable": 503,
    "SlowDown": 503,
}
"""Every other code comes with 400."""
RESET = "ConnectionReset"
MESSAGES = {
    "ThrottlingException": "Rate exceeded",
    "ExpiredTokenException": "The security token included in the request is expired",
    "InternalError": "We encountered an internal error. Please try again.",
    "SlowDown": "Please reduce your request rate.",
}
_REASONS = {200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}


class AwsError(Exception):
    """What a caller of AWS is told."""

    def __init__(self, code: str, message: str = "") -> None:
        self.code, self.message = code, message or MESSAGES.get(code, code)
        super().__init__(f"{code}: {self.message}")


def as_json(start: Any, body: Mapping[str, Any], status: int = 200) -> Iterable[bytes]:
    """An answer of a service that speaks JSON, and of the control interface."""
    headers = [("x-amzn-RequestId", str(uuid.uuid4()))]
    return _answered(start, status, "application/x-amz-json-1.1", json.dumps(body).encode(), headers)


def as_error(start: Any, call: Call, error: AwsError) -> Iterable[bytes]:
    """An error in the protocol of the service that was called."""
    status = STATUS.get(error.code, 400)
    if call.protocol == "json":
        return as_json(start, {"__type": error.code, "message": error.message}, status)
    code = "ExpiredToken" if error.code == "ExpiredTokenException" else error.code
    inner = f"<Code>{escape(code)}</Code><Message>{escape(error.message)}</Message>"
    outer = f"<Error>{inner}</Error>"
    if call.protocol != "s3":
        outer = f"<ErrorResponse>{outer}</ErrorResponse>"
    body = b"" if call.method == "HEAD" else f'<?xml version="1.0" encoding="UTF-8"?>{outer}'.encode()
    return _answered(start, status, "application/xml", body)


def hang_up(environ: Mapping[str, Any]) -> Iterable[bytes]:
    """Closes the connection without an answer."""
    connection: socket.socket = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("there is no answer, on purpose")


def _answered(
    start: Any, status: int, kind: str, body: bytes, headers: Iterable[tuple[str, str]] = ()
) -> Iterable[bytes]:
    length = ("Content-Length", str(len(body)))
    start(f"{status} {_REASONS.get(status, 'Error')}", [("Content-Type", kind), length, *headers])
    return [body]
