"""Sweeps of SageMaker training jobs, as a user types them, against a server that really runs the jobs: the same bits as
host processes give, whatever goes wrong, and nothing lost or started twice."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmark.rundir import RunDir
from launch.rehearsal.client import Rehearsal
from launch.rehearsal.faults import Error, Faults, Interrupt, Lost
from tests.test_cli import ROOT, Command, mlflow_runs, quality
from tests.tuning_support import weights_file

pytestmark = pytest.mark.slow

TYPE = "ml.m5.xlarge"
YAML = """
name: NAME
data: {source: synthetic, train_size: 200, test_size: 100, classes: 3, image_size: 32}
defaults: {model: lenet5, epochs: EPOCHS}
matrix: MATRIX
launch: {mode: aws, image: "123456789012.dkr.ecr.us-east-1.amazonaws.com/ours:1", profile: false, MORE}
aws: {bucket: BUCKET, poll_seconds: 0.5, concurrency: 2, AWS}
"""
UNDISTURBED: dict[str, dict[str, Any]] = {}


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


class Aws:
    """Sweeps of one experiment, whose jobs are told from others by its name."""

    def __init__(self, server: Rehearsal, place: Path, cache: Path) -> None:
        self.server, self.place, self.cache = server, place, cache
        self.name = f"t{abs(hash(place)) % 10**6}"

    def command(
        self, *, mode: str = "aws", matrix: str = "{seed: [0]}", epochs: int = 3, more: str = "", aws: str = ""
    ) -> Command:
        """In a directory of its own."""
        home = self.place / f"{mode} кот: #1"
        home.mkdir(parents=True)
        words = {"NAME": self.name, "MATRIX": matrix, "EPOCHS": str(epochs), "MORE": more, "AWS": aws}
        text = YAML.replace("mode: aws", f"mode: {mode}").replace("BUCKET", self.server.bucket)
        for word, value in words.items():
            text = text.replace(word, value)
        (home / "experiments.yaml").write_text(text)
        command = Command(home, self.cache)
        command.environment |= {**self.server.environment(), "SAGEMAKER_ROLE": self.server.role}
        return command

    def jobs(self) -> list[dict[str, Any]]:
        return [each for each in self.server.jobs() if each["name"].startswith(f"{self.name}-")]

    def started(self) -> Counter[str]:
        """Run id -> how many jobs of it AWS has begun to run."""
        begun = (each for each in self.jobs() if not each["failure"].startswith("CapacityError"))
        return Counter(each["name"].split("-")[1] for each in begun)

    def leaderboard(self, command: Command) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((command.home / "results" / self.name / "leaderboard.json").read_text())
        return found

    def undisturbed(self, **keys: Any) -> dict[str, Any]:
        """What host processes make of the same runs; found out once."""
        runs = str(sorted(each for each in keys.items() if each[0] != "more"))
        if runs not in UNDISTURBED:
            command = self.command(mode="fast_local", **keys)
            command("run")
            UNDISTURBED[runs] = quality(self.leaderboard(command))
        return UNDISTURBED[runs]


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def end_of(process: subprocess.Popen[str], seconds: float = 400.0) -> str:
    output, _ = process.communicate(timeout=seconds)
    assert "Traceback" not in output
    return output


def results(command: Command) -> int:
    return len(list(command.home.glob("results/*/runs/*/result.json")))


@pytest.mark.nightly
def test_pretrained_weights_are_uploaded_once_and_every_job_has_them_as_a_channel(aws: Aws) -> None:
    keys = {"matrix": "{seed: [0, 1]}", "epochs": 2}
    boards = {}
    for mode in ("fast_local", "aws"):
        command = aws.command(mode=mode, **keys)
        place = command.home / "experiments.yaml"
        tuned = "defaults: {model: test_resnet, pretrained: given.safetensors, channels: 3, freeze: backbone,"
        place.write_text(place.read_text().replace("defaults: {model: lenet5,", tuned))
        weights_file(command.home / "given.safetensors")
        command("run", *(["-y"] if mode == "aws" else []))
        boards[mode] = quality(aws.leaderboard(command))
    assert boards["aws"] == boards["fast_local"]
    assert len(boards["aws"]) == 2
    there = [name.split("/weights/")[1] for name in _names(command, aws.server.bucket) if "/weights/" in name]
    digest = there[0].removesuffix(".json")
    assert there == [f"{digest}.json", f"{digest}/weights.safetensors"]


def _names(command: Command, bucket: str) -> list[str]:
    """Of what is in S3."""
    program = (
        "import boto3, sys\n"
        "for page in boto3.client('s3').get_paginator('list_objects_v2').paginate(Bucket=sys.argv[1]):\n"
        "    print(*(each['Key'] for each in page['Contents']), sep='\\n')\n"
    )
    done = [sys.executable, "-c", program, bucket]
    return subprocess.run(done, check=True, env=command.environment, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.nightly
def test_twelve_runs_and_every_fault_at_once_lose_nothing_and_start_nothing_twice(aws: Aws) -> None:
    matrix = "{lr: [1e-3, 3e-3], seed: [0, 1, 2, 3, 4, 5]}"
    command = aws.command(matrix=matrix, epochs=20, aws="spot: true", more="workers: 3")
    cells = json.loads(command("plan", "--no-probe", "--json"))["cells"]
    aws.server.set_faults(
        Faults(
            errors=(Error("CreateTrainingJob", nth=2), Error("PutObject", "InternalError", nth=3),
                    Error("DescribeTrainingJob", nth=4, times=2), Error("GetObject", "ConnectionReset", nth=9)),
            lost=(Lost("CreateTrainingJob", nth=6),),
            capacity_jobs=(4,),
            interrupt=(Interrupt(f"{aws.name}-{cells[0]['run_id']}-*"),),
            quota={TYPE: 2},
        )
    )  # fmt: skip
    first = command.start("run", "-y")
    wait_for(lambda: results(command) >= 3 and any(each["pids"] for each in aws.jobs()), 300)
    first.kill()
    first.communicate()
    output = end_of(command.start("run", "-y"))
    assert "12 of 12 runs done" in output
    assert "goes on" in output
    assert len(aws.started()) == 12
    assert set(aws.started().values()) == {1}
    jobs = Counter(each["status"] for each in aws.jobs())
    assert jobs == {"Completed": 12, "Failed": 1}
    assert [each["attempts"] for each in aws.jobs() if each["attempts"] > 1] == [2], "the spot interruption"
    board = aws.leaderboard(command)
    assert (board["counts"]["done"], board["counts"]["failed"]) == (12, 0)
    assert len(mlflow_runs(command)) == 12
    assert board["cost"]["usd"] > 0
    errors = Counter(each["error"] for each in aws.server.calls() if each["error"])
    assert errors["ThrottlingException"] == 3
    assert quality(board) == aws.undisturbed(matrix=matrix, epochs=20, more="workers: 2")


@pytest.mark.nightly
@pytest.mark.parametrize(
    "point",
    ["aws.uploaded", "aws.recorded", "aws.created", "aws.ended", "aws.collected", "aws.finished"],
)
def test_whoever_is_killed_there_is_followed_by_one_who_goes_on_with_the_same_job(
    aws: Aws, point: str, tmp_path: Path
) -> None:
    command = aws.command()
    command.environment["BENCHMARK_FAILPOINT"] = f"{point}:{tmp_path / 'reached'}"
    process = command.start("run", "-y")
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL
    assert "1 of 1 runs done" in command("run", "-y")
    assert [each["status"] for each in aws.jobs()] == ["Completed"]
    assert quality(aws.leaderboard(command)) == aws.undisturbed()


@pytest.mark.nightly
def test_an_output_that_cannot_be_read_fails_its_run_and_not_the_sweep(aws: Aws, tmp_path: Path) -> None:
    command = aws.command()
    command.environment["BENCHMARK_FAILPOINT"] = f"aws.ended:{tmp_path / 'reached'}"
    process = command.start("run", "-y")
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL
    program = (
        "import boto3, io, sys, tarfile\n"
        "s3, kept, content = boto3.client('s3'), io.BytesIO(), b'{torn'\n"
        "pages = s3.get_paginator('list_objects_v2').paginate(Bucket=sys.argv[1])\n"
        "found = [each['Key'] for page in pages for each in page.get('Contents', ()) if sys.argv[2] in each['Key']]\n"
        "with tarfile.open(fileobj=kept, mode='w:gz') as tar:\n"
        "    member = tarfile.TarInfo('result.json')\n"
        "    member.size = len(content)\n"
        "    tar.addfile(member, io.BytesIO(content))\n"
        "for key in found:\n"
        "    if key.endswith('output.tar.gz'):\n"
        "        s3.put_object(Bucket=sys.argv[1], Key=key, Body=kept.getvalue())\n"
        "        print(key)\n"
    )
    torn = [sys.executable, "-c", program, aws.server.bucket, aws.name]
    assert subprocess.run(torn, check=True, env=command.environment, capture_output=True).stdout
    process = command.start("run", "-y")
    output = end_of(process)
    assert process.returncode == 1
    assert "result.json: cannot be read" in output
    assert "0 to run" in command("run", "-y", code=1), "it is over"


@pytest.mark.nightly
def test_a_sweep_that_is_left_goes_on_in_aws_and_is_taken_up_again(aws: Aws) -> None:
    command = aws.command(epochs=60)
    process = command.start("run", "-y")
    (log,) = wait_for_epochs(command, 2)
    process.send_signal(signal.SIGINT)
    output = end_of(process, 60)
    assert process.returncode == 130
    assert "leaving 1 run in AWS" in output
    run_id = log.path.name
    assert "under way" in command("status")
    assert "mode aws" in command("run", "--mode", "fast_local", code=2)
    following = command.start("logs", run_id[:6], "-f")
    assert "epoch 60" in end_of(following), "CloudWatch's lines until the job has ended"
    assert "epoch 3" in command("logs", run_id[:6])
    assert "goes on" in command("run", "-y")
    assert "epoch 60" in command("logs", run_id[:6])
    assert aws.started() == {run_id: 1}
    assert "0 to run" in command("run", "-y")


@pytest.mark.nightly
def test_a_sweep_that_is_stopped_goes_on_from_its_checkpoint(aws: Aws) -> None:
    command = aws.command(epochs=60)
    process = command.start("run", "-y", "--on-interrupt", "stop")
    (rundir,) = wait_for_epochs(command, 3)
    process.send_signal(signal.SIGINT)
    end_of(process, 120)
    assert process.returncode == 130
    before = rundir.read_events()
    assert 3 <= len(before) < 60
    assert "1 of 1 runs done" in command("run", "-y")
    assert rundir.read_events()[: len(before)] == before
    assert sorted(each["status"] for each in aws.jobs()) == ["Completed", "Stopped"]
    assert quality(aws.leaderboard(command)) == aws.undisturbed(epochs=60)


@pytest.mark.nightly
def test_what_runs_too_long_has_timed_out_and_what_somebody_stops_is_stopped(aws: Aws) -> None:
    command = aws.command(matrix="{seed: [0, 1]}", epochs=5000, more="time_limit: 40, retries: 0")
    process = command.start("run", "-y")
    rundirs = wait_for_epochs(command, 1, runs=2)
    name = next(each["name"] for each in aws.jobs() if rundirs[0].path.name in each["name"])
    stop = "import boto3, sys; boto3.client('sagemaker').stop_training_job(TrainingJobName=sys.argv[1])"
    subprocess.run([sys.executable, "-c", stop, name], check=True, env=command.environment)
    output = end_of(process)
    assert process.returncode == 1
    assert "stopped by SageMaker after 40 seconds (launch: time_limit)" in output
    assert "was asked to stop, and not by us" in output
    kinds = {each: json.loads((each.path / "failure.json").read_text())["kind"] for each in rundirs}
    assert [kinds[each] for each in rundirs] == ["stopped", "timeout"]


@pytest.mark.nightly
def test_expired_credentials_stop_nothing_and_new_ones_are_taken(aws: Aws) -> None:
    command = aws.command(epochs=40)
    process = command.start("run", "-y")
    wait_for_epochs(command, 2)
    aws.server.set_faults(Faults(expired=True))
    time.sleep(4)
    assert process.poll() is None
    aws.server.set_faults(Faults())
    output = end_of(process)
    assert "AWS does not accept the credentials any more" in output
    assert "1 of 1 runs done" in output
    assert set(aws.started().values()) == {1}


@pytest.mark.nightly
def test_two_instances_train_a_run_together(aws: Aws) -> None:
    command = aws.command(matrix="{processes: [2]}", more="hosts: 2")
    assert "1 of 1 runs done" in command("run", "-y")
    board = aws.leaderboard(command)
    assert quality(board) == aws.undisturbed(matrix="{processes: [2]}")
    (rundir,) = [RunDir(each) for each in command.home.glob("results/*/runs/*")]
    assert json.loads((rundir.attempt(1) / "bill.json").read_text())["instances"] == 2
    log = rundir.log_path(1).read_text()
    assert "== algo-1 ==" in log
    assert "== algo-2 ==" in log


@pytest.mark.nightly
def test_an_instance_that_dies_ends_the_job_and_the_run_goes_on_in_another(aws: Aws) -> None:
    """SageMaker asks the other instances to stop: that is not why the run has no result."""
    command = aws.command(matrix="{processes: [2]}", epochs=40, more="hosts: 2")
    process = command.start("run", "-y")
    wait_for_epochs(command, 3)
    os.kill(aws.jobs()[0]["pids"]["algo-2"], signal.SIGKILL)
    output = end_of(process)
    assert "1 of 1 runs done" in output
    assert len(aws.jobs()) == 2
    assert quality(aws.leaderboard(command)) == aws.undisturbed(matrix="{processes: [2]}", epochs=40)


class Person:
    """Somebody at a terminal."""

    def __init__(self, command: Command, *arguments: str) -> None:
        self.screen, there = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmark", *arguments],
            cwd=command.home, env={**command.environment, "TERM": "dumb"}, stdin=there, stdout=there, stderr=there,
        )  # fmt: skip
        os.close(there)
        self.seen = ""

    def sees(self, text: str) -> bool:
        """What has appeared by now; the terminal is read while nothing else happens."""
        while select.select([self.screen], [], [], 0.1)[0]:
            try:
                self.seen += os.read(self.screen, 65536).decode(errors="replace")
            except OSError:  # its other end is closed
                break
        return text in self.seen

    def types(self, text: str) -> None:
        os.write(self.screen, text.encode())


def test_a_person_is_asked_before_money_is_spent_and_what_becomes_of_jobs(aws: Aws) -> None:
    command = aws.command(epochs=400)
    person = Person(command, "run")
    wait_for(lambda: person.sees("Start?"))
    person.types("n\n")
    wait_for(lambda: person.process.poll() is not None)
    assert aws.jobs() == []
    person = Person(command, "run")
    wait_for(lambda: person.sees("Start?"))
    person.types("y\n")
    wait_for(lambda: person.sees("epoch 2/400"))
    person.process.send_signal(signal.SIGINT)
    wait_for(lambda: person.sees("leave them running, or stop them?"))
    person.types("stop\n")
    wait_for(lambda: person.sees("1 left") and person.process.poll() is not None)
    assert person.process.returncode == 130
    assert [each["status"] for each in aws.jobs()] == ["Stopped"]


CANARY = "canary-5f2b9c"


def test_no_secret_reaches_aws_mlflow_or_a_log(aws: Aws) -> None:
    command = aws.command()
    command.environment |= {"MY_TOKEN": CANARY, "MLFLOW_TRACKING_TOKEN": CANARY, "HF_TOKEN": CANARY}
    (command.home / ".env").write_text(f"TOKEN={CANARY}\n")
    (command.home / "credentials").write_text(CANARY)
    planted = ROOT / "launch" / "secret.env"
    planted.write_text(CANARY)
    try:
        command("run", "-y")
    finally:
        planted.unlink()
    everything = b"".join(_objects(command, aws.server.bucket)) + b"".join(
        path.read_bytes()
        for path in command.home.rglob("*")
        if path.is_file() and path.name not in (".env", "credentials")
    )
    assert b"lenet5" in everything
    assert CANARY.encode() not in everything
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"):
        assert name.encode() not in everything


def _objects(command: Command, bucket: str) -> Iterator[bytes]:
    """What is in S3 and in the logs, archives unpacked."""
    program = (
        "import boto3, gzip, sys\n"
        "s3, logs = boto3.client('s3'), boto3.client('logs')\n"
        "pages = s3.get_paginator('list_objects_v2').paginate(Bucket=sys.argv[1])\n"
        "for each in (each for page in pages for each in page.get('Contents', ())):\n"
        "    body = s3.get_object(Bucket=sys.argv[1], Key=each['Key'])['Body'].read()\n"
        "    sys.stdout.buffer.write(gzip.decompress(body) if each['Key'].endswith('.gz') else body)\n"
        "group = '/aws/sagemaker/TrainingJobs'\n"
        "for stream in logs.describe_log_streams(logGroupName=group)['logStreams']:\n"
        "    name = stream['logStreamName']\n"
        "    found = logs.get_log_events(logGroupName=group, logStreamName=name, startFromHead=True)\n"
        "    sys.stdout.buffer.write('\\n'.join(e['message'] for e in found['events']).encode())\n"
    )
    yield subprocess.run(
        [sys.executable, "-c", program, bucket], check=True, env=command.environment, capture_output=True
    ).stdout


@pytest.mark.nightly
def test_a_budget_ends_the_sweep_and_a_larger_one_goes_on(aws: Aws) -> None:
    prices = f"prices: {{{TYPE}: 3600}}"  # a dollar a second
    command = aws.command(
        matrix="{seed: [0, 1, 2, 3]}", aws=f"{prices}, budget_usd: 9, startup_seconds: 0", more="workers: 1"
    )
    output = command("run", "-y", code=4)
    assert "the budget is spent" in output
    assert 1 <= results(command) < 4
    text = (command.home / "experiments.yaml").read_text()
    (command.home / "experiments.yaml").write_text(text.replace("budget_usd: 9", "budget_usd: 900"))
    assert "4 of 4 runs done" in command("run", "-y")
    assert set(aws.started().values()) == {1}
    (command.home / "experiments.yaml").write_text(text.replace("seed: [0", "seed: [7, 8, 9, 0"))
    assert "more than the budget of $9.00" in command("run", "-y", code=2)


@pytest.mark.nightly
def test_one_configuration_needs_a_role_and_a_bucket(aws: Aws) -> None:
    command = aws.command()
    command.environment.pop("SAGEMAKER_ROLE")
    script = [sys.executable, str(ROOT / "launch" / "run_training.py"), "--execution_mode", "aws_mode", "--epochs", "1"]
    names = ["--role", aws.server.role, "--bucket", aws.server.bucket]
    image = ["--image", "123456789012.dkr.ecr.us-east-1.amazonaws.com/ours:1"]
    done = subprocess.run(
        [*script, *names, *image],
        cwd=command.home,
        env=command.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 of 1 runs done" in done.stdout
    done = subprocess.run(
        script, cwd=command.home, env=command.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "no role for the training jobs" in done.stderr


@pytest.mark.nightly
def test_a_rehearsal_plays_the_sweep_apart_from_everything(aws: Aws) -> None:
    command = aws.command(matrix="{seed: [0, 1]}", aws="role: arn:aws:iam::999999999999:role/real, region: eu-west-3")
    for name in [each for each in command.environment if each.startswith("AWS_")]:
        command.environment.pop(name)
    output = command("rehearse", "--throttle", "0.05", "--spot", "1", "--quota", f"{TYPE}=1")
    assert "rehearsed: 2 training jobs (2 Completed), 2 interrupted and gone on" in output
    assert not (command.home / "results").exists()
    assert not (command.home / "mlflow.db").exists()
    (board,) = command.home.glob(f"rehearsal/*/{aws.name}/leaderboard.json")
    assert quality(json.loads(board.read_text())) == aws.undisturbed(matrix="{seed: [0, 1]}")
    assert aws.jobs() == [], "the rehearsal has a server of its own"


def wait_for_epochs(command: Command, number: int, runs: int = 1) -> list[RunDir]:
    """The run directories, once each has so many epochs."""
    places = Path(command.home).glob

    def found() -> list[RunDir]:
        return [RunDir(each) for each in sorted(places("results/*/runs/*"))]

    wait_for(lambda: len(found()) == runs and all(len(each.read_events()) >= number for each in found()))
    return found()
