"""What happened in training, epoch by epoch."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self


@dataclass(frozen=True)
class History:
    """One number per epoch in each list.

    Attributes
    ----------
    loss : list of float
        Mean training loss over the epoch, dropout included, as the weights changed.
    validation_loss : list of float
        After the epoch; NaN where there is no validation part.
    validation_score : list of float
        After the epoch, in the terms of `score_name`; NaN where there is no validation part.
    learning_rate : list of float
        Of the last optimiser step.
    gradient_norm : list of float
        Mean over the steps, before clipping.
    seconds : list of float
        For training, without validation.
    speed : list of float
        `unit` per second of training.
    steps : list of int
        Optimiser steps.
    score_name : str
        "accuracy" (classification), "mse" in the targets' own units (regression) or
        "bits_per_token" (language).
    unit : str
        What `speed` counts: "sequences"; "tokens" (language) or "steps" with carried state.
    stopped : str
        Why training ended: "epochs" (all done), "patience" (no improvement), "interrupted"
        (Ctrl-C) or "diverged"; empty while it runs.
    """

    score_name: str
    unit: str
    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_score: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    gradient_norm: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    stopped: str = ""

    @classmethod
    def columns(cls) -> list[str]:
        """Names of the lists."""
        return [entry.name for entry in fields(cls) if entry.default_factory is list]

    def __len__(self) -> int:
        """How many epochs are finished."""
        return len(self.loss)

    @property
    def monitored(self) -> list[float]:
        """The loss that early stopping and schedules watch: of validation, else of training."""
        return self.loss if any(map(math.isnan, self.validation_loss)) else self.validation_loss

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 0, with the least monitored loss; -1 before the first."""
        return min(range(len(self)), key=self.monitored.__getitem__, default=-1)

    def extended(self, **epoch: float) -> Self:
        """The history with one epoch more: a new object, so that no interrupt can halve it."""
        columns: dict[str, Any] = {
            name: [*getattr(self, name), epoch[name]] for name in self.columns()
        }
        return replace(self, **columns)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and words, as JSON or pandas take them."""
        return asdict(self)

    def plot(self, axes: Any = None) -> Any:
        """Plot the losses over the epochs; needs matplotlib.

        Parameters
        ----------
        axes : matplotlib Axes, optional
            By default those of a new figure.

        Returns
        -------
        matplotlib Axes
        """
        if axes is None:
            from matplotlib import pyplot

            axes = pyplot.subplots()[1]
        epochs = range(1, len(self) + 1)
        axes.plot(epochs, self.loss, label="training")
        if self.monitored is not self.loss:
            axes.plot(epochs, self.validation_loss, label="validation")
            axes.axvline(self.best_epoch + 1, color="grey", linestyle=":", label="best")
        axes.set(xlabel="epoch", ylabel="loss")
        axes.legend()
        return axes
