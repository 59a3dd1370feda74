"""A comparison for a terminal, for programs, and its flipped images as a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len

from reports.answers import Answers, Flip
from reports.changed import Change, largest
from reports.comparison import Comparison, Side, Verdict
from reports.metrics import metric
from reports.settings import ABSENT, write
from reports.standing import signed
from reports.study import Interval
from reports.text import cell, one_line
from reports.values import all_metrics

CHANGES, FLIPS = 8, 5
"""Confusions, and images of each direction, that a terminal shows."""
WIDEST = 44
"""Characters of a cell."""


def lines(found: Comparison) -> list[str]:
    """For people."""
    data = found.first.table.data
    n = len(found.answers[0].ids) if found.answers else data.sizes.get(found.primary.partition("/")[0])
    parts = [
        [f"A: {_side(found.first)}", f"B: {_side(found.second)}"],
        [f"{one_line(data.label)}{f', {n:,} images' if n else ''}; A − B is the first less the second"],
        _settings(found),
        _metrics(found),
        [sentence(found)],
        _changes(found),
        _flips(found),
        [*notes(found), *(f"⚠ {one_line(each)}." for each in found.troubles)],
    ]
    return [line for part in parts if part for line in (*part, "")][:-1]


def sentence(found: Comparison) -> str:
    """Which is better, or what would tell."""
    verdict = found.verdict
    if verdict is None:
        return f"No difference can be tested: {metric(found.primary).words} of one of the two is not known well enough."
    names = {"first": f"A ({found.first.label})", "second": f"B ({found.second.label})", None: ""}
    means = [_mean(side, verdict.metric) for side in (found.first, found.second)]
    told = f"{metric(verdict.metric).words} {means[0]} against {means[1]}, {_difference(verdict)}"
    why = f"{told}, {p_words(verdict.p)}, {verdict.test}"
    if verdict.better:
        return f"{one_line(names[verdict.better])} is better: {why}."
    return f"No difference shown: {why}{_remedy(verdict)}."


def notes(found: Comparison) -> list[str]:
    """What the tests do not say."""
    if not found.verdicts:
        return []
    lines = ["p is of this pair and this metric alone; a star on the leaderboard is corrected for all its pairs."]
    if found.first.row.n_seeds == found.second.row.n_seeds == 1:
        lines.append("With one seed each, these very networks are compared: another seed may turn it round.")
    return lines


def p_words(p: float) -> str:
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def document(found: Comparison) -> dict[str, Any]:
    """For programs: ``settings``, ``metrics``, ``verdict``, ``confusion`` and ``flips`` of both sides."""
    return {
        "first": _side_document(found.first),
        "second": _side_document(found.second),
        "data": found.first.table.data.label,
        "data_digest": found.first.table.data.digest,
        "primary": found.primary,
        "settings": {key: list(pair) for key, pair in found.settings.items()},
        "made_with": {key: list(pair) for key, pair in found.made_with.items()},
        "metrics": {name: _metric_document(found, name) for name in found.metrics},
        "better": found.verdict.better if found.verdict else None,
        "sentence": sentence(found),
        "notes": notes(found),
        "confusion": [
            {**vars(each), "true": found.classes[each.true], "predicted": found.classes[each.predicted]}
            for each in _largest(found, CHANGES)
        ],
        "flips": _flips_document(found),
        "troubles": list(found.troubles),
    }


def flips_text(found: Comparison) -> str:
    """Every flipped image as CSV; cells that a spreadsheet would take for a formula begin with an apostrophe."""
    buffer = io.StringIO()
    head = ["id", "true", "A", "B", "right in", "A seeds right", "B seeds right", "A certainty", "B certainty"]
    writer = csv.writer(buffer)
    writer.writerow(head)
    for each in found.flips or ():
        names = [cell(found.classes[index]) for index in (each.true, each.first, each.second)]
        numbers = [each.first_right, each.second_right, each.first_certainty, each.second_certainty]
        writer.writerow([cell(each.id), *names, "A" if each.first == each.true else "B", *numbers])
    return buffer.getvalue()


def _side(side: Side) -> str:
    runs = ", ".join(entry.run.run_id[:6] for entry in side.row.done)
    n, planned = side.row.n_seeds, side.row.planned_seeds
    of = f" of {planned} planned" if n < planned else ""
    return f"{one_line(side.label)} ({n} seed{'s' * (n != 1)}{of}: {runs})"


def _settings(found: Comparison) -> list[str]:
    rows = [
        [one_line(key), *(one_line(write(value), WIDEST) for value in pair)] for key, pair in found.settings.items()
    ]
    made = [[name, *(one_line(each, WIDEST) for each in pair)] for name, pair in found.made_with.items()]
    if not rows and not made:
        return ["No setting differs."]
    return _columns([["what differs", "A", "B"], *rows, *made], "lll")


def _metrics(found: Comparison) -> list[str]:
    rows = [["", "A", "B", "A − B", "95% interval", "p", "better"]]
    rows += [
        [metric(name).heading, _value(found, 0, name), _value(found, 1, name), *_told(found.verdicts.get(name))]
        for name in found.metrics
    ]
    return _columns(rows, "lllrrrl")


def _value(found: Comparison, side: int, name: str) -> str:
    """``93.4 (93.1–93.7)``."""
    aggregate = (found.first, found.second)[side].row.metrics.get(name)
    if aggregate is None or aggregate.mean is None:
        return ABSENT
    known, interval = metric(name).write, found.intervals[side].get(name)
    text = known(aggregate.mean)
    return f"{text} ({known(interval.low)}–{known(interval.high)})" if interval else text


def _told(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return ["", "", "", ""]
    better = {"first": "A", "second": "B", None: "not told apart"}[verdict.better]
    ends = f"{signed(verdict.low, verdict.metric)} to {signed(verdict.high, verdict.metric)}"
    return [signed(verdict.difference, verdict.metric), ends, p_words(verdict.p).removeprefix("p = ")[-8:], better]


def _difference(verdict: Verdict) -> str:
    points = " points" if metric(verdict.metric).points else ""
    write = (signed(each, verdict.metric) for each in (verdict.difference, verdict.low, verdict.high))
    value, low, high = write
    return f"{value}{points} (95% interval {low} to {high})"


def _mean(side: Side, name: str) -> str:
    mean = side.row.mean(name)
    return ABSENT if mean is None else f"{metric(name).write(mean)}{metric(name).unit}"


def _remedy(verdict: Verdict) -> str:
    if verdict.more_seeds:
        return f"; about {verdict.more_seeds:,} more seed{'s' * (verdict.more_seeds > 1)} each would tell them apart"
    if verdict.more_images:
        return f"; only more test images would tell them apart, about {verdict.more_images:,} more"
    return ""


def _changes(found: Comparison) -> list[str]:
    rows = [
        [f"{_name(found, each.true)} → {_name(found, each.predicted)}", *map(_rate, (each.first, each.second)),
         signed(each.difference, "test/accuracy")]
        for each in _largest(found, CHANGES)
    ]  # fmt: skip
    return _columns([["true → predicted, % of the true class", "A", "B", "A − B"], *rows], "lrrr") if rows else []


def _largest(found: Comparison, number: int) -> list[Change]:
    return largest(*found.answers, number) if found.answers else []


def _flips(found: Comparison) -> list[str]:
    if found.answers is None or found.flips is None:
        return []
    first, second = found.answers
    seeds = max(first.seeds, second.seeds)
    how = "" if seeds == 1 else " (an answer is that of most seeds)"
    lost, gained = len(found.flips.lost), len(found.flips.gained)
    head = f"{lost:,} images are right in A and wrong in B, {gained:,} the other way{how}:"
    if not lost + gained:
        return [f"No image is right in one and wrong in the other{how}."]
    shown = [*found.flips.lost[:FLIPS], *found.flips.gained[:FLIPS]]
    titles = ["image", "true", "A", "B", *(["right in seeds of A, B"] if seeds > 1 else [])]
    return [head, *_columns([titles, *(_flip(found, each, (first, second)) for each in shown)], "lllll")]


def _flip(found: Comparison, each: Flip, answers: Sequence[Answers]) -> list[str]:
    names = [_name(found, index) for index in (each.true, each.first, each.second)]
    votes = [f"{each.first_right}/{answers[0].seeds}, {each.second_right}/{answers[1].seeds}"]
    return [one_line(each.id, WIDEST), *names, *(votes if max(a.seeds for a in answers) > 1 else [])]


def _name(found: Comparison, index: int) -> str:
    return one_line(found.classes[index], 24)


def _rate(rate: float) -> str:
    return f"{rate * 100:.1f}"


def _columns(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Padded to their widths on a terminal, wide characters counting twice."""
    widths = [max(cell_len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [_padded(row, widths, align) for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int], align: str) -> str:
    cells = []
    for text, width, side in zip(row, widths, align, strict=False):
        space = " " * (width - cell_len(text))
        cells.append(space + text if side == "r" else text + space)
    return f"  {'   '.join(cells)}".rstrip()


def _side_document(side: Side) -> dict[str, Any]:
    runs = [{"run_id": each.run.run_id, "seed": each.run.seed} for each in side.row.done]
    return {"label": side.label, "configuration_id": side.row.configuration_id, "runs": runs}


def _metric_document(found: Comparison, name: str) -> dict[str, Any]:
    verdict = found.verdicts.get(name)
    first = _values(found.first, found.intervals[0].get(name), name)
    second = _values(found.second, found.intervals[1].get(name), name)
    return {"first": first, "second": second, "versus": vars(verdict) if verdict else None}


def _values(side: Side, interval: Interval | None, name: str) -> dict[str, Any]:
    values = [all_metrics(each.result, each.profile).get(name) for each in side.row.done]
    return {"values": values, "mean": side.row.mean(name), "interval": vars(interval) if interval else None}


def _flips_document(found: Comparison) -> dict[str, Any] | None:
    if found.flips is None:
        return None
    sides = {"first_only": found.flips.lost, "second_only": found.flips.gained}
    named = {key: [_named(found, each) for each in flips[:FLIPS]] for key, flips in sides.items()}
    return {**{f"{key}_count": len(flips) for key, flips in sides.items()}, **named}


def _named(found: Comparison, each: Flip) -> dict[str, Any]:
    return {**vars(each), **{key: found.classes[getattr(each, key)] for key in ("true", "first", "second")}}
