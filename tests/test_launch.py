"""Host processes as they are started: forked from a warm server or fresh, with the same bits and the same manners."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from launch import Job, JobState, attempts, cores, processes
from launch.fast_local import PRELOAD, FastLocal, job_environment
from launch.host import Start
from launch.warm import SERVER, ServerDied, WarmServer

RUN = Run(DataSpec("synthetic"), "lenet5", data_digest="d" * 64, image_size=28, channels=1, epochs=1)
TELL = """
import json, os, pathlib, sys
facts = {"cwd": os.getcwd(), "group": os.getpgrp() == os.getpid(), "session": os.getsid(0) == os.getpid(),
         "cores": sorted(os.sched_getaffinity(0)), "argv": sys.argv,
         "flavour": os.environ.get("FLAVOUR"), "token": os.environ.get("MY_TOKEN"),
         "threads": os.environ["OMP_NUM_THREADS"], "hash": hash("a"), "oom": open("/proc/self/oom_score_adj").read(),
         "files": sorted(os.readlink(f"/proc/self/fd/{each}") for each in os.listdir("/proc/self/fd")
                         if os.path.exists(f"/proc/self/fd/{each}"))}
pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"], "facts.json").write_text(json.dumps(facts))
"""


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def end_of(job: Job) -> JobState:
    wait_for(lambda: job.poll().status == "ended", 120)
    return job.poll()


@pytest.fixture(params=["fork", "spawn"])
def start(request: pytest.FixtureRequest) -> Start:
    found: Start = request.param
    return found


@pytest.fixture
def rundir(tmp_path: Path) -> RunDir:
    found = RunDir(tmp_path / "кот #1")
    found.path.mkdir()
    found.write_run(RUN)
    return found


def script(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "entry.py"
    path.write_text(text)
    return path


def test_a_worker_has_its_own_session_directory_environment_cores_and_log(
    tmp_path: Path, rundir: RunDir, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = script(tmp_path, TELL + "print('said', flush=True); print('wrong', file=sys.stderr)\n")
    with FastLocal(start, entry=entry, preload=("numpy",)) as launcher:
        launcher.prepare()
        monkeypatch.setenv("FLAVOUR", "set after the server has started")
        monkeypatch.setenv("MY_TOKEN", "nobody's business")
        end_of(launcher.submit(RUN, rundir, 1, tmp_path))
    facts = json.loads((rundir.path / "facts.json").read_text())
    attempt = rundir.attempt(1)
    assert facts["cwd"] == str(attempt)
    assert facts["group"]
    assert facts["session"]
    assert facts["argv"] == [str(entry)]
    assert facts["flavour"] == "set after the server has started"
    assert facts["token"] is None
    assert len(facts["cores"]) == 1
    assert facts["oom"].strip() == "500"
    assert sum(str(rundir.path / "lock") in each for each in facts["files"]) == 1
    assert not any("socket" in each for each in facts["files"]), "the server's channel has leaked into the job"
    assert {"said", "wrong"} <= set((attempt / "log.txt").read_text().split())


def test_forked_and_fresh_workers_hash_alike(tmp_path: Path, rundir: RunDir) -> None:
    found = []
    for start in ("fork", "spawn"):
        with FastLocal(start, entry=script(tmp_path, TELL), preload=()) as launcher:  # type: ignore[arg-type]
            end_of(launcher.submit(RUN, rundir, 1, tmp_path))
        found.append(json.loads((rundir.path / "facts.json").read_text())["hash"])
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("import sys; sys.exit(7)", "error", "exit code 7"),
        ("import sys; sys.exit('last words')", "error", "exit code 1"),
        ("raise ValueError('last words')", "error", "exit code 1"),
        ("import os; os._exit(3)", "error", "exit code 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "killed", "SIGSEGV"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed", "SIGKILL"),
        ("import os; os._exit(74)", "infrastructure", "no space left"),
    ],
)
def test_each_end_is_told_by_its_kind(
    tmp_path: Path, rundir: RunDir, start: Start, text: str, kind: str, message: str
) -> None:
    with FastLocal(start, entry=script(tmp_path, text), preload=()) as launcher:
        failure = end_of(launcher.submit(RUN, rundir, 1, tmp_path)).failure
    assert failure is not None
    assert failure.kind == kind
    assert message in failure.message
    if "last words" in text:
        assert "last words" in rundir.log_tail(1)


def test_a_job_that_ends_leaves_nothing_running_in_its_group(tmp_path: Path, rundir: RunDir, start: Start) -> None:
    entry = script(
        tmp_path,
        "import subprocess, sys, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path('child').write_text(str(child.pid))\n"
        "child.returncode = 0\n",
    )
    with FastLocal(start, entry=entry, preload=()) as launcher:
        end_of(launcher.submit(RUN, rundir, 1, tmp_path))
    child = int((rundir.attempt(1) / "child").read_text())
    wait_for(lambda: processes.is_dead(child), 10)


def test_what_an_orphan_leaves_in_its_group_does_not_keep_its_lock(tmp_path: Path, rundir: RunDir) -> None:
    entry = script(
        tmp_path,
        "import os, pathlib, signal, time\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(60)\n"
        "pathlib.Path('child').write_text(str(child))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n",
    )
    program = (
        "import os, sys; from pathlib import Path; from benchmark.rundir import RunDir\n"
        "from launch.fast_local import FastLocal\n"
        "rundir = RunDir(Path(sys.argv[1])); launcher = FastLocal('spawn', entry=Path(sys.argv[2]))\n"
        "launcher.submit(rundir.read_run(), rundir, 1, rundir.path); os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(rundir.path), str(entry)], check=True)
    wait_for(lambda: (rundir.attempt(1) / "child").exists())
    with FastLocal("spawn") as launcher:
        job = launcher.adopt(RUN, rundir, 1)
        assert job is not None
        assert end_of(job).failure is not None


def test_a_run_that_was_never_started_is_not_adopted_and_leaves_no_trace(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "new")
    with FastLocal("spawn") as launcher:
        assert launcher.adopt(RUN, rundir, 1) is None
    assert not rundir.path.exists()


@pytest.mark.parametrize("waits", [0, 1, 2], ids=["asked at once", "asked after its word", "asked after its end"])
def test_a_server_that_must_not_fork_is_replaced_by_fresh_processes(
    tmp_path: Path, rundir: RunDir, monkeypatch: pytest.MonkeyPatch, waits: int
) -> None:
    thread = "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    (tmp_path / "has_thread.py").write_text(thread)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with FastLocal("fork", entry=script(tmp_path, TELL), preload=("has_thread",)) as launcher:
        launcher.prepare()
        for _ in range(waits):
            launcher.wait(120)
        end_of(launcher.submit(RUN, rundir, 1, tmp_path))
        notices = list(launcher.notices())
    assert (rundir.path / "facts.json").exists()
    assert len(notices) == 1
    assert "2 threads run after the imports; workers are fresh processes from here on" in notices[0]


def test_a_server_that_died_between_two_runs_is_replaced(tmp_path: Path, rundir: RunDir) -> None:
    with FastLocal("fork", entry=script(tmp_path, TELL), preload=()) as launcher:
        launcher.prepare()
        server = launcher._server
        assert server is not None
        server.wait_until_ready()
        os.kill(server.pid, signal.SIGKILL)
        end_of(launcher.submit(RUN, rundir, 1, tmp_path))
        assert any("another is started" in each for each in launcher.notices())
        assert launcher._server is not server
    assert (rundir.path / "facts.json").exists()


def test_a_server_whose_imports_fail_says_so() -> None:
    server = WarmServer(os.environ, ("no_such_module",))
    with pytest.raises(ServerDied, match="has died"):
        server.wait_until_ready()


def test_waiting_ends_with_the_job(tmp_path: Path, rundir: RunDir) -> None:
    with FastLocal("fork", entry=script(tmp_path, "import time; time.sleep(0.5)"), preload=()) as launcher:
        job = launcher.submit(RUN, rundir, 1, tmp_path)
        assert job.poll().status == "running"
        launcher.wait(600)
        assert job.poll().status == "ended"


def test_waiting_for_a_server_that_dies_ends_and_goes_on(tmp_path: Path, rundir: RunDir) -> None:
    with FastLocal("fork", entry=script(tmp_path, "import time; time.sleep(60)"), preload=()) as launcher:
        job = launcher.submit(RUN, rundir, 1, tmp_path)
        server = launcher._server
        assert server is not None
        os.kill(server.pid, signal.SIGKILL)
        launcher.wait(600)
        launcher.wait(0.1)  # nobody will say anything any more
        assert job.poll().status == "running"
        job.cancel()
        end_of(job)


def test_a_job_s_memory_comes_in_large_pages(tmp_path: Path, rundir: RunDir) -> None:
    """Where Linux leaves that to the program; glibc asks for it since 2.35."""
    mode = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
    code = "kept = [bytes(2**17) for _ in range(100)]; print(open('/proc/self/smaps').read())"
    environment = job_environment(RUN, rundir, tmp_path, tmp_path, {})
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    heap = found.stdout.partition("[heap]")[2].partition("VmFlags:")[2].partition("\n")[0].split()
    assert ("hg" in heap) == ("[madvise]" in mode)


def test_the_user_s_own_settings_of_the_allocator_stay(tmp_path: Path, rundir: RunDir) -> None:
    found = job_environment(RUN, rundir, tmp_path, tmp_path, {"MALLOC_TRIM_THRESHOLD_": "1"})
    assert found["MALLOC_TRIM_THRESHOLD_"] == "1"
    assert int(found["MALLOC_MMAP_THRESHOLD_"]) == 32 * 2**20


def test_cores_are_lent_once_and_come_back() -> None:
    lender = cores.Cores({0, 1, 2, 3})
    first, second, none = lender.take(3), lender.take(1), lender.take(1)
    assert (first, second, none) == ((0, 1, 2), (3,), ())
    lender.give(first)
    assert lender.withdraw({1, 9}) == (1,)
    assert lender.take(2) == (0, 2)


@pytest.mark.slow
def test_the_server_computes_nothing_before_it_forks(tmp_path: Path) -> None:
    """One thread (no OpenMP region has run, no thread of autograd or of BLAS lives), and CUDA untouched."""
    program = (
        "import importlib, json, sys\n"
        f"for name in {PRELOAD!r}: importlib.import_module(name)\n"
        "import torch; from launch import processes\n"
        "print(json.dumps([processes.threads(), torch.cuda.is_initialized(), 'mlflow' in sys.modules, "
        "'matplotlib' in sys.modules, 'sagemaker' in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [1, False, False, False, False]


def test_a_server_whose_orchestrator_ends_without_reading_ends_in_silence() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, ours:
        command = [sys.executable, str(SERVER), str(theirs.fileno()), "json"]
        server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE, text=True)
        theirs.close()
        assert select.select([ours], [], [], 60)[0], "it is not ready"
        ours.close()  # unread: the kernel tells the server of a reset
        assert server.communicate(timeout=60) == (None, "")
    assert server.returncode == 0


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    cache = tmp_path_factory.mktemp("cache")
    spec = DataSpec("synthetic", train_size=2000, test_size=500, size=64, classes=4)
    digest = datasets.inspect(spec, cache).digest
    data = datasets.prepare(spec, image_size=64, channels=1, resize="crop", cache=cache)
    run = Run(spec, "lenet5", data_digest=digest, image_size=64, channels=1, epochs=1, threads=2, device="cpu")
    return run, data


@pytest.fixture(scope="module")
def warm() -> Iterator[FastLocal]:
    with FastLocal("fork") as launcher:
        launcher.prepare()
        yield launcher


@pytest.mark.nightly
@pytest.mark.slow
def test_forked_and_fresh_workers_train_the_same_bits_on_two_threads(
    tmp_path: Path, prepared: tuple[Run, Path], warm: FastLocal
) -> None:
    run, data = prepared
    found = []
    with FastLocal("spawn") as fresh:
        for name, launcher in (("forked", warm), ("fresh", fresh)):
            rundir = RunDir(tmp_path / name)
            rundir.path.mkdir()
            rundir.write_run(run)
            end_of(launcher.submit(run, rundir, 1, data))
            assert rundir.read_result() is not None, rundir.log_tail(1)
            found.append((rundir.model.read_bytes(), rundir.read_predictions("test").log_probs.tobytes()))
    assert found[0] == found[1]


@pytest.mark.slow
def test_workers_share_the_pages_of_the_decoded_images(
    tmp_path: Path, prepared: tuple[Run, Path], warm: FastLocal
) -> None:
    run, data = prepared
    jobs, rundirs = [], [RunDir(tmp_path / str(index)) for index in range(2)]
    for rundir in rundirs:
        rundir.path.mkdir()
        rundir.write_run(run)
        jobs.append(warm.submit(run, rundir, 1, data))
    try:
        pids = [rundir.attempt(1) / "pid" for rundir in rundirs]
        wait_for(lambda: all(each.exists() and each.read_text() for each in pids))
        wait_for(lambda: all(mapped(int(each.read_text()), data)["Rss"] >= 4000 for each in pids))
        sizes = [mapped(int(each.read_text()), data) for each in pids]
    finally:
        for job in jobs:
            job.cancel()
            end_of(job)
    assert all(each["Pss"] < 0.8 * each["Rss"] for each in sizes), sizes
    assert all(each["Private_Dirty"] == 0 for each in sizes), sizes


def mapped(pid: int, directory: Path) -> dict[str, int]:
    """Kilobytes of the files in ``directory`` that a process has in memory: its own share, and all."""
    sizes = {"Rss": 0, "Pss": 0, "Private_Dirty": 0}
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name = line.partition(":")[0]
        if name in sizes and inside:
            sizes[name] += int(line.split()[1])
        elif "-" in line.split()[0]:
            inside = str(directory) in line
    return sizes


MEMORY = Path("/sys/fs/cgroup/memory")

if os.access(MEMORY / "cgroup.procs", os.W_OK):  # where a memory limit can be set

    def test_a_run_that_runs_out_of_memory_is_told_as_such_and_touches_no_other(
        tmp_path: Path, rundir: RunDir, start: Start
    ) -> None:
        group = MEMORY / f"benchmark-test-{os.getpid()}"
        group.mkdir()
        try:
            (group / "memory.limit_in_bytes").write_text(str(200 * 2**20))
            entry = script(
                tmp_path,
                f"import os, pathlib; pathlib.Path({str(group / 'cgroup.procs')!r}).write_text(str(os.getpid()))\n"
                "held = [bytearray(b'x') * 2**20 for _ in range(1000)]\n",
            )
            other = RunDir(tmp_path / "other")
            other.path.mkdir()
            with FastLocal(start, entry=entry, preload=()) as launcher:
                failure = end_of(launcher.submit(RUN, rundir, 1, tmp_path)).failure
                entry.write_text(TELL)
                end_of(launcher.submit(RUN, other, 1, tmp_path))
            assert failure is not None
            assert failure.kind == "oom"
            assert (other.path / "facts.json").exists()
        finally:
            wait_for(lambda: not (group / "cgroup.procs").read_text())
            group.rmdir()


@pytest.mark.parametrize(("looks", "kind"), [(0, "oom"), (1, "oom"), (2, "killed")])
def test_a_process_that_takes_a_moment_to_be_gone_has_run_out_of_memory_all_the_same(
    monkeypatch: pytest.MonkeyPatch, looks: int, kind: str
) -> None:
    """The kernel counts for the whole machine, and may be asked while the process that it has killed still dies."""
    count = [3]
    monkeypatch.setattr(attempts, "out_of_memory_kills", lambda: count[0])
    ending = attempts.Ending(lambda: None, _latest=3)
    count[0] = 4
    for _ in range(looks):
        ending._looked -= 2 * attempts.KILLS_SECONDS
        ending.look()
    failure = ending.end(-signal.SIGKILL).failure
    assert failure is not None
    assert failure.kind == kind
