"""Which loss and which score a task has, and their means over batches."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _core
from .arrays import Float32
from .dataset import Batch

SCORE_NAMES = {
    "classification": "accuracy",
    "regression": "mse",
    "language": "bits_per_token",
}


@dataclass
class Mean:
    """A mean of numbers that come with weights."""

    total: float = 0.0
    weight: float = 0.0

    def add(self, value: float, weight: float) -> None:
        self.total += value * weight
        self.weight += weight

    @property
    def value(self) -> float:
        return self.total / self.weight


class Loss(NamedTuple):
    """The loss of a model and the score that people read beside it.

    Attributes
    ----------
    task : str
    kind : str
        Name of the loss in the core.
    output_std : float32 array (O,), or None
        What one unit of a regression's scores is in the targets' own units.
    """

    task: str
    kind: str
    output_std: Float32 | None

    @classmethod
    def of(cls, config: Mapping[str, Any], output_std: Float32 | None) -> Loss:
        """The loss for a model's task."""
        task = config["task"]
        binary = task == "classification" and config["output_size"] == 1
        kind = "mse" if task == "regression" else "cross_entropy"
        return cls(task, "binary_cross_entropy" if binary else kind, output_std)

    def __call__(self, scores: Float32, batch: Batch) -> tuple[float, Float32]:
        """Mean loss over the targets that count, and its gradient by the scores."""
        return _core.loss(self.kind, scores, batch.targets, batch.mask)

    def score(self, loss: float, scores: Float32, batch: Batch) -> float:
        """Accuracy, mean squared error in the targets' own units, or bits per token."""
        if self.task == "language":
            return loss / math.log(2.0)
        if self.kind == "cross_entropy":
            rows: NDArray[Any] = scores.argmax(axis=-1) == batch.targets
        elif self.kind == "binary_cross_entropy":
            rows = ((scores > 0.0) == (batch.targets > 0.5)).all(axis=-1)
        else:
            std = 1.0 if self.output_std is None else self.output_std
            rows = np.square((scores - batch.targets) * std).mean(axis=-1, dtype=np.float64)
        return float(rows.mean() if batch.mask is None else rows[batch.mask].mean())
