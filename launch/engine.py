"""The Docker engine of this machine: whether containers can be started, and what is missing if not.

The command-line client is asked, as the SageMaker SDK asks it; nothing is started or changed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmark import __version__

ANSWER_SECONDS = 20.0
IMAGE = f"torch-image-benchmark:{__version__}"
"""What :file:`Dockerfile` beside this file makes."""
INSTALL = (
    "install Docker Engine: `apt-get install docker.io docker-compose`, or https://docs.docker.com/engine/install/"
)


@dataclass(frozen=True)
class Missing:
    """Why no container can be started, and what to do about it."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


@dataclass(frozen=True)
class Engine:
    """An engine that answers: versions of the server and of compose."""

    server: str
    compose: str
    rootless: bool = False
    """Whether root in a container is the user outside."""


def find(image: str | None = None) -> Engine | Missing:
    """The engine, with compose and, where one is named, with the image; or the first thing that is missing."""
    if shutil.which("docker") is None:
        return Missing("Docker is not installed", INSTALL)
    server = _ask("docker", "version", "--format", "{{.Server.Version}}")
    if server.returncode:
        return _no_server(server.stderr)
    compose = _compose()
    if compose is None:
        return Missing(
            "Docker Compose is not installed", "`apt-get install docker-compose`, or the plug-in `docker compose`"
        )
    if image and _ask("docker", "image", "inspect", image).returncode:
        return Missing(f"there is no image {image} on this machine", _remedy(image))
    rootless = "rootless" in _ask("docker", "info", "--format", "{{.SecurityOptions}}").stdout
    return Engine(server.stdout.strip(), compose, rootless)


def _remedy(image: str) -> str:
    """Ours is built, Amazon's needs a login, any other is pulled."""
    if image == IMAGE:
        return f"`docker build --tag {IMAGE} {Path(__file__).parent}` makes it"
    if registry := re.match(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com", image):
        login = f"aws ecr get-login-password --region {registry[1]} | docker login --username AWS --password-stdin"
        return f"`{login} {registry[0]}`, then `docker pull {image}`"
    return f"build it, or `docker pull {image}`"


def _no_server(said: str) -> Missing:
    """The client's own words tell a closed door from an empty house."""
    if "permission denied" in said.lower():
        remedy = "`sudo usermod --append --groups docker $USER`, then log in again"
        return Missing("this user may not use the Docker engine", remedy)
    if os.environ.get("DOCKER_HOST"):
        return Missing(
            f"no Docker engine answers at DOCKER_HOST={os.environ['DOCKER_HOST']}", "start it, or unset DOCKER_HOST"
        )
    return Missing("the Docker engine is not running", "`sudo systemctl start docker`, or start Docker Desktop")


def _compose() -> str | None:
    """The plug-in's version, else that of the older program of its own."""
    for command in (["docker", "compose", "version", "--short"], ["docker-compose", "version", "--short"]):
        if shutil.which(command[0]) and not (answer := _ask(*command)).returncode:
            return answer.stdout.strip()
    return None


def _ask(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer in {ANSWER_SECONDS:.0f} s")
