"""Mixup and CutMix: what images show, and what their labels weigh."""

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from benchmark.run import DataSpec, Run
from benchmark.training.mixing import mixing
from benchmark.training.optim import Criterion

RUN = Run(DataSpec("synthetic"), "lenet5")


def drawn(run: Run, seed: int, count: int = 8):
    mix = mixing(run)
    assert mix is not None
    images = torch.arange(count).float()[:, None, None, None].expand(-1, 1, 20, 30).contiguous()
    return images, *mix(images, torch.arange(count), torch.Generator().manual_seed(seed))


def test_nothing_is_mixed_unless_asked() -> None:
    assert mixing(RUN) is None


@pytest.mark.parametrize("seed", range(20))
def test_mixup_adds_each_image_and_its_partner_in_the_drawn_proportion(seed: int) -> None:
    images, mixed, mix = drawn(dataclasses.replace(RUN, mixup=0.4), seed)
    assert torch.allclose(mixed, mix.kept * images + (1 - mix.kept) * images.flip(0))
    assert mix.partners.tolist() == [7, 6, 5, 4, 3, 2, 1, 0]
    assert 0 <= mix.kept <= 1


@pytest.mark.parametrize("seed", range(20))
def test_cutmix_keeps_as_much_of_an_image_as_of_its_label(seed: int) -> None:
    images, mixed, mix = drawn(dataclasses.replace(RUN, cutmix=1.0), seed)
    for index in range(8):
        own = (mixed[index] == images[index]).float().mean()
        assert float(own) == pytest.approx(mix.kept)
        assert set(mixed[index].unique().tolist()) <= {index, 7 - index}
        foreign = (mixed[index, 0] != images[index, 0]).nonzero()
        if len(foreign):
            low, high = foreign.amin(0), foreign.amax(0)
            assert len(foreign) == int((high - low + 1).prod()), "a rectangle"


def test_where_both_are_asked_for_each_batch_gets_one() -> None:
    run = dataclasses.replace(RUN, mixup=0.8, cutmix=1.0)
    cut = 0
    for seed in range(200):
        _, mixed, _ = drawn(run, seed)
        cut += set(mixed[0].unique().tolist()) <= {0.0, 7.0}
    assert 70 < cut < 130


def test_the_proportions_are_of_the_beta_distribution() -> None:
    kept = torch.tensor([drawn(dataclasses.replace(RUN, mixup=0.2), seed)[2].kept for seed in range(2000)])
    assert float(kept.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(kept.var()) == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.01)


def test_the_loss_is_that_of_the_mixed_labels() -> None:
    logits, labels = torch.randn(8, 5), torch.arange(8) % 5
    criterion, kept = Criterion(dataclasses.replace(RUN, label_smoothing=0.1), None), 0.3
    partners = labels.flip(0)
    ours = kept * criterion(logits, labels) + (1 - kept) * criterion(logits, partners)
    soft = kept * F.one_hot(labels, 5) + (1 - kept) * F.one_hot(partners, 5)
    assert torch.allclose(ours, F.cross_entropy(logits, soft, label_smoothing=0.1))
