"""The runs of a tracking server as the reports want them, and what holds for all of them; nothing is asked for here.

What is not whole (without the commit tag) counts as pending.  What does not fit together is left out, with a reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmark.metric_names import RANKABLE
from benchmark.mlflow_documents import MEASURED, RESULT, RUN, BadDocument, parse, read_measured, read_result, read_run
from benchmark.mlflow_reading import Tracked
from benchmark.mlflow_record import COMMIT, FAILURE_TAGS, STATUS
from benchmark.records import Failure
from benchmark.results import with_facts
from reports.leaderboard import DataSummary, Entry, Header

DOCUMENTS = {"run.json": RUN, "result.json": RESULT}
"""Artifacts that hold what their tag, where there is one, holds."""


@dataclass(frozen=True)
class ToldData:
    """A data set in ``leaderboard.json``."""

    label: str
    digest: str
    classes: tuple[str, ...]
    sizes: Mapping[str, int]


@dataclass(frozen=True)
class ToldRun:
    """A run in ``leaderboard.json``."""

    run_id: str


@dataclass(frozen=True)
class ToldRow:
    """A row in ``leaderboard.json``."""

    runs: tuple[ToldRun, ...]


@dataclass(frozen=True)
class ToldCost:
    """The prices that the costs in ``leaderboard.json`` are of."""

    prices: str


@dataclass(frozen=True)
class Told:
    """What a sweep's own ``leaderboard.json`` says of the experiment; ``ended`` is when it was written there."""

    experiment: str
    description: str
    data: tuple[ToldData, ...]
    primary: str
    command: str
    commit: str
    workers: int | None
    rows: tuple[ToldRow, ...]
    not_ranked: tuple[ToldRun, ...]
    cost: ToldCost | None = None
    ended: float = 0.0

    @classmethod
    def read(cls, content: bytes, ended: float) -> Told:
        """Raises:
        BadDocument: it is no leaderboard.
        """
        return replace(parse(cls, content), ended=ended)

    @property
    def planned(self) -> frozenset[str]:
        """Ids of the runs that the experiment consisted of."""
        return frozenset(each.run_id for row in self.rows for each in row.runs) | {e.run_id for e in self.not_ranked}


@dataclass(frozen=True)
class Gathered:
    """Entries, each of another run, and what a reader has to know of those that are none of them."""

    entries: tuple[Entry, ...]
    commits: Mapping[str, str]
    """MLflow run id -> its commit tag."""
    troubles: tuple[str, ...] = ()


@dataclass
class _Gathering:
    kept: dict[str, tuple[Tracked, Entry]] = field(default_factory=dict)
    troubles: list[str] = field(default_factory=list)
    unplanned: int = 0
    twice: int = 0

    def add(self, each: Tracked, told: Told | None) -> None:
        try:
            entry = entry_of(each)
        except BadDocument as error:
            self.troubles.append(f"MLflow run {each.mlflow_run_id} is left out: {error}")
            return
        run_id = entry.run.run_id
        if told and run_id not in told.planned and 0 < each.ended <= told.ended:
            self.unplanned += 1
            return
        if run_id in self.kept:
            self.twice += 1
        if run_id not in self.kept or _better(each, self.kept[run_id][0]):
            self.kept[run_id] = each, entry

    @property
    def told(self) -> tuple[str, ...]:
        unplanned = [f"{self.unplanned} that the experiment no longer asks for are left out"] * bool(self.unplanned)
        twice = [f"{self.twice} that are there twice count once, the latest result"] * bool(self.twice)
        return (*unplanned, *twice, *self.troubles)


def gather(runs: Iterable[Tracked], told: Told | None) -> Gathered:
    """The entries of ``runs``; ``told`` is what the experiment's one sweep says, if there is one."""
    found = _Gathering()
    for each in runs:
        found.add(each, told)
    commits = {each.mlflow_run_id: each.tags.get(COMMIT, "") for each, _ in found.kept.values()}
    return Gathered(tuple(entry for _, entry in found.kept.values()), commits, found.told)


def _better(one: Tracked, other: Tracked) -> bool:
    return (COMMIT in one.tags, one.ended) > (COMMIT in other.tags, other.ended)


def entry_of(each: Tracked) -> Entry:
    """A run as a row's part.

    Raises:
        BadDocument: its tags are not those of a run of ours.
    """
    run = read_run(_tag(each, RUN))
    entry = Entry(run, "pending", mlflow_run_id=each.mlflow_run_id, log=f"log.txt of MLflow run {each.mlflow_run_id}")
    if COMMIT not in each.tags:
        return entry
    entry = replace(entry, profile=read_measured(each.tags.get(MEASURED, "{}")))
    if each.tags.get(STATUS) == "done":
        return replace(entry, status="done", result=read_result(_tag(each, RESULT), run, each.tags[COMMIT]))
    failure = _failure(each)
    return replace(entry, status="pruned" if failure.kind == "pruned" else "failed", failure=failure)


def incomplete(each: Tracked) -> bool:
    """Whether it is whole, but a document of it was too long for a tag."""
    needed = (RUN, RESULT) if each.tags.get(STATUS) == "done" else (RUN,)
    return COMMIT in each.tags and not all(name in each.tags for name in needed)


def completed(each: Tracked, files: Mapping[str, bytes]) -> Tracked:
    """With what its artifacts ``run.json`` and ``result.json`` say."""
    found = {tag: files[name] for name, tag in DOCUMENTS.items() if name in files}
    return replace(each, tags={**{tag: text.decode(errors="replace") for tag, text in found.items()}, **each.tags})


def _failure(each: Tracked) -> Failure:
    kind, message = (each.tags.get(name, "") for name in FAILURE_TAGS)
    return parse(Failure, json.dumps({"kind": kind, "message": message}))


def _tag(each: Tracked, name: str) -> str:
    if name not in each.tags:
        raise BadDocument(f"it has neither a tag {name} nor the artifact: another program made it")
    return each.tags[name]


def header(name: str, told: Told | None, entries: Sequence[Entry], runs: Iterable[Tracked]) -> Header:
    """What holds for the experiment: what its sweep says, else what the runs tell."""
    results = [entry.result for entry in entries if entry.result]
    if told is None or told.primary not in RANKABLE:
        return with_facts(Header(name, _data(entries, runs)), results)
    known = Header(
        name,
        tuple(DataSummary(each.label, each.digest, each.classes, each.sizes) for each in told.data),
        told.primary,
        told.description,
        told.command,
        told.commit,
        workers=told.workers,
        prices=told.cost.prices if told.cost else "",
    )
    return with_facts(known, results)


def _data(entries: Sequence[Entry], runs: Iterable[Tracked]) -> tuple[DataSummary, ...]:
    profiles = {digest: profile for each in runs for digest, profile in each.data.items()}
    labels = {entry.run.data_digest: entry.run.data.label for entry in entries}
    return tuple(DataSummary(label, digest, sizes=_sizes(profiles, digest)) for digest, label in labels.items())


def _sizes(profiles: Mapping[str, str], digest: str) -> dict[str, int]:
    """MLflow keeps the beginning of a digest, and of the profile what :func:`mlflow_record.dataset` wrote."""
    try:
        sizes = parse(dict[str, int], profiles.get(digest[:36], "{}"))
    except BadDocument:
        return {}
    return {split: sizes[f"{split}_images"] for split in ("train", "val", "test") if f"{split}_images" in sizes}
