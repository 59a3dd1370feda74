"""The request for a training job: every setting that reaches it, against the service's own model and golden files.

REGENERATE_GOLDEN=1 writes ``golden/training_job.json`` anew: the plain request, and of each other one where it differs.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmark.aws_settings import AwsSettings
from benchmark.catalogue import Names
from benchmark.config import ConfigError, parse
from benchmark.records import Event
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from launch import SETTINGS
from launch.aws import role_arn
from launch.training_job import (
    CONSOLE,
    HOME,
    OWNER_TAG,
    RUN_TAG,
    Bucket,
    Inputs,
    Owner,
    Site,
    environment,
    merged,
    request,
)
from tests.aws_model import problems

GOLDEN = Path(__file__).parent / "golden" / "training_job.json"
ACCOUNT, REGION = "123456789012", "eu-west-1"
RUN = Run(DataSpec("digits"), "lenet5", data_digest="d" * 64, image_size=8, channels=1)
OWNER = Owner("Кот #1 and the photos of a long summer", "0123456789abcdef" * 2)
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b"
VPC = {"subnets": ["subnet-0a", "subnet-1b"], "security_groups": ["sg-0a"]}
Changes = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Case:
    """What a user sets: in ``aws``, in ``launch``, and for the run."""

    aws: Changes = dataclasses.field(default_factory=dict)
    launch: Changes = dataclasses.field(default_factory=dict)
    run: Changes = dataclasses.field(default_factory=dict)

    @property
    def settings(self) -> AwsSettings:
        return AwsSettings(**{"role": "Trainer", "bucket": "my-bucket", **self.aws})

    def request(self, owner: Owner = OWNER, attempt: int = 2, runs: int | None = None) -> dict[str, Any]:
        aws, run, bucket = self.settings, dataclasses.replace(RUN, **self.run), Bucket.parse(str(self.settings.bucket))
        given = {"image": f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/torch:1", **self.launch}
        isolated = given.pop("network_isolation", False)
        site = Site(bucket, role_arn(aws, ACCOUNT), settings=aws, isolated=isolated, **given)
        home = owner.home(run)
        inputs = Inputs(("code", "c.tar.gz"), ("data", "d-1"), (*home, "config"), owner.checkpoints(run, 1))
        return request(run, owner, attempt, site, inputs, environment(run, site, "train,profile"), runs)


CASES = {
    "plain": Case(),
    "role by its arn": Case({"role": f"arn:aws-cn:iam::{ACCOUNT}:role/service/Trainer"}),
    "bucket with a prefix": Case({"bucket": "s3://my-bucket/teams/vision/"}),
    "instance type": Case({"instance_type": "ml.c5.2xlarge"}),
    "instance type of the run": Case({"instance_type": "ml.c5.2xlarge"}, run={"instance_type": "ml.g5.xlarge"}),
    "threads of the run": Case(run={"threads": 4}),
    "image": Case(launch={"image": "registry/mine@sha256:" + "a" * 64}),
    "hosts": Case({"encrypt_traffic": True}, {"hosts": 3}),
    "volume": Case({"volume_gib": 500}),
    "key": Case({"kms_key": KEY}),
    "vpc": Case(VPC),
    "isolation": Case(launch={"network_isolation": True}),
    "encrypted traffic": Case({"encrypt_traffic": True}),
    "tags": Case({"tags": {"team": "зрение", "cost centre": "a=1/b", OWNER_TAG: "forged"}}),
    "time limit": Case(launch={"time_limit": 90.4}),
    "shortest time limit": Case(launch={"time_limit": 0.2}),
    "spot": Case({"spot": True}),
    "spot with a time limit": Case({"spot": True}, {"time_limit": 600.0}),
    "spot with a longest wait": Case({"spot": True, "max_wait": 7200.0}, {"time_limit": 600.0}),
    "spot with a wait below its time": Case({"spot": True, "max_wait": 60.0}, {"time_limit": 600.0}),
    "longest wait without spot": Case({"max_wait": 60.0}),
    "warm": Case({"keep_alive": 1800}),
    "input as needed": Case({"input_mode": "FastFile"}),
    "no metrics in the console": Case({"console_metrics": False}),
    "extra": Case(
        {
            "extra": {
                "RetryStrategy": {"MaximumRetryAttempts": 3},
                "ResourceConfig": {"VolumeSizeInGB": 99},
                "AlgorithmSpecification": {
                    "TrainingImageConfig": {"TrainingRepositoryAccessMode": "Vpc"},
                    "MetricDefinitions": [{"Name": "cost", "Regex": "cost=(.*)"}],
                },
                "Environment": {"MINE": "1"},
            }
        }
    ),
}
ELSEWHERE = {
    "region", "profile", "concurrency", "runs_per_job", "poll_seconds", "startup_seconds", "prices", "budget_usd",
}  # fmt: skip
"""Settings of which a request says nothing."""


def flat(document: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document by its place."""
    if not isinstance(document, dict | list):
        yield place, document
        return
    for name, each in document.items() if isinstance(document, dict) else enumerate(document):
        yield from flat(each, f"{place}.{name}".lstrip("."))


def differences(document: Any, plain: Any) -> dict[str, Any]:
    """Place -> value, of what differs from the plain request; ``None`` of what is not there any more."""
    here, there = dict(flat(document)), dict(flat(plain))
    changed = {place: value for place, value in here.items() if there.get(place, ...) != value}
    return dict(sorted({**changed, **dict.fromkeys(set(there) - set(here))}.items()))


def golden() -> dict[str, Any]:
    plain = CASES["plain"].request()
    others = {name: differences(case.request(), plain) for name, case in CASES.items() if name != "plain"}
    return {"plain": plain, **others}


def test_requests_are_the_golden_ones() -> None:
    if os.environ.get("REGENERATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(golden(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    known = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert set(known) == set(CASES)
    for name, each in golden().items():
        assert each == known[name], name


@pytest.mark.parametrize("name", CASES)
def test_the_service_takes_every_request(name: str) -> None:
    assert problems(CASES[name].request()) == []


def test_every_setting_reaches_a_request_or_is_none_of_its_business() -> None:
    tried = {key for case in CASES.values() for key in case.aws} | {"role", "bucket"}
    assert tried == {each.name for each in dataclasses.fields(AwsSettings)} - ELSEWHERE
    launch = {key for case in CASES.values() for key in case.launch}
    assert launch | {"aws", "deep_learning_image"} == set(SETTINGS["aws"])
    changing = {name: case for name, case in CASES.items() if name not in ("plain", "longest wait without spot")}
    assert all(differences(case.request(), CASES["plain"].request()) for case in changing.values())


@pytest.mark.parametrize("key", sorted(ELSEWHERE))
def test_what_is_none_of_its_business_changes_no_request(key: str) -> None:
    given = {"region": "us-east-1", "profile": "me", "prices": {"ml.m5.xlarge": 9.0}}
    assert Case({key: given.get(key, 7)}).request() == CASES["plain"].request()


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("TrainingJobName", "two--", "does not fit"),
        ("TrainingJobName", "a" * 64, "64 is more than 63"),
        ("RoleArn", "Trainer", "valid min length: 20"),
        ("ResourceConfig", {"InstanceType": "ml.none", "InstanceCount": 1, "VolumeSizeInGB": 1}, "is no choice"),
        ("StoppingCondition", {"MaxRuntimeInSeconds": 0}, "valid min value: 1"),
        ("StoppingCondition", {"MaxPendingTimeInSeconds": 2419201}, "2419201 is more than 2419200"),
        ("Environment", {"NOT-A-NAME": "1"}, "does not fit"),
        ("Environment", {"LONG": "x" * 513}, "513 is more than 512"),
        ("Tags", [{"Key": "semicolon;", "Value": ""}], "does not fit"),
        ("Tags", [{"Key": "a", "Value": ""}] * 51, "51 is more than 50"),
        ("InputDataConfig", [], "valid min length: 1"),
        ("TrainingJobNam", "x", "Unknown parameter"),
        ("EnableNetworkIsolation", "yes", "Invalid type"),
    ],
)
def test_a_request_that_the_service_would_refuse_is_told(place: str, value: Any, words: str) -> None:
    found = problems({**CASES["plain"].request(), place: value})
    assert found
    assert words in "\n".join(found)


def test_letters_of_any_script_may_stand_in_a_tag_and_no_other_signs() -> None:
    assert problems(Case({"tags": {"город": "Zürich 東京 1"}}).request()) == []
    assert problems(Case({"tags": {"a": "b&c"}}).request())


def test_our_own_tags_cannot_be_forged() -> None:
    tags = CASES["tags"].request()["Tags"]
    assert {"Key": OWNER_TAG, "Value": OWNER.uuid} in tags
    assert {"Key": RUN_TAG, "Value": RUN.run_id} in tags
    assert len({each["Key"] for each in tags}) == len(tags) == 4


def test_a_directory_in_s3_is_named_with_its_slash_so_that_its_neighbours_stay_away() -> None:
    """A prefix is no directory: ``data/d-1`` would bring ``data/d-1.json``, too."""
    channels = CASES["plain"].request()["InputDataConfig"]
    uris = {each["ChannelName"]: each["DataSource"]["S3DataSource"]["S3Uri"] for each in channels}
    assert uris["data"] == "s3://my-bucket/torch-image-benchmark/data/d-1/"
    assert uris["config"].endswith("/config/")
    assert uris["code"].endswith("/code/c.tar.gz"), "one object"


def test_a_role_is_of_the_accounts_own_partition() -> None:
    assert role_arn(AwsSettings(role="Trainer"), ACCOUNT, "aws-cn") == f"arn:aws-cn:iam::{ACCOUNT}:role/Trainer"
    assert role_arn(AwsSettings(role="arn:x"), ACCOUNT, "aws-cn") == "arn:x"


@pytest.mark.parametrize(
    ("text", "name", "prefix"),
    [
        ("my-bucket", "my-bucket", "torch-image-benchmark"),
        ("s3://my-bucket", "my-bucket", "torch-image-benchmark"),
        ("s3://my-bucket/", "my-bucket", "torch-image-benchmark"),
        ("s3://my-bucket/a/b/", "my-bucket", "a/b"),
        ("my-bucket/a", "my-bucket", "a"),
    ],
)
def test_a_bucket_may_have_a_prefix(text: str, name: str, prefix: str) -> None:
    assert Bucket.parse(text) == Bucket(name, prefix)
    assert Bucket.parse(text).uri("x", "y") == f"s3://{name}/{prefix}/x/y"


hexadecimal = st.text("0123456789abcdef", min_size=32, max_size=32)
names = st.from_regex(re.compile(r"[a-z0-9][a-z0-9._-]{0,62}"), fullmatch=True) | st.text()
attempts = st.tuples(st.integers(0, 2**32 - 1), hexadecimal, st.integers(1, 10**9))


@given(names, attempts)
@example("", (0, "f" * 32, 1))
@example("-._-", (0, "f" * 32, 1))
@example("a" * 19 + "-b", (0, "f" * 32, 1))
def test_any_attempt_at_any_run_of_any_experiment_has_a_name_that_the_service_takes(
    experiment: str, found: tuple[int, str, int]
) -> None:
    seed, uuid, attempt = found
    run, owner = dataclasses.replace(RUN, seed=seed), Owner(experiment, uuid)
    assert re.fullmatch(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}", owner.job_name(run, attempt))
    assert problems(Case(run={"seed": seed}).request(owner, attempt)) == []


@given(names, attempts, attempts)
def test_names_differ_where_run_owner_or_attempt_do(
    experiment: str, first: tuple[int, str, int], second: tuple[int, str, int]
) -> None:
    def told(seed: int, uuid: str, attempt: int) -> tuple[str, tuple[Any, ...]]:
        run = dataclasses.replace(RUN, seed=seed)
        return Owner(experiment, uuid).job_name(run, attempt), (run.run_id, uuid[:6], attempt)

    (one, facts), (other, more) = told(*first), told(*second)
    assert (one == other) == (facts == more)
    assert told(*first)[0] == one, "the same, whoever asks"


def test_checkpoints_are_kept_by_run_and_series_and_outputs_by_run() -> None:
    first, later = CASES["plain"].request(attempt=2), CASES["plain"].request(attempt=3)
    assert first["CheckpointConfig"] == later["CheckpointConfig"]
    assert first["TrainingJobName"] != later["TrainingJobName"]
    other = Case(run={"seed": 1}).request()
    assert other["CheckpointConfig"] != first["CheckpointConfig"]
    assert other["OutputDataConfig"] != first["OutputDataConfig"]
    assert OWNER.checkpoints(RUN, 1) != OWNER.checkpoints(RUN, 2)


def test_the_program_is_told_places_that_are_below_sagemakers() -> None:
    told = CASES["plain"].request()["Environment"]
    places = {name: value for name, value in told.items() if name.startswith("SM_")}
    assert len(places) == 6
    assert all(value.startswith(f"{HOME}/") for value in places.values())
    assert places["SM_CHECKPOINT_DIR"] == CASES["plain"].request()["CheckpointConfig"]["LocalPath"]


@pytest.mark.parametrize("name", ["TrainingJobName", "Tags", "CheckpointConfig"])
def test_what_a_job_is_found_again_by_cannot_be_changed(name: str) -> None:
    text = f"name: a\nmatrix: {{model: lenet5}}\naws: {{role: r, extra: {{{name}: x}}}}\n"
    with pytest.raises(ConfigError, match=rf"3:\d+: extra: {name} is ours"):
        parse(text, Path("experiments.yaml"), (), Names(frozenset({"lenet5"}), frozenset({"adamw"})))


def test_nothing_of_this_machine_is_told_to_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    before = CASES["plain"].request()
    for name in ("AWS_SECRET_ACCESS_KEY", "MLFLOW_TRACKING_PASSWORD", "BENCHMARK_TASKS", "HOME"):
        monkeypatch.setenv(name, "canary")
    assert CASES["plain"].request() == before


values = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
documents = st.recursive(
    st.dictionaries(st.sampled_from("abc"), values, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), values | inner, max_size=3),
    max_leaves=8,
)


@given(documents, documents)
def test_what_is_merged_says_what_extra_says_and_keeps_the_rest(document: Any, extra: Any) -> None:
    before = copy.deepcopy((document, extra))
    found = merged(document, extra)
    assert (document, extra) == before, "neither is changed"
    assert merged(found, extra) == found, "twice is once"
    assert merged(document, {}) == document
    assert merged({}, extra) == extra
    assert set(found) == {*document, *extra}
    for name, value in found.items():
        both = isinstance(document.get(name), dict) and isinstance(extra.get(name), dict)
        wanted = merged(document[name], extra[name]) if both else extra[name] if name in extra else document[name]
        assert value == wanted


@pytest.mark.parametrize("value", [1.5, 0.0, 1e-7, 123456.0, 0.98765])
def test_the_console_finds_in_the_log_what_the_job_prints(
    value: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmark.training.whole import EpochWriter

    metrics = {"train/loss": value, "val/accuracy": value / 2, "val/log_loss": value * 3, "cost/train_seconds": 9.0}
    EpochWriter(RunDir(tmp_path / "кот #1"))(Event(3, 30, 0.0, metrics))
    line = capsys.readouterr().out
    definitions = CASES["plain"].request()["AlgorithmSpecification"]["MetricDefinitions"]
    assert [each["Name"] for each in definitions] == list(CONSOLE)
    for each in definitions:
        found = re.findall(each["Regex"], line)
        assert [float(number) for number in found] == [pytest.approx(metrics[each["Name"]], rel=1e-3)], line
