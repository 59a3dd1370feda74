"""How far a pass over the training images has come, as part of a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from benchmark.training.checkpoint import State
from benchmark.training.data import epoch_generator
from benchmark.training.team import Team


@dataclass
class Progress:
    """One epoch in the making.

    ``losses`` float32 (steps,), of which those of the ``done`` steps are known, and those of ``checked`` steps are
    finite numbers and the mean over the processes; ``hits`` int64 (), of the ``seen`` images of this process;
    ``generator`` draws the augmentation.
    """

    epoch: int
    losses: Tensor
    hits: Tensor
    generator: Generator
    done: int = 0
    checked: int = 0
    seen: int = 0

    @classmethod
    def begin(cls, epoch: int, seed: int, steps: int, device: torch.device) -> Progress:
        """Nothing is done."""
        hits = torch.zeros((), dtype=torch.int64, device=device)
        return cls(epoch, torch.empty(steps, device=device), hits, epoch_generator(seed, epoch))

    @property
    def over(self) -> bool:
        return self.done == len(self.losses)

    def accuracy(self, team: Team) -> float:
        """The share of images that were classified right while learning, over all processes."""
        counts = team.gather((int(self.hits), self.seen))
        return sum(right for right, _ in counts) / max(1, sum(count for _, count in counts))

    def state_dict(self, team: Team) -> State:
        return {
            "losses": self.losses[: self.done].clone(),
            "counts": team.gather((int(self.hits), self.seen)),
            "generator": self.generator.get_state(),
            "done": self.done,
            "checked": self.checked,
        }

    def load_state_dict(self, state: State, rank: int) -> None:
        """``rank``: which of the processes this is."""
        self.done, self.checked = state["done"], state["checked"]
        self.losses[: self.done] = state["losses"].to(self.losses.device)
        hits, self.seen = state["counts"][rank]
        self.hits.fill_(hits)
        self.generator.set_state(state["generator"])
