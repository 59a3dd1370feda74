"""Per-image values: their mean is the metric, their spread that of the metric over test sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.records import Predictions
from benchmark.training.metrics import scores
from reports import influence
from reports.influence import has_values, image_values, right

NAMES = (
    "accuracy", "top5_accuracy", "balanced_accuracy", "precision_macro", "precision_weighted", "recall_macro",
    "recall_weighted", "f1_macro", "f1_weighted", "roc_auc_macro", "log_loss",
)  # fmt: skip


def predicted(n: int, classes: int, seed: int = 0, *, ties: bool = False, skew: float = 1.0) -> Predictions:
    """Predictions better than chance; the later classes have more images."""
    random = np.random.default_rng(seed)
    weights = np.arange(1, classes + 1) ** skew
    labels = np.concatenate([np.arange(classes), random.choice(classes, n - classes, p=weights / weights.sum())])
    logits = random.normal(size=(n, classes))
    logits[np.arange(n), labels] += 1.2
    if ties:
        logits = logits.round()
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return Predictions(np.arange(n).astype(str), labels, log_probs.astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(2, 9), st.integers(0, 60), st.integers(0, 2**16), st.booleans())
@settings(max_examples=40)
def test_the_mean_is_the_metric_itself(name: str, classes: int, more: int, seed: int, ties: bool) -> None:
    predictions = predicted(classes + more, classes, seed, ties=ties)
    values = image_values(name, predictions)
    expected = scores(predictions.labels, predictions.log_probs).values[name]
    if expected is None:
        assert values is None
    else:
        assert values is not None
        assert values.shape == (classes + more,)
        assert float(values.mean()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("classes", [2, 7])
def test_the_spread_is_that_of_a_bootstrap_of_the_images(classes: int) -> None:
    predictions = predicted(600, classes)
    random = np.random.default_rng(1)
    draws: dict[str, list[float]] = {name: [] for name in NAMES}
    for _ in range(400):
        index = random.integers(0, 600, 600)
        found = scores(predictions.labels[index], predictions.log_probs[index]).values
        for name in NAMES:
            if (value := found[name]) is not None:
                draws[name].append(value)
    for name in NAMES:
        if (values := image_values(name, predictions)) is not None:
            assert float(values.std()) / 600**0.5 == pytest.approx(float(np.std(draws[name])), rel=0.15), name


def test_the_spread_of_the_auc_is_delongs() -> None:
    """By his formula, from all pairs of a positive and a negative."""
    predictions = predicted(150, 2, ties=True)
    positive, score = predictions.labels == 1, predictions.log_probs[:, 1].astype(np.float64)
    ours, others = score[positive], score[~positive]
    kernel = (ours[:, None] > others).astype(float) + (ours[:, None] == others) / 2
    expected = kernel.mean(axis=1).var() / len(ours) + kernel.mean(axis=0).var() / len(others)
    values = image_values("roc_auc_macro", predictions)
    assert values is not None
    assert float(values.var()) / 150 == pytest.approx(expected)


def test_what_is_not_smooth_has_no_values() -> None:
    assert image_values("ece", predicted(20, 3)) is None
    assert not has_values("ece")
    assert has_values("f1_macro")


def test_a_class_without_images_leaves_no_auc() -> None:
    predictions = predicted(30, 4)
    kept = predictions.labels != 2
    left = Predictions(predictions.ids[kept], predictions.labels[kept], predictions.log_probs[kept])
    assert image_values("roc_auc_macro", left) is None
    assert image_values("f1_macro", left) is not None


def test_an_auc_that_would_take_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(influence, "AUC_CELLS", 59)
    assert image_values("roc_auc_macro", predicted(20, 3)) is None
    assert image_values("accuracy", predicted(20, 3)) is not None


def test_right_answers_are_those_of_the_most_probable_class() -> None:
    predictions = Predictions(
        np.array(["a", "b"]), np.array([0, 1]), np.log(np.array([[0.6, 0.4], [0.6, 0.4]], np.float32))
    )
    assert right(predictions).tolist() == [True, False]
