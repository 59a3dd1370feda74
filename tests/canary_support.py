"""Secrets planted where people keep theirs, and the search for them in everything that a sweep leaves and shows."""

from __future__ import annotations

import base64
import contextlib
import gzip
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from tests.docker_support import docker

WORD = "canary-9e41c7"
"""In every planted secret; what follows says which one it is."""
VARIABLES = (
    "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "MY_API_KEY",
    "MLFLOW_TRACKING_PASSWORD", "GITHUB_TOKEN", "PGPASSWORD", "DB_PASSWORD", "KAGGLE_KEY", "MY_CREDENTIALS",
)  # fmt: skip
ADDRESSES = ("DATABASE_URL", "PIP_INDEX_URL")
NEAR = (".env", ".env.local", ".aws/credentials", "id_rsa", "server.pem", "secrets.yaml", "credentials.json", ".netrc")
"""Beside the YAML, and among the data."""
AT_HOME = (".aws/credentials", ".netrc", ".config/gh/hosts.yml", ".ssh/id_ed25519", ".kube/config", ".git-credentials")


class Canaries:
    """What has been planted around the experiment in ``home``, whose user's home is ``user``."""

    def __init__(self, home: Path, user: Path) -> None:
        self.home, self.user = home, user
        self.planted: set[Path] = set()
        for place, names in ((home, NEAR), (home / "photos", NEAR), (home / "photos" / "a", NEAR), (user, AT_HOME)):
            for name in names:
                self._plant(place / name, f"password={WORD}-{name}\n")
        registry = base64.b64encode(f"me:{WORD}-registry".encode()).decode()
        self._plant(user / ".docker/config.json", json.dumps({"auths": {"registry.example": {"auth": registry}}}))

    def variables(self) -> dict[str, str]:
        named = {name: f"{WORD}-{name}" for name in VARIABLES}
        addresses = {name: f"https://me:{WORD}-{name}@host.example/x" for name in ADDRESSES}
        return {**named, **addresses, "AWS_ACCESS_KEY_ID": f"{WORD}-id", "HOME": str(self.user)}

    def _plant(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.planted.add(path)

    def found(self, *places: Path) -> list[str]:
        """Every file below ``places`` that holds one, but those that were planted."""
        files = (path for place in places for path in place.rglob("*") if path.is_file() and not path.is_symlink())
        return [str(path) for path in files if path not in self.planted and holds(path.read_bytes())]


def holds(content: bytes | str) -> bool:
    """Whether there is a planted secret in it, also packed or in base64."""
    raw = content.encode() if isinstance(content, str) else content
    return any(mark in each for each in _opened(raw) for mark in MARKS)


def _marks() -> tuple[bytes, ...]:
    shifted = (base64.b64encode(b"x" * shift + WORD.encode())[4 if shift else 0 : -4] for shift in range(3))
    return (WORD.encode(), *shifted, WORD.encode().hex().encode())


MARKS = _marks()


def _opened(content: bytes) -> Iterator[bytes]:
    yield content
    with contextlib.suppress(OSError, EOFError, zipfile.BadZipFile, tarfile.TarError):
        if content[:2] == b"\x1f\x8b":
            yield from _opened(gzip.decompress(content))
        elif content[:2] == b"PK":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for name in archive.namelist():
                    yield archive.read(name)


def photos(directory: Path) -> None:
    """Pictures of three classes, which secrets may lie among."""
    draw = np.random.default_rng(0)
    for label, shade in enumerate((40, 120, 200)):
        place = directory / "abc"[label]
        place.mkdir(parents=True, exist_ok=True)
        for number in range(20):
            pixels = np.clip(draw.normal(shade, 20, (16, 16)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.png")


class Onlooker:
    """Looks, as long as the block runs, at what others can see meanwhile: arguments of processes, what the engine tells
    of containers, and files that are there for a moment only.  ``seen`` names where a secret showed."""

    def __init__(self, *places: Path, label: str = "", planted: Iterable[Path] = ()) -> None:
        self._places, self._label, self._planted = places, label, set(planted)
        self._over, self._thread = threading.Event(), threading.Thread(target=self._look)
        self.seen: set[str] = set()
        self.containers = 0
        self.composed = 0

    def __enter__(self) -> Onlooker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            self._each(Path("/proc").glob("[0-9]*/cmdline"))
            for place in self._places:
                self._each(path for path in place.rglob("*") if path not in self._planted and not path.is_dir())
            if self._label:
                self._ask_the_engine()

    def _each(self, paths: Iterable[Path]) -> None:
        with contextlib.suppress(OSError):
            for path in paths:
                with contextlib.suppress(OSError):
                    content = path.read_bytes()
                    self.composed += path.name == "docker-compose.yaml"
                    if holds(content):
                        self.seen.add(str(path))

    def _ask_the_engine(self) -> None:
        with contextlib.suppress(Exception):
            for each in docker("ps", "--quiet", "--filter", f"label={self._label}"):
                self.containers += 1
                if holds("\n".join(docker("inspect", each))):
                    self.seen.add("docker inspect")
