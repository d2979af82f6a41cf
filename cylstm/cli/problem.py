"""From a table to the sequences and targets of a model, and from its outputs back.

Three tasks: `forecast` predicts the target of the next rows from a window of past ones,
`regression` and `classification` predict the target of a row from the window that ends there.
Windows are views on one matrix of features, so that they cost no memory.

Letters: N positions (rows in time order, see `tables.Timeline`), F features, M windows,
K rows ahead (the horizon).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cylstm.arrays import needs_float64
from cylstm.forecasting import fit_linear
from cylstm.tables import CalendarColumn, Column, Table, Timeline

from .recipe import Recipe, deviation

if TYPE_CHECKING:
    from cylstm import SequenceModel

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

#: How many windows of no correction the share of the network's correction is weighed against.
PRIOR_WINDOWS = 4
#: Windows from which the linear path learns, at most: of more, one of every few. It has some tens
#: of weights, and neighbours share most of their values.
MOST_WINDOWS = 20_000
#: Windows that are looked at together: a view, or a copy for the linear path, of each takes memory.
BLOCK = 2**12


class Problem:
    """A table under a recipe: which windows there are, what goes in and what should come out."""

    def __init__(self, recipe: Recipe, table: Table, timeline: Timeline) -> None:
        self.recipe, self.table, self.timeline = recipe, table, timeline
        self._read_target()
        self.features = self._features()

    def _features(self) -> NDArray[Any]:
        """All features, (N, F): float32 where that tells values apart, else float64.

        Columns are encoded twice, so that all of them never lie there as float64.
        """
        width, wide = 0, False
        for block in self._blocks():
            width += block.shape[1]
            wide = wide or needs_float64(block.mean(axis=0), block.std(axis=0))
        features = np.empty((len(self.timeline), width), np.float64 if wide else np.float32)
        stop = 0
        for block in self._blocks():
            start, stop = stop, stop + block.shape[1]
            features[:, start:stop] = block
        return features

    def _blocks(self) -> Iterator[Floats]:
        """The features column by column, each (N, any number)."""
        yield self._history()
        columns: list[Column | CalendarColumn] = [*self.recipe.columns, *self.recipe.calendar]
        for column in columns:
            yield column.encode(self.table, self.timeline)

    def sequences(self, ends: Positions) -> list[NDArray[Any]]:
        """The model's input for windows that end at these positions: views, (T_i, F)."""
        firsts = np.maximum(self.timeline.start[ends], ends - self.recipe.window + 1)
        return [self.features[a : b + 1] for a, b in zip(firsts, ends, strict=True)]

    def release_table(self) -> None:
        """Give up the table: training needs the features and the target alone."""
        del self.table

    def ends(self) -> Positions:
        """Where windows end that a model can be asked about."""
        raise NotImplementedError

    def known_ends(self, inside: NDArray[np.bool_]) -> Positions:
        """Where windows end whose targets are known and lie `inside`, a run of each series."""
        raise NotImplementedError

    def targets(self, ends: Positions) -> NDArray[Any]:
        """What the model is to learn for these windows."""
        raise NotImplementedError

    def truth(self, ends: Positions) -> NDArray[Any]:
        """What the target really was, as `predict` gives it."""
        return self.targets(ends)

    def predict(self, model: SequenceModel, ends: Positions) -> NDArray[Any]:
        """What a model says for these windows, in the target's own terms."""
        blocks = [ends[begin : begin + BLOCK] for begin in range(0, len(ends), BLOCK)]
        return np.concatenate([model.predict(self.sequences(block)) for block in blocks])

    def unit(self, model: SequenceModel) -> float | None:
        """What predicted numbers differ by, about; None for what is written to seven digits."""
        return None

    def baselines(self, ends: Positions, training: Positions) -> dict[str, NDArray[Any]]:
        """What one would say without a model, knowing the training windows; by name."""
        raise NotImplementedError

    def prepare(self, training: Positions, past: Positions) -> None:
        """Learn what comes before the network from all windows but the held-out ones, `past`."""

    def finish(self, model: SequenceModel, validation: Positions, past: Positions) -> None:
        """Learn what comes after the network; like `prepare` it changes the recipe."""

    def _read_target(self) -> None:
        raise NotImplementedError

    def _history(self) -> Floats:
        """Features made of the target's own past, (N, any number)."""
        return np.empty((len(self.timeline), 0))


class RowProblem(Problem):
    """Predict the target of the row that a window ends with; targets have shape (M,)."""

    def _read_target(self) -> None:
        target, rows = self.recipe.target, self.timeline.rows
        if target in self.table.columns:
            self.known = ~self.table.missing(target)[rows]
            self.values = self._read_values()[rows]
        else:  # then the table can only be predicted
            self.known = np.zeros(len(rows), bool)

    def _read_values(self) -> NDArray[Any]:
        raise NotImplementedError

    def ends(self) -> Positions:
        return np.arange(len(self.timeline))

    def known_ends(self, inside: NDArray[np.bool_]) -> Positions:
        return np.flatnonzero(self.known & inside)

    def targets(self, ends: Positions) -> NDArray[Any]:
        return self.values[ends]


class RegressionProblem(RowProblem):
    """Predict a number."""

    def _read_values(self) -> NDArray[Any]:
        return self.table.numbers(self.recipe.target)

    def predict(self, model: SequenceModel, ends: Positions) -> NDArray[Any]:
        return super().predict(model, ends).reshape(len(ends))

    def unit(self, model: SequenceModel) -> float | None:
        return None if model.output_scale is None else float(model.output_scale[1][0])

    def baselines(self, ends: Positions, training: Positions) -> dict[str, NDArray[Any]]:
        return {"training mean": np.full(len(ends), self.targets(training).mean())}


class ClassificationProblem(RowProblem):
    """Predict a label, which is a text."""

    def _read_values(self) -> NDArray[Any]:
        return self.table.text(self.recipe.target).to_numpy(str)

    def baselines(self, ends: Positions, training: Positions) -> dict[str, NDArray[Any]]:
        labels, counts = np.unique(self.targets(training), return_counts=True)
        commonest = labels[np.argmax(counts)]
        return {f"always {str(commonest)!r}": np.full(len(ends), commonest)}


class ForecastProblem(Problem):
    """Predict the target of the K rows after a window; targets have shape (M, K).

    A linear path forecasts from the window's values; the network, which sees changes and not
    levels, in units of the series' spread, learns what the linear path leaves over. Validation
    says which share of the network's correction is added at each lead.
    """

    def _read_target(self) -> None:
        target = Column(self.recipe.target, self.recipe.fill)
        self.observed = self.table.numbers(target.name)[self.timeline.rows]
        self.spread = self._spreads()
        self.level = target.encode(self.table, self.timeline)[:, 0] / self.spread
        self.known_inputs = self._known_inputs()
        self.linear = self.recipe.linear_path()

    def ends(self) -> Positions:
        return np.flatnonzero(
            np.arange(len(self.timeline)) - self.timeline.start >= self.recipe.window - 1
        )

    def known_ends(self, inside: NDArray[np.bool_]) -> Positions:
        ends, horizon = self.ends(), self.recipe.horizon
        ends = ends[ends + horizon < self.timeline.stop[ends]]
        ends = ends[inside[ends + 1] & inside[ends + horizon]]
        return ends[np.isfinite(self.truth(ends)).all(axis=1)]

    def targets(self, ends: Positions) -> NDArray[Any]:
        scaled = self.truth(ends) / self.spread[ends, None]
        return (scaled - self._linear(ends)).astype(np.float32)

    def truth(self, ends: Positions) -> NDArray[Any]:
        return self.observed[ends[:, None] + np.arange(1, self.recipe.horizon + 1)]

    def predict(self, model: SequenceModel, ends: Positions) -> NDArray[Any]:
        outputs = super().predict(model, ends).reshape(len(ends), self.recipe.horizon)
        share = self.recipe.network_share
        outputs = outputs * (1.0 if share is None else np.array(share))
        return (self._linear(ends) + outputs) * self.spread[ends, None]

    def unit(self, model: SequenceModel) -> float | None:
        return float(self.spread.min())

    def prepare(self, training: Positions, past: Positions) -> None:
        """Fit the linear path to the training windows, weighed by all that are past."""
        self._learn_linear(past, np.isin(past, training))

    def finish(self, model: SequenceModel, validation: Positions, past: Positions) -> None:
        """Choose the share of the network's correction that validation bears out.

        Then the linear path is fitted once more, to all windows that are past.
        """
        if not len(validation):
            return
        left, outputs = self.targets(validation), super().predict(model, validation)
        outputs = outputs.reshape(left.shape).astype(np.float64)
        power = np.maximum(np.square(outputs).sum(axis=0), np.finfo(float).tiny)
        share = np.clip((left * outputs).sum(axis=0) / power, 0.0, 1.0)
        worth = len(validation) / np.arange(1, self.recipe.horizon + 1)  # since targets overlap
        share = share * worth / (worth + PRIOR_WINDOWS)
        self.recipe = replace(self.recipe, network_share=tuple(map(float, share)))
        self._learn_linear(past, np.ones(len(past), bool))

    def last_known(self) -> Positions:
        """For each position the last one of its series whose target is known; -1 if none is."""
        latest = np.full(len(self.timeline), -1)
        for _, places in self.timeline.series:
            known = np.flatnonzero(np.isfinite(self.observed[places]))
            latest[places] = places.start + known[-1] if len(known) else -1
        return latest

    def _learn_linear(self, ends: Positions, fitted: NDArray[np.bool_]) -> None:
        every = -(-len(ends) // MOST_WINDOWS)
        ends, fitted = ends[::every], fitted[::every]
        start = self.timeline.start[ends]
        self.linear = fit_linear(
            self._windows(ends),
            self._future(ends),
            self.truth(ends) / self.spread[ends, None],
            (ends - start) / (self.timeline.stop[ends] - start),
            fitted=fitted,
            season=self.recipe.season,
        )
        self.recipe = replace(self.recipe, linear=self.linear.to_dict())

    def _linear(self, ends: Positions) -> Floats:
        """The linear path's forecast in units of the spread, (M, K)."""
        forecast = np.empty((len(ends), self.recipe.horizon))
        for begin in range(0, len(ends), BLOCK):
            block = slice(begin, begin + BLOCK)
            forecast[block] = self.linear(self._windows(ends[block]), self._future(ends[block]))
        return forecast

    def _windows(self, ends: Positions) -> Floats:
        return self.level[ends[:, None] + np.arange(1 - self.recipe.window, 1)]

    def _future(self, ends: Positions) -> Floats:
        """Known inputs of the rows ahead, (M, K, Q)."""
        if not self.known_inputs.shape[1]:
            return np.empty((len(ends), self.recipe.horizon, 0))
        start, stop = self.timeline.start[ends, None], self.timeline.stop[ends, None]
        places = ends[:, None] + np.arange(1, self.recipe.horizon + 1)
        series = np.searchsorted(np.unique(self.timeline.start), start)
        beyond = len(self.timeline) + series * self.recipe.horizon + places - stop
        return self.known_inputs[np.where(places < stop, places, beyond)]

    def _known_inputs(self) -> Floats:
        """Known inputs of all positions, then of the K rows after each series, (N + S K, Q).

        After a series' end the calendar goes on, where rows have a frequency; everything else
        stays as in the last row.
        """
        timeline, horizon, calendar = self.timeline, self.recipe.horizon, self.recipe.calendar
        columns: list[Column | CalendarColumn] = [*self.recipe.known_columns, *calendar]
        none = np.zeros((len(timeline), 0))
        inside = np.hstack([none, *(c.encode(self.table, timeline) for c in columns)])
        last = np.unique(timeline.stop) - 1
        beyond = inside[np.repeat(last, horizon)]
        if calendar and timeline.axis:
            following = [timeline.after(end, horizon) for end in last]
            if all(map(len, following)):
                wall = timeline.axis.wall(np.concatenate(following))
                known = np.hstack([column.at(wall) for column in calendar])
                beyond[:, -known.shape[1] :] = known
        return np.concatenate([inside, beyond])

    def baselines(self, ends: Positions, training: Positions) -> dict[str, NDArray[Any]]:
        found = {"last value": self._same_place(ends, 1)}
        if self.recipe.season:
            found[f"last season ({self.recipe.season} rows)"] = self._same_place(
                ends, self.recipe.season
            )
        window = self.recipe.window
        if window > 1:
            slope = (self.level[ends] - self.level[ends - window + 1]) / (window - 1)
            drift = self.level[ends, None] + slope[:, None] * np.arange(1, self.recipe.horizon + 1)
            found["drift"] = drift * self.spread[ends, None]
        found["linear path alone"] = self._linear(ends) * self.spread[ends, None]
        return found

    def _same_place(self, ends: Positions, season: int) -> Floats:
        """The naive forecast, (M, K): what stood in the same place of the last season."""
        steps = np.arange(1, self.recipe.horizon + 1)
        places = ends[:, None] + steps - season * -(-steps // season)
        return self.level[places] * self.spread[ends, None]

    def _history(self) -> Floats:
        """Change from the last row, change from the last season, distance to the running mean."""
        lags = [1, self.recipe.season] if self.recipe.season else [1]
        changes = [self.level - self.level[self._before(lag)] for lag in lags]
        future = self._future(np.arange(len(self.timeline))).reshape(len(self.timeline), -1)
        return np.column_stack([*changes, self.level - self._running_mean(), future])

    def _before(self, lag: int) -> Positions:
        """The position `lag` rows before each, itself where its series does not go back so far."""
        places = np.arange(len(self.timeline))
        return np.where(places - lag >= self.timeline.start, places - lag, places)

    def _running_mean(self) -> Floats:
        """Mean of the level over the window (or what there is of it) that ends at each position."""
        places = np.arange(len(self.timeline))
        firsts = np.maximum(self.timeline.start, places - self.recipe.window + 1)
        origin = self.level[self.timeline.start]  # keeps the sums small, and so exact enough
        sums = np.concatenate([[0.0], np.cumsum(self.level - origin)])
        return origin + (sums[places + 1] - sums[firsts]) / (places + 1 - firsts)

    def _spreads(self) -> Floats:
        """Each position's spread: of its series as it is where training did not know the series."""
        spread = np.empty(len(self.timeline))
        for name, places in self.timeline.series:
            known = self.recipe.spreads.get(name)
            spread[places] = known or deviation(self.observed[places])
        return spread


_KINDS = {
    "forecast": ForecastProblem,
    "regression": RegressionProblem,
    "classification": ClassificationProblem,
}


def make_problem(recipe: Recipe, table: Table, timeline: Timeline) -> Problem:
    """Put a table under a recipe.

    Raises
    ------
    ValueError
        If the table lacks a column or holds text where numbers should be.
    """
    table.require([column.name for column in recipe.columns])
    return _KINDS[recipe.task](recipe, table, timeline)
