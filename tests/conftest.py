"""Settings of every test: one thread a process, and no skipped check where the gate can run it."""

import os
from collections.abc import Generator
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """With BENCHMARK_NO_SKIP a skipped test fails: the gate has all that the tests need."""
    report = yield
    if report.skipped and os.environ.get("BENCHMARK_NO_SKIP"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
    return report
