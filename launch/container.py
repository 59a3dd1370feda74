"""What the containers of one attempt are made of: the request that the launcher writes and the watcher carries out, and
what it adds to SageMaker's own compose file.

SageMaker local mode mounts everything writable, runs as root, and names networks and containers after a directory.
Here sources, channels and code are read-only, files belong to the user, and every name is the attempt's own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from benchmark.durable import write_json
from launch import containers

FILE = "request.json"
OUTPUTS = "outputs"
"""Where the outputs of each host are kept, once its container has ended."""
CHANNELS = "/opt/ml/input/data"
"""Where a job finds its channels."""
WRITABLE = ("checkpoints", "sm_drivers")
"""The second is a copy of the SDK's own scripts, which it makes executable inside."""
_SHARED_NETWORK = "sagemaker-local"
"""SageMaker's name, under which concurrent jobs would see each other's hosts."""
_PROCESSES = 4096


@dataclass(frozen=True)
class Request:
    """The containers of one attempt.

    ``name`` is unique on this machine: the name of the compose project, the network and, with the host's behind it, of
    each container.  ``run`` is the same for all attempts at a run.  ``command`` is a line of shell that begins with
    ``exec``: then its program is the container's first process, and TERM reaches it.  ``channels`` maps names to
    directories of this machine, ``memory`` is in bytes for each container, ``cores`` are the processors that they may
    use (empty: all), ``grace`` the seconds between TERM and KILL.
    """

    name: str
    run: str
    image: str
    hosts: int
    instance_type: Literal["local_cpu", "local_gpu"]
    command: str
    channels: Mapping[str, str]
    environment: Mapping[str, str]
    user: str
    memory: int | None
    isolated: bool
    grace: float
    cores: tuple[int, ...] = ()

    @property
    def containers(self) -> dict[str, str]:
        """SageMaker's name of each host, and the name of its container."""
        return {f"algo-{number}": f"{self.name}-algo-{number}" for number in range(1, self.hosts + 1)}

    @property
    def labels(self) -> dict[str, str]:
        return {containers.ATTEMPT: self.name, containers.RUN: self.run}

    def write(self, attempt: Path) -> None:
        write_json(attempt / FILE, asdict(self))

    @classmethod
    def read(cls, attempt: Path) -> Self:
        document = json.loads((attempt / FILE).read_text(encoding="utf-8"))
        return cls(**{**document, "cores": tuple(document["cores"])})


def workplaces(attempt: Path, name: str) -> tuple[Path, Path]:
    """The copy of our code that the containers of an attempt read, and the SDK's own directory."""
    return attempt / "code", attempt / name


def clear(attempt: Path, name: str) -> None:
    """Removes what a watcher that was killed could not."""
    for each in workplaces(attempt, name):
        shutil.rmtree(each, ignore_errors=True)


def composed(content: Mapping[str, Any], request: Request) -> dict[str, Any]:
    """SageMaker's compose file with what it leaves open: names, owner, limits, and mounts that cannot be written."""
    services = {host: _service(host, dict(each), request) for host, each in content["services"].items()}
    network = {"name": request.name, "labels": request.labels, "internal": request.isolated}
    return {**content, "services": services, "networks": {_SHARED_NETWORK: network}}


def _service(host: str, service: dict[str, Any], request: Request) -> dict[str, Any]:
    limits: dict[str, Any] = {"pids_limit": _PROCESSES}
    if request.memory is not None:
        limits |= {"mem_limit": request.memory, "memswap_limit": request.memory}
    if request.cores:
        limits["cpuset"] = ",".join(map(str, request.cores))
    return {
        **service,
        **limits,
        "container_name": request.containers[host],
        "labels": request.labels,
        "user": request.user,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": f"{request.grace:.0f}s",
        "volumes": [_mount(each) for each in service["volumes"]],
    }


def _mount(volume: str) -> dict[str, Any]:
    """The long form, in which a path may hold what it likes."""
    source, _, target = volume.removesuffix(":z").rpartition(":")
    channel = target.removeprefix(f"{CHANNELS}/")
    fixed = channel != target and channel not in WRITABLE
    mount: dict[str, Any] = {"type": "bind", "source": source, "target": target, "read_only": fixed}
    return {**mount, "bind": {"selinux": "z"}} if volume.endswith(":z") else mount
