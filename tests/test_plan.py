"""The plan: states, reasons and order; and what the command does before anything starts."""

import dataclasses
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from benchmark import config
from benchmark import plan as planning
from benchmark.config.experiment import LaunchSettings
from benchmark.installed import WrongPackage, check_packages
from benchmark.journal import Journal, JournalError
from benchmark.planned import planned
from benchmark.preparing import UsageProblem, chosen, settings
from benchmark.records import Failure, Result
from benchmark.run import Run
from benchmark.status import status
from benchmark.training.environment import environment
from tests.vision_files import picture

ROOT = Path(__file__).resolve().parent.parent
YAML = """
name: tiny
data: {source: synthetic, train_size: 60, test_size: 20}
defaults: {batch_size: 16}
matrix:
  - {model: lenet5, epochs: [1, 5], seed: [0, 7]}
  - {model: small/vgg11_bn, seed: [7, 0]}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "кот #1.yaml"
    found.write_text(YAML)
    return found


def make(path: Path, cache: Path) -> planning.Plan:
    experiment = config.load(path)
    return planning.make(experiment, path.parent / "results" / experiment.name, cache)


def result_of(run: Run, seconds: float = 1.0, **changed: str) -> Result:
    versions = {**environment(), **changed}
    return Result(run.run_id, {"test/accuracy": 0.5}, {}, 1, 1, 1.0, 1.0 + seconds, "a network", versions)


def record(plan: planning.Plan, *results: Result) -> None:
    """Enters results in the plan's journal."""
    journal, runs = Journal(plan.directory), {run.run_id: run for run in plan.runs}
    journal.plan(plan.runs)
    for each in results:
        journal.begin(runs[each.run_id])
        journal.record(runs[each.run_id], each, {})
    journal.close()


def test_runs_are_ordered_by_seed_index_then_longest_first(path: Path, cache: Path) -> None:
    cells = make(path, cache).cells
    assert [(c.run.seed, c.run.model, c.run.epochs) for c in cells] == [
        (0, "small/vgg11_bn", 5), (0, "lenet5", 5), (0, "lenet5", 1),
        (7, "small/vgg11_bn", 5), (7, "lenet5", 5), (7, "lenet5", 1),
    ]  # fmt: skip


def test_what_finished_runs_took_corrects_the_order(path: Path, cache: Path) -> None:
    before = make(path, cache)
    vgg, lenet = before.runs[:2]
    assert before.forecast().seconds(vgg) is None
    record(before, result_of(vgg, seconds=1.0), result_of(lenet, seconds=60.0))
    after = make(path, cache)
    assert [(c.run.seed, c.run.model, c.run.epochs) for c in after.cells] == [
        (0, "lenet5", 5), (0, "lenet5", 1), (0, "small/vgg11_bn", 5),
        (7, "lenet5", 5), (7, "lenet5", 1), (7, "small/vgg11_bn", 5),
    ]  # fmt: skip
    assert after.forecast().seconds(after.runs[3]) == pytest.approx(60.0)
    assert {cell.run.run_id for cell in after.cells} == set(after.efforts)


def test_each_cell_has_its_state_and_the_reason(path: Path, cache: Path) -> None:
    plan = make(path, cache)
    assert not plan.directory.exists()
    done, stale, failed = plan.runs[:3]
    journal = Journal(plan.directory)
    journal.plan(plan.runs)
    for run in (done, stale, failed):
        journal.begin(run)
    journal.record(done, result_of(done, seconds=3.0), {})
    journal.record(stale, result_of(stale, seconds=2.0, torch="1.0"), {})
    journal.record(failed, Failure("oom", "no memory\nat all"), {})
    journal.close()
    cells = make(path, cache).cells
    assert [cell.state for cell in cells] == ["done", "stale", "failed", "new", "new", "new"]
    assert "torch 1.0 then" in cells[1].why
    assert cells[2].why == "oom: no memory"

    plan = make(path, cache)
    assert [c.run for c in chosen(plan, (), False)] == list(plan.runs[3:])
    assert [c.run for c in chosen(plan, (), True)] == [stale, *plan.runs[3:]]
    for name in ("all", "oom", failed.run_id[:6]):
        assert [c.run for c in chosen(plan, (name,), False)] == [failed, *plan.runs[3:]]
    with pytest.raises(UsageProblem, match="the kinds are oom"):
        chosen(plan, ("diverged",), False)


def test_images_that_change_while_a_run_is_interrupted_make_a_new_run_that_says_so(tmp_path: Path, cache: Path) -> None:
    for split, name, number in product(("train", "test"), ("cat", "dog"), range(6)):
        picture(tmp_path / "photos" / split / name / f"{number}.png")
    path = tmp_path / "changed.yaml"
    path.write_text(
        "name: c\ndata: {source: folder, path: photos}\ndefaults: {model: lenet5, batch_size: 4, image_size: 28}\n"
    )
    before = make(path, cache)
    (interrupted,) = before.runs
    journal = Journal(before.directory)
    journal.plan(before.runs)
    journal.begin(interrupted)
    journal.close()
    picture(tmp_path / "photos" / "train" / "cat" / "0.png")
    (cell,) = make(path, cache).cells
    assert cell.run.run_id != interrupted.run_id
    assert (cell.state, cell.why) == ("new", f"changed since {interrupted.run_id[:6]}: the images")


def test_status_counts_and_names_what_failed(path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_IMAGE_BENCHMARK_CACHE", str(cache))
    results = path.parent / "results"
    found = planned(path, (), results)
    journal = Journal(found.plan.directory)
    journal.plan(found.plan.runs)
    journal.record(found.plan.runs[0], Failure("error", "boom"), {})
    journal.close()
    summary = status(path, (), results)
    assert summary.document["states"] == {"failed": 1, "new": 5}
    assert any("boom" in line for line in summary.lines)


def test_auto_workers_share_the_cores_by_threads_and_processes(path: Path, cache: Path) -> None:
    runs = make(path, cache).runs
    cores = len(os.sched_getaffinity(0))
    assert settings(LaunchSettings(), None, runs).workers == cores
    assert settings(LaunchSettings(), None, [dataclasses.replace(runs[0], threads=cores)]).workers == 1
    assert settings(LaunchSettings(), None, [dataclasses.replace(runs[0], processes=cores)]).workers == 1
    assert settings(LaunchSettings(workers=7), None, runs).workers == 7
    assert settings(LaunchSettings(workers=7), 3, runs).workers == 3


def test_a_journal_of_another_version_or_none_is_refused(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal._db.execute("PRAGMA user_version = 99")
    journal.close()
    with pytest.raises(JournalError, match="version 99"):
        Journal(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "journal.db").write_text("no database at all, but long enough to be taken for one" * 50)
    with pytest.raises(JournalError, match="move it away"):
        Journal(tmp_path / "other")


def test_somebody_elses_launch_package_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "__init__.py").touch()
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmark", "plan"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "ROS 2" in done.stderr
    check_packages()
    assert issubclass(WrongPackage, Exception)


def test_a_missing_library_is_named_with_the_remedy(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-S", "-m", "benchmark", "plan"], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 3
    assert "click is not installed" in done.stderr


@pytest.mark.parametrize(("mode", "wanted"), [("fast_local", None), ("aws, bucket: b-b, runs_per_job: 2", 2)])
def test_the_plan_says_what_would_be_asked_for_and_how_many_share_a_job(
    path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, mode: str, wanted: int | None
) -> None:
    monkeypatch.setenv("TORCH_IMAGE_BENCHMARK_CACHE", str(cache))
    name, _, aws = mode.partition(", ")
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\nlaunch: {{mode: {name}, image: x}}\naws: {{{aws}}}\n" if aws else "")
    found = planned(path, (), path.parent / "results")
    asked = [found.requests(run) for run in found.plan.runs]
    assert {each.get("runs_per_job") for each in asked} == {wanted}
    assert all(("request" in each) == (wanted is not None) for each in asked)


def test_a_run_that_was_begun_is_told_from_one_that_was_not(path: Path, cache: Path) -> None:
    plan = make(path, cache)
    journal = Journal(plan.directory)
    journal.plan(plan.runs)
    journal.begin(plan.runs[0])
    journal.close()
    words = {cell.run.run_id: (cell.state, cell.why) for cell in make(path, cache).cells}
    assert words.pop(plan.runs[0].run_id) == ("new", "begun, no result yet")
    assert set(words.values()) == {("new", "no result yet")}
