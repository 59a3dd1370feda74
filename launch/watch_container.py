"""The process of one attempt in mode ``local``: ``python watch_container.py`` in the attempt's directory.

It runs the containers that ``request.json`` describes through the SageMaker SDK, hands a TERM on to them, and moves
what they leave into the run directory, ``result.json`` last.  The program's own output is in ``log.txt``; what SDK and
compose say is in ``sagemaker.txt``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import IO

if __name__ == "__main__":
    # Run as a script, Python puts this folder first on the path, where `local.py` and others could shadow libraries.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmark import rundir
from benchmark.durable import FULL, sync_directory
from benchmark.failpoints import reach
from benchmark.records import NO_SPACE, Failure, FailureKind
from benchmark.rundir import RunDir
from launch import containers, payload
from launch.container import OUTPUTS, Request, clear, workplaces
from launch.containers import End

CHATTER = "sagemaker.txt"
FOLLOW_SECONDS = 0.2
EXITS: dict[int, FailureKind] = {
    os.EX_CONFIG: "config",
    os.EX_UNAVAILABLE: "infrastructure",
    os.EX_IOERR: "infrastructure",
}
"""Exit codes of :mod:`launch.bootstrap` and of the job."""
DEADLY = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTERM)
"""Signals that end a program from outside or by a fault of native code; their exit codes are 128 more."""


@dataclass
class Watch:
    """The containers of one attempt, from their start to the collection of what they left.

    Args:
        attempt: its directory.
        run: starts the containers and waits for their end.
        log: where the program's output goes.
    """

    request: Request
    attempt: Path
    run: Callable[[Request, Path, Path], None]
    log: IO[bytes]
    stopped: bool = False
    _over: threading.Event = field(default_factory=threading.Event)

    @property
    def rundir(self) -> RunDir:
        return RunDir(self.attempt.parent.parent)

    @property
    def root(self) -> Path:
        """Its name becomes that of the compose project."""
        return workplaces(self.attempt, self.request.name)[1]

    def to_the_end(self) -> int:
        """Runs, collects, removes: 0 with a result, 1 with a recorded failure."""
        code, _ = workplaces(self.attempt, self.request.name)
        try:
            payload.write(code)
            self.root.mkdir()
            reach("container.requested")
            problem = self._run(code)
            ends = {host: containers.end(name) for host, name in self.request.containers.items()}
            reach("container.ended")
            failure = self._own(ends) or self._failure(ends, problem)
            if failure is not None:
                self.rundir.write_failure(replace(failure, time=time.time()))
            reach("container.finished")
            return int(failure is not None or self.rundir.read_result() is None)
        finally:
            containers.remove(containers.ATTEMPT, self.request.name)
            clear(self.attempt, self.request.name)

    def on_term(self, signum: int, frame: FrameType | None) -> None:
        """Asks the containers to stop; the SDK goes on waiting for their end."""
        self.stopped = True
        containers.stop([*self.request.containers.values()], self.request.grace)

    def _run(self, code: Path) -> str:
        """What the SDK has to complain of; its return alone means nothing."""
        followers = [threading.Thread(target=self._follow, args=(name,)) for name in self.request.containers.values()]
        for each in followers:
            each.start()
        try:
            self.run(self.request, self.root, code)
        except Exception as error:
            traceback.print_exc()
            return str(error)
        finally:
            self._over.set()
            for each in followers:
                each.join()
        return ""

    def _follow(self, name: str) -> None:
        """One that stopped before it was there is stopped as soon as it is."""
        while not containers.exists(name):
            if self._over.is_set():
                return
            self._over.wait(FOLLOW_SECONDS)  # one that came and ended meanwhile is looked for once more
        reach("container.started")
        if self.stopped:
            containers.stop([name], self.request.grace)
        containers.follow(name, self.log)

    def _collect(self) -> Failure | None:
        """Moves the outputs of all hosts, and says why the job has failed, if it says so itself."""
        hosts = [self.root / OUTPUTS / host / "data" for host in self.request.containers]
        found = [host / name for name in rundir.OUTPUTS for host in hosts]
        for path in [self.root / "model" / self.rundir.model.name, *found]:
            if path.is_file() and not path.is_symlink():
                if path.name == "result.json":
                    reach("container.collected")
                    sync_directory(self.rundir.path)
                path.replace(self.rundir.path / path.name)
        sync_directory(self.rundir.path)
        return self.rundir.read_failure()

    def _own(self, ends: dict[str, End | None]) -> Failure | None:
        """What the program says of its failure, once its outputs are here.  When a host dies the others are asked to
        stop: that is no reason."""
        failure = self._collect()
        if failure is None or failure.kind != "stopped" or self.stopped:
            return failure
        return None if any(each is not None and _has_died(each) for each in ends.values()) else failure

    def _failure(self, ends: dict[str, End | None], problem: str) -> Failure | None:
        """Why there is no result, as far as it can be told from outside."""
        if self.rundir.read_result():
            return None
        if any(each is not None and each.out_of_memory for each in ends.values()):
            limit = f"{self.request.memory / 2**30:g} GiB" if self.request.memory else "all that there was"
            return Failure("oom", f"the container was killed: it used more memory than {limit} (launch: memory_gib)")
        if self.stopped:
            return Failure("stopped", "the container was asked to stop")
        there = ((host, each) for host, each in ends.items() if each is not None)
        codes = {host: each.code for host, each in sorted(there, key=lambda item: not _has_died(item[1]))}
        if not codes:
            said = self._complaint() or problem or "no container was made"
            return Failure("infrastructure", f"the container could not be started: {said}; {CHATTER} has more")
        host, code = next(((host, code) for host, code in codes.items() if code), next(iter(codes.items())))
        return self._explain(host, code)

    def _complaint(self) -> str:
        """What compose said last, if it said anything."""
        lines = (self.attempt / CHATTER).read_text(errors="replace").splitlines()
        return next((line for line in reversed(lines) if line.lower().startswith("error")), "")

    def _explain(self, host: str, code: int) -> Failure:
        message = self.root / OUTPUTS / host / "failure"
        said = message.read_text(errors="replace").strip() if code in EXITS and message.is_file() else ""
        if code - 128 in DEADLY:
            return Failure("killed", f"the program in the container was killed by {signal.Signals(code - 128).name}")
        if code == os.EX_IOERR:
            said = f"the program in the container could not write its files: {NO_SPACE}"
        text = said or f"the program in the container ended with exit code {code} and without a result"
        return Failure(EXITS.get(code, "error"), text)


def _has_died(end: End) -> bool:
    """Whether the program was ended from outside, and not asked to."""
    return end.out_of_memory or (end.code - 128 in DEADLY and end.code - 128 != signal.SIGTERM)


def main() -> int:
    from launch.sagemaker_sdk import train

    attempt = Path.cwd()
    request = replace(Request.read(attempt), cores=_own_cores())
    with _redirected(attempt / CHATTER) as log:
        watch = Watch(request, attempt, train, log)
        signal.signal(signal.SIGTERM, watch.on_term)
        try:
            return watch.to_the_end()
        except OSError as error:
            traceback.print_exc()
            return os.EX_IOERR if error.errno in FULL else 1


def _own_cores() -> tuple[int, ...]:
    """Those that the launcher has given to this process."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


@contextlib.contextmanager
def _redirected(path: Path) -> Iterator[IO[bytes]]:
    """Sends standard output and error to ``path``; the file that they had gone to."""
    with os.fdopen(os.dup(1), "ab", buffering=0) as log, path.open("ab") as chatter:
        for stream in (1, 2):
            os.dup2(chatter.fileno(), stream)
        yield log


if __name__ == "__main__":
    sys.exit(main())
