"""`reproduce RUN`: runs a finished run once more from its record, in a directory of its own, and compares.

Three verdicts: the same bits in every quality metric and prediction; other bits, but no more difference between the two
sets of predictions than chance would make (McNemar's exact test over the same test images, 5%); different.  The record
itself, the journal and MLflow stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import launch
from benchmark import outside
from benchmark.attempt import Active
from benchmark.config.experiment import LaunchSettings
from benchmark.data.telling import tell
from benchmark.planned import planned
from benchmark.preparing import Decoded, UsageProblem
from benchmark.records import Event, Failure, Predictions, Result
from benchmark.run import Run
from benchmark.rundir import RunDir
from reports.statistics import mcnemar

SECTIONS = ("train", "val", "test", "model")
"""Of metrics that do not depend on time or load."""
POLL_SECONDS = 0.1
SIGNIFICANCE = 0.05
Verdict = Literal["identical", "within noise", "different"]


@dataclass(frozen=True)
class Comparison:
    """``epoch`` is the first whose metrics differ; ``changed`` what differs between the two environments."""

    verdict: Verdict
    epoch: int | None
    disagreements: int
    images: int
    p_value: float
    changed: Mapping[str, tuple[object, object]]
    metrics: Mapping[str, tuple[float | None, float | None]]
    directory: Path

    @property
    def exit_code(self) -> int:
        return 1 if self.verdict == "different" else 0

    @property
    def lines(self) -> list[str]:
        """For people."""
        changed = [f"  {name}: {then} then, {now} now" for name, (then, now) in self.changed.items()]
        differing = [f"  {name}: {then} then, {now} now" for name, (then, now) in self.metrics.items() if then != now]
        found = {
            "identical": "bit-identical: every quality metric and every prediction is the same",
            "within noise": f"within noise: {self._predictions()}",
            "different": f"different: {self._predictions()}",
        }[self.verdict]
        since = [f"the first epoch that differs is {self.epoch}"] if self.epoch else []
        environment = ["what is different here:", *changed] if changed and self.verdict != "identical" else []
        return [found, *since, *differing[:10], *environment, f"files: {self.directory}"]

    @property
    def document(self) -> dict[str, Any]:
        return {**vars(self), "directory": str(self.directory)}

    def _predictions(self) -> str:
        share = f"{self.disagreements} of {self.images} test images are predicted otherwise"
        return f"{share} (McNemar's test: p = {self.p_value:.2g})"


def reproduce(
    name: str,
    path: Path | None,
    settings: Sequence[str],
    results: Path,
    say: Callable[[str], None],
    ask: Callable[[], object] = lambda: None,
) -> Comparison:
    """Runs again the run whose id begins with ``name``; ``say`` hears which that is, and ``ask`` whether it may cost
    money, where it does; it raises where not.

    Raises:
        ConfigError, DataError: what is wrong with the experiment.
        UsageProblem: there is no such run, it has no result, its data have changed, or it failed this time.
    """
    found = planned(path, settings, results)
    run = outside.run_named(found.plan, found.names, name)
    record = RunDir(found.plan.directory / "runs" / run.run_id)
    before = record.read_result()
    if before is None:
        raise UsageProblem(f"run {run.run_id} has no result to compare with")
    again = RunDir(found.plan.directory / "reproduced" / run.run_id / time.strftime("%Y%m%d-%H%M%S"))
    say(f"{found.names[run.run_id]}: once more from its record, {run.epochs} epoch{'s' * (run.epochs != 1)}")
    launcher = _launcher(found.plan.experiment.launch)
    if launcher.remote:
        ask()
    after = _run(run, again, launcher)
    return compare(record, before, again, after)


def _launcher(settings: LaunchSettings) -> launch.Launcher:
    """A single run is not worth a warm server."""
    return launch.make(settings.mode, replace(settings, start="spawn"))


def compare(record: RunDir, before: Result, again: RunDir, after: Result) -> Comparison:
    """Two run directories of the same run."""
    then, now = record.read_predictions("test"), again.read_predictions("test")
    names = [name for name in before.metrics if _is_quality(name)]
    metrics = {name: (before.metrics[name], after.metrics.get(name)) for name in names}
    epoch = first_difference(record.read_events(), again.read_events())
    same = epoch is None and all(a == b for a, b in metrics.values()) and _equal(then, now)
    p_value = mcnemar(_correct(then), _correct(now))
    verdict: Verdict = "identical" if same else "within noise" if p_value >= SIGNIFICANCE else "different"
    disagreements = int((then.log_probs.argmax(1) != now.log_probs.argmax(1)).sum())
    facts = sorted({*before.environment, *after.environment})
    pairs = {name: (before.environment.get(name), after.environment.get(name)) for name in facts}
    changed = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return Comparison(verdict, epoch, disagreements, len(then.labels), p_value, changed, metrics, again.path)


def first_difference(then: Sequence[Event], now: Sequence[Event]) -> int | None:
    """The first epoch whose quality metrics differ, or that only one of the two has."""
    for number in range(max(len(then), len(now))):
        pair = [each[number] if number < len(each) else None for each in (then, now)]
        if None in pair or _quality(pair[0]) != _quality(pair[1]):
            return number + 1
    return None


def _run(run: Run, place: RunDir, launcher: launch.Launcher) -> Result:
    place.path.mkdir(parents=True)
    place.write_run(run)
    place.write_owner("reproduced", uuid4().hex)
    epoch = 0
    with launcher:
        active = Active(run, place, 1, launcher.submit(run, place, 1, Decoded()(run), "train"))
        while (state := active.job.poll()).status == "running":
            for event in active.new_events():
                epoch = event.epoch
                tell("training", epoch, run.epochs)
            launcher.wait(POLL_SECONDS)
    if 0 < epoch < run.epochs:  # stopped early
        tell("training", epoch, epoch)
    outcome = active.outcome(state)
    if isinstance(outcome, Failure):
        raise UsageProblem(f"it failed this time: {outcome.kind}: {outcome.message}; log: {place.log_path(1)}")
    return outcome


def _is_quality(name: str) -> bool:
    return name.partition("/")[0] in SECTIONS


def _quality(event: Event | None) -> dict[str, float | None]:
    return {name: value for name, value in (event.metrics if event else {}).items() if _is_quality(name)}


def _equal(then: Predictions, now: Predictions) -> bool:
    pairs = ((then.ids, now.ids), (then.labels, now.labels), (then.log_probs, now.log_probs))
    return all(bool((a == b).all()) if a.shape == b.shape else False for a, b in pairs)


def _correct(found: Predictions) -> Any:
    return found.log_probs.argmax(1) == found.labels
