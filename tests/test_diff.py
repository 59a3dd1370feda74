"""`diff`: two leaderboards of one test set, as a gate for continuous integration."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmark.cli import main
from benchmark.rundir import Predictions, RunDir
from benchmark.training.metrics import scores
from reports.kept import BadLeaderboard, read
from reports.leaderboard import Entry, Header, build
from reports.regression import PAIRED, UNPAIRED, compare
from reports.render import write
from tests.report_support import CLASSES, DATA, HEADER, done, failed, make_run

HARD = np.random.default_rng(3).normal(0, 1.5, 600)
LABELS = np.random.default_rng(4).integers(0, 3, 600)


def network(seed: int, skill: float) -> Predictions:
    logits = np.random.default_rng(seed).normal(size=(600, 3))
    logits[np.arange(600), LABELS] += skill - HARD
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return Predictions(np.arange(600).astype(str), LABELS, log_probs.astype(np.float32))


def sweep(
    directory: Path, skills: Mapping[str, float], *, code: int = 0, seeds: int = 3, header: Header = HEADER
) -> Path:
    """Results as a sweep leaves them; ``code`` tells versions apart, whose networks differ even at the same seed."""
    entries = []
    for place, (model, skill) in enumerate(skills.items()):
        for seed in range(seeds):
            run = make_run(model, seed, digest=header.data[0].digest, epochs=5 + code)
            where = directory / "runs" / run.run_id
            predictions = network(1000 * code + 100 * place + seed, skill)
            RunDir(where).write_predictions({"test": predictions}, CLASSES)
            metrics = scores(predictions.labels, predictions.log_probs).under("test").values
            finished = done(run, metrics.pop("test/accuracy"), metrics=metrics)
            entries.append(Entry(run, "done", finished.result, directory=where))
    write(build(entries, header), directory)
    return directory


def gate(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(main, ["diff", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return sweep(tmp_path / "кот #1" / "old", {"a": 2.0, "b": 1.5})


def test_a_regression_is_found_and_fails_where_that_is_asked_for(tmp_path: Path, old: Path) -> None:
    new = sweep(tmp_path / "new", {"a": 2.0, "b": 0.3}, code=1)
    text = gate(old, new, "--output", tmp_path / "comment.md")
    assert "**Worse than the baseline.** 1 regressed, 1 no difference shown." in text
    assert "Tested: 2 paired by image; p after Holm's correction over 2" in text
    assert text.index("| b |") < text.index("| a |")
    assert (tmp_path / "comment.md").read_text(encoding="utf-8").strip() == text.strip()
    assert gate(old, new, "--fail-on-regression", code=1) == text
    found = {each.label: each for each in compare(read(old), read(new))}
    assert found["b"].verdict == "regressed"
    assert found["b"].how == PAIRED
    assert found["b"].high is not None
    assert found["b"].high < 0


def test_what_is_better_is_no_regression(tmp_path: Path, old: Path) -> None:
    new = sweep(tmp_path / "new", {"a": 2.0, "b": 3.5, "c": 1.0}, code=1)
    text = gate(old, new, "--fail-on-regression")
    assert "No regression shown. 1 improved, 1 no difference shown, 1 new." in text


def test_a_lower_loss_is_better(tmp_path: Path) -> None:
    header = Header("tour", (DATA,), "test/log_loss")
    old, new = (sweep(tmp_path / str(n), {"a": skill}, code=n, header=header) for n, skill in ((0, 2.0), (1, 0.5)))
    assert compare(read(old), read(new))[0].verdict == "regressed"
    assert compare(read(new), read(old))[0].verdict == "improved"


def test_what_is_allowed_is_no_regression(tmp_path: Path, old: Path) -> None:
    new = sweep(tmp_path / "new", {"a": 2.0, "b": 0.3}, code=1)
    text = gate(old, new, "--fail-on-regression", "--tolerance", "0.5")
    assert "Up to 50.0 worse is allowed." in text


def test_the_same_runs_need_no_test(old: Path) -> None:
    assert "2 same runs. " not in gate(old, old)
    assert "No regression shown. 2 same runs." in gate(old, old / "leaderboard.json", "--fail-on-regression")


def test_what_is_missing_or_failed_fails(tmp_path: Path, old: Path) -> None:
    new = sweep(tmp_path / "new", {"a": 2.0}, code=1)
    assert "1 missing" in gate(old, new, "--fail-on-regression", code=1)
    write(build([failed(make_run("a"))], HEADER), tmp_path / "failed")
    assert "2 missing" in gate(old, tmp_path / "failed", "--fail-on-regression", code=1)


def test_without_run_directories_intervals_are_compared_and_say_less(tmp_path: Path, old: Path) -> None:
    new = sweep(tmp_path / "new", {"a": 2.0, "b": 0.3}, code=1, seeds=5)
    paired = {each.label: each for each in compare(read(old), read(new))}
    shutil.rmtree(new / "runs")
    unpaired = {each.label: each for each in compare(read(old), read(new))}
    assert {each.how for each in unpaired.values()} == {UNPAIRED}
    for label, each in unpaired.items():
        other = paired[label]
        assert each.difference == pytest.approx(other.difference, abs=1e-6)
        assert None not in (each.low, each.high, other.low, other.high)
        assert each.low < other.low < other.high < each.high  # type: ignore[operator]
    assert "2 from the intervals" in gate(old, new)


def test_one_seed_is_tested_by_mcnemar(tmp_path: Path) -> None:
    old, new = (sweep(tmp_path / str(n), {"a": skill}, code=n, seeds=1) for n, skill in ((0, 2.0), (1, 1.0)))
    (found,) = compare(read(old), read(new))
    assert found.p is not None
    assert 0 < found.p < 0.05


def test_predictions_that_are_not_those_of_the_leaderboard_are_not_believed(tmp_path: Path, old: Path) -> None:
    new = sweep(tmp_path / "new", {"a": 2.0, "b": 1.5}, code=1)
    for each in (new / "runs").iterdir():
        RunDir(each).write_predictions({"test": network(1, 9.0)}, CLASSES)
    assert {each.how for each in compare(read(old), read(new))} == {UNPAIRED}


def test_different_test_images_are_refused(tmp_path: Path, old: Path) -> None:
    header = Header("tour", (type(DATA)("fashion-mini", "ff" * 32, CLASSES, {}),))
    new = sweep(tmp_path / "new", {"a": 2.0}, header=header)
    assert "have different images under the name 'fashion-mini' (6d958be0 and ffffffff)" in gate(old, new, code=2)


def changed(old: Path, change: Mapping[str, Any]) -> str:
    document = json.loads((old / "leaderboard.json").read_text(encoding="utf-8"))
    return json.dumps({**document, **change})


def test_a_file_that_is_no_leaderboard_is_an_error_at_its_place(tmp_path: Path, old: Path) -> None:
    path = tmp_path / "bad.json"
    rows = json.loads((old / "leaderboard.json").read_text(encoding="utf-8"))["rows"]
    infinite = [{**rows[0], "metrics": {"test/accuracy": {"mean": "1"}}}]
    for text in (
        "", "{", "[]", "null", "[" * 100_000, '{"schema_version": 1}', '{"schema_version": NaN}', "\x00",
        changed(old, {"schema_version": 99}), changed(old, {"primary": "test/nothing"}), changed(old, {"rows": 3}),
        changed(old, {"rows": infinite}), changed(old, {"data": None}),
    ):  # fmt: skip
        path.write_text(text, encoding="utf-8")
        told = gate(old, path, code=2)
        assert str(path) in told.replace("\n", "")
        with pytest.raises(BadLeaderboard):
            read(path)
    assert "none.json" in gate(old, tmp_path / "none.json", code=2)


def test_a_run_id_that_leads_elsewhere_is_no_path(tmp_path: Path, old: Path) -> None:
    rows = json.loads((old / "leaderboard.json").read_text(encoding="utf-8"))["rows"]
    for each in rows[0]["runs"]:
        each["run_id"] = "../../etc"
    path = tmp_path / "bad.json"
    path.write_text(changed(old, {"rows": rows}), encoding="utf-8")
    assert all(not row.rundirs for row in read(path).rows.values() if row.label == rows[0]["label"])


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    old = sweep(tmp_path / "old", {"a|b <script>": 2.0}, seeds=1)
    assert "| a\\|b &lt;script&gt; |" in gate(old, old)


def test_the_json_is_for_programs(tmp_path: Path, old: Path) -> None:
    new = sweep(tmp_path / "new", {"a": 2.0, "b": 0.3}, code=1)
    done = CliRunner().invoke(main, ["diff", str(old), str(new), "--json", "--fail-on-regression"])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["worse"] is True
    assert {each["label"]: each["verdict"] for each in told["changes"]} == {
        "a": "no difference shown",
        "b": "regressed",
    }
