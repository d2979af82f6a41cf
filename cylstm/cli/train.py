"""`cylstm train`: a model from a CSV table, judged on its last rows beside the naive forecast."""

from __future__ import annotations

import argparse
import os
import time
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

import cylstm
from cylstm.tables import (
    TEST,
    TRAINING,
    VALIDATION,
    AxisReading,
    Table,
    Timeline,
    find_time,
    read_table,
)
from cylstm.tables.numbers import DECIMALS, SEPARATORS
from cylstm.tables.time_axis import unread_times

from . import arguments, scoring, signals
from .console import check_output, count, emit, one_line, outliving_reader, say, size
from .describe import describe_data, describe_network
from .problem import Positions, Problem, make_problem
from .recipe import DEFAULT_WINDOW, TASKS, learn_recipe, wants_gaps_filled
from .seen import learn_seen

PART_NAMES = ("training", "validation", "held-out")

EPILOG = """\
how the table is read
  A header, then one row for each time. Rows are sorted by the column that holds
  dates, or by the one that --time names. --group names the columns that tell
  many series apart. How times are written and how far rows are apart is decided
  from the whole column, said, and kept with the model.
  Text columns become categories: a feature for each text in the training part.
  Numbers may have decimal commas, separators of thousands, percent signs,
  currencies, k, M or B: each column is read in the notation that all its cells
  show, which is said, stored with the model and used again by predict.
  A missing number takes the last value of its series, before the first one the
  mean of the training part. Numbers that rise or fall with every row are left
  out, as are texts that hardly repeat, unless --inputs or --categories name them.
  Each series is cut in time; its last rows are held out of the training.

examples (`cylstm sample` writes sales.csv; the others stand for tables of yours)
  the next value of a series
      cylstm train sales.csv --target sales
  the next seven, with promotions that are planned for them
      cylstm train sales.csv --target sales --horizon 7 --future promotion
  the next twelve months
      cylstm train months.csv --target sales --time month --season 12 --horizon 12
  many shops in one table
      cylstm train shops.csv --target sales --group shop --time day
  a number for each row
      cylstm train sensors.csv --target load --task regression
  a label for each row
      cylstm train watch.csv --target activity --task classification --window 50
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "train",
        help="train a model on a CSV table",
        description="Train a model on a CSV table in time order and save it.",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "data",
        metavar="DATA.csv",
        help="the table, with a header: CSV in UTF-8 or UTF-16, perhaps compressed (.gz, .bz2, "
        ".xz, .zip), .xlsx or .parquet",
    )
    parser.add_argument(
        "--target",
        required=True,
        type=arguments.name,
        metavar="COLUMN",
        help="column to predict",
    )
    parser.add_argument(
        "--task",
        choices=TASKS,
        default="forecast",
        help="forecast: the target of the next rows; regression or classification: the target of "
        "a row from the inputs of the rows up to it (default %(default)s)",
    )
    parser.add_argument(
        "-o",
        "--output",
        default="model.safetensors",
        metavar="FILE",
        help="where to save the model (default %(default)s)",
    )
    parser.add_argument(
        "--checkpoint",
        metavar="FILE",
        help="file to write after each epoch; where it is there already, training goes on from it "
        "(the table and all options but --epochs and --patience must be the same)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress bar")
    _add_notation_options(parser.add_argument_group("cells"))
    _add_data_options(parser.add_argument_group("columns and windows"))
    _add_time_options(parser.add_argument_group("times of rows"))
    _add_model_options(parser.add_argument_group("model"))
    _add_training_options(parser.add_argument_group("training"))


def _add_notation_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--decimal",
        choices=DECIMALS,
        default="",
        help="what stands before decimals where a column does not show it: --decimal , reads 1,234 "
        "as 1.234, --decimal . as 1234",
    )
    group.add_argument(
        "--thousands",
        choices=SEPARATORS,
        default="",
        help="what stands between groups of digits where a column does not show it: --thousands . "
        "reads 1.234 as 1234",
    )
    group.add_argument(
        "--missing",
        action="append",
        default=[],
        metavar="CELL",
        help="a cell that means no value, such as -999 (may be repeated; those that begin with "
        "a dash as --missing=--)",
    )


def _add_data_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--inputs",
        type=arguments.names,
        action="extend",
        metavar="A,B,C",
        help="columns to look at (default: every usable one); a forecast always sees the past of "
        "its target",
    )
    group.add_argument(
        "--input",
        type=arguments.name,
        action="append",
        dest="inputs",
        metavar="NAME",
        help="one more of them, whose name may hold commas",
    )
    group.add_argument(
        "--future",
        type=arguments.names,
        action="extend",
        default=[],
        metavar="A,B",
        help="inputs that are known for the rows to come too, such as promotions that are planned: "
        "a forecast of a row sees their values in that row",
    )
    group.add_argument(
        "--categories",
        type=arguments.names,
        action="extend",
        default=[],
        metavar="A,B",
        help="columns of numbers that are really categories, such as codes",
    )
    group.add_argument(
        "--group",
        type=arguments.names,
        action="extend",
        default=[],
        metavar="A,B",
        help="columns that together name the series of a row",
    )
    group.add_argument(
        "--window",
        type=arguments.positive_int,
        metavar="N",
        help=f"rows that the model sees (default: two seasons, or up to {DEFAULT_WINDOW})",
    )
    group.add_argument(
        "--horizon",
        type=arguments.positive_int,
        default=1,
        metavar="N",
        help="rows ahead to forecast (default %(default)s)",
    )
    group.add_argument(
        "--season",
        type=arguments.season,
        default=0,
        metavar="N",
        help="rows in a season, such as 12 for months: the model then also sees the change from "
        "a season ago and is compared with the forecast that the last season repeats",
    )


def _add_time_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--time",
        type=arguments.name,
        metavar="COLUMN",
        help="column to sort by: dates or numbers; DATE,TIME for a date and a time of day in two "
        "columns; none for the file's order (default: the column of dates, if there is one)",
    )
    group.add_argument(
        "--time-format",
        metavar="FORMAT",
        help="how times are written, if that cannot be told from them: as strftime takes it, such "
        "as %%d/%%m/%%Y; s, ms, us or ns since 1970; or number",
    )
    group.add_argument(
        "--fill-gaps",
        action=argparse.BooleanOptionalAction,
        help="insert an empty row for each that is absent between two (default: where most rows "
        "are one step apart on every day of the week)",
    )
    group.add_argument(
        "--calendar",
        type=arguments.names,
        default=[],
        metavar="A,B",
        help="inputs made of a row's time: hour, weekday, month, and holidays:COUNTRY, such as "
        "holidays:DE or holidays:US-CA (needs the package holidays); a forecast of a row sees them "
        "in that row, as those of --future",
    )


def _add_model_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--cell", choices=("lstm", "rnn"), default="lstm", help="(default lstm)")
    group.add_argument(
        "--hidden-size",
        type=arguments.positive_int,
        default=64,
        metavar="N",
        help="units in a layer (default %(default)s)",
    )
    group.add_argument(
        "--layers",
        type=arguments.positive_int,
        default=1,
        metavar="N",
        help="(default %(default)s)",
    )
    group.add_argument(
        "--dropout",
        type=arguments.fraction,
        default=0.0,
        metavar="P",
        help="share of units dropped between layers in training (default %(default)s)",
    )
    group.add_argument(
        "--fold",
        type=arguments.positive_int,
        default=1,
        metavar="N",
        help="rows that the network takes in one step, for windows of more than about 100 rows "
        "(default %(default)s)",
    )
    group.add_argument(
        "--forget-bias",
        type=arguments.number,
        metavar="X",
        help="what the biases of an LSTM's forget gates begin with; 1 keeps what was seen for "
        "longer (default: a number near 0)",
    )


def _add_training_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--epochs",
        type=arguments.positive_int,
        default=100,
        metavar="N",
        help="passes over the training part, at most (default %(default)s)",
    )
    group.add_argument(
        "--patience",
        type=arguments.positive_int,
        default=10,
        metavar="N",
        help="stop after so many epochs without improvement on the validation part, and keep the "
        "best one (default %(default)s)",
    )
    group.add_argument(
        "--batch-size",
        type=arguments.positive_int,
        default=32,
        metavar="N",
        help="windows in one optimiser step (default %(default)s)",
    )
    group.add_argument(
        "--learning-rate",
        type=arguments.positive,
        default=1e-3,
        metavar="X",
        help="of Adam (default %(default)s)",
    )
    group.add_argument(
        "--validation-fraction",
        type=arguments.fraction,
        default=0.1,
        metavar="X",
        help="share of the rows, before the held-out ones, that chooses the best epoch; 0: all "
        "epochs are run and the last is kept (default %(default)s)",
    )
    group.add_argument(
        "--test-fraction",
        type=arguments.fraction,
        default=0.2,
        metavar="X",
        help="share of the rows, the last ones, held out for the score (default %(default)s); 0: "
        "none, the score is then of the validation part",
    )
    arguments.add_seed(group)
    arguments.add_threads(group)


# --- the command --------------------------------------------------------------------------------


@outliving_reader()
def run(args: argparse.Namespace) -> int:
    """Train, judge and save; the exit status."""
    with signals.as_interrupts() as ending:
        return _run(args, ending)


def _run(args: argparse.Namespace, ending: signals.Ending) -> int:
    _check(args)
    table = read_table(
        args.data,
        missing=args.missing,
        decimal=args.decimal,
        thousands=args.thousands,
        progress=not args.quiet,
    )
    table, timeline = _in_time_order(args, table)
    parts = timeline.parts(args.validation_fraction, args.test_fraction)
    recipe, ignored = learn_recipe(args, table, timeline, parts == TRAINING)
    recipe = replace(recipe, seen=learn_seen(recipe, table, timeline, parts != TEST))
    problem = make_problem(recipe, table, timeline)
    ends = [problem.known_ends(parts == part) for part in range(3)]
    _check_parts(args, problem, ends)
    model = _make_model(args, problem, ends[TRAINING])
    describe_data(problem, parts, ignored)
    say("model", describe_network(model))
    problem.release_table()
    del table
    past = problem.known_ends(parts != TEST)
    problem.prepare(ends[TRAINING], past)

    try:
        history = _fit(args, model, problem, ends)
    except cylstm.DivergenceError as error:
        if len(error.history):  # what the epochs before it have earned is not lost
            _judge_and_save(args, problem, model, ends, past)
        raise
    if not len(history):  # Ctrl-C in the first epoch: nothing is worth saving yet
        raise KeyboardInterrupt(ending.number)
    _judge_and_save(args, problem, model, ends, past)
    return ending.status if history.stopped == "interrupted" else 0


def _in_time_order(args: argparse.Namespace, table: Table) -> tuple[Table, Timeline]:
    """The table and the order of its rows, with its gaps filled if that is wanted."""
    time = _time(args, table)
    timeline = Timeline.of(table, args.group, time, time_format=args.time_format)
    if wants_gaps_filled(args, timeline):
        return timeline.with_gaps_filled(table, args.group)
    return table, timeline


def _time(args: argparse.Namespace, table: Table) -> AxisReading | str | list[str] | None:
    """The columns of times that --time names, or that are found; None for the file's order."""
    if args.time is None:
        table.require([args.target])
        found = find_time(table, args.group, [args.target], args.time_format)
        if found is None:
            for name, advice in unread_times(table, [args.target, *args.group]):
                order = "not read as times: rows keep the file's order"
                say("warning", f"{one_line(name)}: {order}; {advice}")
        return found
    if args.time in table.columns:
        return str(args.time)
    if args.time == "none":
        return None
    try:
        return arguments.names(args.time)
    except argparse.ArgumentTypeError as error:
        raise ValueError(f"--time: {error}") from None


def _judge_and_save(
    args: argparse.Namespace,
    problem: Problem,
    model: cylstm.SequenceModel,
    ends: list[Positions],
    past: Positions,
) -> None:
    problem.finish(model, ends[VALIDATION], past)
    model.extras["table"] = problem.recipe.to_dict()
    model.save(args.output)  # a process that is told to end may not have the time to judge
    judged = TEST if args.test_fraction else VALIDATION
    if len(ends[judged]):
        model.extras["score"] = _judge(problem, model, ends, judged)
        model.save(args.output)
    say("saved", f"{args.output} ({size(os.path.getsize(args.output))})")


def _check(args: argparse.Namespace) -> None:
    check_output(args.output, args.data)
    if args.checkpoint is not None:
        check_output(args.checkpoint, args.data, args.output)
    if args.task != "forecast" and (args.horizon > 1 or args.season):
        raise ValueError("--horizon and --season: only for --task forecast")
    if args.validation_fraction + args.test_fraction >= 1:
        raise ValueError("--validation-fraction and --test-fraction: nothing is left to train on")
    arguments.use_threads(args)


def _check_parts(args: argparse.Namespace, problem: Problem, ends: list[Positions]) -> None:
    """Every part that is wanted must have a window whose target is known."""
    fractions = (1.0, args.validation_fraction, args.test_fraction)
    for part, wanted, found in zip(PART_NAMES, fractions, ends, strict=True):
        if wanted and not len(found):
            rows = f"{max(problem.recipe.horizon, 1)} rows of known target in one series"
            raise ValueError(
                f"{args.data}: too few rows: the {part} part needs at least {rows}; "
                "see --validation-fraction, --test-fraction, --horizon and --window"
            )


def _make_model(
    args: argparse.Namespace, problem: Problem, training: Positions
) -> cylstm.SequenceModel:
    """A model of the size that the table and its targets ask for."""
    recipe = problem.recipe
    outputs = max(recipe.horizon, 1)
    if recipe.task == "classification":
        outputs = len(np.unique(problem.targets(training)))
        if outputs < 2:
            raise ValueError(
                f"{args.data}: column {recipe.target!r} has only one class in the training part"
            )
    return cylstm.SequenceModel(
        task="classification" if recipe.task == "classification" else "regression",
        cell=args.cell,
        input_size=problem.features.shape[1],
        hidden_size=args.hidden_size,
        num_layers=args.layers,
        dropout=args.dropout,
        pooling="last",
        output_size=outputs,
        fold=args.fold,
        forget_bias=args.forget_bias,
        seed=args.seed,
    )


def _fit(
    args: argparse.Namespace, model: cylstm.SequenceModel, problem: Problem, ends: list[Positions]
) -> cylstm.History:
    training, validation = ends[TRAINING], ends[VALIDATION]
    if problem.recipe.task == "classification":  # no model could learn from a class it never saw
        seen = np.isin(problem.targets(validation), problem.targets(training))
        validation = validation[seen]
    watched = len(validation) > 0
    judge = (problem.sequences(validation), problem.targets(validation)) if watched else None
    if args.checkpoint is not None and os.path.exists(args.checkpoint):
        say("resuming", f"from {args.checkpoint}")
    begin = time.perf_counter()
    with warnings.catch_warnings():  # the verdict, beside the baselines, says what this one would
        warnings.simplefilter("ignore", cylstm.ConvergenceWarning)
        history = model.fit(
            problem.sequences(training),
            problem.targets(training),
            validation=judge,
            epochs=args.epochs,
            batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            patience=args.patience if watched else None,
            checkpoint=args.checkpoint,
            resume=args.checkpoint is not None,
            seed=args.seed,
            progress=False if args.quiet else None,
        )
    seconds = time.perf_counter() - begin
    kept = f", the best was epoch {history.best_epoch + 1}" if watched and len(history) else ""
    stopped = "interrupted after " if history.stopped == "interrupted" else ""
    say("trained", f"{stopped}{count(len(history), 'epoch')} in {seconds:.1f} s{kept}")
    return history


def _judge(
    problem: Problem, model: cylstm.SequenceModel, ends: list[Positions], part: int
) -> dict[str, dict[str, float]]:
    """Measure the model on a part, beside the baselines, and print it."""
    task, judged = problem.recipe.task, ends[part]
    predictions = {"model": problem.predict(model, judged)}
    predictions |= problem.baselines(judged, ends[TRAINING])
    scores = scoring.score(task, problem.truth(judged), predictions)
    what = count(len(judged), "row")
    if task == "forecast":
        what = f"{count(problem.recipe.horizon, 'row')} ahead from {count(len(judged), 'window')}"
    chosen = ", which also chose the epoch" if part == VALIDATION else ""
    emit(f"\n{PART_NAMES[part]} part: {what}{chosen}")
    scoring.print_scores(task, scores)
    emit(f"  {scoring.verdict(task, scores)}\n")
    return scores
