"""The runs of `perf/naive.py` as a loop of joblib's: each of its processes imports everything once, for several runs.

python perf/by_joblib.py WORKERS DATA EPOCHS OUTPUT MLFLOW_URI SEED...
"""

from __future__ import annotations

import sys
from pathlib import Path

from joblib import Parallel, delayed

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from perf import naive


def main() -> None:
    workers, data, epochs, output, uri, *seeds = sys.argv[1:]
    work = (delayed(naive.run)(Path(data), int(epochs), int(seed), Path(output) / seed, uri) for seed in seeds)
    Parallel(n_jobs=int(workers))(work)


if __name__ == "__main__":
    main()
