"""`report --from-mlflow`: the leaderboard of an experiment on a tracking server, a team's or another machine's.

    summary = report("http://mlflow.example:5000", "fashion-tour", Path("results/fashion-tour"))

The numbers come with one search; files only of the rows whose intervals and figures the report shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.data.datacache import cache_directory
from benchmark.mlflow_documents import BadDocument
from benchmark.mlflow_store import TrackingError, redact, sqlite_path
from benchmark.preparing import UsageProblem
from benchmark.reporting import Summary, Wishes, write
from benchmark.slugs import is_slug

if TYPE_CHECKING:
    from benchmark.mlflow_reading import Reader, Tracked
    from benchmark.mlflow_runs import Gathered, Told
    from reports.leaderboard import Entry, Leaderboard

LEADERBOARD = "leaderboard.json"
LARGEST, LARGEST_DOCUMENT = 64 * 2**20, 8 * 2**20
"""Bytes of a leaderboard, and of a run's own documents."""
THREADS = 8
SHOWN = 5
"""Troubles that are told one by one."""


def report(uri: str, name: str | None, out: Path | None, results: Path, wishes: Wishes | None = None) -> Summary:
    """Writes the leaderboard into ``out``, by default where the experiment's results would be.

    Args:
        uri: the tracking address.
        name: the experiment's; may be left out where the server has one of ours only.
        wishes: what to write beside it.

    Raises:
        UsageProblem: no such experiment, none of its runs counts, or results of this machine are in the way.
        TrackingError: MLflow cannot be reached or refuses.
    """
    store = sqlite_path(uri)
    if store is not None and not store.exists():
        raise UsageProblem(f"there is no {store}")
    from benchmark.mlflow_reading import Reader

    reader = Reader(uri)
    name, experiment_id = _chosen(reader.experiments(), name, redact(uri))
    place = _place(name, out, results)
    board, told = _leaderboard(reader, uri, name, experiment_id)
    summary = write(board, place, wishes)
    return replace(summary, lines=(*told, *summary.lines))


def _chosen(experiments: dict[str, str], name: str | None, uri: str) -> tuple[str, str]:
    if name is None and len(experiments) == 1:
        return next(iter(experiments.items()))
    known = ", ".join(repr(each) for each in sorted(experiments)[:20]) or "none of ours"
    if name is None:
        raise UsageProblem(f"say which experiment of MLflow at {uri}: --experiment NAME; there is {known}")
    if name not in experiments:
        raise UsageProblem(f"MLflow at {uri} has no experiment {name!r} of ours; there is {known}")
    return name, experiments[name]


def _place(name: str, out: Path | None, results: Path) -> Path:
    """The name comes from the server: it may be no path, and no place where another leaderboard belongs."""
    if out is not None:
        return out
    if not is_slug(name):
        raise UsageProblem(f"the experiment {name!r} cannot be a directory's name: say where with --out DIRECTORY")
    if (results / name / "journal.db").exists():
        raise UsageProblem(f"{results / name} has runs of this machine: say where else with --out DIRECTORY")
    return results / name


def _leaderboard(reader: Reader, uri: str, name: str, experiment_id: str) -> tuple[Leaderboard, list[str]]:
    from benchmark.mlflow_runs import gather, header
    from reports.leaderboard import build

    runs = _with_documents(reader, reader.runs(experiment_id))
    told = _told(reader, experiment_id)
    gathered = gather(runs, told)
    if not any(entry.result for entry in gathered.entries):
        raise UsageProblem(f"no run of {name!r} at {redact(uri)} has a whole result: nothing to rank{_why(gathered)}")
    top = header(name, told, gathered.entries, runs)
    order = {each.digest: place for place, each in enumerate(top.data)}
    entries = sorted(gathered.entries, key=lambda each: order.get(each.run.data_digest, len(order)))
    found, troubles = _with_files(reader, uri, build(entries, top), gathered)
    board = build(found, top)
    return board, [_counts(board, uri), *_few([*gathered.troubles, *troubles])]


def _with_documents(reader: Reader, runs: Sequence[Tracked]) -> list[Tracked]:
    """The runs, those whose documents are too long for tags with their artifacts."""
    from benchmark.mlflow_runs import DOCUMENTS, completed, incomplete

    def complete(each: Tracked) -> Tracked:
        if not incomplete(each):
            return each
        try:
            return completed(each, reader.fetch(each.mlflow_run_id, dict.fromkeys(DOCUMENTS, LARGEST_DOCUMENT)))
        except TrackingError:
            return each  # it is left out, and named

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(complete, runs))


def _why(gathered: Gathered) -> str:
    return "".join(f"; {each}" for each in gathered.troubles[:1])


def _told(reader: Reader, experiment_id: str) -> Told | None:
    """What the sweep says, where there is one only: of several none knows all runs."""
    from benchmark.mlflow_runs import Told

    sweeps: list[Tracked] = reader.runs(experiment_id, "sweep")
    if len(sweeps) != 1:
        return None
    try:
        found = reader.fetch(sweeps[0].mlflow_run_id, {LEADERBOARD: LARGEST})
        return Told.read(found[LEADERBOARD], sweeps[0].ended) if found else None
    except (TrackingError, BadDocument):
        return None  # the runs tell enough


def _with_files(reader: Reader, uri: str, board: Leaderboard, gathered: Gathered) -> tuple[list[Entry], list[str]]:
    """The entries, those of the rows that are shown in full with a directory."""
    from benchmark.mlflow_evidence import Evidence

    wanted = [entry.mlflow_run_id for entry in _best(board) if entry.mlflow_run_id]
    evidence = Evidence(reader, uri, cache_directory())
    places = evidence.directories((each, gathered.commits[each]) for each in wanted)
    entries = [replace(entry, directory=places.get(entry.mlflow_run_id or "")) for entry in board.entries]
    return entries, evidence.troubles


def _best(board: Leaderboard) -> list[Entry]:
    """Finished runs of the best rows of each table, as many as the statistics read."""
    from reports.samples import ROWS, RUNS

    tables = ([entry for row in table.ranked[:ROWS] for entry in row.done] for table in board.tables)
    return [entry for found in tables for entry in found[:RUNS]]


def _counts(board: Leaderboard, uri: str) -> str:
    pending = board.counts["pending"]
    waits = f", {pending} without the tag that says they are whole" if pending else ""
    done, failed, pruned = (board.counts[status] for status in ("done", "failed", "pruned"))
    stopped = f", {pruned} stopped early by a search" if pruned else ""
    return f"{len(board.entries)} runs at {redact(uri)}: {done} done, {failed} failed{stopped}{waits}"


def _few(troubles: Sequence[str]) -> list[str]:
    more = len(troubles) - SHOWN
    return [*troubles[:SHOWN], *([f"… and {more} more"] if more > 0 else [])]
