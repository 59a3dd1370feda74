"""Small versions of the benchmarks with a stable ratio: it may not fall far below the one that is kept.

The absolute figures of a shared machine say little; both sides measured in one go, by CPU seconds or in turns, say
much.  The ratio is that of the best values, which other programs disturb least; what has fallen is measured once more
before it counts.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from perf.benchmarks import KEPT, run
from perf.sides import Figure, short

BASELINE = KEPT / "smoke"
SHARE = 0.75
"""Of the kept ratio, at least."""
SMALL: Mapping[str, tuple[str, ...]] = {
    "metrics": ("--images", "10000", "--classes", "200", "--rounds", "2"),
    "training": ("--models", "lenet5", "--rounds", "3", "--images", "1600", "--guard", "0"),
    "leaderboard": ("--runs", "500", "--rounds", "2"),
}
"""Name -> options."""


def check(names: Sequence[str]) -> int:
    """Prints what has fallen; 1 where something has."""
    kept = read(BASELINE)
    fallen = {name: told for name in names if (told := fell(name, kept.get(name, []), measured(name)))}
    again = {name: told for name in fallen if (told := fell(name, kept.get(name, []), measured(name)))}
    for told in again.values():
        print("\n".join(told))
    if not again:
        print(f"no ratio of {', '.join(names)} has fallen below {SHARE:.0%} of what is kept")
    return int(bool(again))


def keep(names: Sequence[str]) -> int:
    """Measures what is compared with from now on; 1 where something could not be measured."""
    BASELINE.mkdir(parents=True, exist_ok=True)
    for name in names:
        (BASELINE / f"{name}.json").unlink(missing_ok=True)
        run(name, BASELINE, SMALL[name])
    return int(not set(names) <= read(BASELINE).keys())


def measured(name: str) -> list[Figure]:
    """The figures of now; whether limits of larger versions are kept does not matter here."""
    with tempfile.TemporaryDirectory() as scratch:
        run(name, Path(scratch), SMALL[name])
        return read(Path(scratch)).get(name, [])


def read(directory: Path) -> dict[str, list[Figure]]:
    """Name -> figures, of every file there."""
    documents = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.json"))}
    return {name: [Figure.of(each) for each in document["figures"]] for name, document in documents.items()}


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
