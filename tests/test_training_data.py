import time

import numpy as np
import pytest
import torch

from benchmark.data.datasets import DataError, prepare
from benchmark.run import DataSpec
from benchmark.training.data import (
    Normalize,
    Split,
    batches,
    epoch_generator,
    epoch_order,
    load,
    steps_per_epoch,
)
from benchmark.training.transforms import augmentation, erase, move, padding

RGB = DataSpec("synthetic", planes=3, size=16, train_size=110, test_size=33, classes=4)


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    cache = tmp_path_factory.mktemp("кот #1")
    return prepare(RGB, image_size=16, channels=3, resize="crop", cache=cache)


def channels_last(batch):
    return batch.permute(0, 2, 3, 1).is_contiguous()


def numbered(count, size=3):
    """A split whose image i is i everywhere, with label i."""
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, size, size, 1).contiguous()
    return Split(images, torch.arange(count), np.array([str(each) for each in range(count)]))


def unchanged(channels=1):
    """Gives the bytes back as numbers."""
    return Normalize(torch.zeros(channels), torch.full((channels,), 1 / 255))


def test_splits_are_parts_of_one_file(directory):
    data = load(directory)
    images, labels = np.load(directory / "images.npy"), np.load(directory / "labels.npy")
    parts = [data.train, data.val, data.test]
    assert [len(each) for each in parts] == [98, 12, 33]
    np.testing.assert_array_equal(torch.cat([each.images for each in parts]).numpy(), images)
    np.testing.assert_array_equal(torch.cat([each.labels for each in parts]).numpy(), labels)
    assert len({each for part in parts for each in part.ids}) == 143
    assert data.train.images.dtype == torch.uint8
    assert data.classes == ("class 0", "class 1", "class 2", "class 3")


def test_a_missing_directory_is_a_clear_error(tmp_path):
    with pytest.raises(DataError, match=r"data\.json: cannot be read"):
        load(tmp_path / "nowhere")


def test_normalised_training_images_have_mean_zero_and_deviation_one(directory):
    data = load(directory)
    normalize = Normalize(data.mean, data.std)
    images = torch.cat([images for images, _ in batches(data.train, 16, normalize)])
    assert images.shape == (98, 3, 16, 16)
    assert images.dtype == torch.float32
    torch.testing.assert_close(images.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.std(dim=(0, 2, 3), correction=0), torch.ones(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_batches_lie_in_memory_channels_last(channels):
    bytes_ = torch.randint(0, 256, (5, 8, 8, channels), dtype=torch.uint8)
    normalize = unchanged(channels)
    batch = normalize(bytes_)
    assert channels_last(batch)
    assert batch.stride(1) == 1
    torch.testing.assert_close(batch, bytes_.permute(0, 3, 1, 2).float(), atol=1e-4, rtol=0)
    for name in ("crop", "flip", "erase", "crop+flip+erase"):
        assert channels_last(augmentation(name)(batch, epoch_generator(0, 1))), name


def test_evaluation_gives_every_image_in_order():
    seen = [labels for _, labels in batches(numbered(33), 8, unchanged())]
    assert [len(each) for each in seen] == [8, 8, 8, 8, 1]
    assert torch.cat(seen).tolist() == list(range(33))


def test_images_stay_with_their_labels():
    order = epoch_order(40, seed=3, epoch=1)
    for images, labels in batches(numbered(40), 7, unchanged(), order=order):
        torch.testing.assert_close(images[:, 0, 0, 0], labels.float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [(32, 8, [8] * 4), (33, 8, [8] * 4), (34, 8, [8] * 4 + [2]), (1, 8, [1]), (3, 1, [1] * 3), (5, 8, [5])],
)
def test_a_last_training_batch_of_one_is_left_out(count, batch_size, sizes):
    order = epoch_order(count, 0, 1)
    trained = batches(numbered(count), batch_size, unchanged(), order=order, drop_single=True)
    assert [len(labels) for _, labels in trained] == sizes
    assert steps_per_epoch(count, batch_size) == len(sizes)


def test_order_depends_on_seed_and_epoch_alone():
    torch.manual_seed(1)
    first = epoch_order(100, seed=5, epoch=2)
    torch.rand(7)
    assert torch.equal(first, epoch_order(100, seed=5, epoch=2))
    assert sorted(first.tolist()) == list(range(100))
    others = [epoch_order(100, 5, 3), epoch_order(100, 6, 2), epoch_order(100, 2, 5)]
    assert all(not torch.equal(first, each) for each in others)


def test_seeds_up_to_the_largest_are_taken():
    assert len(epoch_order(4, seed=2**32 - 1, epoch=1)) == 4


@pytest.mark.parametrize("name", ["crop", "flip", "erase", "light", "crop+flip+erase"])
def test_augmentation_depends_on_its_generator_alone(name):
    images = torch.rand(6, 3, 12, 12)
    transform, kept = augmentation(name), images.clone()
    torch.manual_seed(0)
    first = transform(images, epoch_generator(1, 1))
    torch.rand(3)
    assert torch.equal(first, transform(images, epoch_generator(1, 1)))
    assert not torch.equal(first, transform(images, epoch_generator(1, 2)))
    assert torch.equal(images, kept), "the batch itself must not change"
    assert first.shape == images.shape


def test_none_is_no_augmentation_and_light_is_crop_and_flip():
    assert augmentation("none") is None
    images = torch.rand(6, 3, 12, 12)
    light, both = (augmentation(name)(images, epoch_generator(0, 1)) for name in ("light", "crop+flip"))
    assert torch.equal(light, both)


def test_flip_mirrors_about_half_of_the_images_and_changes_no_other():
    images = torch.rand(400, 1, 5, 6)
    moved = move(images, epoch_generator(0, 1), crop=False, flip=True)
    mirrored = (moved == images.flip(3)).all(dim=(1, 2, 3))
    assert (mirrored | (moved == images).all(dim=(1, 2, 3))).all()
    assert 150 < int(mirrored.sum()) < 250


def test_crop_is_a_window_of_the_image_padded_by_reflection():
    images = torch.rand(60, 3, 16, 16)
    reach = padding(16)
    assert reach == 2
    padded = torch.nn.functional.pad(images, (reach,) * 4, mode="reflect")
    moved = move(images, epoch_generator(0, 1), crop=True, flip=False)
    windows = {(y, x): padded[:, :, y : y + 16, x : x + 16] for y in range(5) for x in range(5)}
    places = [[place for place, each in windows.items() if torch.equal(each[i], moved[i])] for i in range(60)]
    assert all(len(each) == 1 for each in places)
    assert len({each[0] for each in places}) > 15


@pytest.mark.parametrize(("size", "pixels"), [(32, 4), (28, 4), (224, 28), (8, 1), (2, 0), (1, 0)])
def test_padding_follows_the_size(size, pixels):
    assert padding(size) == pixels


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tiny_images_can_be_augmented(size):
    images = torch.rand(4, 1, size, size)
    assert augmentation("crop+flip+erase")(images, epoch_generator(0, 1)).shape == images.shape


def test_erase_clears_one_rectangle_of_the_promised_size():
    erased = erase(torch.ones(300, 3, 32, 32), epoch_generator(0, 1))
    gone = erased[:, 0] == 0
    assert torch.equal(erased == 0, gone[:, None].expand(-1, 3, -1, -1))
    rows, columns = gone.any(dim=2), gone.any(dim=1)
    assert torch.equal(gone, rows[:, :, None] & columns[:, None, :])
    for lines in (rows, columns):
        assert int((lines[:, 1:] != lines[:, :-1]).sum(dim=1).max()) <= 2, "an interval, not pieces"
    share = gone.float().mean(dim=(1, 2))
    assert 0.01 < float(share.min()) < 0.06
    assert 0.28 < float(share.max()) < 0.36


def test_a_split_can_be_moved_to_a_device():
    split = numbered(5).to(torch.device("cpu"))
    assert [len(labels) for _, labels in batches(split, 2, unchanged(), order=epoch_order(5, 0, 1))] == [2, 2, 1]


def test_a_batch_costs_little_more_than_one_image():
    images = torch.zeros((20_000, 28, 28, 1), dtype=torch.uint8)
    split = Split(images, torch.zeros(20_000, dtype=torch.int64), np.empty(20_000, dtype="U1"))

    def seconds(size: int) -> float:
        started = time.process_time()
        for _ in batches(split, size, unchanged(), order=epoch_order(20_000, 0, 1), drop_single=False):
            pass
        return time.process_time() - started

    assert min(seconds(64), seconds(64)) < seconds(1) / 4
