"""What `doctor` finds in an account of AWS, and the remedy for each: against the rehearsal's server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark import config, doctor, doctor_aws
from benchmark.doctor import Finding
from launch import Unavailable, deep_learning
from launch.aws_clients import Clients
from launch.rehearsal.client import Rehearsal
from launch.rehearsal.faults import Error, Faults

ACCOUNT = "123456789012"
REGISTRY = f"{ACCOUNT}.dkr.ecr.us-east-1.amazonaws.com"
AWS = {"role": "rehearsal", "bucket": "rehearsal-data"}
IMAGE = {"image": f"{REGISTRY}/ours:1"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    with (
        Rehearsal(tmp_path_factory.mktemp("rehearsal"), executor="simulated") as server,
        pytest.MonkeyPatch.context() as m,
    ):
        settle(server, m)
        trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        clients = Clients()
        clients("iam").create_role(
            RoleName="other", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust})
        )
        clients("s3").create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        clients("ecr").create_repository(repositoryName="ours")
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": {}, "layers": []}
        clients("ecr").put_image(repositoryName="ours", imageManifest=json.dumps(manifest), imageTag="1")
        yield server


@pytest.fixture
def account(server: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> Rehearsal:
    settle(server, monkeypatch)
    server.set_faults(Faults(quota={"ml.m5.xlarge": 4, "ml.g5.xlarge": 1, "ml.p4d.24xlarge": 0}))
    return server


def settle(server: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "SAGEMAKER_ROLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)


def asked(directory: Path, aws: dict[str, Any] | None = None, launch: dict[str, Any] | None = None, **more: Any) -> Any:
    """The findings by name, of an experiment with these settings."""
    document = {
        "name": "tiny",
        "data": "digits",
        "matrix": {"model": "lenet5", "seed": [0, 1, 2], **more},
        "launch": {"mode": "aws", **IMAGE, **(launch or {})},
        "aws": {**AWS, **(aws or {})},
    }
    path = directory / "e.yaml"
    path.write_text(json.dumps(document))
    return {each.name: each for each in doctor_aws.findings(config.load(path))}


def test_an_account_that_has_everything_is_healthy(account: Rehearsal, tmp_path: Path) -> None:
    found = asked(tmp_path)
    assert {name: each.status for name, each in found.items()} == dict.fromkeys(found, "ok")
    assert [each.found for each in found.values()] == [
        f"account {ACCOUNT}, arn:aws:sts::{ACCOUNT}:user/moto",
        "us-east-1",
        f"arn:aws:iam::{ACCOUNT}:role/rehearsal, which SageMaker may assume",
        "s3://rehearsal-data/torch-image-benchmark in us-east-1",
        f"{REGISTRY}/ours:1 is there",
        "4",
        "$0.269 an hour (price of 2024-02-12, us-east-1)",
    ]


def test_nothing_is_made_and_nothing_downloaded(account: Rehearsal, tmp_path: Path) -> None:
    before = len(account.calls())
    asked(tmp_path)
    operations = [each["operation"] for each in account.calls()[before:]]
    assert operations == ["GetCallerIdentity", "GetRole", "HeadBucket", "DescribeImages", "ListServiceQuotas"]


def set_apart(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the seconds that torch takes."""
    monkeypatch.chdir(home)
    monkeypatch.setattr(doctor, "_torch", lambda: Finding("torch", "ok", "not looked at"))


@pytest.mark.parametrize("mode", ["fast_local", "local"])
def test_other_modes_do_not_ask_aws(
    account: Rehearsal, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_apart(tmp_path, monkeypatch)
    (tmp_path / "e.yaml").write_text(f"name: tiny\ndata: digits\nmatrix: {{model: lenet5}}\nlaunch: {{mode: {mode}}}\n")
    before = len(account.calls())
    found = doctor.examine(tmp_path / "e.yaml", tmp_path / "results").findings
    assert found[-1] == Finding("AWS", "ok", "for mode aws only")
    assert len(account.calls()) == before


def test_doctor_asks_for_an_experiment_of_mode_aws(
    account: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_apart(tmp_path, monkeypatch)
    asked(tmp_path)
    found = doctor.examine(tmp_path / "e.yaml", tmp_path / "results")
    named = {each.name: each for each in found.findings}
    assert named["AWS bucket"].status == "ok"
    assert "ours:1" not in named["Docker"].found, "an image in ECR need not be on this machine"
    assert found.healthy


def test_no_credentials_and_what_to_do(account: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    found = asked(tmp_path)
    assert list(found) == ["AWS credentials", "AWS price of ml.m5.xlarge"]
    assert found["AWS credentials"].status == "wrong"
    assert found["AWS credentials"].found == "no credentials of an AWS account"
    assert found["AWS credentials"].remedy.startswith("`aws sso login`")


def test_expired_credentials_and_what_to_do(account: Rehearsal, tmp_path: Path) -> None:
    account.set_faults(Faults(expired=True))
    found = asked(tmp_path)["AWS credentials"]
    assert found.status == "wrong"
    assert "The security token included in the request is expired" in found.found
    assert found.remedy.startswith("`aws sso login`")


def test_an_unknown_profile_and_what_to_do(account: Rehearsal, tmp_path: Path) -> None:
    found = asked(tmp_path, {"profile": "nobody"})["AWS credentials"]
    assert (found.status, found.remedy) == ("wrong", "`aws configure --profile NAME` makes one")
    assert "nobody" in found.found


def test_no_region_and_what_to_do(account: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    found = asked(tmp_path)["AWS region"]
    assert (found.status, found.found) == ("wrong", "no region")
    assert found.remedy == "write aws: {region: eu-west-1}, or set AWS_REGION"


def test_a_network_that_is_away_and_what_to_do(
    account: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    found = asked(tmp_path)["AWS credentials"]
    assert found.status == "wrong"
    assert "look at the network" in found.remedy


@pytest.mark.parametrize(
    ("role", "what", "remedy"),
    [
        (None, "no role for the training jobs", "write aws: {role: NAME}, or set SAGEMAKER_ROLE"),
        ("nobody", f"there is no role arn:aws:iam::{ACCOUNT}:role/nobody", "docs/sagemaker.md"),
        ("other", f"SageMaker may not assume arn:aws:iam::{ACCOUNT}:role/other", "--role-name other"),
        ("arn:aws:iam::999999999999:role/theirs", "is of another account", "your own account"),
    ],
)
def test_a_role_that_jobs_cannot_run_as(
    account: Rehearsal, tmp_path: Path, role: str | None, what: str, remedy: str
) -> None:
    found = asked(tmp_path, {"role": role})["AWS role"]
    assert found.status == "wrong"
    assert what in found.found
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("bucket", "what", "remedy"),
    [
        ("nowhere", "there is no bucket nowhere", "`aws s3 mb s3://nowhere --region us-east-1`"),
        ("s3://nowhere/below", "there is no bucket nowhere", "`aws s3 mb s3://nowhere --region us-east-1`"),
        (None, f"there is no bucket sagemaker-us-east-1-{ACCOUNT}", f"`aws s3 mb s3://sagemaker-us-east-1-{ACCOUNT} "),
        ("far", "far is in eu-west-1, the jobs in us-east-1", "aws: {region: eu-west-1}"),
    ],
)
def test_a_bucket_that_jobs_cannot_use(
    account: Rehearsal, tmp_path: Path, bucket: str | None, what: str, remedy: str
) -> None:
    found = asked(tmp_path, {"bucket": bucket})["AWS bucket"]
    assert (found.status, found.found) == ("wrong", what)
    assert remedy in found.remedy


def test_a_bucket_of_somebody_else_s(account: Rehearsal, tmp_path: Path) -> None:
    account.set_faults(Faults(errors=(Error("HeadBucket", "AccessDenied"),)))
    found = asked(tmp_path)["AWS bucket"]
    assert (found.status, found.found) == ("wrong", "you may not use rehearsal-data, or it is somebody else's")
    assert "orchestrator-policy.json" in found.remedy


@pytest.mark.parametrize(
    ("image", "what", "remedy"),
    [
        (f"{REGISTRY}/ours:2", "there is no", "build launch/Dockerfile"),
        (f"{REGISTRY}/theirs:1", "there is no", "build launch/Dockerfile"),
        (f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/ours:1", "is in eu-west-1", "push it to us-east-1"),
        ("torch-image-benchmark:0.1.0", "is no address in ECR", "push it to ECR"),
    ],
)
def test_an_image_that_jobs_cannot_pull(account: Rehearsal, tmp_path: Path, image: str, what: str, remedy: str) -> None:
    found = asked(tmp_path, launch={"image": image})["AWS image"]
    assert found.status == "wrong"
    assert what in found.found
    assert remedy in found.remedy


def test_images_that_are_not_looked_at(account: Rehearsal, tmp_path: Path) -> None:
    theirs = "999999999999.dkr.ecr.us-east-1.amazonaws.com/theirs:1"
    assert asked(tmp_path, launch={"image": theirs})["AWS image"].found.endswith("not looked at")
    extra = {"extra": {"AlgorithmSpecification": {"TrainingImage": "registry.example/x"}}}
    assert asked(tmp_path, extra, {"image": "x"})["AWS image"].status == "ok"


def test_amazon_s_image_is_named(account: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def image(version: str, instance_type: str, region: str | None = None) -> str:
        if version == "0.1":
            raise Unavailable("launch: deep_learning_image: there is none")
        return f"{version} {instance_type} {region}"

    monkeypatch.setattr(deep_learning, "image", image)
    found = asked(tmp_path, launch={"image": None})["AWS image"]
    assert found.found == f"{deep_learning.VERSION} ml.m5.xlarge us-east-1, AWS's Deep Learning Container"
    found = asked(tmp_path, launch={"image": None, "deep_learning_image": "0.1"})["AWS image"]
    assert (found.status, found.remedy[:20]) == ("wrong", "name another version")


def test_what_may_not_be_looked_at_is_in_nobody_s_way(account: Rehearsal, tmp_path: Path) -> None:
    denied = [Error("GetRole", "AccessDenied")]
    denied += [Error(name, "AccessDeniedException") for name in ("DescribeImages", "ListServiceQuotas")]
    account.set_faults(Faults(errors=tuple(denied)))
    found = asked(tmp_path)
    for name in ("AWS role", "AWS image", "AWS quota of ml.m5.xlarge for training job usage"):
        assert found[name].status == "ok"
        assert found[name].found.endswith(doctor_aws.HIDDEN)


def test_a_service_that_does_not_answer_is_told_once(account: Rehearsal, tmp_path: Path) -> None:
    account.set_faults(Faults(errors=(Error("GetRole", "ValidationError"),)))
    found = asked(tmp_path)["AWS role"]
    assert (found.status, found.remedy) == ("missing", "ask again later")


def test_quotas_of_every_type_of_instance(account: Rehearsal, tmp_path: Path) -> None:
    types = ["ml.m5.xlarge", "ml.g5.xlarge", "ml.p4d.24xlarge", "ml.c5.xlarge"]
    found = asked(tmp_path, instance_type=types)
    quotas = [found[f"AWS quota of {each} for training job usage"] for each in types]
    assert [each.status for each in quotas] == ["ok", "missing", "wrong", "ok"]
    assert quotas[1].found.startswith("1, fewer than the 3 of aws.concurrency")
    assert quotas[2].found == "0, and a job needs 1"
    assert quotas[3].found == "unknown: AWS does not list it"
    for each in quotas[1:3]:
        assert "request-service-quota-increase --service-code sagemaker --quota-code L-" in each.remedy
        assert "--desired-value 3 --region us-east-1" in each.remedy


def test_a_job_of_several_hosts_needs_a_quota_for_all(account: Rehearsal, tmp_path: Path) -> None:
    found = asked(tmp_path, {"instance_type": "ml.g5.xlarge"}, {"hosts": 2}, processes=[2])
    quota = found["AWS quota of ml.g5.xlarge for training job usage"]
    assert (quota.status, quota.found) == ("wrong", "1, and a job needs 2")


def test_spot_and_warm_pools_have_quotas_of_their_own(account: Rehearsal, tmp_path: Path) -> None:
    assert "AWS quota of ml.m5.xlarge for spot training job usage" in asked(tmp_path, {"spot": True})
    assert "AWS quota of ml.m5.xlarge for training warm pool usage" in asked(tmp_path, {"keep_alive": 60})


def test_a_price_that_is_not_known(account: Rehearsal, tmp_path: Path) -> None:
    kind = {"instance_type": "ml.g5.xlarge"}
    found = asked(tmp_path, kind)["AWS price of ml.g5.xlarge"]
    assert (found.status, found.remedy) == ("missing", "write aws: {prices: {ml.g5.xlarge: DOLLARS}}")
    assert asked(tmp_path, {**kind, "budget_usd": 5})["AWS price of ml.g5.xlarge"].status == "wrong"
    found = asked(tmp_path, {**kind, "prices": {"ml.g5.xlarge": 1.41}})["AWS price of ml.g5.xlarge"]
    assert (found.status, found.found) == ("ok", "$1.41 an hour (aws.prices)")
