"""The hosts of a training job, as SageMaker names them, and where the processes on them meet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.training.failures import TeamError

PORT = "29400"
"""Where processes on several hosts meet, unless ``MASTER_PORT`` says another."""


@dataclass(frozen=True)
class Hosts:
    """All hosts of the job, which of them this is, and the address and port at which processes meet."""

    names: tuple[str, ...]
    own: int
    address: str
    port: str

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Hosts:
        """``SM_HOSTS`` and ``SM_CURRENT_HOST``; without them, this one.  ``MASTER_ADDR`` and ``MASTER_PORT`` name
        another meeting place than the first host.

        Raises:
            TeamError: they contradict each other.
        """
        current = variables.get("SM_CURRENT_HOST", "this")
        listed = variables.get("SM_HOSTS", json.dumps([current]))
        try:
            names = tuple(json.loads(listed))
            own = names.index(current)
        except ValueError as error:
            raise TeamError(f"SM_HOSTS is {listed}, SM_CURRENT_HOST is {current}: {error}") from error
        return cls(names, own, variables.get("MASTER_ADDR", names[0]), variables.get("MASTER_PORT", PORT))

    def arguments(self, processes: int, meeting: Path) -> tuple[str, ...]:
        """torchrun's, for so many processes in all.  On one host they meet in the file ``meeting``: torchrun would
        listen at every address of the machine, and unpickle what whoever comes along has put there.

        Raises:
            TeamError: the hosts cannot have equally many.
        """
        here, rest = divmod(processes, len(self.names))
        if rest or not here:
            raise TeamError(f"processes: {processes} cannot be divided among {len(self.names)} hosts")
        each = ("--nproc-per-node", str(here))
        if len(self.names) == 1:
            place = ("--rdzv-backend", "c10d", "--rdzv-conf", "store_type=file", "--rdzv-endpoint", str(meeting))
            return "--nnodes", "1", "--rdzv-id", "one-host", *place, "--local-addr", "127.0.0.1", *each
        first = ("--master-addr", self.address, "--master-port", self.port)
        return "--nnodes", str(len(self.names)), "--node-rank", str(self.own), *first, *each
