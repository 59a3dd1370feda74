"""What the commands do, without printing: reading the plan, running the sweep, writing the reports.

``Session`` ties together the rooms that know nothing of each other: plan, data, journal, launcher, tracker, reports.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import launch
from benchmark import (
    catalogue,
    elsewhere,
    mlflow_store,
    network_disk,
    packing,
    paying,
    preparing,
    proposing,
    room,
    trials,
    words,
)
from benchmark.concluding import best, closing, failures, sweep_code
from benchmark.config.resolved import resolved_yaml
from benchmark.data import datasets
from benchmark.durable import atomic
from benchmark.errors import ENVIRONMENT, exit_code, message
from benchmark.estimate import Estimate
from benchmark.forecast import spent
from benchmark.inspecting import write_cards
from benchmark.journal import Journal, Outcome
from benchmark.lock import exclusive
from benchmark.options import Earlier, Options
from benchmark.plan import Plan, PlannedRun
from benchmark.planned import Found, planned, trial_problem
from benchmark.preparing import UsageProblem, must_have_run
from benchmark.presenting import Presenting, publishing_of
from benchmark.publishing import patience
from benchmark.reporting import Summary
from benchmark.run import Run
from benchmark.searching import Searching, outlook
from benchmark.site import Interrupt, Site, signals
from benchmark.sweep import Sweep, SweepEvent
from benchmark.timing import Experience
from launch import Launcher

BETWEEN_SECONDS = 2.0
"""So long MLflow is waited for between two sessions of a search."""


@dataclass
class Session:
    """One `run` of the command: holds the experiment from :meth:`open` to :meth:`conclude`."""

    found: Found
    site: Site
    sweep: Sweep
    interrupt: Interrupt
    todo: tuple[Run, ...]
    workers: int
    presenting: Presenting
    stack: ExitStack
    expected: Estimate | None
    options: Options
    opened: float
    fitting: trials.Fitting | None
    """Whether a search's further trials can be trained; ``None``: none are chosen."""
    more: bool = False
    """Whether a search has chosen further runs."""
    trouble: Exception | None = None
    """Why it could not."""

    @classmethod
    def open(cls, path: Path | None, settings: Sequence[str], results: Path, options: Options) -> Session:
        """Plans, makes the data ready, and takes hold of the experiment.

        Raises:
            ConfigError, DataError, ModeError, NoRoom, Busy, JournalError, UsageProblem: what is in the way.
        """
        with ExitStack() as stack:
            session = cls._open(path, settings, results, options, stack)
            session.stack = stack.pop_all()  # what is held is let go of here only where something is in the way
        return session

    @classmethod
    def _open(
        cls, path: Path | None, settings: Sequence[str], results: Path, options: Options, stack: ExitStack
    ) -> Session:
        opened, earlier = time.monotonic(), options.earlier
        found = planned(path, settings, results, options.only, decode=options.train).adapted(options.adapt)
        plan, experiment = found.plan, found.plan.experiment
        chosen = _chosen(found, options)
        mode = options.mode or experiment.launch.mode
        remote = launch.is_remote(mode)
        elsewhere.check_instances(plan.runs, remote=remote)
        forecast = plan.forecast()
        packed = packing.Packing(experiment.launch, [cell.run for cell in chosen], forecast) if remote else None
        launcher = launch.make(mode, experiment.launch, packed.share if packed else None, forecast.gpu_memory)
        uri = mlflow_store.default_uri(Path.cwd(), experiment.tracking.uri)
        room.check(preparing.places(plan, uri))
        stack.enter_context(launcher)
        data = _made_ready(launcher, chosen)
        stack.enter_context(exclusive(plan.directory))
        journal = Journal(plan.directory)
        stack.callback(journal.close)
        # Another sweep may have worked between the plan and the lock: what it did is not done again.
        now = journal.outcomes()
        todo = tuple(cell.run for cell in chosen if _as_planned(now.get(cell.run.run_id), cell))
        elsewhere.check_living(todo, plan.directory, remote=remote)
        budget = paying.budget(plan, todo, forecast, remote=remote)
        _describe(plan)
        publishing = publishing_of(uri, plan, after=earlier.publishing if earlier else None, soon=bool(todo))
        profiles = preparing.profiles(plan, launcher.place) if options.train and not remote else None
        tasks = preparing.tasks(experiment.launch) if remote else "train"
        search = Searching(experiment.search)
        site = Site(journal, launcher, publishing, data, found.names, forecast, profiles, tasks, budget, search)
        interrupt = earlier.interrupt if earlier else Interrupt(choice=options.on_interrupt)
        how = preparing.settings(experiment.launch, options.workers, todo, options.max_time, packing=packed)
        workers = preparing.at_a_time(experiment.launch, options.workers, how, packed)
        sweep = Sweep(plan.runs, todo, site, how, interrupt)
        presenting = Presenting(plan, journal, publishing, uri, partial(words.command, path, settings))
        expected = paying.expected(experiment.launch, todo, site.forecast, workers, remote=remote)
        problem = partial(trial_problem, path, settings, plan)
        fits = trials.Fitting(problem, lambda: sweep.stopped) if options.train else None
        return cls(found, site, sweep, interrupt, todo, workers, presenting, stack, expected, options, opened, fits)

    @property
    def narrator(self) -> words.Narrator:
        """Who tells the events of this sweep."""
        return words.Narrator(self.found.names, self.found.plan.experiment.report.primary, len(self.todo))

    @property
    def opening(self) -> str:
        """What is about to happen."""
        experiment, workers = self.found.plan.experiment, f"{self.workers} worker{'s' * (self.workers != 1)}"
        states, todo = words.counts(self.found.plan.cells), len(self.todo)
        place = self.found.plan.directory
        time = f", {words.estimate(self.expected)}" if self.expected else ""
        return f"{experiment.name} ({experiment.path}): {states}; {todo} to run, {workers}{time}; results in {place}"

    @property
    def cautions(self) -> list[str]:
        """What does not hold where the journal and MLflow's store lie."""
        store = mlflow_store.sqlite_path(self.presenting.uri)
        places = {self.found.plan.directory, *([store.absolute().parent] if store else [])}
        told = [told for place in sorted(places) if (told := network_disk.caution(place))]
        unknown = [packing.UNKNOWN] if self._packs_nothing else []
        return [*words.search(outlook(self.found.plan)), *told, *unknown]

    @property
    def _packs_nothing(self) -> bool:
        """Whether runs are to share jobs as their seconds say, which nobody knows."""
        wanted = self.found.plan.experiment.launch.aws.runs_per_job == "auto"
        return wanted and self.costs_money and any(self.site.forecast.seconds(run) is None for run in self.todo)

    @property
    def options_left(self) -> Options:
        """For a session after this one."""
        options, passed = self.options, time.monotonic() - self.opened
        limit = None if options.limit is None else options.limit - len(self.todo)
        seconds = None if options.max_time is None else options.max_time - passed
        earlier = Earlier(self._began, self.site.publishing, self.interrupt)
        return replace(options, limit=limit, max_time=seconds, retry=(), rerun_stale=False, earlier=earlier)

    @property
    def _began(self) -> float:
        """When the first session of this command was opened."""
        return self.options.earlier.began if self.options.earlier else self.opened

    @property
    def costs_money(self) -> bool:
        """Whether what is to run is paid for by the hour."""
        return self.site.launcher.remote and bool(self.todo)

    def events(self, publishing_seconds: float | None = None) -> Iterator[SweepEvent]:
        """Runs everything; Ctrl-C once drains, twice kills.  At the end MLflow gets so many seconds, or what is due."""
        with signals(self.interrupt):
            yield from self.sweep.events()
            self.more = self._goes_on()
            due = patience(self.presenting.uri, len(self.todo))
            seconds = due if publishing_seconds is None else publishing_seconds
            self.presenting.deadline = time.monotonic() + seconds
            yield from self.sweep.finish(BETWEEN_SECONDS if self.more else seconds)

    def conclude(self) -> Summary:
        """Writes the leaderboard and the view in MLflow, and lets go of the experiment."""
        with signals(self.interrupt), self.stack:
            self.more = self.more and not self.sweep.stopped
            again = self.presenting.command("run")
            document, written = _write_report(self.found.plan, self.site.journal, again, self.workers)
            shown = [] if self.more else self.presenting.lines(worked=bool(self.todo))
            lines = [best(document), f"leaderboard: {written}", *shown, *self._check(document)]
            outcomes = self.site.journal.outcomes()
            left = sum(run.run_id not in outcomes for run in self.found.plan.runs)
            stopped = document["counts"].get("pruned", 0)
            undone = any(run.run_id not in outcomes for run in self.todo) or self._is_cut_off
            lines += [*self._learn(outcomes), *failures(self.found.plan.runs, outcomes, self.presenting.command)]
            failed = document["counts"]["failed"]
        lines += self.passed_over
        lines += [self.sweep.full] if self.sweep.full else []
        lines.append(closing(len(self.found.plan.runs), failed, left, stopped, time.monotonic() - self._began))
        code = sweep_code(interrupted=bool(self.interrupt.requests), undone=undone, failed=failed)
        code = ENVIRONMENT if self.sweep.full else code
        if self.trouble and not self.interrupt.requests:
            lines.append(f"the search could not go on: {message(self.trouble)}")
            code = exit_code(self.trouble) or code
        return Summary(tuple(lines), document, code, self.more)

    def _goes_on(self) -> bool:
        """Whether a search has further runs; who asks meanwhile to stop is heard."""
        if self.fitting is None or self.sweep.stopped:
            return False
        try:
            with catalogue.one_child():
                more = trials.go_on(self.found.plan, self.site.journal, self.fitting)
        except Exception as error:
            if exit_code(error) is None:
                raise
            self.trouble = error  # what is done is done, and told
            return False
        return more and not self.options_left.used_up

    @property
    def _is_cut_off(self) -> bool:
        """Whether a search was stopped before its last trial, not counting a limit, which was asked for."""
        search, space = self.found.plan.experiment.search, self.found.plan.experiment.space
        seconds = self.options_left.max_time
        cut = self.sweep.stopped or (seconds is not None and seconds <= 0)
        return cut and self.fitting is not None and space is not None and len(space.tried) < search.trials

    @property
    def passed_over(self) -> list[str]:
        """What a search could not choose, and why."""
        return self.fitting.lines if self.fitting else []

    def _learn(self, outcomes: Mapping[str, Outcome]) -> list[str]:
        """Keeps what the runs took, for forecasts to come, and says how good this one was."""
        found = [(run, each.result) for run in self.todo if (each := outcomes.get(run.run_id)) and each.result]
        cache, efforts = datasets.cache_directory(), self.found.plan.efforts
        took = [(efforts[run.run_id], spent(result)) for run, result in found]
        with suppress(OSError):  # a better forecast next time, and no more
            Experience.read(cache).add(cache, took)
        if not self.expected or len(found) < len(self.todo) or self.sweep.resumed:
            return []
        first, last = min(result.started for _, result in found), max(result.finished for _, result in found)
        return [words.forecast_error(self.expected, last - first)]

    def _check(self, document: Mapping[str, Any]) -> list[str]:
        """How to see whether the best can be trusted."""
        ranked = [row for row in document["rows"] if row["rank"] is not None]
        if not ranked or not self.todo or self.site.launcher.remote:
            return []  # in AWS that costs what the run had cost
        run_id = next(run["run_id"] for run in ranked[0]["runs"] if run["status"] == "done")
        return [f"check the best run: {self.presenting.command('reproduce', run_id[:6])}"]


def _chosen(found: Found, options: Options) -> list[PlannedRun]:
    """What is to run, as it looks before the experiment is held."""
    if not options.train:
        must_have_run(found.plan)
        return []
    search, space = found.plan.experiment.search, found.plan.experiment.space
    if space and len(space.tried) < search.trials and not proposing.is_installed():
        raise UsageProblem(proposing.MISSING)
    chosen = preparing.chosen(found.plan, options.retry, options.rerun_stale)
    wanted = {cell.run.run_id for cell in found.cells}
    return [cell for cell in chosen if cell.run.run_id in wanted][: options.limit]


def _made_ready(launcher: Launcher, chosen: Sequence[PlannedRun]) -> preparing.Decoded:
    """The launcher warms up while the images are decoded that the runs want."""
    data = preparing.Decoded()
    if chosen:
        launcher.prepare()
    for cell in chosen:
        data(cell.run)
    return data


def _as_planned(outcome: Outcome | None, cell: PlannedRun) -> bool:
    """Whether nobody has worked on the cell since it was planned; what a search stopped may be planned as new."""
    return outcome == cell.outcome or (cell.outcome is None and bool(outcome and outcome.pruned))


def _describe(plan: Plan) -> None:
    """The experiment as it was resolved, and its data, for whoever finds the results."""
    write_cards(plan.data, plan.directory)
    with atomic(plan.directory / "experiment.yaml") as file:
        file.write(resolved_yaml(plan.experiment, plan.runs).encode())


def _write_report(plan: Plan, journal: Journal, command: str, workers: int | None) -> tuple[dict[str, Any], Path]:
    from benchmark import results

    return results.write(results.leaderboard(plan, journal, command, workers), plan.directory)
