"""A model's predictions, and what the figures of one split are drawn from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from benchmark.records import CalibrationBin, ClassMetrics, Evaluation, RocCurve
from benchmark.run import Run
from benchmark.training import calibration
from benchmark.training.calibration import Calibration
from benchmark.training.confusion import Confusion, Floats
from benchmark.training.data import Normalize, Split, batches
from benchmark.training.metrics import class_names, defined
from benchmark.training.predicted import Predicted
from benchmark.training.ranking import roc_aucs, roc_curves
from benchmark.training.team import Team

CURVE_POINTS = 200
DIGITS = 6
"""Of the rates on a curve: finer than one image among a million."""


def predict_together(
    run: Run, model: nn.Module, split: Split, normalize: Normalize, team: Team
) -> npt.NDArray[np.float32]:
    """:func:`predict` of a whole split, each image once and in the split's order; every process of a team does its part
    with the same network, the buffers included, and has the whole in the end."""
    team.align(model)
    part = split.part(team.share(len(split)).own)
    mine = predict(model, batches(part, run.eval_batch_size, normalize), flip=run.test_flip) if len(part) else None
    return np.concatenate([each for each in team.gather(mine) if each is not None])


def predict(
    model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], *, flip: bool = False
) -> npt.NDArray[np.float32]:
    """Log-probabilities, float32 of shape (n, classes), one row for each image in the order of ``batches``.

    The logarithm of the softmax is taken in float64 (where the device has it) and then rounded: in float32 every
    prediction that leads by more than 16 would become exactly 0, and the ROC curve would lose its order.  The model is
    on the device of the images; it computes in evaluation mode, and each of its modules gets its own mode back, errors
    included.

    Args:
        model: maps images of a batch to logits of shape (batch, classes).
        batches: pairs of images, as the model takes them, and labels, which are not looked at.
        flip: average the probabilities of each image and its mirror image.

    Raises:
        ValueError: ``batches`` is empty.
    """
    with _evaluating(model), torch.inference_mode():
        parts = [_log_probs(model, images, flip) for images, _ in batches]
    if not parts:
        raise ValueError("there are no images to predict")
    result: npt.NDArray[np.float32] = torch.cat(parts).cpu().numpy()
    return result


def evaluation(labels: npt.NDArray[Any], log_probs: npt.NDArray[Any], classes: Sequence[str]) -> Evaluation:
    """Confusion matrix, per-class table, ROC curves of the classes that have one, calibration bins.

    Arguments and errors as for :func:`benchmark.training.metrics.scores`; ``classes`` are the k names.
    """
    predicted = Predicted.of(labels, log_probs)
    names = class_names(classes, predicted.classes)
    confusion = predicted.confusion
    areas = roc_aucs(predicted.labels, predicted.log_probs)
    return Evaluation(
        confusion=tuple(tuple(row) for row in confusion.counts.tolist()),
        per_class=tuple(_per_class(confusion, areas, names)),
        roc=tuple(_curves(predicted, names)),
        calibration=tuple(_bins(predicted.calibration)),
    )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards each module's own mode, since parts of a model may be frozen in evaluation mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _log_probs(model: nn.Module, images: Tensor, flip: bool) -> Tensor:
    wide = torch.float32 if images.device.type == "mps" else torch.float64  # Apple's GPUs have no float64
    log_probs = torch.log_softmax(model(images).to(wide), dim=1)
    if flip:
        mirrored = torch.log_softmax(model(images.flip(3)).to(wide), dim=1)
        log_probs = torch.logaddexp(log_probs, mirrored) - math.log(2)
    return log_probs.to(torch.float32)


def _per_class(confusion: Confusion, areas: Floats, names: Sequence[str]) -> Iterator[ClassMetrics]:
    columns = {"precision": confusion.precision, "recall": confusion.recall, "f1": confusion.f1, "roc_auc": areas}
    for index, name in enumerate(names):
        values = {metric: float(column[index]) for metric, column in columns.items()}
        reasons = _reasons(int(confusion.support[index]))
        undefined = {metric: reasons[metric] for metric, value in values.items() if math.isnan(value)}
        shown = {metric: defined(value) for metric, value in values.items()}
        yield ClassMetrics(name, int(confusion.support[index]), **shown, undefined=undefined)


def _reasons(support: int) -> dict[str, str]:
    return {
        "precision": "never predicted",
        "recall": "no images of this class",
        "f1": "no images of this class, and never predicted",
        "roc_auc": "no images of other classes" if support else "no images of this class",
    }


def _curves(predicted: Predicted, names: Sequence[str]) -> Iterator[RocCurve]:
    for index, fpr, tpr in roc_curves(predicted.labels, predicted.log_probs, CURVE_POINTS):
        yield RocCurve(names[index], tuple(fpr.round(DIGITS).tolist()), tuple(tpr.round(DIGITS).tolist()))


def _bins(measured: Calibration) -> Iterator[CalibrationBin]:
    borders = calibration.edges().tolist()
    rows = zip(measured.count.tolist(), measured.mean_confidence, measured.accuracy, strict=True)
    for lower, upper, (count, confidence, accuracy) in zip(borders, borders[1:], rows, strict=False):
        yield CalibrationBin(lower, upper, count, defined(confidence), defined(accuracy))
