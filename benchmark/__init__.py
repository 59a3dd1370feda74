"""A benchmark harness for PyTorch image classification: one YAML matrix in, a leaderboard that can be believed out."""

__version__ = "0.1.0"
