"""The disk fills up at each single write of a command or of a job, one after the other: `python tests/full_disk.py`

    python tests/full_disk.py                     every write of `run`, of `sync` and of a job
    python tests/full_disk.py --program run --every 5

A real, small file system (who may mount one, runs this); `tests/filling.py` fills it.  A command says what is full and
exits with a code that it documents; when there is room again the same command ends with the numbers of a disk that was
never full, and MLflow has each run once.  The tally is printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmark.data import datasets
from benchmark.run import DataSpec, Run
from tests.filling import BALLAST
from tests.job_support import job, quality
from tests.killed_experiment import ROOT, Experiment, cache_in

FILLING = str(ROOT / "tests" / "filling.py")
CODES = {0, 1, 3}
"""All done (what came after the fill fitted), some failed, the environment."""
MEGABYTES = 200
SPEC = DataSpec("synthetic", train_size=100, test_size=50, classes=3)


@contextmanager
def small_disk(place: Path, megabytes: int = MEGABYTES) -> Iterator[Path]:
    """A file system in memory at ``place``, which is made."""
    place.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


class Commands:
    """`run`, over two runs of one epoch, on a disk of its own each time."""

    def __init__(self, home: Path) -> None:
        self._home, self._cache, self.codes = home, cache_in(home), Counter[int]()
        with self._experiment("counted") as experiment:
            self.writes = self._filled(experiment, 0)
            self._wanted = experiment.state()

    @contextmanager
    def _experiment(self, name: str) -> Iterator[Experiment]:
        with small_disk(self._home / name) as disk:
            experiment = Experiment(disk / "кот #1", self._cache, seeds=1, epochs=1)
            (experiment.home / "output.txt").symlink_to(self._home / f"{name}.txt")  # always has room
            yield experiment

    def _filled(self, experiment: Experiment, number: int) -> list[str]:
        """Runs the command on a disk that fills up at that write; the writes until its end."""
        log = experiment.home.parent.with_suffix(".log")
        arguments = [FILLING, str(experiment.home.parent), str(number), str(log), "benchmark", "run"]
        code = experiment.begin_program(*arguments).wait(300)
        assert code in CODES, f"exit code {code}: {experiment.output}"
        assert "Traceback" not in experiment.output, experiment.output
        assert code == 0 or "space" in experiment.output, experiment.output
        self.codes[code] += 1
        return log.read_text().splitlines()

    def trial(self, number: int) -> str:
        """What the write was at which the disk was full."""
        with self._experiment(f"write-{number}") as experiment:
            writes = self._filled(experiment, number)
            (experiment.home.parent / BALLAST).unlink(missing_ok=True)
            experiment.finish()
            experiment.publish()
            found = experiment.state()
            different = [key for key in self._wanted if found[key] != self._wanted[key]]
            assert not different, f"{different} differ"
            experiment.assert_nothing_is_left()
        return writes[number - 1] if number <= len(writes) else "none"


class Jobs:
    """A training job of two epochs."""

    def __init__(self, home: Path) -> None:
        self._home, self.codes = home, Counter[int]()
        cache = cache_in(home)
        digest = datasets.inspect(SPEC, cache).digest
        self._run = Run(SPEC, "lenet5", data_digest=digest, image_size=28, channels=1, epochs=2, lr=3e-3, device="cpu")
        self._data = datasets.prepare(SPEC, image_size=28, channels=1, resize="crop", cache=cache)
        log = home / "counted.log"
        self._wanted = self._train(home / "counted", (sys.executable, FILLING, str(home / "counted"), "0", str(log)))
        self.writes = log.read_text().splitlines()

    def _train(self, directory: Path, python: tuple[str, ...] = (sys.executable,)) -> tuple[Any, ...]:
        code, rundir, log = job(self._run, self._data, directory, python, BENCHMARK_CHECKPOINT_SECONDS="0")
        assert code == 0, log
        result = rundir.read_result()
        assert result is not None
        return rundir.model.read_bytes(), quality(result.metrics), rundir.read_predictions("test").log_probs.tobytes()

    def trial(self, number: int) -> str:
        with small_disk(self._home / f"write-{number}", 20) as disk:
            log = self._home / f"write-{number}.log"
            python = (sys.executable, FILLING, str(disk), str(number), str(log))
            code, rundir, said = job(self._run, self._data, disk, python, BENCHMARK_CHECKPOINT_SECONDS="0")
            self.codes[code] += 1
            failure = rundir.read_failure()
            if failure is not None:
                assert (code, failure.kind) == (1, "infrastructure"), f"{failure}\n{said}"
                assert "no space left" in failure.message, failure
            (disk / BALLAST).unlink(missing_ok=True)
            if code:
                rundir.clear_outcome()
            assert self._train(disk) == self._wanted, "the numbers differ"
            return log.read_text().splitlines()[number - 1]


PROGRAMS = {"run": Commands, "job": Jobs}


def tried(home: Path, program: str, every: int = 1, first: int = 1) -> dict[str, Any]:
    """Fills the disk at each of these writes; the tally."""
    began, trials = time.monotonic(), PROGRAMS[program](home / program)
    numbers = range(first, len(trials.writes) + 1, every)
    for number in numbers:
        try:
            place = trials.trial(number)
        except AssertionError as error:
            raise AssertionError(f"{program}, write {number} ({trials.writes[number - 1]}): {error}") from error
        print(f"{program}: write {number} of {len(trials.writes)}, {place}", flush=True)
    seconds = round(time.monotonic() - began)
    codes = {str(code): count for code, count in sorted(trials.codes.items())}
    return {"writes": len(trials.writes), "tried": len(numbers), "exit codes": codes, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", choices=[*PROGRAMS])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--first", type=int, default=1)
    arguments = parser.parse_args()
    home = Path(tempfile.mkdtemp())
    try:
        names = [arguments.program] if arguments.program else [*PROGRAMS]
        print(json.dumps({name: tried(home, name, arguments.every, arguments.first) for name in names}))
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
