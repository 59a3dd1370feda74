"""Whether the leaderboard's statistics keep their word, by simulated experiments of which the truth is known.

    python perf/coverage.py                          everything, some minutes
    python perf/coverage.py --experiments 200 --json coverage.json

An experiment has one to five seeds and 400 test images of three classes.  A network's log-odds of the right class are a
margin, plus an effect of its seed, plus one of the image (an image is hard for every network), plus noise; the standard
deviations of the first two are set separately.  Asked are

- *coverage*: how often the 95% interval holds the true value, for accuracy, F1, AUC and log loss (limit: 93 to 97%, and
  as much as the number of experiments leaves to chance).  With one seed the truth is that of this very network, with
  several the mean over all seeds.  Beside it that of a two-level bootstrap: seeds and images drawn with replacement;
- *false claims*: how often a table of configurations that are all equal tells any of them from the best (at most 5%),
  and how often McNemar's test over the images of all seeds together would;
- *power*: how often a better one is told from a worse one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import numpy.typing as npt

from benchmark.records import Predictions
from reports.influence import image_values
from reports.statistics import LEVEL, Sampled, difference, discordant, holm, interval

Floats = npt.NDArray[np.float64]
IMAGES, CLASSES, MARGIN = 400, 3, 2.0
SEEDS, SEED_SD, IMAGE_SD = (1, 2, 3, 5), (0.0, 0.15, 0.5), (0.5, 2.0)
METRICS = {"accuracy": "fraction", "f1_macro": "fraction", "roc_auc_macro": "fraction", "log_loss": "positive"}
LEAST, MOST = 0.93, 0.97
REPLICATES = 400


@dataclass(frozen=True)
class World:
    """How much seeds and images differ."""

    seed_sd: float
    image_sd: float
    margin: float = MARGIN

    def images(self, random: np.random.Generator, n: int = IMAGES) -> tuple[npt.NDArray[np.int64], Floats]:
        """Labels and hardness."""
        return random.integers(0, CLASSES, n), random.normal(0, self.image_sd, n)

    def network(self, random: np.random.Generator, labels: Any, hardness: Floats, seed: float) -> Predictions:
        """What one network says of the images; ``seed`` is its seed's effect."""
        logits = random.normal(0, 1.0, (len(labels), CLASSES))
        logits[np.arange(len(labels)), labels] += self.margin + seed + hardness
        log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return Predictions(np.arange(len(labels)).astype(str), labels, log_probs.astype(np.float32))

    def effects(self, random: np.random.Generator, seeds: int) -> Floats:
        return random.normal(0, self.seed_sd, seeds)


class Truth:
    """The metrics of a network that has seen every image, by its seed's effect; and their means over all seeds."""

    def __init__(self, world: World, random: np.random.Generator, n: int = 200_000) -> None:
        labels, hardness = world.images(random, n)
        self._grid = np.linspace(-4, 4, 21) * max(world.seed_sd, 1e-9)
        found = [world.network(random, labels, hardness, float(each)) for each in self._grid]
        self._values = {name: np.array([_mean(name, each) for each in found]) for name in METRICS}
        nodes, weights = np.polynomial.hermite_e.hermegauss(15)
        self._nodes, self._weights = nodes * world.seed_sd, weights / weights.sum()

    def of(self, name: str, effect: float) -> float:
        return float(np.polyval(self._fit(name), effect))

    def mean(self, name: str) -> float:
        return float(self._weights @ np.polyval(self._fit(name), self._nodes))

    def _fit(self, name: str) -> Floats:
        """A polynomial, which smooths the noise of so many images away."""
        return np.polyfit(self._grid, self._values[name], 8 if np.ptp(self._grid) > 1e-6 else 0)


def main() -> int:
    """Prints the tables; 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--only", nargs="+", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    arguments = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {}
    for name in arguments.only:
        rows = found[name] = []
        for row in TABLES[name](arguments.experiments, arguments.seeds, np.random.default_rng(arguments.seed)):
            rows.append(row)
            print(f"{name}: {', '.join(f'{key} {value}' for key, value in row.items())}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))
    return 0 if is_kept(found, arguments.experiments) else 1


def is_kept(found: dict[str, list[dict[str, Any]]], experiments: int) -> bool:
    """Limits are widened by three standard errors of so many experiments."""
    luck = 3 * math.sqrt(0.05 * 0.95 / experiments)
    shares = [row[name] for row in found.get("coverage", []) for name in METRICS]
    claims = [row["ours"] for row in found.get("false claims", [])]
    return all(LEAST - luck <= each <= MOST + luck for each in shares) and all(each <= LEVEL + luck for each in claims)


def coverage(experiments: int, seeds: Sequence[int], random: np.random.Generator) -> Iterator[dict[str, Any]]:
    for seed_sd, image_sd in product(SEED_SD, IMAGE_SD):
        world = World(seed_sd, image_sd)
        truth = Truth(world, random)
        for number in seeds:
            held = dict.fromkeys([*METRICS, "bootstrap of accuracy"], 0)
            for _ in range(experiments):
                effects, runs = _experiment(world, number, random)
                for name, scale in METRICS.items():
                    true = truth.mean(name) if number > 1 else truth.of(name, effects[0])
                    values = np.stack([_values(name, each) for each in runs])
                    low, high = interval(Sampled.of(values), scale)  # type: ignore[arg-type]
                    held[name] += low <= true <= high
                    if name == "accuracy":
                        low, high = _bootstrap(values, random)
                        held["bootstrap of accuracy"] += low <= true <= high
            shares = {name: round(count / experiments, 4) for name, count in held.items()}
            yield {"seeds": number, "seed sd": seed_sd, "image sd": image_sd, **shares}


def false_claims(experiments: int, seeds: Sequence[int], random: np.random.Generator) -> Iterator[dict[str, Any]]:
    for configurations, number in product((2, 9), seeds):
        world = World(0.15 if number > 1 else 0.0, 2.0)
        told = {"ours": 0, "McNemar over all seeds": 0}
        for _ in range(experiments):
            labels, hardness = world.images(random)
            values = [_accuracy(world, number, labels, hardness, random) for _ in range(configurations)]
            told["ours"] += _tells(values)
            told["McNemar over all seeds"] += _tells(values, pooled=True)
        yield {"configurations": configurations, "seeds": number} | {
            name: round(count / experiments, 4) for name, count in told.items()
        }


def power(experiments: int, seeds: Sequence[int], random: np.random.Generator) -> Iterator[dict[str, Any]]:
    for margin, number in product((0.3, 0.6), seeds):
        worse, better = World(0.15, 2.0), World(0.15, 2.0, MARGIN + margin)
        gap = Truth(better, random, 40_000).mean("accuracy") - Truth(worse, random, 40_000).mean("accuracy")
        told = 0
        for _ in range(experiments):
            labels, hardness = worse.images(random)
            told += _tells([_accuracy(world, number, labels, hardness, random) for world in (worse, better)])
        yield {"points better": round(100 * gap, 1), "seeds": number, "told": round(told / experiments, 4)}


def _experiment(world: World, seeds: int, random: np.random.Generator) -> tuple[Floats, list[Predictions]]:
    (labels, hardness), effects = world.images(random), world.effects(random, seeds)
    return effects, [world.network(random, labels, hardness, float(each)) for each in effects]


def _accuracy(world: World, seeds: int, labels: Any, hardness: Floats, random: np.random.Generator) -> Floats:
    runs = [world.network(random, labels, hardness, float(each)) for each in world.effects(random, seeds)]
    return np.stack([_values("accuracy", each) for each in runs])


def _tells(values: Sequence[Floats], *, pooled: bool = False) -> bool:
    """Whether any configuration is told from the one with the best mean."""
    best = int(np.argmax([each.mean() for each in values]))
    pairs = list(combinations(range(len(values)), 2))
    test: Callable[[Floats, Floats], float] = _mcnemar if pooled or len(values[0]) == 1 else _paired
    adjusted = holm([test(values[a], values[b]) for a, b in pairs])
    return any(p < LEVEL for pair, p in zip(pairs, adjusted, strict=True) if best in pair)


def _paired(first: Floats, second: Floats) -> float:
    return difference(Sampled.of(first), Sampled.of(second)).p


def _mcnemar(first: Floats, second: Floats) -> float:
    return discordant(int((first < second).sum()), int((first > second).sum()))


def _bootstrap(values: Floats, random: np.random.Generator) -> tuple[float, float]:
    """The percentiles of means over seeds and images that are both drawn with replacement."""
    seeds, n = values.shape
    rows = random.multinomial(seeds, [1 / seeds] * seeds, REPLICATES) / seeds
    columns = random.multinomial(n, [1 / n] * n, REPLICATES) / n
    low, high = np.percentile(np.einsum("bs,sn,bn->b", rows, values, columns, optimize=True), [2.5, 97.5])
    return float(low), float(high)


def _values(name: str, predictions: Predictions) -> Floats:
    found = image_values(name, predictions)
    assert found is not None
    return found


def _mean(name: str, predictions: Predictions) -> float:
    return float(_values(name, predictions).mean())


TABLES = {"coverage": coverage, "false claims": false_claims, "power": power}


if __name__ == "__main__":
    sys.exit(main())
