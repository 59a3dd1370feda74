"""The tutorial, typed again by a newcomer: the wheel in a virtual environment of its own, a folder of photographs, and
commands of which each was printed by the one before.  REGENERATE_GOLDEN=1 writes what came back into the page."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.newcomer import Terminal, photos
from tests.test_packaging import environment, wheel

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "tutorial.md"
HOME = "/home/ada"
"""What the page calls the newcomer's directory."""
BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
SAID = re.compile(r"python -m benchmark [^`;\n]*")
ID = re.compile(r"\b[0-9a-f]{6,64}\b")
NUMBER = re.compile(r"[0-9][0-9.,]*")
UNIT = re.compile(r"# (s|min|h)\b")
OWN_IDEAS = ("init", "--set")
"""Of the commands these are the newcomer's own; the others must have been printed."""


@dataclass(frozen=True)
class Step:
    """A command of the page, and what it says came back."""

    command: str
    shown: str


def steps(block: str) -> Iterator[Step]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield Step(command, shown.rstrip())


def masked(line: str) -> str:
    """A line without what another machine, or another day, would say differently: numbers, ids, models' names in a
    ranking, and how wide they make their column."""
    line = UNIT.sub("# T", NUMBER.sub("#", ID.sub("ID", line)))
    line = re.sub(r"^(best:|\*\*Best:\*\*) .*", "best", line)
    return re.sub(r" +", " ", line)


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    base = tmp_path_factory.mktemp("newcomer")
    python = environment(base / "venv", wheel(base))
    home = base / "ada"
    photos(home / "photos")
    hidden = ("PYTHONPATH", "MLFLOW_TRACKING_URI", "OMP_NUM_THREADS", "NO_COLOR")
    variables = {key: value for key, value in os.environ.items() if key not in hidden}
    path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
    return Terminal(home, {**variables, "PATH": path, "TORCH_IMAGE_BENCHMARK_CACHE": str(base / "cache")})


@pytest.mark.slow
def test_the_tutorial_is_what_a_newcomer_sees(terminal: Terminal) -> None:
    text = PAGE.read_text(encoding="utf-8")
    printed, made = "", []
    for step in (each for block in BLOCK.findall(text) for each in steps(block)):
        command = _typed(step.command, printed)
        typed = terminal.type(command.replace(HOME, str(terminal.home)))
        got = typed.text.replace(str(terminal.home), HOME)
        printed += got + "\n"
        broken = "cannot be read" in step.shown or (not step.shown and "cannot be read" in got)
        assert typed.code == (2 if broken else 0), got
        made.append(f"$ {command}\n{got}".rstrip())
        if not os.environ.get("REGENERATE_GOLDEN"):
            expected = [line for line in map(masked, step.shown.splitlines()) if line]
            assert [line for line in expected if line not in set(map(masked, got.splitlines()))] == [], got
    if os.environ.get("REGENERATE_GOLDEN"):
        PAGE.write_text(_with(text, made), encoding="utf-8")
        pytest.skip("written anew")


def _typed(command: str, printed: str) -> str:
    """The command with the ids of this day, as it was printed before."""
    if not command.startswith("python -m benchmark") or any(each in command for each in OWN_IDEAS):
        return command
    said = [each.strip() for each in SAID.findall(printed)]
    found = [each for each in said if masked(each) == masked(command)]
    assert found, f"{command!r} was not printed before; printed were {said}"
    return found[-1]


def _with(text: str, made: list[str]) -> str:
    left = iter(made)

    def block(match: re.Match[str]) -> str:
        return "```console\n" + "\n".join(next(left) for _ in steps(match[1])) + "\n```"

    return BLOCK.sub(block, text)


def test_the_page_has_a_shown_answer_for_every_command_that_has_one() -> None:
    found = [step for block in BLOCK.findall(PAGE.read_text(encoding="utf-8")) for step in steps(block)]
    assert len(found) == 12
    assert [step.command for step in found if not step.shown] == [f"rm {HOME}/photos/temple/IMG_0040.jpg"]
