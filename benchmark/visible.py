"""Text from outside as it may be shown: what a terminal would obey, or what turns the direction of text, is escaped.

Ground floor: standard library only.
"""

from __future__ import annotations

import re

_TURNING = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
HIDDEN = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f{_TURNING}]")
"""Control characters but for line breaks and tabs, and those that turn the direction of text."""
_BREAKS = re.compile(f"[\x00-\x1f\x7f-\x9f\u2028\u2029{_TURNING}]")


def visible(text: str) -> str:
    """``text`` on its lines: what is hidden is shown as ``\\u202e``; line breaks stay."""
    return HIDDEN.sub(_escape, text)


def one_line(text: str) -> str:
    """``text`` as a name on one line: line breaks and tabs are escaped as well."""
    return _BREAKS.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return ascii(match.group())[1:-1]
