"""``python -m benchmark``."""

import sys

try:
    from benchmark.cli import entry
except ModuleNotFoundError as missing:
    sys.stderr.write(f"{missing.name} is not installed: `make benchmark` or `pip install .` installs what is needed\n")
    sys.exit(3)

entry()
