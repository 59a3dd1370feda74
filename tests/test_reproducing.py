"""`reproduce`: the same bits, within noise, or different, and since which epoch."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats.contingency import crosstab

from benchmark.records import Event, Predictions, Result
from benchmark.reproducing import Comparison, compare, first_difference
from benchmark.rundir import RunDir
from reports.statistics import mcnemar

RESULT = Result(
    "r" * 12, {"test/accuracy": 0.5, "model/parameters": 3.0, "cost/train_seconds": 1.0}, {}, 1, 2, 1.0, 2.0, "net",
    {"torch": "2.0", "cpu": "one"},
)  # fmt: skip


def rundir(path: Path, wrong: int, losses: tuple[float, ...] = (2.0, 1.0), shift: float = 0.0) -> RunDir:
    """A run that errs on the first ``wrong`` of 100 test images."""
    found = RunDir(path)
    found.path.mkdir(parents=True)
    labels = np.zeros(100, dtype=np.int64)
    log_probs = np.log(np.full((100, 2), 0.5, dtype=np.float32))
    log_probs[:wrong, 1] += 1
    log_probs[wrong:, 0] += 1 + shift
    ids = np.array([str(number) for number in range(100)])
    found.write_predictions({"test": Predictions(ids, labels, log_probs)}, ("a", "b"))
    for number, loss in enumerate(losses, start=1):
        found.append_event(
            Event(number, number, float(number), {"train/loss": loss, "cost/train_seconds": number * 7.0})
        )
    return found


def compared(tmp_path: Path, again: RunDir, **metrics: float) -> Comparison:
    changed = {name.replace("_", "/", 1): value for name, value in metrics.items()}
    after = dataclasses.replace(
        RESULT,
        metrics={**RESULT.metrics, "cost/train_seconds": 9.0, **changed},
        environment={"torch": "3.0", "cpu": "one"},
    )
    return compare(rundir(tmp_path / "record", 20), RESULT, again, after)


def test_equal_bits_are_identical_whatever_time_they_took(tmp_path: Path) -> None:
    found = compared(tmp_path, rundir(tmp_path / "again", 20))
    assert (found.verdict, found.epoch, found.disagreements, found.exit_code) == ("identical", None, 0, 0)
    assert found.lines[0].startswith("bit-identical")
    assert found.document["verdict"] == "identical"


def test_other_bits_with_the_same_answers_are_within_noise(tmp_path: Path) -> None:
    found = compared(tmp_path, rundir(tmp_path / "again", 20, losses=(2.0, 1.1), shift=1e-6))
    assert (found.verdict, found.epoch, found.disagreements, found.exit_code) == ("within noise", 2, 0, 0)
    assert "the first epoch that differs is 2" in found.lines
    assert "  torch: 2.0 then, 3.0 now" in found.lines
    assert found.changed == {"torch": ("2.0", "3.0")}


def test_a_few_other_answers_are_noise_and_many_are_not(tmp_path: Path) -> None:
    few = compared(tmp_path / "few", rundir(tmp_path / "a", 23), test_accuracy=0.47)
    assert (few.verdict, few.disagreements) == ("within noise", 3)
    many = compared(tmp_path / "many", rundir(tmp_path / "b", 60), test_accuracy=0.1)
    assert (many.verdict, many.disagreements, many.exit_code) == ("different", 40, 1)
    assert "  test/accuracy: 0.5 then, 0.1 now" in many.lines
    assert "40 of 100 test images are predicted otherwise" in many.lines[0]


def test_a_missing_epoch_is_a_difference() -> None:
    events = [Event(number, number, 0.0, {"train/loss": 1.0}) for number in (1, 2)]
    assert first_difference(events, events) is None
    assert first_difference(events, events[:1]) == 2
    assert first_difference([], events) == 1


def test_mcnemar_counts_only_where_the_two_differ() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random(500) < 0.8, generator.random(500) < 0.7
    (_, counts) = crosstab(first, second)
    lost, gained = int(counts[1, 0]), int(counts[0, 1])
    z = (abs(lost - gained) - 1) / np.sqrt(lost + gained)  # with the correction for continuity
    assert mcnemar(first, second) == pytest.approx(2 * (1 - NormalDist().cdf(z)), rel=0.1)
    assert mcnemar(first, first) == 1.0
    assert mcnemar(first, second) == mcnemar(second, first)
    with pytest.raises(ValueError, match="cannot be compared"):
        mcnemar(first, second[:10])
