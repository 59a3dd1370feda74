"""Requests of boto3 clients that a WSGI application in the same process answers, without a connection."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from botocore.awsrequest import AWSResponse

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
_APART = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


def within(application: Wsgi) -> Callable[..., AWSResponse | None]:
    """What botocore calls before it sends a request (its event ``before-send``), and takes the answer of."""

    def send(request: Any, **_: Any) -> AWSResponse | None:
        body = request.body if request.body is not None else b""
        if not isinstance(body, bytes | bytearray | str):
            return None  # a stream: over a connection
        told: dict[str, Any] = {}

        def start(status: str, headers: Iterable[tuple[str, str]], failure: object = None) -> Callable[[bytes], object]:
            told.update(status=int(status.partition(" ")[0]), headers=dict(headers))
            return len

        sent = body.encode() if isinstance(body, str) else bytes(body)
        content = b"".join(application(_environ(request, sent), start))
        return AWSResponse(request.url, told["status"], told["headers"], _Raw(content))

    return send


def _environ(request: Any, body: bytes) -> dict[str, Any]:
    """As PEP 3333 wants it."""
    place = urlsplit(request.url)
    found = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(place.path or "/", "latin-1"),
        "RAW_URI": place.path,
        "REQUEST_URI": place.path,
        "QUERY_STRING": place.query,
        "SERVER_NAME": place.hostname,
        "SERVER_PORT": str(place.port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": place.netloc,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": place.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        text = value.decode() if isinstance(value, bytes) else str(value)
        found[_APART.get(name.lower(), f"HTTP_{name.upper().replace('-', '_')}")] = text
    return found


class _Raw(io.BytesIO):
    """A body as urllib3 has it."""

    def stream(self, size: int = 65536, **_: Any) -> Iterator[bytes]:
        while chunk := self.read(size):
            yield chunk
