"""The command line: `cylstm` and `python -m cylstm`.

Exit status: 0, 1 where something failed, 2 where the command line or its input is of no use, 130
after Ctrl-C, 143 after SIGTERM. Errors are one line on stderr.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import cylstm

from . import config, demo, export_c, info, predict, sample, train
from .arguments import Parser
from .console import emit, shorten

EPILOG = """\
examples
  cylstm demo
  cylstm sample sales.csv
  cylstm train sales.csv --target sales --horizon 7 --future promotion
  cylstm predict model.safetensors sales.csv -o out.csv
  cylstm info model.safetensors
  cylstm export-c model.safetensors -o model.c

cylstm COMMAND --help says more.
"""

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130
LONGEST_ERROR = 1000  # characters
#: Errors that lie in what was given. What is left of OSError (a full disk) and training that
#: diverges (FloatingPointError) are failures.
_INPUT_ERRORS = (
    ValueError,
    TypeError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
_FAILURES = (OSError, FloatingPointError, MemoryError, ModuleNotFoundError)


def build_parser() -> Parser:
    """The parser of the whole command line."""
    parser = Parser(
        prog="cylstm",
        description="LSTM networks on the CPU: train, predict, look, export.",
        epilog=EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"cylstm {cylstm.__version__}")
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=Parser
    )
    for command in (demo, sample, train, predict, info, export_c, config):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Its words; by default those the process was started with.

    Returns
    -------
    int
        The exit status. (--help and --version end by SystemExit.)
    """
    if sys.stdout is None:  # closed by whoever started this: nobody wants to read
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 -- to the end of the process
    for stream in (sys.stdout, sys.stderr):  # a terminal of few characters is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        args = build_parser().parse_args(argv)
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt as error:
        return _report("interrupted", _exit_status(error))
    except BrokenPipeError:
        # Whoever read our output has stopped; keep the interpreter from flushing into the pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except _INPUT_ERRORS as error:
        return _report(_message(error), BAD_INPUT)
    except _FAILURES as error:
        return _report(_message(error), FAILED)


def _message(error: BaseException) -> str:
    """An error as one line."""
    if isinstance(error, OSError) and error.strerror is not None:
        message = (
            error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
        )
    else:
        message = str(error) or type(error).__name__
    return shorten(" ".join(message.split()), LONGEST_ERROR)


def _exit_status(error: KeyboardInterrupt) -> int:
    """As a shell reports a process that a signal has ended."""
    return 128 + error.args[0] if error.args else INTERRUPTED


def _report(message: str, status: int) -> int:
    emit(f"cylstm: error: {message}", file=sys.stderr)
    return status
