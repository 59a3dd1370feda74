"""How sure a row's number is, and whether it is told apart from the best one: two cells of the table."""

from __future__ import annotations

from reports.html.inline import escaped
from reports.html.part import Part
from reports.leaderboard import Row
from reports.metrics import metric
from reports.settings import ABSENT
from reports.study import Versus


def interval_cell(part: Part, row: Row, primary: str) -> str:
    """``93.1–93.7``, and over what, where that is not seeds and images."""
    found = part.study.interval(row.configuration_id, primary)
    if found is None:
        return f'<td class="n">{ABSENT}</td>'
    known = metric(primary)
    only = "" if found.over == "seeds and images" else f"<small>over {found.over} only</small>"
    return f'<td class="n" data-sort="{found.low:.9g}">{known.write(found.low)}–{known.write(found.high)}{only}</td>'


def versus_cell(part: Part, row: Row, primary: str) -> str:
    """``−0.8 *`` where it is told apart from the best, else ``tied``, and what would tell them apart."""
    found = part.study.versus.get(row.configuration_id)
    if found is None:
        best = row.configuration_id == part.study.best
        return f'<td class="n"{" data-sort=0" if best else ""}>{"the best" if best else ABSENT}</td>'
    words = "tied" if found.tied else "*"
    return (
        f'<td class="n" data-sort="{found.difference:.9g}">{signed(primary, found.difference)} {words}'
        f"<small>{escaped(' · '.join(_more(found, primary)))}</small></td>"
    )


def signed(name: str, difference: float) -> str:
    """A difference with its sign, ``−0.8``; what reads as zero has none."""
    text = metric(name).write(abs(difference))
    nothing = not text.strip("0.$,")
    return text if nothing else f"{'−' if difference < 0 else '+'}{text}"


def needed(found: Versus) -> str:
    """What would probably tell two rows apart, in words; empty where nothing is known to."""
    if found.more_seeds is not None:
        seeds = "seed" if found.more_seeds == 1 else "seeds"
        return f"≈ {found.more_seeds:,} more {seeds} would tell them apart"
    return "" if found.more_images is None else f"≈ {found.more_images:,} more test images would tell them apart"


def _more(found: Versus, primary: str) -> list[str]:
    interval = f"{signed(primary, found.low)} to {signed(primary, found.high)}"
    return [each for each in (interval, needed(found) if found.tied else "") if each]
