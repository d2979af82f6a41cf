"""What to do with a table: chosen and learned in training, carried by the model file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cylstm.arrays import as_choice, as_size, quote
from cylstm.forecasting import LinearPath
from cylstm.tables import (
    CalendarColumn,
    Column,
    Notation,
    Table,
    TimeAxis,
    Timeline,
    calendar_columns,
    find_unit,
    learn_columns,
)

if TYPE_CHECKING:
    from cylstm import SequenceModel

TASKS = ("forecast", "regression", "classification")
DEFAULT_WINDOW = 32
#: What reading plain data of another kind raises, beside ValueError.
_DAMAGE = (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError)


@dataclass(frozen=True)
class Recipe:
    """How a table becomes the input and the target of a model.

    Attributes
    ----------
    task : {"forecast", "regression", "classification"}
    target : str
        Column to predict.
    columns : tuple of Column
        Input columns, for a forecast those besides the target.
    group : tuple of str
        Columns that together name a row's series.
    time : TimeAxis or None
        Columns that hold a row's time, how they write it and how far rows are apart; None for
        the file's order.
    window : int
        Rows that the model sees.
    horizon : int
        Rows ahead that a forecast reaches, K; 0 for the other tasks.
    season : int
        Rows in a season, at least 2; 0 if there is none.
    fill : float
        The target's training mean, where a forecast finds no value yet.
    spreads : dict of str to float
        Standard deviation of each training series' target, by which forecasts are scaled.
    future : tuple of str
        Names of the columns whose values are known for the rows to come.
    seen : dict
        Until where each series was seen in training and validation, see `seen.learn_seen`.
    linear : dict or None
        The forecast's `LinearPath` as plain data; None: the last value.
    network_share : tuple of K floats or None
        How much of the network's correction is added at each lead; None: all of it.
    notations : dict of str to Notation
        How each column of numbers, the target among them, writes them.
    missing : tuple of str
        Cells that mean "no value", besides the usual ones.
    fill_gaps : bool
        Whether rows that are absent from the time's frequency are inserted, empty.
    calendar : tuple of CalendarColumn
        Inputs that follow from a row's time, so that they are known for the rows to come too.
    """

    task: str
    target: str
    columns: tuple[Column, ...]
    group: tuple[str, ...]
    time: TimeAxis | None
    window: int
    horizon: int = 0
    season: int = 0
    fill: float = 0.0
    spreads: dict[str, float] = field(default_factory=dict)
    future: tuple[str, ...] = ()
    seen: dict[str, Any] = field(default_factory=dict)
    linear: dict[str, Any] | None = None
    network_share: tuple[float, ...] | None = None
    notations: dict[str, Notation] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    fill_gaps: bool = False
    calendar: tuple[CalendarColumn, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """As plain data for a model file."""
        return asdict(self) | {
            "columns": [column.to_dict() for column in self.columns],
            "time": None if self.time is None else self.time.to_dict(),
            "calendar": [column.name for column in self.calendar],
        }

    @property
    def known_columns(self) -> list[Column]:
        """The table's input columns that are known for the rows to come."""
        return [column for column in self.columns if column.name in self.future]

    def linear_path(self) -> LinearPath:
        """The forecast's linear part."""
        known: list[Column | CalendarColumn] = [*self.known_columns, *self.calendar]
        inputs = sum(len(column.features) for column in known)
        if self.linear is None:
            return LinearPath.last_value(self.horizon, self.window, inputs)
        return LinearPath.from_dict(self.linear, self.horizon, self.window, inputs)

    def _check_values(self) -> None:
        """Raise ValueError for values that are of another kind than the attributes above."""
        numbers = [self.fill, *self.spreads.values(), *(column.fill for column in self.columns)]
        categories = [column.categories or () for column in self.columns]
        sound = {
            "target": isinstance(self.target, str),
            "fill": all(isinstance(value, int | float) and isfinite(value) for value in numbers),
            "spreads": all(spread > 0 for spread in self.spreads.values()),
            "columns": bool(self.columns or self.calendar or self.task == "forecast"),
            "categories": all(len(set(some)) == len(some) for some in categories),
            "fill_gaps": isinstance(self.fill_gaps, bool),
            "horizon": (self.horizon > 0) == (self.task == "forecast"),
            "network_share": self.network_share is None or self.horizon > 0,
            "season": self.season != 1 and self.season <= self.window,
        }
        if wrong := [name for name, right in sound.items() if not right]:
            raise ValueError(f"{', '.join(wrong)}: unexpected values")

    def check_forecast(self) -> None:
        """Raise ValueError if the parts of a forecast do not fit each other."""
        self.linear_path()
        share = self.network_share
        if share is not None and not (
            len(share) == self.horizon and all(0 <= value <= 1 for value in share)
        ):
            raise ValueError(f"network_share: expected {self.horizon} numbers from 0 to 1")
        if not isinstance(self.seen, dict):
            raise ValueError("seen: expected a dict")
        is_sound = _is_time if self.time else _is_beginning
        if not all(map(is_sound, self.seen.values())):
            raise ValueError("seen: expected a time, or a number of rows and a digest")
        for until in self.seen.values():
            if isinstance(until, str):
                np.datetime64(until)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Recipe:
        """Inverse of `to_dict`; ValueError for anything else."""
        try:
            as_choice(data["task"], "task", TASKS)
            for name, least in (("window", 1), ("horizon", 0), ("season", 0)):
                as_size(data[name], name, minimum=least)
            time = data["time"]
            read = {
                "columns": tuple(map(Column.from_dict, data["columns"])),
                "group": _texts(data["group"]),
                "time": None if time is None else TimeAxis.from_dict(time),
                "missing": _texts(data.get("missing", ())),
                "notations": {
                    str(name): Notation.from_dict(notation)
                    for name, notation in data.get("notations", {}).items()
                },
                "calendar": calendar_columns(_texts(data.get("calendar", ()))),
                "future": _texts(data.get("future", ())),
            }
            recipe = cls(**{**data, **read})
            recipe._check_values()
            recipe.check_forecast()
            return recipe
        except (*_DAMAGE, ValueError) as error:
            raise ValueError(f"damaged description of the table: {quote(error)}") from None


def recipe_of(path: str, model: SequenceModel) -> Recipe:
    """The recipe in the file of a model; ValueError, naming the file, if it is not the model's."""
    try:
        recipe = Recipe.from_dict(model.extras["table"])
        outputs = model.config["output_size"]
        kind = "classification" if recipe.task == "classification" else "regression"
        if model.task != kind or (kind == "regression" and outputs != max(recipe.horizon, 1)):
            raise ValueError("damaged description of the table: it is of another model")
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return recipe


def learn_recipe(
    args: argparse.Namespace, table: Table, timeline: Timeline, training: NDArray[np.bool_]
) -> tuple[Recipe, dict[str, str]]:
    """Follow the command line's choices and learn the rest from the training part.

    Parameters
    ----------
    args : argparse.Namespace
        With task, target, inputs, future, categories, calendar, group, missing, window, horizon,
        season and fill_gaps.
    table : Table
    timeline : Timeline
    training : ndarray of bool, shape (N,)
        Which positions of the timeline belong to the training part.

    Returns
    -------
    recipe : Recipe
    ignored : dict of str to str
        Columns that were left out, and why.

    Raises
    ------
    ValueError
        If a column is missing or of no use, or a series is too short for the window.
    """
    rows = np.zeros(len(table), bool)
    rows[timeline.rows[training]] = True
    _check_target(args, table, rows)
    _check_future(args)
    columns, ignored = learn_columns(
        table,
        timeline,
        rows,
        _chosen_inputs(args),
        exclude={args.target, *args.group, *(timeline.axis.columns if timeline.axis else ())},
        categories=args.categories,
    )
    if absent := set(args.future) - {column.name for column in columns}:
        named = ", ".join(sorted(map(repr, absent)))
        raise ValueError(f"{table.path}: --future {named}: not among the inputs")
    longest = int(np.bincount(timeline.start[training]).max())
    numbers = [column.name for column in columns if column.categories is None]
    recipe = Recipe(
        args.task,
        args.target,
        tuple(columns),
        tuple(args.group),
        timeline.axis,
        _window(args, longest),
        notations={name: table.notation(name) for name in [*numbers, *_number_target(args)]},
        missing=tuple(args.missing),
        fill_gaps=wants_gaps_filled(args, timeline),
        calendar=calendar_columns(args.calendar),
    )
    if args.task == "forecast":
        _check_length(args, table, recipe.window + args.horizon, longest)
        return _learn_forecast(args, recipe, table, timeline, training), ignored
    if not columns and not recipe.calendar:
        raise ValueError(f"{table.path}: none of its columns can be an input")
    return recipe, ignored


def _texts(data: object) -> tuple[str, ...]:
    """Texts out of a model file, where one alone or none may stand for a list of them."""
    texts = (data,) if isinstance(data, str) else data or ()
    if not (isinstance(texts, list | tuple) and all(isinstance(text, str) for text in texts)):
        raise ValueError(f"expected texts, got {data!r}")
    return tuple(texts)


def _is_time(until: object) -> bool:
    return isinstance(until, int | float | str)


def _is_beginning(until: Any) -> bool:
    """Whether it is a number of rows and a digest of them."""
    pair = isinstance(until, list) and list(map(type, until)) == [int, str]
    return pair and as_size(until[0], "seen") > 0


def _number_target(args: argparse.Namespace) -> list[str]:
    return [] if args.task == "classification" else [args.target]


def wants_gaps_filled(args: argparse.Namespace, timeline: Timeline) -> bool:
    """Whether to insert absent rows: as asked, else where the frequency is clear."""
    if args.fill_gaps is None:
        return timeline.has_clear_grid
    return bool(args.fill_gaps)


def _check_target(args: argparse.Namespace, table: Table, rows: NDArray[np.bool_]) -> None:
    if table.missing(args.target)[rows].all():
        raise ValueError(f"{table.path}: column {args.target!r} is empty in the training part")
    if args.task != "classification" and not table.looks_numeric(args.target):
        cell = next(iter(table.text(args.target)[~table.missing(args.target)]))
        if unit := find_unit(table.first_texts(args.target)):
            raise ValueError(
                f"{table.path}: column {args.target!r} holds numbers with the unit {unit!r}, such "
                f"as {quote(cell)}; leave the unit out of the cells"
            )
        raise ValueError(
            f"{table.path}: column {args.target!r} does not hold numbers but the like of "
            f"{quote(cell)}; use --task classification to predict texts"
        )


def _check_future(args: argparse.Namespace) -> None:
    if args.future and args.task != "forecast":
        raise ValueError("--future: only for --task forecast, the other tasks see a row's inputs")
    if args.target in args.future:
        raise ValueError(f"--future: {args.target!r} is the target, it cannot be known ahead")


def _check_length(args: argparse.Namespace, table: Table, needed: int, longest: int) -> None:
    if needed > longest:
        raise ValueError(
            f"{table.path}: too few rows: a window of {needed - args.horizon} and a horizon of "
            f"{args.horizon} need {needed} training rows in a series, the longest has {longest}"
        )


def _learn_forecast(
    args: argparse.Namespace,
    recipe: Recipe,
    table: Table,
    timeline: Timeline,
    training: NDArray[np.bool_],
) -> Recipe:
    """Add what a forecast needs: the target's mean, and its spread in each series."""
    target = table.numbers(args.target)[timeline.rows]
    return replace(
        recipe,
        horizon=args.horizon,
        season=args.season,
        future=tuple(args.future),
        fill=float(np.nanmean(target[training])),
        spreads={
            name: deviation(target[places][training[places]]) for name, places in timeline.series
        },
    )


def _chosen_inputs(args: argparse.Namespace) -> list[str] | None:
    """The columns that --inputs names; a forecast sees the past of its target anyhow."""
    if args.inputs is None or args.target not in args.inputs:
        return args.inputs
    if args.task != "forecast":
        raise ValueError(f"--inputs: {args.target!r} is the target, it cannot be an input too")
    return [name for name in args.inputs if name != args.target]


def _window(args: argparse.Namespace, longest: int) -> int:
    """The window asked for, or one that suits the season and the longest training series."""
    if args.window is None:
        return 2 * args.season or max(1, min(DEFAULT_WINDOW, longest // 4))
    if args.window < args.season:
        raise ValueError(f"--window {args.window}: expected at least the season, {args.season}")
    return args.window


def deviation(values: NDArray[np.float64]) -> float:
    """Standard deviation of the numbers that are there; 1 where they do not vary."""
    present = values[np.isfinite(values)]
    return float(present.std()) or 1.0 if len(present) else 1.0
