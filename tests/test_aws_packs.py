"""Runs that share training jobs, against a server that really runs the jobs: the same bits as alone, each with its own
end, whatever happens to its neighbours, and nothing lost, started or paid for twice."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.bill import read_bills
from benchmark.prices import Prices
from benchmark.rundir import RunDir
from launch.rehearsal.client import Rehearsal
from launch.rehearsal.faults import Error, Faults, Interrupt, Lost
from tests.test_aws import TYPE, Aws, end_of, results, wait_for
from tests.test_cli import Command, mlflow_runs, quality

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    with Rehearsal(tmp_path_factory.mktemp("server"), grace=10) as server:
        yield server


@pytest.fixture
def aws(server: Rehearsal, tmp_path: Path, cache: Path) -> Iterator[Aws]:
    server.set_faults(Faults())
    yield Aws(server, tmp_path, cache)
    server.set_faults(Faults())


FOUR = {"matrix": "{seed: [0, 1, 2, 3]}"}
PAIRS = "runs_per_job: 2"
PRICE = Prices.shipped({}).price(TYPE) or 0.0


def rundirs(command: Command) -> list[RunDir]:
    return [RunDir(each) for each in sorted(command.home.glob("results/*/runs/*"))]


def members(command: Command, name: str) -> list[str]:
    """The ids of the runs that share a job, in their order."""
    for each in command.home.glob("results/*/runs/*/attempts/*/training_job.json"):
        record = json.loads(each.read_text())
        if record["request"]["TrainingJobName"] == name:
            return [run_id for run_id, _ in record["members"]]
    raise AssertionError(f"nobody knows {name}")


def seconds_billed(aws: Aws, command: Command) -> tuple[float, float]:
    """What SageMaker tells of all jobs together, and what the bills of all runs come to."""
    told = sum(each.get("BillableTimeInSeconds", 0) for each in described(aws))
    bills = [bill.billed_seconds for each in rundirs(command) for bill in read_bills(each)]
    assert None not in bills
    return told, math.fsum(each for each in bills if each is not None)


def described(aws: Aws) -> list[dict[str, Any]]:
    import boto3  # noqa: TID251 - as a user of AWS looks

    variables = aws.server.environment()
    client = boto3.client(
        "sagemaker",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    return [client.describe_training_job(TrainingJobName=each["name"]) for each in aws.jobs()]


@pytest.mark.nightly
def test_runs_that_share_jobs_have_the_bits_of_runs_alone_and_their_bills_are_the_jobs(aws: Aws) -> None:
    command = aws.command(**FOUR, aws=PAIRS)
    assert "4 of 4 runs done" in command("run", "-y")
    assert [each["status"] for each in aws.jobs()] == ["Completed"] * 2
    shared = [members(command, each["name"]) for each in aws.jobs()]
    assert [len(each) for each in shared] == [2, 2]
    assert len({run_id for each in shared for run_id in each}) == 4
    board = aws.leaderboard(command)
    assert quality(board) == aws.undisturbed(**FOUR)
    assert len(mlflow_runs(command)) == 4
    told, paid = seconds_billed(aws, command)
    assert paid == told > 0
    assert board["cost"]["usd"] == pytest.approx(told * PRICE / 3600)
    for each in rundirs(command):
        log = each.log_path(1).read_text()
        assert "epoch 3" in log
        assert "== run" not in log, "its own lines, and not its neighbour's"
    assert not list(command.home.glob("results/*/packs/*"))
    assert "0 to run" in command("run", "-y")


def test_whatever_becomes_of_a_run_its_neighbours_in_the_job_do_not_notice(aws: Aws, tmp_path: Path) -> None:
    """The first process is killed in its second epoch, and two of the others compute nothing but infinities."""
    variables = f"BENCHMARK_CHECKPOINT_SHARE: '0', BENCHMARK_FAILPOINT: 'job.epoch@2:{tmp_path / 'reached'}'"
    fatal = f"{{Environment: {{{variables}}}}}"
    command = aws.command(
        matrix="{seed: [0, 1]}\ninclude: [{lr: 1.0e+20}]",
        aws=f"runs_per_job: 4, extra: {fatal}",
        more="retries: 1",
        epochs=40,
    )
    output = command("run", "-y", code=1)
    assert "2 of 4 runs done" in output
    first, second = (members(command, each["name"]) for each in aws.jobs())
    assert len(first) == 4
    assert second == first[:1], "it was killed, and went on in another job"
    assert [each["status"] for each in aws.jobs()] == ["Completed"] * 2
    failures = [found.kind for each in rundirs(command) if (found := each.read_failure())]
    assert failures == ["diverged"] * 2
    again = RunDir(rundirs(command)[0].path.parent / second[0])
    assert "going on after epoch 1" in again.log_path(2).read_text()
    board = aws.leaderboard(command)
    assert quality(board) == aws.undisturbed(matrix="{seed: [0, 1]}", epochs=40)
    told, paid = seconds_billed(aws, command)
    assert paid == told


@pytest.mark.nightly
def test_nobody_watches_and_the_instance_is_lost_and_the_job_goes_on_with_the_run_that_was_cut_off(
    aws: Aws, tmp_path: Path
) -> None:
    command = aws.command(matrix="{seed: [0, 1]}", epochs=40, aws=f"{PAIRS}, spot: true")
    command.environment["BENCHMARK_FAILPOINT"] = f"aws.finished:{tmp_path / 'reached'}"
    process = command.start("run", "-y")
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL
    assert results(command) == 1
    (job,) = aws.jobs()
    done, cut_off = members(command, job["name"])
    epochs = next(Path(job["directory"]).glob("attempt-1/*/ml/checkpoints")) / cut_off / "events.jsonl"
    wait_for(lambda: epochs.exists() and len(epochs.read_text().splitlines()) >= 2)
    aws.server.set_faults(Faults(interrupt=(Interrupt(after=0.0),)))
    output = command("run", "-y")
    assert "2 of 2 runs done" in output
    (job,) = aws.jobs()
    assert (job["status"], job["attempts"]) == ("Completed", 2)
    logs = {each.path.name: each.log_path(1).read_text() for each in rundirs(command)}
    assert "going on" not in logs[done]
    assert "going on after epoch" in logs[cut_off]
    assert quality(aws.leaderboard(command)) == aws.undisturbed(matrix="{seed: [0, 1]}", epochs=40)
    told, paid = seconds_billed(aws, command)
    assert paid == told


@pytest.mark.nightly
@pytest.mark.parametrize(
    "point",
    ["aws.uploaded", "pack.recording", "aws.recorded", "aws.created", "aws.collected", "aws.finished", "aws.ended",
         "pack.billed", "aws.finished@2", "sweep.recorded"],
)  # fmt: skip
def test_whoever_is_killed_there_is_followed_by_one_who_goes_on_with_all_runs_of_the_job(
    aws: Aws, point: str, tmp_path: Path
) -> None:
    command = aws.command(matrix="{seed: [0, 1]}", aws=PAIRS)
    command.environment["BENCHMARK_FAILPOINT"] = f"{point}:{tmp_path / 'reached'}"
    process = command.start("run", "-y")
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL
    assert "2 of 2 runs done" in command("run", "-y")
    (job,) = aws.jobs()
    assert job["status"] == "Completed"
    assert len(members(command, job["name"])) == 2
    board = aws.leaderboard(command)
    assert quality(board) == {name: aws.undisturbed(**FOUR)[name] for name in quality(board)}
    assert len(mlflow_runs(command)) == 2
    told, paid = seconds_billed(aws, command)
    assert paid == told
    assert board["cost"]["usd"] == pytest.approx(told * PRICE / 3600)


def test_whoever_comes_after_us_knows_whose_turn_it_was_in_a_job_that_died(aws: Aws, tmp_path: Path) -> None:
    """The plan of now has the runs in another order than the job has."""
    command = aws.command(matrix="{lr: [0.01, 0.02, 0.03]}", epochs=60, aws="runs_per_job: 3", more="retries: 0")
    command.environment["BENCHMARK_FAILPOINT"] = f"aws.finished:{tmp_path / 'reached'}"
    process = command.start("run", "-y")
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL
    (job,) = aws.jobs()
    _, second, third = members(command, job["name"])
    epochs = next(Path(job["directory"]).glob("attempt-1/*/ml/checkpoints")) / second / "events.jsonl"
    wait_for(lambda: epochs.exists() and len(epochs.read_text().splitlines()) >= 2)
    os.kill(job["pids"]["algo-1"], signal.SIGKILL)
    place = command.home / "experiments.yaml"
    place.write_text(place.read_text().replace("[0.01, 0.02, 0.03]", "[0.03, 0.02, 0.01]"))
    assert "2 of 3 runs done" in command("run", "-y", code=1)
    kept = RunDir(rundirs(command)[0].path.parent / third)
    assert kept.read_result() is not None, "its turn had not come"
    failure = RunDir(kept.path.parent / second).read_failure()
    assert failure is not None
    assert failure.kind == "killed"


@pytest.mark.nightly
def test_stopping_one_run_of_a_job_costs_the_others_nothing_but_another_job(aws: Aws) -> None:
    command = aws.command(matrix="{seed: [0, 1, 2]}", epochs=150, aws="runs_per_job: 3")
    process = command.start("run", "-y")
    wait_for(lambda: results(command) == 1 and sum(len(each.read_events()) >= 2 for each in rundirs(command)) == 2)
    done, under_way, last = members(command, aws.jobs()[0]["name"])
    RunDir(rundirs(command)[0].path.parent / last).ask_to_stop()  # as `stop` does
    output = end_of(process)
    assert "2 of 3 runs done" in output
    assert "stopped" in output
    first, second = aws.jobs()
    assert (first["status"], second["status"]) == ("Stopped", "Completed")
    assert members(command, second["name"]) == [under_way]
    kept, going_on, stopped = (RunDir(rundirs(command)[0].path.parent / each) for each in (done, under_way, last))
    assert "going on after epoch" in going_on.log_path(2).read_text()
    assert kept.last_attempt == 1
    failure = stopped.read_failure()
    assert failure is not None
    assert failure.kind == "stopped"
    told, paid = seconds_billed(aws, command)
    assert paid == told


@pytest.mark.nightly
def test_a_run_over_its_time_is_stopped_and_the_next_one_has_all_of_its_own(aws: Aws) -> None:
    long = "overrides: [{when: {seed: 0}, set: {epochs: 5000}}]"
    command = aws.command(matrix=f"{{seed: [0, 1]}}\n{long}", aws=PAIRS, more="time_limit: 20, retries: 0")
    output = command("run", "-y", code=1)
    assert "1 of 2 runs done" in output
    assert "stopped after 20 seconds (launch: time_limit)" in output
    assert [each["status"] for each in aws.jobs()] == ["Completed"]
    (failure,) = [found for each in rundirs(command) if (found := each.read_failure())]
    assert failure.kind == "timeout"
    found = quality(aws.leaderboard(command))
    assert found
    assert found == {name: aws.undisturbed(**FOUR)[name] for name in found}


@pytest.mark.nightly
def test_auto_packs_by_the_seconds_that_a_plan_has_measured(aws: Aws) -> None:
    command = aws.command(**FOUR, aws="runs_per_job: auto")
    command("plan")
    assert "not known yet" not in command("run", "-y")
    assert [len(members(command, each["name"])) for each in aws.jobs()] == [2, 2], "two jobs at a time, both full"
    assert quality(aws.leaderboard(command)) == aws.undisturbed(**FOUR)


@pytest.mark.nightly
def test_twelve_runs_in_shared_jobs_and_every_fault_at_once_lose_nothing_and_start_nothing_twice(aws: Aws) -> None:
    matrix = "{lr: [1e-3, 3e-3], seed: [0, 1, 2, 3, 4, 5]}"
    command = aws.command(matrix=matrix, epochs=20, aws="runs_per_job: 3, spot: true")
    aws.server.set_faults(
        Faults(
            errors=(Error("CreateTrainingJob", nth=2), Error("PutObject", "InternalError", nth=3),
                    Error("DescribeTrainingJob", nth=4, times=2), Error("GetObject", "ConnectionReset", nth=9)),
            lost=(Lost("CreateTrainingJob", nth=1),),
            capacity_jobs=(3,),
            interrupt=(Interrupt(f"{aws.name}-*", after=6.0),),
            quota={TYPE: 2},
        )
    )  # fmt: skip
    first = command.start("run", "-y")
    wait_for(lambda: results(command) >= 2, 300)
    first.kill()
    first.communicate()
    output = end_of(command.start("run", "-y"))
    assert "12 of 12 runs done" in output
    jobs = [each for each in aws.jobs() if each["status"] == "Completed"]
    shared = [run_id for each in jobs for run_id in members(command, each["name"])]
    assert len(shared) == len(set(shared)) == 12, "no run was in two jobs that ran"
    assert quality(aws.leaderboard(command)) == aws.undisturbed(matrix=matrix, epochs=20)
    assert len(mlflow_runs(command)) == 12
    told, paid = seconds_billed(aws, command)
    assert paid == told


@pytest.mark.nightly
def test_a_sweep_that_is_stopped_goes_on_from_the_checkpoints_of_the_shared_job(aws: Aws) -> None:
    command = aws.command(matrix="{seed: [0, 1]}", epochs=150, aws=PAIRS)
    process = command.start("run", "-y", "--on-interrupt", "stop")
    wait_for(lambda: any(len(each.read_events()) >= 3 for each in rundirs(command)))
    process.send_signal(signal.SIGINT)
    end_of(process, 120)
    assert process.returncode == 130
    assert not [each for each in rundirs(command) if each.read_failure()]
    assert "2 of 2 runs done" in command("run", "-y")
    assert sorted(each["status"] for each in aws.jobs()) == ["Completed", "Stopped"]
    assert any("going on after epoch" in each.log_path(2).read_text() for each in rundirs(command))
    told, paid = seconds_billed(aws, command)
    assert paid == told
