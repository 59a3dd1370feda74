"""Seconds of runs on this machine: probes, experience from earlier sweeps, and what a plan makes of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from benchmark import config, words
from benchmark import plan as planning
from benchmark.effort import START_SECONDS, Effort
from benchmark.estimate import Estimate, estimate
from benchmark.forecast import Forecast
from benchmark.probes import Probe, Probes
from benchmark.records import Result
from benchmark.run import DataSpec, Run
from benchmark.timing import FEW, KEPT, PROBED, ROUGH, Experience, timed
from launch.host import threads

SPEC = DataSpec("synthetic")
RUN = Run(SPEC, "lenet5", data_digest="d", image_size=28, channels=1, epochs=3)
OTHER = dataclasses.replace(RUN, model="resnet18")
ROUGHLY = Effort(1e6, 8.0, 2**20, 0, 0, 0, steps=100, evaluated=1000)
EFFORTS = {RUN.run_id: ROUGHLY, OTHER.run_id: dataclasses.replace(ROUGHLY, seconds=80.0)}
PROBE = Probe(step=0.1, image=0.001)
"""That makes 11 seconds and the start."""
NOTHING = Experience({"probe": [], "rough": []})


def test_without_probe_and_experience_nothing_is_known_in_seconds() -> None:
    found, unsure = timed(EFFORTS, {}, NOTHING)
    assert unsure is None
    assert found == EFFORTS
    assert Forecast(found, (), unsure).range(RUN) is None
    assert estimate([RUN], Forecast(found, (), unsure), 2) is None


def test_a_probe_gives_seconds_and_the_pace_of_the_others() -> None:
    found, unsure = timed(EFFORTS, {RUN.run_id: PROBE}, NOTHING)
    assert found[RUN.run_id].seconds == pytest.approx(11 + START_SECONDS)
    assert found[OTHER.run_id].seconds == pytest.approx(10 * (11 + START_SECONDS)), "rough, but at this machine's pace"
    assert unsure == ROUGH
    assert timed({RUN.run_id: ROUGHLY}, {RUN.run_id: PROBE}, NOTHING)[1] == PROBED


def test_experience_corrects_what_is_expected_next(tmp_path: Path) -> None:
    probed, _ = timed(EFFORTS, {RUN.run_id: PROBE}, NOTHING)
    NOTHING.add(tmp_path, [(probed[RUN.run_id], 2 * probed[RUN.run_id].seconds)] * FEW)
    known = Experience.read(tmp_path)
    assert known.factor("probe") == pytest.approx(2.0)
    again, unsure = timed({RUN.run_id: ROUGHLY}, {RUN.run_id: PROBE}, known)
    assert again[RUN.run_id].seconds == pytest.approx(2 * probed[RUN.run_id].seconds)
    assert unsure == (1.0, 1.0)
    known.add(tmp_path, [(again[RUN.run_id], again[RUN.run_id].seconds)] * KEPT)
    assert Experience.read(tmp_path).factor("probe") == pytest.approx(2.0), "a right forecast changes nothing"
    assert len(Experience.read(tmp_path).factors["probe"]) == KEPT


def test_experience_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    NOTHING.add(tmp_path, [(ROUGHLY, 16.0)])
    assert Experience.read(tmp_path).factor("rough") == 2.0
    (path,) = (tmp_path / "forecasts").iterdir()
    path.write_text("{")
    assert Experience.read(tmp_path).factor("rough") is None


def test_finished_runs_say_how_far_a_forecast_may_be_off() -> None:
    found, unsure = timed(EFFORTS, {RUN.run_id: PROBE}, NOTHING)
    seed = dataclasses.replace(RUN, seed=1)
    efforts = {**found, seed.run_id: found[RUN.run_id]}
    finished = [(RUN, Result(RUN.run_id, {}, {}, 1, 3, 100.0, 130.0, "", {}))]
    known = Forecast(efforts, finished, unsure)
    assert known.seconds(seed) == pytest.approx(30)
    assert known.range(seed) == pytest.approx((27.0, 33.0)), "another seed of the same configuration"
    low, high = known.range(OTHER) or (0, 0)
    assert low < (known.seconds(OTHER) or 0) * 0.6
    assert high > (known.seconds(OTHER) or 0) * 1.4


def test_an_estimate_is_of_all_workers_together() -> None:
    runs = [dataclasses.replace(RUN, seed=seed) for seed in range(4)]
    efforts = {run.run_id: dataclasses.replace(ROUGHLY, seconds=60.0) for run in runs}
    assert estimate(runs, Forecast(efforts, (), (0.5, 2.0)), 2) == Estimate(120.0, 60.0, 240.0, 2)
    assert estimate([], Forecast(efforts, (), (0.5, 2.0)), 2) is None
    assert words.estimate(Estimate(120.0, 60.0, 240.0, 2)) == "about 2 min (60 s to 4 min)"
    priced = estimate(runs, Forecast(efforts, (), (0.5, 2.0)), 2, price_per_hour=36.0)
    assert priced is not None
    assert priced.dollars == pytest.approx((1.2, 0.6, 2.4))
    assert words.estimate(priced) == "about 2 min (60 s to 4 min), $1.20 ($0.60 to $2.40)"


def test_what_makes_no_step_slower_shares_a_probe(tmp_path: Path) -> None:
    probes = Probes(tmp_path, {SPEC: 10})
    alike = [dataclasses.replace(RUN, **each) for each in ({"seed": 1}, {"lr": 0.5}, {"epochs": 9})]  # type: ignore[arg-type]
    other = [dataclasses.replace(RUN, **each) for each in ({"batch_size": 8}, {"threads": 2}, {"augment": "flip"})]  # type: ignore[arg-type]
    assert {probes.key(run) for run in alike} == {probes.key(RUN)}
    assert len({probes.key(run) for run in [RUN, *other]}) == 4
    assert probes.missing([RUN, *alike, *other]) == [RUN, *other]


@pytest.mark.nightly
@pytest.mark.slow
def test_probes_are_taken_once_and_one_that_fails_costs_the_others_nothing(tmp_path: Path) -> None:
    probes = Probes(tmp_path, {SPEC: 10})
    broken = dataclasses.replace(RUN, model="no_such_model")
    runs = [broken, RUN, dataclasses.replace(RUN, threads=2)]
    assert sum(probes.take(runs, threads)) == 3
    assert probes.known(broken) is None
    assert probes.missing(runs) == []
    found = probes.of(runs)
    assert set(found) == {each.run_id for each in runs[1:]}
    assert all(0 < each.image < each.step < 5 for each in found.values())


@pytest.mark.nightly
@pytest.mark.slow
def test_a_plan_with_probes_is_in_seconds_and_one_without_new_runs_measures_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text("name: tiny\ndata: {source: synthetic, train_size: 200, test_size: 20}\nmatrix: {model: lenet5}\n")
    asked: list[Run] = []

    def take(probes: Probes, runs: object) -> None:
        assert isinstance(runs, list)
        asked.extend(runs)
        sum(probes.take(runs, threads))

    plan = planning.make(config.load(path), tmp_path / "results", tmp_path / "cache", take)
    (run,) = plan.runs
    assert asked == [run]
    assert (plan.forecast().seconds(run) or 0) > START_SECONDS
    planning.make(config.load(path), tmp_path / "results", tmp_path / "cache", take)
    assert asked == [run]
