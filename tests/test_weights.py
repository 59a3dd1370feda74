"""Pretrained weights from the YAML to the job: found, judged, kept under their digest, and given as a channel."""

from __future__ import annotations

import dataclasses
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data import create_transform

from benchmark import obtaining, weights
from benchmark.config import ConfigError, matrix, parse
from benchmark.config.tuning import for_channels
from benchmark.data import prepared
from benchmark.data.datacache import VARIABLE
from benchmark.data.datasets import DataFacts, inspect, prepare
from benchmark.data.images import fit
from benchmark.run import DataSpec, Run
from benchmark.rundir import RunDir
from benchmark.training.models import build
from benchmark.weights import WeightsFacts, WeightsSpec
from launch.fast_local import job_environment
from launch.training_job import Bucket, Inputs, Site, request
from tests.test_config import Describe, accept, facts
from tests.test_training_job import CASES, OWNER, RUN
from tests.tuning_support import MODEL, weights_file

DIGEST = "e" * 64
OURS = WeightsFacts(DIGEST, (0.4, 0.5, 0.6), (0.1, 0.2, 0.3), "bicubic", 0.875)
HEAD = "name: a\nmatrix: {model: resnet18}\n"


def resolved(text: str, answer: WeightsFacts = OURS, data: DataFacts | None = None) -> tuple[Run, ...]:
    experiment = parse(HEAD + text, Path("/кот #1/e.yaml"))
    known = data or facts(channels=3, image_size=None)
    asked = dict.fromkeys(experiment.data, known)
    return matrix.resolve(experiment, asked, Describe(), accept, lambda specs: dict.fromkeys(specs, answer))


def refused(text: str, answer: WeightsFacts = OURS) -> str:
    with pytest.raises(ConfigError) as caught:
        resolved(text, answer)
    return str(caught.value)


def one(text: str, **keys: Any) -> Run:
    (run,) = resolved(f"defaults: {{image_size: 64, {text}}}", **keys)
    return run


def test_a_pretrained_run_has_its_model_s_own_preprocessing() -> None:
    run = one("pretrained: true")
    assert run.weights_digest == DIGEST
    assert (run.mean, run.std) == ([0.4, 0.5, 0.6], [0.1, 0.2, 0.3])
    assert (run.interpolation, run.crop_pct) == ("bicubic", 0.875)


def test_keys_of_preprocessing_win_over_the_model_s() -> None:
    run = one("pretrained: true, interpolation: nearest, crop_pct: 1.0, mean: [0.5], std: [0.25, ]")
    assert (run.mean, run.std) == ([0.5] * 3, [0.25] * 3)
    assert (run.interpolation, run.crop_pct) == ("nearest", 1.0)
    assert one("pretrained: true, normalize: data").mean is None


def test_images_of_the_right_size_are_not_cropped() -> None:
    run = one("pretrained: true", data=facts(channels=3, image_size=64))
    assert (run.interpolation, run.crop_pct) == ("auto", None)
    assert run.mean == [0.4, 0.5, 0.6]
    assert one("pretrained: true, resize: pad").crop_pct is None


def test_grey_images_take_the_mean_of_the_channels_statistics() -> None:
    run = one("pretrained: true, channels: 1")
    assert run.mean == pytest.approx([0.5])
    assert run.std == pytest.approx([0.2])
    assert for_channels([0.5], 3) == [0.5] * 3


def test_a_run_without_pretrained_weights_is_the_run_that_it_was() -> None:
    plain = Run(DataSpec("digits"), "lenet5", data_digest="d", image_size=8, channels=1)
    assert plain.run_id == "50565cf2d184", "computed before there were pretrained weights"
    run = one("lr: 0.1")
    assert (run.weights_digest, run.mean, run.interpolation, run.crop_pct) == ("", None, "auto", None)


def test_the_weights_and_not_where_they_came_from_make_the_identity() -> None:
    ids = {one(f"pretrained: {source}").run_id for source in ("true", "a.pth", "b.safetensors", "a1_in1k")}
    assert len(ids) == 1
    other = dataclasses.replace(OURS, digest="f" * 64)
    assert one("pretrained: true", answer=other).run_id not in ids
    assert one("lr: 1e-3").run_id not in ids


def test_a_run_is_read_as_it_was_written_and_shows_of_a_file_its_name() -> None:
    run = one("pretrained: weights/my.pth")
    assert Run.from_json(json.loads(json.dumps(run.to_json()))) == run
    assert run.pretrained == "/кот #1/weights/my.pth"
    assert run.hyperparameters["pretrained"] == "my.pth"
    assert one("pretrained: true").hyperparameters["pretrained"] is True


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("unfreeze_epoch: 1", "does nothing without freeze"),
        ("freeze: backbone, unfreeze_epoch: 5", "must be less than epochs 5"),
        ("normalize: model", "needs a pretrained model"),
        ("mean: [0.5]", "give both"),
        ("std: [0.5]", "give both"),
        ("mean: [0.5, 0.5], std: [0.5, 0.5]", "1 or 3"),
        ("mean: [0.5], std: [0]", "greater than 0"),
        ("crop_pct: 0.9, resize: pad", "contradicts resize: pad"),
        ("crop_pct: 1.5", "at most 1"),
        ("freeze: head", "allowed: none, backbone"),
        ("pretrained: 3", "true or false or text"),
        ("layer_decay: 0", "greater than 0"),
    ],
)
def test_keys_that_mean_nothing_are_refused_at_their_place(keys: str, message: str) -> None:
    found = refused(f"defaults: {{image_size: 64, {keys}}}")
    assert message in found
    assert found.startswith("/кот #1/e.yaml:3:")


def test_weights_that_cannot_be_had_are_an_error_at_their_place() -> None:
    found = refused("defaults: {image_size: 64, pretrained: a.pth}", WeightsFacts(error="pretrained weights: broken"))
    assert found == "/кот #1/e.yaml:3:40: pretrained weights: broken"


def test_a_model_s_normalisation_that_nobody_knows_is_asked_for() -> None:
    answer = dataclasses.replace(OURS, mean=(), std=())
    assert "give mean and std" in refused("defaults: {image_size: 64, pretrained: a.pth, normalize: model}", answer)
    assert one("pretrained: a.pth", answer=answer).mean is None


def spec(source: str, model: str = MODEL, **keys: Any) -> WeightsSpec:
    given = {"model_args": "{}", "image_size": 32, "channels": 3, "classes": 3}
    return WeightsSpec(**{"model": model, "source": source, **given, **keys})


def test_a_file_is_read_once_and_kept_under_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, path = tmp_path / "кот #1", weights_file(tmp_path / "my weights.safetensors")
    wanted = [spec(str(path)), spec(str(path), channels=1)]
    found = obtaining.obtain(wanted, cache)
    first, second = (found[each] for each in wanted)
    assert first.digest == second.digest
    assert not first.error
    kept = weights.directory(first.digest, cache) / weights.FILE
    assert weights.sha256(kept) == first.digest
    assert first.mean == (0.5, 0.5, 0.5), "what timm knows of the model"
    monkeypatch.setattr(sys, "executable", "/no/python")
    assert obtaining.obtain(wanted, cache) == found, "no process is started again"
    kept.unlink()
    monkeypatch.undo()
    assert obtaining.obtain(wanted, cache) == found
    assert kept.exists()


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path = weights_file(tmp_path / "a.safetensors")
    before = obtaining.obtain([spec(str(path))], tmp_path)[spec(str(path))]
    weights_file(path, classes=4)
    after = obtaining.obtain([spec(str(path))], tmp_path)[spec(str(path))]
    assert before.digest != after.digest


def test_everything_that_is_wrong_is_told_with_the_model_and_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed_port()}")
    (tmp_path / "other.pth").write_bytes(b"")
    torch.save({"state_dict": {"a.weight": torch.zeros(2)}}, tmp_path / "alien.pth")
    cases = {
        spec(""): "could not be downloaded. Tried the hub (timm/test_resnet.r160_in1k)",
        spec("", "torchvision/resnet18"): "Tried https://download.pytorch.org/models/resnet18",
        spec("", "lenet5"): "none to download; give a file",
        spec("nope_in1k"): "neither a file nor a tag of its weights; timm has r160_in1k",
        spec(str(tmp_path / "away.pth")): "away.pth: cannot be read: No such file",
        spec(str(tmp_path / "other.pth")): "other.pth: broken",
        spec(str(tmp_path / "alien.pth")): "number 1 is a.weight (2,) in the file, conv1.0.weight (16, 3, 3, 3)",
    }
    found = obtaining.obtain(list(cases), tmp_path / "cache")
    for each, words in cases.items():
        error = found[each].error
        assert error is not None
        assert words in error
        assert f"pretrained weights of {each.model}: " in error
    remedy = str(found[spec("")].error)
    assert "HF_HUB_OFFLINE" in remedy
    assert "pretrained: ./weights.safetensors" in remedy
    assert not list((tmp_path / "cache" / "weights").glob("*.json")), "it is asked for again the next time"


def test_what_lies_in_the_libraries_own_caches_is_taken_without_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a copy from a machine with a network leaves it there."""
    hub = tmp_path / "hub" / "hub" / "models--timm--test_resnet.r160_in1k"
    (hub / "refs").mkdir(parents=True)
    (hub / "refs" / "main").write_text("a" * 40)
    (hub / "snapshots" / ("a" * 40)).mkdir(parents=True)
    weights_file(hub / "snapshots" / ("a" * 40) / "model.safetensors", classes=1000, size=160)
    checkpoints = tmp_path / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    network = build("torchvision/squeezenet1_1", {}, 64, 3, 1000)
    torch.save(network.state_dict(), checkpoints / "squeezenet1_1-b8a52dc0.pth")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    known = [spec(""), spec("r160_in1k"), spec("", "test_resnet.r160_in1k"), spec("test_resnet.r160_in1k")]
    other = spec("", "torchvision/squeezenet1_1", image_size=64)
    found = obtaining.obtain([*known, other], tmp_path / "cache")
    assert [each.error for each in found.values()] == [None] * 5
    assert len({found[each].digest for each in known}) == 1, "the same weights, however they are named"
    assert found[known[0]].crop_pct == 0.95
    assert (found[other].interpolation, found[other].crop_pct) == ("bilinear", 224 / 256)
    assert found[other].mean == (0.485, 0.456, 0.406)


def closed_port() -> int:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.server_close).start()
    return server.server_port


def test_a_job_is_given_its_weights_as_a_channel_and_others_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    plain = Run(DataSpec("digits"), "lenet5", data_digest="d", image_size=8, channels=1)
    wanted = dataclasses.replace(plain, weights_digest=DIGEST, freeze="backbone")
    found = [job_environment(run, RunDir(tmp_path), tmp_path, tmp_path, {}) for run in (plain, wanted)]
    assert not {"SM_CHANNEL_WEIGHTS", "BENCHMARK_FEATURES"} & set(found[0])
    assert found[1]["SM_CHANNEL_WEIGHTS"] == str(tmp_path / "weights" / DIGEST)
    assert found[1]["BENCHMARK_FEATURES"] == str(tmp_path / "features")


def test_a_training_job_has_the_weights_as_a_further_channel_and_nothing_else_changes() -> None:
    plain = CASES["plain"].request()
    places = ("code", "c.tar.gz"), ("data", "d-1"), (*OWNER.home(RUN), "config"), OWNER.checkpoints(RUN, 1)
    inputs = Inputs(*places, ("weights", DIGEST))
    settings = CASES["plain"].settings
    site = Site(Bucket.parse("my-bucket"), plain["RoleArn"], plain["AlgorithmSpecification"]["TrainingImage"], settings)
    environment = {name: value for name, value in plain["Environment"].items() if not name.startswith("SM_")}
    found = request(RUN, OWNER, 2, site, inputs, environment)
    *channels, last = found["InputDataConfig"]
    assert channels == plain["InputDataConfig"]
    assert last["ChannelName"] == "weights"
    assert last["DataSource"]["S3DataSource"]["S3Uri"].endswith(f"/weights/{DIGEST}/")
    assert found["Environment"] == {**plain["Environment"], "SM_CHANNEL_WEIGHTS": "/opt/ml/input/data/weights"}
    rest = {key for key in plain if key not in ("InputDataConfig", "Environment")}
    assert all(found[key] == plain[key] for key in rest)


@pytest.mark.parametrize("shape", [(80, 80), (61, 97), (200, 133), (40, 300)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("interpolation", "crop_pct"), [("bicubic", 0.875), ("bilinear", 0.95), ("bicubic", 0.9), ("lanczos", 0.77)]
)
def test_images_are_resized_and_cropped_as_timm_does_it(
    shape: tuple[int, int], channels: int, interpolation: str, crop_pct: float
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, channels), dtype=np.uint8)
    transform = create_transform(
        (3, 56, 56), is_training=False, interpolation=interpolation, crop_pct=crop_pct, mean=(0,), std=(1,),
        normalize=False,
    )  # fmt: skip
    theirs = np.asarray(transform(Image.fromarray(pixels if channels == 3 else pixels[:, :, 0])))
    ours = fit(pixels, 56, channels, "crop", interpolation, crop_pct)
    assert np.array_equal(ours, theirs.transpose(1, 2, 0) if theirs.ndim == 3 else theirs[:, :, None])


def test_stretched_images_keep_their_centre_too() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8)
    whole = np.asarray(Image.fromarray(pixels).resize((40, 40), Image.Resampling.BICUBIC))
    assert np.array_equal(fit(pixels, 32, 3, "stretch", "bicubic", 0.8), whole[4:36, 4:36])


def test_forms_have_the_names_that_they_had_and_new_ones_say_what_differs(tmp_path: Path) -> None:
    assert prepared.Form(32, 3, "auto").name == prepared.Form(32, 3, "crop", "bilinear", 1.0).name == "32-3-crop"
    assert prepared.Form(32, 3, "stretch", "bicubic", 0.875).name == "32-3-stretch-bicubic-0.875"
    data = DataSpec("synthetic", train_size=20, test_size=9, size=28, planes=3, classes=2)
    digest = inspect(data, tmp_path).digest
    for interpolation, crop_pct, end in (("auto", None, "16-3-crop"), ("bicubic", 0.875, "16-3-crop-bicubic-0.875")):
        found = prepare(
            data, image_size=16, channels=3, resize="crop", cache=tmp_path, interpolation=interpolation,
            crop_pct=crop_pct,
        )  # fmt: skip
        assert found.name == f"{digest[:16]}-{end}"
        assert prepared.is_whole(found, digest)
