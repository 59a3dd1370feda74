"""What of this process's environment no job is given: secrets.

A job needs none: images and weights are made ready before it starts, and it never talks to a tracker or to AWS.  What
it does not have, none of its tracebacks and logs can tell.  In containers and in AWS a job is given a list of variables
anyway; this is for host processes, which take the others (``LD_LIBRARY_PATH``, ``CUDA_VISIBLE_DEVICES``, ...) along.

Known limit: a secret under a name that does not say so is not known for one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAMED = re.compile(
    r"PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|APIKEY|TOKENS?(_|$)"
    r"|(^|_)(KEYS?|PASS|PWD|AUTH|AUTHORIZATION|COOKIE|DSN|PAT)(_|$)",
    re.IGNORECASE,
)
_TRACKER = re.compile(r"MLFLOW_", re.IGNORECASE)
"""Of a tracker everything: the address may hold a password, and whatever asks for it in a job is a mistake."""
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^/?#\s]*@", re.IGNORECASE)
"""With a user, and so perhaps a password: of a proxy, a package index, a database."""
_HARMLESS = ("PWD", "OLDPWD", "SSH_AUTH_SOCK")
"""Directories and a socket's name."""


def without_secrets(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables that a job may have."""
    return {name: value for name, value in variables.items() if not is_secret(name, value)}


def is_secret(name: str, value: str) -> bool:
    """Whether name or value say that it is nobody else's business."""
    if name in _HARMLESS:
        return False
    return bool(_NAMED.search(name) or _TRACKER.match(name) or _ADDRESS.search(value))
