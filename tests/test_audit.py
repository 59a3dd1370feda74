"""The audit of dependencies: what it finds, and that it never takes silence for a pass."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / ".ci" / "audit.py"


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["audit"] = module
    spec.loader.exec_module(module)
    return module


class Index(BaseHTTPRequestHandler):
    """A package index that speaks PEP 691."""

    files: ClassVar = {
        "good-one": [{"filename": "good_one-1.0-py3-none-any.whl", "yanked": False}],
        "bad": [
            {"filename": "bad-1.0-py3-none-any.whl", "yanked": "breaks everything"},
            {"filename": "bad-1.0.tar.gz", "yanked": True},
            {"filename": "bad-1.0.1.tar.gz", "yanked": False},
        ],
        "half": [
            {"filename": "half-1.0-cp311-linux.whl", "yanked": True},
            {"filename": "half-1.0.tar.gz", "yanked": False},
        ],
    }

    def do_GET(self) -> None:
        files = self.files.get(self.path.strip("/").rpartition("/")[2])
        body = json.dumps({"files": files}).encode()
        self.send_response(200 if files else 404)
        self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/simple"
        monkeypatch.setenv("PIP_INDEX_URL", address)
        yield address
        server.shutdown()


def test_a_version_whose_every_file_is_withdrawn_is_found(audit: ModuleType, index: str, tmp_path: Path) -> None:
    pins = {"good-one": "1.0", "bad": "1.0", "half": "1.0"}
    assert audit.withdrawn(pins, tmp_path) == ["bad 1.0 was withdrawn: breaks everything"]


def test_an_index_that_does_not_answer_is_no_pass(
    audit: ModuleType, index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "constraints.txt").write_text("unheard-of==1.0\n")
    (tmp_path / "setup.cfg").write_text(
        "[options]\ninstall_requires =\n    unheard-of>=1,<2\n[options.extras_require]\n"
    )
    # What the other question would need: a package that nobody could fetch here.
    monkeypatch.setattr(audit, "PIP_AUDIT", "no-such-tool-at-all>=2")
    report = audit.audit(tmp_path, offline=False)
    assert report.code == 3
    assert all(each.startswith("not asked: ") for each in report.answers.values())
    assert list(audit.lines(report))[-1].endswith("no pass")


@pytest.mark.parametrize(
    ("constraints", "requirement", "finding"),
    [
        ("", "click>=8,<9", "click, which setup.cfg needs, has no exact version"),
        ("click==9.0", "click>=8,<9", "click==9.0 is not within <9,>=8"),
        ("click==8.2", "click>=8", "has no lower and upper bound"),
        ("pytest==8.4", "pytest>=8,<9", "pluggy, which pytest needs, has no exact version"),
        ("click==8.0.0.1", "click>=8,<9", "pinned is 8.0.0.1"),
    ],
)
def test_each_gap_is_a_finding(
    audit: ModuleType, tmp_path: Path, constraints: str, requirement: str, finding: str
) -> None:
    (tmp_path / "constraints.txt").write_text(f"# tested\n{constraints}\n")
    (tmp_path / "setup.cfg").write_text(f"[options]\ninstall_requires =\n    {requirement}\n[options.extras_require]\n")
    report = audit.audit(tmp_path, offline=True)
    assert any(finding in each for each in report.findings), report.findings
    assert report.code == 1


@pytest.mark.parametrize("line", ["click", "click>=8", "click==8.*", "click==8\nClick==8"])
def test_what_is_no_exact_version_is_refused(audit: ModuleType, tmp_path: Path, line: str) -> None:
    (tmp_path / "constraints.txt").write_text(line)
    with pytest.raises(ValueError, match="is not one exact version"):
        audit.read_pins(tmp_path / "constraints.txt")


def test_of_this_project_nothing_is_found_and_offline_is_no_pass() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--offline", "--json"], capture_output=True, text=True, check=False
    )
    report = json.loads(done.stdout)
    assert report["findings"] == []
    assert done.returncode == 3, "nobody was asked, so it is no pass"
    licences = {each["name"]: each["licence"] for each in report["packages"]}
    assert ("Apache" in licences["torch"], licences["numpy"][:3]) == (True, "BSD")
