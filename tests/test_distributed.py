"""Several processes that train one run, as torchrun starts them: the run of one process, whole or not at all."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmark.data import datasets
from benchmark.records import Failure
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from benchmark.sweep import RETRIED
from benchmark.training.data import load
from benchmark.training.failures import TeamError
from benchmark.training.hosts import Hosts
from benchmark.training.optim import Criterion, balanced_weights
from benchmark.training.share import Share
from benchmark.training.torchrun import Ending
from benchmark.training.transforms import augmentation
from launch import processes
from launch.fast_local import ENTRY, FastLocal, job_environment
from launch.host import Start
from tests.job_support import quality
from tests.night import by_day

ROOT = Path(__file__).resolve().parent.parent
SPEC = DataSpec("synthetic", train_size=400, test_size=151, classes=4)
HARM = """
import os, signal, sys, time
sys.path.insert(0, {root!r})
from benchmark.training import job, portions

def harmful(self, progress, unharmed=portions.Portions.epoch):
    if progress.epoch == 3 and os.environ["RANK"] == "{rank}":
        {harm}
    return unharmed(self, progress)

portions.Portions.epoch = harmful
sys.exit(job.main())
"""
"""An entry script whose worker ``rank`` comes to harm in its third epoch."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("кот #1 cache")


@pytest.fixture(scope="module")
def base(cache: Path) -> Run:
    digest = datasets.inspect(SPEC, cache).digest
    return Run(
        SPEC, "lenet5", data_digest=digest, image_size=28, channels=1, epochs=3, lr=3e-3, device="cpu", processes=2
    )


@pytest.fixture(scope="module")
def data(base: Run, cache: Path) -> Path:
    return datasets.prepare(SPEC, image_size=28, channels=1, resize="crop", cache=cache)


def begin(
    run: Run, data: Path, directory: Path, entry: Path = ENTRY, checkpoint: Path | None = None, **variables: str
) -> tuple[subprocess.Popen[bytes], RunDir]:
    """Starts a job as a launcher does, in a group of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    rundir = RunDir(directory, checkpoint=checkpoint)
    rundir.write_run(run)
    environment = job_environment(run, rundir, rundir.attempt(1), data, os.environ, "train")
    with (rundir.attempt(1) / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, str(entry)],
            env={**environment, "BENCHMARK_CHECKPOINT_SHARE": "0", "MARK": str(directory), **variables},
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return process, rundir


def train(run: Run, data: Path, directory: Path) -> RunDir:
    process, rundir = begin(run, data, directory)
    assert process.wait(300) == 0, rundir.log_tail(1)
    return rundir


def bits(rundir: RunDir) -> tuple[object, ...]:
    """What of a run must be the same, whatever happened on the way."""
    result = rundir.read_result()
    assert result is not None
    log_probs = [rundir.read_predictions(split).log_probs.tobytes() for split in ("val", "test")]
    curve = [(event.epoch, event.step, quality(event.metrics)) for event in rundir.read_events()]
    return rundir.model.read_bytes(), log_probs, curve, quality(result.metrics), result.best_epoch


def living(directory: Path) -> set[int]:
    """Every process that the job in ``directory`` has started and that is not dead."""
    mark, found = f"MARK={directory}".encode(), set()
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.add(int(path.parent.name))
        except OSError:
            continue
    return {pid for pid in found if not processes.is_dead(pid)}


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen"
        time.sleep(0.02)
    return time.monotonic() - started


def harmed(tmp_path: Path, harm: str, rank: int = 1) -> Path:
    path = tmp_path / "harmed.py"
    path.write_text(HARM.format(root=str(ROOT), harm=harm, rank=rank))
    return path


@pytest.fixture(scope="module")
def demanding(base: Run) -> Run:
    """Batch normalisation, dropout, augmentation, clipping, a last batch of three images."""
    return dataclasses.replace(
        base,
        model="small/vgg11_bn",
        model_args={"width": 0.125, "dropout": 0.3},
        optimizer="sgd",
        lr=0.05,
        schedule="onecycle",
        clip_grad=1.0,
        augment="crop+flip+erase",
        batch_size=51,
        epochs=4,
    )


@pytest.fixture(scope="module")
def undisturbed(demanding: Run, data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return train(demanding, data, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("whole", [1, 2, 3, 7, 64])
def test_shares_are_a_partition_and_nobody_sees_fewer_than_two(whole: int, size: int) -> None:
    shares = [Share.of(whole, rank, size) for rank in range(size)]
    own = [list(range(whole))[each.own] for each in shares]
    assert [image for each in own for image in each] == list(range(whole))
    assert max(map(len, own)) - min(map(len, own)) <= 1
    for each in shares:
        seen = list(range(whole))[each.seen]
        assert len(seen) >= min(2, whole)
        assert seen[each.counting] == list(range(whole))[each.own]


@pytest.mark.parametrize("criterion", ["cross_entropy", "focal"])
@pytest.mark.parametrize("weights", ["none", "balanced"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_mean_of_the_shares_losses_is_the_loss_of_the_batch(
    criterion: str, weights: str, smoothing: float, base: Run
) -> None:
    run = dataclasses.replace(base, criterion=criterion, class_weights=weights, label_smoothing=smoothing)  # type: ignore[arg-type]
    labels = torch.tensor([0, 0, 0, 1, 2, 2, 3])
    loss = Criterion(run, balanced_weights(labels, 5) if weights == "balanced" else None)
    logits = torch.randn(7, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    whole = loss(logits, labels)
    shares = [Share.of(7, rank, 3).own for rank in range(3)]
    parts = torch.stack([loss(logits[each], labels[each], 3 * loss.scale(labels)[each]) for each in shares])
    assert parts.mean().item() == pytest.approx(whole.item(), rel=1e-6)
    gradients = [torch.autograd.grad(each, logits)[0] for each in (whole, parts.mean())]
    assert torch.allclose(*gradients, atol=1e-7)


@pytest.mark.parametrize("name", ["crop", "flip", "erase", "light", "crop+flip+erase"])
def test_an_image_changes_as_it_would_in_one_process(name: str) -> None:
    images, change = torch.rand(7, 1, 28, 28, generator=torch.Generator().manual_seed(0)), augmentation(name)  # type: ignore[arg-type]
    assert change is not None
    whole = change(images, torch.Generator().manual_seed(1))
    for rank in range(4):
        share = Share.of(7, rank, 4)
        assert torch.equal(change(images[share.seen], torch.Generator().manual_seed(1), share), whole[share.seen])


def test_a_key_of_one_process_is_no_part_of_a_run_s_identity(base: Run) -> None:
    one, two = (dataclasses.replace(base, processes=number, data_digest="d") for number in (1, 2))
    assert one.run_id == Run.from_json({k: v for k, v in one.to_json().items() if k != "processes"}).run_id
    assert one.run_id != two.run_id


def test_processes_that_do_not_divide_among_the_hosts_are_refused() -> None:
    hosts = Hosts.from_environment({"SM_HOSTS": '["algo-1", "algo-2"]', "SM_CURRENT_HOST": "algo-2"})
    wanted = ("--nnodes", "2", "--node-rank", "1", "--master-addr", "algo-1", "--master-port", "29400")
    meeting = Path("a b/meeting")
    assert hosts.arguments(4, meeting) == (*wanted, "--nproc-per-node", "2")
    for wrong in (1, 3):
        with pytest.raises(TeamError, match=f"{wrong} cannot be divided among 2 hosts"):
            hosts.arguments(wrong, meeting)
    with pytest.raises(TeamError, match="SM_CURRENT_HOST is algo-3"):
        Hosts.from_environment({"SM_HOSTS": '["algo-1"]', "SM_CURRENT_HOST": "algo-3"})
    assert str(meeting) in Hosts.from_environment({}).arguments(3, meeting), "on one host no port is opened"


def test_a_failure_of_the_hosts_is_one_of_configuration(base: Run, data: Path, tmp_path: Path) -> None:
    process, rundir = begin(base, data, tmp_path / "run", SM_HOSTS='["a", "b", "c"]', SM_CURRENT_HOST="a")
    assert process.wait(120) == 1
    failure = rundir.read_failure()
    assert failure is not None
    assert (failure.kind, failure.message) == ("config", "processes: 2 cannot be divided among 3 hosts")


def test_a_failure_of_its_own_is_told_before_what_it_brought_about(tmp_path: Path) -> None:
    def ending(kills: int = 0) -> Failure:
        return Ending(tmp_path, 1, kills).failure

    assert ending().kind == "infrastructure"
    for rank in range(3):
        (tmp_path / str(rank)).mkdir()
    (tmp_path / "2" / "ended").touch()
    RunDir(tmp_path / "0").write_failure(Failure("killed", "another process is gone", time=1.0))
    assert (ending().kind, ending().message) == ("killed", "process 1 of the run was killed")
    assert ending(kills=1).kind == "oom"
    RunDir(tmp_path / "1").write_failure(Failure("stopped", "asked to stop", time=0.5))
    assert ending().kind == "stopped"
    RunDir(tmp_path / "1").write_failure(Failure("diverged", "loss nan", time=2.0))
    assert ending().kind == "diverged"


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    by_day(
        lambda change: "augment" in change,
        [
            {"batch_size": 51, "augment": "crop+flip+erase", "clip_grad": 0.5, "model": "lenet5"},
            {"batch_size": 64, "class_weights": "balanced", "label_smoothing": 0.1, "optimizer": "momentum"},
        ],
    ),
    ids=["a last batch of three", "balanced and smoothed"],
)
def test_two_processes_learn_what_one_learns(change: dict[str, object], base: Run, data: Path, tmp_path: Path) -> None:
    """To within rounding: curves to 1e-4, weights to 1e-4."""
    runs = [dataclasses.replace(base, processes=number, **change) for number in (1, 2)]  # type: ignore[arg-type]
    one, two = (train(run, data, tmp_path / str(run.processes)) for run in runs)
    for left, right in zip(one.read_events(), two.read_events(), strict=True):
        assert quality(right.metrics) == pytest.approx(quality(left.metrics), abs=1e-4)
    weights = [load_file(each.model) for each in (one, two)]
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=1e-4) for name in weights[0])
    for split, images in (("val", load(data).val), ("test", load(data).test)):
        left, right = one.read_predictions(split), two.read_predictions(split)
        assert list(right.ids) == list(left.ids) == list(images.ids)
        assert (right.labels == left.labels).all()
        assert np.allclose(np.exp(right.log_probs), np.exp(left.log_probs), atol=1e-4)


@pytest.mark.nightly
@pytest.mark.slow
def test_early_stopping_is_decided_by_all(base: Run, data: Path, tmp_path: Path) -> None:
    run = dataclasses.replace(base, lr=1e-12, early_stopping=2, epochs=9)
    result = train(run, data, tmp_path / "run").read_result()
    assert result is not None
    assert (result.best_epoch, result.epochs) == (1, 3)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_process_without_an_image_of_the_last_batch_takes_part(base: Run, data: Path, tmp_path: Path) -> None:
    """Three processes share two images."""
    run = dataclasses.replace(base, processes=3, batch_size=179, epochs=1)
    assert len(load(data).train) % 179 == 2
    result = train(run, data, tmp_path / "run").read_result()
    assert result is not None
    assert result.metrics["test/accuracy"] is not None


@pytest.mark.nightly
@pytest.mark.slow
def test_a_network_with_auxiliary_heads_trains(base: Run, cache: Path, tmp_path: Path) -> None:
    spec = DataSpec("synthetic", train_size=24, test_size=8, classes=2, size=64)
    digest = datasets.inspect(spec, cache).digest
    data = datasets.prepare(spec, image_size=64, channels=1, resize="crop", cache=cache)
    run = dataclasses.replace(base, data=spec, data_digest=digest, image_size=64, model="googlenet", epochs=2)
    assert train(dataclasses.replace(run, batch_size=8), data, tmp_path / "run").read_result() is not None


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_job_that_is_killed_leaves_nobody_and_goes_on_with_the_same_bits(
    start: Start, demanding: Run, data: Path, undisturbed: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rundir = RunDir(tmp_path / "run")
    rundir.path.mkdir()
    rundir.write_run(demanding)
    monkeypatch.setenv("MARK", str(rundir.path))
    monkeypatch.setenv("BENCHMARK_CHECKPOINT_SHARE", "0")
    with FastLocal(start, entry=harmed(tmp_path, "time.sleep(600)")) as launcher:
        job = launcher.submit(demanding, rundir, 1, data)
        wait_for(lambda: (rundir.checkpoint / "epoch-00002.pt").exists())
        pid = int((rundir.attempt(1) / "pid").read_text())
        workers = living(rundir.path) - ({os.getpid()} if start == "fork" else set())
        assert len([each for each in workers if os.getsid(each) == each]) >= 3, "the job and two workers"
        own = cpu_seconds_of(pid)
        counted = job.cpu_seconds()
        assert counted is not None
        assert counted > own, "workers in sessions of their own count too"
        os.killpg(pid, signal.SIGKILL)
        wait_for(lambda: job.poll().status == "ended", 20)
        failure = job.poll().failure
        assert failure is not None
        assert failure.kind == "killed"
        wait_for(lambda: not [each for each in living(rundir.path) if each in workers and each != server(launcher)], 5)
    with FastLocal(start) as launcher:
        job = launcher.submit(demanding, rundir, 2, data)
        wait_for(lambda: job.poll().status == "ended")
    assert "going on after epoch 2" in rundir.log_path(2).read_text()
    assert bits(rundir) == bits(undisturbed)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize(
    "keys",
    [
        pytest.param({}, marks=pytest.mark.nightly),
        {"accumulate": 2, "ema_decay": 0.9, "mixup": 0.2, "policy": "trivial"},
    ],
    ids=str,
)
def test_processes_that_die_within_an_epoch_go_on_together_with_the_same_bits(
    keys: dict[str, object], base: Run, data: Path, tmp_path: Path
) -> None:
    """Of 90 steps, 50 are in a checkpoint when the first process dies."""
    run = dataclasses.replace(base, batch_size=4, epochs=2, lr=1e-3, **keys)
    marker = tmp_path / "marker"
    variables = {"BENCHMARK_CHECKPOINT_SECONDS": "0", "BENCHMARK_FAILPOINT": f"job.within:{marker}"}
    process, rundir = begin(run, data, tmp_path / "run", **variables)
    assert process.wait(120) != 0
    assert marker.exists()
    failure = rundir.read_failure()
    assert failure is not None
    assert failure.kind == "killed"
    assert [path.name for path in rundir.checkpoint.glob("*.pt")] == ["epoch-00000-000050.pt"]
    rundir.clear_failure()
    again = train(run, data, tmp_path / "run")
    assert "going on after epoch 0 and 50 steps" in again.log_path(1).read_text()
    assert bits(again) == bits(train(run, data, tmp_path / "undisturbed"))


@pytest.mark.nightly
@pytest.mark.slow
def test_processes_of_which_one_is_asked_to_stop_save_a_step_that_they_agree_on(
    base: Run, data: Path, tmp_path: Path
) -> None:
    run = dataclasses.replace(base, batch_size=4, epochs=4, lr=1e-3)
    entry = harmed(tmp_path, "os.kill(os.getpid(), signal.SIGTERM)")
    process, rundir = begin(run, data, tmp_path / "run", entry)
    assert process.wait(120) == 1
    failure = rundir.read_failure()
    assert failure is not None
    assert failure.kind == "stopped"
    assert (rundir.checkpoint / "epoch-00002-000050.pt").exists()
    rundir.clear_failure()
    again = train(run, data, tmp_path / "run")
    assert "going on after epoch 2 and 50 steps" in again.log_path(1).read_text()
    assert bits(again) == bits(train(run, data, tmp_path / "undisturbed"))


def server(launcher: FastLocal) -> int | None:
    found = launcher._server
    return found.pid if found is not None else None


def cpu_seconds_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture
def sleeping(demanding: Run, data: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], RunDir]]:
    """A job whose second worker sleeps in its third epoch, for which the first one waits."""
    process, rundir = begin(demanding, data, tmp_path / "run", harmed(tmp_path, "time.sleep(600)"))
    try:
        wait_for(lambda: (rundir.checkpoint / "epoch-00002.pt").exists())
        time.sleep(0.5)
        yield process, rundir
    finally:
        processes.signal_group(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.nightly
def test_a_job_that_is_asked_to_stop_stops_with_all_its_workers_and_goes_on(
    sleeping: tuple[subprocess.Popen[bytes], RunDir], demanding: Run, data: Path, undisturbed: RunDir
) -> None:
    process, rundir = sleeping
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(60) == 1
    failure = rundir.read_failure()
    assert failure is not None
    assert failure.kind == "stopped"
    assert failure.message == "asked to stop by SIGTERM"
    assert not living(rundir.path)
    rundir.clear_failure()
    assert bits(train(demanding, data, rundir.path)) == bits(undisturbed)


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "rank", "kind", "message"),
    [
        ("raise MemoryError('no room')", 1, "oom", "no room"),
        ("os.kill(os.getpid(), signal.SIGKILL)", 0, "killed", "process 0 of the run was killed"),
    ],
)
def test_a_worker_that_fails_ends_the_job_with_its_own_failure(
    harm: str, rank: int, kind: str, message: str, base: Run, data: Path, tmp_path: Path
) -> None:
    process, rundir = begin(base, data, tmp_path / "run", harmed(tmp_path, harm, rank))
    assert process.wait(60) == 1
    failure = rundir.read_failure()
    assert failure is not None
    assert (failure.kind, failure.message) == (kind, message)
    assert (rundir.attempt(1) / "failure").read_text() == f"{kind}: {message}"
    assert not living(rundir.path)
    assert rundir.read_result() is None


@pytest.mark.nightly
def test_processes_that_diverge_say_at_which_step(base: Run, data: Path, tmp_path: Path) -> None:
    process, rundir = begin(dataclasses.replace(base, optimizer="momentum", lr=1e6), data, tmp_path / "run")
    assert process.wait(60) == 1
    failure = rundir.read_failure()
    assert failure is not None
    assert failure.kind == "diverged"
    assert failure.step is not None


def two_hosts(
    run: Run, data: Path, tmp_path: Path, entry: Path = ENTRY
) -> list[tuple[subprocess.Popen[bytes], RunDir]]:
    """Begins a job on each of two hosts that are this machine: outputs apart, checkpoints together."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    meeting = {"SM_HOSTS": json.dumps(["algo-1", "algo-2"]), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        begin(run, data, tmp_path / name, entry, tmp_path / "checkpoint", SM_CURRENT_HOST=name, **meeting)
        for name in ("algo-1", "algo-2")
    ]


@pytest.mark.slow
@pytest.mark.nightly
def test_two_hosts_give_the_bits_of_one(demanding: Run, data: Path, undisturbed: RunDir, tmp_path: Path) -> None:
    (one, first), (two, second) = two_hosts(demanding, data, tmp_path)
    assert (one.wait(180), two.wait(180)) == (0, 0), first.log_tail(1) + second.log_tail(1)
    assert bits(first) == bits(undisturbed)
    assert {each.name for each in second.path.iterdir()} == {"run.json", "attempts"}, "only the first one writes"


@pytest.mark.slow
@pytest.mark.parametrize("dead", by_day(bool, [0, 1]))
def test_a_host_that_dies_ends_the_other_and_both_go_on_with_the_same_bits(
    demanding: Run, data: Path, undisturbed: RunDir, tmp_path: Path, dead: int
) -> None:
    jobs = two_hosts(demanding, data, tmp_path, harmed(tmp_path, "time.sleep(600)", rank=dead))
    wait_for((tmp_path / "checkpoint" / "epoch-00002.pt").exists)
    os.killpg(jobs[dead][0].pid, signal.SIGKILL)
    jobs[dead][0].wait()
    process, rundir = jobs[1 - dead]
    assert process.wait(60) == 1, rundir.log_tail(1)
    failure = rundir.read_failure()
    assert failure is not None
    assert failure.kind in RETRIED, failure
    assert not living(tmp_path / "algo-1") | living(tmp_path / "algo-2")
    for _, each in jobs:
        each.clear_outcome()
    (one, first), (two, second) = two_hosts(demanding, data, tmp_path)
    assert (one.wait(180), two.wait(180)) == (0, 0), first.log_tail(1) + second.log_tail(1)
    assert "going on after epoch 2" in first.log_path(1).read_text()
    assert bits(first) == bits(undisturbed)
    assert second.read_result() is None, "only the first one writes"


@pytest.mark.slow
@pytest.mark.nightly
def test_the_failure_of_one_host_is_told_by_both(base: Run, data: Path, tmp_path: Path) -> None:
    entry = harmed(tmp_path, "raise ValueError('a mistake')")
    for process, rundir in two_hosts(base, data, tmp_path, entry):
        assert process.wait(180) == 1
        failure = rundir.read_failure()
        assert failure is not None
        assert (failure.kind, failure.message) == ("error", "a mistake"), rundir.log_tail(1)


YAML = """
name: team
data: {{source: synthetic, train_size: 300, test_size: 100, classes: 3}}
defaults: {{model: lenet5, epochs: 2, processes: 2, device: cpu}}
launch: {{profile: false, workers: {{start: {start}}}}}
"""


@pytest.mark.slow
@pytest.mark.nightly
def test_a_sweep_of_teams_forked_and_fresh(cache: Path, tmp_path: Path) -> None:
    found = []
    for start in ("fork", "spawn"):
        home = tmp_path / start
        home.mkdir()
        (home / "experiments.yaml").write_text(YAML.format(start=start))
        variables = {**os.environ, "PYTHONPATH": str(ROOT), "TORCH_IMAGE_BENCHMARK_CACHE": str(cache)}
        command = [sys.executable, "-m", "benchmark", "run"]
        done = subprocess.run(command, cwd=home, env=variables, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        (run,) = (home / "results" / "team" / "runs").iterdir()
        found.append(bits(RunDir(run)))
    assert found[0] == found[1]
