"""Places where a test may kill the process, to show that nothing is lost there.

``BENCHMARK_FAILPOINT=<name>:<file>`` kills the first process that reaches the place called ``<name>``, as ``kill -9``
would; the file is made at that moment, and whoever finds it there passes unharmed.  ``<name>@<n>`` means the ``n``-th
time that a process reaches it.  Without the variable a place costs one look-up.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

POINTS = (
    "sweep.intended",  # the intent is in the journal, nothing has started
    "sweep.started",  # the job runs, nobody has been told
    "sweep.ended",  # the job has ended, its outcome is not in the journal
    "sweep.recorded",  # it is in the journal, and not published
    "server.ready",  # the fork server is warm and has forked nothing
    "server.forked",  # the job runs, the fork server has not said so
    "job.started",  # nothing is computed
    "job.step",  # a step is made
    "job.within",  # a checkpoint within an epoch is there
    "job.epoch",  # the epoch is in events.jsonl, its checkpoint is not written
    "job.checkpoint",  # the checkpoint is written under its temporary name
    "job.checkpointed",  # the checkpoint is there
    "job.evaluated",  # predictions, evaluation and model are there, result.json is not
    "job.finished",  # result.json is there
    "container.requested",  # the watcher lives, no container has been asked for
    "container.started",  # it is there, and nobody hears what it says
    "container.ended",  # its outputs are not in the run directory
    "container.collected",  # all of them are but result.json
    "container.finished",  # result.json is there, and the container, too
    "aws.uploading",  # some of the data is in S3, and not their list
    "aws.uploaded",  # all that the job reads is in S3, nothing is written down
    "aws.recorded",  # the request of a training job is written down, and not sent
    "aws.created",  # SageMaker has the job, and its answer is lost
    "aws.ended",  # the job has ended, nothing of it is in the run directory
    "aws.collected",  # all of it is but result.json
    "aws.finished",  # result.json is there, the job's checkpoints are in S3, and its end is not written down
    "pack.recording",  # of a job that runs share some have their record, and nothing is asked for
    "pack.billed",  # it has ended, each of its runs has its bill, and none of those that are open has ended
    "publish.created",  # MLflow has made the run, and its reply is lost
    "publish.epochs",  # MLflow has the curve
    "publish.uncommitted",  # MLflow has all but the commit tag
    "publish.committed",  # MLflow has all, the journal does not know
    "report.unnamed",  # a file of the report is written under its temporary name
)


_reached: Counter[str] = Counter()


def reach(name: str) -> None:
    """Marks the place ``name``, one of :data:`POINTS`."""
    wanted, _, marker = os.environ.get("BENCHMARK_FAILPOINT", "").partition(":")
    if not wanted.startswith(name):
        return
    place, _, count = wanted.partition("@")
    _reached[name] += 1
    if place != name or _reached[name] != int(count or 1):
        return
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
