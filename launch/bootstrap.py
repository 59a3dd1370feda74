"""The first program in a container: ``python3 launch/bootstrap.py``; it becomes ``train_models.py``.

An image that lacks something of ``requirements.txt`` gets it by pip first.  Needs nothing but Python and pip.  An image
that cannot be used is told in SageMaker's file for failures, and by the exit code: 78 where it would come again, 69
where it may not.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
ENTRY = HERE / "train_models.py"
RESOURCES = Path("/opt/ml/input/config/resourceconfig.json")
"""Where SageMaker says which hosts a job has."""
OLDEST = (3, 11)


class Unusable(Exception):
    """The image cannot be used; ``code`` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def main() -> None:
    try:
        check_python(os.environ.get("BENCHMARK_PYTHON"))
        if lacking := missing(REQUIREMENTS):
            install(lacking)
    except Unusable as error:
        _tell(str(error))
        sys.exit(error.code)
    os.execve(sys.executable, [sys.executable, str(ENTRY)], {**hosts(RESOURCES), **os.environ})  # noqa: S606 - no shell


def check_python(mounted_for: str | None) -> None:
    """Raises:
    Unusable: this Python is too old, or is not the one that the mounted libraries are made for.
    """
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    if sys.version_info < OLDEST:
        raise Unusable(f"the image has Python {mine}; {OLDEST[0]}.{OLDEST[1]} or newer is needed", os.EX_CONFIG)
    if mounted_for and mounted_for != mine:
        raise Unusable(
            f"the image has Python {mine}, and the libraries that are mounted are for {mounted_for}: take an image "
            "with the same Python, or one with libraries of its own (launch/Dockerfile)",
            os.EX_CONFIG,
        )


def hosts(path: Path) -> dict[str, str]:
    """The variables that SageMaker's training toolkit, which an image need not have, makes of ``path``."""
    if not path.is_file():
        return {}
    said = json.loads(path.read_text(encoding="utf-8"))
    found = {"SM_HOSTS": json.dumps(said["hosts"]), "SM_CURRENT_HOST": said["current_host"]}
    name = said.get("network_interface_name")
    return {**found, "SM_NETWORK_INTERFACE_NAME": name} if name else found


def missing(requirements: Path) -> list[str]:
    """The lines of ``requirements`` that what is installed does not fulfil."""
    lines = [line.partition("#")[0].strip() for line in requirements.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not _fulfilled(line)]


def install(lacking: list[str]) -> None:
    """Raises:
    Unusable: there is no network to get it from, or pip cannot.
    """
    lacks, remedy = f"the image lacks {', '.join(lacking)}", "take an image that has it (launch/Dockerfile)"
    if os.environ.get("BENCHMARK_ISOLATED"):
        raise Unusable(f"{lacks}, and has no network to get it (launch: network_isolation): {remedy}", os.EX_CONFIG)
    print(f"{lacks}: installing", flush=True)
    environment = {**os.environ, "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *lacking]
    if not os.access(sysconfig.get_path("purelib"), os.W_OK):
        command.insert(4, "--user")
    done = subprocess.run(command, env=environment, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise Unusable(f"{lacks}, and pip could not install it: {remedy}", os.EX_UNAVAILABLE)


def _fulfilled(line: str) -> bool:
    try:
        from packaging.requirements import Requirement
    except ImportError:
        from pip._vendor.packaging.requirements import Requirement  # type: ignore[assignment]

    requirement = Requirement(line)
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)
    (Path(os.environ.get("SM_OUTPUT_DIR", "/opt/ml/output")) / "failure").write_text(message[:1024], encoding="utf-8")


if __name__ == "__main__":
    main()
