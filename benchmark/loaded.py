"""An experiment's results as tables of pandas: what :func:`benchmark.load` gives.

    tour = benchmark.load("experiments.yaml")
    tour.results()                 # a row for each run
    tour.leaderboard()             # shows itself in a notebook
    tour.curves()                  # a row for each epoch of each run
    tour.predictions("best")       # a row for each test image

Each call reads the journal and the run directories as they are then, while a sweep is under way too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from benchmark import boards, words
from benchmark.choosing import choose
from benchmark.frames import curves, results
from benchmark.planned import planned
from benchmark.preparing import UsageProblem, must_have_run
from benchmark.records import Predictions
from benchmark.rundir import RunDir
from benchmark.shown import Shown
from reports.exhibit import exhibits
from reports.leaderboard import Leaderboard

SPLITS = ("test", "val")
Split = Literal["test", "val"]


@dataclass(frozen=True)
class Loaded:
    """The results of one experiment; ``read`` gives its leaderboard as it stands."""

    name: str
    directory: Path
    read: Callable[[], Leaderboard]

    def results(self) -> pd.DataFrame:
        """A row for each planned run, finished or not: ``run_id``, ``configuration_id``, ``configuration``, ``status``
        (done, failed, pruned, pending), ``failure`` (its kind), ``model``, ``seed``, ``data``; then each
        hyperparameter, those that vary first; then each metric by its name (``test/accuracy``), NaN where there is no
        value."""
        return results(self.read())

    def curves(self) -> pd.DataFrame:
        """A row for each epoch of each run, those under way included: whose it is, ``epoch`` (from 1), ``step``,
        ``time`` (Unix seconds), and each metric of an epoch (``train/loss``, ``val/accuracy``, ``cost/…``)."""
        return curves(self.read())

    def leaderboard(self) -> Shown:
        """The leaderboard: in a notebook its last line in a cell shows it; ``rows`` has it as a DataFrame."""
        board = self.read()
        return Shown(board, exhibits(board))

    def predictions(self, run: str = "best", split: Split = "test") -> pd.DataFrame:
        """A row for each image: ``id``, ``true`` and ``predicted`` (names of classes), ``correct``, ``confidence`` (the
        probability of the predicted class) and ``log_loss`` (minus the log-probability of the true class).

        Args:
            run: the beginning of a run's id, a configuration or model of the leaderboard (its best seed by validation),
                or ``best``.
            split: ``test`` or ``val``.

        Raises:
            UsageProblem: no such run, or it has not finished.
            BrokenFile: its predictions cannot be read.
        """
        found, classes = self._predicted(run, split)
        places = np.arange(len(found.labels))
        predicted = found.log_probs.argmax(axis=1)
        return pd.DataFrame(
            {
                "id": found.ids,
                "true": classes[found.labels],
                "predicted": classes[predicted],
                "correct": predicted == found.labels,
                "confidence": np.exp(found.log_probs[places, predicted]),
                "log_loss": -found.log_probs[places, found.labels],
            }
        )

    def probabilities(self, run: str = "best", split: Split = "test") -> pd.DataFrame:
        """float32 (images, classes), by the images' ids and the classes' names; arguments and errors as of
        :meth:`predictions`."""
        found, classes = self._predicted(run, split)
        return pd.DataFrame(np.exp(found.log_probs), index=pd.Index(found.ids, name="id"), columns=classes)

    def __repr__(self) -> str:
        counts = self.read().counts
        told = ", ".join(f"{number} {status}" for status, number in counts.items())
        return f"<{self.name}: {sum(counts.values())} runs ({told}) in {self.directory}>"

    def _predicted(self, run: str, split: str) -> tuple[Predictions, np.ndarray[tuple[int], np.dtype[np.object_]]]:
        if split not in SPLITS:
            raise UsageProblem(f"split: {split!r} has no predictions; it is {' or '.join(SPLITS)}")
        entry = choose(self.read(), run)
        assert entry.directory is not None
        rundir = RunDir(entry.directory)
        return rundir.read_predictions(split), np.array(rundir.read_classes(), dtype=object)


def find(experiment: str | Path | None, results: str | Path, settings: Sequence[str]) -> Loaded:
    """See :func:`benchmark.load`."""
    place = Path(experiment) if experiment is not None else None
    if place is not None and place.is_dir():
        return _of_directory(place)
    if place is None and (Path(results) / "journal.db").exists():
        return _of_directory(Path(results))
    found = planned(place, settings, Path(results)).plan
    must_have_run(found)
    command = words.command(place, settings, "run")
    return Loaded(found.experiment.name, found.directory, lambda: boards.board(found, command))


def _of_directory(directory: Path) -> Loaded:
    """
    Raises:
        UsageProblem: it is not the directory of an experiment's results.
    """
    if not (directory / "journal.db").exists():
        below = sorted(each.parent.name for each in directory.glob("*/journal.db"))
        remedy = f"one of its directories is: {', '.join(below)}" if below else "`python -m benchmark run` makes them"
        raise UsageProblem(f"{directory} has no results of an experiment (no journal.db); {remedy}")
    return Loaded(boards.kept(directory).header.experiment, directory, lambda: boards.kept(directory))
