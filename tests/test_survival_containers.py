"""Kill -9 at random where runs are containers; the other modes are in `test_survival.py`."""

from pathlib import Path

import pytest

from tests.docker_support import CONTAINERS
from tests.killer import VICTIMS
from tests.survival import trial

pytestmark = [pytest.mark.slow, CONTAINERS]


@pytest.mark.timeout(2400)
def test_ten_random_kills_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    with trial(tmp_path, "local", seeds=1) as found:
        tally = found.torment(10, seed=0, say=print)
    assert tally["total"] >= 10
    assert {"orchestrator", "mlflow"} <= set(tally["kills"]) <= set(VICTIMS["local"])
