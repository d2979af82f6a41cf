"""The losses with their gradients; which loss and which score a task has, and their means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import _core, data
from .arrays import Float32, as_array, as_float32
from .dataset import Array, Batch

SCORE_NAMES = {
    "classification": "accuracy",
    "regression": "mse",
    "language": "bits_per_token",
}


# --- losses --------------------------------------------------------------------------------------


def mean_squared_error(scores: Any, targets: Any, mask: Any = None) -> tuple[float, Float32]:
    """Mean of (score - target)^2 over all elements, and its gradient by the scores.

    Parameters
    ----------
    scores, targets : float array (..., O)
    mask : bool array (...), optional
        False where a row is padding: it does not count, and its gradient is zero. With none that
        counts the loss is 0.

    Returns
    -------
    loss : float
    dscores : float32 array (..., O)
        What `backward` takes as ``dy``.

    Raises
    ------
    ValueError, TypeError
        When shapes do not go together, or the arrays hold something else.

    Examples
    --------
    >>> mean_squared_error([[1.0], [2.0]], [[0.0], [0.0]])
    (2.5, array([[1.],
           [2.]], dtype=float32))
    """
    return _loss("mse", scores, as_float32(targets, "targets"), mask)


def cross_entropy(scores: Any, targets: Any, mask: Any = None) -> tuple[float, Float32]:
    """Mean of -log softmax(scores)[target] over the rows, and its gradient by the scores.

    Parameters
    ----------
    scores : float array (..., O)
    targets : integer array (...)
        Classes, 0 .. O-1.
    mask, returns, raises
        As in :func:`mean_squared_error`.

    Examples
    --------
    >>> loss, dscores = cross_entropy([[0.0, 0.0]], [1])
    >>> round(loss, 4), dscores
    (0.6931, array([[ 0.5, -0.5]], dtype=float32))
    """
    classes = as_array(targets, "targets")
    if classes.dtype.kind not in "iu":
        raise TypeError(f"targets: expected integer classes, got dtype {classes.dtype}")
    return _loss("cross_entropy", scores, classes, mask)


def binary_cross_entropy(scores: Any, targets: Any, mask: Any = None) -> tuple[float, Float32]:
    """Mean of -y log p - (1 - y) log(1 - p), p = sigmoid(score), and its gradient by the scores.

    Parameters
    ----------
    scores : float array (..., O)
        Before the sigmoid, as for torch.nn.BCEWithLogitsLoss.
    targets : float array (..., O)
        y, usually 0 or 1.
    mask, returns, raises
        As in :func:`mean_squared_error`.

    Examples
    --------
    >>> loss, dscores = binary_cross_entropy([[0.0]], [[1.0]])
    >>> round(loss, 4), dscores
    (0.6931, array([[-0.5]], dtype=float32))
    """
    return _loss("binary_cross_entropy", scores, as_float32(targets, "targets"), mask)


def _loss(kind: str, scores: Any, targets: NDArray[Any], mask: Any) -> tuple[float, Float32]:
    rows = as_float32(scores, "scores")
    if rows.ndim < 1:
        raise ValueError(f"scores: expected shape (..., O), got {rows.shape}")
    return _core.loss(kind, rows, targets, None if mask is None else as_array(mask, "mask"))


# --- what training minimises and shows -----------------------------------------------------------


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

    def __call__(
        self, scores: Float32, batch: Batch, scratch: _core.Scratch
    ) -> tuple[float, Float32]:
        """Mean loss over the targets that count, and its gradient by the scores."""
        return _core.loss(self.kind, scores, batch.targets, batch.mask, scratch)

    def of_one_answer(self, targets: Sequence[Array]) -> float:
        """The least mean loss that scores can have which are the same for every input.

        Those are the targets' mean, or what makes a softmax or sigmoid their classes' shares, whose
        loss is the shares' entropy. Targets are as `fit` was given them, not in units of a scale.
        """
        if self.kind == "mse":
            std = 1.0 if self.output_std is None else self.output_std.astype(np.float64)
            return float((data.moments(targets)[1] / np.square(std)).mean())
        counts = np.unique(np.concatenate(targets), return_counts=True)[1]
        shares = counts / counts.sum()
        return float(-(shares * np.log(shares)).sum())

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
            errors = (scores - batch.targets).astype(np.float64) * std  # squares outgrow float32
            rows = np.square(errors).mean(axis=-1)
        return float(rows.mean() if batch.mask is None else rows[batch.mask].mean())
