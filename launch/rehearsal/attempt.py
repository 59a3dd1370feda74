"""One attempt at a job: hosts that run until they end, or until something ends them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from launch.rehearsal.chance import Chance
from launch.rehearsal.clock import Clock
from launch.rehearsal.executors import Cluster, Executor, Host, Settings
from launch.rehearsal.job import TrainingJob
from launch.rehearsal.logs import LogStream
from launch.rehearsal.mirror import Mirror
from launch.rehearsal.pump import Pump
from launch.rehearsal.storage import Clients, Storage
from launch.rehearsal.tree import Tree

Why = Literal["exited", "stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded", "interrupted", "closing"]
TICK_SECONDS = 0.05


@dataclass(frozen=True)
class Services:
    """What all jobs of a server share."""

    settings: Settings
    clock: Clock
    chance: Chance
    clients: Clients
    storage: Storage
    executor: Executor


@dataclass(frozen=True)
class Ending:
    """Why an attempt ended, and the exit codes of its hosts."""

    why: Why
    codes: Mapping[str, int | None]


class Attempt:
    """Runs the hosts of ``trees``; ``ran`` seconds of training have been used up by earlier attempts."""

    def __init__(self, job: TrainingJob, trees: tuple[Tree, ...], services: Services, number: int, ran: float) -> None:
        self._job, self._trees, self._services, self._number = job, trees, services, number
        self._start = services.clock.now()
        self._ran = ran
        self._mirrors: list[Mirror] = []

    @property
    def seconds(self) -> float:
        """Since its start."""
        return self._services.clock.now() - self._start

    def run(self) -> Ending:
        """Returns when every host has ended, and everything it left is in S3 and the logs."""
        cluster, executor = self._cluster(), self._services.executor
        streams = self._open()
        tasks = [*(each.sync for each in streams), *(each.sync for each in self._mirrors)]
        with Pump(tasks, self._services.settings.mirror_seconds):
            try:
                ending = self._supervise(executor.start(cluster))
            finally:
                executor.release(cluster)
        for each in streams:
            each.sync(last=True)
        for mirror in self._mirrors:
            mirror.sync()
        return ending

    def _open(self) -> list[LogStream]:
        """The streams of the hosts' logs, named as in AWS; the mirrors of their checkpoints."""
        if config := self._job.request.get("CheckpointConfig"):
            self._mirrors = [self._mirror(each, config["S3Uri"]) for each in self._trees]
        logs, second = self._services.clients.get("logs", self._job.region), int(time.time()) + self._job.attempts - 1
        return [LogStream(each.log, f"{self._job.name}/{each.host}-{second}", logs) for each in self._trees]

    def _mirror(self, tree: Tree, uri: str) -> Mirror:
        deletions = self._services.settings.mirror_deletions
        return Mirror(tree.checkpoints, uri, self._services.storage, deletions=deletions)

    def _supervise(self, hosts: Iterable[Host]) -> Ending:
        running = list(hosts)
        self._job.pids = {each.name: each.pid for each in running}
        why, codes = self._watch(running)
        if why in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
            self._job.stopping()
        end_all(running, 0.0 if why == "closing" else self._services.settings.grace)
        self._job.pids = {}
        return Ending(why, codes)

    def _watch(self, hosts: list[Host]) -> tuple[Why, dict[str, int | None]]:
        while True:
            codes = {each.name: each.poll() for each in hosts}
            if any(codes.values()) or None not in codes.values():
                return "exited", codes
            for why, happens in self._ends():
                if happens():
                    return why, codes
            self._job.wake.wait(self._services.settings.tick_seconds)

    def _ends(self) -> list[tuple[Why, Callable[[], bool]]]:
        job, clock = self._job, self._services.clock
        return [
            ("closing", lambda: job.closing),
            ("stopped", lambda: job.stop_requested),
            ("MaxRuntimeExceeded", lambda: self._ran + self.seconds > job.limit("MaxRuntimeInSeconds")),
            ("MaxWaitTimeExceeded", lambda: clock.now() > job.created + job.limit("MaxWaitTimeInSeconds")),
            ("interrupted", self._interrupted),
        ]

    def _interrupted(self) -> bool:
        fault = self._services.chance.interruption(self._job.name) if self._job.spot else None
        if fault is None:
            return False
        if fault.after == "checkpoint":
            return any(each.uploaded for each in self._mirrors)
        return self.seconds >= fault.after

    def _cluster(self) -> Cluster:
        request, settings = self._job.request, self._services.settings
        algorithm = request["AlgorithmSpecification"]
        told = {"TRAINING_JOB_NAME": self._job.name, "TRAINING_JOB_ARN": self._job.arn, "AWS_REGION": self._job.region}
        return Cluster(
            trees=self._trees,
            number=self._number,
            entrypoint=tuple(algorithm.get("ContainerEntrypoint", ())),
            arguments=tuple(algorithm.get("ContainerArguments", ())),
            environment={**told, **request.get("Environment", {})},
            image=settings.image or algorithm.get("TrainingImage", ""),
            isolated=bool(request.get("EnableNetworkIsolation")),
        )


def end_all(hosts: Iterable[Host], grace: float) -> None:
    """TERM for every host that still runs, and KILL after ``grace`` seconds."""
    running = [each for each in hosts if each.poll() is None]
    for each in running:
        with suppress(OSError):
            each.terminate()
    limit = time.monotonic() + grace
    while any(each.poll() is None for each in running) and time.monotonic() < limit:
        time.sleep(TICK_SECONDS)
    for each in running:
        if each.poll() is None:
            each.kill()
    while any(each.poll() is None for each in running):
        time.sleep(TICK_SECONDS)
