"""Publishing to real MLflow stores: SQLite, and a server."""

import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient  # noqa: TID251
from mlflow.entities import Run as MlflowRun  # noqa: TID251
from mlflow.entities import ViewType  # noqa: TID251

from benchmark import mlflow_view
from benchmark.mlflow_store import prepare, serve_command, sqlite_uri
from benchmark.records import Event
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.tracking import Publisher, TrackingError, default_uri, redact
from tests.mlflow_support import (
    DIGEST,
    FACTS,
    START,
    a_run,
    confusion_png,
    epoch,
    fail,
    fetch,
    finish,
    mlflow_server,
    new_rundir,
)

UUID = "0" * 31 + "1"
NAME = "тур #1"
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as :func:`prepare` makes it; making one takes seconds, so tests copy this one."""
    path = tmp_path_factory.mktemp("кот #1") / "mlflow.db"
    prepare(sqlite_uri(path))
    return path


@pytest.fixture
def place(store: Path, tmp_path: Path) -> Path:
    directory = tmp_path / "кот #1 %41"
    directory.mkdir()
    shutil.copy(store, directory)
    return directory


def publisher(place: Path, **options: object) -> Publisher:
    settings = {"data": FACTS, "artifacts": confusion_png, "commit": "4f2c1a9", **options}
    return Publisher(sqlite_uri(place / "mlflow.db"), NAME, **settings)  # type: ignore[arg-type]


def client(place: Path) -> MlflowClient:
    return MlflowClient(sqlite_uri(place / "mlflow.db"))


def active(place: Path) -> list[MlflowRun]:
    mlflow = client(place)
    return list(mlflow.search_runs([each.experiment_id for each in mlflow.search_experiments()]))


def finished_run(place: Path, run: Run | None = None) -> tuple[Run, RunDir]:
    run = run or a_run()
    rundir = new_rundir(place, run)
    for number in (1, 2, 3):
        rundir.append_event(epoch(number))
    finish(rundir)
    return run, rundir


def write_profile(rundir: RunDir, speed: float, at: float) -> None:
    """A profile taken at ``at``, Unix seconds."""
    rundir.write_profile({"speed/images_per_second": speed, "speed/latency_ms_p50": None})
    path = rundir.path / "profile.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "time": at}))


def rows(place: Path) -> dict[str, int]:
    """How many rows each table has: what a replay must not change."""
    with closing(sqlite3.connect(place / "mlflow.db")) as database:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}


def test_a_new_store_is_in_wal_mode_and_leaves_nothing_beside_it(store: Path) -> None:
    with closing(sqlite3.connect(store)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert {each.name for each in store.parent.iterdir()} <= {"mlflow.db", "mlflow.db-wal", "mlflow.db-shm"}


@pytest.mark.slow
def test_processes_that_make_the_store_at_once_all_succeed(tmp_path: Path) -> None:
    uri = sqlite_uri(tmp_path / "кот #1 %41 a?b" / "mlflow.db")
    code = "import sys; from benchmark.mlflow_store import prepare; prepare(sys.argv[1])"
    makers = [subprocess.Popen([sys.executable, "-c", code, uri], cwd=ROOT) for _ in range(3)]
    assert [maker.wait(timeout=120) for maker in makers] == [0, 0, 0]
    assert MlflowClient(uri).search_experiments() is not None
    assert {each.name.split("-")[0] for each in (tmp_path / "кот #1 %41 a?b").iterdir()} == {"mlflow.db"}


def test_a_store_is_what_mlflow_itself_would_make_in_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_IMAGE_BENCHMARK_CACHE", str(tmp_path / "cache"))
    ours, theirs = tmp_path / "ours" / "mlflow.db", tmp_path / "theirs" / "mlflow.db"
    prepare(sqlite_uri(ours))
    theirs.parent.mkdir()
    code = "from mlflow import MlflowClient; MlflowClient('sqlite:///mlflow.db').search_experiments(max_results=1)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=theirs.parent, check=True)
    assert rows_of(ours) == rows_of(theirs)


def rows_of(store: Path) -> list[tuple[object, ...]]:
    """Everything in a store, and how its tables are made, but for times and the name of its directory."""
    with closing(sqlite3.connect(store)) as database:
        tables = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
        names = [name for name, sql in tables if str(sql).startswith("CREATE TABLE")]
        rows = [row for name in names for row in database.execute(f"SELECT '{name}', * FROM {name}").fetchall()]
    place = str(store.parent)
    plain = [tuple("time" if isinstance(each, int) and each > 1e12 else each for each in row) for row in rows]
    # MLflow writes down the checks of a column in any order.
    made = [(name, *sorted(re.split(r"[\s,()]+", str(sql)))) for name, sql in tables]
    return made + [tuple(str(each).replace(place, "HERE") for each in row) for row in plain]


def test_a_broken_store_in_the_cache_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_IMAGE_BENCHMARK_CACHE", str(tmp_path / "cache"))
    prepare(sqlite_uri(tmp_path / "first" / "mlflow.db"))
    (kept,) = (tmp_path / "cache" / "mlflow").iterdir()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:100_000])
    prepare(sqlite_uri(tmp_path / "second" / "mlflow.db"))
    assert len(kept.read_bytes()) == len(whole)
    assert MlflowClient(sqlite_uri(tmp_path / "second" / "mlflow.db")).search_experiments()[0].name == "Default"


def test_a_file_that_is_no_database_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    path.write_text("not a database" * 1000)
    with pytest.raises(TrackingError, match=r"mlflow\.db: cannot be used as MLflow's store"):
        prepare(sqlite_uri(path))


def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="store cannot be made"):
        prepare(sqlite_uri(tmp_path / "file" / "mlflow.db"))


def test_a_finished_run_is_published_whole(place: Path) -> None:
    run, rundir = finished_run(place, a_run(model_args={"depth": 3}, clip_grad=None))
    found = publisher(place).publish(run, rundir, UUID, None, name="resnet18 · lr 0.001")
    (mlflow_run,) = active(place)
    data, info = mlflow_run.data, mlflow_run.info
    assert (info.run_id, data.tags["benchmark.commit"]) == (found.mlflow_run_id, found.commit)
    assert (info.run_name, info.status) == ("resnet18 · lr 0.001", "FINISHED")
    assert (info.start_time, info.end_time) == (START * 1000, (START + 60) * 1000)
    expected = {"lr": "0.001", "seed": "0", "clip_grad": "null", "model_args.depth": "3", "data_digest": DIGEST}
    assert data.params.items() >= {**expected, "data": "fashion-mini", "model": "resnet18"}.items()
    assert data.tags["benchmark.run_id"] == run.run_id
    assert data.tags["benchmark.configuration_id"] == run.configuration_id
    assert data.tags["mlflow.source.git.commit"] == "4f2c1a9"
    assert "ResNet-18" in data.tags["mlflow.note.content"]


def test_finals_have_no_step_and_curves_keep_their_epochs_and_times(place: Path) -> None:
    run, rundir = finished_run(place)
    found = publisher(place).publish(run, rundir, UUID, None)
    history = client(place).get_metric_history(found.mlflow_run_id, "val/log_loss")
    assert [(m.step, m.timestamp, m.value) for m in history] == [
        (n, (START + 10 * n) * 1000, 1.0 / n) for n in (1, 2, 3)
    ]
    (final,) = client(place).get_metric_history(found.mlflow_run_id, "test/accuracy")
    assert (final.step, final.value) == (0, 0.875)
    metrics = active(place)[0].data.metrics
    assert metrics["cost/train_seconds"] == 12.5
    assert (metrics["best/accuracy"], metrics["best/epoch"], metrics["val/accuracy"]) == (0.75, 2, 0.5)


def test_a_finished_run_has_its_files_at_the_artifact_root(place: Path) -> None:
    run, rundir = finished_run(place)
    found = publisher(place).publish(run, rundir, UUID, None)
    mlflow = client(place)
    names = {each.path for each in mlflow.list_artifacts(found.mlflow_run_id)}
    assert names == {"confusion_matrix.png", "per_class.json", "result.json", "run.json", "log.txt", "data"}
    result = Path(mlflow.download_artifacts(found.mlflow_run_id, "result.json", str(place)))
    assert result.read_bytes() == (rundir.path / "result.json").read_bytes()
    table = json.loads(Path(mlflow.download_artifacts(found.mlflow_run_id, "per_class.json", str(place))).read_text())
    assert table["columns"][:2] == ["class", "f1"]
    assert table["data"][1] == ["Кот #1", 0.875, 0.875, 0.875, None, 7]
    assert json.loads(mlflow.get_run(found.mlflow_run_id).data.tags["mlflow.loggedArtifacts"])[0]["type"] == "table"


def test_the_data_set_is_an_input_with_its_digest_and_sizes(place: Path) -> None:
    run, rundir = finished_run(place)
    publisher(place).publish(run, rundir, UUID, None)
    (used,) = active(place)[0].inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("fashion-mini", DIGEST[:36])
    assert json.loads(used.dataset.profile) == {"classes": 3, "train_images": 54, "val_images": 6, "test_images": 20}


def test_publishing_again_adds_nothing(place: Path) -> None:
    run, rundir = finished_run(place)
    first = publisher(place).publish(run, rundir, UUID, None)
    before = rows(place)
    client(place).delete_tag(first.mlflow_run_id, "benchmark.commit")  # as if it had been killed just before
    assert publisher(place).publish(run, rundir, UUID, first.mlflow_run_id) == first
    assert publisher(place).publish(run, rundir, UUID, None) == first
    assert rows(place) == before


def test_epochs_appear_while_the_run_proceeds(place: Path) -> None:
    run = a_run()
    rundir, live = new_rundir(place, run), publisher(place)
    found = live.publish(run, rundir, UUID, None, started=START)
    assert found.commit is None
    for number in (1, 2):
        rundir.append_event(epoch(number))
        assert live.publish(run, rundir, UUID, found.mlflow_run_id) == found
        history = client(place).get_metric_history(found.mlflow_run_id, "val/accuracy")
        assert [each.step for each in history] == list(range(1, number + 1))
    (mlflow_run,) = active(place)
    assert (mlflow_run.info.status, mlflow_run.info.start_time) == ("RUNNING", START * 1000)
    assert mlflow_run.data.tags["benchmark.status"] == "running"
    finish(rundir)
    assert live.publish(run, rundir, UUID, found.mlflow_run_id).commit is not None
    assert active(place)[0].info.status == "FINISHED"


def test_values_that_are_no_numbers_are_left_out_and_explained(place: Path) -> None:
    run = a_run()
    rundir = new_rundir(place, run)
    rundir.append_event(Event(1, 1, START, {"val/accuracy": None, "train/loss": float("inf"), "val/log_loss": 1.0}))
    finish(rundir, test__roc_auc_macro=None)
    found = publisher(place).publish(run, rundir, UUID, None)
    metrics = active(place)[0].data.metrics
    assert metrics.keys().isdisjoint({"val/accuracy", "train/loss", "test/roc_auc_macro"})
    assert metrics["val/log_loss"] == 1.0
    reasons = Path(client(place).download_artifacts(found.mlflow_run_id, "undefined.json", str(place)))
    assert json.loads(reasons.read_text()) == {"test/roc_auc_macro": "one class is absent"}


def test_more_values_than_a_request_may_hold_all_arrive(place: Path) -> None:
    run = a_run(model_args={f"option{n}": "x" * (7000 if n == 0 else 1) for n in range(120)}, epochs=1100)
    rundir = new_rundir(place, run)
    lines = (
        json.dumps({"epoch": n, "step": n, "time": START + n, "metrics": {"train/loss": n}}) for n in range(1, 1101)
    )
    rundir.checkpoint.mkdir()
    rundir.events_path.write_text("".join(f"{line}\n" for line in lines))
    found = publisher(place).publish(run, rundir, UUID, None)
    assert len(client(place).get_metric_history(found.mlflow_run_id, "train/loss")) == 1100
    params = active(place)[0].data.params
    assert (len(params["model_args.option0"]), params["model_args.option119"]) == (6000, "x")


def test_a_lost_reply_leaves_one_run_and_touches_no_other(place: Path) -> None:
    run, rundir = finished_run(place)
    live, mlflow = publisher(place), client(place)
    experiment = mlflow.get_experiment_by_name(NAME).experiment_id
    for _ in range(2):
        mlflow.create_run(experiment, tags={"benchmark.uuid": UUID})
    colleague = mlflow.create_run(experiment, tags={"benchmark.uuid": "f" * 32, "benchmark.run_id": run.run_id})
    found = live.publish(run, rundir, UUID, None)
    assert {each.info.run_id for each in active(place)} == {found.mlflow_run_id, colleague.info.run_id}


def test_of_two_runs_made_by_one_call_one_is_left_while_it_proceeds(place: Path) -> None:
    run = a_run()
    rundir, live, mlflow = new_rundir(place, run), publisher(place), client(place)
    for _ in range(2):
        mlflow.create_run(mlflow.get_experiment_by_name(NAME).experiment_id, tags={"benchmark.uuid": UUID})
    found = live.publish(run, rundir, UUID, None)
    assert [each.info.run_id for each in active(place)] == [found.mlflow_run_id]


def test_a_failure_half_taken_back_is_gone_after_the_success(place: Path) -> None:
    run = a_run()
    rundir = new_rundir(place, run)
    fail(rundir)
    found = publisher(place).publish(run, rundir, UUID, None)
    client(place).delete_tag(found.mlflow_run_id, "benchmark.commit")  # and there it was killed
    rundir.clear_outcome()
    finish(rundir)
    publisher(place).publish(run, rundir, UUID, found.mlflow_run_id)
    assert not [name for name in active(place)[0].data.tags if "failure" in name]


def test_a_run_deleted_by_hand_is_made_anew(place: Path) -> None:
    run = a_run()
    rundir, live = new_rundir(place, run), publisher(place)
    first = live.publish(run, rundir, UUID, None)
    client(place).delete_run(first.mlflow_run_id)
    finish(rundir)
    with pytest.raises(TrackingError, match="refused"):
        live.publish(run, rundir, UUID, first.mlflow_run_id)
    second = live.publish(run, rundir, UUID, first.mlflow_run_id)
    assert second.mlflow_run_id != first.mlflow_run_id
    assert [each.info.run_id for each in active(place)] == [second.mlflow_run_id]


def test_a_failed_run_says_why_and_a_later_success_takes_it_back(place: Path) -> None:
    run = a_run()
    rundir, live = new_rundir(place, run), publisher(place)
    rundir.append_event(epoch(1))
    fail(rundir)
    first = live.publish(run, rundir, UUID, None)
    (failed,) = active(place)
    assert (failed.info.status, failed.info.end_time) == ("FAILED", (START + 20) * 1000)
    assert failed.data.tags["benchmark.failure_kind"] == "diverged"
    assert "NaN" in failed.data.tags["benchmark.failure_message"]
    assert "secret" not in json.dumps(failed.data.tags)
    rundir.clear_outcome()
    assert live.publish(run, rundir, UUID, first.mlflow_run_id).commit is None
    assert active(place)[0].info.status == "RUNNING"
    finish(rundir)
    second = live.publish(run, rundir, UUID, first.mlflow_run_id)
    (done,) = active(place)
    assert (done.info.status, done.data.tags["benchmark.status"]) == ("FINISHED", "done")
    assert done.data.tags["benchmark.commit"] == second.commit != first.commit
    assert not [name for name in done.data.tags if "failure" in name]


def test_a_profile_taken_later_is_added_and_leaves_the_rest_alone(place: Path) -> None:
    run, rundir = finished_run(place)
    drawn: list[str] = []

    def draw(rundir: RunDir, run: Run) -> Mapping[str, bytes]:
        drawn.append(run.run_id)
        return confusion_png(rundir, run)

    live = publisher(place, artifacts=draw)
    first = live.publish(run, rundir, UUID, None)
    (before,) = active(place)
    commits = {first.commit}
    for speed in (420.0, 400.0):
        write_profile(rundir, speed, START + 500 - speed)
        second = live.publish(run, rundir, UUID, first.mlflow_run_id)
        commits.add(second.commit)
        (now,) = active(place)
        assert now.data.metrics["speed/images_per_second"] == speed
        assert now.data.tags["benchmark.commit"] == before.data.tags["benchmark.commit"] == first.commit
        assert (now.info.status, now.info.end_time) == (before.info.status, before.info.end_time)
    assert len(commits) == 3
    assert drawn == [run.run_id]


def test_a_profile_published_again_adds_nothing(place: Path) -> None:
    run, rundir = finished_run(place)
    publisher(place).publish(run, rundir, UUID, None)
    write_profile(rundir, 420.0, START + 80)
    first = publisher(place).publish(run, rundir, UUID, None)
    before = rows(place)
    os.utime(rundir.path / "profile.json", (START, START))  # its own time counts, not the file's
    client(place).delete_tag(first.mlflow_run_id, "benchmark.profile")  # as if it had been killed just before
    assert publisher(place).publish(run, rundir, UUID, first.mlflow_run_id) == first
    assert publisher(place).publish(run, rundir, UUID, first.mlflow_run_id) == first
    assert rows(place) == before
    (speed,) = client(place).get_metric_history(first.mlflow_run_id, "speed/images_per_second")
    assert speed.timestamp == (START + 80) * 1000


def test_a_profile_that_is_there_from_the_beginning_is_published_with_the_result(place: Path) -> None:
    run, rundir = finished_run(place)
    write_profile(rundir, 420.0, START + 80)
    found = publisher(place).publish(run, rundir, UUID, None)
    (whole,) = active(place)
    assert whole.data.metrics["speed/images_per_second"] == 420.0
    assert f"{whole.data.tags['benchmark.commit']}:{whole.data.tags['benchmark.profile']}" == found.commit


COSTS = {"cost/usd": 0.0125, "cost/billed_seconds": 90.0, "cost/spot_savings": None}


def test_what_a_run_cost_is_published_with_its_result_and_again_adds_nothing(place: Path) -> None:
    run, rundir = finished_run(place)
    first = publisher(place).publish(run, rundir, UUID, None, costs=COSTS)
    (whole,) = active(place)
    spent = {name: value for name, value in whole.data.metrics.items() if name in COSTS}
    assert spent == {"cost/usd": 0.0125, "cost/billed_seconds": 90.0}, "what is not known is left out"
    client(place).delete_tag(first.mlflow_run_id, "benchmark.commit")  # as if it had been killed just before
    before = rows(place)
    assert publisher(place).publish(run, rundir, UUID, first.mlflow_run_id, costs=COSTS) == first
    assert {**rows(place), "tags": 0} == {**before, "tags": 0}


def test_a_failed_run_tells_what_it_cost_and_a_later_success_the_whole(place: Path) -> None:
    run = a_run()
    rundir, live = new_rundir(place, run), publisher(place)
    assert not live.publish(run, rundir, UUID, None).commit
    fail(rundir)
    found = live.publish(run, rundir, UUID, None, costs=COSTS)
    (failed,) = active(place)
    assert (failed.info.status, failed.data.metrics["cost/usd"]) == ("FAILED", 0.0125)
    rundir.clear_outcome()
    finish(rundir)
    live.publish(run, rundir, UUID, found.mlflow_run_id, costs={**COSTS, "cost/usd": 0.5})
    (done,) = active(place)
    assert (done.info.status, done.data.metrics["cost/usd"]) == ("FINISHED", 0.5)


def test_a_broken_profile_does_not_keep_back_the_result(place: Path) -> None:
    run, rundir = finished_run(place)
    (rundir.path / "profile.json").write_text("{torn")
    assert publisher(place).publish(run, rundir, UUID, None).commit
    assert active(place)[0].data.metrics["test/accuracy"] == 0.875


def test_a_run_that_is_run_again_has_its_own_curve_and_no_old_profile(place: Path) -> None:
    run, rundir = finished_run(place)
    write_profile(rundir, 420.0, START + 80)
    live = publisher(place)
    found = live.publish(run, rundir, UUID, None)
    rundir.clear_epochs()
    rundir.clear_outcome()
    for number in (1, 2, 3):
        rundir.append_event(Event(number, number, START + 1000 + number, {"val/accuracy": 0.9}))
    finish(rundir, 0.95)
    assert live.publish(run, rundir, UUID, found.mlflow_run_id).commit
    history = client(place).get_metric_history(found.mlflow_run_id, "val/accuracy")
    assert [each.timestamp for each in history if each.value == 0.9] == [(START + 1000 + n) * 1000 for n in (1, 2, 3)]
    (again,) = active(place)
    assert again.data.metrics["test/accuracy"] == 0.95
    assert "benchmark.profile" not in again.data.tags


def test_figures_that_cannot_be_drawn_leave_the_run_uncommitted(place: Path) -> None:
    run, rundir = finished_run(place)

    def broken(rundir: RunDir, run: Run) -> dict[str, bytes]:
        raise ValueError("no such font")

    with pytest.raises(TrackingError, match=f"run {run.run_id}: its files cannot be made for MLflow: no such font"):
        publisher(place, artifacts=broken).publish(run, rundir, UUID, None)
    assert "benchmark.commit" not in active(place)[0].data.tags
    assert publisher(place).publish(run, rundir, UUID, None).commit


def test_a_broken_result_is_named(place: Path) -> None:
    run, rundir = finished_run(place)
    (rundir.path / "result.json").write_text("{")
    with pytest.raises(TrackingError, match=r"result\.json"):
        publisher(place).publish(run, rundir, UUID, None)


CHILD = """
import os, sys
from pathlib import Path
from benchmark.rundir import RunDir
from benchmark.tracking import Publisher
from tests.mlflow_support import FACTS, confusion_png

def draw(rundir, run):
    if sys.argv[4] == "kill":
        os.kill(os.getpid(), 9)
    return confusion_png(rundir, run)

rundir = RunDir(Path(sys.argv[1]))
Publisher(sys.argv[2], sys.argv[3], data=FACTS, artifacts=draw).publish(rundir.read_run(), rundir, "0" * 31 + "1", None)
"""


def child(place: Path, rundir: RunDir, way: str, **environment: str) -> subprocess.CompletedProcess[str]:
    arguments = [str(rundir.path), sqlite_uri(place / "mlflow.db"), NAME, way]
    command = [sys.executable, "-W", "default::UserWarning", "-c", CHILD, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow
def test_a_publisher_killed_in_the_middle_is_made_good_by_the_next(place: Path) -> None:
    run, rundir = finished_run(place)
    assert child(place, rundir, "kill").returncode == -9
    (half,) = active(place)
    assert half.info.status == "RUNNING"
    assert half.data.metrics["train/loss"]
    found = publisher(place).publish(run, rundir, UUID, None)
    (whole,) = active(place)
    assert whole.info.run_id == half.info.run_id == found.mlflow_run_id
    assert whole.data.tags["benchmark.commit"] == found.commit
    assert len(client(place).get_metric_history(found.mlflow_run_id, "train/loss")) == 3


@pytest.mark.slow
@pytest.mark.parametrize("point", ["created", "epochs", "uncommitted", "committed"])
def test_a_publisher_killed_at_any_place_leaves_no_trace(place: Path, tmp_path: Path, point: str) -> None:
    run, rundir = finished_run(place)
    write_profile(rundir, 420.0, START + 80)
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    shutil.copy(place / "mlflow.db", undisturbed)
    publisher(undisturbed, commit="").publish(run, rundir, UUID, None)
    marker = tmp_path / "marker"
    assert child(place, rundir, "publish", BENCHMARK_FAILPOINT=f"publish.{point}:{marker}").returncode == -9
    (half,) = active(place)
    assert ("benchmark.commit" in half.data.tags) == (point == "committed")
    assert bool(half.data.metrics) == (point != "created")
    assert publisher(place, commit="").publish(run, rundir, UUID, None).mlflow_run_id == half.info.run_id
    assert rows(place) == rows(undisturbed)
    assert active(place)[0].info.status == "FINISHED"


@pytest.mark.slow
def test_publishing_to_a_new_store_is_silent(tmp_path: Path) -> None:
    place = tmp_path / "кот #1"
    place.mkdir()
    _, rundir = finished_run(place)
    done = child(place, rundir, "publish")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert active(place)[0].data.tags["benchmark.commit"]


def test_a_server_that_is_down_is_named_without_its_password_within_seconds() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(
        TrackingError, match=rf"MLflow at http://\*\*\*@127\.0\.0\.1:{port} cannot be reached"
    ) as caught:
        Publisher(f"http://me:secret@127.0.0.1:{port}", NAME, data=FACTS, artifacts=confusion_png)
    assert "secret" not in str(caught.value)
    assert time.monotonic() - start < 30


def test_a_deleted_experiment_is_named_with_the_remedy(place: Path) -> None:
    publisher(place)
    mlflow = client(place)
    mlflow.delete_experiment(mlflow.get_experiment_by_name(NAME).experiment_id)
    with pytest.raises(TrackingError, match=r"was deleted: restore it with `mlflow experiments restore -x \d+`"):
        publisher(place)


def test_the_sweep_has_one_run_apart_with_its_latest_files(place: Path) -> None:
    live = publisher(place)
    first = live.log_sweep({"leaderboard.md": b"# old", "figures/pareto.png": b"png"}, "e" * 32)
    assert publisher(place).log_sweep({"leaderboard.md": b"# new"}, "e" * 32, note="# new") == first
    (mlflow_run,) = active(place)
    assert mlflow_run.data.tags["benchmark.kind"] == "sweep"
    assert Path(client(place).download_artifacts(first, "leaderboard.md", str(place))).read_text() == "# new"
    assert [each.path for each in client(place).list_artifacts(first, "figures")] == ["figures/pareto.png"]


def test_the_view_shows_what_varies_and_its_link_names_it(place: Path) -> None:
    runs = [a_run(model=model, lr=lr) for model in ("lenet5", "resnet18") for lr in (1e-3, 1e-2)]
    link = publisher(place).write_view(runs, "test/accuracy")
    experiment = client(place).get_experiment_by_name(NAME)
    pattern = (
        rf"#/experiments/{experiment.experiment_id}/runs\?workflowType=machine_learning&viewStateShareKey=(\w+)&.*"
    )
    match = re.fullmatch(pattern, link)
    assert match
    state = json.loads(experiment.tags[f"mlflow.sharedViewState.{match[1]}"])
    assert state["selectedColumns"][:3] == ["params.`model`", "params.`lr`", "metrics.`test/accuracy`"]
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`test/accuracy`", False)


def test_the_view_sorts_errors_upwards() -> None:
    assert mlflow_view.state([a_run()], "test/log_loss")["orderByAsc"] is True


def test_a_view_of_many_axes_fits_into_a_tag() -> None:
    options = {f"option_with_a_long_name_{n}": n for n in range(40)}
    runs = [a_run(model_args={}, seed=0), a_run(model_args=options, seed=1)]
    assert len(json.dumps(mlflow_view.state(runs, "test/accuracy"))) < 20_000


def test_the_address_is_the_settings_then_the_environments_then_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://there")
    assert default_uri(tmp_path, "http://here") == "http://here"
    assert default_uri(tmp_path, None) == "http://there"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert default_uri(tmp_path, None) == f"sqlite:///{tmp_path}/mlflow.db"


def test_the_command_that_serves_a_store_is_short_where_it_lies(tmp_path: Path) -> None:
    uri = default_uri(tmp_path, sqlite_uri(tmp_path / "mlflow.db"))
    assert serve_command(uri, tmp_path) == "mlflow ui"
    assert str(tmp_path / "mlflow.db") in serve_command(uri, tmp_path / "elsewhere")
    assert serve_command("http://host:5000", tmp_path) == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("at https://me:pw@host:1/x failed", "at https://***@host:1/x failed"),
        ("postgresql://u:p%40@db/mlflow?password=x", "postgresql://***@db/mlflow?***"),
        ("mail me@host", "mail me@host"),
        ("sqlite:////tmp/кот #1/mlflow.db", "sqlite:////tmp/кот #1/mlflow.db"),
    ],
)
def test_credentials_are_taken_out_of_addresses(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.slow
def test_a_server_takes_the_same_and_once(tmp_path: Path) -> None:
    place = tmp_path / "кот #1"
    place.mkdir()
    run, rundir = finished_run(place)
    with mlflow_server(place, tmp_path / "server.log") as address:

        def publish() -> tuple[str, str | None]:
            live = Publisher(address, NAME, data=FACTS, artifacts=confusion_png)
            found = live.publish(run, rundir, UUID, None)
            live.write_view([run], "test/accuracy")
            return found.mlflow_run_id, found.commit

        first = publish()
        mlflow = MlflowClient(address)
        mlflow.delete_tag(first[0], "benchmark.commit")
        assert publish() == first
        experiment = mlflow.get_experiment_by_name(NAME).experiment_id
        assert len(mlflow.search_runs([experiment], run_view_type=ViewType.ALL)) == 1
        assert len(mlflow.get_metric_history(first[0], "val/accuracy")) == 3
        picture = fetch(f"{address}/get-artifact?path=confusion_matrix.png&run_uuid={first[0]}")
        assert picture == confusion_png(rundir, run)["confusion_matrix.png"]


@pytest.mark.slow
def test_a_plain_mlflow_ui_in_the_directory_shows_runs_and_artifacts(place: Path, tmp_path: Path) -> None:
    run, rundir = finished_run(place)
    found = publisher(place).publish(run, rundir, UUID, None)
    with mlflow_server(place, tmp_path / "server.log") as address:
        picture = fetch(f"{address}/get-artifact?path=confusion_matrix.png&run_uuid={found.mlflow_run_id}")
        assert picture == confusion_png(rundir, run)["confusion_matrix.png"]
        assert MlflowClient(address).get_run(found.mlflow_run_id).data.metrics["test/accuracy"] == 0.875
