"""The policies of docs/aws against what a sweep calls: enough, and no more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from launch.rehearsal.calls import ACCOUNT
from launch.rehearsal.client import Rehearsal
from launch.rehearsal.faults import Faults, Lost
from tests.iam_support import Need, Policy, needs

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "aws"
FILLED = {
    "ACCOUNT": ACCOUNT,
    "REGION": "us-east-1",
    "BUCKET": "rehearsal-data",
    "PREFIX": "torch-image-benchmark",
    "ROLE": "rehearsal",
}
YAML = f"""
name: permissions
data: {{source: synthetic, train_size: 120, test_size: 60}}
defaults: {{epochs: 1, batch_size: 32, threads: 1}}
matrix: {{model: lenet5, seed: [0, 1]}}
launch: {{mode: aws, image: "{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com/ours:1"}}
aws: {{bucket: rehearsal-data, role: rehearsal, poll_seconds: 0.5, concurrency: 2}}
"""
NOT_IN_THE_SWEEP = {
    "sagemaker:StopTrainingJob": "Ctrl-C and `stop`",
    "sagemaker:ListTrainingJobs": "more than eight jobs at a time",
    "s3:AbortMultipartUpload": "an upload of a large file that breaks off",
    "s3:DeleteObject": "checkpoints of a finished run, where its job lived long enough for one to be mirrored",
}
NOT_REHEARSED = {
    "s3:AbortMultipartUpload": "an upload of a large file that breaks off",
    "logs:DescribeLogStreams": "SageMaker's documentation names it for every job",
    "cloudwatch:PutMetricData": "SageMaker's console shows load and metrics of a job",
    "ecr:GetAuthorizationToken": "the image is pulled; in the rehearsal there is none",
    "ecr:BatchCheckLayerAvailability": "the same",
    "ecr:BatchGetImage": "the same",
    "ecr:GetDownloadUrlForLayer": "the same",
}


def policy(name: str) -> Policy:
    return Policy.read(PAGES / f"{name}.json", FILLED)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[Mapping[str, Any]]]:
    """Of a sweep of two runs, one of them adopted after its creation's answer was lost; of `logs` and `doctor`."""
    home = tmp_path_factory.mktemp("sweep")
    (home / "e.yaml").write_text(YAML)
    with Rehearsal(home / "server", Faults(lost=(Lost("CreateTrainingJob"),))) as server:
        mine = {"PYTHONPATH": str(ROOT), "TORCH_IMAGE_BENCHMARK_CACHE": str(home / "cache")}
        environment = {**os.environ, **server.environment(), **mine}
        environment.pop("AWS_PROFILE", None)

        def benchmark(*words: str) -> int:
            command = [sys.executable, "-m", "benchmark", *words]
            return subprocess.run(command, cwd=home, env=environment, check=False, timeout=600).returncode

        assert benchmark("run", "e.yaml", "-y") == 0
        run = next((home / "results" / "permissions" / "runs").iterdir())
        assert benchmark("logs", run.name, "e.yaml") == 0
        assert benchmark("doctor", "e.yaml") == 3, "there is no image"
        yield server.calls()


def needed(calls: Sequence[Mapping[str, Any]], by: str) -> list[Need]:
    return [need for call in calls if call["by"] == by for need in needs(call)]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("name", "by", "others"),
    [("orchestrator-policy", "caller", NOT_IN_THE_SWEEP), ("job-role-policy", "service", NOT_REHEARSED)],
)
def test_a_policy_allows_what_is_called_and_nothing_else(
    calls: Sequence[Mapping[str, Any]], name: str, by: str, others: Mapping[str, str]
) -> None:
    found, wanted = policy(name), needed(calls, by)
    assert [each for each in wanted if not found.allows(each)] == []
    assert found.actions == {each.action for each in wanted} | set(others)


def test_the_role_may_be_passed_to_sagemaker_only() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/rehearsal"
    found = policy("orchestrator-policy")
    assert found.allows(Need("iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"}))
    assert not found.allows(Need("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}))
    assert not found.allows(Need("iam:PassRole", role.replace("rehearsal", "admin"), {}))


@pytest.mark.parametrize(
    "need",
    [
        Need("s3:GetObject", "arn:aws:s3:::rehearsal-data/else/secret", {}),
        Need("s3:PutObject", "arn:aws:s3:::other/torch-image-benchmark/x", {}),
        Need("s3:DeleteObject", "arn:aws:s3:::rehearsal-data/torch-image-benchmark/data/x/images.npy", {}),
        Need("s3:DeleteBucket", "arn:aws:s3:::rehearsal-data", {}),
        Need("sagemaker:CreateEndpoint", "arn:aws:sagemaker:us-east-1:1:endpoint/x", {}),
        Need("sagemaker:DeleteModel", f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/x", {}),
        Need("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/rehearsal", {}),
    ],
    ids=lambda need: need.action,
)
def test_what_neither_policy_allows(need: Need) -> None:
    assert not policy("orchestrator-policy").allows(need)
    assert not policy("job-role-policy").allows(need)


def test_a_job_may_not_change_what_it_reads() -> None:
    role = policy("job-role-policy")
    for place in ("code/x.tar.gz", "data/x/images.npy"):
        assert role.allows(Need("s3:GetObject", f"arn:aws:s3:::rehearsal-data/torch-image-benchmark/{place}", {}))
        assert not role.allows(Need("s3:PutObject", f"arn:aws:s3:::rehearsal-data/torch-image-benchmark/{place}", {}))


def test_sagemaker_of_one_s_own_account_assumes_the_role() -> None:
    text = (PAGES / "job-role-trust.json").read_text()
    assert '"Service": "sagemaker.amazonaws.com"' in text
    assert '"aws:SourceAccount": "ACCOUNT"' in text
