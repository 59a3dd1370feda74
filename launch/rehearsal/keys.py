"""Who may talk to a rehearsal: whoever has one of the access keys that its server has made up.

The server runs the programs that it is sent, as its user.  Its port is open to everybody on this machine, and to any
web page in a browser here: without a key that is told to the starting process alone, they could have theirs run.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HEADER = "X-Rehearsal-Key"
"""Bears the caller's key in requests to the control interface, which are not signed."""
OURSELVES = "REHEARSALITSELF"
"""Begins the key of the server's own requests, which stand for those that SageMaker makes in AWS."""


def _made(prefix: str) -> str:
    return prefix + secrets.token_hex(16).upper()


@dataclass(frozen=True)
class Keys:
    """The keys of one server; what is signed with them is not checked, since nobody else can know them."""

    caller: str = field(default_factory=lambda: _made("REHEARSAL"))
    service: str = field(default_factory=lambda: _made(OURSELVES))

    def admit(self, environ: Mapping[str, Any]) -> bool:
        """Whether a request bears one of them."""
        shown = access_key(environ) or environ.get(f"HTTP_{HEADER.upper().replace('-', '_')}", "")
        return any(hmac.compare_digest(shown.encode(), each.encode()) for each in (self.caller, self.service))


def access_key(environ: Mapping[str, Any]) -> str:
    """That of a signed request."""
    return str(environ.get("HTTP_AUTHORIZATION", "")).partition("Credential=")[2].partition("/")[0]
