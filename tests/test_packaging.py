"""What is built and installed: the wheel from a clone, in an environment of its own, from any directory."""

import configparser
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def configuration() -> configparser.ConfigParser:
    found = configparser.ConfigParser()
    found.read(ROOT / "setup.cfg")
    return found


def requirements() -> list[Requirement]:
    options = configuration()
    texts = [options["options"]["install_requires"], *options["options.extras_require"].values()]
    return [Requirement(line) for text in texts for line in text.splitlines() if line]


def test_every_folder_with_modules_is_a_listed_package() -> None:
    listed = set(configuration()["options"]["packages"].split("\n")) - {""}
    folders = {path.parent for top in ("benchmark", "launch", "reports") for path in (ROOT / top).rglob("*.py")}
    assert listed == {".".join(folder.relative_to(ROOT).parts) for folder in folders}


def test_every_dependency_has_a_lower_and_an_upper_bound_and_a_tested_version_within() -> None:
    tested = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for requirement in requirements():
        assert {each.operator for each in requirement.specifier} == {">=", "<"}, requirement
        assert requirement.specifier.contains(tested[re.sub(r"[-_.]+", "-", requirement.name).lower()]), requirement


def test_every_dependency_is_justified() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8").lower()
    for requirement in requirements():
        assert requirement.name.lower() in text, requirement.name


def test_what_a_job_needs_is_a_part_of_what_is_installed() -> None:
    lines = (ROOT / "launch" / "requirements.txt").read_text().splitlines()
    installed = {str(each) for each in requirements()}
    assert {str(Requirement(line)) for line in lines if not line.startswith("#")} <= installed


@pytest.mark.nightly
@pytest.mark.slow
def test_a_wheel_runs_from_any_directory_without_the_clone(tmp_path: Path) -> None:
    built = wheel(tmp_path)
    names = set(zipfile.ZipFile(built).namelist())
    assert {"benchmark/shipped/experiments.yaml", "benchmark/shipped/prices.csv",
            "benchmark/data/embedded/fashion-mini.npz", "benchmark/py.typed",
            "benchmark/data/embedded/LICENSE.fashion-mnist", "launch/train_models.py"} <= names  # fmt: skip
    assert {f"reports/html/templates/{path.name}" for path in (ROOT / "reports/html/templates").iterdir()} <= names
    assert not any(name.startswith(("tests/", "perf/")) for name in names)

    python = environment(tmp_path / "venv", built)
    home = tmp_path / "кот #1"
    home.mkdir()
    assert "9 runs: 9 new" in run([str(python), "-m", "benchmark", "plan"], home)
    (home / "tiny.yaml").write_text(
        "name: tiny\ndata: {source: synthetic, train_size: 200, test_size: 50}\ndefaults: {epochs: 1, model: lenet5}\n"
    )
    assert "1 of 1 runs done" in run([str(python), "-m", "benchmark", "run", "tiny.yaml"], home)
    assert "</html>" in (home / "results" / "tiny" / "leaderboard.html").read_text(encoding="utf-8")
    script = "import launch.run_training as it; print(it.__file__)"
    found = run([str(python), "-c", script], home).strip()
    output = run([str(python), found, "--execution_mode", "fast_local_mode", "--epochs", "1"], home)
    assert "1 of 1 runs done" in output
    assert str(ROOT) not in run([str(python), "-c", "import benchmark; print(benchmark.__file__)"], home)


def wheel(directory: Path) -> Path:
    """The wheel of what git would have."""
    clone, wheels = directory / "clone", directory / "wheels"
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    for name in filter(None, files):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(clone)]
    run(command, directory)
    (built,) = wheels.iterdir()
    return built


def environment(path: Path, wheel: Path) -> Path:
    """A virtual environment with the wheel, over the libraries of this one; its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(path)], check=True)
    python = path / "bin" / "python"
    site = next(path.glob("lib/python*/site-packages"))
    run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], path)
    # A path file adds this environment's libraries, and not what their own path files add (an editable clone).
    (site / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def run(command: list[str], directory: Path) -> str:
    variables = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    done = subprocess.run(command, cwd=directory, env=variables, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
