"""Labels and log-probabilities in, the numbers of the leaderboard out.

scikit-learn is the reference: a property test compares every number with it.  It is not imported here, since importing
it costs a worker seconds, and its one-vs-rest AUC takes 18 s where :mod:`benchmark.training.ranking` takes one.

An undefined value is ``None`` with a reason.  These are the rules, each as in scikit-learn unless it says otherwise:

- The predicted class is the most probable one; of equals, the first.
- ``precision_macro``, ``recall_macro``, ``f1_macro`` are means over the classes that have images or predictions.  In a
  mean, the precision of a class that is never predicted counts as 0, and so does the recall of a class that is
  predicted but has no images: leaving them out would reward a model for never naming a hard class.  A note says so.
  ``…_weighted`` weigh by images; ``balanced_accuracy`` is the mean recall of the classes that have images.
- ``roc_auc_macro`` is the mean one-vs-rest area, for two classes the area of the second.  Where a class has no images
  it is undefined: a mean over fewer classes would be another quantity under the same name.
- ``mcc`` is undefined (scikit-learn: 0) where all labels or all predictions are of one class.
- ``top5_accuracy`` is undefined with up to five classes, where it cannot be wrong; of equals, the last count as higher.
- ``log_loss`` takes a probability below 2.2e-16 (the precision of float64) as that, so that an exact 0 costs 36, not
  infinity.
- ``ece`` is the expected calibration error over 15 bins (:mod:`benchmark.training.calibration`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.metric_names import MINIMUM_CLASSES
from benchmark.training.confusion import Confusion
from benchmark.training.predicted import Predicted

TOP = 5


@dataclass(frozen=True)
class Scores:
    """Metric name, without section -> value; ``None`` where undefined, with the reason under the same name in
    ``undefined``.  ``notes`` say what a reader of a defined value should know."""

    values: dict[str, float | None]
    undefined: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def under(self, section: str) -> Scores:
        """The same with names such as ``test/accuracy``, and notes that begin with the section."""
        values = {f"{section}/{name}": value for name, value in self.values.items()}
        undefined = {f"{section}/{name}": reason for name, reason in self.undefined.items()}
        return Scores(values, undefined, tuple(f"{section}: {note}" for note in self.notes))


def scores(labels: npt.NDArray[Any], log_probs: npt.NDArray[Any], classes: Sequence[str] | None = None) -> Scores:
    """Every metric of the final evaluation; the module says how each is defined.

    Args:
        labels: true class indices, integers of shape (n,).
        log_probs: natural logarithms of the predicted probabilities, float of shape (n, k), k >= 2; -inf is allowed.
        classes: k names for reasons and notes; by default the indices.

    Raises:
        NotANumber: a log-probability is NaN.
        ValueError: the arrays are empty, do not fit together, or hold no log-probabilities.
    """
    predicted = Predicted.of(labels, log_probs)
    confusion = predicted.confusion
    names = class_names(classes, predicted.classes)
    values = {
        "accuracy": confusion.accuracy,
        "top5_accuracy": predicted.top_accuracy(TOP)
        if predicted.classes >= MINIMUM_CLASSES["top5_accuracy"]
        else math.nan,
        "balanced_accuracy": confusion.balanced_accuracy,
        **_averages(confusion),
        "roc_auc_macro": predicted.roc_auc(),
        "log_loss": predicted.log_loss,
        "mcc": confusion.mcc,
        "ece": predicted.calibration.expected_error,
    }
    reasons = _reasons(confusion, names)
    undefined = {name: reasons[name] for name, value in values.items() if math.isnan(value)}
    return Scores({name: defined(value) for name, value in values.items()}, undefined, _notes(confusion, names))


def cheap_scores(labels: npt.NDArray[Any], log_probs: npt.NDArray[Any]) -> Scores:
    """The metrics of each epoch's validation, always defined; arguments and errors as for :func:`scores`."""
    predicted = Predicted.of(labels, log_probs)
    confusion = predicted.confusion
    values: dict[str, float | None] = {
        "accuracy": confusion.accuracy,
        "balanced_accuracy": confusion.balanced_accuracy,
        "f1_macro": confusion.macro(confusion.f1),
        "log_loss": predicted.log_loss,
    }
    return Scores(values)


def defined(value: float) -> float | None:
    """A plain float, or ``None`` for NaN."""
    return None if math.isnan(value) else float(value)


def class_names(classes: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """``classes``, or the indices in their place.

    Raises:
        ValueError: their number is not ``count``.
    """
    names = tuple(str(index) for index in range(count)) if classes is None else tuple(classes)
    if len(names) != count:
        raise ValueError(f"{len(names)} class names for predictions of {count} classes")
    return names


def _averages(confusion: Confusion) -> dict[str, float]:
    per_class = {"precision": confusion.precision, "recall": confusion.recall, "f1": confusion.f1}
    macro = {f"{name}_macro": confusion.macro(values) for name, values in per_class.items()}
    return macro | {f"{name}_weighted": confusion.weighted(values) for name, values in per_class.items()}


def _reasons(confusion: Confusion, names: Sequence[str]) -> dict[str, str]:
    alone = "labels" if np.count_nonzero(confusion.support) == 1 else "predictions"
    return {
        "top5_accuracy": f"any 5 of {len(names)} classes include the right one",
        "roc_auc_macro": f"no images of {_list(names, confusion.support == 0)}",
        "mcc": f"all {alone} are of one class",
    }


def _notes(confusion: Confusion, names: Sequence[str]) -> tuple[str, ...]:
    unnamed = (confusion.support > 0) & (confusion.predicted == 0)
    absent = (confusion.support == 0) & (confusion.predicted > 0)
    notes = (
        (unnamed, f"precision averages count 0 for {_list(names, unnamed)}: never predicted"),
        (absent, f"recall_macro counts 0 for {_list(names, absent)}: predicted, but without images"),
    )
    return tuple(note for affected, note in notes if affected.any())


def _list(names: Sequence[str], chosen: npt.NDArray[np.bool_], shown: int = 3) -> str:
    indices = np.flatnonzero(chosen)
    text = ", ".join(repr(names[index]) for index in indices[:shown])
    more = f" and {len(indices) - shown} more" if len(indices) > shown else ""
    return f"class{'es' if len(indices) > 1 else ''} {text}{more}"
