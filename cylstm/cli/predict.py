"""`cylstm predict`: a model's predictions beside the rows of a table."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

import cylstm
from cylstm.arrays import quote
from cylstm.atomic import write_file
from cylstm.tables import (
    Notation,
    Table,
    TimeAxis,
    Timeline,
    check_format,
    encode_table,
    read_table,
)

from . import arguments, scoring
from .console import check_output, count, outliving_reader, say
from .problem import ForecastProblem, Positions, Problem, make_problem
from .recipe import Recipe, recipe_of
from .seen import unseen

EPILOG = """\
columns that are added
  forecast          TARGET_forecast and TARGET_rows_ahead: what the model says of
                    a row, looking so many rows ahead; the rows after the last
                    known target of each series look 1, 2, 3 ... ahead from it;
                    those that the table does not have are appended
  regression        TARGET_predicted
  classification    TARGET_predicted and its TARGET_probability

example
  cylstm predict model.safetensors new.csv -o out.csv
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "predict",
        help="add a trained model's predictions to a table",
        description="Read a table, add what a model trained by `cylstm train` predicts, write it.",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run)
    parser.add_argument("model", metavar="MODEL.safetensors", help="a model from `cylstm train`")
    parser.add_argument("data", metavar="DATA.csv", help="a table with the columns it learned from")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT.csv",
        help="where to write: CSV, perhaps compressed (.csv.gz), .xlsx or .parquet",
    )
    parser.add_argument(
        "--time-format",
        metavar="FORMAT",
        help="how times are written, if otherwise than in training",
    )
    parser.add_argument(
        "--escape-formulas",
        action="store_true",
        help="put an apostrophe before predicted labels such as =1+1, which a spreadsheet program "
        "would compute; the table's own cells stay as they are",
    )
    arguments.add_threads(parser)


@outliving_reader()
def run(args: argparse.Namespace) -> int:
    """Predict and write; the exit status."""
    check_output(args.output, args.model, args.data)
    check_format(args.output)
    arguments.use_threads(args)
    model, recipe = load_trained(args.model)
    table = read_table(args.data, missing=recipe.missing, notations=recipe.notations, progress=True)
    rows = len(table)
    table, timeline = _in_time_order(recipe, table, args.time_format)
    problem = make_problem(recipe, table, timeline)
    if problem.features.shape[1] != model.config["input_size"]:
        raise ValueError(f"{args.model}: damaged description of the table: it is of another model")
    ends = problem.ends()
    if not len(ends):
        raise ValueError(
            f"{args.data}: too few rows: no series has the {recipe.window} that the model looks at"
        )
    if isinstance(problem, ForecastProblem):
        table = _add_forecasts(problem, model, ends)
    else:
        table = _add_predictions(problem, model, ends, args.escape_formulas)
    table = table.without_rows(rows, rows + timeline.found.filled)
    write_file(args.output, encode_table(args.output, table, timeline.axis, _notation(problem)))
    say("saved", f"{args.output}: {count(len(table), 'row')}")
    return 0


def _in_time_order(recipe: Recipe, table: Table, time_format: str | None) -> tuple[Table, Timeline]:
    """The table and the order of its rows, with its gaps filled as in training."""
    timeline = Timeline.of(table, recipe.group, recipe.time, time_format=time_format)
    if recipe.time and timeline.axis:
        _compare_times(recipe.time, timeline.axis)
    grid = timeline.found.grid
    if recipe.fill_gaps and grid and grid.frequency.regular and grid.absent:
        table, timeline = timeline.with_gaps_filled(table, recipe.group)
        say("gaps", f"{count(timeline.found.filled, 'row')} absent: taken as empty")
    return table, timeline


def _compare_times(trained: TimeAxis, axis: TimeAxis) -> None:
    """Say how a table's times differ from those in training."""
    if axis.notation != trained.notation:
        say("warning", f"times are written {axis.notation}, in training {trained.notation}")
    if trained.frequency and trained.frequency.regular and axis.frequency != trained.frequency:
        say("warning", f"rows are apart by {axis.frequency}, in training by {trained.frequency}")


def load_trained(path: str) -> tuple[cylstm.SequenceModel, Recipe]:
    """Load a model and the recipe that `cylstm train` put in its file.

    Raises
    ------
    ValueError
        If the file is not a model, or not one from `cylstm train`.
    """
    model = cylstm.load(path)
    if not (isinstance(model, cylstm.SequenceModel) and "table" in model.extras):
        raise ValueError(f"{path}: not from `cylstm train`, so it does not say how to read a table")
    return model, recipe_of(path, model)


def _add_predictions(
    problem: Problem, model: cylstm.SequenceModel, ends: Positions, escape: bool
) -> Table:
    """The table with a prediction in every row."""
    predictions, target = problem.predict(model, ends), problem.recipe.target
    notation = _notation(problem)
    columns = {f"{target}_predicted": _cells(predictions, notation, problem.unit(model))}
    if problem.recipe.task == "classification":
        probabilities = np.asarray(model.predict_proba(problem.sequences(ends)))
        columns = {name: _without_formulas(cells, escape) for name, cells in columns.items()}
        columns[f"{target}_probability"] = _cells(probabilities.max(axis=1), notation)
    _report_scores(problem, ends, predictions)
    return problem.table.with_columns(problem.timeline.rows[ends], columns)


def _add_forecasts(problem: ForecastProblem, model: cylstm.SequenceModel, ends: Positions) -> Table:
    """The table with a forecast in every row that one reaches, and with the rows to come."""
    timeline, horizon = problem.timeline, problem.recipe.horizon
    forecasts = problem.predict(model, ends)
    latest = problem.last_known()
    last = np.intersect1d(ends, latest[latest >= 0])
    inside = ends + horizon <= latest[ends]
    origins = np.concatenate([ends[inside], np.repeat(last, horizon)])
    ahead = np.concatenate(
        [np.full(np.count_nonzero(inside), horizon), np.tile(np.arange(1, horizon + 1), len(last))]
    )
    held = origins + ahead < timeline.stop[origins]
    origins, ahead = origins[held], ahead[held]
    columns = _forecast_columns(
        problem, forecasts[np.searchsorted(ends, origins), ahead - 1], ahead, problem.unit(model)
    )
    table = problem.table.with_columns(timeline.rows[origins + ahead], columns)

    _report_scores(problem, ends, forecasts)
    if short := len(timeline.names) - len(last):
        say(
            "warning",
            f"{count(short, 'series', 'series')} shorter than the window of "
            f"{count(problem.recipe.window, 'row')}: no forecast",
        )
    say(
        "forecast",
        f"{count(horizon, 'row')} beyond the end of {count(len(last), 'series', 'series')}",
    )
    if beyond := _rows_beyond(problem, last):
        say("warning", f"{count(beyond, 'row')} beyond the model's horizon: no forecast")
    unit = problem.unit(model)
    return table.with_rows(
        _future_rows(problem, last, forecasts[np.searchsorted(ends, last)], unit)
    )


def _rows_beyond(problem: Problem, last: Positions) -> int:
    """How many rows of the file come later than the horizon after these positions."""
    timeline = problem.timeline
    late = [np.arange(end + problem.recipe.horizon + 1, timeline.stop[end]) for end in last]
    return int(_in_file(problem)[np.concatenate([*late, last[:0]])].sum())


def _in_file(problem: Problem) -> NDArray[np.bool_]:
    """Which positions are rows of the file and not inserted in gaps, shape (N,)."""
    return problem.timeline.rows < len(problem.table) - problem.timeline.found.filled


def _future_rows(
    problem: Problem, last: Positions, forecasts: NDArray[np.float64], unit: float | None
) -> dict[str, list[str]]:
    """Cells of the rows that the table does not have.

    `last` are the series' last positions with a known target, (S,); `forecasts` those made there,
    (S, K), which differ by about `unit`.
    """
    recipe, timeline, horizon = problem.recipe, problem.timeline, problem.recipe.horizon
    had = timeline.stop[last] - 1 - last  # rows after the last known target
    ahead = np.broadcast_to(np.arange(1, horizon + 1), forecasts.shape)
    new = ahead > had[:, None]
    cells = _forecast_columns(problem, forecasts[new], ahead[new], unit)
    for column in recipe.group:
        names = problem.table.text(column).iloc[timeline.rows[last]]
        cells[column] = [*np.repeat(names.to_numpy(object), new.sum(axis=1))]
    for column, texts in timeline.cells_after(timeline.stop[last] - 1, horizon).items():
        following = np.array(texts, object).reshape(forecasts.shape)
        cells[column] = [*following[ahead <= np.maximum(horizon - had, 0)[:, None]]]
    return cells


def _forecast_columns(
    problem: Problem,
    values: NDArray[np.float64],
    ahead: NDArray[np.int64],
    unit: float | None,
) -> dict[str, list[str]]:
    target = problem.recipe.target
    return {
        f"{target}_forecast": _cells(values, _notation(problem), unit),
        f"{target}_rows_ahead": list(map(str, ahead)),
    }


def _notation(problem: Problem) -> Notation:
    """How predicted numbers are written: as the target's, if that holds numbers."""
    default = Notation(problem.table.decimal_read)
    return problem.recipe.notations.get(problem.recipe.target, default)


def _cells(values: NDArray[Any], notation: Notation, unit: float | None = None) -> list[str]:
    """Labels or numbers as texts."""
    return values.tolist() if values.dtype.kind in "UO" else notation.write(values, unit)


def _without_formulas(labels: list[str], escape: bool) -> list[str]:
    """Labels that no spreadsheet program computes, or a warning that there are others."""
    formulas = {label for label in set(labels) if _is_formula(label)}
    if formulas and not escape:
        say(
            "warning",
            f"{quote(min(formulas))} is a label that spreadsheet programs compute as a formula; "
            "--escape-formulas puts an apostrophe before it",
        )
        return labels
    return [f"'{label}" if label in formulas else label for label in labels]


def _is_formula(label: str) -> bool:
    """Whether it begins as a formula does and is not just a number with a sign."""
    if not label.startswith(("=", "+", "-", "@", "\t", "\r")):
        return False
    try:
        float(label)
    except ValueError:
        return True
    return False


def _report_scores(problem: Problem, ends: Positions, predictions: NDArray[Any]) -> None:
    """Say how good the predictions are where the table knows the truth and training did not."""
    new = unseen(problem.recipe, problem.table, problem.timeline)
    known = problem.known_ends(new)
    if not len(known):
        if len(problem.known_ends(np.ones(len(new), bool))):
            say("score", "none: the model was trained on all rows whose target is known")
    else:
        task, found = problem.recipe.task, predictions[np.searchsorted(ends, known)]
        scores = scoring.score(task, problem.truth(known), {"model": found})
        shown = scoring.in_words(task, scores["model"])
        values = ", ".join(f"{name} {value}" for name, value in shown.items())
        say("score", f"{values} ({_which(problem, known, new)})")


def _which(problem: Problem, known: Positions, new: NDArray[np.bool_]) -> str:
    """Which targets were scored."""
    what = count(len(known), "known target")
    if new.all():
        return f"{what}, none of a row that the model was trained on"
    rows = count(int((new & _in_file(problem)).sum()), "row")
    return f"{what} of the {rows} after those the model was trained on"
