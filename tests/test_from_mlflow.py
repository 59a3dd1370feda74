"""`report --from-mlflow`: the leaderboard of a server's runs is that of their files, and nothing there is believed."""

import io
import json
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest
from mlflow import MlflowClient  # noqa: TID251

from benchmark import from_mlflow, mlflow_evidence
from benchmark import mlflow_documents as documents
from benchmark.mlflow_documents import BadDocument
from benchmark.mlflow_evidence import check_evaluation, check_events, check_predictions
from benchmark.mlflow_reading import Reader
from benchmark.mlflow_runs import Told
from benchmark.mlflow_store import prepare, sqlite_uri
from benchmark.preparing import UsageProblem
from benchmark.records import Predictions
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.tracking import Publisher
from tests.mlflow_support import CLASSES, FACTS, a_run, confusion_png, epoch, fail, finish, mlflow_server, new_rundir
from tests.test_cli import Command

NAME = "fashion-tour"
YAML = """
name: tiny
data: {source: synthetic, train_size: 200, test_size: 100, classes: 3}
defaults: {model: lenet5, epochs: 2}
matrix: {lr: [1e-3, 1e-2, 1e+9], seed: [0, 1]}
launch: {workers: 1}
"""


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("кот #1") / "mlflow.db"
    prepare(sqlite_uri(path))
    return path


@pytest.fixture
def place(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "кот #1 %41"
    directory.mkdir()
    shutil.copy(store, directory)
    monkeypatch.setenv("TORCH_IMAGE_BENCHMARK_CACHE", str(tmp_path / "cache"))
    return directory


class Server:
    """A store with runs of one experiment."""

    def __init__(self, place: Path) -> None:
        self.place, self.uri = place, sqlite_uri(place / "mlflow.db")
        self.publisher = Publisher(self.uri, NAME, data=FACTS, artifacts=confusion_png)
        self.client, self.runs = MlflowClient(self.uri), list[Run]()

    def add(self, run: Run, accuracy: float = 0.5, *, measured: Mapping[str, float | None] = {}) -> str:
        rundir = self._rundir(run)
        finish(rundir, accuracy, test__roc_auc_macro=None)
        predict(rundir, accuracy)
        rundir.write_profile({"speed/latency_ms_p50": 3.5})
        return self._publish(run, rundir, measured)

    def add_failed(self, run: Run) -> str:
        rundir = self._rundir(run)
        fail(rundir)
        return self._publish(run, rundir, {})

    def add_pending(self, run: Run) -> str:
        return self._publish(run, self._rundir(run), {})

    def _rundir(self, run: Run) -> RunDir:
        rundir = new_rundir(self.place, run)
        for number in (1, 2):
            rundir.append_event(epoch(number))
        return rundir

    def _publish(self, run: Run, rundir: RunDir, costs: Mapping[str, float | None]) -> str:
        self.runs.append(run)
        self.publisher.write_view(self.runs, "test/accuracy")
        return self.publisher.publish(run, rundir, run.run_id * 2, None, costs=costs).mlflow_run_id

    def report(self, **options: Any) -> tuple[dict[str, Any], str]:
        out = self.place / "out"
        summary = from_mlflow.report(self.uri, options.pop("name", NAME), out, self.place / "results")
        return json.loads((out / "leaderboard.json").read_text()), "\n".join(summary.lines)

    def tag(self, mlflow_run_id: str, name: str, value: str) -> None:
        self.client.set_tag(mlflow_run_id, name, value)


@pytest.fixture
def server(place: Path) -> Server:
    return Server(place)


def predict(rundir: RunDir, accuracy: float) -> None:
    """Predictions of 20 images with about this accuracy."""
    labels = np.arange(20) % 3
    guessed = np.where(np.arange(20) < round(20 * accuracy), labels, (labels + 1) % 3)
    log_probs = np.log(np.full((20, 3), 0.1) + 0.7 * np.eye(3)[guessed]).astype(np.float32)
    ids = np.array([f"кот/{n}" for n in range(20)])
    rundir.write_predictions({"test": Predictions(ids, labels, log_probs)}, CLASSES)


@pytest.mark.slow
def test_the_servers_leaderboard_is_the_files_row_for_row(tmp_path: Path) -> None:
    """Of runs that were really trained, some of which diverge, by a server that another machine could ask."""
    home = tmp_path / "кот #1"
    (home / "away").mkdir(parents=True)
    (home / "experiments.yaml").write_text(YAML)
    command = Command(home, tmp_path / "cache")
    store = ("--artifacts-destination", str(tmp_path / "artifacts"))
    with mlflow_server(tmp_path, tmp_path / "server.txt", *store) as address:
        command.environment["MLFLOW_TRACKING_URI"] = address
        command("run", code=1)
        elsewhere = Command(home / "away", tmp_path / "other cache")
        said = elsewhere("report", "--from-mlflow", address)
        again = elsewhere("report", "--from-mlflow", address, "--experiment", "tiny", "--out", "copy")
    assert f"6 runs at {address}: 4 done, 2 failed" in said
    assert again.splitlines()[0] == said.splitlines()[0]
    ours, theirs = (each / "results" / "tiny" for each in (home, home / "away"))
    first, second = (json.loads((each / "leaderboard.json").read_text()) for each in (ours, theirs))
    assert second["rows"] == first["rows"]
    assert any("interval" in json.dumps(row) for row in first["rows"]), "the statistics need the predictions"
    logs = [[each.pop("log") for each in board["not_ranked"]] for board in (first, second)]
    assert [each.endswith("log.txt") for each in logs[0]] == [True, True]
    assert [each.startswith("log.txt of MLflow run ") for each in logs[1]] == [True, True]
    for key in first:
        assert second[key] == first[key], key
    assert (theirs / "leaderboard.csv").read_bytes() == (ours / "leaderboard.csv").read_bytes()
    figures = sorted(each.name for each in (ours / "figures").iterdir())
    assert sorted(each.name for each in (theirs / "figures").iterdir()) == figures
    for each in figures:
        assert (theirs / "figures" / each).read_bytes() == (ours / "figures" / each).read_bytes(), each


def test_only_runs_with_the_commit_tag_count(server: Server) -> None:
    server.add(a_run(seed=0))
    torn = server.add(a_run(seed=1), 0.9)
    server.client.delete_tag(torn, "benchmark.commit")
    server.add_failed(a_run(lr=10.0))
    server.add_pending(a_run(lr=0.5))
    board, said = server.report()
    (row,) = board["rows"]
    assert (row["n_seeds"], row["planned_seeds"]) == (1, 2)
    assert [each["sizes"] for each in board["data"]] == [{"train": 54, "val": 6, "test": 20}]
    assert row["metrics"]["test/accuracy"]["mean"] == 0.5
    assert row["metrics"]["test/roc_auc_macro"] == {"mean": None, "reason": "seed 0: one class is absent"}
    assert "4 runs" in said
    assert "1 done, 1 failed, 2 without the tag that says they are whole" in said
    failed = next(each for each in board["not_ranked"] if each["status"] == "failed")
    assert (failed["kind"], "secret" in failed["reason"]) == ("diverged", False)


def test_what_was_measured_and_billed_comes_along_the_undefined_too(server: Server) -> None:
    server.add(a_run(), measured={"cost/usd": None, "cost/billed_seconds": 12.0})
    board, _ = server.report()
    metrics = board["rows"][0]["metrics"]
    assert metrics["speed/latency_ms_p50"]["mean"] == 3.5
    assert metrics["cost/billed_seconds"]["mean"] == 12.0
    assert metrics["cost/usd"]["mean"] is None
    assert board["cost"]["unknown"] == 1


def test_of_two_copies_of_a_run_the_latest_whole_one_counts(server: Server) -> None:
    run = a_run()
    server.add(run, 0.5)
    other = server.client.create_run(server.client.get_experiment_by_name(NAME).experiment_id)
    for name, value in server.client.get_run(server.add_pending(a_run(lr=0.5))).data.tags.items():
        if name.startswith("benchmark."):
            server.tag(other.info.run_id, name, value)
    board, said = server.report()
    assert len(board["rows"]) == 1
    assert "1 that are there twice count once" in said


def test_runs_that_the_experiment_no_longer_asks_for_are_left_out(server: Server) -> None:
    kept = a_run()
    for run in (kept, a_run(lr=0.5)):
        server.add(run)
    board, _ = server.report()
    assert len(board["rows"]) == 2
    told = {**board, "rows": [row for row in board["rows"] if row["runs"][0]["run_id"] == kept.run_id]}
    server.publisher.log_sweep({"leaderboard.json": json.dumps(told).encode()}, "e" * 32)
    board, said = server.report()
    assert [row["runs"][0]["run_id"] for row in board["rows"]] == [kept.run_id]
    assert "1 that the experiment no longer asks for are left out" in said
    server.publisher.log_sweep({"leaderboard.json": b"{}"}, "e" * 32)
    board, _ = server.report()
    assert len(board["rows"]) == 2, "a leaderboard that cannot be read says nothing"


def test_documents_too_long_for_a_tag_come_from_the_artifacts(server: Server) -> None:
    found = server.add(a_run(model_args={"text": "x" * 9000}))
    assert "benchmark.run" not in server.client.get_run(found).data.tags
    server.client.delete_tag(found, "benchmark.result")
    board, said = server.report()
    assert board["rows"][0]["metrics"]["test/accuracy"]["mean"] == 0.5
    assert "left out" not in said


FORGERIES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "an edited run": ("benchmark.run", lambda text: text.replace('"lr":0.001', '"lr":0.1'), "it was edited"),
    "no JSON": ("benchmark.run", lambda text: "{", "not a run"),
    "a deep nest": ("benchmark.run", lambda text: "[" * 4000, "not a run"),
    "a wrong type": ("benchmark.run", lambda text: text.replace('"epochs":5', '"epochs":"5"'), "not a run: epochs"),
    "another result": (
        "benchmark.result",
        lambda text: text.replace("0.5", "0.99"),
        "the result is not the one that was committed",
    ),
    "no numbers": ("benchmark.measured", lambda text: '{"speed/latency_ms_p50": "fast"}', "not a dict"),
    "infinity": ("benchmark.measured", lambda text: '{"speed/latency_ms_p50": 1e999}', "is no number"),
    "NaN": ("benchmark.measured", lambda text: '{"speed/latency_ms_p50": NaN}', "NaN is no number"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_run_that_does_not_fit_together_is_left_out_and_named(server: Server, forgery: str) -> None:
    server.add(a_run(seed=0))
    name, change, why = FORGERIES[forgery]
    forged = server.add(a_run(seed=1))
    server.tag(forged, name, change(server.client.get_run(forged).data.tags[name]))
    board, said = server.report()
    assert board["rows"][0]["n_seeds"] == 1
    assert f"MLflow run {forged} is left out: " in said
    assert why in said


def test_troubles_without_end_are_told_in_a_few_lines(server: Server) -> None:
    server.add(a_run())
    for seed in range(1, 9):
        server.tag(server.add(a_run(seed=seed)), "benchmark.run", "{}")
    _, said = server.report()
    assert said.count("is left out") == 5
    assert "… and 3 more" in said


def test_a_file_that_does_not_hold_what_its_name_says_costs_its_figure_only(server: Server) -> None:
    found = server.add(a_run())
    for name, content in (("evaluation.json", "{}"), ("predictions.npz", "no archive"), ("events.jsonl", "{}\n")):
        server.client.log_text(found, content, f"data/{name}")
    board, said = server.report()
    assert board["rows"][0]["metrics"]["test/accuracy"]["mean"] == 0.5
    for name in ("evaluation.json", "predictions.npz", "events.jsonl"):
        assert f"MLflow run {found}: {name} is left out: " in said
    assert not list((server.place.parent / "cache").rglob("*.npz"))


def test_what_is_whole_is_brought_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.add(a_run())
    server.report()
    asked: list[str] = []
    fetch = Reader.fetch
    monkeypatch.setattr(Reader, "fetch", lambda self, run, limits: asked.extend(limits) or fetch(self, run, limits))
    board, _ = server.report()
    assert not asked
    assert (server.place / "out" / "figures" / "confusion-1.png").exists()
    assert board["rows"][0]["n_seeds"] == 1


def test_a_thousand_runs_take_few_requests(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are asked for of the best fifty rows only."""
    first = server.add(a_run())
    experiment = server.client.get_experiment_by_name(NAME).experiment_id
    tags = {name: value for name, value in server.client.get_run(first).data.tags.items() if name[:9] == "benchmark"}
    for number in range(11, 1011):
        run = a_run(lr=number / 1e4)
        result = tags["benchmark.result"].replace(a_run().run_id, run.run_id)
        mine = {**documents.run_tag(run), "benchmark.result": result, "benchmark.commit": digest(result)}
        server.client.create_run(experiment, tags={**tags, **mine})
    asked: list[str] = []
    fetch = Reader.fetch
    monkeypatch.setattr(Reader, "fetch", lambda self, run, limits: asked.append(run) or fetch(self, run, limits))
    began = time.monotonic()
    runs = Reader(server.uri).runs(experiment)
    board, _ = from_mlflow._leaderboard(Reader(server.uri), server.uri, NAME, experiment)
    assert (len(runs), len(board.entries)) == (1001, 1001)
    assert len(asked) <= 50
    assert time.monotonic() - began < 60


def digest(text: str) -> str:
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()


def test_the_experiment_is_chosen_where_there_is_one_only(server: Server) -> None:
    with pytest.raises(UsageProblem, match="no experiment 'fashion-tour' of ours; there is none of ours"):
        server.report()
    server.add_pending(a_run())
    with pytest.raises(UsageProblem, match="has a whole result: nothing to rank"):
        server.report()
    server.add(a_run())
    assert server.report(name=None)[0]["experiment"] == NAME
    other = Publisher(server.uri, "other", data=FACTS, artifacts=confusion_png)
    other.write_view([a_run()], "test/accuracy")
    with pytest.raises(UsageProblem, match="--experiment NAME; there is 'fashion-tour', 'other'"):
        server.report(name=None)


def test_a_name_from_the_server_is_no_path_and_no_place_of_other_results(server: Server) -> None:
    evil = Publisher(server.uri, "../../evil", data=FACTS, artifacts=confusion_png)
    evil.write_view([a_run()], "test/accuracy")
    with pytest.raises(UsageProblem, match="cannot be a directory's name: say where with --out"):
        from_mlflow.report(server.uri, "../../evil", None, server.place / "results")
    server.add(a_run())
    (server.place / "results" / NAME).mkdir(parents=True)
    (server.place / "results" / NAME / "journal.db").touch()
    with pytest.raises(UsageProblem, match="has runs of this machine: say where else with --out"):
        from_mlflow.report(server.uri, NAME, None, server.place / "results")
    with pytest.raises(UsageProblem, match=r"there is no .*nothing\.db"):
        from_mlflow.report("sqlite:///nothing.db", NAME, None, server.place)


def test_hostile_names_are_escaped_on_the_page(server: Server) -> None:
    server.add(a_run(model="<script>alert(1)</script>|[x](javascript:1)"))
    server.report()
    page = (server.place / "out" / "leaderboard.md").read_text()
    assert "<script>" not in page
    assert "[x](" not in page


def evaluation(**changes: Any) -> bytes:
    row = {"support": 1, "precision": 1.0, "recall": 1.0, "f1": 1.0, "roc_auc": None, "undefined": {}}
    split = {
        "confusion": [[1, 0], [0, 1]],
        "per_class": [{"name": "a", **row}, {"name": "b", **row}],
        "roc": [{"name": "a", "fpr": [0.0, 1.0], "tpr": [0.0, 1.0]}],
        "calibration": [],
        **changes,
    }
    return json.dumps({"schema_version": 1, "classes": ["a", "b"], "splits": {"test": split}}).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"confusion": [[1, 0]]},
        {"confusion": [[1, 0], [0]]},
        {"confusion": [[-1, 0], [0, 1]]},
        {"confusion": [[10**30, 0], [0, 1]]},
        {"confusion": [[0.5, 0], [0, 1]]},
        {"per_class": []},
        {"roc": [{"name": "a", "fpr": [0.0], "tpr": []}]},
    ],
)
def test_an_evaluation_whose_parts_do_not_fit_is_refused(changes: dict[str, Any]) -> None:
    check_evaluation(evaluation())
    with pytest.raises(BadDocument):
        check_evaluation(evaluation(**changes))


def test_documents_of_another_version_are_refused() -> None:
    with pytest.raises(BadDocument, match="of version 2"):
        check_evaluation(evaluation().replace(b'"schema_version": 1', b'"schema_version": 2'))


def test_epochs_are_read_to_the_last_whole_line() -> None:
    line = json.dumps({"epoch": 1, "step": 1, "time": 1.0, "metrics": {"val/accuracy": None}}).encode()
    check_events(line + b"\n" + line[:9])
    with pytest.raises(BadDocument):
        check_events(line[:9] + b"\n")


def arrays(**changes: Any) -> bytes:
    found = {
        "test_ids": np.array(["a", "b"]), "test_labels": np.array([0, 1]),
        "test_log_probs": np.zeros((2, 2), np.float32), **changes,
    }  # fmt: skip
    content = io.BytesIO()
    np.savez(content, **{name: value for name, value in found.items() if value is not None})
    return content.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"test_ids": np.array([{"a": 1}, None], dtype=object)},
        {"test_ids": np.array(["a"])},
        {"test_labels": np.array([0.0, 1.0])},
        {"test_labels": np.array([0, 2])},
        {"test_log_probs": np.ones((2, 2), np.float32)},
        {"test_log_probs": np.full((2, 2), np.nan, np.float32)},
        {"test_log_probs": np.zeros((2, 2))},
        {"test_log_probs": np.zeros(2, np.float32)},
        {"test_labels": None},
        {"test_log_probs": None},
    ],
)
def test_predictions_that_are_none_are_refused(changes: dict[str, Any]) -> None:
    check_predictions(arrays())
    with pytest.raises(BadDocument):
        check_predictions(arrays(**changes))


def test_an_archive_that_unpacks_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mlflow_evidence.SIZES, "predictions.npz", 1000)
    content = io.BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED) as packed:
        packed.writestr("test_labels.npy", b"\0" * 1_000_000)
    assert len(content.getvalue()) < 2000
    with pytest.raises(BadDocument, match="unpacked it is too large"):
        check_predictions(content.getvalue())


def test_what_is_too_large_is_not_published_and_the_page_says_so(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(documents.SIZES, "predictions.npz", 100)
    found = server.client.get_run(server.add(a_run()))
    assert "predictions.npz (0 MiB) is in the run directory only" in found.data.tags["mlflow.note.content"]
    names = {each.path for each in server.client.list_artifacts(found.info.run_id, "data")}
    assert names == {"data/evaluation.json", "data/events.jsonl"}


def test_a_larger_artifact_than_is_taken_is_left_where_it_is(server: Server) -> None:
    found = server.add(a_run())
    reader = Reader(server.uri)
    assert reader.fetch(found, {"data/events.jsonl": 10}) == {}
    assert reader.fetch(found, {"data/nothing": 10}) == {}
    assert set(reader.fetch(found, {"data/events.jsonl": 10_000})) == {"data/events.jsonl"}


def test_what_the_sweep_says_is_read_as_it_was_written(server: Server) -> None:
    server.add(a_run())
    board, _ = server.report()
    told = Told.read(json.dumps(board).encode(), 5.0)
    assert (told.experiment, told.planned, told.ended) == (NAME, {a_run().run_id}, 5.0)
    assert [each.label for each in told.data] == ["fashion-mini"]


def test_options_of_a_server_are_for_a_server(tmp_path: Path) -> None:
    command = Command(tmp_path, tmp_path / "cache")
    assert "--out is for --from-mlflow URI" in command("report", "--out", "x", code=2)
    assert "--experiment is for --from-mlflow URI" in command("report", "--experiment", "x", code=2)
    assert "--experiment NAME" in command("report", "my.yaml", "--from-mlflow", "sqlite:///x.db", code=2)
    assert "there is no x.db" in command("report", "--from-mlflow", "sqlite:///x.db", code=2)
