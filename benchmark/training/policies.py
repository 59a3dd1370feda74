"""TrivialAugment and RandAugment for whole batches, on the device of the images.

``trivial`` changes each image once, by an operation and a strength drawn uniformly (Müller and Hutter,
*TrivialAugment*, ICCV 2021, "wide"); ``rand`` changes it twice, with the strength 9 of 30 (Cubuk et al.,
*RandAugment*, 2020).  Operations and strengths are those of torchvision's ``TrivialAugmentWide`` and ``RandAugment``,
the tested reference, which take one image at a time; here all images that have drawn the same operation are changed at
once.

Images are uint8 (n, height, width, channels), and so is what comes back.  Random numbers are drawn on the CPU, for the
whole batch (:class:`~benchmark.training.transforms.Draws`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Generator, Tensor

from benchmark.run import Policy
from benchmark.training.affine import inverse_shear, inverse_shift, inverse_turn, moved
from benchmark.training.colour import OPERATIONS as COLOURS
from benchmark.training.share import Share
from benchmark.training.transforms import Draws

BINS = 31
"""Of strengths."""
_MOVES = {
    "ShearX": lambda strength: inverse_shear(strength, 0.0),
    "ShearY": lambda strength: inverse_shear(0.0, strength),
    "TranslateX": lambda strength: inverse_shift(strength, 0.0),
    "TranslateY": lambda strength: inverse_shift(0.0, strength),
    "Rotate": inverse_turn,
}  # fmt: skip
_OPERATIONS = ("Identity", *_MOVES, *COLOURS)

Change = Callable[[Tensor, Generator, Share | None], Tensor]


@dataclass(frozen=True)
class Space:
    """The largest strengths of one method: of shears (tangent), shifts (pixels at a side of 1, or of any), turns
    (degrees) and enhancements; ``bits`` are those that posterizing takes away at most."""

    shear: float
    shift: float
    relative: bool
    turn: float
    enhance: float
    bits: int

    def strengths(self, operation: str, side: int) -> Tensor:
        """From none to the largest, float32 (BINS,)."""
        if operation == "Posterize":
            return (8 - torch.arange(BINS) / ((BINS - 1) / self.bits)).round()
        if operation == "Solarize":
            return torch.linspace(1, 0, BINS)
        return torch.linspace(0.0, self._largest(operation, side), BINS)

    def _largest(self, operation: str, side: int) -> float:
        if operation.startswith("Translate"):
            return self.shift * (side if self.relative else 1)
        return {"ShearX": self.shear, "ShearY": self.shear, "Rotate": self.turn}.get(operation, self.enhance)


WIDE = Space(shear=0.99, shift=32.0, relative=False, turn=135.0, enhance=0.99, bits=6)
RAND = Space(shear=0.3, shift=150 / 331, relative=True, turn=30.0, enhance=0.9, bits=4)
RAND_OPERATIONS, RAND_STRENGTH = 2, 9


def policy(name: Policy) -> Change | None:
    """The changes called ``name``, or ``None`` for "none"."""
    return {"none": None, "trivial": trivial, "rand": rand}[name]


def trivial(images: Tensor, generator: Generator, share: Share | None = None) -> Tensor:
    """One operation of any strength for each image."""
    draws = Draws.of(generator, images, share)
    return change(images, WIDE, draws.integers(0, len(_OPERATIONS)), draws.integers(0, BINS), draws.integers(0, 2))


def rand(images: Tensor, generator: Generator, share: Share | None = None) -> Tensor:
    """Two operations of one strength for each image."""
    draws = Draws.of(generator, images, share)
    for _ in range(RAND_OPERATIONS):
        operations, signs = draws.integers(0, len(_OPERATIONS)), draws.integers(0, 2)
        images = change(images, RAND, operations, torch.full_like(operations, RAND_STRENGTH), signs)
    return images


def change(images: Tensor, space: Space, operations: Tensor, bins: Tensor, signs: Tensor) -> Tensor:
    """Each image changed by one of the operations.

    Args:
        images: uint8 (n, height, width, channels).
        space: says how strong the ``bins`` are.
        operations, bins, signs: int64 (n,) on the CPU: which operation, how strong from 0 to ``BINS`` - 1, and whether
            in the other direction (1), for those that have one.
    """
    changed = images.clone()
    height, width = images.shape[1:3]
    moves = _indices(operations, range(1, 1 + len(_MOVES)))
    if len(moves):
        matrices = _matrices(space, height, width)[operations[moves] - 1, signs[moves], bins[moves]]
        there = moves.to(images.device)
        changed.index_copy_(0, there, moved(images.index_select(0, there), matrices.to(images.device)))
    for number, (name, colour) in enumerate(COLOURS.items(), start=1 + len(_MOVES)):
        chosen = _indices(operations, range(number, number + 1))
        if len(chosen):
            strengths = space.strengths(name, 0)[bins[chosen]]
            signed = strengths * (1 - 2 * signs[chosen])
            there = chosen.to(images.device)
            planes = images.index_select(0, there).permute(0, 3, 1, 2)
            found = colour(planes, strengths.to(images.device), signed.to(images.device))
            changed.index_copy_(0, there, found.permute(0, 2, 3, 1))
    return changed


def _indices(operations: Tensor, wanted: range) -> Tensor:
    return ((operations >= wanted.start) & (operations < wanted.stop)).nonzero()[:, 0]


@cache
def _matrices(space: Space, height: int, width: int) -> Tensor:
    """Every move as the matrix from a place to where its pixel comes from: (moves, 2 signs, BINS, 2, 3)."""
    return torch.stack([_matrices_of(space, name, height, width) for name in _MOVES])


def _matrices_of(space: Space, name: str, height: int, width: int) -> Tensor:
    strengths = space.strengths(name, height if name.endswith("Y") else width).tolist()
    both = [[_MOVES[name](sign * each) for each in strengths] for sign in (1, -1)]
    corner = torch.tensor([width * 0.5, height * 0.5]).double()
    matrices = torch.tensor(both, dtype=torch.float64)
    if name.startswith("Shear"):  # about the upper left corner, where places are counted from the centre
        matrices[..., 2] += (matrices[..., :2] @ corner) - corner
    return matrices.float()
