"""`cylstm export-c`: a model as one C file and its header, weights included."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cylstm

from . import arguments
from .console import check_output, say
from .describe import describe_network

EPILOG = """\
what is written
  OUT.c    the network and its weights in C99, which needs the standard headers
           alone: no library, no malloc
  OUT.h    what to call; C99, C11 and C++11

A model of one direction has NAME_step, for a stream, and NAME_run, for many
steps at once; a bidirectional one has NAME_run, for a whole sequence. The bits
are those of the library with CYLSTM_ISA=generic and reproducible=True, unless
the C compiler is told -ffast-math, which is refused, or clang -ffp-contract=fast.

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
    sizes = cylstm.export_c(network, args.output, name=args.name, max_steps=args.max_steps)
    say("model", f"{type(network).__name__}: {describe_network(network)}")
    say("flash", f"{sizes.weights:,} bytes of weights, and the code")
    stream = f"{sizes.state:,} bytes of state for each stream, " if sizes.state else ""
    say("RAM", f"{stream}{sizes.work:,} bytes to work in")
    say("saved", f"{args.output}, {header}")
    return 0
