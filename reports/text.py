"""Text from outside (names of classes, models and files, messages) made safe for Markdown, HTML and CSV."""

from __future__ import annotations

import html
import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_SPECIAL = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])|^(?:[#=]|[-+](?=[\s-]|$))")
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def one_line(text: str, limit: int | None = None) -> str:
    """Control characters, line ends and direction marks become a space; what exceeds ``limit`` characters is cut."""
    line = _CONTROL.sub(" ", text).strip()
    return line if limit is None or len(line) <= limit else line[: limit - 1].rstrip() + "…"


def markdown(text: str, limit: int | None = None) -> str:
    """Text that Markdown shows as it is, in a paragraph or a table's cell: no mark-up, links, HTML or mathematics."""
    escaped = _NUMBERED.sub(r"\1\\\2", _SPECIAL.sub(r"\\\g<0>", one_line(text, limit)))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(text: str) -> str:
    """A Markdown code span, also inside a table; its fence is longer than any run of backticks in the text."""
    line = one_line(text).replace("|", r"\|")
    longest = max((len(run) for run in re.findall("`+", line)), default=0)
    fence, space = "`" * (longest + 1), " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}" if line else ""


def attribute(text: str) -> str:
    """The value of an HTML attribute, without its quotes."""
    return html.escape(one_line(text), quote=True)


def cell(value: object) -> object:
    """A CSV cell that no spreadsheet takes for a formula; numbers stay as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
