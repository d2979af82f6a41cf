"""What a table and a model are, said in a few lines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import cylstm
from cylstm.tables import TEST, TRAINING, VALIDATION, Column, Table

from .console import count, number, say
from .problem import Problem
from .recipe import Recipe


def describe_network(network: cylstm.SequenceModel | cylstm.LSTM | cylstm.RNN) -> str:
    """The size of a model or layer, in a phrase."""
    config = network.config
    cell = config.get("cell", type(network).__name__).upper()
    weights = sum(array.size for array in network.parameters.values())
    layers, units = count(config["num_layers"], "layer"), count(config["hidden_size"], "unit")
    return f"{cell}, {layers} of {units}, {count(weights, 'parameter')}"


def describe_recipe(recipe: Recipe) -> None:
    """Print what a model predicts and from what."""
    say("task", _task(recipe))
    say("inputs", "\n".join(_inputs(recipe)))


def _task(recipe: Recipe) -> str:
    window = f"from {count(recipe.window, 'row')}"
    if recipe.task != "forecast":
        return f"{recipe.task} of {recipe.target} {window} up to its own"
    season = f", season of {count(recipe.season, 'row')}" if recipe.season else ""
    return f"forecast of {recipe.target}, {count(recipe.horizon, 'row')} ahead {window}{season}"


def _inputs(recipe: Recipe) -> list[str]:
    """A line for each kind of input."""
    numbers = [column.name for column in recipe.columns if column.categories is None]
    lines = [f"{recipe.target}: its past"] if recipe.task == "forecast" else []
    if numbers:
        lines.append(f"{count(len(numbers), 'number')}: {', '.join(numbers)}")
    if recipe.future:
        lines.append(f"known for the rows to come: {', '.join(recipe.future)}")
    if recipe.network_share is not None:
        mean = 100 * sum(recipe.network_share) / len(recipe.network_share)
        lines.append(f"linear path, and {mean:.0f} % of the network's correction")
    for column in recipe.columns:
        if column.categories is not None:
            size = count(len(column.categories), "category", "categories")
            lines.append(f"{size}: {column.name}")
    return lines


def describe_data(problem: Problem, parts: NDArray[np.int64], ignored: dict[str, str]) -> None:
    """Print what is done with a table in training.

    `parts` are those of `Timeline.parts`, `ignored` the columns left out and why.
    """
    table, recipe, timeline = problem.table, problem.recipe, problem.timeline
    order = f"by {recipe.time}" if recipe.time else "as in the file"
    series = f"{count(len(timeline.names), 'series', 'series')}, " if recipe.group else ""
    say("data", f"{table.path}: {count(len(table), 'row')}, {series}ordered {order}")
    if timeline.repeats:
        repeats = f"{count(timeline.repeats, 'row')} with the time of the row before"
        say("warning", f"{repeats}; --group tells series apart")
    if short := _short_series(problem, parts):
        few = count(short, "series", "series")
        say("warning", f"{few} with too few training rows for the window: not learned")
    sizes = {part: f"{np.count_nonzero(parts == part):,}" for part in range(3)}
    say(
        "split",
        f"{sizes[TRAINING]} rows for training, {sizes[VALIDATION]} to choose the epoch, "
        f"{sizes[TEST]} held out",
    )
    describe_recipe(recipe)
    for name, reason in ignored.items():
        say("ignored", f"{name}: {reason}")
    for line in (_missing_target(table, recipe), *(_missing(table, c) for c in recipe.columns)):
        if line:
            say("missing", line)


def _short_series(problem: Problem, parts: NDArray[np.int64]) -> int:
    """How many series are too short to hold a window of a forecast and its target."""
    needed = problem.recipe.window + problem.recipe.horizon
    sizes = [np.count_nonzero(parts[places] == TRAINING) for _, places in problem.timeline.series]
    return int(np.less(sizes, needed).sum()) if problem.recipe.task == "forecast" else 0


def _missing_target(table: Table, recipe: Recipe) -> str:
    """What is done with rows whose target is missing; empty if there are none."""
    missing = int(table.missing(recipe.target).sum())
    carried = "; the model sees the value before instead" if recipe.task == "forecast" else ""
    rows = f"{recipe.target}: {count(missing, 'row')} neither learned nor judged{carried}"
    return rows if missing else ""


def _missing(table: Table, column: Column) -> str:
    """What stands in for the missing cells of an input; empty if there are none."""
    missing = int(table.missing(column.name).sum())
    if not missing:
        return ""
    cells = f"{column.name}: {count(missing, 'cell')}"
    if column.categories is not None:
        return f"{cells}, which belong to no category"
    mean = number(column.fill)
    return f"{cells}, replaced by the value before, at the start by the training mean ({mean})"
