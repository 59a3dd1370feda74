"""Models, metrics, kinds of data and launchers that other packages bring, by the entry points that these declare.

    [project.entry-points."benchmark.models"]
    convmix = "acme_vision.nets:convmix"

What there is stands in the packages' metadata, so that nothing is imported before it is used.  A package's digest is
that of its Python files: it is recorded with every result that they had a part in.  Ground floor: standard library
only, because jobs import it.

The protocols below say what an entry point of each kind has to name; of ``benchmark.launchers`` it is a class with the
methods of :class:`launch.Launcher`, made with the YAML's ``launch: {options: …}`` as keyword arguments.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import Distribution, EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import nn

    from benchmark.data.imageset import ImageSet
    from benchmark.metric_names import Direction
    from benchmark.run import DataSpec

Kind = Literal["models", "data", "metrics", "launchers"]
KINDS: tuple[Kind, ...] = ("models", "data", "metrics", "launchers")
IN_JOBS: tuple[Kind, ...] = ("models", "metrics")
"""What a job needs wherever it runs; images are decoded, and jobs launched, on this machine."""
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
ENTRY_POINTS, METADATA = "entry_points.txt", "METADATA"


class ModelMaker(Protocol):
    """What an entry point of ``benchmark.models`` names.  The YAML's model is the entry point's name."""

    def __call__(self, image_size: int, channels: int, classes: int, /, **model_args: Any) -> nn.Module:
        """A network with random weights from torch's global generator, that maps float images (n, channels,
        image_size, image_size) to logits (n, classes), on torch's current default device."""
        ...


class MetricMaker(Protocol):
    """What an entry point of ``benchmark.metrics`` names.  Its values are ``test/NAME`` and ``val/NAME``."""

    better: Direction
    title: str
    """In reports: ``Brier score``."""

    def __call__(self, labels: npt.NDArray[np.int64], log_probs: npt.NDArray[np.float32]) -> float:
        """From true classes (n,) and natural logarithms of predicted probabilities (n, classes).  NaN, or an
        exception, whose message is the reason: undefined here."""
        ...


class DataSource(Protocol):
    """What an entry point of ``benchmark.data`` names.  The YAML's ``source`` is the entry point's name."""

    def __call__(self, spec: DataSpec, cache: Path) -> ImageSet:
        """The images of ``spec.path`` or ``spec.name``, with their splits; what it downloads belongs into ``cache``.
        A ``benchmark.data.datasets.DataError`` says what is wrong with them."""
        ...


class PluginError(Exception):
    """A package's plug-in that cannot be used; the message names both, and the remedy."""


@dataclass(frozen=True)
class Plugin:
    """What a package calls ``name``; ``target`` is ``module:attribute``."""

    kind: Kind
    name: str
    target: str
    distribution: str
    version: str

    @property
    def module(self) -> str:
        """The top-level module that has it."""
        return self.target.partition(":")[0].partition(".")[0]

    @property
    def label(self) -> str:
        """The package, its version and what its code is, in a few words: ``acme-vision 1.2 (0123456789ab)``."""
        return f"{self.distribution} {self.version} ({digest(self.module)[:12]})"

    def load(self) -> Any:
        """The object itself.

        Raises:
            PluginError: it cannot be imported.
        """
        try:
            return EntryPoint(self.name, self.target, f"benchmark.{self.kind}").load()
        except Exception as error:  # a foreign module raises anything
            raise PluginError(
                f"{self.name} of the package {self.distribution} {self.version} cannot be imported from {self.target}: "
                f"{type(error).__name__}: {error}; mend the package, or uninstall it"
            ) from error


@cache
def found(kind: Kind) -> Mapping[str, Plugin]:
    """Name -> plug-in, of every package that is installed.

    Raises:
        PluginError: a name that is none, or that two packages give.
    """
    known: dict[str, Plugin] = {}
    for each in _declared():
        if each.kind == kind:
            other = known.setdefault(each.name, each)
            _check(each, other)
    return dict(sorted(known.items()))


def labels(plugins: Iterable[Plugin]) -> str:
    """Of each package once: what a result is to remember."""
    return ", ".join(sorted({each.label for each in plugins}))


def changes(then: str) -> Iterator[str]:
    """Which of the packages in such a text differ today, in words."""
    for label in filter(None, then.split(", ")):
        if label not in _today():
            now = [each for each in _today() if each.partition(" ")[0] == label.partition(" ")[0]]
            yield f"{label} then, {' and '.join(now) or 'not installed'} now"


def forget() -> None:
    """What is installed is looked up anew."""
    for each in (found, _declared, _today, digest):
        each.cache_clear()


@cache
def digest(module: str) -> str:
    """SHA-256 over the names and contents of a top-level module's Python files, in hexadecimal."""
    total = hashlib.sha256()
    for name, path in sources(module):
        content = path.read_bytes()
        total.update(f"{name}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def sources(module: str) -> Iterator[tuple[str, Path]]:
    """The Python files of a top-level module, in order, with names relative to what ``sys.path`` has to have; no
    symbolic link is followed."""
    spec = find_spec(module)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        root = Path(place)
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root.parent)
            if path.is_file() and not any((root.parent / each).is_symlink() for each in (name, *name.parents[:-2])):
                yield name.as_posix(), path
    if spec and not spec.submodule_search_locations and spec.origin and spec.origin.endswith(".py"):
        yield Path(spec.origin).name, Path(spec.origin)


def shipped() -> Iterator[tuple[str, bytes]]:
    """The files that a job elsewhere needs of the packages with a part in it: their sources, and as much of their
    metadata as lets them be found; names relative to what ``sys.path`` has to have."""
    plugins = [each for kind in IN_JOBS for each in found(kind).values()]
    for module in sorted({each.module for each in plugins}):
        yield from ((name, path.read_bytes()) for name, path in sources(module))
    for distribution, version in sorted({(each.distribution, each.version) for each in plugins}):
        own = [each for each in plugins if each.distribution == distribution]
        home = f"{re.sub(r'[-_.]+', '_', distribution)}-{version}.dist-info"
        lines = [
            line
            for kind in IN_JOBS
            for line in (f"[benchmark.{kind}]", *(f"{each.name} = {each.target}" for each in own if each.kind == kind))
        ]
        yield f"{home}/{ENTRY_POINTS}", ("\n".join(lines) + "\n").encode()
        yield f"{home}/{METADATA}", f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n".encode()


@cache
def _today() -> tuple[str, ...]:
    """A package whose plug-ins are of several modules has a label for each."""
    return tuple(sorted({each.label for kind in IN_JOBS for each in found(kind).values()}))


@cache
def _declared() -> tuple[Plugin, ...]:
    """Of a package that the path has twice the first counts, as for an import."""
    seen: dict[str, Distribution] = {}
    for each in distributions():
        if "benchmark." in (each.read_text(ENTRY_POINTS) or ""):
            seen.setdefault(each.metadata["Name"], each)
    return tuple(
        Plugin(kind, entry.name, entry.value, name, package.version)
        for name, package in sorted(seen.items())
        for entry in package.entry_points
        for kind in KINDS
        if entry.group == f"benchmark.{kind}"
    )


def _check(plugin: Plugin, other: Plugin) -> None:
    if plugin != other:
        raise PluginError(
            f"the packages {other.distribution} and {plugin.distribution} both bring {plugin.name!r} as "
            f"benchmark.{plugin.kind}: uninstall one of them"
        )
    if not NAME.fullmatch(plugin.name):
        raise PluginError(
            f"the package {plugin.distribution} calls one of its benchmark.{plugin.kind} {plugin.name!r}: names are up "
            "to 63 lower-case letters, digits, '_', '.' and '-', beginning with a letter or digit"
        )
