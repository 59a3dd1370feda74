"""``leaderboard.md``: the page that people read.  Everything from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from reports.across import HEADS, across, cells, explained
from reports.evidence import CURVES, Evidence
from reports.exhibit import Exhibit
from reports.grid import notes, ranking
from reports.leaderboard import Leaderboard, Table, Unranked
from reports.per_class import per_class
from reports.pictures import Picture, Pictures
from reports.provenance import environment, logs_command, seeds
from reports.rates import hardest, row_rates
from reports.summary import best, headline
from reports.tables import grid
from reports.text import attribute, code, markdown

CONFUSIONS = 8
FIGURES = "figures"
LISTED = 50
"""Configurations whose digests are told."""
REASON = 240
"""Characters of a failure's message; the rest is in leaderboard.json and in the log."""


def page(leaderboard: Leaderboard, shown: Sequence[tuple[Exhibit, Pictures]], directory: Path) -> str:
    """The page, as it stands in ``directory`` beside ``figures/``; ``shown`` belongs to the tables, in order."""
    header = leaderboard.header
    blocks = [f"# {markdown(header.experiment)}", markdown(header.description), headline(leaderboard)]
    several = len(leaderboard.tables) > 1
    blocks += _across(leaderboard)
    for exhibit, pictures in shown:
        data = exhibit.table.data
        blocks += [f"## {markdown(data.label)} ({data.digest[:8]})"] if several else []
        blocks += _section(leaderboard, exhibit, pictures, directory)
    blocks += not_ranked(leaderboard, several)
    blocks += _details("Reproduce", reproduce(leaderboard))
    return "\n\n".join(block for block in blocks if block) + "\n"


def _section(leaderboard: Leaderboard, shown: Exhibit, pictures: Pictures, directory: Path) -> list[str]:
    table, evidence = shown.table, shown.evidence
    if not table.rows:
        return ["No run has finished."]
    return [
        best(shown),
        ranking(shown, directory),
        notes(shown, leaderboard.header),
        _images(pictures.costs, "49%"),
        *_hardest(evidence),
        *_details(_confusion_title(pictures), _images(pictures.confusions, "32%")),
        *_details("Per class", per_class(evidence)),
        *_details(_curves_title(table), _images(pictures.curves, "75%")),
        *(f"⚠ {markdown(each)}." for each in shown.troubles),
    ]


def _across(leaderboard: Leaderboard) -> list[str]:
    """Which configurations are good on all data sets."""
    if not (found := across(leaderboard)):
        return []
    rows = [[markdown(each.label), *cells(each)] for each in found]
    return ["### Over all data sets", grid(HEADS, [":--", "--:", "--:", "--:"], rows), explained(leaderboard)]


def _images(pictures: Sequence[Picture], width: str) -> str:
    """Side by side; one alone is an ordinary image."""
    if len(pictures) == 1:
        return f"![{markdown(pictures[0].alt)}]({FIGURES}/{pictures[0].stem}.svg)"
    return "\n".join(
        f'<img src="{FIGURES}/{each.stem}.svg" alt="{attribute(each.alt)}" width="{width}">' for each in pictures
    )


def _hardest(evidence: Evidence) -> list[str]:
    """Which classes the best rows take for which, worst on average first."""
    if not evidence.confusions:
        return []
    rates = {label: row_rates(counts) for label, counts in evidence.confusions.items()}
    pairs = hardest(np.mean(list(rates.values()), axis=0), CONFUSIONS)
    if not pairs:
        return []
    names = [markdown(name, 40) for name in evidence.classes]
    rows = [
        [f"{names[pair.true]} → {names[pair.predicted]}"]
        + [_rate(float(each[pair.true, pair.predicted])) for each in rates.values()]
        for pair in pairs
    ]
    head = ["true → predicted", *(markdown(label, 60) for label in rates)]
    return ["### Hardest confusions", grid(head, [":--", *["--:"] * len(rates)], rows)]


def _rate(rate: float) -> str:
    return "–" if rate == 0 else "< 1%" if rate < 0.005 else f"{rate * 100:.0f}%"


def _confusion_title(pictures: Pictures) -> str:
    n = len(pictures.confusions)
    return f"Confusion matrices of the best {n}" if n > 1 else "Confusion matrix"


def _curves_title(table: Table) -> str:
    return f"Learning curves of the best {CURVES}" if len(table.ranked) > CURVES else "Learning curves"


def not_ranked(leaderboard: Leaderboard, several: bool) -> list[str]:
    """The runs that count in no rank, each with its reason, as a heading and a table; nothing where there is none."""
    if not leaderboard.not_ranked:
        return []
    command = leaderboard.header.command
    failed = [each for each in leaderboard.not_ranked if each.kind != "pending"]
    rows = [
        [
            _what(each, several),
            markdown(each.kind),
            markdown(each.reason, REASON),
            code(logs_command(command, each.entry.run.run_id) or each.entry.log),
        ]
        for each in failed
    ]
    rows += _pending(leaderboard, several)
    return ["### Not ranked", grid(["run", "what", "why", "look at"], [":--"] * 4, rows)]


def _what(each: Unranked, several: bool) -> str:
    data = f"{markdown(each.data.label)}: " if several else ""
    return f"{each.entry.run.run_id[:6]} {data}{markdown(each.label)}, seed {each.entry.run.seed}"


def _pending(leaderboard: Leaderboard, several: bool) -> list[list[str]]:
    rows = []
    for group in leaderboard.pending:
        more = [str(each.entry.run.seed) for each in group[1:]]
        rows.append([", ".join([_what(group[0], several), *more]), "pending", markdown(group[0].reason), ""])
    return rows


def _configurations(leaderboard: Leaderboard) -> str:
    """Names and digests, of up to ``LISTED``."""
    rows = [row for table in leaderboard.tables for row in table.rows]
    listed = "; ".join(f"{markdown(row.label)} {code(row.configuration_id)}" for row in rows[:LISTED])
    return f"{listed}; and {len(rows) - LISTED} more, in leaderboard.json" if len(rows) > LISTED else listed


def _details(title: str, body: str) -> list[str]:
    """Folded; an empty body leaves nothing.  Markdown inside needs the empty lines around it."""
    return [f"<details><summary>{title}</summary>", body, "</details>"] if body else []


def reproduce(leaderboard: Leaderboard) -> str:
    """What it takes to get the same numbers, a line of a list each."""
    header = leaderboard.header
    lines = {
        "command": code(header.command),
        "commit": code(header.commit),
        "hardware": markdown(header.hardware),
        "reported with": markdown(", ".join(f"{name} {version}" for name, version in header.versions.items())),
        **{name: markdown(text) for name, text in environment(leaderboard.entries).items()},
        "data": ", ".join(f"{markdown(each.data.label)} {code(each.data.digest)}" for each in leaderboard.tables),
        "configurations": _configurations(leaderboard),
        "seeds": seeds(leaderboard.entries),
    }
    return "\n".join(f"- {markdown(name)}: {text}" for name, text in lines.items() if text)
