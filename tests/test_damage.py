"""Files that are cut off or have a bit flipped, wherever that is: no number ever comes of them."""

import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchmark.records import Result
from benchmark.rundir import BrokenFile, RunDir
from benchmark.training import checkpoint, features
from benchmark.training.checkpoint import HEADER, Checkpoint, Saved
from benchmark.training.lenet import LeNet5
from benchmark.training.portable import WrongWeights, own_weights
from benchmark.training.pretrained import load_weights
from benchmark.training.statedict import WeightsError
from benchmark.weights import FILE, sha256

LENGTHS, BITS = 200, 1000
Read = Callable[[], object]


def network() -> LeNet5:
    torch.manual_seed(0)
    return LeNet5(channels=1, image_size=28, classes=10)


def a_checkpoint(directory: Path) -> tuple[Path, Read, type[Exception]]:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.zeros(2, 1, 28, 28)).sum().backward()
    optimizer.step()
    none: dict[str, object] = {}
    saved = Checkpoint(1, 0, 1.0, model.state_dict(), optimizer.state_dict(), none, none, none, none, none, none)
    path = directory / "epoch-00001.pt"
    with path.open("wb") as file:
        checkpoint.write(Saved(saved, {}, {}), file)
    return path, lambda: checkpoint.read(path), BrokenFile


def weights_of_a_run(directory: Path) -> tuple[Path, Read, type[Exception]]:
    rundir = RunDir(directory)
    save_file(network().state_dict(), rundir.model)
    rundir.write_result(Result("0", {}, {}, 1, 1, 0.0, 1.0, "a network", {}, weights=sha256(rundir.model)))
    return rundir.model, lambda: own_weights(rundir), WrongWeights


def pretrained_weights(directory: Path) -> tuple[Path, Read, type[Exception]]:
    path, model = directory / FILE, network()
    save_file(model.state_dict(), path)
    digest = sha256(path)
    return path, lambda: load_weights(model, directory, digest), WeightsError


def kept_features(directory: Path) -> tuple[Path, Read, type[Exception]]:
    path = directory / "0.features"
    features._write(path, {"train": torch.rand(200, 64)})

    def read() -> object:
        if (found := features._read(path, lambda line: None)) is None:
            raise EOFError  # which the caller takes for "make them again"
        return found

    return path, read, EOFError


KINDS = {each.__name__: each for each in (a_checkpoint, weights_of_a_run, pretrained_weights, kept_features)}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Read, type[Exception]]:
    return KINDS[request.param](tmp_path)


def test_what_is_whole_is_read(kind: tuple[Path, Read, type[Exception]]) -> None:
    _, read, _ = kind
    read()


def test_a_file_that_is_cut_off_anywhere_is_refused(kind: tuple[Path, Read, type[Exception]]) -> None:
    path, read, error = kind
    whole = path.read_bytes()
    lengths = random.Random(0).sample(range(len(whole)), LENGTHS)
    for length in {*lengths, *(each for each in boundaries(path) if each < len(whole))}:
        path.write_bytes(whole[:length])
        with pytest.raises(error):
            read()


def test_a_flipped_bit_anywhere_is_noticed(kind: tuple[Path, Read, type[Exception]]) -> None:
    path, read, error = kind
    whole = bytearray(path.read_bytes())
    for bit in random.Random(1).sample(range(8 * len(whole)), BITS):
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        with pytest.raises(error):
            read()
        whole[bit // 8] ^= 1 << bit % 8


def boundaries(path: Path) -> Iterator[int]:
    """Where one part of the file ends and the next begins."""
    yield from (0, 1, 8, 32, HEADER.size, HEADER.size + 1)
    if path.suffix == ".pt":
        with path.open("rb") as file:
            file.seek(HEADER.size)
            payload = path.with_name("payload")
            payload.write_bytes(file.read())
        with zipfile.ZipFile(payload) as archive:
            yield from (HEADER.size + each.header_offset for each in archive.infolist())
            yield HEADER.size + archive.start_dir
    else:
        yield 8 + int.from_bytes(path.read_bytes()[:8], "little")  # safetensors: its header
    yield path.stat().st_size - 1
