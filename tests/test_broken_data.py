"""Prepared data that are cut off or have a bit flipped: noticed, so that no wrong number ever results."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmark.data import prepared, shards
from benchmark.data.datacache import DataError
from benchmark.data.datasets import inspect, prepare
from benchmark.run import DataSpec
from benchmark.training.data import PreparedData, load

SPEC = DataSpec("synthetic", train_size=60, test_size=20, size=8, planes=1, classes=3)
FLIPS, CUTS = 1000, 200


def harmed(path: Path, boundaries: list[int], flips: int, cuts: int) -> Iterator[str]:
    """The file, harmed in one way after another, and whole again in the end."""
    whole, chance = path.read_bytes(), random.Random(9)
    lengths = {*(each + by for each in boundaries for by in (-1, 0, 1)), *range(0, 10), len(whole) - 1}
    lengths |= {chance.randrange(len(whole)) for _ in range(cuts)}
    for length in sorted(each for each in lengths if 0 <= each < len(whole)):
        path.write_bytes(whole[:length])
        yield f"{path.name} cut off at {length} of {len(whole)}"
    for _ in range(flips):
        place, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        yield f"{path.name} with bit {bit} of byte {place} flipped"
    path.write_bytes(whole)


def everything(data: PreparedData) -> list[bytes]:
    """All that a job computes with; images that are read from disk are read."""
    parts = (data.train, data.val, data.test)
    arrays = [np.asarray(each.images.to("cpu")).tobytes() for each in parts]
    arrays += [np.asarray(each.labels).tobytes() + each.ids.tobytes() for each in parts]
    return [*arrays, repr((data.classes, data.mean.tolist(), data.std.tolist(), data.digest)).encode()]


@pytest.mark.slow
@pytest.mark.parametrize("limit", [10**9, 2000], ids=["in memory", "streamed"])
def test_broken_prepared_data_are_never_computed_with(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bit that changes nothing of what is read, such as a space in a header, need not be noticed."""
    monkeypatch.setenv(shards.VARIABLE, str(limit))
    directory = prepare(SPEC, image_size=8, channels=1, resize="crop", cache=tmp_path)
    expected, unnoticed = everything(load(directory)), 0
    files = sorted(directory.iterdir())
    for path in files:
        for harm in harmed(path, [10, 128], FLIPS // len(files) + 1, CUTS // len(files) + 1):
            try:
                found = everything(load(directory))
            except DataError:
                continue
            assert found == expected, harm
            unnoticed += 1
    assert unnoticed < FLIPS // 10
    assert everything(load(directory)) == expected


@pytest.mark.parametrize("name", ["labels.npy", "ids.npy", "checks.npy", "data.json"])
def test_broken_tables_of_prepared_data_are_made_again(name: str, tmp_path: Path) -> None:
    directory = prepare(SPEC, image_size=8, channels=1, resize="crop", cache=tmp_path)
    content = (directory / name).read_bytes()
    (directory / name).write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
    assert not prepared.is_whole(directory, inspect(SPEC, tmp_path).digest)
    prepare(SPEC, image_size=8, channels=1, resize="crop", cache=tmp_path)
    assert (directory / name).read_bytes() == content
    shutil.rmtree(directory)
