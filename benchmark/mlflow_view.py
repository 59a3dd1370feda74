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

COLUMNS = ("test/accuracy", "test/f1_macro", "test/log_loss", "cost/train_seconds", "model/parameters")
BARS = ("test/accuracy", "test/f1_macro", "test/log_loss")
CURVES = ("val/accuracy", "val/log_loss", "train/loss", "train/accuracy")
RUNS_SHOWN = 20
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
        "runsHiddenMode": "FIRST_20_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": True,
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "groupBy": None,
        "groupsExpanded": {},
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        "compareRunCharts": _charts(names, primary),
        "compareRunSections": [_section("results", "Results"), _section("curves", "Learning curves")],
    }


def _width(column: str) -> int:
    """Pixels that show a column's whole title; a model's name is longer than its title."""
    title = column.split("`")[1]
    return 170 if title == "model" else max(90, 8 * len(title) + 30)


def _charts(names: tuple[str, ...], primary: str) -> list[Chart]:
    bars = [_bar(name) for name in dict.fromkeys((primary, *BARS))]
    cost = _scatter("cost/train_seconds", primary)
    parallel = [_parallel(names, primary)] if len(names) > 1 else []
    return [*bars, cost, *parallel, *(_line(name) for name in CURVES)]


def _chart(kind: str, section: str, name: str) -> Chart:
    return {
        "uuid": f"{kind.lower()}-{name}",
        "type": kind,
        "runsCountToCompare": RUNS_SHOWN,
        "metricSectionId": section,
        "deleted": False,
        "isGenerated": False,
    }


def _bar(metric: str) -> Chart:
    return {**_chart("BAR", "results", metric), "metricKey": metric}


def _scatter(cost: str, metric: str) -> Chart:
    axes = {"xaxis": {"key": cost, "type": "METRIC"}, "yaxis": {"key": metric, "type": "METRIC"}}
    return {**_chart("SCATTER", "results", f"{metric}-{cost}"), **axes}


def _parallel(names: tuple[str, ...], metric: str) -> Chart:
    axes = {"selectedParams": list(names), "selectedMetrics": [metric], "showAllRuns": False}
    return {**_chart("PARALLEL", "results", metric), **axes}


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


def _section(identity: str, name: str) -> dict[str, Any]:
    flags = {"display": True, "isReordered": False, "deleted": False, "isGenerated": False}
    return {"uuid": identity, "name": name, **flags}
