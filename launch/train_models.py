"""The entry script of every job, in every mode: ``python train_models.py`` under SageMaker's environment variables."""

import sys
from pathlib import Path

# Run as a script, Python puts this folder first on the path, where `local.py` and others could shadow libraries.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmark.training.job import main  # noqa: E402 - the path comes first

if __name__ == "__main__":
    sys.exit(main())
