"""Kill -9 at every named place and at random ones: nothing is lost, nothing is counted twice, the numbers stay."""

from pathlib import Path
from typing import Any

import pytest

from tests.killed_experiment import Experiment, Mode
from tests.killer import VICTIMS
from tests.night import by_day
from tests.survival import named_places, trial

pytestmark = pytest.mark.slow

PLACES = named_places("fast_local")
BY_DAY = PLACES[1::10]
"""Kills at random hit the others, too."""
CASES = by_day(
    lambda case: case[1] == "fork" and case[0] in BY_DAY,
    [(point, start) for start in ("fork", "spawn") for point in PLACES if start == "fork" or "server" not in point],
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> dict[str, Any]:
    """What an undisturbed sweep ends with."""
    experiment = Experiment(tmp_path_factory.mktemp("undisturbed") / "home", cache, seeds=1, profile=True)
    experiment.finish()
    return experiment.state()


@pytest.mark.parametrize(("point", "start"), CASES)
def test_a_kill_at_any_named_place_changes_nothing(
    tmp_path: Path, cache: Path, wanted: dict[str, Any], point: str, start: str
) -> None:
    marker = tmp_path / "reached"
    variables = {"BENCHMARK_FAILPOINT": f"{point}:{marker}", "BENCHMARK_CHECKPOINT_SECONDS": "0"}
    experiment = Experiment(tmp_path / "кот #1", cache, start, seeds=1, profile=True, variables=variables)
    starts = experiment.finish()
    assert marker.exists(), f"nothing reached {point}"
    assert starts == (1 if point.startswith(("job.", "server.")) else 2)
    assert experiment.state() == wanted
    experiment.assert_nothing_is_left()


@pytest.mark.timeout(2400)
@pytest.mark.parametrize(("mode", "kills", "seeds"), [("fast_local", 80, 6), ("aws", 10, 1)])
def test_a_hundred_random_kills_lose_nothing_and_count_nothing_twice(
    tmp_path: Path, mode: Mode, kills: int, seeds: int
) -> None:
    """With the ten of `test_survival_containers.py`."""
    with trial(tmp_path, mode, seeds=seeds) as found:
        tally = found.torment(kills, seed=0, say=print)
    assert tally["total"] >= kills
    assert {"orchestrator", "mlflow"} <= set(tally["kills"]) <= set(VICTIMS[mode])
