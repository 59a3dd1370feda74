"""Somebody who has just installed the package and brings a folder of photographs: their pictures, and their terminal.

photos(home / "photos")
typed = Terminal(home, environment).type("python -m benchmark init photos/")
print(typed.code, typed.text)
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyte
from matplotlib import cbook
from PIL import Image
from sklearn.datasets import load_sample_images

COLUMNS, ROWS = 240, 40
EACH = 40
"""Photographs of each class."""


def photos(directory: Path) -> None:
    """Three classes of colour photographs in JPEG of various sizes, cut out of pictures that scikit-learn and
    matplotlib bring, and one file that is no picture."""
    temple, flower = (Image.fromarray(each) for each in load_sample_images().images)
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        portrait = Image.open(file).convert("RGB")
    generator = np.random.default_rng(0)
    for name, picture in (("flower", flower), ("portrait", portrait), ("temple", temple)):
        (directory / name).mkdir(parents=True)
        for number in range(EACH):
            _cut(picture, generator).save(directory / name / f"IMG_{number:04}.jpg", quality=88)
    (directory / "temple" / "IMG_0040.jpg").write_bytes(b"\xff\xd8\xff\xe0 half a download")


def _cut(picture: Image.Image, generator: np.random.Generator) -> Image.Image:
    width, height = (int(side * generator.uniform(0.3, 0.6)) for side in picture.size)
    left = int(generator.integers(0, picture.width - width))
    top = int(generator.integers(0, picture.height - height))
    return picture.crop((left, top, left + width, top + height))


@dataclass(frozen=True)
class Typed:
    """What a terminal shows of a command when it has ended, and its exit code."""

    code: int
    text: str


class Terminal:
    """A terminal of 180 × 40 characters in a directory."""

    def __init__(self, home: Path, environment: Mapping[str, str]) -> None:
        self.home = home
        self.environment = {**environment, "TERM": "xterm-256color"}

    def type(self, command: str) -> Typed:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        with subprocess.Popen(
            ["bash", "-c", command], cwd=self.home, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs,
            start_new_session=True, preexec_fn=_two_cores,
        ) as process:  # fmt: skip
            os.close(theirs)
            screen = pyte.Screen(COLUMNS, 2000)  # higher than the terminal says it is: nothing scrolls away
            stream = pyte.ByteStream(screen)
            while part := _read(ours):
                stream.feed(part)
        os.close(ours)
        return Typed(process.returncode, "\n".join(line.rstrip() for line in screen.display).rstrip())


def _two_cores() -> None:
    """The machine of the tutorial has no more, and `init` and `run` are fit for the machine."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 1 << 16)
    except OSError:  # Linux says so when the last of them has closed the other end
        return b""
