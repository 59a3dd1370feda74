"""Small versions of the benchmarks with a stable ratio: it may not fall far below the one that is kept.

The absolute figures of a shared machine say little; both sides measured in one go, by CPU seconds or in turns, say
much.  The ratio is that of the best values, which other programs disturb least; what has fallen is measured once more
before it counts.  It is compared with what is kept of processors of the same type, since types favour one side or the
other: the leaderboard is 20 times as fast as `search_runs` on one and 15 times on another.  On a type of which nothing
is kept, the least ratio of all counts.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from perf.benchmarks import KEPT, run
from perf.sides import Figure, cpu, short

BASELINE = KEPT / "smoke"
"""A directory for each type of processor."""
SHARE = 0.75
"""Of the kept ratio, at least."""
SMALL: Mapping[str, tuple[str, ...]] = {
    "metrics": ("--images", "10000", "--classes", "200", "--rounds", "2"),
    "training": ("--models", "lenet5", "--rounds", "3", "--images", "1600", "--guard", "0"),
    "leaderboard": ("--runs", "500", "--rounds", "6"),
}
"""Name -> options."""


def check(names: Sequence[str]) -> int:
    """Prints what has fallen; 1 where something has."""
    fallen = {name: told for name in names if (told := fell(name, kept(name), measured(name)))}
    again = {name: told for name in fallen if (told := fell(name, kept(name), measured(name)))}
    for told in again.values():
        print("\n".join(told))
    if not again:
        print(f"no ratio of {', '.join(names)} has fallen below {SHARE:.0%} of what is kept")
    return int(bool(again))


def keep(names: Sequence[str]) -> int:
    """Measures what is compared with on such processors from now on; 1 where something could not be measured."""
    mine = BASELINE / re.sub(r"\W+", "-", cpu()).strip("-").lower()
    mine.mkdir(parents=True, exist_ok=True)
    for name in names:
        (mine / f"{name}.json").unlink(missing_ok=True)
        run(name, mine, SMALL[name])
    return int(not all((mine / f"{name}.json").exists() for name in names))


def kept(name: str) -> list[Figure]:
    """What is kept of this type of processor; of no such, each figure from the type where its ratio is least."""
    types = {machine: found[name] for machine, found in baselines().items() if name in found}
    if cpu() in types:
        return types[cpu()]
    least: dict[tuple[str, str], Figure] = {}
    for figure in chain.from_iterable(types.values()):
        if figure.best_ratio is not None:
            least[_key(figure)] = min(figure, least.get(_key(figure), figure), key=lambda each: each.best_ratio or 0.0)
    return list(least.values())


def measured(name: str) -> list[Figure]:
    """The figures of now; whether limits of larger versions are kept does not matter here."""
    with tempfile.TemporaryDirectory() as scratch:
        run(name, Path(scratch), SMALL[name])
        path = Path(scratch) / f"{name}.json"
        return read(path)[1] if path.exists() else []


def baselines() -> dict[str, dict[str, list[Figure]]]:
    """Type of processor -> name -> figures."""
    found: dict[str, dict[str, list[Figure]]] = {}
    for path in sorted(BASELINE.glob("*/*.json")):
        machine, figures = read(path)
        found.setdefault(machine, {})[path.stem] = figures
    return found


def read(path: Path) -> tuple[str, list[Figure]]:
    """The type of processor, and the figures."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return document["machine"]["cpu"], [Figure.of(each) for each in document["figures"]]


def fell(name: str, before: Sequence[Figure], now: Sequence[Figure]) -> list[str]:
    """A line for each ratio that has fallen by more than a quarter, or is not measured any more."""
    found = {_key(each): each.best_ratio for each in now}
    lines = []
    for each in before:
        if each.best_ratio is None:
            continue
        ratio = found.get(_key(each))
        if ratio is None or ratio < SHARE * each.best_ratio:
            lines.append(f"{_sides(name, each)}: ratio {_words(ratio)}, kept {short(each.best_ratio)}; {_remedy(name)}")
    return lines or ([] if before else [f"{name}: nothing is kept to compare with; {_remedy(name)}"])


def _key(figure: Figure) -> tuple[str, str]:
    return figure.what, figure.other.name if figure.other else ""


def _sides(name: str, figure: Figure) -> str:
    what, other = _key(figure)
    return f"{name} has fallen: {what}, against {other}"


def _words(ratio: float | None) -> str:
    return "not measured" if ratio is None else short(ratio)


def _remedy(name: str) -> str:
    return (
        f"look for what made it slower (`python -m perf {name}` shows both sides), "
        f"or, where that is meant, `python -m perf --smoke --keep {name}`"
    )
