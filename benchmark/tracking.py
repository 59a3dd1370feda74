"""The single writer of runs in MLflow: run directories are published, nothing else.

    publisher = Publisher(uri, "fashion-tour", data=facts, artifacts=figures)
    found = publisher.publish(run, rundir, uuid, mlflow_run_id=None)     # again and again while the run proceeds
    path = publisher.write_view(runs, "test/accuracy")                   # "#/experiments/1/runs?…"

Publishing is idempotent: times and steps come from the files, so a replay adds nothing.  A run is found again by its
UUID, which the caller keeps before the first call; should a lost reply have made a second run, only runs with this UUID
are deleted.  The tag ``benchmark.commit`` is written last: a run that has it is whole, but for the profile, which may
come later and has a tag of its own.  MLflow's fluent (global) state is never used.  One thread at a time may call.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from benchmark import mlflow_record as record
from benchmark import mlflow_view
from benchmark.data.datasets import DataFacts
from benchmark.failpoints import reach
from benchmark.mlflow_documents import TAG_LENGTH
from benchmark.mlflow_making import ENVIRONMENT
from benchmark.mlflow_record import COMMIT, END, FAILURE_TAGS, KIND, PROFILE, UUID, Point, Profile, Record
from benchmark.mlflow_seen import Projection, Seen
from benchmark.mlflow_store import (
    HELD,
    RunTrackingError,
    TrackingError,
    answers,
    artifact_location,
    default_uri,
    is_managed,
    prepare,
    quiet,
    redact,
    serve_command,
    source_tags,
    sqlite_path,
    words,
)
from benchmark.run import DataSpec, Run
from benchmark.rundir import BrokenFile, RunDir

os.environ.update({**ENVIRONMENT, **os.environ})  # MLflow reads some of these while it is imported
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import mlflow.store.db.utils  # noqa: TID251  (SQLAlchemy warns when these tables are mapped)
    from mlflow import MlflowClient, entities  # noqa: TID251
    from mlflow.exceptions import MlflowException  # noqa: TID251
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: TID251
    from sqlalchemy.orm import configure_mappers

    configure_mappers()

__all__ = ["Projection", "Publisher", "TrackingError", "default_uri", "redact", "serve_command"]

quiet()

VIEW_KEY = "benchmark"


class Publisher:
    """Publishes the runs of one experiment.

    Args:
        uri: the tracking address (:func:`default_uri`).
        experiment: the MLflow experiment's name; made if missing.
        data: what is known of each data set.
        artifacts: draws a finished run's figures: file name at the artifact root -> bytes, such as
            ``confusion_matrix.png``.  It is called when a run has a result, before its commit tag is written.
        commit: the source's git commit, where known.

    Every method raises :class:`TrackingError` where MLflow cannot be reached (within about a minute) or refuses; the
    same call may be made again later.
    """

    def __init__(
        self,
        uri: str,
        experiment: str,
        *,
        data: Mapping[DataSpec, DataFacts],
        artifacts: Callable[[RunDir, Run], Mapping[str, bytes]],
        commit: str = "",
    ) -> None:
        self._uri = uri
        # No network lies before a SQLite store: no request is sent twice, none arrives late.
        self._direct = sqlite_path(uri) is not None
        self._experiment = experiment
        self._data = data
        self._artifacts = artifacts
        self._commit = commit
        self._seen: dict[str, Seen] = {}
        with self._reported():
            self._client = connect(uri)
            if self._direct and not answers(uri):  # MLflow's client would wait for 20 seconds, in each call
                raise TrackingError(f"MLflow at {redact(uri)}: the database is locked; {HELD}")
            self._experiment_id = self._find_experiment()

    def publish(
        self,
        run: Run,
        rundir: RunDir,
        uuid: str,
        mlflow_run_id: str | None,
        *,
        name: str = "",
        started: float = 0.0,
        costs: Mapping[str, float | None] = {},
    ) -> Projection:
        """Brings MLflow up to what ``rundir`` holds now: the epochs so far and, when the run has ended, all the rest.

        Args:
            run: the run.
            rundir: its directory.
            uuid: names this run in MLflow for good.
            mlflow_run_id: what an earlier call returned, if it is known.
            name: the run's name in MLflow (``benchmark.labels``); else model and seed.
            started: Unix seconds, used when the run is made; else the first time that the files tell, else now.
            costs: what the run cost (``cost/usd``), once it has ended; published with its result or failure.
        """
        now = self._read(run, rundir, costs)
        seen = self._seen.pop(uuid, None)  # kept only if all goes well: else the next call looks again
        with self._reported():
            seen = seen or self._open(now, uuid, mlflow_run_id, name, started)
            if seen.commit not in (None, now.digest):
                self._reopen(seen)
            if seen.commit is None:
                self._bring(seen, now, uuid)
            elif now.result and now.profile and now.profile.digest != seen.profile:
                self._add_profile(seen, now, now.profile)
        self._seen[uuid] = seen
        return seen.projection

    def write_view(self, runs: Sequence[Run], primary: str) -> str:
        """Writes the preset view of the experiment's page and returns the link to it, from ``#`` on."""
        state = json.dumps(mlflow_view.state(runs, primary))
        with self._reported():
            self._client.set_experiment_tag(self._experiment_id, f"mlflow.sharedViewState.{VIEW_KEY}", state)
        return mlflow_view.link(self._experiment_id, VIEW_KEY)

    def log_sweep(self, files: Mapping[str, bytes], uuid: str, *, name: str = "leaderboard", note: str = "") -> str:
        """Keeps the experiment's own files (leaderboard, figures) in one run apart, whose id is returned.

        Args:
            files: path below the artifact root -> content; a file of an earlier call is replaced.
            uuid: names this run for good.
            name: its name in MLflow.
            note: Markdown for its page.
        """
        tags = {KIND: "sweep", UUID: uuid, "mlflow.note.content": note[:TAG_LENGTH]}
        with self._reported():
            found = self._search(uuid) or self._create(uuid, tags, name, time.time())
            self._upload(found.info.run_id, found.info.artifact_uri, files)
            self._client.log_batch(found.info.run_id, tags=[entities.RunTag(*each) for each in tags.items()])
            self._client.set_terminated(found.info.run_id, "FINISHED")
        return str(found.info.run_id)

    def delete(self, uuids: Iterable[str]) -> None:
        """Puts runs into MLflow's bin, which `mlflow gc` empties; one that is not there is no error."""
        with self._reported():
            for uuid in uuids:
                for each in self._bearing(uuid):
                    self._client.delete_run(each.info.run_id)
                self._seen.pop(uuid, None)

    def _find_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            # The page asks what kind of experiment it is, and guesses generative AI, unless this tag says so.
            tags = {"mlflow.experimentKind": "custom_model_development"}
            place = artifact_location(self._uri, self._experiment)
            return str(self._client.create_experiment(self._experiment, place, tags))
        if found.lifecycle_stage != entities.LifecycleStage.ACTIVE:
            raise TrackingError(
                f"the MLflow experiment {self._experiment!r} was deleted: restore it with "
                f"`mlflow experiments restore -x {found.experiment_id}`, or give yours another name"
            )
        return str(found.experiment_id)

    def _read(self, run: Run, rundir: RunDir, costs: Mapping[str, float | None]) -> Record:
        try:
            return Record.read(run, rundir, costs)
        except (BrokenFile, OSError) as error:
            raise RunTrackingError(f"run {run.run_id} cannot be published: {error}") from error

    def _open(self, now: Record, uuid: str, mlflow_run_id: str | None, name: str, started: float) -> Seen:
        found = self._get(mlflow_run_id, uuid) if mlflow_run_id else None
        found = found or self._search(uuid) or self._create_run(now, uuid, name, started)
        if COMMIT not in found.data.tags:
            self._forget(found, FAILURE_TAGS)
        return Seen.of(found.info.run_id, found.info.artifact_uri, found.data.tags)

    def _get(self, mlflow_run_id: str, uuid: str) -> entities.Run | None:
        """``None`` where somebody has deleted it: it is then made anew."""
        try:
            found = self._client.get_run(mlflow_run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        ours = found.data.tags.get(UUID) == uuid and found.info.lifecycle_stage == entities.LifecycleStage.ACTIVE
        return found if ours else None

    def _search(self, uuid: str) -> entities.Run | None:
        """The run with this UUID.  Of several, all but one are deleted: made by one call whose reply was lost."""
        found = sorted(self._bearing(uuid), key=lambda each: (COMMIT not in each.data.tags, each.info.run_id))
        for extra in found[1:]:
            self._client.delete_run(extra.info.run_id)
        return found[0] if found else None

    def _bearing(self, uuid: str) -> list[entities.Run]:
        return list(self._client.search_runs([self._experiment_id], f"tags.`{UUID}` = '{uuid}'"))

    def _create_run(self, now: Record, uuid: str, name: str, started: float) -> entities.Run:
        name = name or f"{now.run.model} · seed {now.run.seed}"
        return self._create(uuid, record.first_tags(now, uuid), name, now.started or started or time.time())

    def _create(self, uuid: str, tags: Mapping[str, str], name: str, started: float) -> entities.Run:
        tags = {**source_tags(self._commit), **tags}
        made = self._client.create_run(self._experiment_id, round(started * 1000), tags, name)
        reach("publish.created")
        return made if self._direct else self._search(uuid) or made

    def _reopen(self, seen: Seen) -> None:
        """Before anything changes in a run that was whole: its commit tag goes first."""
        self._client.delete_tag(seen.mlflow_run_id, COMMIT)
        self._client.update_run(seen.mlflow_run_id, "RUNNING")
        found = self._client.get_run(seen.mlflow_run_id)
        self._forget(found, (*FAILURE_TAGS, PROFILE))
        seen.reopen(found.data.tags)

    def _forget(self, found: entities.Run, names: Sequence[str]) -> None:
        for name in names:
            if name in found.data.tags:
                self._client.delete_tag(found.info.run_id, name)

    def _bring(self, seen: Seen, now: Record, uuid: str) -> None:
        """Everything of a run that is not whole yet."""
        params = {} if seen.described else record.params(now.run)
        tags = {name: value for name, value in record.tags(now).items() if seen.tags.get(name) != value}
        self._log(seen, [*record.curve(seen.new(now.events)), *record.finals(now)], params, tags)
        seen.tags, seen.events = {**seen.tags, **tags}, now.events
        if not seen.described and (facts := self._data.get(now.run.data)):
            self._client.log_inputs(seen.mlflow_run_id, datasets=[_dataset(now.run, facts)])
        seen.described = True
        reach("publish.epochs")
        if now.digest is not None:
            self._finish(seen, now, now.digest, uuid)

    def _log(
        self, seen: Seen, points: Sequence[Point], params: Mapping[str, str] = {}, tags: Mapping[str, str] = {}
    ) -> None:
        """In as few requests as MLflow's client can make of it."""
        metrics = [entities.Metric(each.name, each.value, each.time, each.step) for each in points]
        keys = [entities.Param(*each) for each in params.items()]
        self._client.log_batch(seen.mlflow_run_id, metrics, keys, [entities.RunTag(*each) for each in tags.items()])

    def _finish(self, seen: Seen, now: Record, digest: str, uuid: str) -> None:
        self._upload(seen.mlflow_run_id, seen.artifacts, self._files(now))
        self._client.set_terminated(seen.mlflow_run_id, END[now.status], now.finished or None)
        self._delete_others(seen, uuid)
        whole = {COMMIT: digest}
        if now.result and now.profile:
            whole[PROFILE] = seen.profile = now.profile.digest
        reach("publish.uncommitted")
        self._log(seen, [], tags=whole)
        reach("publish.committed")
        seen.commit, seen.tags, seen.events = digest, {}, ()

    def _add_profile(self, seen: Seen, now: Record, profile: Profile) -> None:
        """Apart from the rest: the run stays whole meanwhile."""
        self._log(seen, record.speed(profile), tags=record.measured(now))
        self._client.set_tag(seen.mlflow_run_id, PROFILE, profile.digest)
        seen.profile = profile.digest

    def _files(self, now: Record) -> dict[str, bytes]:
        """Drawing is the caller's code: whatever it raises is told with the run's name."""
        try:
            figures = self._artifacts(now.rundir, now.run) if now.result else {}
            return {**record.files(now), **figures}
        except Exception as error:
            raise RunTrackingError(f"run {now.run.run_id}: its files cannot be made for MLflow: {error}") from error

    def _delete_others(self, seen: Seen, uuid: str) -> None:
        """A request that was believed lost may have arrived late."""
        for each in [] if self._direct else self._bearing(uuid):
            if each.info.run_id != seen.mlflow_run_id:
                self._client.delete_run(each.info.run_id)

    def _upload(self, mlflow_run_id: str, place: str, files: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in files.items():
                path = Path(scratch) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            if self._direct:  # the client would ask the store for the run, to learn the place
                get_artifact_repository(place).log_artifacts(scratch)  # type: ignore[no-untyped-call]
            else:
                self._client.log_artifacts(mlflow_run_id, scratch)

    def _reported(self) -> AbstractContextManager[None]:
        return reported(self._uri)


def connect(uri: str) -> MlflowClient:
    """A client; the store is made ready first where it is a file.

    Raises:
        TrackingError: the file cannot be made or used.
    """
    prepare(uri)
    if is_managed(uri):
        mlflow.set_tracking_uri(uri)  # the plug-in that signs requests asks for it
    return MlflowClient(uri)


@contextmanager
def reported(uri: str) -> Iterator[None]:
    """Whatever is raised becomes a :class:`TrackingError`.

    Artifact stores raise whatever their library raises, and none of it may stop a sweep: hence `Exception`.
    """
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:
        raise TrackingError(words(uri, error)) from error


def _dataset(run: Run, facts: DataFacts) -> entities.DatasetInput:
    described = record.dataset(run, facts)
    context = entities.InputTag("mlflow.data.context", ", ".join(facts.sizes))
    return entities.DatasetInput(entities.Dataset(**described), [context])
