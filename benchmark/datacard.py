"""What is to be known of a data set before anything is trained on it: ``data_card.md``, with a sheet of its images.

card = DataCard.of(spec, cache)
card.write(Path("results/photos"))
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmark.data import datasets, duplicates, layout
from benchmark.data.duplicates import Duplicates
from benchmark.data.imageset import DataFacts, ImageSet
from benchmark.data.splits import NAMES
from benchmark.durable import atomic
from benchmark.run import DataSpec
from reports.text import markdown

KINDS = 5
"""Suffixes in a line."""
IMBALANCED = 3.0
"""The largest class over the smallest, from which on accuracy says little."""
SHEET_CLASSES, SHEET_IMAGES = 20, 8
OFTEN = 0.2
"""The share of a size that is worth a word."""


@dataclass(frozen=True)
class DataCard:
    """``counts``: split -> images of each class, in their order.  ``shapes``: (height, width, channels) -> images.
    ``sheet`` draws a PNG of some images."""

    spec: DataSpec
    facts: DataFacts
    counts: Mapping[str, Sequence[int]]
    shapes: Mapping[tuple[int, int, int], int]
    duplicates: Duplicates
    sheet: Callable[[], bytes]
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: DataSpec, cache: Path) -> DataCard:
        """Reads every image that is not known yet.

        Raises:
            DataError: as :func:`benchmark.data.datasets.inspect`.
        """
        data = datasets.load(spec, cache)
        parts = duplicates.split_of(data)
        counts = {
            name: np.bincount(data.labels[parts == part], minlength=len(data.classes)).tolist()
            for part, name in enumerate(NAMES)
        }
        notes = (*data.notes, *_passed_over(spec))
        return cls(spec, data.facts(), counts, data.images.shapes(), duplicates.find(data), lambda: _sheet(data), notes)

    @property
    def imbalance(self) -> float:
        """Training images of the largest class over those of the smallest."""
        return max(self.counts["train"]) / max(1, min(self.counts["train"]))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user should think about before training."""
        found = list(self.notes)
        if self.imbalance >= IMBALANCED:
            found.append(
                f"the largest class has {self.imbalance:.1f} times the training images of the smallest: rank by "
                "`test/balanced_accuracy` or `test/f1_macro`, and try `class_weights: balanced`"
            )
        if conflicts := self.duplicates.conflicts:
            found.append(f"{duplicates.stand(len(conflicts))} in more than one class:{duplicates.described(conflicts)}")
        if leaks := self.duplicates.leaks:
            found.append(
                f"{duplicates.stand(len(leaks))} in more than one split; a run refuses that:"
                f"{duplicates.described(leaks)}"
            )
        if (same := len(self.duplicates.groups)) > len(set(self.duplicates.leaks) | set(self.duplicates.conflicts)):
            found.append(
                f"{same} image{'s are' if same != 1 else ' is'} there more than once; splits keep the copies together"
            )
        return tuple(found)

    @property
    def lines(self) -> tuple[str, ...]:
        """For a terminal."""
        sizes = ", ".join(f"{number:,} {name}" for name, number in self.facts.sizes.items())
        small, large = min(self.counts["train"]), max(self.counts["train"])
        images, classes = sum(self.facts.sizes.values()), len(self.facts.classes)
        return (
            f"{self.spec.label}: {images:,} images of {classes} classes ({sizes})",
            f"training images of a class: {small:,}" + (f" to {large:,}" if large > small else ""),
            f"sizes: {self._sizes()}; {'grey' if self.facts.channels == 1 else 'RGB'}",
            f"sha256 {self.facts.digest}",
            *(f"note: {each}" for each in self.warnings),
        )

    def write(self, directory: Path, name: str = "data_card") -> Path:
        """Writes the card and its sheet; the path of the Markdown."""
        directory.mkdir(parents=True, exist_ok=True)
        with atomic(directory / f"{name}.png") as file:
            file.write(self.sheet())
        with atomic(directory / f"{name}.md") as file:
            file.write(self.markdown(f"{name}.png").encode("utf-8", errors="backslashreplace"))
        return directory / f"{name}.md"

    def markdown(self, sheet: str) -> str:
        """The page."""
        rows = [
            f"| {markdown(name)} | {' | '.join(f'{self.counts[split][place]:,}' for split in NAMES)} |"
            for place, name in enumerate(self.facts.classes)
        ]
        total = f"| **all** | {' | '.join(f'**{sum(self.counts[split]):,}**' for split in NAMES)} |"
        notes = [f"- {each}" for each in self.warnings] or ["- Nothing that should worry you."]
        return "\n".join(
            [
                f"# {markdown(self.spec.label)}",
                "",
                f"- Sizes: {self._sizes()}; {'grey' if self.facts.channels == 1 else 'RGB'}.",
                f"- Content: sha256 `{self.facts.digest}`.",
                *notes,
                "",
                "| class | training | validation | test |",
                "|:--|--:|--:|--:|",
                *rows,
                total,
                "",
                f"![Some training images of each class]({sheet})",
                "",
            ]
        )

    def _sizes(self) -> str:
        """``640 × 480 (812 images), 64 × 64 to 800 × 600``, width first."""
        common = Counter[tuple[int, int]]()
        for (height, width, _), number in self.shapes.items():
            common[width, height] += number
        if len(common) == 1:
            ((width, height),) = common
            return f"{width} × {height} pixels, all"
        by_area = sorted(common, key=math.prod)
        (width, height), number = common.most_common(1)[0]
        least, most = (f"{each[0]} × {each[1]}" for each in (by_area[0], by_area[-1]))
        often = f", most often {width} × {height} ({number:,} images)" if number >= OFTEN * common.total() else ""
        return f"{least} to {most} pixels{often}"


def _passed_over(spec: DataSpec) -> Iterator[str]:
    """Files in the user's folder that are taken for no images."""
    if spec.source == "folder" and spec.path and (found := layout.passed_over(Path(spec.path))):
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in found.most_common(KINDS))
        more = ", …" * (len(found) > KINDS)
        yield f"{found.total()} file{'s' * (found.total() != 1)} of other kinds passed over: {kinds}{more}"


def _sheet(data: ImageSet) -> bytes:
    """Training images of up to 20 classes, the same for the same data."""
    from reports.contact_sheet import contact_sheet  # its fonts are matplotlib's, which `init` can do without

    train = data.order[: data.sizes["train"]]
    rows = {}
    for label, name in enumerate(data.classes[:SHEET_CLASSES]):
        chosen = train[data.labels[train] == label][:SHEET_IMAGES]
        rows[name] = [data.images.pixels(int(index)) for index in chosen]
    return contact_sheet(rows, SHEET_IMAGES)
