"""Ways to start an attempt at a run."""
