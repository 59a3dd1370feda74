"""The numbers behind the page's plots, as one JSON document that the scripts read.

``tables`` has one for each data set: its rows, the metrics to choose from, and what each plot is drawn from.  Lists
that belong to rows are keyed by configuration id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from reports import ordering, standing
from reports.exhibit import Exhibit
from reports.grid import columns
from reports.html import gallery, lessons, tested
from reports.html.inline import shown
from reports.html.numbers import rounded
from reports.html.reading import ROWS, Reading, read
from reports.html.thumbnails import Thumbnails
from reports.leaderboard import Leaderboard, Row
from reports.metrics import metric
from reports.rates import NUMBERS
from reports.summary import value
from reports.text import one_line

COSTS = (
    "cost/train_seconds",
    "speed/latency_ms_p50",
    "speed/images_per_second",
    "model/parameters",
    "model/macs",
    "cost/kwh",
    "cost/usd",
)
"""Axes of the plot of trade-offs."""
CONFUSION_NUMBERS = 150_000
"""Numbers of all confusion matrices together, beyond those of the best two rows."""
CLASS_ROWS = 4_000
"""Lines of all tables of classes together."""
CURVES = 1_200
"""ROC curves, beyond the macro average of each row."""


def text(document: Mapping[str, Any]) -> str:
    """JSON that may stand in a ``<script>``: no ``<`` is in it, so nothing in it ends the element or opens a
    comment."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def document(
    leaderboard: Leaderboard, parts: Sequence[Exhibit], looks: Mapping[str, int], thumbnails: Thumbnails
) -> tuple[dict[str, Any], list[tuple[str, ...]]]:
    """The document, and for each table what could not be read for it.  ``looks``: configuration id -> the number of
    its look."""
    primary = leaderboard.header.primary
    found = [_table(part, primary, looks, leaderboard.alike, thumbnails) for part in parts]
    return {"tables": [table for table, _ in found]}, [troubles for _, troubles in found]


def _table(
    part: Exhibit, primary: str, looks: Mapping[str, int], alike: Mapping[str, str], thumbnails: Thumbnails
) -> tuple[dict[str, Any], tuple[str, ...]]:
    reading = read(part.table)
    chosen = gallery.choose(part.table)
    rows = part.table.ranked[:ROWS]
    names = _metrics(part, primary)
    document = {
        "classes": [one_line(name, 60) or "(empty)" for name in reading.classes],
        "primary": primary,
        "costs": [name for name in COSTS if any(row.mean(name) is not None for row in rows)],
        "qualities": [name for name in names if name.partition("/")[0] in {"test", "val"}],
        "metrics": {name: _described(name) for name in (*names, *COSTS, *lessons.named(primary)) if name},
        "rows": [_row(part, row, primary, names, looks, alike) for row in rows],
        "curves": {key: found for key, each in reading.lessons.items() if (found := lessons.curve(each, primary))},
        "grid": [float(each) for each in tested.GRID],
        **_tests(reading),
        "gallery": _gallery(part, chosen, thumbnails),
    }
    return document, (*part.troubles, *reading.troubles, *chosen.troubles)


def _metrics(part: Exhibit, primary: str) -> list[str]:
    return list(dict.fromkeys([*columns(part.table, primary), *COSTS]))


def _described(name: str) -> dict[str, Any]:
    """How the scripts write the metric: ``scale`` times the value, with its unit."""
    try:
        known = metric(name)
    except ValueError:
        return {"words": name, "better": None, "percent": False}
    better = "lower" if name.startswith("model/") else known.direction
    return {"words": known.words, "better": better, "percent": known.points}


def _row(
    part: Exhibit, row: Row, primary: str, names: Sequence[str], looks: Mapping[str, int], alike: Mapping[str, str]
) -> dict[str, Any]:
    key, interval = row.configuration_id, part.study.interval(row.configuration_id, primary)
    aggregate = row.metrics.get(primary)
    return {
        "id": key,
        "label": one_line(row.label, 80),
        "model": one_line(row.model, 80),
        "look": looks[key],
        "alike": one_line(alike[key], 80),
        "rank": row.rank,
        "group": next((n for n, ids in enumerate(part.tradeoffs.groups.values()) if key in ids), 0),
        "values": {name: rounded(mean) for name in names if (mean := row.mean(name)) is not None},
        "texts": {name: shown(value(row, name)) for name in names if name in row.metrics},
        "interval": [interval.low, interval.high] if interval else None,
        "sd": aggregate.sd if aggregate else None,
        "says": _says(part, row, primary),
    }


def _says(part: Exhibit, row: Row, primary: str) -> list[str]:
    """What the plot of trade-offs tells beyond the numbers."""
    key, lines = row.configuration_id, []
    if (found := part.study.versus.get(key)) is not None:
        gap = f"{standing.signed(found.difference, primary)} against the best"
        lines.append(f"{gap}: {'tied' if found.tied else 'told apart' if found.apart else 'worse, not beyond doubt'}")
        lines += filter(None, [standing.remedy(found)])
    if key in part.tradeoffs.front:
        lines.append("★ nothing beats it in everything")
    if (by := part.tradeoffs.dominated_by.get(key)) is not None:
        lines.append(f"dominated by {part.label(by)}")
    return [one_line(each, 160) for each in lines]


def _tests(reading: Reading) -> dict[str, Any]:
    counts = {key: tested.confusion(found) for key, found in reading.evaluations.items()}
    k = len(reading.classes)
    whole = list(reading.evaluations.items())
    return {
        "confusions": _confusions(counts),
        "order": ordering.clustered(list(counts.values())) if k > NUMBERS and counts else [],
        "calibration": {key: tested.calibration(found) for key, found in whole},
        "perClass": {key: tested.per_class(found) for key, found in whole[: max(1, CLASS_ROWS // max(1, k))]},
        "support": [each.support for each in whole[0][1][0].per_class] if whole else [],
        "roc": _rocs(whole, k),
    }


def _confusions(counts: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, list[int]]:
    """As many as there is room for, the best first."""
    kept: dict[str, list[int]] = {}
    room = CONFUSION_NUMBERS
    for key, each in counts.items():
        room -= 2 * int(np.count_nonzero(each))
        if len(kept) < 2 or room >= 0:
            kept[key] = tested.sparse(each)
    return kept


def _rocs(whole: Sequence[tuple[str, Any]], k: int) -> dict[str, dict[str, list[int]]]:
    """The macro averages of all rows; the classes' curves of as many rows as there is room for."""
    detailed = CURVES // max(1, k)
    found: dict[str, dict[str, list[int]]] = {}
    for place, (key, evaluations) in enumerate(whole):
        lines = tested.roc(evaluations)
        found[key] = {str(c): line for c, line in lines.items() if c == tested.MACRO or place < detailed}
    return {key: lines for key, lines in found.items() if lines}


def _gallery(part: Exhibit, chosen: gallery.Gallery, thumbnails: Thumbnails) -> dict[str, Any] | None:
    if not chosen.answers:
        return None
    pictures = gallery.pictures(chosen, part.table.data.digest, thumbnails)
    return gallery.document(chosen, pictures)
