"""The rehearsal as a server: other executors, other clocks, many callers, and its end."""

from __future__ import annotations

import datetime
import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from launch import processes
from launch.engine import IMAGE
from launch.rehearsal import faults
from launch.rehearsal.client import NoRehearsal, Rehearsal
from launch.rehearsal.faults import Error, Faults, Interrupt, Lost
from launch.rehearsal.in_docker import LABEL
from launch.rehearsal.keys import HEADER, OURSELVES
from tests.docker_support import CONTAINERS, docker
from tests.rehearsal_support import CHECKPOINT, GENTLE, STUBBORN, Account, account, channel, secondaries, until

ROOT = Path(__file__).resolve().parent.parent
KEPT = {"InstanceType": "ml.g5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1, "KeepAlivePeriodInSeconds": 600}
SPOT_LIMITS = {"MaxRuntimeInSeconds": 86400, "MaxWaitTimeInSeconds": 86400}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Jobs that only take time: 600 of their seconds go into one of ours."""
    arguments = ("--speed=600", "--seconds=60")
    with account(
        tmp_path_factory.mktemp("quick"), executor="simulated", startup_seconds=400, arguments=arguments
    ) as found:
        yield found


def seconds(job: dict[str, Any], status: str) -> float:
    found = next(each for each in job["SecondaryStatusTransitions"] if each["Status"] == status)
    return float((found["EndTime"] - found["StartTime"]).total_seconds())


def test_simulated_jobs_run_on_a_clock_of_their_own(quick: Account) -> None:
    limits = {"MaxRuntimeInSeconds": 86400}
    job = quick.run("", Environment={"REHEARSAL_SECONDS": "1200"}, StoppingCondition=limits)
    assert job["TrainingJobStatus"] == "Completed"
    assert seconds(job, "Training") >= 1200
    assert seconds(job, "Starting") >= 400
    failed = quick.run("", Environment={"REHEARSAL_EXIT_CODE": "3"}, StoppingCondition=limits)
    assert failed["FailureReason"] == "AlgorithmError: , exit code: 3"


def test_a_simulated_job_with_checkpoints_goes_on_where_it_was(quick: Account) -> None:
    quick.rehearsal.set_faults(Faults(interrupt=(Interrupt("sim", after=60.0),)))
    job = quick.run(
        "",
        TrainingJobName="sim",
        EnableManagedSpotTraining=True,
        StoppingCondition=SPOT_LIMITS,
        Environment={"REHEARSAL_SECONDS": "1200"},
    )
    quick.rehearsal.set_faults(Faults())
    assert secondaries(job).count("Training") == 2
    assert job["TrainingTimeInSeconds"] >= 1200
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"] * 0.4


def test_warm_instances_are_there_at_once(quick: Account) -> None:
    first, second, other = (
        quick.run("", ResourceConfig={**KEPT, **more}, StoppingCondition={"MaxRuntimeInSeconds": 86400})
        for more in ({"KeepAlivePeriodInSeconds": 21600}, {}, {"InstanceType": "ml.g5.2xlarge"})
    )
    assert seconds(first, "Starting") >= 400 > seconds(second, "Starting")
    assert seconds(other, "Starting") >= 400
    first, second = (quick.describe(each["TrainingJobName"]) for each in (first, second))
    assert first["WarmPoolStatus"]["Status"] == "Reused"
    assert first["WarmPoolStatus"]["ReusedByJob"] == second["TrainingJobName"]
    expired = quick.when(second["TrainingJobName"], lambda job: job["WarmPoolStatus"]["Status"] == "Terminated")
    assert expired["WarmPoolStatus"]["ResourceRetainedBillableTimeInSeconds"] == 600


def test_a_job_can_be_stopped_before_it_has_instances(quick: Account) -> None:
    name = quick.start("", ResourceConfig={**KEPT, "KeepAlivePeriodInSeconds": 0})
    quick.sagemaker.stop_training_job(TrainingJobName=name)
    job = quick.ended(name)
    assert secondaries(job) == ["Starting", "Stopping", "Stopped"]
    assert "TrainingStartTime" not in job


def test_shares_of_jobs_are_interrupted_and_find_no_capacity(quick: Account) -> None:
    quick.rehearsal.set_faults(Faults(spot=0.5, spot_after=0.0, capacity=0.3))
    spot = {"EnableManagedSpotTraining": True, "StoppingCondition": SPOT_LIMITS}
    names = [quick.start("", TrainingJobName=f"share-{each}", **spot) for each in range(10)]
    jobs = [quick.ended(name) for name in names]
    quick.rehearsal.set_faults(Faults())
    assert {each["TrainingJobStatus"] for each in jobs} == {"Completed", "Failed"}
    assert {"Interrupted" in secondaries(each) for each in jobs} == {True, False}


def test_many_callers_at_a_time_are_served(quick: Account) -> None:
    def one(number: int) -> str:
        quick.put(f"many/{number}", "x" * 10000)
        job = quick.start("", StoppingCondition={"MaxRuntimeInSeconds": 86400})
        return str(quick.ended(job)["TrainingJobStatus"])

    with ThreadPoolExecutor(50) as pool:
        assert set(pool.map(one, range(50))) == {"Completed"}


def test_what_cannot_be_set_is_refused_with_what_can(quick: Account) -> None:
    def put(path: str, body: str) -> tuple[int, str]:
        place, key = f"{quick.rehearsal.url}/rehearsal/{path}", quick.rehearsal.environment()["AWS_ACCESS_KEY_ID"]
        request = urllib.request.Request(place, body.encode(), {HEADER: key}, method="PUT")
        with pytest.raises(urllib.error.HTTPError) as error, urllib.request.urlopen(request, timeout=30):
            pass
        with error.value as answer:
            return answer.code, json.load(answer)["message"]

    assert put("faults", '{"trottle": 1}') == (400, f"faults: trottle: unknown; there are {', '.join(sorted(FIELDS))}")
    assert put("faults", '{"errors": [{"code": "x"}]}')[0] == put("faults", "[]")[0] == put("faults", "{")[0] == 400
    assert put("weather", "")[0] == 404


def test_who_does_not_know_the_key_can_neither_start_a_job_nor_look_at_one(quick: Account) -> None:
    """Another user of this machine, or a page in its browser."""
    job = quick.request("", StoppingCondition={"MaxRuntimeInSeconds": 86400})
    target = {"X-Amz-Target": "SageMaker.CreateTrainingJob"}
    signature = "AWS4-HMAC-SHA256 Credential={}/20260101/us-east-1/{}/aws4_request, Signature=x"
    strangers = [{}, *({"Authorization": signature.format(key, "sagemaker")} for key in ("rehearsal", OURSELVES, ""))]
    for headers in strangers:
        for path, more, body in (
            ("", target, json.dumps(job).encode()),
            (quick.rehearsal.bucket, {}, None),
            ("rehearsal/calls", {HEADER: "rehearsal"}, None),
        ):
            asked = urllib.request.Request(f"{quick.rehearsal.url}/{path}", body, {**headers, **more})
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(asked, timeout=30)
            assert refused.value.code == 403, (headers, path)
            refused.value.close()
    assert job["TrainingJobName"] not in {each["name"] for each in quick.rehearsal.jobs()}


def test_lists_tell_what_has_changed_and_take_a_status_out_of_each_page(quick: Account) -> None:
    """As AWS documents it: a page is taken before its jobs' status is looked at."""
    limits = {"MaxRuntimeInSeconds": 86400}
    names = [quick.start("", TrainingJobName=f"listed-{each}", StoppingCondition=limits) for each in range(3)]
    ended = [quick.ended(name) for name in names]
    kind = {"NameContains": "listed-", "SortBy": "Name", "SortOrder": "Ascending"}

    def listed(**more: Any) -> list[str]:
        found = quick.sagemaker.list_training_jobs(**kind, **more)["TrainingJobSummaries"]
        return [each["TrainingJobName"] for each in found]

    assert listed() == names
    times = sorted(each["LastModifiedTime"] for each in ended)
    assert len(listed(LastModifiedTimeAfter=times[0].replace(microsecond=0))) == 3
    assert listed(LastModifiedTimeBefore=times[0].replace(microsecond=0)) == []
    assert listed(LastModifiedTimeAfter=times[-1] + (times[-1] - times[0]) + datetime.timedelta(days=1)) == []
    assert listed(StatusEquals="InProgress", MaxResults=2) == []
    first = quick.sagemaker.list_training_jobs(**kind, StatusEquals="InProgress", MaxResults=2)
    assert first["NextToken"], "the page is empty, and not the last"
    summary = quick.sagemaker.list_training_jobs(**kind, MaxResults=1)["TrainingJobSummaries"][0]
    assert summary["SecondaryStatus"] == "Completed"
    assert listed(WarmPoolStatusEquals="Available") == []


FIELDS = [each.name for each in faults.dataclasses.fields(Faults)]


def test_faults_are_read_as_they_were_written() -> None:
    given = Faults(
        seed=1,
        throttle=0.1,
        capacity_jobs=(2, 3),
        errors=(Error("PutObject", "InternalError", nth=2),),
        lost=(Lost("CreateTrainingJob"),),
        interrupt=(Interrupt("a*", after=3.0), Interrupt()),
        quota={"ml.m5.large": 2},
        expired=True,
    )
    assert Faults.from_json(given.to_json()) == given
    assert Faults.from_json("{}") == Faults()


def test_what_moto_does_not_know_is_an_error_and_not_a_crash(quick: Account) -> None:
    iam = quick.client("iam")
    with pytest.raises(ClientError, match="has not been implemented"):
        iam.simulate_principal_policy(PolicySourceArn=quick.rehearsal.role, ActionNames=["s3:GetObject"])
    assert quick.client("sts").get_caller_identity()["Account"] == "123456789012"
    quick.rehearsal.set_faults(Faults(errors=(Error("GetCallerIdentity", "AccessDenied"),)))
    with pytest.raises(ClientError, match="AccessDenied"):
        quick.client("sts").get_caller_identity()
    assert {"GetCallerIdentity", "SimulatePrincipalPolicy"} <= {each["operation"] for each in quick.rehearsal.calls()}


def test_the_servers_end_is_the_end_of_its_jobs(tmp_path: Path) -> None:
    with account(tmp_path) as found:
        [pid] = running(found, found.start(STUBBORN))
    assert processes.is_dead(pid)


def test_jobs_do_not_outlive_a_server_that_was_killed(tmp_path: Path) -> None:
    with account(tmp_path) as found:
        [pid] = running(found, found.start(STUBBORN))
        os.kill(found.rehearsal.pid, 9)
        until(lambda: processes.is_dead(pid))


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\nfrom launch.rehearsal.client import Rehearsal\n"
        f"found = Rehearsal(Path({str(tmp_path)!r}), executor='simulated').__enter__()\n"
        "print(found.pid, 'boto3' in sys.modules or 'moto' in sys.modules, flush=True)\nimport os\nos._exit(0)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    pid, heavy = done.stdout.split()
    assert heavy == "False"
    until(lambda: processes.is_dead(int(pid)))


def test_a_server_that_does_not_come_up_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = [f"--port={taken.getsockname()[1]}"]
        with pytest.raises(NoRehearsal, match=r"(?s)did not come up.*in use.*server\.log"):
            Rehearsal(tmp_path, arguments=options).__enter__()


def test_a_machine_without_moto_is_told_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NoRehearsal, match=r"pip install 'torch-image-benchmark\[rehearse\]'"):
        Rehearsal(tmp_path).__enter__()


def test_outputs_may_be_left_as_they_are_and_hosts_may_be_cut_off(tmp_path: Path) -> None:
    program = "import socket\nopen('/opt/ml/model/a', 'w').close()\nprint([name for _, name in socket.if_nameindex()])"
    with account(tmp_path) as found:
        output = {"S3OutputPath": f"s3://{found.rehearsal.bucket}/out", "CompressionType": "NONE"}
        job = found.run(program, OutputDataConfig=output, EnableNetworkIsolation=True)
        name = job["TrainingJobName"]
        assert job["ModelArtifacts"]["S3ModelArtifacts"] == f"s3://{found.rehearsal.bucket}/out/{name}/output/model/"
        assert found.keys(f"out/{name}/") == {"output/model/a"}
        assert list(found.said(name).values()) == [["['lo']"]]
        lost = found.run("", OutputDataConfig={"S3OutputPath": "s3://no-such-bucket/out"})
        assert lost["FailureReason"].startswith("ClientError: Artifact upload failed")
        odd = {"CheckpointConfig": {"S3Uri": "s3://a/b", "LocalPath": "/tmp/elsewhere"}}
        assert "only folders below /opt/ml/" in found.run("", **odd)["FailureReason"]
        assert "only S3Prefix" in found.run("", InputDataConfig=[manifest()])["FailureReason"]


def test_what_is_disputed_of_aws_can_be_had_the_other_way(tmp_path: Path) -> None:
    program = """
import os, time
place = "/opt/ml/checkpoints/old"
open(place, "w").close()
time.sleep(0.5)
os.remove(place)
open("/opt/ml/checkpoints/new", "w").close()
"""
    with account(tmp_path, arguments=["--mirror-deletions", "--check-inputs"]) as found:
        name = found.start(program)
        until(lambda: found.keys(f"{name}/checkpoints/") == {"old"})
        found.ended(name)
        assert found.keys(f"{name}/checkpoints/") == {"new"}
        for uri in (f"s3://{found.rehearsal.bucket}/nothing", "s3://no-such-bucket/a"):
            with pytest.raises(ClientError, match=r"ValidationException.*No S3 objects found under S3 URL"):
                found.start("", InputDataConfig=[channel("train", uri)])


def manifest() -> dict[str, Any]:
    found = channel("train", "s3://a/b")
    found["DataSource"]["S3DataSource"]["S3DataType"] = "ManifestFile"
    return found


@pytest.mark.slow
def test_the_sagemaker_sdk_trains_without_a_change(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(
        "import os, sys\nprint('arguments', *sys.argv[1:])\nopen(os.environ['SM_MODEL_DIR'] + '/w', 'w').close()\n"
    )
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a").write_text("a")
    program = f"""
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import Compute, InputData, SourceCode
from sagemaker.train.model_trainer import Mode, ModelTrainer
import sys
role, bucket = sys.argv[1:]
trainer = ModelTrainer(
    training_mode=Mode.SAGEMAKER_TRAINING_JOB,
    sagemaker_session=Session(default_bucket=bucket),  # the SDK asks the real STS for its own one
    training_image="123456789012.dkr.ecr.us-east-1.amazonaws.com/image:1",
    base_job_name="sdk",
    role=role,
    source_code=SourceCode(source_dir={str(tmp_path / "code")!r}, entry_script="train.py"),
    compute=Compute(instance_type="ml.m5.large", instance_count=1),
    hyperparameters={{"lr": 0.1}},
)
trainer.train(input_data_config=[InputData(channel_name="train", data_source={str(tmp_path / "data")!r})])
"""
    with account(tmp_path / "server") as found:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, found.rehearsal.role, found.rehearsal.bucket],
            env={**os.environ, **found.rehearsal.environment(), "SAGEMAKER_VALIDATE_ROLE": "false"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        [job] = found.rehearsal.jobs()
        assert job["status"] == "Completed"
        assert "arguments --lr 0.1" in next(iter(found.said(job["name"]).values()))


@CONTAINERS
@pytest.mark.slow
def test_containers_keep_the_same_contract(tmp_path: Path) -> None:
    with pytest.raises(NoRehearsal, match="there is no image no/such:image"):
        Rehearsal(tmp_path, executor="docker", arguments=["--image=no/such:image"]).__enter__()
    two = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}
    talk = "import socket\nprint(len({socket.gethostbyname(f'algo-{each}') for each in (1, 2)}), flush=True)\n"
    with account(tmp_path, executor="docker", arguments=[f"--image={IMAGE}"], grace=3.0) as found:
        resumed = found.start(
            CHECKPOINT + "time.sleep(0 if before else 60)",
            EnableManagedSpotTraining=True,
            StoppingCondition=SPOT_LIMITS,
        )
        found.rehearsal.set_faults(Faults(interrupt=(Interrupt(resumed),)))
        job = found.ended(resumed)
        assert job["TrainingJobStatus"] == "Completed", job
        assert sorted(found.said(resumed).values()) == [["found ''"], ["found 'x'"]]

        stopped = found.start(talk + GENTLE, ResourceConfig=two)
        until(lambda: sorted(found.said(stopped).values()) == [["2", "ready"]] * 2)
        found.sagemaker.stop_training_job(TrainingJobName=stopped)
        assert found.ended(stopped)["TrainingJobStatus"] == "Stopped"
        assert found.keys(f"out/{stopped}/") == {"output/model.tar.gz", "output/output.tar.gz"}

        isolated = found.run("import sys\nsys.exit(4)", EnableNetworkIsolation=True)
        assert isolated["FailureReason"] == "AlgorithmError: , exit code: 4"
        found.start(STUBBORN)
        until(lambda: bool(docker("ps", "--quiet", "--filter", f"label={LABEL}={tmp_path}")))
    assert not docker("ps", "--all", "--quiet", "--filter", f"label={LABEL}={tmp_path}")
    assert not docker("network", "ls", "--quiet", "--filter", f"label={LABEL}={tmp_path}")


def running(found: Account, name: str) -> list[int]:
    found.ready(name)
    return list(next(each["pids"] for each in found.rehearsal.jobs() if each["name"] == name).values())
