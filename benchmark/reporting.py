"""Writes a leaderboard and what was wished for beside it: the best within limits, a block of a README.

summary = write(board, Path("results/fashion-tour"), Wishes(limits=(Limit.of("latency", "20ms"),)))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmark import words
from benchmark.planned import planned
from benchmark.preparing import UsageProblem

if TYPE_CHECKING:
    from reports.leaderboard import Leaderboard
    from reports.limits import Limit


@dataclass(frozen=True)
class Summary:
    """``lines`` are for people, ``document`` is for programs; ``more``: a search has chosen further runs."""

    lines: tuple[str, ...]
    document: Mapping[str, Any]
    exit_code: int = 0
    more: bool = False


@dataclass(frozen=True)
class Wishes:
    """``limits``: of which the best is told; ``readme``: the file that gets the table."""

    limits: tuple[Limit, ...] = ()
    readme: Path | None = None


def rebuild(path: Path | None, settings: Sequence[str], results: Path, wishes: Wishes | None = None) -> Summary:
    """Writes the leaderboard of an experiment from what is there.

    Raises:
        UsageProblem: none of its runs has ended.
    """
    from benchmark.boards import board as leaderboard

    found = planned(path, settings, results)
    board = leaderboard(found.plan, words.command(path, settings, "run"))
    if not board.counts.keys() - {"pending"}:
        raise UsageProblem(
            "none of these runs has a result yet (another --set? other images? `plan` says what has changed): "
            "the leaderboard stays as it is"
        )
    return write(board, found.plan.directory, wishes)


def write(board: Leaderboard, directory: Path, wishes: Wishes | None = None) -> Summary:
    """Writes the leaderboard's files into ``directory``, and fulfils the wishes.

    Raises:
        UsageProblem: the README cannot take the block; it is as it was then.
    """
    from benchmark import results

    wishes = wishes or Wishes()
    document, written = results.write(board, directory)
    lines = [f"leaderboard: {written}"]
    if wishes.limits:
        answers = _answers(board, wishes.limits)
        lines += [each["words"] for each in answers]
        document = {**document, "limits": answers}
    if wishes.readme:
        _put(board, directory, wishes.readme)
        lines.append(f"readme: {wishes.readme}")
    return Summary(tuple(lines), document)


def _answers(board: Leaderboard, limits: tuple[Limit, ...]) -> list[dict[str, Any]]:
    """For each data set."""
    from reports.limits import choose, sentence

    answers = []
    for table in board.tables:
        found = choose(table, limits)
        answers.append({
            "data": table.data.label,
            "best": found.best.configuration_id if found.best else None,
            "fitting": [row.configuration_id for row in found.fitting],
            "unknown": [row.configuration_id for row in found.unknown],
            "words": sentence(table, limits, board.header.primary),
        })  # fmt: skip
    return answers


def _put(board: Leaderboard, directory: Path, readme: Path) -> None:
    from benchmark.durable import atomic
    from reports.exhibit import exhibits
    from reports.readme import BadMarkers, block, replaced

    try:
        old = readme.read_bytes().decode("utf-8")
        text = replaced(old, block(board, exhibits(board), directory, readme.parent))
    except (OSError, UnicodeDecodeError, BadMarkers) as error:
        raise UsageProblem(f"{readme}: {error}") from error
    if text != old:
        with atomic(readme) as file:
            file.write(text.encode("utf-8"))
