"""`cylstm info`: what is in a model file, or what this installation runs with."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
from typing import Any

import cylstm

from .console import emit, say, size
from .describe import describe_network, describe_recipe
from .recipe import Recipe, recipe_of
from .scoring import print_scores, read_scores

EPILOG = """\
examples
  cylstm info model.safetensors
  cylstm info model.safetensors --json
  cylstm info                              what cylstm was built and runs with
"""


def add_parser(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser(
        "info",
        help="show what is in a model file",
        description="Show what a model file holds; without a file, what cylstm runs with.",
        epilog=EPILOG,
    )
    parser.set_defaults(run=run)
    parser.add_argument("model", nargs="?", metavar="MODEL.safetensors")
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def run(args: argparse.Namespace) -> int:
    """Print; the exit status."""
    if args.json:
        facts = _configuration() if args.model is None else describe(args.model)
        print(json.dumps(facts, indent=2))
    elif args.model is None:
        cylstm.show_config()
    else:
        _print(args.model, cylstm.load(args.model))
    return 0


def describe(path: str) -> dict[str, Any]:
    """What a model file holds, as plain data."""
    network = cylstm.load(path)
    facts = {
        "file": path,
        "bytes": os.path.getsize(path),
        "kind": type(network).__name__,
        "config": network.config,
        "tensors": {name: list(array.shape) for name, array in network.parameters.items()},
    }
    if isinstance(network, cylstm.SequenceModel):
        facts |= {"classes": network.classes, "extras": network.extras}
    return facts


def _configuration() -> dict[str, Any]:
    """What `show_config` returns, without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return cylstm.show_config()


def _print(path: str, network: cylstm.SequenceModel | cylstm.LSTM | cylstm.RNN) -> None:
    """A model file for a person: what it is, what it was trained for, how good it is."""
    say("file", f"{path} ({size(os.path.getsize(path))})")
    say("model", f"{type(network).__name__}: {describe_network(network)}")
    if isinstance(network, cylstm.SequenceModel) and "table" in network.extras:
        _print_training(path, network)
    else:
        given = {name: value for name, value in network.config.items() if value is not None}
        say("settings", "\n".join(f"{name} = {value}" for name, value in given.items()))


def _print_training(path: str, model: cylstm.SequenceModel) -> None:
    """What `cylstm train` put in the file."""
    recipe = recipe_of(path, model)
    scores = _scores(path, recipe, model)
    describe_recipe(recipe)
    if recipe.time:
        say("time", f"{recipe.time}, {recipe.time.notation}; {recipe.time.frequency}")
    if model.classes:
        say("classes", ", ".join(map(str, model.classes)))
    if scores:
        emit()
        print_scores(recipe.task, scores)


def _scores(path: str, recipe: Recipe, model: cylstm.SequenceModel) -> dict[str, dict[str, float]]:
    try:
        return read_scores(recipe.task, model.extras.get("score", {}))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
