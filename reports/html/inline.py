"""The Markdown of our own sentences as HTML: bold, code and escapes, which is all that they have.

What comes from outside has been through :func:`reports.text.markdown` or :func:`reports.text.code`, so that every
``**`` and every backtick that is left is ours.
"""

from __future__ import annotations

import html
import re

_TOKEN = re.compile(r"\\(?P<escaped>.)|(?P<fence>`+)(?P<code>.+?)(?<!`)(?P=fence)(?!`)|(?P<bold>\*\*)|(?P<break><br>)")


def inline(markdown: str) -> str:
    """HTML that shows what the Markdown shows; ``<br>`` is the only mark-up of HTML that the sentences have."""
    bold, parts, place = False, [], 0
    for found in _TOKEN.finditer(markdown):
        parts += [_text(markdown[place : found.start()]), _mark(found, bold)]
        bold ^= found["bold"] is not None
        place = found.end()
    return "".join([*parts, _text(markdown[place:]), "</strong>" * bold])


def escaped(text: str) -> str:
    """Text as HTML shows it, in an element or in an attribute."""
    return html.escape(text, quote=True)


def _mark(found: re.Match[str], bold: bool) -> str:
    if found["bold"]:
        return "</strong>" if bold else "<strong>"
    if found["code"]:
        return f"<code>{escaped(_within(found['code']))}</code>"
    return "<br>" if found["break"] else escaped(found["escaped"])


def _within(code: str) -> str:
    """The text of a code span: without the spaces that keep its backticks from the fence."""
    text = code[1:-1] if code.startswith(" ") and code.endswith(" ") and code.strip() else code
    return text.replace(r"\|", "|")


def _text(text: str) -> str:
    """Entities that are there already stay."""
    return escaped(html.unescape(text))


def shown(markdown: str) -> str:
    """The text that a reader of the Markdown sees, without mark-up."""
    return html.unescape(re.sub(r"<[^<>]*>", "", inline(markdown)))
