"""No process of a sweep can be reached from another machine, and none has a socket in a directory that others share."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch.rehearsal.client import Rehearsal
from tests.test_cli import Command

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs the kernel's list of sockets"),
]

YAML = """
name: tiny
data: {source: synthetic, train_size: 1500, test_size: 100, classes: 3}
defaults: {model: lenet5, epochs: 8, processes: 2, device: cpu}
launch: {workers: {count: 1, start: START}, profile: false}
"""
LISTENS, LOOPBACK = "0A", ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


def family(root: int) -> set[int]:
    """A process and all that descend from it, also in other sessions."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, before = {root}, set[int]()
    while found != before:
        before = set(found)
        found |= {child for child, parent in parents.items() if parent in found}
    return found


def sockets_of(processes: set[int]) -> set[str]:
    """The numbers by which the kernel knows their sockets; what is closed meanwhile is none."""
    found: set[str] = set()
    for each in processes:
        with contextlib.suppress(OSError):
            for handle in Path(f"/proc/{each}/fd").iterdir():
                with contextlib.suppress(OSError):
                    found.add(str(handle.readlink()).removeprefix("socket:[")[:-1])
    return found


def reachable(processes: set[int]) -> Iterator[tuple[str, str]]:
    """Protocol and address (hexadecimal) of what they listen at."""
    own = sockets_of(processes)
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if inode in own and (state == LISTENS or protocol.startswith("udp")):
                yield protocol, local.partition(":")[0]
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        number, *path = line.split()[6:]
        if number in own and path:
            yield "unix", path[0]


def test_the_search_itself_finds_a_socket_that_is_open_to_all() -> None:
    with socket.create_server(("0.0.0.0", 0)), socket.create_server(("127.0.0.1", 0)):
        found = set(reachable({os.getpid()}))
    assert {("tcp", "00000000"), ("tcp", "0100007F")} <= found


@pytest.mark.nightly
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_sweep_of_processes_that_train_together(tmp_path: Path, start: str, cache: Path) -> None:
    """They have to talk to each other: torchrun on its own opens a port of every address of the machine for that."""
    (tmp_path / "experiments.yaml").write_text(YAML.replace("START", start))
    command = Command(tmp_path, cache)
    sweep = subprocess.Popen(
        [sys.executable, "-m", "benchmark", "run"], cwd=tmp_path, env=command.environment, stdout=-3, stderr=-3
    )
    seen: set[tuple[str, str]] = set()
    teams = 0
    while sweep.poll() is None:
        processes = family(sweep.pid)
        teams = max(teams, len(processes))
        seen |= set(reachable(processes))
        time.sleep(0.1)
    assert sweep.returncode == 0
    assert teams >= 5, "command, job, torchrun and two workers were not all seen"
    assert ("tcp", LOOPBACK[0]) in seen, "the workers were not seen to meet"
    assert {each for each in seen if each[1] not in LOOPBACK} == set()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_a_rehearsal(tmp_path: Path) -> None:
    with Rehearsal(tmp_path, executor="simulated") as server:
        assert set(reachable(family(server.pid))) == {("tcp", LOOPBACK[0])}
