"""The page's own files, ``templates/``: HTML with ``{{names}}``, the style, and the scripts in the order in which they
follow each other."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

SCRIPTS = (
    "dom", "numbers", "marks", "scales", "frame", "tip", "choices", "table", "lines", "scatter", "curves", "matrix",
    "pairs", "gallery", "tested", "classes", "theme", "main",
)  # fmt: skip


@cache
def template(name: str) -> str:
    """The text of a file."""
    return files("reports.html").joinpath("templates", name).read_text(encoding="utf-8")


def filled(name: str, values: Mapping[str, str]) -> str:
    """A template with its names replaced, each once: what is filled in is not looked at again.

    Raises:
        KeyError: it has a name that ``values`` lacks.
    """
    return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], template(name))


@cache
def script() -> str:
    """All scripts as one, strict, with no name outside."""
    parts = "\n".join(f"// {name}.js\n{template(f'{name}.js')}" for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def policy(style: str) -> str:
    """The Content-Security-Policy under which this style and the scripts run, and nothing else; nothing is fetched."""
    return (
        f"default-src 'none'; script-src '{_digest(script())}'; style-src '{_digest(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
