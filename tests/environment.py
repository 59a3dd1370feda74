"""Variables of the processes that tests start."""

import os


def unmeasured() -> dict[str, str]:
    """Ours, without coverage's: for what is killed at any moment, or computes long."""
    return {name: value for name, value in os.environ.items() if name != "COVERAGE_PROCESS_CONFIG"}
