"""A benchmark harness for PyTorch image classification: one YAML matrix in, a leaderboard that can be believed out.

In a notebook::

    import benchmark

    tour = benchmark.load("experiments.yaml")
    tour.leaderboard()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from benchmark.loaded import Loaded

__version__ = "0.1.0"


def load(
    experiment: str | Path | None = None, *, results: str | Path = "results", settings: Sequence[str] = ()
) -> Loaded:
    """What an experiment has brought so far, for notebooks and programs; nothing is started or written.

    A sweep may be under way: every method of what comes back looks again.

    Args:
        experiment: its YAML file; by default ``./experiments.yaml``, else the one that ships.  Or the directory of one
            experiment's results, such as ``results/fashion-tour``: then neither the YAML nor the images are needed.
        results: where results are kept, as the command's ``--results``; it may be one experiment's directory, too.
        settings: as ``--set``: ``["epochs=3"]``.

    Raises:
        ConfigError, DataError: what is wrong with the YAML, or with its images.
        UsageProblem: nothing has run yet.
    """
    from benchmark import loaded  # pandas and matplotlib take a second, which `import benchmark` is not to cost

    return loaded.find(experiment, results, settings)
