"""The end of a training that went wrong by its numbers."""

from __future__ import annotations


class Diverged(ArithmeticError):
    """The loss, or an output of the network, is no longer a finite number."""

    def __init__(self, message: str, step: int) -> None:
        super().__init__(message)
        self.step = step
