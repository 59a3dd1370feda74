"""GPUs lent to workers.  No machine of ours has any: their driver is a program that prints what a file says, in the
words of the real one; what is lent, measured and given back is the launcher's."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from benchmark.effort import BASE
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from launch import fast_local, gpus
from launch.fast_local import FastLocal
from launch.gpus import BUSY, LOOK_SECONDS, SETTLE_SECONDS, Gpus, Seen, on_gpu, parse, visible
from launch.host import Start
from tests.test_launch import end_of, script, wait_for

GIB = 2**30
FIRST, SECOND = "GPU-11111111-aaaa", "GPU-22222222-bbbb"
RUN = Run(DataSpec("synthetic"), "lenet5", data_digest="d" * 64, image_size=28, channels=1, epochs=1)
TELL = """
import json, os, pathlib, sys, time
home = pathlib.Path(os.environ["SM_OUTPUT_DATA_DIR"])
(home / "seen.json").write_text(json.dumps(os.environ.get("CUDA_VISIBLE_DEVICES")))
while not (home / "go").exists():
    time.sleep(0.02)
"""


@dataclass
class Driver:
    """A machine with GPUs of 16 GiB, its clock, and how often it was asked."""

    path: Path
    now: float = 0.0
    used: dict[str, float] = field(default_factory=lambda: {FIRST: 0.0, SECOND: 0.0})
    busy: dict[str, object] = field(default_factory=dict)
    made: list[Gpus] = field(default_factory=list)

    def tell(self) -> None:
        lines = [
            f"{place}, {uuid}, {16 * 1024}, {int(self.used[uuid] * 1024)}, {self.busy.get(uuid, 0)}"
            for place, uuid in enumerate(self.used)
        ]
        self.path.write_text("\n".join(lines) + "\n")

    @property
    def query(self) -> list[str]:
        return [sys.executable, "-S", "-c", f"print(open({str(self.path)!r}).read())"]

    def gpus(self, most: object = "auto") -> Gpus:
        self.tell()
        self.made.append(Gpus(most, self.query, lambda: self.now))  # type: ignore[arg-type]
        return self.made[-1]

    def passes(self, found: Gpus, seconds: float) -> None:
        """Time in which a sweep asks again and again."""
        self.tell()
        end = self.now + seconds
        while self.now < end:
            self.now += LOOK_SECONDS
            found.fit(1, 0)
            if found._asked is not None:
                found._asked.wait()
        found.fit(1, 0)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    monkeypatch.delenv(gpus.VISIBLE, raising=False)
    found = Driver(tmp_path / "driver")
    yield found
    for each in found.made:
        each.close()


def test_what_the_driver_prints_is_read_and_the_rest_left_out() -> None:
    text = "0, GPU-1, 81559, 4, 37\n1, GPU-2, 81559, 1024, [N/A]\n\nNVIDIA-SMI has failed, a, b, c, d\n"
    assert parse(text) == [
        Seen("0", "GPU-1", 81559 * 2**20, 4 * 2**20, 0.37),
        Seen("1", "GPU-2", 81559 * 2**20, GIB, None),
    ]


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (None, [FIRST, SECOND]),
        ("1", [SECOND]),
        ("1, 0", [SECOND, FIRST]),
        ("GPU-2222", [SECOND]),
        ("", []),
        ("MIG-3333", []),
        ("0,7", []),
        ("GPU-", []),  # either of them
    ],
)
def test_only_gpus_that_the_user_left_visible_are_lent(chosen: str | None, left: list[str]) -> None:
    found = [Seen(str(place), uuid, GIB, 0, 0.0) for place, uuid in enumerate((FIRST, SECOND))]
    environment = {} if chosen is None else {gpus.VISIBLE: chosen}
    assert [each.uuid for each in visible(found, environment)] == left


def test_without_a_driver_nothing_is_lent_and_everything_fits() -> None:
    found = Gpus("auto", ["no-such-program-of-a-driver"])
    assert len(found) == 0
    assert found.fit(1, GIB)
    assert found.take(1, GIB) == ()


def test_so_many_workers_share_a_gpu_as_was_said(driver: Driver) -> None:
    found = driver.gpus(2)
    taken = []
    while found.fit(1, 100 * GIB):
        taken.append(found.take(1, 100 * GIB))
    assert taken == [(FIRST,), (SECOND,), (FIRST,), (SECOND,)]
    found.give(taken[1], 100 * GIB)
    assert found.fit(1, 100 * GIB)
    assert found.take(1, 100 * GIB) == (SECOND,)


def test_each_gpu_has_one_worker_until_its_load_was_measured(driver: Driver) -> None:
    found = driver.gpus()
    assert {found.take(1, GIB), found.take(1, GIB)} == {(FIRST,), (SECOND,)}
    assert not found.fit(1, GIB)
    driver.busy = {FIRST: 95, SECOND: 30}
    driver.passes(found, SETTLE_SECONDS - 2 * LOOK_SECONDS)
    assert not found.fit(1, GIB), "what is measured while a worker starts says nothing"
    driver.passes(found, 4 * LOOK_SECONDS)
    assert found.fit(1, GIB)
    assert found.take(1, GIB) == (SECOND,)
    assert not found.fit(1, GIB), "it has not been measured with both"


def test_a_gpu_that_is_busy_gets_no_other_worker(driver: Driver) -> None:
    driver.used = {FIRST: 0.0}
    found = driver.gpus()
    found.take(1, GIB)
    driver.busy = {FIRST: 100 * BUSY + 1}
    driver.passes(found, 4 * SETTLE_SECONDS)
    assert not found.fit(1, GIB)
    driver.busy = {FIRST: "[N/A]"}
    found.add([FIRST], GIB)  # the load counts anew
    driver.passes(found, 4 * SETTLE_SECONDS)
    assert not found.fit(1, GIB), "nothing is known of its load"


@pytest.mark.parametrize(
    ("used", "wanted", "fits"),
    [(1.0, 4.0, True), (13.0, 4.0, False), (1.0, 14.0, False), (9.0, 4.0, True)],
)
def test_memory_is_what_is_used_or_will_be(driver: Driver, used: float, wanted: float, fits: bool) -> None:
    driver.used = {FIRST: used}
    found = driver.gpus()
    found.take(1, 3 * GIB)
    driver.passes(found, 2 * SETTLE_SECONDS)
    assert found.fit(1, int(wanted * GIB)) == fits


def test_a_team_has_as_many_gpus_as_processes_and_waits_for_them(driver: Driver) -> None:
    found = driver.gpus()
    alone = found.take(1, GIB)
    assert not found.fit(2, GIB)
    found.give(alone, GIB)
    assert found.fit(2, GIB)
    assert found.take(2, GIB) == (FIRST, SECOND)
    assert found.take(3, GIB) == ()


def test_the_sweep_never_waits_for_the_driver(driver: Driver, tmp_path: Path) -> None:
    found = driver.gpus()
    found._query = [sys.executable, "-c", "import time; time.sleep(600)"]
    found.take(1, GIB)
    driver.now += LOOK_SECONDS
    for _ in range(1000):
        found.fit(1, GIB)
    asked = found._asked
    assert asked is not None
    assert asked.poll() is None
    found.close()
    assert asked.poll() is not None


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_worker_sees_its_gpu_alone_and_gives_it_back(tmp_path: Path, driver: Driver, start: Start) -> None:
    entry, asked = script(tmp_path, TELL), []
    places = [RunDir(tmp_path / name) for name in ("a", "b", "c")]
    run = RUN

    def memory(run: Run) -> int:
        asked.append(run)
        return GIB

    with FastLocal(start, gpu_memory=memory, gpus=driver.gpus(1), entry=entry, preload=()) as launcher:
        for place in places:
            place.path.mkdir()
            place.write_run(run)
        assert launcher.fits(run)
        jobs = [launcher.submit(run, place, 1, tmp_path) for place in places[:2]]
        wait_for(lambda: all((place.path / "seen.json").exists() for place in places[:2]))
        assert [json.loads((place.path / "seen.json").read_text()) for place in places[:2]] == [FIRST, SECOND]
        assert not launcher.fits(run)
        assert launcher.fits(replace(run, device="cpu"))
        (places[0].path / "go").touch()
        end_of(jobs[0])
        assert launcher.fits(run)
        jobs.append(launcher.submit(run, places[2], 1, tmp_path))
        wait_for((places[2].path / "seen.json").exists)
        assert json.loads((places[2].path / "seen.json").read_text()) == FIRST

        # Another sweep finds those that live, and what they have.
        with FastLocal(start, gpu_memory=memory, gpus=driver.gpus(1), entry=entry, preload=()) as second:
            adopted = [second.adopt(run, place, 1) for place in places]
            assert [each is None for each in adopted] == [True, False, False]
            assert not second.fits(run)
            (places[1].path / "go").touch()
            assert adopted[1] is not None
            end_of(adopted[1])
            assert second.fits(run)
        (places[2].path / "go").touch()
        for job in jobs:
            end_of(job)
    assert run in asked


def test_a_run_on_the_processor_is_given_no_gpu(tmp_path: Path, driver: Driver) -> None:
    place = RunDir(tmp_path / "run")
    place.path.mkdir()
    (place.path / "go").touch()
    run = replace(RUN, device="cpu")
    place.write_run(run)
    with FastLocal("spawn", gpus=driver.gpus(1), entry=script(tmp_path, TELL), preload=()) as launcher:
        end_of(launcher.submit(run, place, 1, tmp_path))
    assert json.loads((place.path / "seen.json").read_text()) is None
    assert not (place.attempt(1) / fast_local.GPUS).exists()


def test_a_gpu_is_given_back_where_the_job_could_not_be_started(tmp_path: Path, driver: Driver) -> None:
    place, memory = RunDir(tmp_path / "run"), lambda run: 70 * GIB
    (place.attempt(1) / fast_local.GPUS).mkdir()  # where a file is to be written
    with FastLocal("spawn", gpu_memory=memory, gpus=driver.gpus(1), preload=()) as launcher:
        with pytest.raises(IsADirectoryError):
            launcher.submit(RUN, place, 1, tmp_path)
        assert launcher.fits(RUN)


def test_a_process_takes_more_than_its_tensors() -> None:
    assert on_gpu(0) > BASE // 2
    assert on_gpu(10 * GIB) > 11 * GIB
