"""Forecasts in closed form as linear maps of a window: what regressions start from.

Exponential smoothing with fixed parameters is linear in the values that it is run over: its
weights are what it makes of the unit vectors (Hyndman and Athanasopoulos, Forecasting: Principles
and Practice, chapter 8).

Letters: W rows in a window, K leads, A anchors.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: How fast the level, the trend and the season follow the values, and how the trend goes on.
LEVELS = (0.2, 0.5, 0.8)
TRENDS = (0.1, 0.4)
SEASONS = (0.2, 0.5)
DAMPING = (0.9, 1.0)


def make_anchors(width: int, horizon: int, season: int) -> tuple[Floats, list[Floats]]:
    """The naive forecasts, zero first, and kinds of smoothed ones that a window has room for.

    Returns
    -------
    naive : ndarray of float64, shape (A, K, W)
    smoothed : list of ndarray of float64, shape (A_i, K, W) each
    """
    unit, naive = np.eye(width), np.stack(list(_naive(width, horizon, season)))
    mean = np.full((horizon, width), 1.0 / width)
    kinds = [[mean, *(_smoothed(unit, horizon, level) for level in LEVELS)]]
    if width > 2:
        kinds.append([_smoothed(unit, horizon, *each) for each in product(LEVELS, TRENDS, DAMPING)])
    if season and width >= 2 * season:
        options = product(LEVELS, SEASONS, (0.0, *DAMPING))
        kinds.append([_smoothed_season(unit, horizon, season, *each) for each in options])
    return naive, [np.stack(kind) for kind in kinds]


def _naive(width: int, horizon: int, season: int) -> Iterator[Floats]:
    unit = np.eye(width)
    yield np.zeros((horizon, width))
    yield np.tile(unit[-1], (horizon, 1))
    if not season or width < season:
        return
    leads = np.arange(1, horizon + 1)
    ago = season * -(-leads // season) - leads  # rows before the last, of the same place
    place = unit[width - 1 - ago]
    yield place
    if width > season:  # the last season again, moved by the change since a season ago
        yield place + unit[-1] - unit[-1 - season]


def _smoothed(
    unit: Floats, horizon: int, level: float, trend: float = 0.0, damping: float = 0.0
) -> Floats:
    """Exponential smoothing of a level and, unless damping is 0, of a trend."""
    # l' = l + phi b,  e = y - l',  l = l' + alpha e,  b = phi b + alpha beta e
    now, slope = unit[0], damping * (unit[-1] - unit[0]) / (len(unit) - 1)
    for value in unit[1:]:
        now = now + damping * slope
        miss = value - now
        now, slope = now + level * miss, damping * slope + level * trend * miss
    return now + np.outer(_sums_of_powers(damping, horizon), slope)


def _smoothed_season(
    unit: Floats, horizon: int, season: int, level: float, part: float, damping: float
) -> Floats:
    """The same with an additive season of `season` rows, and a trend unless damping is 0."""
    first, second = unit[:season].mean(axis=0), unit[season : 2 * season].mean(axis=0)
    slope = damping * (second - first) / season
    now = first + slope * (season - 1) / 2
    steps = np.arange(season) - (season - 1) / 2
    places = list(unit[:season] - first - np.outer(steps, slope))
    for row in range(season, len(unit)):
        now = now + damping * slope
        miss = unit[row] - now - places[row % season]
        now, slope = now + level * miss, damping * slope + 0.1 * level * miss * (damping > 0)
        places[row % season] = places[row % season] + part * miss
    ahead = np.stack([places[(len(unit) + lead) % season] for lead in range(horizon)])
    return now + np.outer(_sums_of_powers(damping, horizon), slope) + ahead


def _sums_of_powers(damping: float, horizon: int) -> Floats:
    """phi + phi^2 + ... up to each lead."""
    return np.cumsum(damping ** np.arange(1, horizon + 1))
