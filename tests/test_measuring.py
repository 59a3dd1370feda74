"""Jobs that measure speed: which of their failures are remembered."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.attempt import Gone, Limits
from benchmark.measuring import Measurement
from benchmark.profiles import Profiles
from benchmark.records import Failure, FailureKind
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from launch import Job

RUN = Run(DataSpec(), "lenet5", data_digest="0" * 64, image_size=28, channels=1)


def ended(leave: Callable[[RunDir], object]) -> Callable[[Run, RunDir, int], Job]:
    """A job that leaves something and has ended."""

    def submit(run: Run, place: RunDir, attempt: int) -> Job:
        leave(place)
        return Gone()

    return submit


@pytest.mark.parametrize(("kind", "again"), [("error", False), ("oom", False), ("stopped", True), ("timeout", True)])
def test_what_would_not_come_again_is_measured_again(tmp_path: Path, kind: FailureKind, again: bool) -> None:
    profiles = Profiles(tmp_path, {RUN.data: 10})
    submit = ended(lambda place: place.write_failure(Failure(kind, "as the job says", time=1.0)))
    measurement = Measurement(profiles, submit, {RUN.run_id: "a run"}, Limits(), lambda: False)
    said = [str(event) for event in measurement.events([RUN])]
    assert "as the job says" in said[-1]
    assert bool(measurement.unknown([RUN])) is again


def test_a_profile_that_cannot_be_read_is_measured_again(tmp_path: Path) -> None:
    profiles = Profiles(tmp_path, {RUN.data: 10})
    submit = ended(lambda place: (place.path / "profile.json").write_text("{torn"))
    measurement = Measurement(profiles, submit, {RUN.run_id: "a run"}, Limits(), lambda: False)
    assert "could not be measured" in [str(event) for event in measurement.events([RUN])][-1]
    other = replace(RUN, seed=1)
    assert measurement.unknown([other]) == [other]
