"""The linear path of a forecast: simple forecasts and regressions, weighted by what came later.

Each candidate starts from an anchor, which is a forecast in closed form (the last value, the last
season, exponential smoothing), and adds a ridge regression of what the anchor leaves on the
window's values. Anchors and regressions are linear maps of the window, and so is their weighted
mean. It follows trends and seasons from few rows, where a network alone would not.

Which candidates count, and how much, is decided by rolling origin: they are fitted to the windows
before a point in time and judged by those after it; the weights, none negative and of sum 1, are
those of the least squared error there (stacked regression, Breiman 1996).

Letters: M windows, W rows in a window, K leads (rows ahead), Q known future inputs, A anchors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .anchors import make_anchors

Floats = NDArray[np.float64]
Chosen = NDArray[np.bool_]

#: Penalties, as multiples of the mean square of the regression's inputs.
PENALTIES = (10.0, 1.0, 1e-1, 1e-2, 1e-4, 1e-6)
#: The parts of the windows, in the order of time, that rolling-origin evaluation judges by.
FOLD_EDGES = ((0.6, 0.8, 1.0), (0.7, 0.85, 1.0))
#: Lags of a regression, at most: as many, and as a share of the windows that it is fitted to.
MOST_LAGS, LAGS_PER_WINDOW = 64, 1 / 4
#: Leads that lie within this share of a lead are judged together with it.
NEAR = 1 / 3


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
    fitted: Chosen,
    season: int = 0,
) -> LinearPath:
    """Weigh candidates by rolling origin and fit them.

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
    horizon, width = targets.shape[1], windows.shape[1]
    folds = _folds(place)
    origin = windows.mean()  # products of what is far from zero would lose what it varies by
    naive, smoothed = make_anchors(width, horizon, season)
    lags = _lags(width, season, min(int(before.sum()) for before, _ in folds))
    rows = _Rows(windows - origin, future, targets - origin)
    parts = [(rows.part(before), rows.part(judged)) for before, judged in folds]
    whole = rows.part(fitted)
    finals, errors = [], []
    for lead in range(horizon):
        anchors = naive[:, lead], np.concatenate(smoothed)[:, lead]
        products = [
            judged.moments(lead).error_products(before.moments(lead).candidates(*anchors, lags))
            for before, judged in parts
        ]
        errors.append(np.sum(products, axis=0))
        finals.append(whole.moments(lead).candidates(*anchors, lags))
    kinds = _kinds(len(naive), [len(each) for each in smoothed], len(errors[0]))
    judged_windows = sum(int(judged.sum()) for _, judged in folds) / len(FOLD_EDGES)
    shares = [
        _stack(pooled, kinds, judged_windows / lead)  # since targets overlap
        for lead, pooled in enumerate(_with_near_leads(errors), start=1)
    ]
    weights = np.array([share @ final for share, final in zip(shares, finals, strict=True)])
    bias = weights[:, -1] + origin * (1.0 - weights[:, :width].sum(axis=1))
    return LinearPath(weights[:, :width], weights[:, width:-1], bias)


# --- rolling origin ------------------------------------------------------------------------------


def _folds(place: Floats) -> list[tuple[Chosen, Chosen]]:
    """Windows to fit to and later ones to judge by; all for both where there are too few."""
    folds = []
    for shares in FOLD_EDGES:
        edges = np.quantile(place, shares)
        folds += [
            (place < first, (place >= first) & (place <= last)) for first, last in pairwise(edges)
        ]
    everything = np.ones(len(place), bool)
    return [fold for fold in folds if fold[0].any()] or [(everything, everything)]


def _lags(width: int, season: int, windows: int) -> list[int]:
    """How many of the last rows a regression looks at: some counts to choose from."""
    most = max(1, min(width, MOST_LAGS, int(LAGS_PER_WINDOW * windows)))
    return sorted({min(most, count) for count in (1, 2, 4, 12, season + 1, width)})


def _with_near_leads(errors: Sequence[Floats]) -> Iterator[Floats]:
    """Each lead's products of errors with those of the leads near it, all in units of the best."""
    units = [products / max(np.diag(products).min(), 1e-300) for products in errors]
    for lead in range(1, len(units) + 1):
        reach = int(NEAR * lead)
        yield np.sum(units[max(lead - 1 - reach, 0) : lead + reach], axis=0)


def _kinds(naive: int, smoothed: Sequence[int], candidates: int) -> list[slice]:
    """Which candidates are of one kind, in their order in `_Moments.candidates`."""
    each = (candidates - 2 * sum(smoothed)) // naive
    sizes = [each] * naive + [2 * count for count in smoothed]
    return [slice(stop - size, stop) for size, stop in zip(sizes, np.cumsum(sizes), strict=True)]


def _stack(products: Floats, kinds: Sequence[slice], windows: float) -> Floats:
    """Weights of the candidates from the products of their errors in so many windows.

    Of each kind only the best counts, since they are much alike. How far two kinds err together is
    known from so many windows, and is drawn to nothing as if one more had said so.
    """
    from scipy.optimize import nnls

    squares = np.diag(products)
    best = [kind.start + int(squares[kind].argmin()) for kind in kinds]
    own = np.diag(squares[best])
    shrunk = (windows * products[np.ix_(best, best)] + own) / (windows + 1.0)
    # The least a' E a with sum 1 is that of |R a|^2, R'R = E, where the sum has a large weight.
    values, vectors = np.linalg.eigh(shrunk)
    root = np.sqrt(np.maximum(values, 0.0))[:, None] * vectors.T
    weight = 1e3 * np.sqrt(own.max()) or 1.0
    found, _ = nnls(
        np.vstack([root, np.full(len(best), weight)]), np.append(np.zeros(len(best)), weight)
    )
    shares = np.zeros(len(products))
    shares[best] = found / found.sum()
    return shares


# --- regressions ---------------------------------------------------------------------------------


class _Rows:
    """Windows, known future inputs and targets of some rows."""

    def __init__(self, windows: Floats, future: Floats, targets: Floats) -> None:
        self.windows, self.future, self.targets = windows, future, targets
        self.products = windows.T @ windows

    def part(self, chosen: Chosen) -> _Rows:
        return _Rows(self.windows[chosen], self.future[chosen], self.targets[chosen])

    def moments(self, lead: int) -> _Moments:
        """Sums of products for one lead, which share those of the windows."""
        ones = np.ones(len(self.windows))
        others = np.column_stack([self.future[:, lead], ones, self.targets[:, lead]])
        across = self.windows.T @ others
        sums = np.block([[self.products, across], [across.T, others.T @ others]])
        return _Moments(sums, self.windows.shape[1])


class _Moments(NamedTuple):
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

    def candidates(self, naive: Floats, smoothed: Floats, lags: Sequence[int]) -> Floats:
        """Weights of windows, future inputs and 1 of each candidate, from simple to complex.

        Each naive anchor (A, W) alone, with a bias, and with ridge regressions of each number of
        lags and penalty; then each smoothed anchor alone and with a bias.
        """
        size = len(self.sums) - 1
        alone, rest = self._leave(naive)
        found = [alone, self._with_bias(alone, rest)]
        for count in lags:
            ridges = [self._ridges(alone[:1], rest[:1], count, levels=True)]
            if len(alone) > 1:
                ridges.append(self._ridges(alone[1:], rest[1:], count, levels=False))
            found += [np.concatenate(each) for each in zip(*ridges, strict=True)]
        regressed = np.stack(found, axis=1).reshape(-1, size)
        alone, rest = self._leave(smoothed)
        shifted = np.stack([alone, self._with_bias(alone, rest)], axis=1).reshape(-1, size)
        return np.concatenate([regressed, shifted])

    def _leave(self, anchors: Floats) -> tuple[Floats, Floats]:
        """Anchors as weights, and the products of inputs with what they leave of the targets."""
        alone = np.zeros((len(anchors), len(self.sums) - 1))
        alone[:, : self.width] = anchors
        return alone, self.sums[:-1, -1] - alone @ self.sums[:-1, :-1]

    def _with_bias(self, alone: Floats, rest: Floats) -> Floats:
        weights = alone.copy()
        weights[:, -1] = rest[:, -1] / self.sums[-2, -2]
        return weights

    def _ridges(self, alone: Floats, rest: Floats, lags: int, *, levels: bool) -> Iterator[Floats]:
        """Ridge regressions of what anchors leave on the last `lags` values, for each penalty.

        On the values themselves or, unless `levels`, on how far they are from the last one: a
        series that wanders is not drawn back to where it was.
        """
        inputs, count = slice(self.width - lags, len(self.sums) - 2), self.sums[-2, -2]
        basis = np.eye(inputs.stop - inputs.start)
        if not levels:
            basis[lags - 1, : lags - 1] = -1.0
            basis = np.delete(basis, lags - 1, axis=1)
        mean, offset = basis.T @ self.sums[inputs, -2] / count, rest[:, -1] / count
        gram = basis.T @ self.sums[inputs, inputs] @ basis - count * np.outer(mean, mean)
        products = rest[:, inputs] @ basis - count * np.outer(offset, mean)
        values, vectors = np.linalg.eigh(gram)
        scale = max(values.sum() / max(len(values), 1), 1e-12)
        for penalty in PENALTIES:
            slopes = (products @ vectors / (np.maximum(values, 0) + penalty * scale)) @ vectors.T
            weights = alone.copy()
            weights[:, inputs] += slopes @ basis.T
            weights[:, -1] = offset - slopes @ mean
            yield weights

    def error_products(self, weights: Floats) -> Floats:
        """Sums over the rows of the products of each two candidates' errors."""
        misses = np.column_stack([weights, np.full(len(weights), -1.0)])
        return misses @ self.sums @ misses.T
