"""Every number of metrics.py against scikit-learn, on random predictions with every kind of degeneracy."""

import math
import os
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from benchmark.training.calibration import Calibration
from benchmark.training.metrics import Scores, cheap_scores, scores
from benchmark.training.predicted import NotANumber, Predicted
from benchmark.training.ranking import roc_auc, roc_aucs, roc_curve, thinned

NAMES = {
    "accuracy", "top5_accuracy", "balanced_accuracy", "precision_macro", "precision_weighted", "recall_macro",
    "recall_weighted", "f1_macro", "f1_weighted", "roc_auc_macro", "log_loss", "mcc", "ece",
}  # fmt: skip
CLOSE = 1e-9


@st.composite
def predictions(draw, least_images=1):
    """(labels, float32 log-probabilities) with few distinct weights, hence ties and probabilities of exactly 0 and 1,
    or with continuous ones; labels from a subset of the classes."""
    classes = draw(st.integers(2, 12))
    images = draw(st.integers(least_images, 40))
    present = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=classes, unique=True))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if draw(st.booleans()):
        weights = random.integers(0, draw(st.integers(1, 4)) + 1, (images, classes)).astype(float)
        weights[weights.sum(axis=1) == 0, draw(st.integers(0, classes - 1))] = 1
    else:
        weights = random.exponential(size=(images, classes)) ** draw(st.integers(1, 8)) + 1e-12
    labels = random.choice(present, images)
    if draw(st.booleans()):  # a model that has learnt something
        weights[np.arange(images), labels] += 1
    return labels, log(weights / weights.sum(axis=1, keepdims=True))


def log(probabilities):
    with np.errstate(divide="ignore"):
        return np.log(np.asarray(probabilities)).astype(np.float32)


def probabilities(log_probs):
    return np.minimum(np.exp(log_probs.astype(np.float64)), 1.0)


def reference(labels, log_probs):
    """The same dictionary from scikit-learn, NaN where it has no number or one that means nothing."""
    k = log_probs.shape[1]
    chosen, soft = log_probs.argmax(axis=1), probabilities(log_probs)
    everyone = list(range(k))
    values = {
        "accuracy": sk.accuracy_score(labels, chosen),
        "top5_accuracy": sk.top_k_accuracy_score(labels, soft, k=5, labels=everyone) if k > 5 else math.nan,
        "balanced_accuracy": sk.balanced_accuracy_score(labels, chosen),
        "roc_auc_macro": reference_auc(labels, soft),
        "log_loss": sk.log_loss(labels, soft, labels=everyone),
        "mcc": sk.matthews_corrcoef(labels, chosen) if min(len(set(labels)), len(set(chosen))) > 1 else math.nan,
        "ece": reference_ece(labels, chosen, soft),
    }
    for average in ("macro", "weighted"):
        kinds = sk.precision_recall_fscore_support(labels, chosen, average=average, zero_division=0)[:3]
        values |= {f"{name}_{average}": value for name, value in zip(("precision", "recall", "f1"), kinds, strict=True)}
    return {name: float(value) for name, value in values.items()}


def reference_auc(labels, soft):
    if soft.shape[1] == 2:
        return sk.roc_auc_score(labels, soft[:, 1])
    return sk.roc_auc_score(labels, soft, multi_class="ovr", labels=list(range(soft.shape[1])))


def reference_ece(labels, chosen, soft):
    right, sure = (labels == chosen).astype(int), soft.max(axis=1)
    accuracy, confidence = calibration_curve(right, sure, n_bins=15, pos_label=1)
    counts = np.unique(np.ceil(sure * 15 - 1e-12), return_counts=True)[1]
    return np.sum(counts * np.abs(accuracy - confidence)) / len(labels)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(predictions())
@example((np.array([0]), log([[1.0, 0.0]])))
@example((np.array([1]), log([[1.0, 0.0]])))
@example((np.array([3, 3, 3]), log(np.full((3, 12), 1 / 12))))
@example((np.arange(7), log(np.eye(7))))
@example((np.arange(7), log(np.roll(np.eye(7), 1, axis=0))))
def test_every_number_is_that_of_scikit_learn(case):
    labels, log_probs = case
    measured, expected = scores(labels, log_probs), reference(labels, log_probs)
    assert set(measured.values) == NAMES
    for name, value in measured.values.items():
        assert (math.nan if value is None else value) == pytest.approx(expected[name], abs=CLOSE, nan_ok=True), name
        assert (value is None) == bool(measured.undefined.get(name)), name
    assert cheap_scores(labels, log_probs).values.items() <= measured.values.items()


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200, deadline=None)
@given(predictions())
def test_every_number_of_a_class_is_that_of_scikit_learn(case):
    labels, log_probs = case
    everyone = list(range(log_probs.shape[1]))
    confusion = Predicted.of(labels, log_probs).confusion
    chosen = log_probs.argmax(axis=1)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, chosen, labels=everyone, zero_division=np.nan
    )
    areas = [sk.roc_auc_score(labels == each, probabilities(log_probs)[:, each]) for each in everyone]
    np.testing.assert_array_equal(confusion.counts, sk.confusion_matrix(labels, chosen, labels=everyone))
    np.testing.assert_array_equal(confusion.support, support)
    np.testing.assert_allclose(confusion.precision, precision, atol=CLOSE)
    np.testing.assert_allclose(confusion.recall, recall, atol=CLOSE)
    np.testing.assert_allclose(confusion.f1, f1, atol=CLOSE)
    np.testing.assert_allclose(roc_aucs(labels, log_probs), areas, atol=CLOSE)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=100, deadline=None)
@given(predictions())
def test_calibration_bins_are_those_of_scikit_learn(case):
    labels, log_probs = case
    chosen, soft = log_probs.argmax(axis=1), probabilities(log_probs)
    accuracy, confidence = calibration_curve((labels == chosen).astype(int), soft.max(axis=1), n_bins=15, pos_label=1)
    bins = Predicted.of(labels, log_probs).calibration
    filled = bins.count > 0
    assert bins.count.sum() == len(labels)
    np.testing.assert_allclose(bins.accuracy[filled], accuracy, atol=CLOSE)
    np.testing.assert_allclose(bins.mean_confidence[filled], confidence, atol=CLOSE)
    assert np.isnan(bins.accuracy[~filled]).all()


@settings(max_examples=200, deadline=None)
@given(predictions(least_images=2), st.integers(0, 11))
def test_a_roc_curve_has_scikit_learns_corners_and_area(case, chosen):
    labels, log_probs = case
    positive, column = labels == chosen % log_probs.shape[1], log_probs[:, chosen % log_probs.shape[1]]
    if positive.all() or not positive.any():
        with pytest.raises(ValueError, match="positives and negatives"):
            roc_curve(positive, column)
        return
    fpr, tpr = roc_curve(positive, column)
    expected_fpr, expected_tpr, _ = sk.roc_curve(positive, np.maximum(column, -1e30), drop_intermediate=False)
    np.testing.assert_array_equal(corners(fpr, tpr, positive), corners(expected_fpr, expected_tpr, positive))
    assert len(fpr) == len(corners(fpr, tpr, positive)), "points between corners are left out"
    assert np.trapezoid(tpr, fpr) == pytest.approx(roc_auc(positive, column), abs=CLOSE)


def corners(fpr, tpr, positive):
    """The curve in counts, without repeated points and points on a straight line."""
    kept = []
    counts = np.stack([fpr * (~positive).sum(), tpr * positive.sum()], axis=1).round().astype(int).tolist()
    for point in counts:
        while len(kept) > 1 and cross(kept[-2], kept[-1], point) == 0:
            kept.pop()
        if not kept or point != kept[-1]:
            kept.append(point)
    return kept


def cross(a, b, c):
    return (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])


@pytest.mark.parametrize("noise", [0.01, 0.3, 5.0])
def test_a_thinned_curve_keeps_its_ends_its_area_and_its_own_points(noise):
    random = np.random.default_rng(0)
    positive = random.random(20_000) < 0.3
    fpr, tpr = roc_curve(positive, positive + random.normal(scale=noise, size=20_000))
    thin_fpr, thin_tpr = thinned(fpr, tpr, 200)
    assert len(thin_fpr) <= 200
    assert (thin_fpr[0], thin_tpr[0], thin_fpr[-1], thin_tpr[-1]) == (0, 0, 1, 1)
    assert set(zip(thin_fpr, thin_tpr, strict=True)) <= set(zip(fpr, tpr, strict=True))
    assert np.trapezoid(thin_tpr, thin_fpr) == pytest.approx(np.trapezoid(tpr, fpr), abs=1e-3)


def test_what_is_undefined_is_none_with_a_reason_that_names_the_classes():
    labels = np.array([0, 0, 1, 1])
    log_probs = log([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1], [0.3, 0.6, 0.1]])
    measured = scores(labels, log_probs, ["cat", "dog", "Straße"])
    assert measured.values["roc_auc_macro"] is None
    assert measured.undefined == {
        "top5_accuracy": "any 5 of 3 classes include the right one",
        "roc_auc_macro": "no images of class 'Straße'",
    }
    assert measured.notes == ()


def test_many_absent_classes_are_counted_not_listed():
    measured = scores(np.array([0, 0]), log(np.full((2, 30), 1 / 30)))
    assert measured.undefined["roc_auc_macro"] == "no images of classes '1', '2', '3' and 26 more"


def test_a_correlation_with_a_constant_is_undefined():
    even, constant = log([[0.5, 0.5]] * 4), log([[0.9, 0.1], [0.1, 0.9]])
    assert scores(np.array([0, 1, 0, 1]), even).undefined["mcc"] == "all predictions are of one class"
    assert scores(np.array([0, 0]), constant).undefined["mcc"] == "all labels are of one class"


def test_a_zero_that_stands_for_an_undefined_value_in_an_average_is_noted():
    measured = scores(np.array([0, 0, 1]), log([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]), ["a", "b", "c"])
    assert measured.values["precision_macro"] == pytest.approx(0.5 / 3)
    assert measured.notes == (
        "precision averages count 0 for class 'b': never predicted",
        "recall_macro counts 0 for class 'c': predicted, but without images",
    )


def test_an_impossible_right_class_costs_a_finite_loss():
    assert scores(np.array([1]), log([[1.0, 0.0]])).values["log_loss"] == pytest.approx(36.0436533891)


def test_a_perfect_loss_is_zero_without_a_sign():
    assert str(scores(np.array([0]), log([[1.0, 0.0]])).values["log_loss"]) == "0.0"


def test_log_probabilities_keep_an_order_that_probabilities_lose():
    confident = np.array([[-1e-20, -46.0], [-1e-22, -50.6]], dtype=np.float32)
    assert scores(np.array([1, 0]), confident).values["roc_auc_macro"] == 1.0


def test_a_bin_is_open_below_and_closed_above():
    bins = Calibration.of(np.array([0.2, 0.2000001, 1.0]), np.array([True, False, True]))
    assert np.flatnonzero(bins.count).tolist() == [2, 3, 14]


def test_scores_under_a_section_bear_its_name_everywhere():
    assert Scores({"mcc": None}, {"mcc": "why"}, ("note",)).under("test") == Scores(
        {"test/mcc": None}, {"test/mcc": "why"}, ("test: note",)
    )


GOOD = log([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]])


@pytest.mark.parametrize(
    ("labels", "log_probs", "message"),
    [
        (np.zeros(0, int), np.zeros((0, 3), np.float32), "no images"),
        (np.zeros(3, int), GOOD, r"labels: expected integers of shape \(2,\), got int64 of shape \(3,\)"),
        (np.zeros(2), GOOD, "labels: expected integers"),
        (np.array([0, 3]), GOOD, r"labels\[1\] is 3, but the classes are 0 to 2"),
        (np.array([-1, 0]), GOOD, r"labels\[0\] is -1"),
        (np.zeros(2, int), GOOD[:, :1], "k >= 2"),
        (np.zeros(2, int), GOOD[0], "log_probs: expected floats"),
        (np.zeros(2, int), np.ones((2, 3), int), "log_probs: expected floats"),
        (np.zeros(2, int), GOOD + np.float32([[0], [9]]), "row 1 has a value above 0: log-probabilities are wanted"),
        (np.zeros(2, int), GOOD - np.float32([[0], [1]]), "row 1 is not a distribution"),
        (np.zeros(2, int), np.full((2, 3), -np.inf), "row 0 is not a distribution"),
    ],
)
def test_input_that_cannot_be_scored_is_refused_with_its_place(labels, log_probs, message):
    for function in (scores, cheap_scores):
        with pytest.raises(ValueError, match=message):
            function(labels, log_probs)


def test_nan_is_refused_as_divergence():
    spoilt = GOOD.copy()
    spoilt[1, 2] = np.nan
    with pytest.raises(NotANumber, match="row 1 has NaN: the model has diverged"):
        scores(np.zeros(2, int), spoilt)


def test_names_have_to_fit_the_predictions():
    with pytest.raises(ValueError, match="2 class names for predictions of 3 classes"):
        scores(np.zeros(2, int), GOOD, ["a", "b"])


def test_scoring_imports_neither_scikit_learn_nor_torch():
    program = "import sys, benchmark.training.metrics; sys.exit(bool({'sklearn', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_no_bit_depends_on_the_kernel_that_blas_chooses():
    program = """if True:
        import numpy as np
        from benchmark.data.prepared import _moments
        from benchmark.training.metrics import scores
        random = np.random.default_rng(0)
        for classes in range(2, 40):
            probabilities = random.dirichlet(np.ones(classes), 100).astype(np.float32)
            print(scores(random.integers(0, classes, 100), np.log(probabilities)).values)
            print(_moments(random.integers(0, 1000, (3, 256))))
    """
    numbers = [
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            env={**os.environ, "OPENBLAS_CORETYPE": each},
        ).stdout
        for each in ("Prescott", "Haswell")
    ]
    assert numbers[0] == numbers[1]


@pytest.mark.slow
def test_fifty_thousand_images_of_a_thousand_classes_are_scored_like_scikit_learn_and_sooner():
    random = np.random.default_rng(0)
    labels = random.permutation(np.arange(50_000) % 1000)
    logits = random.standard_normal((50_000, 1000), dtype=np.float32)
    logits[np.arange(50_000), labels] += 3
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    start = time.process_time()
    measured = scores(labels, log_probs)
    ours = time.process_time() - start
    some = range(0, 1000, 200)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        areas = [sk.roc_auc_score(labels == each, log_probs[:, each]) for each in some]
    assert ours < (time.process_time() - start) / len(some) * 1000, "scores of all classes, against areas alone"
    np.testing.assert_allclose(roc_aucs(labels, log_probs)[list(some)], areas, atol=CLOSE)
    assert measured.undefined == {}
