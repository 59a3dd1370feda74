"""What happens when a batch does not fit in memory, with a real limit of the kernel's."""

import dataclasses
import sys
from pathlib import Path

import pytest

from benchmark.data import datasets
from benchmark.run import Run
from tests.job_support import SPEC, job, quality

LIMITED = """
import resource, runpy, sys
import benchmark.training.job
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + {megabytes} * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("oom")


@pytest.fixture(scope="module")
def data(place: Path) -> Path:
    return datasets.prepare(SPEC, image_size=96, channels=1, resize="stretch", cache=place)


@pytest.fixture(scope="module")
def large(place: Path) -> Run:
    """A run whose batches of 256 take some 600 MB."""
    digest = datasets.inspect(SPEC, place).digest
    arguments = {"model": "small/vgg11_bn", "model_args": {"width": 0.25}, "batch_size": 256, "eval_batch_size": 16}
    shape = {"image_size": 96, "channels": 1, "resize": "stretch"}
    return Run(SPEC, data_digest=digest, epochs=1, device="cpu", **arguments, **shape)


def limited(directory: Path, megabytes: int) -> tuple[str, str]:
    program = directory / "limited.py"
    program.write_text(LIMITED.format(megabytes=megabytes))
    return sys.executable, str(program)


@pytest.mark.slow
def test_a_batch_that_does_not_fit_is_a_failure_of_its_own_kind(large: Run, data: Path, tmp_path: Path) -> None:
    code, rundir, log = job(large, data, tmp_path / "run", limited(tmp_path, 520), BENCHMARK_TASKS="train")
    assert code == 1, log
    failure = rundir.read_failure()
    assert failure is not None
    assert failure.kind == "oom", failure


@pytest.mark.nightly
def test_parts_of_a_batch_are_halved_until_they_fit_and_the_result_says_so(
    large: Run, data: Path, tmp_path: Path
) -> None:
    run = dataclasses.replace(large, on_oom="halve_batch")
    code, rundir, log = job(run, data, tmp_path / "run", limited(tmp_path, 520), BENCHMARK_TASKS="train")
    assert code == 0, log
    assert "out of memory; trying again with each batch of 256 in 2 parts" in log
    result = rundir.read_result()
    assert result is not None
    assert result.run_id == run.run_id
    parts = int(result.notes[0].split(" parts")[0].rsplit(" ", 1)[1])
    assert parts in (2, 4, 8, 16)
    assert result.notes[0] == f"out of memory: each batch of 256 was computed in {parts} parts (on_oom)"
    asked = dataclasses.replace(large, accumulate=parts)
    same = job(asked, data, tmp_path / "asked", BENCHMARK_TASKS="train")[1].read_result()
    assert same is not None
    assert quality(same.metrics) == quality(result.metrics), "as if the run had asked for so many parts"
