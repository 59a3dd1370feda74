"""Which test images tell most about the models: those on which they disagree, and those on which they are sure and wrong.

Disagreement is the Jensen-Shannon divergence of the models' probabilities (Lin, "Divergence measures based on the
Shannon entropy", 1991); sureness of an error is the mean, over the models, of the probability of a wrong answer.  Of
each configuration its first finished seed is asked.  Predictions are read one run after the other, for the best rows.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.rundir import BrokenFile, Predictions, RunDir
from reports.html.part import Thumbnails
from reports.leaderboard import Row, Table
from reports.text import one_line

MODELS = 6
"""Rows that are asked."""
SHOWN = 24
"""Images of each kind."""
THUMBNAIL_BYTES = 12_000
"""A larger thumbnail is left out."""
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """What one configuration says to every test image: its class, and how sure it is of it."""

    configuration_id: str
    seed: int
    predicted: npt.NDArray[np.int64]
    confidence: Floats


@dataclass(frozen=True)
class Gallery:
    """``ids`` and ``labels`` of all test images; ``disagreed`` and ``wrong`` are places among them, the most telling
    first."""

    ids: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int64]
    answers: tuple[Answers, ...]
    disagreed: tuple[int, ...]
    wrong: tuple[int, ...]
    troubles: tuple[str, ...] = ()


def choose(table: Table) -> Gallery | None:
    """The gallery of a table's best rows; ``None`` where no predictions can be read."""
    troubles: list[str] = []
    first: Predictions | None = None
    answers: list[Answers] = []
    mixture: Floats | None = None
    entropy = np.zeros(0)
    for row, seed, found in _predictions(table, troubles):
        if first is None or mixture is None:
            first, mixture, entropy = found, np.zeros(found.log_probs.shape), np.zeros(len(found.ids))
        if found.log_probs.shape != mixture.shape or not np.array_equal(found.ids, first.ids):
            troubles.append(f"{row.label}, seed {seed}: not in the gallery, it was tested on other images")
            continue
        probabilities = np.exp(found.log_probs.astype(np.float64))
        mixture += probabilities
        entropy += _entropy(probabilities)
        answers.append(Answers(row.configuration_id, seed, probabilities.argmax(1), probabilities.max(1)))
    if first is None or mixture is None:
        return None
    n = len(answers)
    divergence = _entropy(mixture / n) - entropy / n
    wrong = sum(np.where(each.predicted != first.labels, each.confidence, 0.0) for each in answers) / n
    different = np.any([each.predicted != answers[0].predicted for each in answers], axis=0)
    disagreed = _largest(np.where(different, divergence, 0.0))
    return Gallery(first.ids, first.labels, tuple(answers), disagreed, _largest(wrong), tuple(troubles))


def document(gallery: Gallery, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    """The gallery as the page carries it; an image is ``null`` where there is none."""
    return {
        "models": [{"id": each.configuration_id, "seed": each.seed} for each in gallery.answers],
        "disagreed": [_item(gallery, place, pictures) for place in gallery.disagreed],
        "wrong": [_item(gallery, place, pictures) for place in gallery.wrong],
    }


def pictures(gallery: Gallery, digest: str, thumbnails: Thumbnails) -> Mapping[str, bytes]:
    """The PNGs of the gallery's images that can be had and are small."""
    wanted = [str(gallery.ids[place]) for place in dict.fromkeys(gallery.disagreed + gallery.wrong)]
    found = thumbnails(digest, wanted) if wanted else {}
    return {key: png for key, png in found.items() if len(png) <= THUMBNAIL_BYTES}


def _predictions(table: Table, troubles: list[str]) -> Iterator[tuple[Row, int, Predictions]]:
    for row in table.ranked[:MODELS]:
        entry = next((each for each in row.done if each.directory), None)
        if entry is None or entry.directory is None:
            continue
        try:
            yield row, entry.run.seed, RunDir(entry.directory).read_predictions("test")
        except BrokenFile:
            troubles.append(f"{row.label}, seed {entry.run.seed}: not in the gallery, its predictions cannot be read")


def _entropy(probabilities: Floats) -> Floats:
    """Of each row, in nats."""
    logarithms = np.log(probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    entropy: Floats = -np.einsum("ij,ij->i", probabilities, logarithms)
    return entropy


def _largest(scores: Floats) -> tuple[int, ...]:
    """Places of the largest scores above zero; of equal ones the first."""
    order = np.argsort(-scores, kind="stable")[:SHOWN]
    return tuple(int(each) for each in order if scores[each] > 1e-9)


def _item(gallery: Gallery, place: int, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    key = str(gallery.ids[place])
    png = pictures.get(key)
    return {
        "id": one_line(key, 120),
        "true": int(gallery.labels[place]),
        "answers": [[int(each.predicted[place]), round(float(each.confidence[place]), 3)] for each in gallery.answers],
        "png": base64.b64encode(png).decode() if png else None,
    }
