"""Settings of every test: one thread a process, no deadlines, and no skipped check where the gate can run it."""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("unhurried", deadline=None)  # a busy machine is no mistake
settings.load_profile("unhurried")


CONTAINERS = (
    "test_bootstrap", "test_canaries", "test_containers", "test_determinism", "test_local", "test_rehearsal_server",
    "test_survival",
)  # fmt: skip
"""Modules that look at all containers of this machine: one after the other."""


class ByModule(LoadScopeScheduling):
    """With several test processes a module stays in one of them; those of :data:`CONTAINERS` together."""

    def _split_scope(self, nodeid: str) -> str:
        module = Path(nodeid.partition("::")[0]).stem
        return "containers" if module in CONTAINERS else module


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModule:
    return ByModule(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """With BENCHMARK_NO_SKIP a skipped test fails: the gate has all that the tests need."""
    report = yield
    if report.skipped and os.environ.get("BENCHMARK_NO_SKIP"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
    return report
