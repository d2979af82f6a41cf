"""How the learning rate changes in the course of training.

A schedule is a pure function of where training stands: it keeps no state, so that a resumed run
needs nothing but the history to go on exactly. Its value multiplies the optimiser's learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .arrays import as_number, as_size


class Schedule(Protocol):
    """What :meth:`cylstm.SequenceModel.fit` asks of a schedule; any such object will do."""

    def factor(self, epoch: float, epochs: int, losses: Sequence[float]) -> float:
        """Multiplier of the learning rate for the next optimiser step.

        Parameters
        ----------
        epoch : float
            Epochs behind us, counted in optimiser steps: 2.5 in the middle of the third epoch.
        epochs : int
            Epochs in the whole run.
        losses : sequence of float
            The monitored loss of each finished epoch.
        """
        ...


def _check_number(value: Any, name: str, limit: float = math.inf) -> None:
    """Refuse what is not a finite number from 0 to the limit."""
    number = as_number(value, name)
    if not (0.0 <= number <= limit and math.isfinite(number)):
        expected = "in 0..1" if limit == 1.0 else "finite and at least 0"
        raise ValueError(f"{name}: expected a number {expected}, got {value}")


@dataclass(frozen=True)
class Constant:
    """The same learning rate throughout."""

    def factor(self, epoch: float, epochs: int, losses: Sequence[float]) -> float:
        """Return 1."""
        return 1.0


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from the full rate down to `floor` times it at the end of the last epoch.

    Loshchilov and Hutter (2017), without restarts.
    """

    floor: float = 0.0

    def __post_init__(self) -> None:
        _check_number(self.floor, "floor", 1.0)

    def factor(self, epoch: float, epochs: int, losses: Sequence[float]) -> float:
        """Return floor + (1 - floor) (1 + cos(pi epoch / epochs)) / 2."""
        return self.floor + (1.0 - self.floor) * (1.0 + math.cos(math.pi * epoch / epochs)) / 2.0


@dataclass(frozen=True)
class StepDecay:
    """Multiply the rate by `decay` after every `every` epochs."""

    every: int = 10
    decay: float = 0.1

    def __post_init__(self) -> None:
        as_size(self.every, "every")
        _check_number(self.decay, "decay")

    def factor(self, epoch: float, epochs: int, losses: Sequence[float]) -> float:
        """Return decay ** (whole multiples of `every` in `epoch`)."""
        return self.decay ** (int(epoch) // self.every)


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Multiply the rate by `decay` when the loss has not improved for more than `patience` epochs.

    An improvement is a loss below ``(1 - threshold)`` times the least one before it. The count
    starts anew after each reduction. As torch.optim.lr_scheduler.ReduceLROnPlateau.
    """

    decay: float = 0.1
    patience: int = 10
    threshold: float = 1e-4

    def __post_init__(self) -> None:
        _check_number(self.decay, "decay", 1.0)
        as_size(self.patience, "patience", minimum=0)
        _check_number(self.threshold, "threshold", 1.0)

    def factor(self, epoch: float, epochs: int, losses: Sequence[float]) -> float:
        """Return decay ** (plateaus found by going through `losses`)."""
        best, waited, plateaus = math.inf, 0, 0
        for loss in losses:
            if loss < best * (1.0 - self.threshold):
                best, waited = loss, 0
            else:
                waited += 1
            if waited > self.patience:
                plateaus, waited = plateaus + 1, 0
        return self.decay**plateaus


_BY_NAME: dict[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "step": StepDecay,
    "plateau": ReduceOnPlateau,
}


def get_schedule(schedule: str | Schedule) -> Schedule:
    """Return the schedule of that name with its default settings, or `schedule` itself.

    Examples
    --------
    >>> get_schedule("cosine")
    Cosine(floor=0.0)
    """
    if not isinstance(schedule, str):
        if isinstance(schedule, type) or not callable(getattr(schedule, "factor", None)):
            raise TypeError(f"schedule: expected a name or a Schedule, got {schedule!r}")
        return schedule
    if schedule not in _BY_NAME:
        raise ValueError(f"schedule: expected one of {', '.join(_BY_NAME)}, got {schedule!r}")
    return _BY_NAME[schedule]()


def warm_up(step: int, steps: int) -> float:
    """Multiplier of optimiser step `step` (from 0): rises linearly to 1 over the first `steps`.

    Examples
    --------
    >>> [warm_up(step, 4) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    return min(1.0, (step + 1) / max(steps, 1))
