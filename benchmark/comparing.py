"""`compare A B`: the two that a user names, found among the runs and configurations of an experiment.

A name is the beginning (four characters or more) of a run's id or of a configuration's, a configuration's label as the
leaderboard writes it, or a model that has one configuration.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark.boards import board as leaderboard
from benchmark.durable import atomic
from benchmark.planned import planned
from benchmark.preparing import UsageProblem
from reports.comparison import Comparison, Side, compare
from reports.leaderboard import Leaderboard

_ID = re.compile(r"[0-9a-f]{4,12}")
MOST = 20
"""Candidates that an error lists."""


@dataclass(frozen=True)
class Candidate:
    """What a name may stand for; ``side`` is ``None`` where nothing has finished, for the reason ``why``."""

    id: str
    label: str
    model: str
    data: str
    side: Side | None
    why: str
    is_run: bool

    def __str__(self) -> str:
        return f"{self.id}  {self.label} ({self.data}){f': {self.why}' if self.why else ''}"


def compared(names: tuple[str, str], path: Path | None, settings: Sequence[str], results: Path) -> Comparison:
    """The comparison of the two.

    Raises:
        ConfigError, DataError: what is wrong with the experiment.
        UsageProblem: a name fits nothing or several things, nothing has finished, or the test images are others.
    """
    board = leaderboard(planned(path, settings, results).plan, "")
    first, second = (named(board, each) for each in names)
    if {each.run.run_id for each in first.row.done} == {each.run.run_id for each in second.row.done}:
        raise UsageProblem(f"{names[0]!r} and {names[1]!r} are the same: {first.label}")
    try:
        return compare(first, second, board.header.primary)
    except ValueError as error:
        raise UsageProblem(f"{names[0]!r} and {names[1]!r} cannot be compared: {error}") from error


def named(board: Leaderboard, name: str) -> Side:
    """What ``name`` stands for.

    Raises:
        UsageProblem: nothing, several things, or what has not finished.
    """
    candidates = list(_candidates(board))
    for fits in _ways(name.strip()):
        if found := [each for each in candidates if fits(each)]:
            return _only(name, found)
    configurations = [each for each in candidates if not each.is_run]
    near = difflib.get_close_matches(name, [each.label for each in configurations], 1, 0.4)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise UsageProblem(
        f"{name!r} is no run, configuration or model of this experiment{hint}; there are:{_listed(configurations)}"
    )


def _ways(name: str) -> Iterator[Callable[[Candidate], bool]]:
    """By id, by label, by model: the first that fits anything counts."""
    if _ID.fullmatch(name.lower()):
        yield lambda each: each.id.startswith(name.lower())
    yield lambda each: each.label == name
    yield lambda each: each.model == name and not each.is_run


def _only(name: str, found: Sequence[Candidate]) -> Side:
    if len(found) > 1:
        raise UsageProblem(f"{name!r} fits several; name one by its id:{_listed(found)}")
    if found[0].side is None:
        raise UsageProblem(f"{found[0].label} has no result to compare: {found[0].why}")
    return found[0].side


def _listed(candidates: Sequence[Candidate]) -> str:
    more = f"\n  and {len(candidates) - MOST} more" if len(candidates) > MOST else ""
    return "".join(f"\n  {each}" for each in candidates[:MOST]) + more


def _candidates(board: Leaderboard) -> Iterator[Candidate]:
    """Runs and configurations, the finished ones of each table in its order."""
    finished = set()
    for table in board.tables:
        for row in table.rows:
            finished.add(row.configuration_id)
            yield Candidate(
                row.configuration_id, row.label, row.model, table.data.label, Side.of(table, row), "", False
            )
            for each in row.done:
                side = Side.of_run(table, row, each)
                yield Candidate(each.run.run_id, side.label, row.model, table.data.label, side, "", True)
    for left in board.not_ranked:
        run, why = left.entry.run, f"{left.kind}: {left.reason.splitlines()[0] if left.reason else ''}"
        if left.entry.result is None:
            label = f"{left.label} · seed {run.seed}"
            yield Candidate(run.run_id, label, run.model, left.data.label, None, why, True)
            if run.configuration_id not in finished:
                finished.add(run.configuration_id)
                yield Candidate(run.configuration_id, left.label, run.model, left.data.label, None, why, False)


def write_figure(found: Comparison, path: Path) -> Path:
    """Both confusion matrices and their difference, as the suffix says; the path.

    Raises:
        UsageProblem: there are no predictions to draw from.
    """
    from reports.confusion_pair import confusion_pair_figure
    from reports.figures import png_bytes, svg_bytes

    if found.answers is None:
        raise UsageProblem(f"{path} is not drawn: the predictions of one of the two cannot be read")
    titles = (found.first.label, found.second.label)
    figure = confusion_pair_figure(*found.answers, found.classes, titles)
    return _write(path, png_bytes(figure) if path.suffix.lower() == ".png" else svg_bytes(figure))


def write_flips(found: Comparison, path: Path) -> Path:
    """Every flipped image, as CSV; the path.

    Raises:
        UsageProblem: there are no predictions to compare.
    """
    from reports.comparison_words import flips_text

    if found.flips is None:
        raise UsageProblem(f"{path} is not written: the predictions of one of the two cannot be read")
    return _write(path, flips_text(found).encode("utf-8", errors="backslashreplace"))


def _write(path: Path, content: bytes) -> Path:
    with atomic(path) as file:
        file.write(content)
    return path
