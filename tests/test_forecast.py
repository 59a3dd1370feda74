"""Forecasts: what they are before anything has finished, and how results correct them."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmark import catalogue
from benchmark.catalogue import ModelFacts, ModelSpec
from benchmark.data import datasets
from benchmark.data.datasets import DataFacts
from benchmark.effort import BASE, Effort, optimizer_states
from benchmark.forecast import LEAST_BASE, Forecast
from benchmark.machine import available_memory
from benchmark.records import Result
from benchmark.run import DataSpec, Run, canonical_json
from benchmark.rundir import RunDir
from benchmark.training.optim import make_optimizer
from launch.fast_local import ENTRY, job_environment

MIB = 2**20
FACTS = {
    "resnet18": ModelFacts(11_181_642, 37_016_576, "", 1, None, 97_936, 12_544),
    "resnet34": ModelFacts(21_282_122, 74_919_424, "", 1, None, 150_000, 12_544),
    "small/vit": ModelFacts(2_680_000, 46_000_000, "", 4, None, 326_300, 25_088),
    "lenet5": ModelFacts(61_706, 416_520, "", 12, None, 8_868, 4_704),
}
RUN = Run(DataSpec(), "resnet18", data_digest="d", image_size=28, channels=1, epochs=3)


def data(train: int = 5400) -> DataFacts:
    return DataFacts("d", tuple("abcdefghij"), 28, 1, {"train": train, "val": train // 9, "test": 1000})


def effort(run: Run, train: int = 5400) -> Effort:
    return Effort.of(run, FACTS[run.model], data(train))


def forecast(*runs: Run) -> Forecast:
    return Forecast({run.run_id: effort(run) for run in runs})


def variant(**keys: object) -> Run:
    return dataclasses.replace(RUN, **keys)  # type: ignore[arg-type]


def result(run: Run, seconds: float, memory: int | None = None, spent: float = 0.0) -> Result:
    costs = {"cost/seconds": spent, "cost/peak_memory_bytes": None if memory is None else float(memory)}
    return Result(run.run_id, costs, {}, 1, run.epochs, 100.0, 100.0 + seconds, "", {})


positive = st.integers(1, 10_000)
runs = st.builds(
    variant,
    model=st.sampled_from(sorted(FACTS)),
    epochs=st.integers(1, 50),
    batch_size=st.sampled_from([1, 16, 64, 512]),
    seed=st.integers(0, 3),
    optimizer=st.sampled_from(["adamw", "momentum", "sgd"]),
)


@given(runs, positive, positive, positive)
def test_more_epochs_and_more_images_take_longer(run: Run, epochs: int, train: int, more: int) -> None:
    run = dataclasses.replace(run, epochs=epochs)
    here = effort(run, train)
    longer, larger = effort(dataclasses.replace(run, epochs=epochs + more), train), effort(run, train + more)
    assert longer.seconds > here.seconds
    assert longer.macs > here.macs
    assert longer.memory == here.memory
    assert longer.disk >= here.disk >= here.disk_kept
    assert larger.seconds > here.seconds
    assert larger.memory >= here.memory
    assert larger.disk_kept >= here.disk_kept


@given(runs, st.integers(1, 100), st.integers(1, 100))
def test_larger_batches_take_no_less_memory(run: Run, batch: int, more: int) -> None:
    sizes = [effort(dataclasses.replace(run, batch_size=each)).memory for each in (batch, batch + more)]
    assert sizes[0] <= sizes[1]


def test_several_processes_divide_the_work_and_not_the_memory() -> None:
    one, two, four = (effort(variant(model="lenet5", processes=number, epochs=300)) for number in (1, 2, 4))
    assert one.seconds > two.seconds > four.seconds > one.seconds / 4
    assert four.memory > two.memory + BASE > one.memory + 2 * BASE
    assert (one.steps, one.evaluated) == (two.steps, 2 * two.evaluated)
    assert two.probed(0.1, 0.0).seconds > one.probed(0.1, 0.0).seconds, "a step of a team has a gradient to exchange"


def test_nothing_is_known_in_seconds_before_a_run_has_finished() -> None:
    long, short = variant(epochs=30), RUN
    known = forecast(long, short)
    assert known.seconds(long) is None
    assert known.weight(long) > known.weight(short) > 0


@given(st.lists(runs, min_size=2, max_size=6, unique_by=lambda run: run.run_id), st.data())
def test_all_runs_can_be_compared_whatever_has_finished(some: list[Run], draw: st.DataObject) -> None:
    known = forecast(*some)
    for run in draw.draw(st.lists(st.sampled_from(some))):
        known.learn(run, result(run, draw.draw(st.floats(-1.0, 1e6)), draw.draw(st.integers(0, 2**40))))
    weights = [known.weight(run) for run in some]
    assert all(0 < weight < float("inf") for weight in weights)
    assert [known.seconds(run) for run in some] in (weights, [None] * len(some))
    assert all(known.memory(run) > 0 for run in some)


@given(runs, st.lists(st.floats(0.01, 1e5), min_size=1, max_size=5), st.floats(0.01, 1e5))
def test_a_configuration_is_expected_to_take_what_its_other_seeds_took(
    run: Run, walls: list[float], other: float
) -> None:
    seeds = [dataclasses.replace(run, seed=10 + index) for index in range(len(walls))]
    stranger = dataclasses.replace(run, lr=0.5)
    known = forecast(run, stranger, *seeds)
    known.learn(stranger, result(stranger, other, 5000 * MIB))
    for index, (seed, wall) in enumerate(zip(seeds, walls, strict=True)):
        known.learn(seed, result(seed, wall, 4000 * MIB + index))
    ordered = sorted(walls)
    middle = (ordered[(len(walls) - 1) // 2] + ordered[len(walls) // 2]) / 2
    assert known.seconds(run) == pytest.approx(middle)
    assert known.memory(run) == pytest.approx(max(4000 * MIB + len(walls) - 1 - effort(run).images, effort(run).memory))


def test_another_number_of_epochs_of_the_same_model_scales_with_a_fixed_start() -> None:
    longer = variant(epochs=30)
    known = forecast(RUN, longer)
    known.learn(RUN, result(RUN, 12.0))
    seconds = known.seconds(longer)
    assert seconds is not None
    assert 12.0 * 5 < seconds < 12.0 * 10


def test_the_nearest_finished_runs_count() -> None:
    same, sized, relative = variant(lr=1e-4), variant(image_size=56), variant(model="resnet34")
    vit, lenet = variant(model="small/vit"), variant(model="lenet5")
    known = forecast(RUN, same, sized, relative, vit, lenet)
    for slower, run in enumerate((vit, relative, sized, same), start=1):
        factor = 10.0**slower
        known.learn(run, result(run, effort(run).seconds * factor))
        assert known.seconds(RUN) == pytest.approx(effort(RUN).seconds * factor)
        assert known.seconds(vit) == pytest.approx(effort(vit).seconds * 10)
    assert known.seconds(lenet) == pytest.approx(effort(lenet).seconds * (10.0**2 + 10.0**3) / 2)


def test_one_run_that_hung_does_not_spoil_the_forecast() -> None:
    seeds = [variant(seed=seed) for seed in range(6)]
    known = forecast(*seeds)
    for run, wall in zip(seeds[1:], (10.0, 11.0, 9.0, 4000.0, 10.5), strict=True):
        known.learn(run, result(run, wall))
    assert known.seconds(seeds[0]) == pytest.approx(10.5)


def test_of_a_resumed_run_all_attempts_count() -> None:
    other = variant(seed=1)
    known = forecast(RUN, other)
    known.learn(RUN, result(RUN, 2.0, spent=40.0))
    assert known.seconds(other) == pytest.approx(40.0)


def test_a_run_that_is_not_forecast_teaches_nothing() -> None:
    known = forecast(RUN)
    known.learn(variant(epochs=9), result(variant(epochs=9), 5.0))
    assert known.seconds(RUN) is None


def test_a_measured_peak_corrects_the_same_model_and_the_base_of_others() -> None:
    same, other = variant(lr=1e-4), variant(model="lenet5")
    known = forecast(RUN, same, other)
    assert known.memory(RUN) == BASE + effort(RUN).memory
    known.learn(RUN, result(RUN, 1.0, 2 * (BASE + effort(RUN).memory) + effort(RUN).images))
    assert known.memory(same) == pytest.approx(2 * (BASE + effort(same).memory))
    assert known.memory(other) == BASE + effort(other).memory
    known = forecast(RUN, same, other)
    known.learn(RUN, result(RUN, 1.0, BASE * 3 // 4 + effort(RUN).memory + effort(RUN).images))
    assert known.memory(other) == BASE * 3 // 4 + effort(other).memory
    known = forecast(RUN, other)
    known.learn(RUN, result(RUN, 1.0, 1))
    assert known.memory(RUN) >= effort(RUN).memory
    assert known.memory(other) == LEAST_BASE + effort(other).memory


def test_a_measured_peak_on_a_gpu_counts_for_each_of_a_teams() -> None:
    same, team = variant(lr=1e-4), variant(processes=2, batch_size=RUN.batch_size * 2)
    known = forecast(RUN, same, team)
    images = effort(RUN).images
    assert known.gpu_memory(RUN) == effort(RUN).memory + images
    assert known.gpu_memory(team) == pytest.approx(known.gpu_memory(RUN), rel=0.01), "each has half of the batch"
    for run, peak in ((RUN, 3.0 * known.gpu_memory(RUN)), (team, 2 * 1.5 * known.gpu_memory(team))):
        found = result(run, 1.0)
        known.learn(run, dataclasses.replace(found, metrics={**found.metrics, "cost/peak_gpu_memory_bytes": peak}))
    assert known.gpu_memory(same) == pytest.approx(3.0 * (effort(same).memory + images))
    assert known.gpu_memory(team) == pytest.approx(1.5 * (effort(RUN).memory + images), rel=0.01)


def test_a_directory_holds_three_checkpoints_at_most() -> None:
    weights = 4 * FACTS["resnet18"].parameters
    known = forecast(RUN, variant(epochs=1))
    assert known.disk(RUN) - known.disk_kept(RUN) == 3 * weights * (1 + 1 + 2)
    assert known.disk(variant(epochs=1)) - known.disk_kept(RUN) == pytest.approx(weights * 4, rel=0.01)
    assert known.disk_kept(RUN) > weights


@pytest.mark.parametrize(
    ("optimizer", "momentum"),
    [
        *((name, 0.9) for name in ("adamw", "sgd", "momentum", "rmsprop", "lion", "adan", "madgrad", "muon", "cmars")),
        *((name, 0.9) for name in ("nadamuon", "lamb", "adafactor", "nlarc", "adabelief", "novograd")),
        ("momentum", 0.0),
        ("lars", 0.0),
    ],
)
def test_optimizers_keep_as_many_states_as_they_are_said_to(optimizer: str, momentum: float) -> None:
    network = nn.Sequential(nn.Conv2d(8, 64, 3), nn.Flatten(), nn.Linear(256, 64))
    run = variant(optimizer=optimizer, momentum=momentum)
    made = make_optimizer(run, network)
    network(torch.randn(4, 8, 4, 4)).sum().backward()
    made.step()
    kept = {each.untyped_storage()._cdata: each.numel() for state in made.state.values() for each in _tensors(state)}
    share = sum(kept.values()) / sum(each.numel() for each in network.parameters())
    assert optimizer_states(run) - 1 < share <= optimizer_states(run) + 0.01


def _tensors(value: object) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    within = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [found for each in within for found in _tensors(each)]


def kernel(root: Path, available: int, cgroup: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A kernel's files: /proc and /sys/fs/cgroup."""
    texts = {
        "proc/meminfo": f"MemTotal: 99999999 kB\nMemAvailable: {available // 1024} kB\n",
        "proc/self/cgroup": cgroup,
        **{f"cgroup/{name}": text for name, text in files.items()},
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root / "proc", root / "cgroup"


V1 = "9:name=systemd:/\n5:cpuset,memory:/docker/abc\n0::/\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {}, 1000),
        ("", {}, 1000),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/b/memory.current": f"{900 * MIB}\n"}, 1000),
        ("0::/a/b\n", {"a/b/memory.max": f"{500 * MIB}\n", "a/b/memory.current": f"{200 * MIB}\n"}, 300),
        ("0::/a/b\n", {"a/memory.max": f"{400 * MIB}\n", "a/memory.current": f"{300 * MIB}\n"}, 100),
        ("0::/a\n", {"a/memory.max": "max", "a/memory.high": f"{70 * MIB}", "a/memory.current": "0"}, 70),
        (
            "0::/a\n",
            {
                "a/memory.max": f"{500 * MIB}",
                "a/memory.current": f"{450 * MIB}",
                "a/memory.stat": f"anon 9\ninactive_file {60 * MIB}\nactive_file {40 * MIB}\n",
            },
            150,
        ),
        ("0::/a\n", {"a/memory.max": f"{10 * MIB}", "a/memory.current": f"{20 * MIB}"}, 0),
        # The group of a container, mounted as the root: its path outside does not exist within.
        (V1, {"memory/memory.limit_in_bytes": f"{600 * MIB}", "memory/memory.usage_in_bytes": f"{100 * MIB}"}, 500),
        (
            V1,
            {
                "memory/docker/abc/memory.limit_in_bytes": f"{600 * MIB}",
                "memory/docker/abc/memory.usage_in_bytes": f"{300 * MIB}",
                "memory/docker/abc/memory.stat": f"inactive_file 5\ntotal_inactive_file {50 * MIB}\n",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            350,
        ),
    ],
)
def test_available_memory_is_what_kernel_and_control_groups_allow(
    tmp_path: Path, cgroup: str, files: dict[str, str], expected: int
) -> None:
    assert available_memory(*kernel(tmp_path, 1000 * MIB, cgroup, files)) == expected * MIB


def test_without_the_kernels_files_half_of_the_memory_is_taken_for_free(tmp_path: Path) -> None:
    built_in = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert available_memory(tmp_path, tmp_path) == built_in // 2
    assert 0 < available_memory() <= built_in


def test_a_forecast_does_not_import_torch() -> None:
    code = "import sys; from benchmark import forecast; print(sorted({'torch', 'timm', 'mlflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ENTRY.parent.parent, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def job(directory: Path, **keys: object) -> tuple[Effort, int]:
    """What a job is expected to take, and the memory that it took."""
    run = variant(epochs=2, device="cpu", **keys)
    assert run.image_size is not None
    spec = DataSpec("synthetic", train_size=330, test_size=260, size=run.image_size)
    facts, cache = datasets.inspect(spec, directory), directory / "кэш #1"
    run = dataclasses.replace(run, data=spec, data_digest=facts.digest)
    images = datasets.prepare(spec, image_size=run.image_size, channels=1, resize="crop", cache=cache)
    asked = ModelSpec(run.model, canonical_json(dict(run.model_args)), run.image_size, 1, len(facts.classes))
    rundir = RunDir(directory / run.run_id)
    rundir.path.mkdir()
    rundir.write_run(run)
    variables = job_environment(run, rundir, rundir.attempt(1), images, {**os.environ, "BENCHMARK_TASKS": "train"})
    done = subprocess.run([sys.executable, str(ENTRY)], env=variables, cwd=directory, capture_output=True, text=True)
    found = rundir.read_result()
    assert found is not None, done.stderr
    return Effort.of(run, catalogue.describe([asked], cache)[asked], facts), int(
        found.metrics["cost/peak_memory_bytes"] or 0
    )


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Memory of a process that does next to nothing; it depends on how torch was built."""
    least, measured = job(tmp_path_factory.mktemp("idle"), model="lenet5", batch_size=8, eval_batch_size=8)
    return measured - least.memory


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("model", "size", "keys"),
    [
        ("lenet5", 28, {}),
        ("resnet18", 64, {"optimizer": "momentum"}),
        ("small/densenet", 32, {}),
        ("small/vgg11_bn", 28, {"batch_size": 16, "eval_batch_size": 1024}),
        ("small/vit", 28, {"model_args": {"patch_size": 7}, "batch_size": 128}),
        ("efficientnet_b0", 32, {"batch_size": 16}),
    ],
)
def test_jobs_take_the_memory_that_was_forecast(
    model: str, size: int, keys: dict[str, object], idle: int, tmp_path: Path
) -> None:
    expected, measured = job(tmp_path, model=model, image_size=size, **keys)
    assert 0.8 < (idle + expected.memory) / measured < 1.5
