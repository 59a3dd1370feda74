"""Where a row stands, in a few characters: rank, interval, distance from the best; and the sentences that explain them.

The characters are plain text; Markdown and HTML escape them as they need.
"""

from __future__ import annotations

from reports.exhibit import Exhibit
from reports.leaderboard import Row
from reports.metrics import metric
from reports.settings import ABSENT
from reports.statistics import LEVEL
from reports.study import Over, Versus

STAR, TIED, APART, MINUS = "★", "=", "*", "−"
FEW = 5
"""Names in a sentence; more are counted."""


def rank(shown: Exhibit, row: Row) -> str:
    """``1=`` where a row is tied with the best, and where means are exactly equal."""
    if row.rank is None:
        return ABSENT
    if shown.is_tied(row):
        return f"1{TIED}"
    equal = shown.sharing[row.rank] > 1
    return f"{row.rank}{TIED if equal else ''}"


def interval(shown: Exhibit, row: Row, name: str | None = None) -> str:
    """``93.1–93.7``, of the primary metric or another."""
    name = name or shown.primary
    found = shown.study.interval(row.configuration_id, name)
    write = metric(name).write
    return f"{write(found.low)}–{write(found.high)}" if found else ABSENT


def against_best(shown: Exhibit, row: Row) -> str:
    """``−0.8 *`` where told apart from the best after correction, else ``−0.2``; a tie shows in the rank."""
    versus = shown.study.versus.get(row.configuration_id)
    if versus is None:
        return ABSENT
    return f"{signed(versus.difference, shown.primary)}{f' {APART}' if versus.apart else ''}"


def signed(difference: float, name: str) -> str:
    """With + or −; what rounds to nothing has neither."""
    text = metric(name).write(abs(difference))
    nothing = not any(character in "123456789" for character in text)
    return text if nothing else f"{MINUS if difference < 0 else '+'}{text}"


def pareto(shown: Exhibit, row: Row) -> str:
    return STAR if row.configuration_id in shown.tradeoffs.front else ""


def tied(shown: Exhibit) -> list[Row]:
    """Rows that are tied with the best, without it."""
    return [shown.row(key) for key in shown.study.tied]


def remedy(versus: Versus) -> str:
    """What would tell a tied row from the best; empty where nothing is known to."""
    if versus.more_seeds:
        return f"about {versus.more_seeds:,} more seed{'s' if versus.more_seeds > 1 else ''} each would tell them apart"
    if versus.more_images:
        return f"only more test images would tell them apart, about {versus.more_images:,} more"
    return ""


def explained(shown: Exhibit) -> list[str]:
    """How to read the columns of the study, a sentence for each thing that is there."""
    study, table = shown.study, shown.table
    over = {each.over for found in study.intervals.values() if (each := found.get(shown.primary))}
    lines = [f"95% intervals are over {_over(over)}."] if over else []
    if study.versus:
        corrected = f", after Holm's correction over all {study.pairs:,} pairs" if study.pairs > 1 else ""
        test = " and ".join(dict.fromkeys(each.test for each in study.versus.values()))
        lines.append(f"{APART} worse than the best beyond doubt (p < {LEVEL:g}, {test}{corrected}).")
    if study.tied:
        lines.append(f"{TIED} tied with the best: the test of this pair alone does not tell them apart.")
    if shown.tradeoffs.front:
        words = [metric(name).words for name in shown.tradeoffs.objectives]
        lines.append(f"{STAR} no other row is at least as good in all of {', '.join(words[:-1])} and {words[-1]}.")
    mixed = [row.label for row in table.rows if row.mixed]
    lines += [f"⚠ {label}: its seeds were trained with different library versions." for label in mixed]
    stale: dict[str, list[str]] = {}
    for row in table.rows:
        stale.setdefault(row.stale, []).append(row.label)
    lines += [f"⚠ stale, {why}: {'; '.join(labels)}." for why, labels in stale.items() if why]
    return lines + [f"{each[:1].upper()}{each[1:]}." for each in study.notes]


def _over(over: set[Over]) -> str:
    if over == {"images"}:
        return "test images, since there is one seed each"
    return " or ".join(sorted(over, key=len, reverse=True)) + (", as far as a row has them" if len(over) > 1 else "")
