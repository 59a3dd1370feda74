"""Trials that Optuna chooses by the results of earlier ones, by its tree-structured Parzen estimator (Bergstra et al.
2011, https://papers.nips.cc/paper/4443).

Each choice is a function of the trials, their values and a seed; Optuna keeps nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from benchmark.config.sampling import Shares

if TYPE_CHECKING:
    from benchmark.config.space import Space

MISSING = (
    "search: {strategy: optuna} needs Optuna: `pip install 'torch-image-benchmark[optuna]'`, or in a clone "
    "`pip install --constraint constraints.txt '.[optuna]'`"
)
VAIN = 100
"""Choices in a row that have all been tried already: then there is hardly another."""


def is_installed() -> bool:
    return importlib.util.find_spec("optuna") is not None


def propose(
    space: Space, values: Mapping[Shares, float | None], count: int, fits: Callable[[Shares], bool] = lambda _: True
) -> list[Shares]:
    """So many further trials, fewer where there are no more.

    Args:
        values: of all trials so far, in their order, the larger the better; ``None`` where there is none.
        fits: whether a trial can be trained; others are passed over.

    Raises:
        ImportError: Optuna is not installed.
    """
    return list(itertools.islice(_new(space, values, fits), count))


def _new(space: Space, values: Mapping[Shares, float | None], fits: Callable[[Shares], bool]) -> Iterator[Shares]:
    import optuna
    from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
    from optuna.trial import TrialState, create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=_seed(space), n_startup_trials=1, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions: dict[str, BaseDistribution] = {
        name: FloatDistribution(0.0, 1.0) if rows is None else CategoricalDistribution(range(rows))
        for name, rows in space.kinds.items()
    }
    for shares, value in values.items():
        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        params = dict(zip(distributions, _parameters(space, shares), strict=True))
        study.add_trial(create_trial(state=state, value=value, params=params, distributions=distributions))
    seen, vain = {space.same(shares) for shares in space.tried}, 0
    while vain < VAIN:
        asked = study.ask(distributions)
        shares = tuple(_share(asked.params[name], rows) for name, rows in space.kinds.items())
        vain += 1
        if (identity := space.same(shares)) in seen:
            continue
        seen.add(identity)
        if fits(shares):
            vain = 0
            yield shares
        else:
            study.tell(asked, state=TrialState.FAIL)


def _seed(space: Space) -> int:
    """Another one for each batch."""
    text = f"{space.sampling.seed}/{len(space.tried)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _parameters(space: Space, shares: Shares) -> Sequence[Any]:
    pairs = zip(shares, space.kinds.values(), strict=True)
    return [share if rows is None else int(share * rows) for share, rows in pairs]


def _share(value: float, rows: int | None) -> float:
    return min(value, 1 - 2**-48) if rows is None else (value + 0.5) / rows
