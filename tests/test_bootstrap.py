"""The first program in a container: what an image lacks is installed, or told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from launch import bootstrap, payload

ENTRY = "import sys, importlib; print('begun', importlib.import_module('bench_dummy').VALUE)\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A copy of the script, with other requirements and another program."""
    found = tmp_path / "launch"
    found.mkdir()
    shutil.copy(bootstrap.__file__, found)
    (found / "train_models.py").write_text(ENTRY)
    (found / "requirements.txt").write_text("# what it needs\npip>=1\nbench-dummy>=1.2,<2\n")
    return found


def wheel(directory: Path, version: str) -> None:
    """A distribution of one module."""
    directory.mkdir(exist_ok=True)
    info = f"bench_dummy-{version}.dist-info"
    with zipfile.ZipFile(directory / f"bench_dummy-{version}-py3-none-any.whl", "w") as file:
        file.writestr("bench_dummy.py", f"VALUE = {version!r}\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: bench-dummy\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")


def start(python: Path, home: Path, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "SM_OUTPUT_DIR": str(tmp_path), "HOME": str(tmp_path), **variables}
    return subprocess.run(
        [str(python), str(home / "bootstrap.py")], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with pip and nothing else: what an image is at least."""
    place = tmp_path_factory.mktemp("image") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    return place / "bin" / "python"


@pytest.mark.slow
def test_what_an_image_lacks_is_installed_and_the_program_begins(home: Path, tmp_path: Path, python: Path) -> None:
    shop = tmp_path / "shop"
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(shop), "PIP_CONFIG_FILE": "/dev/null"}
    wheel(shop, "1.0")
    refused = start(python, home, tmp_path, **offline)
    assert refused.returncode == 69
    assert "bench-dummy>=1.2,<2" in (tmp_path / "failure").read_text()
    assert "launch/Dockerfile" in (tmp_path / "failure").read_text()
    isolated = start(python, home, tmp_path, **offline, BENCHMARK_ISOLATED="1")
    assert isolated.returncode == 78, "it would come again"
    assert "network_isolation" in (tmp_path / "failure").read_text()
    wheel(shop, "1.4")
    installed = start(python, home, tmp_path, **offline)
    assert installed.returncode == 0, installed.stderr
    assert installed.stdout.splitlines()[-1] == "begun 1.4"
    again = start(python, home, tmp_path, **offline)
    assert again.stdout.splitlines() == ["begun 1.4"], "what is there is not installed again"


def test_the_libraries_of_another_python_are_refused() -> None:
    bootstrap.check_python(f"{sys.version_info.major}.{sys.version_info.minor}")
    bootstrap.check_python(None)
    with pytest.raises(bootstrap.Unusable, match=r"are for 3\.99") as caught:
        bootstrap.check_python("3.99")
    assert caught.value.code == 78


def test_here_nothing_is_lacking() -> None:
    assert bootstrap.missing(bootstrap.REQUIREMENTS) == []


def test_the_job_imports_no_file_that_does_not_travel_with_it(tmp_path: Path) -> None:
    payload.write(tmp_path)
    program = (
        "import sys, runpy; sys.argv = ['launch/train_models.py']\n"
        "sys.path = [p for p in sys.path if p not in ('', sys.argv[0])]\n"
        "try: runpy.run_path('launch/train_models.py', run_name='__main__')\n"
        "except KeyError as error: print('asks for', error)\n"
        "import benchmark; print(benchmark.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["asks for 'SM_OUTPUT_DATA_DIR'", str(tmp_path / "benchmark" / "__init__.py")]


def test_code_is_an_allow_list_without_links_and_its_digest_tells_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = payload.digest()
    names = list(payload.files())
    assert names == sorted(set(names), key=names.index)
    assert len(names) > 30
    assert not any(part.startswith(".") or part in ("cli.py", "tests") for name in names for part in name.split("/"))
    payload.write(tmp_path / "copy")
    monkeypatch.setattr(payload, "HOME", tmp_path / "copy")
    assert payload.digest() == before
    (tmp_path / "copy" / "benchmark" / "training" / "secret.py").symlink_to("/etc/passwd")
    (tmp_path / "copy" / ".env.local").write_text("KEY=canary")
    assert payload.digest() == before
    (tmp_path / "copy" / "benchmark" / "run.py").write_text("")
    assert payload.digest() != before


def resources(directory: Path, **changes: object) -> Path:
    """SageMaker's own file."""
    found = {
        "current_host": "algo-2",
        "current_instance_type": "ml.m5.xlarge",
        "hosts": ["algo-1", "algo-2"],
        "network_interface_name": "eth1",
        **changes,
    }
    path = directory / "resourceconfig.json"
    path.write_text(json.dumps(found), encoding="utf-8")
    return path


def test_the_hosts_of_a_job_are_told_in_the_words_of_sagemakers_toolkit(tmp_path: Path) -> None:
    found = bootstrap.hosts(resources(tmp_path))
    assert json.loads(found.pop("SM_HOSTS")) == ["algo-1", "algo-2"]
    assert found == {"SM_CURRENT_HOST": "algo-2", "SM_NETWORK_INTERFACE_NAME": "eth1"}


@pytest.mark.parametrize("name", ["", None])
def test_an_interface_without_a_name_is_not_told(tmp_path: Path, name: str | None) -> None:
    assert set(bootstrap.hosts(resources(tmp_path, network_interface_name=name))) == {"SM_HOSTS", "SM_CURRENT_HOST"}


def test_without_sagemakers_file_no_hosts_are_told(tmp_path: Path) -> None:
    assert bootstrap.hosts(tmp_path / "none.json") == {}


def test_a_host_that_is_told_already_is_not_told_otherwise(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys\n"
        f"sys.path.insert(0, {str(payload.HOME)!r})\n"
        "from launch import bootstrap\n"
        f"bootstrap.RESOURCES = pathlib.Path({str(resources(tmp_path))!r})\n"
        f"bootstrap.ENTRY = pathlib.Path({str(tmp_path / 'told.py')!r})\n"
        "bootstrap.main()\n"
    )
    (tmp_path / "told.py").write_text("import os; print(os.environ['SM_CURRENT_HOST'], os.environ['SM_HOSTS'])")
    for variables, told in (({}, "algo-2"), ({"SM_CURRENT_HOST": "mine"}, "mine")):
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **variables}, capture_output=True, text=True, check=True
        )
        assert done.stdout.split(maxsplit=1) == [told, '["algo-1", "algo-2"]\n']
