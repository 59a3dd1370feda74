"""What is missing before a container can be started, each thing told apart, with the real Docker client and engine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from launch import engine
from launch.engine import Engine, Missing
from tests.docker_support import ENGINE


def client(directory: Path, monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """Puts a ``docker`` on the path that does ``lines`` and then is the real one; nothing else of Docker's is there."""
    real, programs = shutil.which("docker"), directory / "bin"
    assert real is not None
    programs.mkdir()
    script = programs / "docker"
    script.write_text("\n".join(["#!/bin/sh", *lines, f'exec {real} "$@"']).replace("REAL", real))
    script.chmod(0o755)
    for name in ("sh", "setpriv", "sleep"):
        (programs / name).symlink_to(shutil.which(name) or "/nowhere")
    monkeypatch.setenv("PATH", str(programs))


def missing(image: str | None = None) -> Missing:
    found = engine.find(image)
    assert isinstance(found, Missing)
    return found


def test_without_a_client_docker_is_to_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing().what == "Docker is not installed"
    assert "apt-get install docker.io" in str(missing())


@ENGINE
def test_an_engine_that_answers_is_named_with_its_compose() -> None:
    found = engine.find()
    assert isinstance(found, Engine)
    assert found.server[0].isdigit()
    assert found.compose[0].lstrip("v").isdigit()


@ENGINE
def test_an_engine_that_is_not_running_is_to_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    client(tmp_path, monkeypatch, f'exec REAL --host unix://{tmp_path}/none.sock "$@"')
    assert missing().what == "the Docker engine is not running"


@ENGINE
def test_an_engine_elsewhere_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    assert "DOCKER_HOST=tcp://127.0.0.1:1" in missing().what


@ENGINE
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_user_without_permission_is_told_of_the_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(tmp_path, monkeypatch, 'exec setpriv --reuid=65534 --clear-groups REAL "$@"')
    assert missing().what == "this user may not use the Docker engine"
    assert "--groups docker" in missing().remedy


@ENGINE
def test_without_compose_that_is_to_be_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client(tmp_path, monkeypatch, '[ "$1" = compose ] && exit 1')
    assert missing().what == "Docker Compose is not installed"


@ENGINE
def test_an_image_that_is_not_there_is_named() -> None:
    assert missing("no-such-image:1").what == "there is no image no-such-image:1 on this machine"


@ENGINE
def test_a_client_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(engine, "ANSWER_SECONDS", 0.5)
    client(tmp_path, monkeypatch, "exec sleep 60")
    assert missing().what == "the Docker engine is not running"
