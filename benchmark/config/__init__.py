"""The YAML file: text -> checked :class:`Experiment` -> runs, or every error at once with its place."""

from benchmark.config.experiment import Cell, Experiment, LaunchSettings, ReportSettings, TrackingSettings
from benchmark.config.problems import ConfigError, Mark, Problem
from benchmark.config.reading import load, parse
from benchmark.config.resolved import resolved_yaml
from benchmark.config.selection import Selection, selection

__all__ = [
    "Cell",
    "ConfigError",
    "Experiment",
    "LaunchSettings",
    "Mark",
    "Problem",
    "ReportSettings",
    "Selection",
    "TrackingSettings",
    "load",
    "parse",
    "resolved_yaml",
    "selection",
]
