"""The life of one training job, from Starting to its end, in a thread of its own."""

from __future__ import annotations

import itertools
import logging
import shutil
import threading
from collections.abc import Iterable
from contextlib import suppress

from launch.rehearsal import outputs
from launch.rehearsal.attempt import Attempt, Ending, Services
from launch.rehearsal.instances import Instances
from launch.rehearsal.job import TrainingJob
from launch.rehearsal.tree import ClientFault, Tree, failure

LOG = logging.getLogger(__name__)
NO_CAPACITY = (
    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different ML instance type "
    "or contact Support."
)
CLOSE_SECONDS = 10.0


class Lives:
    """All jobs that run."""

    def __init__(self, services: Services, instances: Instances) -> None:
        self._services, self._instances = services, instances
        self._numbers, self._lock = itertools.count(), threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, job: TrainingJob, capacity: bool) -> None:
        """Starts a life, and returns at once; without ``capacity`` it is a short one."""
        life = _Life(job, self._services, self._instances, self._numbers)
        thread = threading.Thread(target=life.live, args=(capacity,), daemon=True, name=job.name)
        thread.start()
        with self._lock:
            self._threads = [each for each in self._threads if each.is_alive()] + [thread]

    def close(self, jobs: Iterable[TrainingJob]) -> None:
        """Kills everything that runs."""
        for each in jobs:
            each.close()
        for thread in self._threads:
            thread.join(CLOSE_SECONDS)


class _Life:
    def __init__(self, job: TrainingJob, services: Services, instances: Instances, numbers: Iterable[int]) -> None:
        self._job, self._services, self._instances, self._numbers = job, services, instances, iter(numbers)
        self._ran = 0.0
        self._wait = services.settings.startup_seconds

    def live(self, capacity: bool) -> None:
        job = self._job
        try:
            if capacity:
                self._live()
            elif not self._arrive():
                self._end("Failed", failure=NO_CAPACITY)
        except ClientFault as error:
            self._end("Failed", failure=f"ClientError: {error}")
        except Exception:
            LOG.exception("%s: the rehearsal itself failed", job.name)
            self._end("Failed", failure="InternalServerError: We encountered an internal error. Please try again.")

    def _live(self) -> None:
        """Attempts until one is not interrupted."""
        while not self._arrive():
            job = self._job
            job.attempts += 1
            job.arrive_on_instances()
            trees = self._stage()
            if job.stop_requested:
                self._end("Stopped")
                return
            ending = self._train(trees)
            if ending.why == "closing":
                return
            if ending.why != "interrupted":
                self._finish(trees, ending)
                return
            self._lose_instances(trees)

    def _arrive(self) -> bool:
        """Waits for instances; whether the job has ended instead."""
        job, clock = self._job, self._services.clock
        seconds = 0.0 if not job.attempts and self._instances.take_warm(job) else self._wait
        limit = job.created + job.limit("MaxWaitTimeInSeconds")
        clock.wait(job.wake, min(seconds, max(0.0, limit - clock.now())))
        if job.stop_requested:
            self._end("Stopped")
        elif clock.now() >= limit:
            job.stopping()
            self._end("Stopped", "MaxWaitTimeExceeded")
        return job.ended or job.closing

    def _stage(self) -> tuple[Tree, ...]:
        job, services = self._job, self._services
        job.enter("Downloading")
        place = job.directory / f"attempt-{job.attempts}"
        trees = tuple(Tree(job, number + 1, place / f"algo-{number + 1}") for number in range(job.count))
        for each in trees:
            each.make(services.executor.interface)
            each.fetch(services.storage, services.executor.channels)
        return trees

    def _train(self, trees: tuple[Tree, ...]) -> Ending:
        self._job.enter("Training")
        attempt = Attempt(self._job, trees, self._services, next(self._numbers), self._ran)
        ending = attempt.run()
        self._ran += attempt.seconds
        return ending

    def _lose_instances(self, trees: tuple[Tree, ...]) -> None:
        """And everything on them."""
        job, chance = self._job, self._services.chance
        job.leave_instances()
        job.enter("Interrupted")
        fault = chance.interruption(job.name)
        self._wait = self._services.settings.startup_seconds + (fault.wait if fault else 0.0)
        chance.interrupt(job.name)
        for each in trees:
            shutil.rmtree(each.ml, ignore_errors=True)
        job.enter("Starting")

    def _end(self, status: str, secondary: str = "", failure: str = "") -> None:
        """Instances are to be had again when the end can be seen."""
        self._instances.keep_warm(self._job)
        self._job.end(status, secondary, failure)

    def _finish(self, trees: tuple[Tree, ...], ending: Ending) -> None:
        job = self._job
        failed = ending.why == "exited" and any(ending.codes.values())
        reason = failure(list(trees), ending.codes) if failed else ""
        job.enter("Uploading")
        outputs.upload(job, trees, self._services.storage, model=not failed)
        if failed:
            self._end("Failed", failure=reason)
        elif ending.why == "exited":
            self._end("Completed")
        else:
            self._end("Stopped", "" if ending.why == "stopped" else ending.why)
        for each in trees:
            with suppress(OSError):
                shutil.rmtree(each.ml)
