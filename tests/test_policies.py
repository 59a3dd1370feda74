"""TrivialAugment and RandAugment of whole batches against torchvision's, which take one image at a time."""

import pytest
import torch
from torchvision.transforms import v2

from benchmark.training.policies import _OPERATIONS, BINS, RAND, WIDE, change, rand, trivial
from benchmark.training.share import Share

REFERENCES = {"trivial": (WIDE, v2.TrivialAugmentWide()), "rand": (RAND, v2.RandAugment())}


def images(count: int, height: int = 32, width: int = 32, channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, height, width, channels), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (28, 40)])
@pytest.mark.parametrize("operation", _OPERATIONS)
@pytest.mark.parametrize("method", REFERENCES)
def test_each_operation_of_each_strength_is_torchvisions(
    method: str, operation: str, height: int, width: int, channels: int
) -> None:
    space, reference = REFERENCES[method]
    strengths, signed = reference._AUGMENTATION_SPACE[operation]
    magnitudes = strengths(BINS, height, width)
    several = images(BINS, height, width, channels)
    for sign in (0, 1):
        number = torch.full((BINS,), _OPERATIONS.index(operation))
        ours = change(several, space, number, torch.arange(BINS), torch.full((BINS,), sign))
        for index in range(BINS):
            magnitude = 0.0 if magnitudes is None else float(magnitudes[index]) * (-1 if signed and sign else 1)
            theirs = reference._apply_image_or_video_transform(
                several[index].permute(2, 0, 1), operation, magnitude, reference.interpolation, reference._fill
            )
            apart = (theirs.permute(1, 2, 0).int() - ours[index].int()).abs()
            assert apart.max() <= 1, "roundings of the last bit"
            assert (apart > 0).float().mean() < 0.03


def test_every_operation_is_drawn_equally_often() -> None:
    """An image of noise stays itself under one operation in fourteen, and under those of no strength."""
    several = images(1).expand(4000, -1, -1, -1)
    same = (trivial(several, torch.Generator().manual_seed(1)) == several).flatten(1).all(1).float().mean()
    assert 1 / 14 < same < 3 / 14


@pytest.mark.parametrize("method", [trivial, rand])
def test_a_share_of_a_batch_changes_as_in_the_whole_batch(method) -> None:
    several = images(12)
    whole = method(several, torch.Generator().manual_seed(5))
    for rank in range(3):
        share = Share.of(12, rank, 3)
        part = method(several[share.seen], torch.Generator().manual_seed(5), share)
        assert torch.equal(part, whole[share.seen])


def test_two_operations_change_more_than_one_and_the_given_images_stay() -> None:
    several = images(200)
    before = several.clone()
    changed = rand(several, torch.Generator().manual_seed(2))
    assert torch.equal(several, before)
    assert (changed != several).flatten(1).any(1).float().mean() > 0.9
    assert changed.dtype == torch.uint8
    assert changed.shape == several.shape
