"""Whether two libraries computed the same thing: nobody is timed for doing less."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import numpy as np

from benchmarks.peers.base import NotOfferedError

# Far above float32's rounding in the longest cell, far below bfloat16's or a forgotten term's.
TOLERANCE = {"y": 1e-4, "h": 1e-4, "c": 1e-4, "loss": 1e-4, "dx": 1e-3, "gradient": 1e-3}
TOLERANCE["steps"] = 1e-5  # a small cell in plain float32, step by step
# Adam's first step is the learning rate times the gradient's sign, so elements whose gradient is
# about nothing go either way; over a whole tensor they are few.
UPDATE_TOLERANCE = 0.05
SMALLEST = float(np.finfo(np.float32).tiny)


class Comparable(Protocol):
    """A task, wherever it runs."""

    def outputs(self) -> dict[str, np.ndarray]:
        """Of `Task.outputs`."""


P = TypeVar("P")  # what a task is built from
T = TypeVar("T", bound=Comparable)


def agreeing_tasks(
    peers: Mapping[str, P], build: Callable[[P], T]
) -> tuple[dict[str, T], dict[str, str]]:
    """Build every library's task and keep those whose outputs agree with the first one's.

    Returns
    -------
    tasks : dict of str to what `build` gives
    notes : dict of str to str
        Of the others, why: ``"-"`` (not offered), ``"failed: ..."`` or ``"wrong: ..."``.
    """
    tasks: dict[str, T] = {}
    notes: dict[str, str] = {}
    reference: dict[str, np.ndarray] = {}
    for name, peer in peers.items():
        try:
            task = build(peer)
            outputs = task.outputs()
        except NotOfferedError:
            notes[name] = "-"
        except Exception as error:  # a library that breaks must not end the others' run
            notes[name] = f"failed: {type(error).__name__}: {error}"
        else:
            reference = reference or outputs
            if wrong := disagreement(outputs, reference):
                notes[name] = f"wrong: {wrong}"
            else:
                tasks[name] = task
    return tasks, notes


def disagreement(outputs: dict[str, np.ndarray], reference: dict[str, np.ndarray]) -> str | None:
    """Compare two libraries' outputs (as `Task.outputs` names them).

    The final states ``h`` and ``c`` are compared where both give them, all else must be there.

    Returns
    -------
    str or None
        What is wrong, or None where all outputs agree.
    """
    for name in reference.keys() - {"h", "c"}:
        if name not in outputs:
            return f"no {name}"
    for name in sorted(reference.keys() & outputs.keys()):
        ours, theirs = np.asarray(outputs[name]), np.asarray(reference[name])
        if ours.shape != theirs.shape:
            return f"{name} has shape {ours.shape}, not {theirs.shape}"
        kind = name.split()[0]
        error, allowed = difference(kind, ours, theirs)
        if not error <= allowed:
            return f"{name} differs by {error:.1e}, more than {allowed:.0e}"
    return None


def difference(kind: str, ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """Relative difference of two arrays and the one allowed for their kind.

    Updates: the norm of the difference over the norm; all else: max|a - b| / max|b|. Where the
    reference is zero, as the recurrent weights' gradient of a single step, nothing but zero agrees.
    """
    size, allowed = (norm, UPDATE_TOLERANCE) if kind == "update" else (largest, TOLERANCE[kind])
    return size(ours - theirs) / max(size(theirs), SMALLEST), allowed


def norm(array: np.ndarray) -> float:
    """Square root of the sum of squares."""
    return float(np.linalg.norm(array))


def largest(array: np.ndarray) -> float:
    """Greatest absolute value."""
    return float(np.max(np.abs(array)))
