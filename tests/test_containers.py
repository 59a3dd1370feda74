"""Containers of mode local, started, stopped, cleaned up: each trap of SageMaker local mode, in real Docker."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.records import Failure
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from launch import Job, bootstrap, containers, watch_container
from launch.container import Request
from launch.engine import IMAGE
from launch.local import LIBRARIES, Local
from tests.docker_support import COMMAND, CONTAINERS, docker, launcher, ours, put

pytestmark = [pytest.mark.slow, CONTAINERS]

ODD = Run(
    DataSpec("folder", path="a 'b' \"c\" $HOME `id` #1"),
    "lenet5",
    data_digest="d" * 64,
    image_size=28,
    channels=1,
    clip_grad=None,
    optimizer_args={"a.dotted-key": 'it\'s "quoted"; $(exit 3)', "none": None},
)
WRITE = """
import json, os, pathlib, sys
out = pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"])
def finish(**metrics):
    (out / "result.json").write_text(json.dumps({"run_id": "r", "metrics": metrics, "undefined": {}, "best_epoch": 1,
        "epochs": 1, "started": 0.0, "finished": 1.0, "architecture": "", "environment": {}, "schema_version": 1}))
"""
READY = 'pathlib.Path(os.environ["SM_CHECKPOINT_DIR"], "ready").touch()\n'


def wait_for(condition: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def end_of(job: Job, seconds: float = 90.0) -> Failure | None:
    wait_for(lambda: job.poll().status == "ended", seconds)
    return job.poll().failure


@pytest.fixture(scope="module", autouse=True)
def _servers_end() -> Iterator[None]:
    yield
    for settings in ({}, {"memory_gib": 0.25}, {"hosts": 2, "network_isolation": True}):
        launcher(**settings).__exit__(None, None, None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    found = tmp_path / "data: with a colon"
    found.mkdir()
    (found / "images").write_text("as they were")
    return found


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    found = RunDir(tmp_path / "кот: #1 'a'" / "runs" / "0123456789ab")
    found.path.mkdir(parents=True)
    return found


def run(rundir: RunDir, data: Path, program: str, **settings: object) -> Failure | None:
    """One attempt; the failure that it left."""
    put(rundir.checkpoint, WRITE + program)
    end_of(launcher(**settings).submit(ODD, rundir, 1, data))
    return rundir.read_failure()


def test_a_container_has_one_document_its_channels_and_nothing_of_ours_that_is_secret(
    rundir: RunDir, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-key")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "canary-token")
    program = """
facts = {"env": dict(os.environ), "pid": os.getpid(), "uid": os.getuid(), "cores": len(os.sched_getaffinity(0)),
         "run": json.loads(pathlib.Path(os.environ["SM_CHANNEL_CONFIG"], "run.json").read_text()),
         "code": sorted(str(p.relative_to(pathlib.Path.cwd())) for p in pathlib.Path.cwd().rglob("*") if p.is_file()),
         "caps": [line for line in open("/proc/self/status") if line.startswith("CapEff")][0].split()[1],
         "refused": []}
for name in ("CONFIG", "DATA", "CODE", "LIBRARIES"):
    try:
        pathlib.Path(os.environ["SM_CHANNEL_" + name], "written").touch()
    except OSError as error:
        facts["refused"].append(error.errno)
pathlib.Path(os.environ["SM_CHECKPOINT_DIR"], "facts.json").write_text(json.dumps(facts))
(out / "unknown.txt").write_text("not ours")
pathlib.Path(os.environ["SM_MODEL_DIR"], "model.safetensors").write_text("weights")
print("the last words, without a line's end", end="")
finish(a=1.0)
os._exit(0)
"""
    assert run(rundir, data, program) is None
    facts = json.loads((rundir.checkpoint / "facts.json").read_text())
    assert Run.from_json(facts["run"]) == ODD
    assert facts["pid"] == 1, "TERM would reach a shell"
    assert facts["uid"] == os.getuid()
    assert facts["cores"] == 1
    assert int(facts["caps"], 16) == 0
    assert facts["refused"] == [30] * 4, "a channel can be written"
    assert "canary" not in json.dumps(facts)
    assert "canary" not in "".join(p.read_text(errors="replace") for p in rundir.path.rglob("*") if p.is_file())
    assert {"launch/train_models.py", "benchmark/training/job.py"} <= set(facts["code"])
    assert not any(name.startswith(("benchmark/cli", "tests", ".")) for name in facts["code"])
    result = rundir.read_result()
    assert result is not None
    assert result.metrics == {"a": 1.0}
    assert rundir.model.read_text() == "weights"
    assert not (rundir.path / "unknown.txt").exists()
    assert "the last words, without a line's end" in rundir.log_tail(1)
    assert (data / "images").read_text() == "as they were"


def test_a_container_that_ends_before_it_is_seen_is_heard(rundir: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request("benchmark-brief", "brief", IMAGE, 1, "local_cpu", "", {}, {}, "", None, False, 1.0)
    monkeypatch.setattr(watch_container, "FOLLOW_SECONDS", 60.0)

    def run(*_: object) -> None:
        time.sleep(2)  # until it has been looked for
        labels = [f"--label={name}={value}" for name, value in request.labels.items()]
        docker("run", *labels, "--name", request.containers["algo-1"], IMAGE, "echo", "a word")

    log = io.BytesIO()
    watch_container.Watch(request, rundir.attempt(1), run, log).to_the_end()
    assert log.getvalue() == b"a word\n"


def test_the_engine_itself_tells_the_limits_of_a_container_and_a_bomb_stops_at_them(rundir: RunDir, data: Path) -> None:
    program = """
import threading, time
threading.stack_size(65536)
over, started = threading.Event(), 0
try:
    while started < 10000:
        threading.Thread(target=over.wait).start()
        started += 1
except RuntimeError:
    pass
over.set()
while not pathlib.Path(os.environ["SM_CHECKPOINT_DIR"], "go").exists(): time.sleep(0.1)
finish(threads=float(started))
"""
    put(rundir.checkpoint, WRITE + program)
    job = launcher(memory_gib=0.25).submit(ODD, rundir, 1, data)
    wait_for(lambda: len(ours(["container"])) == 1)
    wait_for(lambda: docker("inspect", "--format", "{{.State.Running}}", ours(["container"])[0]) == ["true"])
    found = json.loads("\n".join(docker("inspect", ours(["container"])[0])))[0]
    (rundir.checkpoint / "go").touch()
    end_of(job)
    host = found["HostConfig"]
    assert (host["Privileged"], host["CapDrop"], host["CapAdd"] or []) == (False, ["ALL"], [])
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert (host["PidsLimit"], host["Memory"], host["MemorySwap"]) == (4096, 2**28, 2**28)
    assert not host["PidMode"]
    assert host["IpcMode"] in ("private", "shareable")
    assert host["NetworkMode"] == Request.read(rundir.attempt(1)).name, "its network is its own"
    assert not found["NetworkSettings"]["Ports"], "a port is published"
    assert "docker.sock" not in json.dumps(found["Mounts"])
    writable = {each["Destination"] for each in found["Mounts"] if each["RW"]}
    assert all(each.startswith("/opt/ml/") for each in writable), writable
    assert writable & {"/opt/ml/input/data/data", "/opt/ml/input/data/config", "/opt/ml/input/data/code"} == set()
    result = rundir.read_result()
    assert result is not None
    started = result.metrics["threads"]
    assert started is not None
    assert started < 4096


def test_nothing_is_left_and_every_file_is_the_users_own(rundir: RunDir, data: Path) -> None:
    run(rundir, data, "(out / 'deep').mkdir(); (out / 'deep' / 'file').touch(); finish()")
    assert ours() == []
    left = {p.name for p in rundir.attempt(1).iterdir()}
    assert left == {"config", "log.txt", "pid", "request.json", "sagemaker.txt"}
    assert {p.stat().st_uid for p in rundir.path.rglob("*")} == {os.getuid()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_files_belong_to_a_user_who_is_not_root() -> None:
    """As a user of the group `docker`, in a directory of that user's own."""
    with tempfile.TemporaryDirectory() as home:
        os.chown(home, 12345, 12345)
        socket = Path("/var/run/docker.sock").stat().st_gid
        program = (
            "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
            "from tests.test_containers import run; from benchmark.rundir import RunDir\n"
            "home = Path(sys.argv[1]); (home / 'data').mkdir(); rundir = RunDir(home / 'runs' / 'r'); \n"
            "rundir.path.mkdir(parents=True)\n"
            "assert run(rundir, home / 'data', 'finish()') is None; assert rundir.read_result()\n"
        )
        reading = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]  # this Python may be root's own
        change = ["setpriv", "--reuid=12345", "--regid=12345", f"--groups={socket}", *reading, "env", f"HOME={home}"]
        root = str(Path(__file__).resolve().parent.parent)
        done = subprocess.run(
            [*change, sys.executable, "-c", program, home, root], cwd=home, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert {p.stat().st_uid for p in Path(home).rglob("*")} == {12345}


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        ("raise ValueError('last words')", "error", "exit code 1"),
        ("os._exit(130)", "error", "exit code 130"),
        ("os._exit(0)", "error", "exit code 0 and without a result"),
        ("import ctypes; ctypes.string_at(0)", "killed", "SIGSEGV"),
        ("os._exit(137)", "killed", "SIGKILL"),
        ("pathlib.Path('/opt/ml/output/failure').write_text('no pip'); os._exit(69)", "infrastructure", "no pip"),
        ("pathlib.Path('/opt/ml/output/failure').write_text('old'); os._exit(78)", "config", "old"),
        (
            "failure = {'kind': 'diverged', 'message': 'NaN', 'schema_version': 1}\n"
            "(out / 'failure.json').write_text(json.dumps(failure)); os._exit(1)",
            "diverged",
            "NaN",
        ),
        ("x = b'1' * (400 << 20)", "oom", "0.25 GiB"),
        ("os._exit(74)", "infrastructure", "no space left"),
    ],
)
def test_each_end_is_told_by_its_kind(rundir: RunDir, data: Path, program: str, kind: str, message: str) -> None:
    failure = run(rundir, data, program, memory_gib=0.25)
    assert failure is not None
    assert failure.kind == kind
    assert message in failure.message
    assert rundir.read_result() is None
    assert ours() == []


def test_term_reaches_the_program_and_a_deaf_one_is_killed_after_its_grace(rundir: RunDir, data: Path) -> None:
    listening = (
        "import signal, time\n"
        "def on_term(*_):\n"
        "    with open(os.path.join(os.environ['SM_CHECKPOINT_DIR'], 'terms'), 'a') as f: f.write('.')\n"
        "    time.sleep(1); os._exit(5)\n"
        "signal.signal(signal.SIGTERM, on_term)\n"
    )
    deaf = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    for program in (listening, deaf):
        put(rundir.checkpoint, WRITE + program + READY + "time.sleep(120)\n")
        job = launcher().submit(ODD, rundir, 1, data)
        wait_for((rundir.checkpoint / "ready").exists)
        job.cancel()
        asked = time.monotonic()
        end_of(job)
        took = time.monotonic() - asked
        failure = rundir.read_failure()
        assert failure is not None
        assert failure.kind == "stopped"
        assert took > (0.9 if program == listening else 2.5)
        (rundir.checkpoint / "ready").unlink()
        rundir.clear_outcome()
    assert (rundir.checkpoint / "terms").read_text() == ".", "TERM came more than once"
    assert ours() == []


def test_a_job_stopped_before_its_container_is_there_does_not_run_on(rundir: RunDir, data: Path) -> None:
    put(rundir.checkpoint, WRITE + "import time; time.sleep(120)")
    job = launcher().submit(ODD, rundir, 1, data)
    wait_for((rundir.attempt(1) / "sagemaker.txt").exists)
    job.cancel()
    end_of(job, 60)
    assert ours() == []


def test_a_watcher_that_is_killed_takes_its_containers_along(rundir: RunDir, data: Path) -> None:
    put(rundir.checkpoint, WRITE + READY + "import time; time.sleep(120)")
    job = launcher().submit(ODD, rundir, 1, data)
    wait_for((rundir.checkpoint / "ready").exists)
    assert len(ours(["container"])) == 1
    os.killpg(int((rundir.attempt(1) / "pid").read_text()), signal.SIGKILL)
    failure = end_of(job)
    assert failure is not None
    assert failure.kind == "killed"
    assert ours() == []


def test_processor_time_tells_a_container_that_works_from_one_that_hangs(rundir: RunDir, data: Path) -> None:
    put(rundir.checkpoint, WRITE + READY + "import time\n"
        "while not pathlib.Path(os.environ['SM_CHECKPOINT_DIR'], 'hang').exists(): sum(range(10**5))\n" + READY
        + "time.sleep(120)")  # fmt: skip
    job = launcher().submit(ODD, rundir, 1, data)
    assert job.cpu_seconds() is None, "nobody knows yet"
    wait_for((rundir.checkpoint / "ready").exists)
    before = job.cpu_seconds()
    assert before is not None
    wait_for(lambda: (job.cpu_seconds() or 0.0) > before + 0.5)
    (rundir.checkpoint / "ready").unlink()
    (rundir.checkpoint / "hang").touch()
    wait_for((rundir.checkpoint / "ready").exists)
    time.sleep(0.5)
    hanging = job.cpu_seconds()
    time.sleep(1.5)
    assert job.cpu_seconds() == hanging
    job.cancel()
    end_of(job)


def test_an_attempt_is_adopted_and_one_without_a_watcher_is_removed(rundir: RunDir, data: Path) -> None:
    released = "import time\nwhile not pathlib.Path(os.environ['SM_CHECKPOINT_DIR'], 'go').exists(): time.sleep(0.1)\n"
    put(rundir.checkpoint, WRITE + READY + released + "finish()")
    started = launcher().submit(ODD, rundir, 1, data)
    wait_for((rundir.checkpoint / "ready").exists)
    with Local(command=COMMAND) as another:
        job = another.adopt(ODD, rundir, 1)
        assert job is not None
        (rundir.checkpoint / "go").touch()
        end_of(job)
        end_of(started)
        assert rundir.read_result() is not None
        assert another.adopt(ODD, rundir, 1) is None
    name = Request.read(rundir.attempt(1)).run
    docker("run", "--detach", "--label", f"{containers.RUN}={name}", "--label", f"{containers.ATTEMPT}=x",
           IMAGE, "sleep", "60")  # fmt: skip
    assert launcher().adopt(ODD, rundir, 1) is None
    assert ours() == []


def test_two_experiments_of_the_same_name_do_not_kill_each_other(tmp_path: Path, data: Path) -> None:
    """SageMaker names a compose project after the last part of a path."""
    jobs, rundirs = [], [RunDir(tmp_path / each / "results" / "tiny" / "runs" / "0123456789ab") for each in "ab"]
    together = "import time\nwhile not pathlib.Path(os.environ['SM_CHECKPOINT_DIR'], 'go').exists(): time.sleep(0.1)\n"
    for each in rundirs:
        each.path.mkdir(parents=True)
        put(each.checkpoint, WRITE + READY + together + "finish()")
        jobs.append(launcher().submit(ODD, each, 1, data))
    for each in rundirs:
        wait_for((each.checkpoint / "ready").exists)
    assert len(ours(["container"])) == len(ours(["network"])) == 2
    (rundirs[0].checkpoint / "go").touch()
    end_of(jobs[0])
    assert jobs[1].poll().status == "running"
    (rundirs[1].checkpoint / "go").touch()
    end_of(jobs[1])
    assert all(each.read_result() for each in rundirs)


def test_hosts_find_each_other_and_isolated_ones_nothing_else(rundir: RunDir, data: Path) -> None:
    program = """
import socket, time
me, hosts = os.environ["SM_CURRENT_HOST"], json.loads(os.environ["SM_HOSTS"])
def reach(address):
    try:
        socket.create_connection(address, timeout=2).close()
        return True
    except OSError as error:
        return False
if me == "algo-1":
    server = socket.create_server(("", 7777)); server.settimeout(30); server.accept()
    finish(hosts=float(len(hosts)), gateway=float(os.path.getsize("/proc/net/route") and "00000000" in
           [line.split()[1] for line in open("/proc/net/route")][1:]))
else:
    while not reach(("algo-1", 7777)): time.sleep(0.1)
"""
    assert run(rundir, data, program, hosts=2, network_isolation=True) is None
    result = rundir.read_result()
    assert result is not None
    assert result.metrics == {"hosts": 2.0, "gateway": 0.0}, "there is a way out"


def test_the_dockerfile_makes_an_image_of_a_base(rundir: RunDir, data: Path, tmp_path: Path) -> None:
    """With a requirement that the base has; the real ones are built by hand (docs/evidence.md)."""
    shutil.copy(Path(bootstrap.__file__).with_name("Dockerfile"), tmp_path)
    (tmp_path / "requirements.txt").write_text("pip>=1\n")
    docker("build", "--quiet", "--build-arg", f"BASE={IMAGE}", "--tag", "benchmark-test-built", str(tmp_path))
    try:
        assert containers.image_label("benchmark-test-built", LIBRARIES) == "image", "the base's label shines through"
        program = "finish(libraries=float('libraries' in os.environ.get('PYTHONPATH', '')))"
        assert run(rundir, data, program, image="benchmark-test-built") is None
        result = rundir.read_result()
        assert result is not None
        assert result.metrics == {"libraries": 0.0}
    finally:
        docker("rmi", "benchmark-test-built")


def test_an_image_without_a_library_says_so_where_it_cannot_get_it(rundir: RunDir, data: Path) -> None:
    bare = f"FROM {IMAGE}\nLABEL torch-image-benchmark.libraries=image\n"
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", "benchmark-test-bare", "-"],
        input=bare,
        text=True,
        check=True,
        capture_output=True,
    )
    with Local("spawn", image="benchmark-test-bare", network_isolation=True) as local:
        end_of(local.submit(ODD, rundir, 1, data), 120)
    failure = rundir.read_failure()
    docker("rmi", "benchmark-test-bare")
    assert failure is not None
    assert failure.kind == "config"
    assert "torch" in failure.message
    assert "network_isolation" in failure.message
