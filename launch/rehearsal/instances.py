"""The account's instances: limits on their number by type, and those that are kept warm after a job."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from launch.rehearsal.answers import AwsError
from launch.rehearsal.chance import Chance
from launch.rehearsal.clock import Clock
from launch.rehearsal.job import TrainingJob


@dataclass
class _Pool:
    job: TrainingJob
    key: str
    since: float
    until: float


class Instances:
    """Safe to use from several threads."""

    def __init__(self, chance: Chance, clock: Clock) -> None:
        self._chance, self._clock = chance, clock
        self._lock = threading.Lock()
        self._pools: list[_Pool] = []

    def check(self, jobs: Iterable[TrainingJob], kind: str, wanted: int, *, spot: bool) -> None:
        """Whether ``wanted`` more instances are within the limit.

        Raises:
            AwsError: ``ResourceLimitExceeded``.
        """
        limit = self._chance.faults.quota.get(kind)
        used = sum(each.count for each in jobs if not each.ended and each.instance_type == kind and each.spot == spot)
        if limit is not None and used + wanted > limit:
            what = f"{kind} for {'spot ' if spot else ''}training job usage"
            raise AwsError(
                "ResourceLimitExceeded",
                f"The account-level service limit '{what}' is {limit} Instances, with current utilization of {used} "
                f"Instances and a request delta of {wanted} Instances. Please use AWS Service Quotas to request an "
                "increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an "
                "increase for this quota.",
            )

    def take_warm(self, job: TrainingJob) -> bool:
        """Whether instances of an earlier job wait for one like this; they are its own then."""
        if not _keep_alive(job):
            return False
        self.expire()
        with self._lock:
            found = next((each for each in self._pools if each.key == _key(job)), None)
            job.warm_pool = {"Status": "InUse"}
            if found is None:
                return False
            self._pools.remove(found)
            found.job.warm_pool = {**self._retained(found), "Status": "Reused", "ReusedByJob": job.name}
            return True

    def keep_warm(self, job: TrainingJob) -> None:
        """After a job that asked for it, and had any."""
        if job.attempts and (seconds := _keep_alive(job)):
            now = self._clock.now()
            with self._lock:
                self._pools.append(_Pool(job, _key(job), now, now + seconds))
                job.warm_pool = {"Status": "Available", "ResourceRetainedBillableTimeInSeconds": 0}

    def expire(self) -> None:
        """Ends what has been kept for long enough, and brings the others' bills up to date."""
        with self._lock:
            for each in list(self._pools):
                over = self._clock.now() >= each.until
                each.job.warm_pool = {**self._retained(each), "Status": "Terminated" if over else "Available"}
                if over:
                    self._pools.remove(each)

    def _retained(self, pool: _Pool) -> dict[str, object]:
        seconds = math.ceil(min(self._clock.now(), pool.until) - pool.since)
        return {"ResourceRetainedBillableTimeInSeconds": seconds}


def _keep_alive(job: TrainingJob) -> int:
    return int(job.request["ResourceConfig"].get("KeepAlivePeriodInSeconds", 0))


def _key(job: TrainingJob) -> str:
    """What AWS documents that has to be equal for instances to be used again."""
    resources = {**job.request["ResourceConfig"], "KeepAlivePeriodInSeconds": 0}
    return json.dumps([job.region, resources, [job.request.get(each) for each in _EQUAL]], sort_keys=True)


_EQUAL = ("RoleArn", "VpcConfig", "EnableInterContainerTrafficEncryption", "EnableNetworkIsolation")
