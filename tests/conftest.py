"""Settings of every test: one thread a process, no deadlines, and no skipped check where the gate can run it."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests.environment import COVERAGE

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("unhurried", deadline=None)  # a busy machine is no mistake
settings.load_profile("unhurried")


CONTAINERS = (
    "test_bootstrap", "test_canaries", "test_containers", "test_determinism", "test_local", "test_rehearsal_server",
    "test_survival_containers",
)  # fmt: skip
"""Modules that look at all containers of this machine: one after the other."""
LONGEST = (
    "containers", "test_survival", "test_aws", "test_tutorial", "test_ui", "test_distributed", "test_export",
    "test_hostile_yaml", "test_cli", "test_full_disk", "test_tracker_away", "test_checkpoint", "test_registering",
    "test_aws_packs", "test_from_mlflow", "test_vision_sets", "test_catalogue", "test_tuning", "test_job",
)  # fmt: skip
"""Begun first, so that none of them is waited for in the end."""
MEASURED = ("test_aws", "test_cli", "test_hf_data", "test_local", "test_registering", "test_s3_data", "test_ui")
"""Modules whose slow tests start processes that no quick test starts: coverage looks into those, at a third of their
time, and leaves out what other slow tests start."""


class ByModule(LoadScopeScheduling):
    """With several test processes a module stays in one of them; those of :data:`CONTAINERS` together."""

    def _split_scope(self, nodeid: str) -> str:
        module = Path(nodeid.partition("::")[0]).stem
        return "containers" if module in CONTAINERS else module

    def _assign_work_unit(self, node: WorkerController) -> None:
        first = next((scope for scope in LONGEST if scope in self.workqueue), None)
        if first is not None:
            self.workqueue.move_to_end(first, last=False)
        super()._assign_work_unit(node)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModule:
    return ByModule(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Around the fixtures, too: what :data:`MEASURED` leaves out is not looked into by coverage."""
    left_out = item.get_closest_marker("slow") is not None and item.path.stem not in MEASURED
    kept = os.environ.pop(COVERAGE, None) if left_out else None
    result = yield
    if kept is not None:
        os.environ[COVERAGE] = kept
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """With BENCHMARK_NO_SKIP a skipped test fails: the gate has all that the tests need."""
    report = yield
    if report.skipped and os.environ.get("BENCHMARK_NO_SKIP"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
    return report
