"""Predictions of a model, and the figures' data."""

import numpy as np
import pytest
import torch
from torch import nn

from benchmark.records import Evaluation
from benchmark.rundir import RunDir
from benchmark.training.evaluate import evaluation, predict
from benchmark.training.metrics import scores

CLASSES = ("T-shirt", "Straße", "кот")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))


def batches(images=10, size=4):
    pixels = torch.randn(images, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    return [
        (pixels[start : start + size], torch.zeros(len(pixels[start : start + size])))
        for start in range(0, images, size)
    ]


def test_predictions_are_log_probabilities_in_the_order_of_the_images():
    model = network()
    log_probs = predict(model, batches())
    everything = torch.cat([images for images, _ in batches()])
    expected = torch.log_softmax(model.eval()(everything), dim=1).detach().numpy()
    assert log_probs.dtype == np.float32
    np.testing.assert_allclose(log_probs, expected, atol=1e-6)


def test_predictions_are_the_same_twice_and_leave_the_random_state_alone():
    model = network().train()
    state = torch.get_rng_state()
    np.testing.assert_array_equal(predict(model, batches()), predict(model, batches()))
    assert torch.equal(torch.get_rng_state(), state)


def test_predicting_leaves_weights_statistics_and_each_modules_mode():
    model = network().train()
    model[2].eval()  # a frozen batch normalisation
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predict(model, batches())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model] == [True, True, False, True, True]


def test_the_modes_come_back_when_predicting_fails():
    model = network().train()
    with pytest.raises(RuntimeError):
        predict(model, [(torch.zeros(1, 99), torch.zeros(1))])
    assert model.training
    assert model[2].training


def test_confident_predictions_keep_their_order():
    logits = torch.tensor([[25.0, 0.0], [30.0, 0.0], [20.0, 0.0]])
    log_probs = predict(nn.Identity(), [(logits, torch.zeros(3))])
    assert 0 > log_probs[1, 0] > log_probs[0, 0] > log_probs[2, 0]
    np.testing.assert_allclose(log_probs[:, 1], [-25, -30, -20])


def test_half_precision_logits_give_distributions():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    log_probs = predict(nn.Identity(), [(logits, torch.zeros(5))])
    np.testing.assert_allclose(np.exp(log_probs.astype(float)).sum(axis=1), 1, atol=1e-6)


def test_no_images_are_an_error():
    with pytest.raises(ValueError, match="no images to predict"):
        predict(network(), [])


def sample(images=5000, classes=3, spread=1.0):
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, images)
    logits = random.normal(size=(images, classes)) + spread * np.eye(classes)[labels]
    return labels, (logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))).astype(np.float32)


def test_the_tables_agree_with_the_scores():
    labels, log_probs = sample()
    found, numbers = evaluation(labels, log_probs, CLASSES), scores(labels, log_probs).values
    confusion = np.array(found.confusion)
    bins = [each for each in found.calibration if each.count]
    gaps = sum(each.count * abs(each.confidence - each.accuracy) for each in bins) / len(labels)
    assert np.trace(confusion) / confusion.sum() == numbers["accuracy"]
    assert [each.support for each in found.per_class] == confusion.sum(axis=1).tolist()
    assert np.mean([each.precision for each in found.per_class]) == pytest.approx(numbers["precision_macro"])
    assert np.mean([each.recall for each in found.per_class]) == pytest.approx(numbers["recall_macro"])
    assert np.mean([each.f1 for each in found.per_class]) == pytest.approx(numbers["f1_macro"])
    assert np.mean([each.roc_auc for each in found.per_class]) == pytest.approx(numbers["roc_auc_macro"])
    assert gaps == pytest.approx(numbers["ece"])


def test_curves_are_short_whole_and_keep_their_area():
    labels, log_probs = sample()
    found = evaluation(labels, log_probs, CLASSES)
    assert tuple(curve.name for curve in found.roc) == CLASSES
    for curve, row in zip(found.roc, found.per_class, strict=True):
        assert 100 < len(curve.fpr) == len(curve.tpr) <= 200
        assert (curve.fpr[0], curve.tpr[0], curve.fpr[-1], curve.tpr[-1]) == (0, 0, 1, 1)
        assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(row.roc_auc, abs=1e-3)


def test_bins_cover_all_confidences_and_empty_ones_have_no_value():
    found = evaluation(*sample(images=4), CLASSES)
    assert (found.calibration[0].lower, found.calibration[-1].upper, len(found.calibration)) == (0, 1, 15)
    assert all((each.count == 0) == (each.confidence is None) == (each.accuracy is None) for each in found.calibration)
    assert sum(each.count for each in found.calibration) == 4


def test_what_a_class_lacks_is_none_with_a_reason_and_has_no_curve():
    labels = np.array([0, 0, 1])
    log_probs = np.log(np.array([[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.7, 0.2, 0.1]], dtype=np.float32))
    first, second, third = evaluation(labels, log_probs, CLASSES).per_class
    assert (first.support, first.precision, first.recall) == (2, pytest.approx(2 / 3), 1)
    assert (second.precision, second.recall, second.f1) == (None, 0, 0)
    assert second.undefined == {"precision": "never predicted"}
    assert (third.precision, third.recall, third.f1, third.roc_auc) == (None, None, None, None)
    assert third.undefined == {
        "precision": "never predicted",
        "recall": "no images of this class",
        "f1": "no images of this class, and never predicted",
        "roc_auc": "no images of this class",
    }
    assert [curve.name for curve in evaluation(labels, log_probs, CLASSES).roc] == list(CLASSES[:2])


def test_a_single_class_has_no_area_for_want_of_others():
    row = evaluation(np.zeros(2, int), np.log([[0.8, 0.2], [0.6, 0.4]]), ("a", "b")).per_class[0]
    assert (row.roc_auc, row.undefined) == (None, {"roc_auc": "no images of other classes"})


def test_an_evaluation_survives_its_file(tmp_path):
    directory = RunDir(tmp_path / "кот #1")
    found = evaluation(*sample(images=30), CLASSES)
    directory.write_evaluation({"test": found}, CLASSES)
    assert directory.read_evaluation() == {"test": found}
    assert isinstance(directory.read_evaluation()["test"], Evaluation)


def test_names_have_to_fit_the_predictions():
    with pytest.raises(ValueError, match="1 class names for predictions of 3 classes"):
        evaluation(*sample(images=3), ("a",))
