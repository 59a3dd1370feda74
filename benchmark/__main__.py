"""``python -m benchmark``."""

from benchmark.cli import entry

entry()
