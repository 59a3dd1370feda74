"""Children of ours find this copy of the package, and nothing falls between their answers."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmark.children import ROOT, command, environment


def test_a_child_is_of_this_copy_whatever_lies_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "__init__.py").write_text("raise SystemExit('another benchmark')")
    done = subprocess.run(
        command("benchmark", "--version"), cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("torch-image-benchmark, version"), done.stderr


@pytest.mark.parametrize("before", [None, "/elsewhere"])
def test_a_path_that_was_given_stays_behind_ours(before: str | None) -> None:
    variables = {} if before is None else {"PYTHONPATH": before}
    assert environment(variables)["PYTHONPATH"].split(os.pathsep) == [str(ROOT), *([before] if before else [])]


def test_what_a_library_prints_is_no_answer(tmp_path: Path) -> None:
    program = tmp_path / "chatty.py"
    program.write_text(
        "import os\n"
        "from benchmark.children import answers\n"
        "file = answers()\n"
        "print('from Python', flush=True)\n"
        "os.write(1, b'from C')\n"
        "file.write('the answer')\n"
        "file.close()\n"
    )
    called = [*command("x")[:2], str(program)]
    done = subprocess.run(called, env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "the answer"
    assert done.stderr == "from Python\nfrom C"
