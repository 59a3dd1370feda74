"""The disk is full at a write of a command's or of a job's; `tests/full_disk.py` tries every single one."""

import os
from pathlib import Path

import pytest

from tests.filling import BALLAST, fill
from tests.full_disk import small_disk, tried
from tests.killed_experiment import Experiment

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a file system")]


@pytest.mark.nightly
@pytest.mark.parametrize(("program", "every"), [("run", 90), ("job", 12)])
def test_whatever_is_written_when_the_disk_is_full_may_be_written_again(
    tmp_path: Path, program: str, every: int
) -> None:
    found = tried(tmp_path, program, every)
    assert found["tried"] == 2
    assert set(found["exit codes"]) - {"0"}, "the disk was never full"


@pytest.mark.nightly
def test_a_full_disk_stops_the_sweep_and_it_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small") as small:
        experiment = Experiment(small / "home", tmp_path / "cache", seeds=1)
        ballast = small / BALLAST
        ballast.write_bytes(b"\0" * 140 * 2**20)
        assert experiment.begin().wait(200) == 3
        assert "free some space and run again" in experiment.output
        ballast.unlink()
        experiment.finish()
        assert len(experiment.state()["quality"]) == 2


@pytest.mark.nightly
def test_a_disk_that_fills_up_under_the_jobs_costs_no_run(tmp_path: Path) -> None:
    """The forecast is right, but somebody else takes the space: the jobs find no room in mid-training."""
    with small_disk(tmp_path / "small") as small:
        experiment = Experiment(small / "home", tmp_path / "cache", seeds=1, epochs=400)
        process = experiment.begin()
        while not list(experiment.results.glob("runs/*/checkpoint/*.pt")):
            assert process.poll() is None, experiment.output
        fill(small / BALLAST)
        assert process.wait(200) == 3, experiment.output
        assert "free some space and run again" in experiment.output
        (small / BALLAST).unlink()
        assert not list(experiment.results.glob("runs/*/failure.json"))
        experiment.finish()
        assert "failed" not in experiment.output.rpartition("tiny (")[2]
        assert len(experiment.state()["quality"]) == 2
