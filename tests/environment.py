"""Variables of the processes that tests start."""

import os

COVERAGE = "COVERAGE_PROCESS_CONFIG"
"""By it coverage makes itself known to the processes that a test starts."""


def unmeasured() -> dict[str, str]:
    """Ours, without coverage's: for what is killed at any moment, or computes long."""
    return {name: value for name, value in os.environ.items() if name != COVERAGE}
