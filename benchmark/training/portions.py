"""Training batches, as one of the processes that share them sees them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from benchmark.run import Run
from benchmark.training.data import Normalize, Split, batches, epoch_generator, epoch_order
from benchmark.training.optim import Criterion
from benchmark.training.share import Share
from benchmark.training.team import Team
from benchmark.training.transforms import augmentation


@dataclass(frozen=True)
class Portion:
    """What a process does of a batch: ``images`` (n, channels, height, width) and ``labels`` (n,), of which those at
    ``counting`` are its own.  ``scale`` (n,) is what each image's loss is multiplied with, so that the mean of the
    processes' sums is the loss of the whole batch; ``None``: this is the whole batch."""

    images: Tensor
    labels: Tensor
    counting: slice
    scale: Tensor | None


@dataclass(frozen=True)
class Portions:
    """The training batches of a run.  Order and augmentation are those of one process: they are drawn for the whole
    batch, then cut."""

    run: Run
    split: Split
    normalize: Normalize
    criterion: Criterion
    team: Team

    def epoch(self, number: int) -> Iterator[Portion]:
        """The portions of one pass over the images."""
        order, augment = epoch_order(len(self.split), self.run.seed, number), augmentation(self.run.augment)
        generator = epoch_generator(self.run.seed, number)
        labelled = self.split.labels.index_select(0, order)
        wholes = labelled.split(self.run.batch_size)  # type: ignore[no-untyped-call]
        for (images, labels), whole in zip(self._seen(order), wholes, strict=False):  # a single one is left out
            share = self.team.share(len(whole))
            changed = augment(images, generator, share) if augment else images
            yield Portion(changed, labels, share.counting, self._scale(whole, share))

    def _seen(self, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        def seen(whole: int) -> slice:
            return self.team.share(whole).seen

        return batches(self.split, self.run.batch_size, self.normalize, order=order, drop_single=True, share=seen)

    def _scale(self, labels: Tensor, share: Share) -> Tensor | None:
        if self.team.size == 1:
            return None
        scale = self.criterion.scale(labels.to(self.normalize.device))[share.seen] * self.team.size
        counts = scale.new_zeros(len(scale))
        counts[share.counting] = 1
        return scale * counts
