import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmark.run import DataSpec, Run
from benchmark.training.optim import OptimError, balanced_weights, make_criterion, make_optimizer, make_schedule

RUN = Run(DataSpec("synthetic"), "lenet5", epochs=3, lr=0.1)


def rates(**keys: object) -> list[float]:
    run = dataclasses.replace(RUN, **keys)
    optimizer = make_optimizer(run, nn.Linear(2, 2))
    schedule = make_schedule(run, optimizer, steps_per_epoch=10)
    found = []
    for _ in range(30):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.advance()
    return found


def test_a_constant_rate_stays() -> None:
    assert rates(schedule="constant") == [0.1] * 30


def test_a_cosine_falls_from_lr_to_min_lr() -> None:
    found = rates(schedule="cosine", min_lr=0.01)
    expected = [0.01 + 0.09 * (1 + math.cos(math.pi * step / 30)) / 2 for step in range(30)]
    assert found == pytest.approx(expected)


def test_warm_up_rises_in_equal_steps_to_lr_and_the_cosine_takes_the_rest() -> None:
    found = rates(schedule="cosine", warmup_epochs=0.5)
    assert found[:6] == pytest.approx([0.1 * (step + 1) / 6 for step in range(6)])
    assert found[5:] == sorted(found[5:], reverse=True)


def test_steps_multiply_the_rate() -> None:
    found = rates(schedule="step", decay_epochs=1, decay_rate=0.5)
    assert found == pytest.approx([0.1] * 10 + [0.05] * 10 + [0.025] * 10)


def test_one_cycle_is_torchs() -> None:
    optimizer = torch.optim.AdamW(nn.Linear(2, 2).parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=30)
    expected = []
    for _ in range(30):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates(schedule="onecycle") == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sgd", "momentum", "adam", "adamw", "rmsprop", "lion", "AdamW"])
def test_optimizers_are_made_by_name_and_learn(name: str) -> None:
    torch.manual_seed(0)
    model, images, labels = nn.Linear(4, 2), torch.randn(32, 4), torch.randint(2, (32,))
    optimizer = make_optimizer(dataclasses.replace(RUN, optimizer=name, lr=0.02), model)
    before = F.cross_entropy(model(images), labels)
    for _ in range(30):
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < before


def test_norms_and_biases_do_not_decay() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimizer = make_optimizer(dataclasses.replace(RUN, weight_decay=0.1), model)
    decayed = [p for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]]
    assert [tuple(p.shape) for p in decayed] == [(2, 1, 3, 3)]


def test_an_unknown_optimizer_is_named_with_those_there_are() -> None:
    with pytest.raises(OptimError, match=r"no 'adamm'.*adamw"):
        make_optimizer(dataclasses.replace(RUN, optimizer="adamm"), nn.Linear(2, 2))


def test_an_argument_that_the_optimizer_refuses_is_named() -> None:
    run = dataclasses.replace(RUN, optimizer_args={"bogus": 1})
    with pytest.raises(OptimError, match=r"optimizer_args.*bogus"):
        make_optimizer(run, nn.Linear(2, 2))


def test_balanced_weights_are_inverse_frequencies_with_mean_one_over_the_images() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    weights = balanced_weights(labels, 3)
    assert weights.tolist() == pytest.approx([4 / 6, 2.0, 0.0])
    assert float(weights[labels].mean()) == pytest.approx(1.0)


def test_the_criterion_is_cross_entropy_with_its_options() -> None:
    logits, labels = torch.randn(8, 3, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 0, 0, 0])
    run = dataclasses.replace(RUN, label_smoothing=0.1, class_weights="balanced")
    found = make_criterion(run, labels, 3).double()(logits, labels)
    weights = balanced_weights(labels, 3).double()
    assert float(found) == pytest.approx(float(F.cross_entropy(logits, labels, weights, label_smoothing=0.1)))


def test_focal_loss_is_its_formula_and_finite_at_certainty() -> None:
    logits, labels = torch.randn(8, 3), torch.randint(3, (8,))
    criterion = make_criterion(dataclasses.replace(RUN, criterion="focal", focal_gamma=1.5), labels, 3)
    p = logits.softmax(1)[torch.arange(8), labels]
    assert float(criterion(logits, labels)) == pytest.approx(float((-((1 - p) ** 1.5) * p.log()).mean()), rel=1e-5)
    certain = torch.tensor([[100.0, 0.0, 0.0]], requires_grad=True)
    criterion(certain, torch.tensor([0])).backward()
    assert certain.grad is not None
    assert certain.grad.isfinite().all()
