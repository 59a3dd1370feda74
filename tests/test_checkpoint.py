"""A run that was interrupted, anywhere and often, ends bit by bit where an undisturbed one ends."""

import dataclasses
import errno
import hashlib
import io
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save
from timm.optim import list_optimizers

from benchmark.data import datasets
from benchmark.records import Event, Failure
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.training import random_state
from benchmark.training.checkpoint import HEADER, Checkpoint, Saved, write
from benchmark.training.checkpoints import Checkpoints, clear
from benchmark.training.data import Normalize, batches, load
from benchmark.training.evaluate import predict
from benchmark.training.failures import Stopped, describe_failure
from benchmark.training.learner import Learner
from benchmark.training.loop import train
from benchmark.training.outset import make_model, set_up
from benchmark.training.pace import Wish
from benchmark.training.profiling import ResourceMeter
from benchmark.training.whole import EpochWriter
from tests.job_support import SPEC, begin, job, quality
from tests.night import by_day

CPU = torch.device("cpu")
KILLED = -signal.SIGKILL


@pytest.fixture(autouse=True)
def denormals() -> Iterator[None]:
    """``set_up`` switches them off for the whole process; other tests want them."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("кот #1 cache")


@pytest.fixture(scope="module")
def base(cache: Path) -> Run:
    digest = datasets.inspect(SPEC, cache).digest
    return Run(SPEC, "lenet5", data_digest=digest, image_size=28, channels=1, epochs=4, lr=3e-3, device="cpu")


@pytest.fixture(scope="module")
def data(base: Run, cache: Path) -> Path:
    return datasets.prepare(SPEC, image_size=28, channels=1, resize="crop", cache=cache)


class Died(Exception):
    """Stands for the end of the process."""


@dataclasses.dataclass
class Attempt:
    """One attempt at training in this process.  ``until`` says where it dies: before or after the checkpoint of an
    epoch."""

    run: Run
    data: Path
    rundir: RunDir
    until: tuple[str, int] = ("never", 0)
    saves_after: int = 0
    steps: int = 0
    log: list[str] = dataclasses.field(default_factory=list)

    def train(self) -> tuple[object, ...]:
        """What of the end must be the same, whatever happened on the way."""
        set_up(self.run)
        prepared = load(self.data)
        model, normalize = make_model(self.run, prepared, CPU), Normalize(prepared.mean, prepared.std)
        with ResourceMeter() as meter:
            self.checkpoints = Checkpoints.of(self.rundir, self.run.run_id, CPU, meter, self.log.append)
            self.trained = train(self.run, prepared, model, normalize, self.on_epoch, self)
        log_probs = predict(model, batches(prepared.test, 256, normalize)).tobytes()
        curve = [(event.epoch, event.step, quality(event.metrics)) for event in self.rundir.read_events()]
        ended = self.trained.best_epoch, self.trained.epochs, self.trained.images
        return save({name: each.contiguous() for name, each in model.state_dict().items()}), log_probs, curve, ended

    def on_epoch(self, event: Event) -> None:
        EpochWriter(self.rundir)(event)
        self.die_at("before", event.epoch)

    def newest(self) -> Checkpoint | None:
        return self.checkpoints.newest()

    def due(self, last: bool) -> bool:
        return True

    def save(self, now: Checkpoint) -> None:
        self.checkpoints.save(now)
        self.die_at("within" if now.step else "after", now.step or now.epoch)

    def wish(self, step: int, last: bool) -> Wish:
        self.steps += 1
        return "save" if self.until == ("within", step) or step == self.saves_after else "nothing"

    def patience(self) -> AbstractContextManager[None]:
        return nullcontext()

    def die_at(self, when: str, epoch: int) -> None:
        if self.until == (when, epoch):
            raise Died

    def die(self) -> None:
        with pytest.raises(Died):
            self.train()


def undisturbed(run: Run, data: Path, directory: Path) -> tuple[object, ...]:
    return Attempt(run, data, RunDir(directory / "undisturbed")).train()


def files(rundir: RunDir) -> list[str]:
    return sorted(path.name for path in rundir.checkpoint.iterdir())


RECIPES = {
    "adamw, cosine with warm-up, augmentation": {"warmup_epochs": 1.5, "augment": "crop+flip+erase"},
    "sgd, one cycle, batch norm, dropout, clipping": {
        "model": "small/vgg11_bn",
        "model_args": {"width": 0.125, "dropout": 0.3},
        "optimizer": "sgd",
        "lr": 0.05,
        "schedule": "onecycle",
        "clip_grad": 1.0,
    },
    "lion, stochastic depth, selection by log loss": {
        "model": "small/vit",
        "model_args": {"patch_size": 7, "embed_dim": 48, "depth": 2, "drop_rate": 0.1, "drop_path_rate": 0.2},
        "optimizer": "lion",
        "lr": 3e-4,
        "select": "val/log_loss",
        "label_smoothing": 0.1,
    },
    "adam, one cycle, steps of an odd batch, focal loss": {
        "optimizer": "adam",
        "schedule": "onecycle",
        "batch_size": 50,
        "criterion": "focal",
        "class_weights": "balanced",
    },
    "momentum, steps, early stopping after a bad start": {
        "optimizer": "momentum",
        "schedule": "step",
        "decay_epochs": 1,
        "lr": 1e-9,
        "early_stopping": 3,
        "epochs": 9,
    },
}


NEEDS_MORE = ("bnb", "fused", "kron", "adahessian")
"""CUDA, a compiler, or a second derivative."""
OPTIMIZERS = [name for name in map(str, list_optimizers()) if not name.startswith(NEEDS_MORE)]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_that_dies_again_and_again_ends_with_the_same_bits(
    recipe: str, base: Run, data: Path, tmp_path: Path
) -> None:
    run, rundir = dataclasses.replace(base, **RECIPES[recipe]), RunDir(tmp_path / "run")
    for until in (("before", 1), ("after", 1), ("before", 3), ("after", 3), ("before", 4), ("after", 4)):
        Attempt(run, data, rundir, until).die()
    final = Attempt(run, data, rundir)
    assert final.train() == undisturbed(run, data, tmp_path)
    assert "going on after epoch 4" in final.log
    assert [event.epoch for event in rundir.read_events()] == [1, 2, 3, 4]


def test_early_stopping_counts_the_epochs_of_earlier_attempts(base: Run, data: Path, tmp_path: Path) -> None:
    run, rundir = dataclasses.replace(base, lr=1e-12, early_stopping=2, epochs=9), RunDir(tmp_path / "run")
    for until in (("after", 2), ("after", 3)):
        Attempt(run, data, rundir, until).die()
    final = Attempt(run, data, rundir)
    assert final.train() == undisturbed(run, data, tmp_path)
    assert (final.trained.best_epoch, final.trained.epochs) == (1, 3)


@pytest.mark.slow
@pytest.mark.parametrize("name", by_day({"sgd", "adamw", "muon"}.__contains__, OPTIMIZERS))
def test_every_optimizer_goes_on_with_the_same_bits(name: str, base: Run, data: Path, tmp_path: Path) -> None:
    run, rundir = dataclasses.replace(base, optimizer=name, lr=1e-4, epochs=3), RunDir(tmp_path / "run")
    for until in (("after", 1), ("after", 2)):
        Attempt(run, data, rundir, until).die()
    assert Attempt(run, data, rundir).train() == undisturbed(run, data, tmp_path)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path, position: int = -20_000) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace(path: Path) -> None:
    path.write_bytes(b"something else, and longer than a header is, so that it is read to its end")


def reversion(path: Path) -> None:
    """Another version of the format."""
    flip(path, 8)


@pytest.mark.parametrize("harm", [truncate, flip, empty, replace, reversion])
def test_a_broken_checkpoint_is_passed_over_for_the_one_before(
    harm: Callable[[Path], None], base: Run, data: Path, tmp_path: Path
) -> None:
    rundir = RunDir(tmp_path / "run")
    Attempt(base, data, rundir, ("after", 3)).die()
    harm(rundir.checkpoint / "epoch-00003.pt")
    final = Attempt(base, data, rundir)
    assert final.train() == undisturbed(base, data, tmp_path)
    broken, going_on = final.log
    assert "epoch-00003.pt: not a checkpoint" in broken
    assert going_on == "going on after epoch 2"
    assert files(rundir) == ["epoch-00003.pt", "epoch-00004.pt", "events.jsonl"]


def test_where_both_are_broken_training_starts_again(base: Run, data: Path, tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "run")
    Attempt(base, data, rundir, ("after", 3)).die()
    first = [event.time for event in rundir.read_events()]
    for name in ("epoch-00002.pt", "epoch-00003.pt"):
        flip(rundir.checkpoint / name)
    final = Attempt(base, data, rundir)
    assert final.train() == undisturbed(base, data, tmp_path)
    assert len(final.log) == 2
    assert [event.time for event in rundir.read_events()][:3] == first


def test_a_flipped_bit_anywhere_is_noticed(base: Run, data: Path, tmp_path: Path) -> None:
    attempt = Attempt(base, data, RunDir(tmp_path / "run"), ("after", 1))
    attempt.die()
    log: list[str] = []
    checkpoints = Checkpoints.of(attempt.rundir, base.run_id, CPU, ResourceMeter(), log.append)
    assert checkpoints.newest() is not None
    path = attempt.rundir.checkpoint / "epoch-00001.pt"
    whole = path.read_bytes()
    for position in (*range(HEADER.size), *random.Random(0).sample(range(len(whole)), 100)):
        flip(path, position)
        assert checkpoints.newest() is None, position
        assert "not a checkpoint" in log[-1]
        path.write_bytes(whole)


@pytest.mark.parametrize("name", ["run", "device", "torch", "timm"])
def test_another_makers_checkpoint_is_passed_over(name: str, base: Run, data: Path, tmp_path: Path) -> None:
    attempt = Attempt(base, data, RunDir(tmp_path / "run"), ("after", 2))
    attempt.die()
    log: list[str] = []
    checkpoints = Checkpoints.of(attempt.rundir, base.run_id, CPU, ResourceMeter(), log.append)
    other = dataclasses.replace(checkpoints, maker={**checkpoints.maker, name: "another"})
    assert other.newest() is None
    assert "this is another; passed over" in log[-1]
    assert checkpoints.newest() is not None


def test_a_checkpoint_runs_nothing_that_it_holds(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (tmp_path / "harmed",)

    stream = io.BytesIO()
    torch.save({"checkpoint": Harm(), "maker": {}, "spent": {}}, stream)
    payload = stream.getvalue()
    path = tmp_path / "epoch-00001.pt"
    path.write_bytes(HEADER.pack(b"benchckp", 1, hashlib.sha256(payload).digest()) + payload)
    log: list[str] = []
    assert Checkpoints(tmp_path, {}, 1, ResourceMeter(), log.append).newest() is None
    assert "not a checkpoint" in log[0]
    assert not (tmp_path / "harmed").exists()


def test_two_checkpoints_are_kept_and_none_after_success(base: Run, data: Path, tmp_path: Path) -> None:
    attempt = Attempt(base, data, RunDir(tmp_path / "run"))
    attempt.train()
    assert files(attempt.rundir) == ["epoch-00003.pt", "epoch-00004.pt", "events.jsonl"]
    clear(attempt.rundir)
    assert files(attempt.rundir) == ["events.jsonl"]


def test_the_best_weights_are_stored_once(base: Run, data: Path, tmp_path: Path) -> None:
    """After the first epoch, which is the best of those so far; after the second the best has its own."""
    run, rundir = dataclasses.replace(base, lr=1e-12, epochs=2), RunDir(tmp_path / "run")
    Attempt(run, data, rundir).train()
    sizes = [(rundir.checkpoint / f"epoch-0000{epoch}.pt").stat().st_size for epoch in (1, 2)]
    weights = sum(each.numel() * 4 for each in make_model(run, load(data), CPU).parameters())
    assert sizes[1] - sizes[0] == pytest.approx(weights, rel=0.1)


@pytest.mark.parametrize(
    "text", [b"not json\n{}\n", b'{"epoch": 1}\n', b'{"epoch":2,"step":1,"time":0,"metrics":{}}\n']
)
def test_a_broken_curve_is_moved_aside_and_training_starts_again(
    text: bytes, base: Run, data: Path, tmp_path: Path
) -> None:
    rundir = RunDir(tmp_path / "run")
    Attempt(base, data, rundir, ("after", 2)).die()
    rundir.events_path.write_bytes(text)
    final = Attempt(base, data, rundir)
    assert final.train() == undisturbed(base, data, tmp_path)
    assert "moved to events.jsonl.broken" in final.log[0]
    assert (rundir.checkpoint / "events.jsonl.broken").read_bytes() == text


def test_a_lost_curve_is_trained_again(base: Run, data: Path, tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "run")
    Attempt(base, data, rundir, ("after", 2)).die()
    rundir.events_path.unlink()
    final = Attempt(base, data, rundir)
    assert final.train() == undisturbed(base, data, tmp_path)
    assert "ahead of events.jsonl" in final.log[0]


def test_time_and_layout_in_memory_go_on(base: Run, data: Path, tmp_path: Path) -> None:
    attempt = Attempt(base, data, RunDir(tmp_path / "run"), ("after", 2))
    attempt.die()
    saved = Checkpoints.of(attempt.rundir, base.run_id, CPU, ResourceMeter(), print).newest()
    assert saved is not None
    prepared = load(data)
    model = make_model(base, prepared, CPU)
    learner = Learner.of(base, prepared, model, Normalize(prepared.mean, prepared.std))
    learner.load_state_dict(saved)
    kernel = model.features[3].weight
    strides = kernel.stride()
    assert strides == (150, 1, 30, 6)
    assert learner.optimizer.state[kernel]["exp_avg"].stride() == strides
    final = Attempt(base, data, attempt.rundir)
    final.train()
    assert final.trained.seconds > saved.seconds


def test_every_global_generator_goes_on_where_it_was() -> None:
    def draw() -> tuple[object, ...]:
        return random.gauss(0, 1), np.random.normal(), torch.rand(3).tolist()

    draw()
    state = random_state.current(CPU)
    expected = draw()
    draw()
    random_state.restore(state, CPU)
    assert draw() == expected


@pytest.fixture(scope="module")
def whole(base: Run, data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A job that nobody disturbed."""
    code, rundir, log = job(base, data, tmp_path_factory.mktemp("whole"), BENCHMARK_TASKS="train")
    assert code == 0, log
    return rundir


def assert_same(rundir: RunDir, whole: RunDir) -> None:
    """The same model, predictions, metrics and curve, and nothing left over."""
    found, expected = rundir.read_result(), whole.read_result()
    assert found is not None
    assert expected is not None
    assert quality(found.metrics) == quality(expected.metrics)
    assert (found.best_epoch, found.epochs, found.notes) == (expected.best_epoch, expected.epochs, expected.notes)
    assert rundir.model.read_bytes() == whole.model.read_bytes()
    assert (rundir.path / "evaluation.json").read_bytes() == (whole.path / "evaluation.json").read_bytes()
    for split in ("val", "test"):
        ours, theirs = (each.read_predictions(split).log_probs.tobytes() for each in (rundir, whole))
        assert ours == theirs
    curves = [[(each.epoch, quality(each.metrics)) for each in one.read_events()] for one in (rundir, whole)]
    assert curves[0] == curves[1]
    assert files(rundir) == ["events.jsonl"]
    assert not list(rundir.path.rglob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    by_day(
        ("checkpointed", "finished").__contains__,
        ["started", "epoch", "checkpoint", "checkpointed", "evaluated", "finished"],
    ),
)
def test_a_job_killed_at_each_place_ends_as_if_it_had_not_been(
    point: str, base: Run, data: Path, whole: RunDir, tmp_path: Path
) -> None:
    marker, directory = tmp_path / "marker", tmp_path / "кот #1"
    variables = {"BENCHMARK_TASKS": "train", "BENCHMARK_FAILPOINT": f"job.{point}:{marker}"}
    code, rundir, _ = job(base, data, directory, **variables)
    assert code == KILLED
    times = [event.time for event in rundir.read_events()]
    code, _, log = job(base, data, directory, **variables)
    assert code == 0, log
    assert_same(rundir, whole)
    assert [event.time for event in rundir.read_events()][: len(times)] == times
    assert ("going on after epoch" in log) == (point in ("checkpointed", "evaluated"))


@pytest.mark.nightly
def test_a_job_that_was_asked_to_stop_goes_on_later(base: Run, data: Path, tmp_path: Path) -> None:
    run = dataclasses.replace(base, epochs=30)
    process, rundir = begin(run, data, tmp_path / "run", BENCHMARK_TASKS="train")
    with process:
        while len(rundir.read_events()) < 3:
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        process.communicate(timeout=60)
    failure = rundir.read_failure()
    assert process.returncode == 1
    assert failure is not None
    assert failure.kind == "stopped"
    rundir.clear_failure()
    code, _, log = job(run, data, tmp_path / "run", BENCHMARK_TASKS="train")
    assert code == 0, log
    assert "going on after epoch" in log
    assert_same(rundir, job(run, data, tmp_path / "whole", BENCHMARK_TASKS="train")[1])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 600 KB: less than a checkpoint."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(place)]).returncode:
        pytest.skip("needs the right to mount a file system")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_a_full_disk_is_no_fault_of_the_run_and_names_the_directory(
    base: Run, data: Path, whole: RunDir, disk: Path
) -> None:
    code, rundir, log = job(base, data, disk, BENCHMARK_TASKS="train")
    failure = rundir.read_failure()
    assert code == 1
    assert failure is not None, log
    assert failure.kind == "infrastructure"
    assert failure.message.startswith(f"no space left on the disk: {disk}")
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)
    rundir.clear_failure()
    assert job(base, data, disk, BENCHMARK_TASKS="train")[0] == 0
    assert_same(rundir, whole)


@pytest.mark.slow
def test_a_disk_without_room_for_the_failure_is_told_by_the_exit_code(base: Run, data: Path, disk: Path) -> None:
    rundir = RunDir(disk)
    rundir.write_run(base)
    rundir.attempt(1)
    with pytest.raises(OSError, match="No space"):
        (disk / "film").write_bytes(bytes(2_000_000))
    code, _, _ = job(base, data, disk, BENCHMARK_TASKS="train")
    assert code == os.EX_IOERR
    assert rundir.read_failure() is None


def test_what_is_behind_an_error_decides_its_kind() -> None:
    """Libraries that clean up after a failed write may fail again in their own way."""

    def caused(first: BaseException) -> Failure:
        try:
            try:
                raise first
            finally:
                raise RuntimeError("unexpected position 64 in the archive")
        except RuntimeError as error:
            return describe_failure(error, [Path("/proc"), Path("/")])

    assert caused(OSError(errno.ENOSPC, "No space left on device")).kind == "infrastructure"
    assert caused(OSError(errno.EDQUOT, "Quota", "/somewhere/file")).message.startswith(
        "no space left in the disk quota: /somewhere;"
    )
    assert caused(OSError(errno.EACCES, "Permission denied")).kind == "error"


def test_what_stops_the_writing_of_a_checkpoint_is_what_is_told() -> None:
    """torch makes a RuntimeError of whatever its file raises."""

    class Stopping(io.BytesIO):
        def write(self, part: Any) -> int:
            if self.tell() > 1000:
                raise Stopped("asked to stop")
            return super().write(part)

    nothing: dict[str, object] = {}
    now = Checkpoint(1, 0, 1.0, {"weight": torch.zeros(5000)}, *[nothing] * 7)
    with pytest.raises(Stopped):
        write(Saved(now, {}, {}), Stopping())
