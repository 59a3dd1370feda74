"""A program whose disk fills up at its N-th write: `python tests/filling.py DIRECTORY N LOG PROGRAM [ARGUMENT]...`

PROGRAM is a script or a module.  Each opening for writing, each new directory, each new name and each SQLite database
under DIRECTORY is a line of LOG, which lies elsewhere; before the N-th (from 1) a file takes all the space that
DIRECTORY's disk has left, so that the kernel refuses what comes then.  With N = 0 the writes are only counted.
"""

import contextlib
import os
import runpy
import sys
from pathlib import Path

BALLAST = "ballast"
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND


def fill(path: Path) -> None:
    """Takes all the space that is left."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT)
    for size in (2**20, 2**12):
        with contextlib.suppress(OSError):
            while True:
                os.write(handle, b"\0" * size)
    os.close(handle)


def watch(directory: Path, number: int, log: Path) -> None:
    """Counts this process's writes from now on."""
    counted, busy = 0, False
    lines = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal counted, busy
        if busy or not _writes(event, arguments):
            return
        target = arguments[1 if event in ("os.rename", "os.link") else 0]
        path = str(Path.cwd() / os.fsdecode(target))  # type: ignore[arg-type]
        if not path.startswith(f"{directory}{os.sep}"):
            return
        busy, counted = True, counted + 1
        os.write(lines, f"{event} {path.removeprefix(str(directory))}\n".encode())
        if counted == number:
            fill(directory / BALLAST)
        busy = False

    sys.addaudithook(hook)


def _writes(event: str, arguments: tuple[object, ...]) -> bool:
    if event == "open":
        return isinstance(arguments[0], str | bytes | os.PathLike) and bool(int(arguments[2]) & _WRITING)  # type: ignore[call-overload]
    return event in ("os.mkdir", "os.rename", "os.link", "sqlite3.connect")


if __name__ == "__main__":
    _directory, _number, _log, _program, *sys.argv[1:] = sys.argv[1:]
    sys.argv[0] = _program
    watch(Path(_directory), int(_number), Path(_log))
    if _program.endswith(".py"):
        sys.path[0] = str(Path(_program).parent)
        runpy.run_path(_program, run_name="__main__")
    else:
        sys.path[0] = str(Path(__file__).resolve().parent.parent)
        runpy.run_module(_program, run_name="__main__", alter_sys=True)
