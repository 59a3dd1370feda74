"""An experiment: what one YAML file asks for, as typed values.

Made by :func:`benchmark.config.load`; its cells become runs by :func:`benchmark.config.matrix.resolve`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from benchmark.aws_settings import AwsSettings
from benchmark.config.problems import Mark
from benchmark.config.sampling import Shares
from benchmark.run import DataSpec, Run, key

if TYPE_CHECKING:
    from benchmark.config.space import Space


@dataclass(frozen=True)
class LaunchSettings:
    """How runs are started; no part of their identity."""

    mode: Literal["fast_local", "local", "aws"] = key(
        "fast_local",
        "fast_local: host processes; local: containers (Docker, SageMaker local mode); aws: SageMaker training jobs; "
        "or what a plug-in brings",
        plugins="launchers",
    )
    workers: int | Literal["auto"] = key(
        "auto", "runs at a time; auto: the cores over those that a run keeps busy", ge=1
    )
    workers_per_gpu: int | Literal["auto"] = key(
        "auto",
        "runs at a time on one GPU (fast_local); auto: one, and further ones while it has memory and time to spare",
        ge=1,
    )
    start: Literal["auto", "fork", "spawn"] = key(
        "auto", "how workers come to be; fork: from a warm server; spawn: a fresh Python each; auto: fork on Linux"
    )
    timeout: float | None = key(
        600.0, "seconds without an ended epoch and without processor time before a run is stopped; null: never", gt=0
    )
    time_limit: float | None = key(
        None, "seconds that a run may take in all; null: no limit, and of a training job in AWS a day", gt=0
    )
    retries: int = key(2, "further attempts after a kill, a timeout or an infrastructure failure", ge=0)
    price_per_hour: float | None = key(
        None, "dollars that an hour of this machine costs; `plan` and `run` then say what the runs will cost", gt=0
    )
    image: str | None = key(
        None,
        "of the containers (local, aws); null: local takes torch-image-benchmark:VERSION, which launch/Dockerfile "
        "makes, and aws a Deep Learning Container",
    )
    deep_learning_image: str | None = key(
        None, 'instead of `image`: AWS\'s Deep Learning Container of this PyTorch version, for example "2.8"'
    )
    memory_gib: float | None = key(None, "memory that a container may use, in GiB (local); null: no limit", gt=0)
    hosts: int = key(
        1, "containers (local) or instances (aws) that train a run together, each with its share of `processes`", ge=1
    )
    network_isolation: bool = key(False, "containers that reach nothing but each other (local, aws)")
    profile: bool = key(
        True,
        "measure the speed of each model, once on this machine, when nothing trains; in AWS at the end of each job",
    )
    options: Mapping[str, Any] = key({}, "of a plug-in's mode: its launcher's own settings")
    aws: AwsSettings = field(default_factory=AwsSettings)
    """A section of its own in the file."""


@dataclass(frozen=True)
class TrackingSettings:
    """Where MLflow keeps the runs; null: $MLFLOW_TRACKING_URI, else ./mlflow.db."""

    uri: str | None = key(
        None, "MLflow tracking server or database, without a password; or the ARN of SageMaker's MLflow"
    )
    register: Literal["none", "best"] = key(
        "none", "best: after a sweep the best run's network goes into MLflow's model registry, named as the experiment"
    )


@dataclass(frozen=True)
class ReportSettings:
    """What the leaderboard shows."""

    primary: str = key("test/accuracy", "metric that ranks the leaderboard")


@dataclass(frozen=True)
class SearchSettings:
    """Whether all runs train to their end, and who chooses them.  A search is no part of a run's identity."""

    strategy: Literal["none", "halving", "optuna"] = key(
        "none",
        "none: every run trains to its end; halving: of each rung of epochs the better configurations go on; optuna: "
        "configurations are chosen from the matrix's axes by what earlier ones came to (extra `optuna`)",
    )
    metric: Literal["val/accuracy", "val/balanced_accuracy", "val/f1_macro", "val/log_loss"] = key(
        "val/accuracy", "of the epochs, by which configurations are compared"
    )
    reduction: int = key(3, "one configuration of so many goes on (halving)", ge=2)
    trials: int = key(50, "how many configurations are tried (optuna)", ge=1, le=20_000)
    startup: int = key(10, "of these, how many are drawn at random before the first is chosen (optuna)", ge=1)
    batch: int = key(5, "trials that are chosen together, by the results of all before them (optuna)", ge=1)
    seed: int = key(0, "seed of the draws and choices, which is no run's seed (optuna)", ge=0)

    @property
    def drawn(self) -> int:
        """Trials that are drawn at random."""
        return min(self.trials, self.startup)


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix.  ``run`` has the keys as given: no data digest yet, ``image_size`` and ``channels`` None
    where not given.  ``origin`` says where each given key's value stands, and each entry of ``model_args`` and
    ``optimizer_args`` (``model_args.depth``); ``choice`` is what tells the cell from its neighbours: the keys that the
    matrix or an include named, before overrides."""

    run: Run
    origin: Mapping[str, Mark] = field(default_factory=dict)
    choice: Mapping[str, Any] = field(default_factory=dict)
    trial: Shares | None = None
    """Of which trial of a search it is a cell."""

    @property
    def label(self) -> str:
        """The cell in an error message: ``model lenet5, lr 0.001, seed 0``."""
        choice = self.choice or {"model": self.run.model}
        return ", ".join(f"{name} {value}" for name, value in choice.items())


@dataclass(frozen=True)
class Experiment:
    """One YAML file, read and checked; ``path`` is the file."""

    name: str
    path: Path
    cells: tuple[Cell, ...]
    launch: LaunchSettings = field(default_factory=LaunchSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    description: str = ""
    search: SearchSettings = field(default_factory=SearchSettings)
    space: Space | None = field(default=None, compare=False)
    """From which a search chooses its trials."""
    primary_mark: Mark = field(default=Mark(""), compare=False)
    """Where the metric that ranks is named."""

    @property
    def data(self) -> tuple[DataSpec, ...]:
        """The data sets of all cells, each once, in order."""
        return tuple(dict.fromkeys(cell.run.data for cell in self.cells))
