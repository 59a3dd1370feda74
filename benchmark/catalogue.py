"""What is known of each model, without importing torch: names, parameters, multiply-adds, activations,
minimum image size; and what optimizers refuse.

A child process (:mod:`benchmark.training.describe`) finds it out once; the answers are kept in the cache, one small
JSON file each, under a key of the library versions and of our own model code, so that several commands may read and
write at a time and an upgrade starts afresh.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import hashlib
import importlib.metadata
import json
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from benchmark import plugins
from benchmark.children import command, environment
from benchmark.durable import write_json
from benchmark.families import family
from benchmark.records import LIBRARIES
from benchmark.run import canonical_json

FEW = 60
"""So many models at most are described by a search that was not asked for details: about a minute, the first time."""

_ROOT = Path(__file__).parent
_CODE = ("macs", "activations", "lenet", "small", "timm_models", "torchvision_models", "models", "optim", "describe")


class CatalogueError(Exception):
    """The libraries are missing or broken, or the cache cannot be written; the message says which."""


@dataclass(frozen=True)
class ModelSpec:
    """A network to be described; ``model_args`` is the canonical JSON of the mapping, ``image_size`` in pixels."""

    model: str
    model_args: str
    image_size: int
    channels: int
    classes: int


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a network at one image size.

    ``parameters`` include auxiliary heads; ``macs``, the multiply-adds of one image's forward pass, do not.
    ``minimum_size`` is the smallest square image, in pixels, that works; where the image size asked for does not, it
    is the next larger one that does, ``error`` says so and the other numbers are those at that size.  Any other
    ``error`` leaves the numbers 0.  ``activations`` are the values that a training pass keeps for one image, ``widest``
    those of the largest tensor among them.  ``minimum_batch`` is 2 where one image alone cannot be trained on (batch
    normalisation of a single value), else 1.
    """

    parameters: int
    macs: int
    architecture: str
    minimum_size: int
    error: str | None = None
    activations: int = 0
    widest: int = 0
    minimum_batch: int = 1


@dataclass(frozen=True)
class OptimizerSpec:
    """An optimizer to be tried; ``optimizer_args`` is the canonical JSON of the mapping."""

    optimizer: str
    optimizer_args: str


_Spec = TypeVar("_Spec", ModelSpec, OptimizerSpec)


@dataclass(frozen=True)
class Names:
    """Every model's and every optimizer's name."""

    models: frozenset[str]
    optimizers: frozenset[str]


@dataclass(frozen=True)
class Row:
    """One line of a list of models; ``facts`` are ``None`` where nobody has asked for them yet, ``weights`` says
    whether its library has pretrained ones."""

    name: str
    family: str
    facts: ModelFacts | None
    weights: bool = False


def names(cache: Path) -> Names:
    """Every name that a model or an optimizer may have.

    Raises:
        CatalogueError: see there.
    """
    stored = _name_lists(cache)
    return Names(frozenset(stored["names"]), frozenset(stored["optimizers"]))


def describe(specs: Sequence[ModelSpec], cache: Path) -> dict[ModelSpec, ModelFacts]:
    """The facts of each of ``specs``, from the cache where they are known; a spec that makes no sense has an ``error``.

    Raises:
        CatalogueError: see there.
    """
    found = _answers("models", specs, _directory(cache))
    return {spec: ModelFacts(**answer["facts"]) for spec, answer in found.items()}


def refusals(specs: Sequence[OptimizerSpec], cache: Path) -> dict[OptimizerSpec, str | None]:
    """Why each of ``specs`` cannot be made, or take a step; ``None`` where it can.

    Raises:
        CatalogueError: see there.
    """
    found = _answers("optimizers", specs, _directory(cache))
    return {spec: answer["refusal"] for spec, answer in found.items()}


def search(pattern: str, cache: Path, *, details: bool | None = None) -> tuple[Row, ...]:
    """The models whose name matches a glob, or contains a text without ``*?[``, each network once.

    Args:
        details: describe all of them, as :func:`listing_spec` says (seconds for ten, once); ``None``: only if there
            are few; ``False``: none.  Those already described always have their facts.

    Raises:
        CatalogueError: see there.
    """
    glob = pattern if set(pattern) & set("*?[") else f"*{pattern}*"
    lists = _name_lists(cache)
    found, weights = [name for name in lists["listed"] if fnmatch.fnmatchcase(name, glob)], set(lists["weights"])
    specs = [listing_spec(name) for name in found]
    wanted = len(found) <= FEW if details is None else details
    if wanted:
        facts = describe(specs, cache)
    else:
        facts = {spec: ModelFacts(**answer["facts"]) for spec, answer in _known(specs, _directory(cache)).items()}
    pairs = zip(found, specs, strict=True)
    return tuple(Row(name, family(name), facts.get(spec), name in weights) for name, spec in pairs)


def listing_spec(model: str) -> ModelSpec:
    """What a list of models shows: 32-pixel RGB images of 10 classes, larger where the model needs it."""
    return ModelSpec(model, "{}", image_size=32, channels=3, classes=10)


def _name_lists(cache: Path) -> dict[str, list[str]]:
    path = _directory(cache) / "names.json"
    stored = _read(path)
    if stored is None:
        (stored,) = _ask({"names": True})
        _write(path, stored)
    return {key: stored[key] for key in ("names", "listed", "weights", "optimizers")}


def _answers(kind: str, specs: Sequence[_Spec], directory: Path) -> dict[_Spec, dict[str, Any]]:
    """What is known of each, or the child says; each answer is kept as soon as it comes, so that an interrupted search
    goes on where it was."""
    found = _known(specs, directory)
    unknown = [spec for spec in dict.fromkeys(specs) if spec not in found]
    if unknown:
        answers = _ask({kind: [dataclasses.asdict(spec) for spec in unknown]}, len(unknown))
        for spec, answer in zip(unknown, answers, strict=True):
            _write(_path(directory, spec), answer)
            found[spec] = answer
    return found


def _known(specs: Iterable[_Spec], directory: Path) -> dict[_Spec, dict[str, Any]]:
    documents = ((spec, _read(_path(directory, spec))) for spec in dict.fromkeys(specs))
    return {spec: document for spec, document in documents if document}


def _directory(cache: Path) -> Path:
    """Where the facts of these libraries and this code are kept."""
    try:
        versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    except importlib.metadata.PackageNotFoundError as error:
        raise CatalogueError(f"{error.name} is not installed: install torch, torchvision and timm") from error
    added = plugins.labels(plugins.found("models").values())
    code = hashlib.sha256(b"".join((_ROOT / "training" / f"{name}.py").read_bytes() for name in _CODE)).hexdigest()
    key = hashlib.sha256(
        canonical_json({**versions, "code": code, **({"plugins": added} if added else {})}).encode()
    ).hexdigest()[:16]
    return cache / "models" / key


def _path(directory: Path, spec: ModelSpec | OptimizerSpec) -> Path:
    return directory / f"{hashlib.sha256(canonical_json(dataclasses.asdict(spec)).encode()).hexdigest()[:16]}.json"


def _read(path: Path) -> dict[str, Any] | None:
    """A stored answer; what is missing or damaged is found out again."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def _write(path: Path, document: Mapping[str, Any]) -> None:
    try:
        write_json(path, document)
    except OSError as error:
        remedy = "set TORCH_IMAGE_BENCHMARK_CACHE to a directory that can be written"
        raise CatalogueError(f"{path}: cannot be written ({error.strerror}): {remedy}") from error


@contextmanager
def one_child() -> Iterator[None]:
    """Within the block a child that has answered waits for the next question: importing torch takes it seconds."""
    child = _Child()
    token = _KEPT.set(child)
    try:
        yield
    finally:
        _KEPT.reset(token)
        child.close()


def _ask(request: Mapping[str, Any], count: int = 1) -> Iterator[dict[str, Any]]:
    """The child's ``count`` answers, as they come."""
    if (kept := _KEPT.get()) is not None:
        yield from kept.ask(request, count)
        return
    with closing(_Child()) as child:
        yield from child.ask(request, count)


class _Child:
    """The process that knows torch, from the first question until it is closed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[bytes] | None = None

    def ask(self, request: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
        """
        Raises:
            CatalogueError: it died.
            PluginError: a package's networks cannot be listed.
        """
        process = self._process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError):  # the end of its answers says it, too
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
            for _ in range(count):
                line = process.stdout.readline()
                if not line:
                    raise self._death(process.wait())
                answer = json.loads(line)
                if "plugin" in answer:
                    raise plugins.PluginError(answer["plugin"])
                yield answer
        except BaseException:
            process.kill()
            self.close()
            raise

    def close(self) -> None:
        """Lets it end."""
        if self._process is not None:
            with suppress(BrokenPipeError):
                self._process.communicate()
            self._process = None
        if self._errors is not None:
            self._errors.close()

    def _start(self) -> subprocess.Popen[str]:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        return subprocess.Popen(
            command("benchmark.training.describe"),
            env={"OMP_NUM_THREADS": "1", **environment()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )

    def _death(self, code: int) -> CatalogueError:
        assert self._errors is not None
        self._errors.seek(0)
        tail = "\n".join(self._errors.read().decode(errors="replace").splitlines()[-20:])
        return CatalogueError(f"describing models failed with exit status {code}:\n{tail}")


_KEPT: ContextVar[_Child | None] = ContextVar("kept", default=None)
