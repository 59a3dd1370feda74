"""A run that is killed or stopped within an epoch goes on at the step of its last checkpoint, to the same bits."""

import dataclasses
import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from benchmark.data import datasets
from benchmark.run import Run
from benchmark.rundir import RunDir
from benchmark.training.checkpoints import Following
from benchmark.training.data import Split
from benchmark.training.failures import Stopped
from benchmark.training.learner import Learner
from benchmark.training.pace import Pace
from benchmark.training.stopping import Bell
from benchmark.training.team import Alone
from tests.job_support import SPEC, begin, job
from tests.test_checkpoint import Attempt, assert_same, denormals, undisturbed  # noqa: F401  # a fixture

STEPS = 6  # of 360 training images, in batches of 64


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def base(cache: Path) -> Run:
    digest = datasets.inspect(SPEC, cache).digest
    return Run(SPEC, "lenet5", data_digest=digest, image_size=28, channels=1, epochs=3, lr=3e-3, device="cpu")


@pytest.fixture(scope="module")
def data(base: Run, cache: Path) -> Path:
    return datasets.prepare(SPEC, image_size=28, channels=1, resize="crop", cache=cache)


RECIPES = {
    "plain": {},
    "every augmentation": {"augment": "crop+flip+erase", "policy": "trivial", "mixup": 0.2, "cutmix": 1.0},
    "average of weights, balanced draws, mirror images": {
        "ema_decay": 0.9,
        "sampling": "balanced",
        "policy": "rand",
        "test_flip": True,
    },
    "half precision with a scaler, parts of a batch": {"precision": "fp16", "accumulate": 3, "clip_grad": 1.0},
    "bfloat16, batch norm, dropout, stochastic depth": {
        "model": "efficientnet_b0",
        "precision": "bf16",
        "dropout": 0.3,
        "drop_path": 0.2,
        "optimizer": "sgd",
        "epochs": 2,
    },
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_that_dies_within_epochs_ends_with_the_same_bits(
    recipe: str, base: Run, data: Path, tmp_path: Path
) -> None:
    run, rundir = dataclasses.replace(base, **RECIPES[recipe]), RunDir(tmp_path / "run")
    for step in (2, 5, STEPS):
        Attempt(run, data, rundir, ("within", step)).die()
    Attempt(run, data, rundir, ("after", 1)).die()
    Attempt(run, data, rundir, ("within", 4)).die()
    final = Attempt(run, data, rundir)
    assert final.train() == undisturbed(run, data, tmp_path)
    assert final.log == ["going on after epoch 1 and 4 steps"]


def test_the_images_of_an_epoch_that_goes_on_are_counted_once(base: Run, data: Path, tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "run")
    Attempt(base, data, rundir, ("within", 5)).die()
    final = Attempt(base, data, rundir)
    final.train()
    assert final.steps == 3 * STEPS - 5
    assert final.trained.images == 3 * 360


def test_a_checkpoint_within_an_epoch_gives_way_to_later_ones(base: Run, data: Path, tmp_path: Path) -> None:
    rundir = RunDir(tmp_path / "run")
    Attempt(base, data, rundir, ("after", 2), saves_after=3).die()
    names = sorted(path.name for path in rundir.checkpoint.glob("*.pt"))
    assert names == ["epoch-00001-000003.pt", "epoch-00002.pt"]


def test_a_bell_is_heard_after_the_step_where_somebody_is_patient() -> None:
    bell, wishes = Bell(), []
    pace = Pace(bell, seconds=1e9)

    def two_steps() -> None:
        with pace.patience():
            wishes.append(pace.wish())
            bell(signal.SIGTERM, None)
            wishes.append(pace.wish())

    with pytest.raises(Stopped, match="SIGTERM"):
        two_steps()
    assert wishes == ["nothing", "stop"]
    with pace.patience():
        pass  # it rings once


def test_a_bell_is_heard_at_once_where_nobody_is_patient() -> None:
    with pytest.raises(Stopped):
        Bell()(signal.SIGTERM, None)


def test_saving_takes_a_fiftieth_of_the_time_at_most() -> None:
    now = [0.0]
    pace = Pace(Bell(), seconds=60, clock=lambda: now[0])
    now[0] = 61
    assert pace.wish() == "save"
    pace.save(lambda: now.__setitem__(0, 71.0))
    now[0] = 71 + 499
    assert pace.wish() == "nothing"
    now[0] = 71 + 500
    assert pace.wish() == "save"


def test_the_end_of_an_epoch_is_saved_where_it_is_worth_its_time() -> None:
    now = [0.0]
    pace = Pace(Bell(), seconds=60, clock=lambda: now[0])
    now[0] = 0.9
    assert not pace.due()  # sooner trained again than saved fifty times
    now[0] = 1.0
    assert pace.due()
    pace.save(lambda: now.__setitem__(0, 1.5))
    now[0] = 1.5 + 24
    assert not pace.due()
    now[0] = 1.5 + 25
    assert pace.due()
    pace.save(lambda: now.__setitem__(0, 40.0))
    now[0] = 40 + 60  # however long it takes: no more than a minute is lost, and an epoch
    assert pace.due()
    each = Pace(Bell(), seconds=60, clock=lambda: now[0], share=0)
    assert each.due(), "each epoch, where that is wanted"
    each.save(lambda: now.__setitem__(0, 200.0))
    assert each.due()
    assert each.wish() == "nothing"


def test_what_is_only_to_be_tested_is_saved_where_it_took_a_second() -> None:
    now = [0.0]
    pace = Pace(Bell(), seconds=60, clock=lambda: now[0])
    pace.save(lambda: now.__setitem__(0, 0.5))
    now[0] = 1.4
    assert not pace.due(last=True)
    now[0] = 1.5
    assert pace.due(last=True)
    assert not pace.due()


def test_a_team_saves_by_the_clock_of_the_first_and_where_any_is_asked_to_stop() -> None:
    """The other never saves, and does not know what it takes."""
    now, asked = [0.0], Bell()
    first, other = (Pace(bell, seconds=60, clock=lambda: now[0]) for bell in (Bell(), asked))
    first.save(lambda: now.__setitem__(0, 0.5))

    class Both(Alone):
        def gather(self, mine: Any) -> list[Any]:
            return [(first.due(), first.wish() == "stop"), (other.due(), other.wish() == "stop")]

    here, there = Following(Both(), None, first), Following(Both(), None, other)
    now[0] = 20.0
    assert other.due(), "by its own clock"
    assert (here.due(False), there.due(False)) == (False, False)
    now[0] = 26.0
    assert (here.due(False), there.due(False)) == (True, True)
    now[0] = 20.0
    with pytest.raises(Stopped):
        asked(signal.SIGTERM, None)
    assert (here.due(False), there.due(False)) == (True, True)


def test_a_job_that_is_asked_to_stop_while_it_validates_saves_what_it_has_learnt(
    base: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rundir = RunDir(tmp_path / "run")
    validate, times = Learner.validate, []

    def stopped(self: Learner, split: Split, epoch: int) -> dict[str, float | None]:
        times.append(epoch)
        if times == [1, 2]:
            raise Stopped("asked to stop")
        return validate(self, split, epoch)

    monkeypatch.setattr(Learner, "validate", stopped)
    with pytest.raises(Stopped):
        Attempt(base, data, rundir).train()
    assert (rundir.checkpoint / f"epoch-00001-{STEPS:06}.pt").exists()
    final = Attempt(base, data, rundir)
    assert final.train() == undisturbed(base, data, tmp_path)
    assert final.log == [f"going on after epoch 1 and {STEPS} steps"]


def test_whoever_is_asked_to_stop_at_the_end_of_an_epoch_saves_it() -> None:
    bell = Bell()
    pace, due = Pace(bell, seconds=1e9), []

    def an_end() -> None:
        with pace.patience():
            due.append(pace.due())
            bell(signal.SIGTERM, None)
            due.append(pace.due())

    with pytest.raises(Stopped):
        an_end()
    assert due == [False, True]


@pytest.fixture(scope="module")
def whole(base: Run, data: Path, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    code, rundir, log = job(base, data, tmp_path_factory.mktemp("whole") / "run", BENCHMARK_TASKS="train")
    assert code == 0, log
    return rundir


@pytest.mark.nightly
@pytest.mark.slow
def test_a_job_killed_at_twenty_random_steps_ends_as_if_it_had_not_been(
    base: Run, data: Path, whole: RunDir, tmp_path: Path
) -> None:
    """Each attempt gets a few steps further, or not, before it is killed again."""
    draw = random.Random(0)
    went_on = 0
    for kill in range(20):
        step = draw.randint(1, 3)
        variables = {
            "BENCHMARK_TASKS": "train",
            "BENCHMARK_FAILPOINT": f"job.step@{step}:{tmp_path / f'marker {kill}'}",
            "BENCHMARK_CHECKPOINT_SECONDS": "0",
        }
        code, rundir, log = job(base, data, tmp_path / "run", **variables)
        assert code in (-signal.SIGKILL, 0), log
        went_on += "going on after epoch" in log
        if code == 0:
            break
    code, rundir, log = job(base, data, tmp_path / "run", BENCHMARK_TASKS="train")
    assert code == 0, log
    assert went_on >= 5
    assert_same(rundir, whole)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_job_that_is_asked_to_stop_saves_the_step_it_is_at(base: Run, data: Path, tmp_path: Path) -> None:
    run = dataclasses.replace(base, epochs=2, batch_size=2)
    variables = {"BENCHMARK_TASKS": "train", "BENCHMARK_CHECKPOINT_SECONDS": "0.01"}
    process, rundir = begin(run, data, tmp_path / "run", **variables)
    with process:
        while not list(rundir.checkpoint.glob("epoch-*.pt")):
            assert process.poll() is None
            time.sleep(0.001)
        process.terminate()
        process.communicate(timeout=60)
    failure = rundir.read_failure()
    assert failure is not None
    assert failure.kind == "stopped"
    assert "goes on after step" in failure.message
    rundir.clear_failure()
    code, _, log = job(run, data, tmp_path / "run", BENCHMARK_TASKS="train")
    assert code == 0, log
    step, epoch = map(int, re.findall(r"\d+", failure.message))
    assert f"going on after epoch {epoch - 1} and {step} steps" in log
    assert_same(rundir, job(run, data, tmp_path / "undisturbed", BENCHMARK_TASKS="train")[1])
