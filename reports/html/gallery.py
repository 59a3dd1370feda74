"""Which test images tell most about the models: those on which they disagree, and those of which they are wrongly sure.

Disagreement is the Jensen-Shannon divergence of the models' probabilities (Lin, "Divergence measures based on the
Shannon entropy", 1991); sureness of an error is the mean, over the models, of the probability of a wrong answer.  Of
each configuration its first finished seed is asked.  Predictions are read one run after the other, for the best rows.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmark.records import Predictions
from benchmark.rundir import BrokenFile, RunDir
from reports.html.thumbnails import Thumbnails
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
    first.  ``troubles`` say whose predictions are not there."""

    ids: npt.NDArray[np.str_]
    labels: npt.NDArray[np.int64]
    answers: tuple[Answers, ...]
    disagreed: tuple[int, ...]
    wrong: tuple[int, ...]
    troubles: tuple[str, ...] = ()


class _Asked:
    """What models say together to the images of the first: their mixed probabilities (n, k), and the sum of the
    entropies of each (n,)."""

    def __init__(self, first: Predictions) -> None:
        self.first = first
        self.answers: list[Answers] = []
        self.mixture, self.entropies = np.zeros(first.log_probs.shape), np.zeros(len(first.ids))

    def fits(self, other: Predictions) -> bool:
        return other.log_probs.shape == self.mixture.shape and np.array_equal(other.ids, self.first.ids)

    def add(self, row: Row, seed: int, found: Predictions) -> None:
        probabilities = np.exp(found.log_probs.astype(np.float64))
        self.mixture += probabilities
        self.entropies += _entropy(probabilities)
        self.answers.append(Answers(row.configuration_id, seed, probabilities.argmax(1), probabilities.max(1)))

    def disagreed(self) -> tuple[int, ...]:
        n = len(self.answers)
        divergence = _entropy(self.mixture / n) - self.entropies / n
        different = np.any([each.predicted != self.answers[0].predicted for each in self.answers], axis=0)
        return _largest(np.where(different, divergence, 0.0))

    def wrong(self) -> tuple[int, ...]:
        labels = self.first.labels
        return _largest(
            np.mean([np.where(each.predicted != labels, each.confidence, 0.0) for each in self.answers], axis=0)
        )


def choose(table: Table) -> Gallery:
    """The gallery of a table's best rows; without answers where no predictions can be read."""
    troubles: list[str] = []
    asked: _Asked | None = None
    for row, seed, found in _predictions(table, troubles):
        asked = asked or _Asked(found)
        if asked.fits(found):
            asked.add(row, seed, found)
        else:
            troubles.append(f"{row.label}, seed {seed}: not in the gallery, it was tested on other images")
    if asked is None:
        return Gallery(np.array([], np.str_), np.array([], np.int64), (), (), (), tuple(troubles))
    answers, first = tuple(asked.answers), asked.first
    return Gallery(first.ids, first.labels, answers, asked.disagreed(), asked.wrong(), tuple(troubles))


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
