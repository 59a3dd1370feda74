"""Where a job reads and writes: SageMaker's own environment variables, in every mode."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmark.rundir import OUTPUTS, RunDir


@dataclass(frozen=True)
class Places:
    """Where a job reads and writes."""

    config: Path
    data: Path
    rundir: RunDir
    message: Path
    weights: Path | None = None
    """Of a pretrained model; a run without has no such channel."""

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Places:
        """The directories of SageMaker's contract.

        Raises:
            KeyError: a variable is missing; the error names it.
        """
        output, model = Path(variables["SM_OUTPUT_DATA_DIR"]), Path(variables["SM_MODEL_DIR"])
        rundir = RunDir(output, checkpoint=Path(variables["SM_CHECKPOINT_DIR"]), model=model)
        config, data = Path(variables["SM_CHANNEL_CONFIG"]), Path(variables["SM_CHANNEL_DATA"])
        weights = Path(variables["SM_CHANNEL_WEIGHTS"]) if "SM_CHANNEL_WEIGHTS" in variables else None
        return cls(config, data, rundir, Path(variables["SM_OUTPUT_DIR"]) / "failure", weights)

    @property
    def directories(self) -> tuple[Path, ...]:
        """Those that a job writes to."""
        return self.rundir.path, self.rundir.checkpoint, self.rundir.model.parent, self.message.parent

    @property
    def ranks(self) -> Path:
        """Where processes that train together tell the job how they ended."""
        return self.message.parent / "ranks"

    def remove_unfinished(self) -> None:
        """What a killed attempt had written under a temporary name (``benchmark.durable.atomic``)."""
        finals = [self.rundir.path / name for name in OUTPUTS]
        for final in (*finals, self.rundir.model, self.rundir.checkpoint / "epoch-*.pt"):
            for each in final.parent.glob(f".{final.name}.*"):
                each.unlink()
