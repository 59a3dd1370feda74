"""What runs cost that have machines of their own: the price of an hour, the forecast in dollars, the budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from benchmark.budget import Budget
from benchmark.config.experiment import LaunchSettings
from benchmark.estimate import Estimate, dollars, estimate
from benchmark.forecast import Forecast
from benchmark.packing import Packing
from benchmark.plan import Plan
from benchmark.preparing import UsageProblem
from benchmark.prices import Prices
from benchmark.run import Run
from benchmark.rundir import RunDir


def hourly(launch: LaunchSettings, prices: Prices, run: Run) -> float | None:
    """Dollars that an hour of the instances of one training job costs; ``None`` where that is not known."""
    price = prices.price(run.instance_type or launch.aws.instance_type)
    return None if price is None else price * launch.hosts


def expected(
    launch: LaunchSettings, todo: Sequence[Run], forecast: Forecast, workers: int, *, remote: bool
) -> Estimate | None:
    """How long ``todo`` will take with so many at a time, and what it will cost."""
    if not remote:
        return estimate(todo, forecast, workers, launch.price_per_hour)
    price = partial(hourly, launch, Prices.shipped(launch.aws.prices))
    startup = Packing(launch, todo, forecast).startup_seconds
    found, cost = estimate(todo, forecast, workers), dollars(todo, forecast, price, startup)
    return found and replace(found, dollars=cost, unpriced=cost is None)


def budget(plan: Plan, todo: Sequence[Run], forecast: Forecast, *, remote: bool) -> Budget:
    """What the experiment has cost, and may cost.

    Raises:
        UsageProblem: what is to run would exceed it, or has no price.
    """
    launch = plan.experiment.launch
    prices = Prices.shipped(launch.aws.prices)
    if not remote:
        return Budget()
    aws = launch.aws
    startup = Packing(launch, todo, forecast).startup_seconds
    found = Budget(prices, forecast, partial(hourly, launch, prices), aws.budget_usd, startup)
    for run in plan.runs:
        found.costs(RunDir(plan.directory / "runs" / run.run_id))
    if found.limit is not None and todo:
        _check_budget(found, found.limit, todo, launch)
    return found


def _check_budget(found: Budget, limit: float, todo: Sequence[Run], launch: LaunchSettings) -> None:
    for run in todo:
        if found.hourly(run) is None:
            kind = run.instance_type or launch.aws.instance_type
            raise UsageProblem(
                f"aws: budget_usd needs a price, and that of {kind} is not known: write aws: {{prices: {{{kind}: …}}}}"
            )
    expected = found.expected(todo)
    if found.spent + expected > limit:
        raise UsageProblem(
            f"${found.spent:,.2f} are spent, and these {len(todo)} runs will cost about ${expected:,.2f}: more than "
            f"the budget of ${limit:,.2f} (aws: budget_usd); run fewer (--limit, --only), or raise it"
        )
