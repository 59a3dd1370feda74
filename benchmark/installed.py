"""What the installation has: the packages that are ours, and the experiment that ships with them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

HERE = Path(__file__).resolve().parent


class WrongPackage(Exception):
    """A package of ours is shadowed by somebody else's of the same name."""


def check_packages() -> None:
    """Makes sure that ``launch`` and ``reports`` are ours.

    Raises:
        WrongPackage: another package of that name comes first on the path (ROS 2 also installs a ``launch``).
    """
    for name in ("launch", "reports"):
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if found != HERE.parent / name:
            raise WrongPackage(
                f"`import {name}` finds {found or 'nothing'}, not {HERE.parent / name}: "
                "use a virtual environment of its own, without PYTHONPATH (ROS 2 also installs a package `launch`)"
            )


def default_experiment() -> Path:
    """``./experiments.yaml``, else the one that ships with the package."""
    here = Path("experiments.yaml")
    return here if here.exists() else HERE / "shipped" / "experiments.yaml"
