"""An HTTP proxy before a tracking server, which passes, fails, dawdles, hangs, or loses the replies."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, cast
from urllib.parse import urlsplit

Mode = Literal["pass", "error", "hang", "lose"]
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


class Proxy(ThreadingHTTPServer):
    """Forwards to ``upstream`` (an address) what comes in at :attr:`address`.

    Attributes:
        mode: ``lose`` forwards every request and cuts the connection instead of some replies, 30% of them.
        surely_lost: the first reply to a request with this in its path is among the lost ones.
        delay: seconds before each request is forwarded.
        forwarded: called with the path of each request that the server has got and not answered.
        requests: the paths of all requests, in order.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.mode: Mode = "pass"
        self.surely_lost = ""
        self.delay = 0.0
        self.requests: list[str] = []
        self.random = random.Random(20)
        self.forwarded: Callable[[str], None] = lambda path: None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def count(self, part: str) -> int:
        """How many requests had ``part`` in their path."""
        return sum(part in path for path in self.requests)

    def loses(self, path: str) -> bool:
        """Whether the reply to this request is to be lost."""
        if self.surely_lost and self.surely_lost in path:
            self.surely_lost = ""
            return True
        return self.random.random() < 0.3

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        proxy = cast(Proxy, self.server)
        proxy.requests.append(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(proxy.delay)
        while proxy.mode == "hang":
            time.sleep(0.05)
        if proxy.mode == "error":
            return self._reply(500, {}, b"out of order")
        try:
            status, headers, content = self._forward(proxy, body)
        except (OSError, http.client.HTTPException):
            return self._cut()
        if proxy.mode == "lose" and proxy.loses(self.path):
            return self._cut()
        return self._reply(status, headers, content)

    def _forward(self, proxy: Proxy, body: bytes) -> tuple[int, dict[str, str], bytes]:
        address = urlsplit(proxy.upstream)
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        connection.request(self.command, self.path, body, headers)
        proxy.forwarded(self.path)
        reply = connection.getresponse()
        content = reply.read()
        connection.close()
        return reply.status, dict(reply.getheaders()), content

    def _reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _cut(self) -> None:
        self.close_connection = True

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815

    def log_message(self, *args: object) -> None:
        return


@contextmanager
def proxied(upstream: str) -> Iterator[Proxy]:
    """A proxy that passes everything, until it is told otherwise."""
    with Proxy(upstream) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            proxy.mode = "error"
            proxy.shutdown()
            thread.join()
