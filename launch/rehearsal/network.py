"""A network of their own for the hosts of one job, which ends with the job.

Two jobs can then use the same port, as they do in AWS.  Nothing else can be reached from it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

_HOLD = """
import fcntl, socket, struct, sys
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
print("up", flush=True)
sys.stdin.read()
"""


class Network:
    """A process that holds a network namespace, with its loopback interface up.

    Raises:
        OSError: this machine does not allow it.
    """

    def __init__(self) -> None:
        command = [*outlived_by_nobody(), "unshare", *as_root(), "--net", sys.executable, "-c", _HOLD]
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        if not self._holder.stdout.readline():
            self.close()
            raise OSError("this machine does not let a process have a network namespace of its own")

    def enter(self) -> Sequence[str]:
        """What a command has to begin with."""
        user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", f"--target={self._holder.pid}", "--net", *user]

    def close(self) -> None:
        """The namespace itself ends with the last process in it."""
        self._holder.communicate()


def outlived_by_nobody() -> Sequence[str]:
    """What begins a command that must end with the thread that starts it: also when the server is killed."""
    return ["setpriv", "--pdeathsig", "KILL"]


def as_root() -> Sequence[str]:
    """An ordinary user is root in a user namespace only."""
    return [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
