"""Secrets that lie around or are in the environment come into nothing that a sweep writes, sends or shows, in any mode.

Each mode runs for real: host processes, containers, and training jobs at a server that speaks AWS.  One run succeeds,
one diverges, so that failures are looked at too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from launch import containers
from launch.fast_local import FastLocal
from launch.host import Start
from launch.rehearsal.client import Rehearsal
from launch.withheld import is_secret
from tests.canary_support import VARIABLES, WORD, Canaries, Onlooker, holds, photos
from tests.docker_support import CONTAINERS
from tests.test_cli import Command

YAML = """
name: tiny
data: {source: folder, path: ./photos, image_size: 16, channels: 1}
defaults: {model: lenet5, epochs: 1, image_size: 28, batch_size: 16}
matrix: {lr: [1e-3, 1e+30], optimizer: sgd}
launch: {mode: MODE, workers: 1, profile: false MORE}
"""
RUN = Run(DataSpec("synthetic"), "lenet5", data_digest="d" * 64, image_size=28, channels=1, epochs=1)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


class Sweep:
    """An experiment with secrets around it."""

    def __init__(self, tmp_path: Path, cache: Path, mode: str, more: str = "", sections: str = "") -> None:
        self.home, self.user, self.cache = tmp_path / "work", tmp_path / "user", cache
        photos(self.home / "photos")
        self.canaries = Canaries(self.home, self.user)
        text = YAML.replace("MODE", mode).replace(" MORE", more) + sections
        (self.home / "experiments.yaml").write_text(text)
        self.command = Command(self.home, self.cache)
        self.command.environment |= self.canaries.variables()
        self.said = ""

    def __call__(self, *arguments: str, codes: tuple[int, ...] = (0,)) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "benchmark", *arguments],
            cwd=self.home, env=self.command.environment, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        self.said += done.stdout + done.stderr
        assert done.returncode in codes, done.stdout + done.stderr

    def watched(self, label: str = "") -> Onlooker:
        return Onlooker(self.home / "results", label=label)

    def kept_everything_secret(self) -> None:
        results = self.home / "results" / "tiny"
        assert any(results.rglob("result.json")), "nothing has run"
        assert any(results.rglob("failure.json")), "nothing has failed"
        assert self.canaries.found(self.home, self.user, self.cache) == []
        assert [line for line in self.said.splitlines() if holds(line)] == []


@pytest.mark.slow
def test_host_processes(tmp_path: Path, cache: Path) -> None:
    """Also with a tracker that is away and whose address has a password."""
    sweep = Sweep(tmp_path, cache, "fast_local")
    with sweep.watched() as onlooker:
        sweep.command.environment["MLFLOW_TRACKING_URI"] = f"http://me:{WORD}-tracker@127.0.0.1:9"
        sweep("run", codes=(1,))
        sweep("doctor", codes=(0, 3))
        del sweep.command.environment["MLFLOW_TRACKING_URI"]
        sweep("sync")
        sweep("report", codes=(0, 1))
    assert onlooker.seen == set()
    assert (sweep.home / "mlflow.db").exists()
    sweep.kept_everything_secret()


@pytest.mark.slow
@CONTAINERS
@pytest.mark.nightly
def test_containers(tmp_path: Path, cache: Path) -> None:
    sweep = Sweep(tmp_path, cache, "local")
    with sweep.watched(containers.ATTEMPT) as onlooker:
        sweep("run", codes=(1,))
    assert onlooker.containers, "no container was seen"
    assert onlooker.composed, "no compose file was seen"
    assert onlooker.seen == set()
    sweep.kept_everything_secret()


@pytest.mark.nightly
@pytest.mark.slow
def test_training_jobs_in_aws(tmp_path: Path, cache: Path) -> None:
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/ours:1"
    with Rehearsal(tmp_path / "server") as server:
        aws = f"aws: {{bucket: {server.bucket}, role: '{server.role}', poll_seconds: 0.5, concurrency: 2}}\n"
        sweep = Sweep(tmp_path, cache, "aws", f", image: '{image}'", aws)
        mine = {"AWS_SECRET_ACCESS_KEY": sweep.canaries.variables()["AWS_SECRET_ACCESS_KEY"]}
        sweep.command.environment |= {**server.environment(), **mine}
        with sweep.watched() as onlooker:
            sweep("run", "-y", codes=(1,))
        sent = _sent(sweep.command, server.bucket)
        assert any(b"benchmark/training/job.py\0" in each for each in sent), "the code was not looked into"
        assert [each[:200] for each in sent if holds(each)] == []
    assert onlooker.seen == set()
    assert sweep.canaries.found(tmp_path / "server") == []
    sweep.kept_everything_secret()


def _sent(command: Command, bucket: str) -> list[bytes]:
    """Every object in S3 (archives unpacked), every log, and every request for a job."""
    program = (
        "import boto3, gzip, json, sys\n"
        "s3, logs, jobs = (boto3.client(each) for each in ('s3', 'logs', 'sagemaker'))\n"
        "def say(content): sys.stdout.buffer.write(content + b'\\0\\0NEXT\\0\\0')\n"
        "for page in s3.get_paginator('list_objects_v2').paginate(Bucket=sys.argv[1]):\n"
        "    for each in page.get('Contents', ()):\n"
        "        body = s3.get_object(Bucket=sys.argv[1], Key=each['Key'])['Body'].read()\n"
        "        say(each['Key'].encode() + (gzip.decompress(body) if body[:2] == b'\\x1f\\x8b' else body))\n"
        "for page in logs.get_paginator('filter_log_events').paginate(logGroupName='/aws/sagemaker/TrainingJobs'):\n"
        "    say(json.dumps(page['events']).encode())\n"
        "for page in jobs.get_paginator('list_training_jobs').paginate():\n"
        "    for each in page['TrainingJobSummaries']:\n"
        "        found = jobs.describe_training_job(TrainingJobName=each['TrainingJobName'])\n"
        "        say(json.dumps(found, default=str).encode())\n"
    )
    done = subprocess.run([sys.executable, "-c", program, bucket], check=True, env=command.environment, stdout=-1)
    return done.stdout.split(b"\0\0NEXT\0\0")


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_job_that_tells_its_whole_environment_tells_no_secret(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a traceback with local variables does, or a plug-in that prints what it finds."""
    rundir = RunDir(tmp_path / "runs" / "0123456789ab")
    rundir.path.mkdir(parents=True)
    for name, value in Canaries(tmp_path / "work", tmp_path / "user").variables().items():
        monkeypatch.setenv(name, value)
    entry = tmp_path / "entry.py"
    entry.write_text(
        "import os\nprint(dict(os.environ), open('/proc/self/environ').read())\nraise ValueError(os.environ)"
    )
    with FastLocal(start, entry=entry, preload=()) as launcher:
        job = launcher.submit(RUN, rundir, 1, tmp_path)
        deadline = time.monotonic() + 60
        while job.poll().status != "ended":
            assert time.monotonic() < deadline
            time.sleep(0.05)
    log = rundir.log_path(1).read_text()
    assert "ValueError" in log
    assert "SM_OUTPUT_DATA_DIR" in log
    assert not holds(log)


@pytest.mark.parametrize("name", VARIABLES)
def test_a_name_that_says_so_is_a_secret(name: str) -> None:
    assert is_secret(name, "x")


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "PWD", "LANG", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "PYTHONPATH",
     "SSH_AUTH_SOCK", "TORCH_HOME", "XDG_CACHE_HOME", "KEYBOARD", "MONKEY", "TOKENIZERS_PARALLELISM", "HTTPS_PROXY"],
)  # fmt: skip
def test_what_a_program_needs_is_none(name: str) -> None:
    assert not is_secret(name, "http://host.example:8080/a@b")
    assert is_secret("HTTPS_PROXY", "http://me:x@host.example:8080")
