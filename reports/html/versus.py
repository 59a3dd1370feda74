"""How sure a row's number is, and whether it is told apart from the best one: two cells of the table."""

from __future__ import annotations

from reports import standing
from reports.exhibit import Exhibit
from reports.html.inline import escaped
from reports.leaderboard import Row
from reports.settings import ABSENT
from reports.study import Versus


def interval_cell(part: Exhibit, row: Row, primary: str) -> str:
    """``93.1–93.7``, and over what, where that is not seeds and images."""
    found = part.study.interval(row.configuration_id, primary)
    if found is None:
        return f'<td class="n">{ABSENT}</td>'
    only = "" if found.over == "seeds and images" else f"<small>over {found.over} only</small>"
    return f'<td class="n" data-sort="{found.low:.9g}">{standing.interval(part, row)}{only}</td>'


def versus_cell(part: Exhibit, row: Row, primary: str) -> str:
    """``−0.8 *`` where it is told apart from the best, else ``tied``, and what would tell them apart."""
    found = part.study.versus.get(row.configuration_id)
    if found is None:
        best = row.configuration_id == part.study.best
        return f'<td class="n"{" data-sort=0" if best else ""}>{"the best" if best else ABSENT}</td>'
    words = "tied" if found.tied else "*" if found.apart else ""
    return (
        f'<td class="n" data-sort="{found.difference:.9g}">{standing.signed(found.difference, primary)} {words}'
        f"{''.join(f'<small>{escaped(each)}</small>' for each in _more(found, primary))}</td>"
    )


def _more(found: Versus, primary: str) -> list[str]:
    interval = f"{standing.signed(found.low, primary)} to {standing.signed(found.high, primary)}"
    return [each for each in (interval, standing.remedy(found) if found.tied else "") if each]
