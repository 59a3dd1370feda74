"""Training batches, as one of the processes that share them sees them, cut into the parts that it does one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Generator, Tensor

from benchmark.run import Run
from benchmark.training.data import Normalize, Split, raw_batches
from benchmark.training.mixing import Mix, mixing
from benchmark.training.optim import Criterion
from benchmark.training.policies import policy
from benchmark.training.progress import Progress
from benchmark.training.sampling import order_of
from benchmark.training.share import Share
from benchmark.training.team import Team
from benchmark.training.transforms import augmentation


@dataclass(frozen=True)
class Portion:
    """What a process does at once of a batch: ``images`` (n, channels, height, width) and ``labels`` (n,), of which
    those at ``counting`` are its own.  ``scale`` (n,) is what each image's loss is multiplied with, so that the mean
    over the processes of the sums over their portions is the loss of the whole batch; ``None``: this is the whole
    batch.  ``mix`` says what else the images show."""

    images: Tensor
    labels: Tensor
    counting: slice
    scale: Tensor | None
    mix: Mix | None = None


@dataclass(frozen=True)
class Portions:
    """The training batches of a run.  Order and augmentation are those of one process: they are drawn for the whole
    batch, then cut.  Only the partners that images are mixed with are found within a portion."""

    run: Run
    split: Split
    normalize: Normalize
    criterion: Criterion
    team: Team

    def epoch(self, progress: Progress) -> Iterator[Iterator[Portion]]:
        """For each batch of what is left of a pass over the images, its portions."""
        order = order_of(self.run, self.split.labels, progress.epoch)
        wholes = self.split.labels.index_select(0, order).split(self.run.batch_size)  # type: ignore[no-untyped-call]
        wholes = wholes[progress.done :]
        for (images, labels), whole in zip(self._seen(order, progress.done), wholes, strict=False):  # without a single
            yield self._portions(images, labels, whole, progress.generator)

    def _seen(self, order: Tensor, skip: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The images of all of the process's portions."""

        def seen(whole: int) -> slice:
            shares = self._shares(whole)
            return slice(shares[0].seen.start, max(each.seen.stop for each in shares))

        return raw_batches(
            self.split,
            self.run.batch_size,
            order=order,
            drop_single=True,
            share=seen,
            skip=skip,
            device=self.normalize.device,
        )

    def _shares(self, whole: int) -> list[Share]:
        parts = self.run.accumulate
        return [Share.of(whole, self.team.rank * parts + part, self.team.size * parts) for part in range(parts)]

    def _portions(self, images: Tensor, labels: Tensor, whole: Tensor, generator: Generator) -> Iterator[Portion]:
        """Each portion draws for the whole batch, from the same state."""
        shares, state = self._shares(len(whole)), generator.get_state()
        start = shares[0].seen.start
        for share in shares:
            generator.set_state(state)
            place = slice(share.seen.start - start, share.seen.stop - start)
            yield self._portion(images[place], labels[place], whole, share, generator)

    def _portion(self, raw: Tensor, labels: Tensor, whole: Tensor, share: Share, generator: Generator) -> Portion:
        device, run = self.normalize.device, self.run
        labels = labels.to(device, non_blocking=True)
        change, augment, mix = policy(run.policy), augmentation(run.augment), mixing(run)
        if change:
            raw = change(raw.to(device, non_blocking=True), generator, share)
        images = self.normalize(raw)
        if run.memory_format == "contiguous":
            images = images.contiguous()
        if augment:
            images = augment(images, generator, share)
        images, mixed = mix(images, labels, generator) if mix else (images, None)
        return Portion(images, labels, share.counting, self._scale(whole, share), mixed)

    def _scale(self, labels: Tensor, share: Share) -> Tensor | None:
        if self.team.size * self.run.accumulate == 1:
            return None
        scale = self.criterion.scale(labels.to(self.normalize.device))[share.seen] * self.team.size
        counts = scale.new_zeros(len(scale))
        counts[share.counting] = 1
        return scale * counts
