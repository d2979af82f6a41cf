"""The data of a cell: the same weights, inputs and targets for every library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.cells import Cell

LEARNING_RATE = 1e-4


@dataclass(frozen=True)
class Problem:
    """Random float32 data for one cell.

    Attributes
    ----------
    cell : Cell
    weights : dict of str to ndarray
        Parameters under PyTorch's names, in PyTorch's order, shapes and gate order.
    x : ndarray of shape (T, B, I)
    lengths : ndarray of int64, shape (B,), or None
    mask : ndarray of float32, shape (T, B, 1)
        1 where a step is real, 0 where it is padding.
    target : ndarray of shape (T, B, D*H)
        What training aims at by mean squared error; 0 in the padding.
    """

    cell: Cell
    weights: dict[str, np.ndarray]
    x: np.ndarray
    lengths: np.ndarray | None
    mask: np.ndarray
    target: np.ndarray


def make_problem(cell: Cell, seed: int = 0) -> Problem:
    """Draw the data of a cell; weights are uniform in ±1/sqrt(H), as torch.nn.LSTM's default."""
    rng = np.random.default_rng(seed)
    bound = cell.hidden**-0.5
    weights = {
        name: rng.uniform(-bound, bound, shape).astype(np.float32)
        for name, shape in parameter_shapes(cell).items()
    }
    lengths = None if cell.lengths is None else np.array(cell.lengths)
    mask = np.ones((cell.steps, cell.batch, 1), np.float32)
    if lengths is not None:
        mask[...] = np.arange(cell.steps)[:, None, None] < lengths[:, None]
    size = (cell.steps, cell.batch)
    x = rng.standard_normal((*size, cell.inputs), np.float32) * mask
    target = rng.uniform(-1, 1, (*size, cell.directions * cell.hidden)).astype(np.float32) * mask
    return Problem(cell, weights, x, lengths, mask, target)


def parameter_shapes(cell: Cell) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an LSTM's parameters, as in torch.nn.LSTM.

    Examples
    --------
    >>> parameter_shapes(Cell("grid", 1, 1, 3, 2))["weight_ih_l0"]
    (8, 3)
    """
    shapes: dict[str, tuple[int, ...]] = {}
    gates = 4 * cell.hidden
    for layer, inputs in enumerate(cell.layer_inputs):
        for suffix in suffixes(cell, layer):
            shapes[f"weight_ih{suffix}"] = (gates, inputs)
            shapes[f"weight_hh{suffix}"] = (gates, cell.hidden)
            shapes[f"bias_ih{suffix}"] = (gates,)
            shapes[f"bias_hh{suffix}"] = (gates,)
    return shapes


def suffixes(cell: Cell, layer: int) -> list[str]:
    """Ends of the parameter names of one layer, a direction each."""
    return [f"_l{layer}", f"_l{layer}_reverse"][: cell.directions]
