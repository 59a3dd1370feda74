"""What is added to SageMaker's compose file, and what containers' ends mean, as plain data; real containers are in
test_containers.py."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest

from benchmark.records import Failure
from benchmark.rundir import RunDir
from launch import Unavailable, deep_learning, engine
from launch.container import Request, composed
from launch.containers import End
from launch.watch_container import Watch

REQUEST = Request(
    name="benchmark-0123456789ab-2",
    run="0123456789ab",
    image="image:1",
    hosts=2,
    instance_type="local_cpu",
    command="exec python3 launch/bootstrap.py",
    channels={"data": "/a: b/data", "checkpoints": "/c"},
    environment={"A": "1"},
    user="1000:1000",
    memory=2**30,
    isolated=True,
    grace=10.0,
    cores=(0, 3),
)
SDK = {
    "services": {
        host: {
            "image": "image:1",
            "volumes": [
                "/a: b/data:/opt/ml/input/data/data",
                "/c:/opt/ml/input/data/checkpoints:z",
                "/m:/opt/ml/model",
            ],
            "environment": ["A=1"],
            "networks": {"sagemaker-local": {"aliases": [host]}},
        }
        for host in ("algo-1", "algo-2")
    },
    "networks": {"sagemaker-local": {"name": "sagemaker-local"}},
}


def test_a_request_survives_its_file(tmp_path: Path) -> None:
    REQUEST.write(tmp_path)
    assert Request.read(tmp_path) == REQUEST


def test_each_container_has_its_own_name_owner_and_limits() -> None:
    first, second = composed(SDK, REQUEST)["services"].values()
    assert first["container_name"] == "benchmark-0123456789ab-2-algo-1"
    assert second["container_name"] == "benchmark-0123456789ab-2-algo-2"
    assert first["user"] == "1000:1000"
    assert first["mem_limit"] == first["memswap_limit"] == 2**30
    assert first["cpuset"] == "0,3"
    assert first["cap_drop"] == ["ALL"]
    assert first["security_opt"] == ["no-new-privileges:true"]
    assert first["networks"] == {"sagemaker-local": {"aliases": ["algo-1"]}}
    assert set(first["labels"].values()) == {"benchmark-0123456789ab-2", "0123456789ab"}


def test_only_outputs_and_checkpoints_can_be_written_and_paths_may_hold_colons() -> None:
    volumes = composed(SDK, REQUEST)["services"]["algo-1"]["volumes"]
    fixed = {each["source"]: each["read_only"] for each in volumes}
    assert fixed == {"/a: b/data": True, "/c": False, "/m": False}
    assert volumes[1]["target"] == "/opt/ml/input/data/checkpoints"
    assert volumes[1]["bind"] == {"selinux": "z"}


def test_a_network_is_the_attempts_own_and_closed_on_request() -> None:
    network = composed(SDK, REQUEST)["networks"]["sagemaker-local"]
    assert network["name"] == REQUEST.name
    assert network["internal"]
    assert not composed(SDK, dataclasses.replace(REQUEST, isolated=False))["networks"]["sagemaker-local"]["internal"]


def test_without_limits_none_are_written() -> None:
    service = composed(SDK, dataclasses.replace(REQUEST, memory=None, cores=()))["services"]["algo-1"]
    assert not {"mem_limit", "memswap_limit", "cpuset"} & set(service)


@pytest.mark.parametrize(
    ("image", "remedy"),
    [
        (engine.IMAGE, "docker build --tag"),
        ("763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.6", "get-login-password --region eu-west-1"),
        ("mine:1", "docker pull mine:1"),
    ],
)
def test_a_missing_image_has_the_remedy_of_its_kind(image: str, remedy: str) -> None:
    assert remedy in engine._remedy(image)


@pytest.mark.slow
def test_amazon_s_image_of_a_version_is_asked_of_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    found = deep_learning.image("2.6", "ml.m5.xlarge")
    assert found.startswith("763104351884.dkr.ecr.eu-west-1.amazonaws.com/pytorch-training:2.6-cpu-py3")
    with pytest.raises(Unavailable, match=r"Unsupported pytorch version: 9\.9"):
        deep_learning.image("9.9", "ml.m5.xlarge")


@pytest.mark.parametrize(
    ("ends", "asked", "kind"),
    [
        ({"algo-1": End(1, False), "algo-2": End(137, False)}, False, "killed"),
        ({"algo-1": End(1, False), "algo-2": End(137, True)}, False, "oom"),
        ({"algo-1": End(1, False), "algo-2": End(137, False)}, True, "stopped"),
        ({"algo-1": End(1, False), "algo-2": End(1, False)}, False, "stopped"),
    ],
    ids=["a host was killed", "for want of memory", "we asked", "somebody asked"],
)
def test_a_host_that_dies_is_the_reason_and_not_that_the_others_were_then_asked_to_stop(
    ends: dict[str, End | None], asked: bool, kind: str, tmp_path: Path
) -> None:
    rundir = RunDir(tmp_path)
    rundir.write_failure(Failure("stopped", "asked to stop by SIGTERM"))
    watch = Watch(REQUEST, rundir.attempt(1), lambda *_: None, io.BytesIO(), asked)
    failure = watch._own(ends) or watch._failure(ends, "")
    assert failure is not None
    assert failure.kind == kind
