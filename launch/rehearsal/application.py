"""The WSGI application in front of moto: records every call, lets faults hit it, and answers for jobs and quotas."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable
from typing import Any

from launch.rehearsal import answers, quotas
from launch.rehearsal.answers import AwsError
from launch.rehearsal.calls import Call, Calls, parse
from launch.rehearsal.chance import Chance
from launch.rehearsal.control import Control
from launch.rehearsal.keys import Keys
from launch.rehearsal.operations import Operations

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
MOST_READ = 1 << 20
"""Longer bodies are objects of S3, and not looked into."""
STRANGER = "this rehearsal answers to the access key that it was started with, and to no other"
ROLES = ("s3", "logs")
"""What SageMaker uses with the role of a job."""


class Application:
    """What the server calls for every request."""

    def __init__(
        self, moto: Wsgi, operations: Operations, control: Control, calls: Calls, chance: Chance, keys: Keys
    ) -> None:
        self._moto, self._operations, self._control = moto, operations, control
        self._calls, self._chance, self._keys = calls, chance, keys

    def __call__(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if not self._keys.admit(environ):
            return answers.as_json(start, {"__type": "AccessDenied", "message": STRANGER}, 403)
        if environ["PATH_INFO"].startswith("/rehearsal/") and "HTTP_AUTHORIZATION" not in environ:
            return self._control(environ, start)
        body = _body(environ)
        call = parse(environ, body)
        if call.by == "service":
            if call.service in ROLES:
                self._calls.add(call)
            return self._others(call, environ, start)
        verdict = self._chance.call(call.service, call.operation)
        self._calls.add(call, verdict.error or ("LostReply" if verdict.lost else ""))
        if verdict.error == answers.RESET:
            return answers.hang_up(environ)
        if verdict.error:
            return answers.as_error(start, call, AwsError(verdict.error))
        if verdict.lost:
            list(self._answer(call, body, environ, _unheard))
            return answers.hang_up(environ)
        return self._answer(call, body, environ, start)

    def _answer(self, call: Call, body: bytes, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        if call.service not in ("sagemaker", quotas.SERVICE):
            return self._others(call, environ, start)
        request = json.loads(body or b"{}")
        try:
            if call.service == quotas.SERVICE:
                answer = quotas.answer(call.operation, request, self._chance.faults.quota)
            else:
                answer = self._operations.answer(call.operation, request, call.region)
        except AwsError as error:
            return answers.as_error(start, call, error)
        return self._others(call, environ, start) if answer is None else answers.as_json(start, answer)

    def _others(self, call: Call, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        """What is not ours; moto does not know all of AWS."""
        try:
            return self._moto(environ, start)
        except NotImplementedError as error:
            return answers.as_error(start, call, AwsError("NotImplemented", str(error)))


def _unheard(status: str, headers: Any, failure: Any = None) -> Callable[[bytes], object]:
    """Instead of the server's way to begin an answer."""
    return len


def _body(environ: dict[str, Any]) -> bytes:
    """The body of a request that is not an object of S3; it can be read again."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    signed_for_s3 = "/s3/aws4_request" in environ.get("HTTP_AUTHORIZATION", "")
    if not 0 < length <= MOST_READ or signed_for_s3:
        return b""
    body: bytes = environ["wsgi.input"].read(length)
    environ["wsgi.input"] = io.BytesIO(body)
    return body
