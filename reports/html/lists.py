"""What stands around the page's table, in HTML: the sentences above it, the notes below, what is not ranked, and how to
get the same numbers again."""

from __future__ import annotations

from collections.abc import Sequence

from reports import standing
from reports.across import HEADS as ACROSS
from reports.across import across, cells, explained
from reports.exhibit import Exhibit
from reports.grid import notes
from reports.html.inline import escaped, inline
from reports.html.table import ROWS
from reports.leaderboard import Leaderboard, Unranked
from reports.markdown import REASON, reproduce
from reports.metrics import metric
from reports.provenance import logs_command
from reports.summary import best
from reports.text import one_line

LISTED = 200
"""Runs of which is said why they are not ranked; leaderboard.json has all."""


def lead(part: Exhibit) -> str:
    """The best, who is tied with it, the cheapest, and the front, in sentences."""
    sentences = [inline(best(part)), _front(part)]
    return "".join(f"<p>{each}</p>" for each in sentences if each)


def notes_below(part: Exhibit, leaderboard: Leaderboard, troubles: Sequence[str]) -> str:
    """How to read the table, and what could not be read."""
    blocks = [inline(block) for block in notes(part, leaderboard.header).split("\n\n")]
    blocks += [_groups(part)]
    if len(part.table.rows) > ROWS:
        blocks.append(f"The best {ROWS:,} of {len(part.table.rows):,}; all are in leaderboard.csv.")
    blocks += [f"⚠ {escaped(one_line(each))}." for each in troubles]
    return "".join(f"<p>{each}</p>" for each in blocks if each)


def not_ranked(leaderboard: Leaderboard) -> str:
    """A table of the runs that count in no rank, with the command that shows the log; empty where there are none."""
    if not leaderboard.not_ranked:
        return ""
    several = len(leaderboard.tables) > 1
    failed = [each for each in leaderboard.not_ranked if each.kind != "pending"]
    rows = [_failed(each, leaderboard.header.command, several) for each in failed[:LISTED]]
    rows += [_pending(group, several) for group in leaderboard.pending[:LISTED]]
    heads = "".join(f'<th scope="col">{title}</th>' for title in ("run", "what", "why", "look at"))
    body = "\n".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    more = max(0, len(failed) - LISTED) + max(0, len(leaderboard.pending) - LISTED)
    rest = f"<p>And {more:,} more, in leaderboard.json.</p>" if more > 0 else ""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="Runs that are not ranked"><table><thead><tr>' \
           f"{heads}</tr></thead><tbody>{body}</tbody></table></div>{rest}"  # fmt: skip


def over_all(leaderboard: Leaderboard) -> str:
    """Which configurations are good on all data sets; empty where there is one."""
    if not (found := across(leaderboard)):
        return ""
    heads = "".join(f'<th scope="col">{title}</th>' for title in ACROSS)
    rows = [
        f'<tr><th scope="row">{escaped(one_line(each.label))}</th>{"".join(map(_td, cells(each)))}</tr>'
        for each in found
    ]
    return (
        f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table><p>{explained(leaderboard)}</p>"
    )


def reproduction(leaderboard: Leaderboard) -> str:
    """A list of what it takes to get the same numbers."""
    lines = reproduce(leaderboard).splitlines()
    return "<ul>" + "".join(f"<li>{inline(line.removeprefix('- '))}</li>" for line in lines) + "</ul>"


def _front(part: Exhibit) -> str:
    found = part.tradeoffs
    if not found.front:
        return ""
    over = ", ".join(metric(name).words for name in found.objectives)
    few, more = found.front[: standing.FEW], len(found.front) - standing.FEW
    names = "; ".join(escaped(part.label(key)) for key in few) + (f" and {more} more" if more > 0 else "")
    return f"<strong>Nothing beats in all of</strong> {over} (★): {names}."


def _groups(part: Exhibit) -> str:
    groups = part.tradeoffs.groups
    if len(groups) < 2:
        return ""
    words = (f"{escaped(words)}: {', '.join(escaped(part.label(key)) for key in ids)}" for words, ids in groups.items())
    return f"Speed and cost are compared only within what was measured alike. {'; '.join(words)}."


def _failed(each: Unranked, command: str, several: bool) -> list[str]:
    told = logs_command(command, each.entry.run.run_id)
    look = "<br>".join(f"<code>{escaped(one_line(text))}</code>" for text in (told, each.entry.log) if text)
    reason = escaped(one_line(each.reason, REASON))
    return [*_what(each, several, str(each.entry.run.seed)), f"<td>{escaped(each.kind)}<br>{reason}</td>", _td(look)]


def _pending(group: Sequence[Unranked], several: bool) -> list[str]:
    seeds = ", ".join(str(each.entry.run.seed) for each in group)
    return [*_what(group[0], several, seeds), f"<td>pending<br>{escaped(group[0].reason)}</td>", _td("")]


def _what(each: Unranked, several: bool, seeds: str) -> list[str]:
    data = f"{each.data.label}: " if several else ""
    return [
        f'<th scope="row"><code>{each.entry.run.run_id[:6]}</code></th>',
        _td(escaped(one_line(f"{data}{each.label}, seed {seeds}"))),
    ]


def _td(content: str) -> str:
    return f"<td>{content}</td>"
