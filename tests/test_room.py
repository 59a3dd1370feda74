"""Full disks and directories that cannot be written: told before or while a sweep works, and nothing is spoilt."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmark import room
from benchmark.records import NO_SPACE, Failure
from tests.killed_experiment import Experiment


def test_a_directory_that_can_be_written_is_made_and_left_empty(tmp_path: Path) -> None:
    room.check([tmp_path / "кот #1" / "new"])
    assert list((tmp_path / "кот #1" / "new").iterdir()) == []


def test_what_is_no_directory_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(room.NoRoom, match=r"file/x cannot be written .*choose another"):
        room.check([tmp_path / "file" / "x"])


def test_a_shortage_is_told_in_numbers_before_it_happens(tmp_path: Path) -> None:
    assert room.shortage(tmp_path, 0) is None
    assert "GiB are needed: free some space and run again" in str(room.shortage(tmp_path, 2**60))


def test_only_a_full_disk_is_taken_for_one() -> None:
    message = f"cannot write: {os.strerror(errno.ENOSPC)}".lower()
    assert NO_SPACE in message
    assert room.is_full(Failure("infrastructure", message))
    assert not room.is_full(Failure("infrastructure", "the network is away"))
    assert not room.is_full(Failure("error", message))


def fill(path: Path) -> None:
    """Takes all the space that is left."""
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(b"\0" * 2**16)
            except OSError:
                return


if os.geteuid() == 0:  # who may mount a file system

    @pytest.fixture
    def small(tmp_path: Path) -> Iterator[Path]:
        """A file system of 200 MB."""
        place = tmp_path / "small"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", str(place)], check=True)
        yield place
        subprocess.run(["umount", "--lazy", str(place)], check=True)

    @pytest.mark.slow
    @pytest.mark.nightly
    def test_a_full_disk_stops_the_sweep_and_it_goes_on_when_there_is_room(small: Path, tmp_path: Path) -> None:
        experiment = Experiment(small / "home", tmp_path / "cache", seeds=1)
        ballast = small / "ballast"
        ballast.write_bytes(b"\0" * 140 * 2**20)
        assert experiment.begin().wait(200) == 3
        assert "free some space and run again" in experiment.output
        ballast.unlink()
        experiment.finish()
        assert len(experiment.state()["quality"]) == 2

    @pytest.mark.slow
    def test_a_disk_that_fills_up_under_the_jobs_costs_no_run(small: Path, tmp_path: Path) -> None:
        """The forecast is right, but somebody else takes the space: the jobs find no room in mid-training."""
        experiment = Experiment(small / "home", tmp_path / "cache", seeds=1, epochs=400)
        process = experiment.begin()
        ballast = small / "ballast"
        while not list(experiment.results.glob("runs/*/checkpoint/*.pt")):
            assert process.poll() is None, experiment.output
        fill(ballast)
        assert process.wait(200) == 3, experiment.output
        assert "free some space and run again" in experiment.output
        ballast.unlink()
        yaml = experiment.home / "experiments.yaml"
        assert not list(experiment.results.glob("runs/*/failure.json"))
        assert yaml.exists()
        experiment.finish()
        assert "failed" not in experiment.output.rpartition("tiny (")[2]
        assert len(experiment.state()["quality"]) == 2
