"""What a machine lacks, and the remedy for each."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from benchmark import doctor
from benchmark.doctor import Examination, Finding

YAML = "name: tiny\ndata: digits\nmatrix: {model: lenet5}\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("TORCH_IMAGE_BENCHMARK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "e.yaml").write_text(YAML)
    return tmp_path


def examined(home: Path, results: str = "results") -> tuple[Examination, dict[str, Finding]]:
    found = doctor.examine(home / "e.yaml", home / results)
    return found, {each.name: each for each in found.findings}


def test_a_machine_that_can_run_is_healthy_and_nothing_is_made(home: Path) -> None:
    found, named = examined(home)
    assert found.healthy
    assert named["experiment"].found.endswith("e.yaml: tiny, mode fast_local")
    assert named["packages"].found.startswith("torch 2.")
    assert [each.name for each in home.iterdir()] == ["e.yaml"]
    assert named["AWS"].found == "for mode aws only"
    assert len(found.lines) == len(found.document) == 10


def test_what_is_in_the_way_is_told_with_its_remedy(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "e.yaml").write_text(f"{YAML}epoch: 3\n")
    (home / "file").write_text("")
    broken = home / "broken"
    broken.mkdir()
    (broken / "torch.py").write_text("raise ImportError('libtorch.so: file too short')")
    monkeypatch.setenv("PYTHONPATH", str(broken))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:secret@127.0.0.1:1")
    monkeypatch.setattr(doctor, "ENOUGH", 2**60)
    found, named = examined(home)
    assert not found.healthy
    assert "unknown key 'epoch'" in named["experiment"].found
    assert "libtorch.so: file too short" in named["torch"].found
    assert "free some space" in named["disk for results"].remedy
    assert "does not answer" in named["MLflow"].found
    assert "secret" not in "".join(found.lines)


def test_weights_are_looked_for_where_a_model_is_pretrained(home: Path) -> None:
    yaml = "name: tiny\ndata: digits\nmatrix: {model: resnet18, pretrained: [true, a.pth]}\n"
    (home / "e.yaml").write_text(yaml)
    found, named = examined(home)
    assert not found.healthy
    assert named["weights"].found == f"{home / 'a.pth'}: no such file"
    (home / "a.pth").touch()
    found, named = examined(home)
    assert found.healthy
    assert named["weights"].found == "1 file, 1 from timm and torchvision, downloaded when first planned"


def test_a_place_that_cannot_be_written_is_told(home: Path) -> None:
    (home / "file").write_text("")
    found, named = examined(home, "file")
    assert named["disk for results"].status == "wrong"
    assert not found.healthy


def test_docker_is_in_the_way_only_of_what_needs_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    found, named = examined(home)
    assert (named["Docker"].status, found.healthy) == ("missing", True)
    (home / "e.yaml").write_text(f"{YAML}launch: {{mode: local}}\n")
    found, named = examined(home)
    assert (named["Docker"].status, found.healthy) == ("wrong", False)


def test_libraries_of_other_versions_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [Requirement("numpy>=99"), Requirement("no-such-thing>=1"), Requirement("click>=8")]
    monkeypatch.setattr(doctor, "_requirements", lambda: iter(asked))
    _, named = examined(home)
    assert named["packages"].status == "wrong"
    assert "no-such-thing is not installed" in named["packages"].found
    assert ">=99" in named["packages"].found
    assert "click" not in named["packages"].found
