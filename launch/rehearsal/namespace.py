"""Hosts as processes of this machine, each with its own ``/opt/ml``, processes and name: no Docker, no image.

Linux namespaces give each host a private view of the file system, in which its directory is ``/opt/ml``, and make the
entry process the first one, as in a container: signals that it does not handle do not end it, and with it end all that
it has started.  A job of one host shares the machine's network; several hosts, and those that ask for isolation, share
one of their own, in which the names ``algo-N`` are loopback addresses.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from launch import processes
from launch.rehearsal.clock import Clock
from launch.rehearsal.executors import Cluster, Settings
from launch.rehearsal.network import Network, as_root, outlived_by_nobody
from launch.rehearsal.tree import Tree

SCRIPT = Path(__file__).with_name("namespace.sh")
REMEDY = (
    "this machine does not let a process have a mount namespace of its own ({}): be root, or allow user namespaces "
    "(`sysctl kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0`), or take "
    "`--executor docker`"
)


class Namespaces:
    """Starts hosts of their own namespaces."""

    interface = "lo"
    channels = None

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._networks: dict[int, Network] = {}

    def check(self) -> None:
        missing = [each for each in ("unshare", "setpriv", "mount") if shutil.which(each) is None]
        if missing:
            raise OSError(f"{', '.join(missing)}: not found; `apt-get install util-linux mount`")
        probe = self._settings.directory / "probe"
        (probe / "ml/code").mkdir(parents=True, exist_ok=True)
        (probe / "hosts").touch()
        command = _command(probe / "ml", probe / "hosts", "algo-1", (), ["true"])
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        shutil.rmtree(probe)
        if done.returncode:
            raise OSError(REMEDY.format(done.stderr.strip() or f"exit code {done.returncode}"))

    def start(self, cluster: Cluster) -> Sequence[Process]:
        if len(cluster.trees) > 1 or cluster.isolated:
            self._networks[cluster.number] = Network()
        names = "".join(f"{_address(cluster.number, each.number)} {each.host}\n" for each in cluster.trees)
        return [self._start(cluster, tree, names) for tree in cluster.trees]

    def release(self, cluster: Cluster) -> None:
        """Other namespaces than the network's end with their last process."""
        if network := self._networks.pop(cluster.number, None):
            network.close()

    def _start(self, cluster: Cluster, tree: Tree, names: str) -> Process:
        hosts = tree.directory / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{names}")
        home = tree.directory / "home"
        home.mkdir()
        command = [*(cluster.entrypoint or ("train",)), *cluster.arguments]
        network = self._networks.get(cluster.number)
        with tree.log.open("ab") as log:
            return Process(
                tree.host,
                subprocess.Popen(
                    _command(tree.ml, hosts, tree.host, tree.read_only, command, network),
                    env={**_base(home), **cluster.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                ),
            )


class Process:
    """The first process of a host, a child of ``unshare``, which ends as it ends."""

    def __init__(self, name: str, outer: subprocess.Popen[bytes]) -> None:
        self.name, self.pid, self._outer = name, outer.pid, outer

    def poll(self) -> int | None:
        return self._outer.poll()

    def terminate(self) -> None:
        if self._outer.poll() is None and (inner := processes.child_of(self.pid)):
            os.kill(inner, signal.SIGTERM)

    def kill(self) -> None:
        """The kernel ends the inner processes with the outer one."""
        self._outer.kill()


def _command(
    ml: Path,
    hosts: Path,
    name: str,
    read_only: Sequence[str],
    command: Sequence[str],
    network: Network | None = None,
) -> list[str]:
    """No host outlives a server that was killed."""
    inside = network.enter() if network else []
    spaces = ["--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc"]
    outer = [*outlived_by_nobody(), *inside, "unshare", *([] if network else as_root()), *spaces]
    return [*outer, "sh", str(SCRIPT), str(ml), str(hosts), name, *read_only, "--", *command]


def _base(home: Path) -> Mapping[str, str]:
    """Nothing of this process but the way to its Python and to the system's programs."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {"PATH": path, "HOME": str(home), "LANG": os.environ.get("LANG", "C.UTF-8")}


def _address(number: int, host: int) -> str:
    """A loopback address that no other job of this server has at the same time, nor most other servers'."""
    return f"127.{1 + os.getpid() % 250}.{1 + number % 250}.{host}"
