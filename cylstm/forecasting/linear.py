"""The linear path of a forecast: one ridge regression for each lead, chosen by later windows.

Every candidate is an anchor (a naive forecast) plus a ridge regression on the window, so that the
weighted mean of candidates is again one linear map of the window. It follows trends and seasons
from few rows, where a network alone would not.

Letters: M windows, W rows in a window, K leads (rows ahead), Q known future inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Penalties, as multiples of the mean square of the regression's inputs.
PENALTIES = (1e-6, 1e-4, 1e-2, 1e-1, 1.0, 1e3)
#: The parts of the windows, in the order of time, that rolling-origin evaluation judges by.
FOLD_EDGES = (0.6, 0.8, 1.0)


@dataclass(frozen=True)
class LinearPath:
    """A linear map of a window and of the known future inputs to each lead.

    Attributes
    ----------
    window : ndarray of float64, shape (K, W)
        Weights of the window's values, oldest first.
    future : ndarray of float64, shape (K, Q)
        Weights of the known inputs of the row that is forecast.
    bias : ndarray of float64, shape (K,)
    """

    window: Floats
    future: Floats
    bias: Floats

    @classmethod
    def last_value(cls, horizon: int, window: int, inputs: int = 0) -> LinearPath:
        """The forecast that nothing changes."""
        weights = np.zeros((horizon, window))
        weights[:, -1] = 1.0
        return cls(weights, np.zeros((horizon, inputs)), np.zeros(horizon))

    def __call__(self, windows: Floats, future: Floats) -> Floats:
        """Forecast, (M, K), from windows (M, W) and future inputs (M, K, Q)."""
        return windows @ self.window.T + np.einsum("mkq,kq->mk", future, self.future) + self.bias

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a model file."""
        return {name: getattr(self, name).tolist() for name in ("window", "future", "bias")}

    @classmethod
    def from_dict(
        cls, data: Mapping[str, Any], horizon: int, window: int, inputs: int
    ) -> LinearPath:
        """Inverse of `to_dict`; ValueError for other shapes or values that are not finite."""
        shapes = {"window": (horizon, window), "future": (horizon, inputs), "bias": (horizon,)}
        arrays = {name: np.array(data[name], np.float64) for name in shapes}
        for name, shape in shapes.items():
            if arrays[name].shape != shape or not np.isfinite(arrays[name]).all():
                raise ValueError(f"linear path: {name} is not {shape} finite numbers")
        return cls(**arrays)


def fit_linear(
    windows: Floats,
    future: Floats,
    targets: Floats,
    place: Floats,
    fitted: NDArray[np.bool_],
    season: int = 0,
) -> LinearPath:
    """Choose candidates by rolling origin and fit them.

    Parameters
    ----------
    windows : ndarray of float64, shape (M, W)
    future : ndarray of float64, shape (M, K, Q)
    targets : ndarray of float64, shape (M, K)
    place : ndarray of float64, shape (M,)
        Where in its series a window ends, from 0 to 1: each fold is fitted to what lies before it.
    fitted : ndarray of bool, shape (M,)
        The windows that the chosen candidates are fitted to.
    season : int
        Rows in a season; 0 if there is none.

    Returns
    -------
    LinearPath
    """
    folds, width = _folds(place), windows.shape[1]
    origin = windows.mean()  # products of what is far from zero would lose what it varies by
    paths = []
    for lead in range(1, targets.shape[1] + 1):
        rows = _Rows(windows - origin, future[:, lead - 1], targets[:, lead - 1] - origin)
        sums = [(rows.moments(before), rows.moments(judged)) for before, judged in folds]
        candidates = list(_candidates(width, lead, season))
        errors = [
            sum(judged.error(before.fit(*candidate)) for before, judged in sums)
            for candidate in candidates
        ]
        shares = _shares(errors, [anchor for anchor, *_ in candidates])
        whole = rows.moments(fitted)
        paths.append(sum(share * whole.fit(*candidates[i]) for i, share in shares.items()))
    weights = np.array(paths)
    bias = weights[:, -1] + origin * (1.0 - weights[:, :width].sum(axis=1))
    return LinearPath(weights[:, :width], weights[:, width:-1], bias)


def _folds(place: Floats) -> list[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Windows to fit to and later ones to judge by; all for both where there are too few."""
    edges = np.quantile(place, FOLD_EDGES)
    folds = [(place < first, (place >= first) & (place <= last)) for first, last in pairwise(edges)]
    everything = np.ones(len(place), bool)
    return [fold for fold in folds if fold[0].any()] or [(everything, everything)]


def _shares(errors: list[float], anchors: list[Floats]) -> dict[int, float]:
    """The best candidate of each anchor, weighted by its inverse squared mean squared error.

    Several anchors are steadier than the one that a few folds favour.
    """
    best: dict[bytes, int] = {}
    for i in np.argsort(errors, kind="stable"):
        best.setdefault(anchors[i].tobytes(), int(i))
    weights = {i: max(errors[i], 1e-12) ** -2.0 for i in best.values()}
    return {i: weight / sum(weights.values()) for i, weight in weights.items()}


def _candidates(width: int, lead: int, season: int) -> Iterator[tuple[Floats, bool, int, float]]:
    """Anchor (weights of the window), whether levels are regressed on, lags, penalty."""
    lags = sorted({width, min(width, 12), min(width, 4), min(width, max(season + 1, 1))})
    zero, last = np.zeros(width), np.eye(width)[-1]
    anchors = [(zero, True), (last, False)]
    if season:
        ago = season * -(-lead // season) - lead  # rows before the last, of the same place
        place = np.eye(width)[-1 - ago]
        anchors.append((place, False))
        if width > season:  # the last season again, moved by the change since a season ago
            anchors.append((place + last - np.eye(width)[-1 - season], False))
    for (anchor, levels), count, penalty in product(anchors, lags, PENALTIES):
        yield anchor, levels, count, penalty


class _Rows:
    """Windows, known future inputs and targets of one lead, side by side."""

    def __init__(self, windows: Floats, future: Floats, targets: Floats) -> None:
        self.table = np.column_stack([windows, future, np.ones(len(windows)), targets])
        self.width = windows.shape[1]

    def moments(self, chosen: NDArray[np.bool_]) -> _Moments:
        part = self.table[chosen]
        return _Moments(part.T @ part, self.width)


@dataclass(frozen=True)
class _Moments:
    """Sums of products over some rows: all that their regressions and errors depend on.

    Attributes
    ----------
    sums : ndarray of float64, shape (W + Q + 2, W + Q + 2)
        Of windows, future inputs, 1 and the target, in this order.
    width : int
        W.
    """

    sums: Floats
    width: int

    def fit(self, anchor: Floats, levels: bool, lags: int, alpha: float) -> Floats:
        """Weights of the whole window, of the future inputs and the bias, in one vector."""
        basis = self._basis(levels, lags)
        inputs, count = self.sums[:-2], self.sums[-2, -2]
        rest = (
            self.sums[:-1, -1] - self.sums[:-1, : self.width] @ anchor
        )  # products with what the anchor leaves
        mean, offset = basis.T @ inputs[:, -2] / count, rest[-1] / count
        gram = basis.T @ inputs[:, :-2] @ basis - count * np.outer(mean, mean)
        penalty = alpha * max(np.trace(gram) / max(len(gram), 1), 1e-12)
        products = basis.T @ rest[:-1] - count * mean * offset
        slope = np.linalg.solve(gram + penalty * np.eye(len(gram)), products)
        weights = basis @ slope
        weights[: self.width] += anchor
        return np.append(weights, offset - mean @ slope)

    def error(self, weights: Floats) -> float:
        """Sum of squared errors of such weights over the rows."""
        misses = np.append(weights, -1.0)
        return max(float(misses @ self.sums @ misses), 0.0)

    def _basis(self, levels: bool, lags: int) -> Floats:
        """Columns of the regression as combinations of the inputs: levels, or less the last."""
        size = len(self.sums) - 2
        basis = np.eye(size)[:, self.width - lags :]
        if not levels:
            basis[self.width - 1, : lags - 1] = -1.0
            basis = np.delete(basis, lags - 1, axis=1)
        return basis
