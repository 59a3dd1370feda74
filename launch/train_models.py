"""The entry script of every job, in every mode: ``python train_models.py`` under SageMaker's environment variables.

Where several runs share a job, it is the script of the job and, without that variable, of each of its runs.
"""

import os
import sys
from pathlib import Path

# Run as a script, Python puts this folder first on the path, where `local.py` and others could shadow libraries.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

if os.environ.get("BENCHMARK_PACK"):
    from benchmark.training.pack import main  # it imports no torch: only its runs need the memory
else:
    from benchmark.training.job import main

if __name__ == "__main__":
    sys.exit(main())
