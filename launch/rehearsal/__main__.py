"""The command line of the rehearsal: ``python -m launch.rehearsal --directory DIR``.

One line of JSON on standard output tells when it listens, where, and which access key its callers need.  It ends, with
all its jobs, on TERM and INT, and with ``--with-parent`` when the process that started it has ended.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

from launch.rehearsal.executors import EXECUTORS, Settings
from launch.rehearsal.faults import Faults

PARENT_SECONDS = 0.5
APART = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "NO_PROXY": "127.0.0.1",
    "no_proxy": "127.0.0.1",
}
MISSING = "the rehearsal needs moto ({}): pip install 'torch-image-benchmark[rehearse]'"


def main() -> int:
    parent, arguments = os.getppid(), _arguments()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    _leave_account()
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    try:
        from launch.rehearsal.server import Server
    except ImportError as error:
        return _refused(MISSING.format(error))
    settings = _settings(arguments)
    try:
        settings.directory.mkdir(parents=True, exist_ok=True)
        server = Server(settings, _faults(arguments.faults), arguments.port)
    except (OSError, ValueError) as error:
        return _refused(str(error))
    try:
        threading.Thread(target=server.serve, daemon=True).start()
        print(json.dumps(server.prepare()), flush=True)
        _wait(parent if arguments.with_parent else None)
    finally:
        server.close()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m launch.rehearsal", description="rehearse SageMaker training jobs")
    parser.add_argument("--directory", type=Path, required=True, help="where the jobs' files are kept")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--executor", choices=EXECUTORS, default="namespace")
    parser.add_argument("--image", default="", help="for all jobs, with --executor docker")
    parser.add_argument("--faults", type=Path, help="a JSON file")
    parser.add_argument("--startup-seconds", type=float, default=0.0, help="so long instances take to come")
    parser.add_argument("--grace", type=float, default=120.0, help="seconds between TERM and KILL")
    parser.add_argument("--mirror-seconds", type=float, default=1.0, help="between two looks at checkpoints and logs")
    parser.add_argument("--mirror-deletions", action="store_true", help="delete in S3 what a job deletes")
    parser.add_argument("--check-inputs", action="store_true", help="refuse a request whose channels are empty")
    parser.add_argument("--speed", type=float, default=1.0, help="seconds of the jobs' clock in a real one")
    parser.add_argument("--seconds", type=float, default=60.0, help="of training, with --executor simulated")
    parser.add_argument("--spread", type=float, default=0.0, help="of these seconds, a share up or down")
    parser.add_argument("--leaves", type=Path, help="a run directory whose files simulated jobs leave behind")
    parser.add_argument("--tick-seconds", type=float, default=0.05, help="real ones, between looks at a job's hosts")
    parser.add_argument("--beat", type=Path, help="a file by which other processes share the jobs' clock")
    parser.add_argument("--count-calls", action="store_true", help="keep no calls, and only their numbers")
    parser.add_argument("--with-parent", action="store_true", help="end when the starting process has ended")
    return parser.parse_args()


def _settings(arguments: argparse.Namespace) -> Settings:
    names = {each.name for each in dataclasses.fields(Settings)} - {"directory"}
    return Settings(arguments.directory.absolute(), **{name: getattr(arguments, name) for name in names})


def _faults(path: Path | None) -> Faults:
    return Faults.from_json(path.read_text(encoding="utf-8")) if path else Faults()


def _leave_account() -> None:
    """No request of this process may find the way to a real account."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(APART)


def _wait(parent: int | None) -> None:
    while parent is None or os.getppid() == parent:
        time.sleep(PARENT_SECONDS)


def _refused(message: str) -> int:
    print(message, file=sys.stderr)
    return 3


def _end(*_: object) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
