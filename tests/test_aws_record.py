"""What is written down of a training job, and who may go on with its run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmark.elsewhere import check_instances, check_living
from benchmark.preparing import UsageProblem
from benchmark.run import DataSpec, Run
from benchmark.rundir import BrokenFile, RunDir
from launch.attempts import locked
from launch.aws_record import (
    END,
    FILE,
    Record,
    close,
    commit,
    forget,
    is_committed,
    is_open,
    is_stopped,
    mark_stopped,
)
from launch.living import is_under_way
from tests.test_training_job import CASES, OWNER

RUNS = [Run(DataSpec("digits"), "lenet5", data_digest="d", seed=seed) for seed in range(3)]
RECORD = Record(CASES["tags"].request(), OWNER.uuid, "my-bucket", "prefix/1/checkpoints", "eu-west-1", "me")


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path / "кот #1" / "runs" / RUNS[0].run_id)


@pytest.mark.parametrize("record", [RECORD, dataclasses.replace(RECORD, profile=None)])
def test_a_record_is_read_as_it_was_written(rundir: RunDir, record: Record) -> None:
    record.write(rundir.attempt(1))
    assert Record.read(rundir.attempt(1)) == record
    assert record.name == record.request["TrainingJobName"]


def test_the_request_that_is_sent_again_is_the_one_that_was_sent(rundir: RunDir) -> None:
    for name, case in CASES.items():
        dataclasses.replace(RECORD, request=case.request()).write(rundir.attempt(1))
        found = Record.read(rundir.attempt(1))
        assert found is not None
        assert found.request == case.request(), name


def test_an_attempt_without_a_record_was_not_in_aws(rundir: RunDir) -> None:
    assert Record.read(rundir.attempt(1)) is None
    assert not is_open(rundir)


@pytest.mark.parametrize(
    "text", ["", "{torn", "[]", "null", "7", "{}", '{"request": {}}', json.dumps({**vars(RECORD), "more": 1})]
)
def test_a_broken_record_is_refused_by_name(rundir: RunDir, text: str) -> None:
    (rundir.attempt(2) / FILE).write_text(text)
    with pytest.raises(BrokenFile, match=rf"2/{FILE}"):
        Record.read(rundir.attempt(2))
    assert is_open(rundir), "nobody knows that it has ended"


def test_bytes_that_are_no_text_are_a_broken_record(rundir: RunDir) -> None:
    (rundir.attempt(1) / FILE).write_bytes(b"\xff\xfe{}")
    with pytest.raises(BrokenFile):
        Record.read(rundir.attempt(1))


def test_a_job_may_live_until_its_end_is_written(rundir: RunDir) -> None:
    RECORD.write(rundir.attempt(1))
    assert is_open(rundir)
    assert is_under_way(rundir)
    close(rundir.attempt(1))
    close(rundir.attempt(1))
    assert not is_open(rundir)
    assert not is_under_way(rundir)
    assert Record.read(rundir.attempt(1)) == RECORD, "what was asked for stays known"


def test_of_several_attempts_the_latest_counts(rundir: RunDir) -> None:
    RECORD.write(rundir.attempt(9))
    close(rundir.attempt(9))
    RECORD.write(rundir.attempt(10))
    assert is_open(rundir)
    close(rundir.attempt(10))
    rundir.attempt(11)
    assert not is_open(rundir), "an attempt that was not asked for yet"


def test_a_job_that_is_asked_for_in_the_place_of_an_ended_one_may_live(rundir: RunDir) -> None:
    """The journal was moved away, and attempts are counted anew."""
    RECORD.write(rundir.attempt(1))
    close(rundir.attempt(1))
    RECORD.write(rundir.attempt(1))
    assert is_open(rundir)


def test_a_question_makes_nothing(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "never")
    assert not is_open(rundir)
    assert not is_under_way(rundir)
    assert not rundir.path.exists()


def test_a_run_whose_lock_is_held_is_under_way(rundir: RunDir) -> None:
    rundir.path.mkdir(parents=True)
    with locked(rundir):
        assert is_under_way(rundir)
    assert not is_under_way(rundir)


def test_what_may_live_in_aws_is_not_begun_on_this_machine(tmp_path: Path) -> None:
    for run in RUNS[1:]:
        RECORD.write(RunDir(tmp_path / "runs" / run.run_id).attempt(1))
    with pytest.raises(UsageProblem, match=rf"2 of these runs .* \(first: {RUNS[1].run_id}\).*`run --mode aws`"):
        check_living(RUNS, tmp_path, remote=False)
    check_living(RUNS, tmp_path, remote=True)
    check_living(RUNS[:1], tmp_path, remote=False)
    for run in RUNS[1:]:
        close(RunDir(tmp_path / "runs" / run.run_id).attempt(1))
    check_living(RUNS, tmp_path, remote=False)


def test_an_instance_type_means_nothing_on_this_machine() -> None:
    runs = [RUNS[0], dataclasses.replace(RUNS[1], instance_type="ml.g5.xlarge")]
    with pytest.raises(UsageProblem, match=r"ml\.g5\.xlarge is for mode aws"):
        check_instances(runs, remote=False)
    check_instances(runs, remote=True)
    check_instances(RUNS, remote=False)


def test_the_end_is_no_part_of_the_record(rundir: RunDir) -> None:
    close(rundir.attempt(1))
    assert (rundir.attempt(1) / END).read_bytes() == b""
    assert not is_open(rundir)


def test_a_job_that_runs_share_counts_when_all_of_them_have_its_record(rundir: RunDir) -> None:
    shared = dataclasses.replace(RECORD, members=[[rundir.path.name, 1], ["another", 2]])
    shared.write(rundir.attempt(1))
    assert Record.read(rundir.attempt(1)) == shared
    assert not is_committed(rundir, shared)
    assert is_committed(rundir, RECORD), "a job that a run has alone is asked for by its record"
    commit(rundir, shared)
    assert is_committed(RunDir(rundir.path.parent / "another"), shared)
    assert not is_stopped(rundir, shared)
    mark_stopped(rundir, shared)
    assert is_stopped(rundir, shared)
    assert is_committed(rundir, shared)
    forget(rundir, shared)
    forget(rundir, shared)
    assert not is_committed(rundir, shared)
    assert not is_stopped(rundir, shared)
