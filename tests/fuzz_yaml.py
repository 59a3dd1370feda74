"""Reads so many texts made by chance as experiments' files: `python tests/fuzz_yaml.py --texts 1000000 --seed 1`.

Hypothesis makes them, from a seed, as the tests do (`yaml_support.py`); parts with different seeds add up.  Prints a
tally as JSON; exit code 1 where a text gave anything but an experiment or an error with words, or took over a second.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.yaml_support import DOCUMENTS, RAW, changed, read

SECONDS = 1.0
BATCH = 2_000
"""Examples for each seed of hypothesis, which slows down with very many."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    tally = {"seed": arguments.seed, **empty()}
    started, part = time.monotonic(), 0
    while tally["texts"] < arguments.texts:
        batch(tally, arguments.seed * 1_000_000 + part)
        part += 1
    tally["seconds"] = round(time.monotonic() - started)
    tally["peak_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    print(json.dumps(tally, indent=1))
    sys.exit(bool(tally["violations"]))


def empty() -> dict:
    return {"texts": 0, "read": 0, "violations": [], "slowest": 0.0}


def batch(tally: dict, number: int, examples: int = BATCH) -> None:
    """Three quarters of the texts are unstructured: most of what a parser trips over is short."""
    rules = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )

    @seed(number)
    @settings(rules, max_examples=examples // 3)
    @given(DOCUMENTS)
    def structured(parts) -> None:
        for text in changed(*parts):
            look(tally, text)

    @seed(number)
    @settings(rules)
    @given(RAW)
    def unstructured(texts) -> None:
        for text in texts:
            look(tally, text)

    structured()
    unstructured()


def look(tally: dict, text: str | bytes) -> None:
    started = time.process_time()
    try:
        tally["read"] += read(text)
    except Exception as error:
        tally["violations"].append(f"{type(error).__name__}: {error}: {text!r}")
    took = time.process_time() - started
    tally["texts"] += 1
    tally["slowest"] = max(tally["slowest"], round(took, 3))
    if took > SECONDS:
        tally["violations"].append(f"{took:.1f} s: {text!r}")


if __name__ == "__main__":
    main()
