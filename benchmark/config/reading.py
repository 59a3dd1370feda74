"""An experiment's YAML file -> :class:`Experiment`, or every error at once with its line and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.config import declaration, sections, yaml_text
from benchmark.config.document import Document, Node
from benchmark.config.experiment import Cell, Experiment
from benchmark.config.extending import extended
from benchmark.config.layer import MAPPINGS, Layer, RunReader, merge, run_reader
from benchmark.config.matrix import MAX_CELLS, expand
from benchmark.config.problems import ConfigError, Mark, Problem, Problems
from benchmark.config.sampling import Sampling, Shares
from benchmark.config.space import Space

if TYPE_CHECKING:
    from benchmark.catalogue import Names


def load(
    path: Path, settings: Sequence[str] = (), known: Names | None = None, chosen: Sequence[Shares] = ()
) -> Experiment:
    """The experiment of a YAML file.

    ``settings`` are ``key=value`` texts (``--set``) that win over the file in every cell; a value is YAML, and
    ``model_args.depth=2`` sets one entry of a mapping.  Models and optimizers are checked against ``known`` unless
    it is ``None``.  ``chosen`` are the trials that a search has added to those that it drew.

    Raises:
        ConfigError: everything that is wrong with the file or the settings.
    """
    try:
        text = _read(path)
    except OSError as error:
        raise ConfigError([Problem(str(path), None, None, f"cannot be read: {error.strerror}")]) from None
    return parse(text, path, settings, known, chosen)


def parse(
    text: str | bytes,
    path: Path,
    settings: Sequence[str] = (),
    known: Names | None = None,
    chosen: Sequence[Shares] = (),
) -> Experiment:
    """The experiment of YAML text that stands in the file ``path``; see :func:`load`."""
    root = extended(yaml_text.parse(text, str(path)), _base).root
    problems = Problems()
    if not isinstance(root.value, dict):
        raise ConfigError([root.mark.problem("an experiment is a mapping; begin with name, data and matrix")])
    titles = sections.titles(root, path.stem, problems, apart=declaration.PARTS)
    launch = sections.launch(root, problems)
    tracking, report = sections.tracking(root, problems), sections.report(root, problems)
    search = sections.search(root, problems)
    cells, space = _cells(root, settings, known, problems, sections.trials(root, search, chosen))
    if cells and space:
        _check_trials(search.trials, space, cells, problems)
    problems.check()
    section = root.get("report") or root
    mark = (section.get("primary") or section).mark
    return Experiment(titles.name, path, cells, launch, tracking, report, titles.description, search, space, mark)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(yaml_text.MAX_BYTES + 1)


def _base(path: Path, mark: Mark) -> Document:
    """The document of a file that is extended at ``mark``."""
    try:
        return yaml_text.parse(_read(path), str(path))
    except OSError as error:
        raise ConfigError([mark.problem(f"{path} cannot be read: {error.strerror}")]) from None


def _cells(
    root: Node, settings: Sequence[str], known: Names | None, problems: Problems, search: Sampling | None
) -> tuple[tuple[Cell, ...], Space | None]:
    """The cells; none where a key is wrong, since what would follow from it would only confuse.  And the space of a
    search."""
    wrong = Problems()
    layer = _settings(settings, run_reader(known, wrong, base=Path.cwd()))
    reader = run_reader(known, wrong)
    declared = declaration.read(root, layer, reader, search)
    cells = () if wrong else expand(declared, wrong)
    problems.extend(wrong.found)
    return cells, declared.space


def _check_trials(trials: int, space: Space, cells: Sequence[Cell], problems: Problems) -> None:
    """Whether there can be so many; ``cells`` are those of the trials so far, and others beside them."""
    ours = sum(cell.trial is not None for cell in cells)
    if space.size < trials:
        few = f"these axes have only {space.size:,.0f} different configurations"
        problems.add(space.sampling.mark, f"{few}; set trials: {space.size:.0f} or give more values")
    if (expected := len(cells) - ours + trials * ours // len(space.tried)) > MAX_CELLS:
        many = f"{trials:,} trials would have {expected:,} cells; at most {MAX_CELLS:,} fit one experiment"
        problems.add(space.sampling.mark, f"{many}; set fewer trials")


def _settings(settings: Sequence[str], reader: RunReader) -> Layer:
    layer: Layer = {}
    for text in settings:
        try:
            layer = merge(layer, reader.layer(_setting(text).root))
        except ConfigError as error:
            reader.problems.extend(Mark(f"--set {text}").problem(each.message) for each in error.problems)
    return layer


def _setting(text: str) -> Document:
    """``lr=1e-3`` as a document; its places are the option itself."""
    option = Mark(f"--set {text}")
    name, equals, value = text.partition("=")
    name, _, entry = name.strip().partition(".")
    if not equals or (entry and name not in MAPPINGS):
        raise ConfigError([option.problem(f"write key=value, or {MAPPINGS[0]}.entry=value")])
    document = yaml_text.parse(value, option.path)
    return Document(option.path, {name: {entry: document.value} if entry else document.value})
