"""The notebook of the docs: its cells run on the results of a real sweep, and what a reader sees of it is of this kind.
REGENERATE_GOLDEN=1 writes what came back into it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from tests.test_cli import Command

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "notebook.ipynb"
EXECUTE = """
import sys, nbformat
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": sys.argv[2]}}, record_timing=False)
client.execute()
nbformat.write(notebook, sys.argv[1])
"""
"""In a process of its own, as Jupyter does it; an error in a cell ends it."""


def kinds(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """What each cell shows: the kinds of its outputs."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "code")
    return [[kind for output in cell.outputs for kind in sorted(output.get("data", {"stream": ""}))] for cell in cells]


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[nbformat.NotebookNode]:
    home = tmp_path_factory.mktemp("кот #1")
    shutil.copy(ROOT / "docs" / "notebook.yaml", home)
    shutil.copy(PAGE, home)
    command = Command(home, home / "cache")
    command("run", "notebook.yaml")
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, PAGE.name, "."],
        cwd=home, env=command.environment, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    notebook = nbformat.read(home / PAGE.name, as_version=4)
    if os.environ.get("REGENERATE_GOLDEN"):
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, PAGE)
    return notebook


@pytest.mark.nightly
@pytest.mark.slow
def test_every_cell_runs_and_shows_what_the_reader_of_the_page_sees(executed: nbformat.NotebookNode) -> None:
    """Each kind of output, cell by cell; nothing on standard error."""
    assert kinds(executed) == kinds(nbformat.read(PAGE, as_version=4))
    assert not any("stream" in kind for cell in kinds(executed) for kind in cell)


@pytest.mark.nightly
@pytest.mark.slow
def test_the_leaderboard_is_a_table_with_a_row_for_each_configuration(executed: nbformat.NotebookNode) -> None:
    first = next(cell for cell in executed.cells if cell.cell_type == "code")
    (output,) = first.outputs
    assert output.data["text/html"].count("<tr>") == 1 + 4
    assert "3/3" in output.data["text/html"]
    assert "**Best:**" in output.data["text/markdown"]


def test_the_committed_page_has_a_table_figures_and_nothing_of_a_machine() -> None:
    notebook = nbformat.read(PAGE, as_version=4)
    nbformat.validate(notebook)
    shown = [kind for cell in kinds(notebook) for kind in cell]
    assert shown.count("image/png") == 3
    assert shown.count("text/html") == 3
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    text = " ".join(str(value) for output in outputs for kind, value in output.data.items() if kind != "image/png")
    assert not re.search(r"/(home|tmp|work|root|usr)/", text)
    assert PAGE.stat().st_size < 600_000
