"""The preset view of an experiment's page in MLflow: columns, order, charts.

MLflow keeps a shared view as an experiment tag ``mlflow.sharedViewState.<key>`` holding JSON.  The format is not
documented; it was read from MLflow 3.17's pages and is tested in a browser.  Pure: MLflow is not imported.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmark.metric_names import METRICS
from benchmark.mlflow_record import KIND, params
from benchmark.run import Run

COSTS = ("cost/train_seconds", "speed/latency_ms_p50", "model/parameters")
COLUMNS = ("test/accuracy", "test/f1_macro", "test/log_loss", *COSTS)
BARS = ("test/accuracy", "test/f1_macro", "test/log_loss")
CURVES = ("val/accuracy", "val/log_loss", "train/loss", "train/accuracy")
PARALLEL = ("cost/train_seconds", "test/log_loss")
"""Beside what varies and the primary metric, which is the last axis: its colour is that of the lines."""
SECTIONS = (
    ("results", "Results", 3),
    ("tradeoffs", "Quality against cost", 3),
    ("settings", "Hyperparameters and what came of them", 1),
    ("curves", "Learning curves", 2),
)
"""Identity, title, charts in a line."""
MANY = 60
"""Up to so many runs the charts show all, since the cheap ones, which are seldom among the best, belong into a picture
of trade-offs; of more they show the best :data:`FEW`, which can be told apart."""
FEW = 20
CARD_HEIGHT = 400
"""Pixels, most of the legend's included."""
Chart = dict[str, Any]


def link(experiment_id: str, key: str) -> str:
    """The page with the view ``key``, after the server's address; the charts are one click away."""
    query = f"workflowType=machine_learning&viewStateShareKey={key}&compareRunsMode=TABLE"
    return f"#/experiments/{experiment_id}/runs?{query}"


def varying(runs: Sequence[Run]) -> tuple[str, ...]:
    """The model, and the parameters that differ between runs of the same model, in the order of the run's keys: those
    that tell runs apart.  What each model has for itself would push the metrics out of sight."""
    tables = [params(run) for run in runs]
    values: dict[str, dict[str, set[str | None]]] = {}
    for name in dict.fromkeys(name for table in tables for name in table):
        for table in tables:
            values.setdefault(name, {}).setdefault(table["model"], set()).add(table.get(name))
    changing = (name for name, models in values.items() if any(len(each) > 1 for each in models.values()))
    return ("model", *(name for name in changing if name not in {"model", "data_digest"}))


def state(runs: Sequence[Run], primary: str) -> dict[str, Any]:
    """The view: a table sorted by ``primary`` with what varies and what counts, and charts.

    Args:
        runs: the experiment's runs; what differs between them becomes columns.
        primary: the metric to sort by, such as ``test/accuracy``.
    """
    names = varying(runs)
    metrics = tuple(dict.fromkeys((primary, *COLUMNS)))
    columns = [f"params.`{name}`" for name in names] + [f"metrics.`{name}`" for name in metrics]
    return {
        "searchFilter": f"tags.`{KIND}` = 'run'",
        "orderByKey": f"metrics.`{primary}`",
        "orderByAsc": primary in METRICS and METRICS[primary].better == "lower",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {column: _width(column) for column in columns},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "SHOWALL" if len(runs) <= MANY else "FIRST_20_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "compareRunCharts": _charts(names, primary, len(runs)),
        "compareRunSections": [_section(*each) for each in SECTIONS],
    }


def _width(column: str) -> int:
    """Pixels that show a column's whole title; a model's name is longer than its title."""
    title = column.split("`")[1]
    return 170 if title == "model" else max(90, 8 * len(title) + 30)


def _charts(names: tuple[str, ...], primary: str, count: int) -> list[Chart]:
    bars = [_bar(name) for name in dict.fromkeys((primary, *BARS))]
    costs = [_scatter(cost, primary) for cost in COSTS if cost != primary]
    charts = [*bars, *costs, _parallel(names, primary), *(_line(name) for name in CURVES)]
    return [{**each, "runsCountToCompare": count if count <= MANY else FEW} for each in charts]


def _chart(kind: str, section: str, name: str) -> Chart:
    return {
        "uuid": f"{kind.lower()}-{name}",
        "type": kind,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
    }


def _bar(metric: str) -> Chart:
    return {**_chart("BAR", "results", metric), "metricKey": metric}


def _scatter(cost: str, metric: str) -> Chart:
    axes = {"xaxis": {"key": cost, "type": "METRIC"}, "yaxis": {"key": metric, "type": "METRIC"}}
    return {**_chart("SCATTER", "tradeoffs", f"{metric}-{cost}"), **axes}


def _parallel(names: tuple[str, ...], metric: str) -> Chart:
    """``names`` has the model at least, and there are always metrics: never an axis alone."""
    metrics = [*(each for each in PARALLEL if each != metric), metric]
    params = [each for each in names if each != "seed"]
    axes = {"selectedParams": params, "selectedMetrics": metrics, "showAllRuns": False}
    return {**_chart("PARALLEL", "settings", metric), **axes}


def _line(metric: str) -> Chart:
    return {
        **_chart("LINE", "curves", metric),
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "ignoreOutliers": False,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
    }


def _section(identity: str, name: str, columns: int) -> dict[str, Any]:
    flags = {"display": True, "isReordered": False, "deleted": False, "isGenerated": False}
    return {"uuid": identity, "name": name, "columns": columns, "cardHeight": CARD_HEIGHT, **flags}
