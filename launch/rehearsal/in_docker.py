"""Hosts as containers of this machine's Docker engine, from the job's own image or from one for all.

Images are not pulled.  The hosts of a job reach each other as ``algo-N`` in a network of the job's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from launch import containers
from launch.rehearsal.clock import Clock
from launch.rehearsal.executors import Cluster, Settings
from launch.rehearsal.tree import Tree

LABEL = "torch-image-benchmark.rehearsal"


class Containers:
    """Starts containers, and removes them."""

    interface = "eth0"
    channels = None

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._directory, self._image = str(settings.directory), settings.image

    def check(self) -> None:
        """Also removes what a server that was killed has left in the same directory."""
        if shutil.which("docker") is None or docker("version").returncode:
            raise OSError("no Docker engine answers: start one, or take `--executor namespace`")
        if self._image and docker("image", "inspect", self._image).returncode:
            raise OSError(f"there is no image {self._image} on this machine: build it, or `docker pull` it")
        containers.remove(LABEL, self._directory)

    def start(self, cluster: Cluster) -> Sequence[Container]:
        network = "none" if cluster.isolated else "bridge"
        if len(cluster.trees) > 1:
            network, inside = _name(cluster), ["--internal"] * cluster.isolated
            docker("network", "create", *inside, f"--label={LABEL}={self._directory}", network)
        return [self._start(cluster, each, network) for each in cluster.trees]

    def release(self, cluster: Cluster) -> None:
        if len(cluster.trees) > 1:
            docker("network", "rm", _name(cluster))

    def _start(self, cluster: Cluster, tree: Tree, network: str) -> Container:
        name = f"{_name(cluster)}-{tree.host}"
        volumes = [f"--volume={tree.ml}:/opt/ml"]
        volumes += [f"--volume={tree.ml / each}:/opt/ml/{each}:ro" for each in tree.read_only]
        options = [f"--env={key}={value}" for key, value in cluster.environment.items()] + volumes
        options += [f"--name={name}", f"--hostname={tree.host}", f"--label={LABEL}={self._directory}"]
        options += [f"--network={network}"] + [f"--network-alias={tree.host}"] * (len(cluster.trees) > 1)
        options += [f"--entrypoint={each}" for each in cluster.entrypoint[:1]]
        command = [*cluster.entrypoint[1:], *cluster.arguments] if cluster.entrypoint else ["train"]
        with tree.log.open("ab") as log:
            client = subprocess.Popen(
                ["docker", "run", "--rm", *options, cluster.image, *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Container(tree.host, name, client)


class Container:
    """A container, as the client that started it sees it; ``pid`` is the client's."""

    def __init__(self, name: str, container: str, client: subprocess.Popen[bytes]) -> None:
        self.name, self.pid, self._container, self._client = name, client.pid, container, client

    def poll(self) -> int | None:
        return self._client.poll()

    def terminate(self) -> None:
        docker("kill", "--signal=TERM", self._container)

    def kill(self) -> None:
        docker("rm", "--force", "--volumes", self._container)
        self._client.kill()


def docker(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Asks the engine; an error, or no answer in time, is an exit code."""
    command = ["docker", *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=containers.ANSWER_SECONDS)
    except subprocess.TimeoutExpired as error:
        return subprocess.CompletedProcess(command, 1, b"", str(error).encode())


def _name(cluster: Cluster) -> str:
    job = cluster.trees[0].job
    return f"rehearsal-{os.getpid()}-{job.name}-{cluster.number}"
