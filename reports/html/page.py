"""Puts the page together from its templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from reports.exhibit import Exhibit
from reports.html import colours, payload
from reports.html.assets import filled, policy, script, template
from reports.html.inline import escaped, inline
from reports.html.lists import lead, not_ranked, notes_below, over_all, reproduction
from reports.html.table import table
from reports.html.thumbnails import Thumbnails, no_thumbnails
from reports.leaderboard import Leaderboard
from reports.style import LOOKS, looks
from reports.summary import headline
from reports.text import one_line


def page(
    leaderboard: Leaderboard, parts: Sequence[Exhibit], directory: Path, thumbnails: Thumbnails = no_thumbnails
) -> str:
    """The page, as it stands in ``directory``; ``parts`` belong to the tables, in order.

    The same leaderboard, over the same run directories and thumbnails, gives the same text.
    """
    styles = looks(leaderboard.looking[:LOOKS])
    places = {name: place % LOOKS for place, name in enumerate(leaderboard.looking)}
    numbers = {key: places[name] for key, name in leaderboard.alike.items()}
    data, troubles = payload.document(leaderboard, parts, numbers, thumbnails)
    style = template("style.css") + colours.rules(styles)
    header = leaderboard.header
    sections = [
        _section(leaderboard, part, told, directory, numbers, place)
        for place, (part, told) in enumerate(zip(parts, troubles, strict=True))
    ]
    return filled(
        "page.html",
        {
            "policy": escaped(policy(style)),
            "style": style,
            "script": script(),
            "data": payload.text({**data, **colours.document(styles)}),
            "title": escaped(one_line(header.experiment)),
            "description": f"<p>{escaped(one_line(header.description))}</p>" if header.description else "",
            "headline": inline(headline(leaderboard)),
            "across": _block("Over all data sets", "over-all", over_all(leaderboard)),
            "sections": "\n".join(sections),
            "unranked": _block("Not ranked", "not-ranked", not_ranked(leaderboard)),
            "reproduce": _block("Reproduce", "reproduce", reproduction(leaderboard)),
        },
    )


def _section(
    leaderboard: Leaderboard,
    part: Exhibit,
    troubles: tuple[str, ...],
    directory: Path,
    numbers: Mapping[str, int],
    place: int,
) -> str:
    several = len(leaderboard.tables) > 1
    primary, data = leaderboard.header.primary, part.table.data
    if not part.table.rows:
        return "<p>No run has finished.</p>"
    heading = f"<h2>{escaped(one_line(data.label))} <small>{data.digest[:8]}</small></h2>" if several else ""
    return filled(
        "section.html",
        {
            "id": f"t{place + 1}",
            "place": str(place),
            "h": "h3" if several else "h2",
            "heading": heading,
            "label": escaped(one_line(data.label)),
            "lead": lead(part),
            "table": table(part, primary, directory, numbers),
            "notes": notes_below(part, leaderboard, troubles),
        },
    )


def _block(title: str, key: str, body: str) -> str:
    return f'<section id="{key}"><h2>{title}</h2>\n{body}</section>' if body else ""
