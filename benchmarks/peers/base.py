"""The protocol behind which every library stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.characters import Characters
from benchmarks.problem import Problem

Stepper = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Task:
    """One library's work on one cell, ready to be timed.

    Attributes
    ----------
    run : callable
        Does the work once and returns when it is done.
    outputs : callable
        Does the work from the problem's weights (so before any `run`) and returns what came out,
        by name. Inference: ``y`` and, where the library gives them, ``h`` and ``c``.
        Training: two steps, so that a gradient which is not cleared shows; ``loss``, ``dx`` and
        ``gradient NAME`` of the second, ``update NAME`` by both, for each parameter.
    """

    run: Callable[[], object]
    outputs: Callable[[], dict[str, np.ndarray]]


class NotOfferedError(Exception):
    """The library does not do this work."""


class Peer:
    """A library that runs the cells.

    Every method gets a problem and the number of threads that one call may use, and raises
    NotOfferedError in a library that cannot or does not do this work.
    """

    def inference(self, problem: Problem, threads: int) -> Task:
        """Forward over the whole sequence: outputs of every step and the final state."""
        raise NotOfferedError

    def training(self, problem: Problem, threads: int, need_dx: bool) -> Task:
        """Forward, mean squared error, backward, and an Adam step at `LEARNING_RATE`."""
        raise NotOfferedError

    def stream(self, problem: Problem, threads: int) -> Stepper:
        """Make a function of one step, (B, I) to (B, H), that carries its own state."""
        raise NotOfferedError

    def characters(self, problem: Characters, threads: int) -> Task:
        """Train the character model over the whole text; `Task.outputs` has the mean ``loss``."""
        raise NotOfferedError


def training_outputs(
    loss: object,
    gradients: dict[str, np.ndarray],
    before: dict[str, np.ndarray],
    after: dict[str, np.ndarray],
    dx: np.ndarray | None,
) -> dict[str, np.ndarray]:
    """Name the outcome of training as `Task.outputs` says."""
    outputs = {"loss": np.asarray(loss)} | ({} if dx is None else {"dx": dx})
    for name, weights in before.items():
        outputs[f"gradient {name}"] = gradients[name]
        outputs[f"update {name}"] = after[name] - weights
    return outputs
