"""`cylstm export-c`: a model as one C file and its header, weights included."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cylstm
from cylstm.tables import CalendarColumn, Column

from . import arguments
from .console import check_output, count, say
from .describe import describe_network
from .recipe import Recipe, recipe_of

EPILOG = """\
what is written
  OUT.c    the network and its weights in C99 (not C++), which needs the standard
           headers alone: no library, no malloc
  OUT.h    what to call, and what inputs and outputs are; C99, C11 and C++11

A model of one direction has NAME_step, for a stream, and NAME_run, for many
steps at once; a bidirectional one has NAME_run, for a whole sequence. The bits
are those of the library with CYLSTM_ISA=generic and reproducible=True, unless
clang is told -ffp-contract=fast (-ffast-math is refused), or the processor to
flush numbers below 1.2e-38 to zero. Constants of AVR lie in RAM, weights too.

Of a model from `cylstm train` the network alone is written: the header says
which number is which column of the table. A forecast is more than its network
and cannot be written.

examples
  cylstm export-c waves.safetensors -o waves.c
  cylstm export-c speakers.safetensors -o net.c --name speakers --max-steps 100
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "export-c",
        help="write a model as one C file, weights included",
        description="Write a model as one C file and its header, for microcontrollers and for\n"
        "programs that shall not change, and say what memory it takes.",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run)
    parser.add_argument("model", metavar="MODEL.safetensors", help="what save or `train` wrote")
    parser.add_argument("-o", "--output", required=True, metavar="OUT.c", help="where to write")
    parser.add_argument(
        "--name", help="what all names in C begin with (default: the output's, without .c)"
    )
    parser.add_argument(
        "--max-steps",
        type=arguments.positive_int,
        metavar="N",
        help="the most steps of a sequence, which a bidirectional model needs memory for",
    )


def run(args: argparse.Namespace) -> int:
    """Write the files and say what they take; the exit status."""
    check_output(args.output, args.model)
    header = str(Path(args.output).with_suffix(".h"))
    check_output(header, args.model)
    network = cylstm.load(args.model)
    description = _describe_table(args.model, network)
    sizes = cylstm.export_c(
        network,
        args.output,
        name=args.name,
        max_steps=args.max_steps,
        description=description,
    )
    say("model", f"{type(network).__name__}: {describe_network(network)}")
    if description:
        say("inputs", f"{header} says what each is, and how many rows the network looks at")
    say("flash", f"{sizes.weights:,} bytes of weights (on AVR: RAM), and the code")
    stream = f"{sizes.state:,} bytes of state for each stream, " if sizes.state else ""
    say("RAM", f"{stream}{sizes.work:,} bytes to work in")
    say("saved", f"{args.output}, {header}")
    return 0


def _describe_table(path: str, network: Any) -> list[str]:
    """What goes in and comes out of a model from `cylstm train`, in paragraphs; else nothing."""
    if not (isinstance(network, cylstm.SequenceModel) and "table" in network.extras):
        return []
    recipe = recipe_of(path, network)
    if recipe.task == "forecast":
        raise ValueError(
            f"{path}: a forecast is more than its network: a linear path, changes instead of "
            "values, spreads of series. export-c does not write these; predict does. To export a "
            "network that sees columns as they are, train with --task regression on a table that "
            "has the value to come as a column"
        )
    columns: list[Column | CalendarColumn] = [*recipe.columns, *recipe.calendar]
    inputs = [line for column in columns for line in _describe_column(column, recipe)]
    if len(inputs) != network.config["input_size"]:
        raise ValueError(f"{path}: damaged description of the table: it is of another model")
    return [
        f"The network looks at {count(recipe.window, 'row')}: reset it, then give it the last "
        f"{recipe.window}, oldest first. It was not trained on more.",
        *_describe_fold(recipe, network.config["fold"], len(inputs)),
        "Inputs of a row:",
        *(f"  x[{n}]  {line}" for n, line in enumerate(inputs)),
        _describe_outputs(recipe),
    ]


def _describe_fold(recipe: Recipe, rows: int, inputs: int) -> list[str]:
    """How rows are put together into a step."""
    if rows == 1:
        return []
    missing = -recipe.window % rows
    first = f" Before the oldest row it stands {count(missing, 'time')} more." if missing else ""
    return [
        f"A step takes {rows} rows, oldest first: those of row n from x[n * {inputs}] on.{first}"
    ]


def _describe_column(column: Column | CalendarColumn, recipe: Recipe) -> list[str]:
    """A line for each number that a column becomes."""
    if isinstance(column, CalendarColumn):
        return [_CALENDAR.get(name, f"1 on {name}, else 0") for name in column.features]
    if column.categories is not None:
        texts = map(json.dumps, column.categories)
        return [f"1 where {column.name} is {text}, else 0" for text in texts]
    return [
        f"{column.name}, the number{_unit(column.name, recipe)}; where it is missing the one "
        f"before, at the beginning {column.fill:.9g}"
    ]


def _describe_outputs(recipe: Recipe) -> str:
    if recipe.task == "classification":
        return f"The greatest output is that of the predicted {recipe.target}."
    return (
        f"The output is {recipe.target}{_unit(recipe.target, recipe)} in units of its deviation in "
        "training, from its mean; the function ..._values makes the table's numbers of it."
    )


def _unit(name: str, recipe: Recipe) -> str:
    notation = recipe.notations.get(name)
    return f" in {notation.unit}" if notation and notation.unit else ""


#: What the features of a calendar are that are not 1 or 0.
_CALENDAR = {
    f"{column} {wave}": f"{wave} of 2 pi times the share of the {whole} that has passed"
    for column, whole in (("hour", "day"), ("month", "year"))
    for wave in ("sine", "cosine")
}
