"""The rehearsal of SageMaker: a real server, an unmodified boto3, jobs that really run."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from launch.rehearsal.faults import Error, Faults, Interrupt, Lost
from tests.rehearsal_support import CHECKPOINT, GENTLE, STUBBORN, Account, account, channel, secondaries, until

SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 60},
}
TWO_HOSTS = {"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(tmp_path_factory.mktemp("кот #1")) as found:
        yield found


@pytest.fixture
def aws(server: Account) -> Iterator[Account]:
    yield server
    server.rehearsal.set_faults(Faults())


def code(error: pytest.ExceptionInfo[ClientError]) -> str:
    return str(error.value.response["Error"]["Code"])


def test_a_job_trains_and_leaves_outputs_logs_statuses_and_a_bill(aws: Account) -> None:
    aws.put("data/train/a/1.txt", "one")
    program = """
import json, os
ml = "/opt/ml/"
print("first")
print(open(ml + "input/data/train/a/1.txt").read())
print(json.load(open(ml + "input/config/hyperparameters.json"))["lr"])
print(json.load(open(ml + "input/config/inputdataconfig.json"))["train"]["TrainingInputMode"])
print(json.load(open(ml + "input/config/resourceconfig.json"))["current_host"])
open(ml + "model/weights", "w").write("w")
open(ml + "output/data/res", "w").write("r")
print("last", end="")
"""
    request = aws.request(program, HyperParameters={"lr": "0.1"}, Tags=[{"Key": "run", "Value": "1"}])
    request["InputDataConfig"].append(channel("train", f"s3://{aws.rehearsal.bucket}/data/train"))
    arn = aws.sagemaker.create_training_job(**request)["TrainingJobArn"]
    job = aws.ended(request["TrainingJobName"])

    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Completed"
    assert secondaries(job) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert all(each["StartTime"] <= each["EndTime"] for each in job["SecondaryStatusTransitions"])
    assert job["CreationTime"] <= job["TrainingStartTime"] < job["TrainingEndTime"] <= job["LastModifiedTime"]
    assert job["BillableTimeInSeconds"] == job["TrainingTimeInSeconds"] >= 1
    assert all(job[key] == value for key, value in request.items() if key != "Tags")
    assert names(aws.get(job["ModelArtifacts"]["S3ModelArtifacts"])) == {"weights"}
    assert names(aws.get(f"s3://{aws.rehearsal.bucket}/out/{job['TrainingJobName']}/output/output.tar.gz")) == {"res"}
    [(stream, lines)] = aws.said(job["TrainingJobName"]).items()
    assert re.fullmatch(r"algo-1-\d{10}", stream)
    assert lines == ["first", "one", "0.1", "File", "algo-1", "last"]
    assert aws.sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "run", "Value": "1"}]


def test_a_job_sees_nothing_of_the_servers_environment(aws: Account) -> None:
    program = "import json, os\nprint(json.dumps(dict(os.environ)))\nprint(os.getpid())"
    job = aws.run(program, Environment={"MINE": "a 'quoted' \n word"})
    [(_, [environment, pid])] = aws.said(job["TrainingJobName"]).items()
    found = json.loads(environment)
    assert set(found) - {"PWD", "SHLVL", "_", "LC_CTYPE"} == {
        "PATH", "HOME", "LANG", "TRAINING_JOB_NAME", "TRAINING_JOB_ARN", "AWS_REGION", "MINE",
    }  # fmt: skip
    assert found["MINE"] == "a 'quoted' \n word"
    assert found["TRAINING_JOB_ARN"] == job["TrainingJobArn"]
    assert found["HOME"] != os.environ["HOME"]
    assert pid == "1"


def test_a_name_is_taken_for_ever(aws: Account) -> None:
    job = aws.run("")
    with pytest.raises(ClientError, match="already exists") as error:
        aws.start("", TrainingJobName=job["TrainingJobName"])
    assert code(error) == "ResourceInUse"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"TrainingJobName": "under_score"}, "'under_score' at 'trainingJobName' failed to satisfy constraint"),
        ({"RoleArn": "arn:aws:iam::123456789012:user/a-name"}, "regular expression pattern"),
        ({"RoleArn": "arn:aws:iam::123456789012:role/nobody"}, "Could not assume role"),
        ({"HyperParameters": {"long": "x" * 2501}}, "length less than or equal to 2500"),
        ({"ResourceConfig": {"InstanceType": "ml.fast", "InstanceCount": 1, "VolumeSizeInGB": 1}}, "enum value set"),
        ({"ResourceConfig": {"InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}}, "InstanceCount"),
        ({"AlgorithmSpecification": {"TrainingInputMode": "File"}}, "exactly one of TrainingImage and AlgorithmName"),
        ({"InputDataConfig": [channel("a", "s3://b/c"), channel("a", "s3://b/c")]}, "unique"),
        ({"EnableManagedSpotTraining": True}, "Invalid MaxWaitTimeInSeconds"),
        ({"StoppingCondition": SPOT["StoppingCondition"]}, "only supported for managed spot training"),
        ({**SPOT, "ResourceConfig": {**TWO_HOSTS["ResourceConfig"], "KeepAlivePeriodInSeconds": 60}}, "KeepAlive"),
    ],
)
def test_a_request_is_checked_as_the_service_does(aws: Account, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ClientError, match=re.escape(said)) as error:
        aws.start("", **changes)
    assert code(error) == "ValidationException"


def test_an_incomplete_request_is_refused_also_where_botocore_lets_it_through(aws: Account) -> None:
    request = aws.request("")
    del request["StoppingCondition"]
    with pytest.raises(ClientError, match="StoppingCondition is required"):
        aws.sagemaker.create_training_job(**request)


def test_an_unknown_job_is_not_found(aws: Account) -> None:
    for call in (aws.sagemaker.describe_training_job, aws.sagemaker.stop_training_job):
        with pytest.raises(ClientError, match="Requested resource not found") as error:
            call(TrainingJobName="nobody")
        assert code(error) == "ValidationException"


@pytest.mark.parametrize("uri", ["s3://{}/nothing/here", "s3://no-such-bucket/a"])
def test_a_channel_without_objects_fails_the_job(aws: Account, uri: str) -> None:
    job = aws.run("", InputDataConfig=[channel("train", uri.format(aws.rehearsal.bucket))])
    assert job["TrainingJobStatus"] == "Failed"
    assert "ClientError: Data download failed: No S3 objects found" in job["FailureReason"]


def test_a_prefix_is_a_folder_or_the_beginning_of_names(aws: Account) -> None:
    for key in ("p/ab/1", "p/abc", "p/other"):
        aws.put(key, key)
    program = "import os\nfor at, _, found in sorted(os.walk('/opt/ml/input/data')): print(at[18:], *sorted(found))"
    where = f"s3://{aws.rehearsal.bucket}/p"
    request = aws.request(program)
    more = [channel("folder", f"{where}/ab/"), channel("names", f"{where}/ab"), channel("one", f"{where}/other")]
    job = aws.run("", **{**request, "InputDataConfig": [*request["InputDataConfig"], *more]})
    [(_, lines)] = aws.said(job["TrainingJobName"]).items()
    assert {"/folder 1", "/names 1 abc", "/one other"} <= set(lines)


def test_hosts_share_the_objects_of_a_sharded_channel_and_a_streamed_one_is_read_only(aws: Account) -> None:
    for key in "abc":
        aws.put(f"shards/{key}", key)
    program = """
import os
print(*sorted(os.listdir("/opt/ml/input/data/parts")))
try:
    open("/opt/ml/input/data/parts/new", "w")
except OSError as error:
    print(error.strerror)
"""
    request = aws.request(program, **TWO_HOSTS)
    parts = channel("parts", f"s3://{aws.rehearsal.bucket}/shards", InputMode="FastFile")
    parts["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
    job = aws.run("", **{**request, "InputDataConfig": [*request["InputDataConfig"], parts]})
    said = sorted(aws.said(job["TrainingJobName"]).values())
    assert said == [["a c", "Read-only file system"], ["b", "Read-only file system"]]


def test_a_quota_limits_instances_at_a_time(aws: Account) -> None:
    aws.rehearsal.set_faults(Faults(quota={"ml.m5.large": 1}))
    name = aws.start(STUBBORN)
    with pytest.raises(ClientError, match="utilization of 1 Instances and a request delta of 1 Instances") as error:
        aws.start("")
    assert code(error) == "ResourceLimitExceeded"
    aws.sagemaker.stop_training_job(TrainingJobName=name)
    aws.ended(name)
    assert aws.run("")["TrainingJobStatus"] == "Completed"


def test_throttling_is_retried_by_the_client_and_nothing_happens_twice(aws: Account) -> None:
    aws.rehearsal.set_faults(Faults(errors=(Error("CreateTrainingJob", times=2),)))
    with pytest.raises(ClientError, match="Rate exceeded") as error:
        aws.impatient.create_training_job(**aws.request(""))
    assert code(error) == "ThrottlingException"
    assert aws.run("")["TrainingJobStatus"] == "Completed"
    errors = [each["error"] for each in aws.rehearsal.calls() if each["operation"] == "CreateTrainingJob"]
    assert errors[-3:] == ["ThrottlingException", "ThrottlingException", ""]


def test_a_share_of_calls_is_throttled_the_same_ones_for_the_same_seed(aws: Account) -> None:
    def pattern(seed: int) -> list[bool]:
        aws.rehearsal.set_faults(Faults(seed=seed, throttle=0.5))
        return [throttled() for _ in range(12)]

    def throttled() -> bool:
        try:
            aws.impatient.list_training_jobs(MaxResults=1)
        except ClientError:
            return True
        return False

    assert pattern(1) == pattern(1) != pattern(2)
    assert set(pattern(1)) == {True, False}


def test_expired_credentials_are_refused_by_every_service(aws: Account) -> None:
    aws.rehearsal.set_faults(Faults(expired=True))
    with pytest.raises(ClientError) as error:
        aws.sagemaker.list_training_jobs()
    assert code(error) == "ExpiredTokenException"
    with pytest.raises(ClientError) as error:
        aws.s3.list_buckets()
    assert code(error) == "ExpiredToken"


def test_errors_of_storage_hit_the_call_that_the_script_names(aws: Account) -> None:
    errors = (Error("PutObject", "InternalError", nth=2), Error("PutObject", "ConnectionReset", nth=3, times=0))
    aws.rehearsal.set_faults(Faults(errors=errors))
    aws.put("x/1", "")
    with pytest.raises(ClientError) as error:
        aws.put("x/2", "")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
        aws.put("x/3", "")
    assert aws.rehearsal.calls()[-1]["error"] == "ConnectionReset"
    assert aws.keys("x/") == {"1"}


def test_a_lost_reply_leaves_a_job_behind(aws: Account) -> None:
    aws.rehearsal.set_faults(Faults(lost=(Lost("CreateTrainingJob"), Lost("PutObject", nth=2))))
    request = aws.request("")
    with pytest.raises(ConnectionClosedError):
        aws.impatient.create_training_job(**request)
    assert aws.ended(request["TrainingJobName"])["TrainingJobStatus"] == "Completed"
    with pytest.raises(ConnectionClosedError):
        aws.put("lost/1", "")
    assert aws.keys("lost/") == {"1"}


def test_without_capacity_a_job_fails_before_it_trains(aws: Account) -> None:
    aws.rehearsal.set_faults(Faults(capacity_jobs=(2,)))
    good, bad = aws.run(""), aws.run("")
    assert good["TrainingJobStatus"] == "Completed"
    assert bad["FailureReason"].startswith("CapacityError: Unable to provision requested ML compute capacity.")
    assert "TrainingStartTime" not in bad
    assert secondaries(bad) == ["Starting", "Failed"]


def test_a_stopped_program_can_still_write(aws: Account) -> None:
    name = aws.start(GENTLE)
    aws.ready(name)
    aws.sagemaker.stop_training_job(TrainingJobName=name)
    assert aws.describe(name)["TrainingJobStatus"] in ("Stopping", "Stopped")
    job = aws.ended(name)
    assert job["TrainingJobStatus"] == job["SecondaryStatus"] == "Stopped"
    assert secondaries(job)[-2:] == ["Stopping", "Stopped"]
    assert names(aws.get(f"s3://{aws.rehearsal.bucket}/out/{name}/output/output.tar.gz")) == {"end"}
    with pytest.raises(ClientError, match="is in status Stopped"):
        aws.sagemaker.stop_training_job(TrainingJobName=name)


def test_a_program_that_does_not_end_is_killed_after_the_grace(aws: Account) -> None:
    name = aws.start(STUBBORN)
    aws.ready(name)
    aws.sagemaker.stop_training_job(TrainingJobName=name)
    job = aws.ended(name)
    *_, stopping, _ = job["SecondaryStatusTransitions"]
    assert job["TrainingJobStatus"] == "Stopped"
    assert 0.9 < (stopping["EndTime"] - stopping["StartTime"]).total_seconds() < 10


def test_the_longest_runtime_ends_a_job(aws: Account) -> None:
    job = aws.run(GENTLE, StoppingCondition={"MaxRuntimeInSeconds": 1})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")


def test_checkpoints_are_in_storage_while_the_job_runs_and_stay_when_they_are_deleted(aws: Account) -> None:
    program = """
import os, time
place = "/opt/ml/checkpoints/"
open(place + "first", "w").close()
time.sleep(0.5)
os.remove(place + "first")
os.mkdir(place + "later")
open(place + "later/second", "w").close()
time.sleep(60)
"""
    name = aws.start(program)
    until(lambda: aws.keys(f"{name}/checkpoints/") == {"first", "later/second"})
    assert aws.describe(name)["SecondaryStatus"] == "Training"
    aws.sagemaker.stop_training_job(TrainingJobName=name)


def test_a_file_that_is_written_all_the_time_disturbs_nothing(aws: Account) -> None:
    program = """
import time
with open("/opt/ml/checkpoints/busy", "w", buffering=1) as file:
    end = time.time() + 1
    while time.time() < end:
        print("x" * 1000, file=file)
        time.sleep(0.001)
"""
    job = aws.run(program)
    assert job["TrainingJobStatus"] == "Completed"
    assert aws.keys(f"{job['TrainingJobName']}/checkpoints/") == {"busy"}


def test_an_interrupted_spot_job_resumes_from_its_checkpoint_under_its_name(aws: Account) -> None:
    aws.rehearsal.set_faults(Faults(interrupt=(Interrupt("job-*"), Interrupt("job-*", after=0.5))))
    job = aws.run(CHECKPOINT + "open('/opt/ml/model/rest', 'w')\ntime.sleep(60 if len(before) < 2 else 1.5)", **SPOT)
    attempt = ["Starting", "Downloading", "Training"]
    assert secondaries(job) == [*attempt, "Interrupted", *attempt, "Interrupted", *attempt, "Uploading", "Completed"]
    lines = aws.said(job["TrainingJobName"])
    assert sorted(lines.values()) == [["found ''"], ["found 'x'"], ["found 'xx'"]]
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]


def test_a_spot_job_waits_no_longer_than_it_may(aws: Account) -> None:
    aws.rehearsal.set_faults(Faults(spot=1.0, interrupt=(Interrupt("*", after=0.0, wait=60),)))
    limits = {"MaxRuntimeInSeconds": 2, "MaxWaitTimeInSeconds": 2}
    job = aws.run(GENTLE, **{**SPOT, "StoppingCondition": limits})
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded")


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("open('/opt/ml/output/failure', 'w').write('no apples')\nraise SystemExit(3)", "no apples, exit code: 3"),
        ("raise SystemExit(1)", ", exit code: 1"),
    ],
)
def test_a_failed_job_tells_what_its_program_wrote(aws: Account, program: str, reason: str) -> None:
    before = "open('/opt/ml/output/data/trace', 'w').close()\nopen('/opt/ml/model/half', 'w').close()\n"
    job = aws.run(before + program)
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"] == f"AlgorithmError: {reason}"
    assert aws.keys(f"out/{job['TrainingJobName']}/") == {"output/output.tar.gz"}


def test_a_program_that_is_killed_from_outside_has_the_exit_code_of_a_container(aws: Account) -> None:
    name = aws.start(STUBBORN)
    aws.ready(name)
    [pid] = next(each["pids"] for each in aws.rehearsal.jobs() if each["name"] == name).values()
    os.kill(pid, signal.SIGKILL)
    assert aws.ended(name)["FailureReason"] == "AlgorithmError: , exit code: 137"


def test_two_hosts_talk_by_name_and_jobs_do_not_share_ports(aws: Account) -> None:
    program = """
import json, socket, time
me = json.load(open("/opt/ml/input/config/resourceconfig.json"))
assert me["hosts"] == ["algo-1", "algo-2"] and me["current_host"] == socket.gethostname()
open("/opt/ml/model/" + me["current_host"], "w").close()
if me["current_host"] == "algo-1":
    with socket.create_server(("algo-1", 29400)) as listening:
        print(listening.accept()[0].recv(100).decode())
        time.sleep(0.5)
else:
    for _ in range(200):
        try:
            with socket.create_connection(("algo-1", 29400)) as other:
                other.send(b"hello from algo-2")
            break
        except OSError:
            time.sleep(0.05)
"""
    for job in [aws.ended(name) for name in [aws.start(program, **TWO_HOSTS) for _ in range(2)]]:
        assert job["TrainingJobStatus"] == "Completed", job
        assert ["hello from algo-2"] in aws.said(job["TrainingJobName"]).values()
        assert names(aws.get(job["ModelArtifacts"]["S3ModelArtifacts"])) == {"algo-1", "algo-2"}


def test_a_host_that_fails_ends_the_others(aws: Account) -> None:
    program = "import socket\nif socket.gethostname() == 'algo-2': raise SystemExit(5)\n" + GENTLE
    job = aws.run(program, **TWO_HOSTS)
    assert job["FailureReason"] == "AlgorithmError: , exit code: 5"


def test_calls_are_recorded_with_what_they_touch(aws: Account) -> None:
    job = aws.run("")
    bucket = f"arn:aws:s3:::{aws.rehearsal.bucket}"
    calls = {(each["by"], each["operation"], *each["resources"]) for each in aws.rehearsal.calls()}
    assert ("caller", "CreateTrainingJob", job["TrainingJobArn"], aws.rehearsal.role) in calls
    assert ("caller", "PutObject", f"{bucket}/{job['TrainingJobName']}/code/program.py") in calls
    assert ("service", "GetObject", f"{bucket}/{job['TrainingJobName']}/code/program.py") in calls


def test_jobs_are_listed_tagged_and_deleted(aws: Account) -> None:
    names = [aws.start("", TrainingJobName=f"listed-{each}") for each in "abc"]
    arns = [aws.ended(name)["TrainingJobArn"] for name in names]
    listed = aws.sagemaker.get_paginator("list_training_jobs").paginate(
        NameContains="listed-", StatusEquals="Completed", SortBy="Name", SortOrder="Ascending", MaxResults=2
    )
    assert [each["TrainingJobName"] for page in listed for each in page["TrainingJobSummaries"]] == names
    aws.sagemaker.add_tags(ResourceArn=arns[0], Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    aws.sagemaker.delete_tags(ResourceArn=arns[0], TagKeys=["a"])
    assert aws.sagemaker.list_tags(ResourceArn=arns[0])["Tags"] == [{"Key": "b", "Value": "2"}]
    aws.sagemaker.delete_training_job(TrainingJobName=names[0])
    with pytest.raises(ClientError, match="not found"):
        aws.describe(names[0])


def names(archive: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {each.name for each in tar}
