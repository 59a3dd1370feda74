"""Runs that share training jobs, against a server that really runs the jobs: the same bits as alone, each with its own
end, whatever happens to its neighbours, and nothing lost, started or paid for twice."""

from __future__ import annotations

import json
import math
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.bill import read_bills
from benchmark.rundir import RunDir
from launch.rehearsal.client import Rehearsal
from launch.rehearsal.faults import Faults, Interrupt, Lost
from tests.night import by_day
from tests.test_aws import Aws, end_of, results, wait_for, wait_for_epochs
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
    told = sum(each["BillableTimeInSeconds"] for each in described(aws, command))
    bills = [bill.billed_seconds for each in rundirs(command) for bill in read_bills(each)]
    assert None not in bills
    return told, math.fsum(each for each in bills if each is not None)


def described(aws: Aws, command: Command) -> list[dict[str, Any]]:
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
    assert board["cost"]["billed_seconds"] == told if "billed_seconds" in board["cost"] else board["cost"]["usd"] > 0
    for each in rundirs(command):
        log = each.log_path(1).read_text()
        assert "epoch 3" in log
        assert "== run" not in log, "its own lines, and not its neighbour's"
    assert not list(command.home.glob("results/*/packs/*"))
    assert "0 to run" in command("run", "-y")
