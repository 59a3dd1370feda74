"""Images that are larger than memory allows: in shards on disk, read ahead by threads, the same bytes in the end."""

import dataclasses
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.data import prepared, shards
from benchmark.data.datasets import DataError, inspect, prepare
from benchmark.data.rows import Joined
from benchmark.durable import begin_flush
from benchmark.machine import total_memory
from benchmark.run import DataSpec, Run
from benchmark.training import streamed
from benchmark.training.data import Normalize, batches, epoch_order, load, raw_batches
from benchmark.training.diverged import Diverged
from benchmark.training.failures import describe_failure
from benchmark.training.loop import train
from benchmark.training.outset import make_model
from benchmark.training.share import Share
from benchmark.training.streamed import OpenFiles, StreamedImages

ROOT = Path(__file__).parents[1]

SPEC = DataSpec("synthetic", train_size=600, test_size=90, size=12, planes=3, classes=3)
LIMIT = 60_000
"""Bytes; the images have 298,080."""


def made(cache, limit, patch):
    patch.setenv(shards.VARIABLE, str(limit))
    return prepare(SPEC, image_size=12, channels=3, resize="crop", cache=cache)


@pytest.fixture
def both(tmp_path, monkeypatch):
    """The same images in one file and in shards."""
    one = made(tmp_path / "кот #1", 10**9, monkeypatch)
    return one, made(tmp_path / "shards", LIMIT, monkeypatch)


def readers():
    return [each for each in threading.enumerate() if each.name.startswith("images")]


def run_of(directory, **keys):
    base = Run(SPEC, "lenet5", prepared.read(directory).digest, image_size=12, channels=3, epochs=2, batch_size=32)
    return dataclasses.replace(base, augment="light", **keys)


def trained(directory, run):
    """Metrics of the epochs and the weights."""
    data, events = load(directory), []
    model = make_model(run, data, torch.device("cpu"))
    train(run, data, model, Normalize(data.mean, data.std), events.append)
    metrics = [{k: v for k, v in each.metrics.items() if k != "cost/train_seconds"} for each in events]
    return metrics, {name: each.clone() for name, each in model.state_dict().items()}


def test_large_images_are_written_in_shards_of_the_same_bytes(both):
    one, many = both
    files = sorted(path.name for path in many.glob("images*"))
    assert files[:2] == ["images-00000.npy", "images-00001.npy"]
    assert len(files) == 22
    assert [path.name for path in one.glob("images*")] == ["images.npy"]
    assert one.name == many.name
    for left, right in zip(prepared.arrays(one), prepared.arrays(many), strict=True):
        np.testing.assert_array_equal(np.asarray(left), np.asarray(right))
    assert dataclasses.replace(prepared.read(many), shard_rows=None) == prepared.read(one)


def test_the_disk_gets_images_while_further_ones_are_decoded(both, tmp_path, monkeypatch):
    """Each byte once, but for the last that fill no step; the file is the same."""
    begun, step = [], 4 * prepared._CHUNK * 12 * 12 * 3

    def begin(file, start):
        begun.append((start, end := begin_flush(file, start)))
        return end

    monkeypatch.setattr(prepared, "_BEHIND", step)
    monkeypatch.setattr(prepared, "begin_flush", begin)
    again = made(tmp_path / "again", 10**9, monkeypatch)
    assert [start for start, _ in begun] == [0, *(end for _, end in begun[:-1])]
    assert all(end - start >= step for start, end in begun)
    assert (again / "images.npy").stat().st_size - begun[-1][1] < step
    assert (again / "images.npy").read_bytes() == (both[0] / "images.npy").read_bytes()


def test_images_that_fit_are_one_file_and_mapped(both, monkeypatch):
    document = json.loads((both[0] / "data.json").read_text())
    assert "shard_rows" not in document
    monkeypatch.setenv(shards.VARIABLE, str(10**9))
    assert isinstance(load(both[0]).train.images, torch.Tensor)


def test_one_large_file_is_streamed_where_memory_is_smaller(both):
    assert isinstance(load(both[0]).train.images, StreamedImages)


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000])
def test_batches_are_the_same_bits(both, batch_size, monkeypatch):
    streams = load(both[1])
    monkeypatch.setenv(shards.VARIABLE, str(10**9))
    mapped = load(both[0])
    for left, right in ((mapped.train, streams.train), (mapped.val, streams.val), (mapped.test, streams.test)):
        for order in (None, epoch_order(len(left), 3, 1)):
            pairs = [
                list(batches(each, batch_size, Normalize(mapped.mean, mapped.std), order=order, drop_single=True))
                for each in (left, right)
            ]
            assert len(pairs[0]) == len(pairs[1])
            for (images, labels), (others, other_labels) in zip(*pairs, strict=True):
                assert torch.equal(images, others)
                assert torch.equal(labels, other_labels)
                assert images.stride() == others.stride()
    assert readers() == []


@pytest.mark.parametrize("size", [1, 2, 3])
def test_each_of_several_processes_reads_its_part_of_an_epoch_and_nothing_else(both, size, monkeypatch):
    """So does each host, whose processes have the whole data before them."""
    read, fill = [], OpenFiles.fill

    def noted(files, images, rows):
        read[-1].extend(rows)
        fill(files, images, rows)

    monkeypatch.setattr(OpenFiles, "fill", noted)
    train = load(both[1]).train
    order = epoch_order(len(train), 0, 1)
    for rank in range(size):
        read.append([])
        part = raw_batches(train, 32, order=order, share=lambda whole, rank=rank: Share.of(whole, rank, size).seen)
        assert sum(len(labels) for _, labels in part) == len(read[rank])
    assert sorted(np.concatenate(read).tolist()) == list(range(len(train)))
    assert max(map(len, read)) - min(map(len, read)) <= -(-len(train) // 32)


def test_training_ends_with_the_same_bits(both, monkeypatch):
    metrics, weights = trained(both[1], run_of(both[1]))
    monkeypatch.setenv(shards.VARIABLE, str(10**9))
    expected, expected_weights = trained(both[0], run_of(both[0]))
    assert metrics == expected
    assert all(torch.equal(weights[name], each) for name, each in expected_weights.items())
    assert readers() == []


def test_no_reader_is_left_when_training_fails(both):
    with pytest.raises(Diverged):
        trained(both[1], run_of(both[1], lr=1e30, optimizer="sgd"))
    assert readers() == []


def test_a_batch_loop_that_is_left_early_leaves_no_reader(both):
    data = load(both[1])
    for _ in batches(data.train, 8, Normalize(data.mean, data.std), order=epoch_order(len(data.train), 0, 1)):
        assert readers()
        break
    assert readers() == []


def test_what_is_read_ahead_is_bounded(both, monkeypatch):
    monkeypatch.setattr(streamed, "AHEAD_BYTES", 3 * 8 * 12 * 12 * 3)
    images, asked = load(both[1]).train.images, []

    def wanted():
        for start in range(0, 400, 8):
            asked.append(start)
            yield np.arange(start, start + 8)

    for number, _ in enumerate(images.ahead(wanted()), start=1):
        assert len(asked) <= number + 3


def _delete(path):
    path.unlink()


def _truncate(path):
    with path.open("r+b") as file:
        file.truncate(2000)


def _lengthen(path):
    with path.open("ab") as file:
        file.write(b"more")


@pytest.mark.parametrize("damage", [_delete, _truncate, _lengthen])
@pytest.mark.parametrize("number", [0, 7, 21])
def test_a_damaged_shard_is_a_failure_of_the_data_and_made_again(both, damage, number, tmp_path):
    path = both[1] / f"images-{number:05d}.npy"
    damage(path)
    with pytest.raises(DataError, match=f"{path.name}: .*delete .*shards.* run") as caught:
        load(both[1])
    assert describe_failure(caught.value).kind == "data"
    assert not prepared.is_whole(both[1], inspect(SPEC, tmp_path / "shards").digest)
    prepare(SPEC, image_size=12, channels=3, resize="crop", cache=tmp_path / "shards")
    load(both[1])


def test_a_shard_that_is_cut_off_while_it_is_read_is_a_failure_of_the_data(both):
    data = load(both[1])
    _truncate(both[1] / "images-00003.npy")
    with pytest.raises(DataError, match=r"images-00003\.npy: was cut off") as caught:
        list(batches(data.train, 32, Normalize(data.mean, data.std), order=epoch_order(len(data.train), 0, 1)))
    assert describe_failure(caught.value).kind == "data"
    del caught
    assert readers() == []


def test_a_cache_that_is_deleted_meanwhile_can_still_be_read(both):
    data = load(both[1])
    for path in both[1].glob("images-*"):
        path.unlink()
    assert sum(len(labels) for _, labels in batches(data.train, 32, Normalize(data.mean, data.std))) == len(data.train)


def test_a_process_that_dies_of_an_error_while_images_are_read_ends(both):
    code = """
import sys
from pathlib import Path
from benchmark.training.data import Normalize, batches, epoch_order, load
data = load(Path(sys.argv[1]))
each = batches(data.train, 8, Normalize(data.mean, data.std), order=epoch_order(len(data.train), 0, 1))
next(each)
raise SystemExit(3)
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.run([sys.executable, "-c", code, both[1]], env=environment, timeout=60, check=False)
    assert child.returncode == 3


def test_a_few_images_on_disk_can_be_moved_to_a_device_and_many_cannot(both, monkeypatch):
    images = load(both[1]).train.images
    assert torch.equal(images[3:5].to("cpu"), images.index_select(0, torch.tensor([3, 4])))
    monkeypatch.setattr(streamed, "AHEAD_BYTES", 1000)
    with pytest.raises(ValueError, match="larger than memory"):
        load(both[1]).train.to("cpu")


def test_the_limit_is_three_tenths_of_the_memory_or_what_the_environment_says(monkeypatch):
    monkeypatch.delenv(shards.VARIABLE, raising=False)
    assert shards.resident_bytes() == int(0.3 * total_memory())
    monkeypatch.setenv(shards.VARIABLE, "lots")
    with pytest.raises(DataError, match=r"RESIDENT_BYTES='lots' is not a number of bytes; correct it"):
        shards.resident_bytes()


def test_memory_is_the_machines_or_what_a_group_allows(tmp_path):
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 400 kB\n")
    (proc / "self" / "cgroup").write_text("0::/job\n")
    assert total_memory(proc, groups) == 1_024_000
    (groups / "job").mkdir(parents=True)
    (groups / "job" / "memory.max").write_text("500000\n")
    assert total_memory(proc, groups) == 500_000


@pytest.mark.parametrize("size", [2**10, 150_528, 3 * 2**20])
def test_shards_are_of_a_quarter_gigabyte_unless_there_would_be_too_many(size, monkeypatch):
    monkeypatch.setenv(shards.VARIABLE, str(8 * 2**30))
    few, many = (shards.rows_of_a_file(total // size, size) for total in (20 * 2**30, 2**40))
    assert few * size <= 256 * 2**20
    assert few * size > 128 * 2**20 or few == 32
    assert (2**40 // size) / many <= 270
    assert few % 32 == many % 32 == 0


def test_joined_arrays_are_looked_up_as_one():
    whole = np.random.default_rng(0).integers(0, 256, (50, 4, 4, 3), dtype=np.uint8)
    joined = Joined([whole[:7], whole[7:8], whole[8:]])
    places = np.random.default_rng(1).permutation(50)
    assert (joined.shape, len(joined), joined.ndim) == (whole.shape, 50, 4)
    np.testing.assert_array_equal(joined[places], whole[places])
    np.testing.assert_array_equal(joined[5:20], whole[5:20])
    np.testing.assert_array_equal(joined[49], whole[49])
    with pytest.raises(ValueError, match="several shapes"):
        Joined([whole, whole[:, :2]])


def test_files_are_closed_with_the_images(both):
    def held():
        return [each for each in Path("/proc/self/fd").iterdir() if "shards" in os.path.realpath(each)]

    images = load(both[1]).train.images
    assert len(held()) == 22
    del images
    assert held() == []
