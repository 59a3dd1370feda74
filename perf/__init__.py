"""Performance benchmarks: each prints both sides of a ratio, measured in one run."""
