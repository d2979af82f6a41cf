"""The reason LSTMs exist: the adding problem, learned by an LSTM and not by a plain RNN.

A sequence has two channels: numbers drawn from [0, 1], and a marker that is 1 at two steps and 0
elsewhere. The target, asked for at the end, is the sum of the two marked numbers. Always answering
1 has a mean squared error of 1/6 = 0.167; to do better, a network must carry a number over dozens
of steps, and training must carry an error signal back over as many. In a plain RNN that signal
shrinks at every step. In an LSTM it can travel along the cell state, which gates keep open.

The form is that of Le, Jaitly and Hinton (2015), after Hochreiter and Schmidhuber (1997).

    python examples/adding_problem.py
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import cylstm

BASELINE = 1 / 6  # the variance of the sum of two numbers from [0, 1]
STEPS_BETWEEN_TESTS = 100
TEST_SEQUENCES = 5000
PLOT = "adding_problem.png"


class Result(NamedTuple):
    """What became of one network."""

    error: float  # mean squared error on unseen sequences
    steps: int  # optimiser steps taken
    before: np.ndarray  # gradient norm by steps back in time, untrained
    after: np.ndarray  # and trained


def draw(rng: np.random.Generator, count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw sequences (T, B, 2) and their targets (B,)."""
    numbers = rng.random((length, count))
    marked = rng.random((length, count)).argsort(axis=0) < 2  # two steps of each sequence
    x = np.stack([numbers, marked], axis=-1).astype(np.float32)
    return x, (numbers * marked).sum(axis=0).astype(np.float32)


def train(model: cylstm.SequenceModel, options: argparse.Namespace) -> tuple[float, int]:
    """Train on fresh sequences until the test error falls below the goal, or the steps run out."""
    rng = np.random.default_rng(options.seed)
    test = draw(rng, TEST_SEQUENCES, options.length)
    optimizer = cylstm.Adam(options.learning_rate)
    error = np.inf
    for step in range(STEPS_BETWEEN_TESTS, options.steps + 1, STEPS_BETWEEN_TESTS):
        x, y = draw(rng, STEPS_BETWEEN_TESTS * options.batch_size, options.length)
        model.fit(
            x,
            y,
            epochs=1,
            batch_size=options.batch_size,
            optimizer=optimizer,
            seed=step,
            progress=False,
        )
        error = model.evaluate(*test)["mse"]
        print(f"  step {step:5}  mean squared error {error:.4f}", flush=True)
        if error < options.goal:
            break
    return error, step


def gradient_norms(model: cylstm.SequenceModel, x: np.ndarray) -> np.ndarray:
    """Norm of d(score) / d(state), 0, 1, 2 ... steps before the end; the mean over sequences.

    The layer is recorded one step at a time, so that `backward` hands over the gradient of the
    state (h, and an LSTM's c) between any two steps.
    """
    layer, tapes = model.recurrent_layer(), []
    mean, std = model.input_scale or (0.0, 1.0)
    state: Any = None  # h, or an LSTM's (h, c)
    for x_t in (x - mean) / std:
        y, state, tape = layer.record(x_t[np.newaxis], state)
        tapes.append(tape)
    head = np.broadcast_to(model.parameters["head.weight"], y[0].shape)
    gradient: Any = head[np.newaxis]
    if isinstance(state, tuple):
        gradient = gradient, np.zeros_like(state[1])
    norms = []
    for tape in reversed(tapes):
        parts = np.concatenate(gradient, axis=-1, dtype=np.float64)  # squares of 1e-22 are not 0
        norms.append(np.linalg.norm(parts, axis=-1).mean())
        _, gradient = layer.backward(tape, np.zeros_like(y), gradient, need_dx=False)
    return np.array(norms)


def solve(cell: str, options: argparse.Namespace) -> Result:
    """Train one network and look at its gradients before and after."""
    model = cylstm.SequenceModel(
        task="regression",
        cell=cell,
        input_size=2,
        hidden_size=options.hidden_size,
        pooling="last",
        output_size=1,
        seed=options.seed,
    )
    x, _ = draw(np.random.default_rng(options.seed), 64, options.length)
    before = gradient_norms(model, x)
    print(f"{cell.upper()} with {options.hidden_size} units:")
    error, steps = train(model, options)
    return Result(error, steps, before, gradient_norms(model, x))


def report(results: dict[str, Result], goal: float) -> None:
    """Print errors, and the gradients at some distances from the end."""
    for name, result in results.items():
        verdict = "solved" if result.error < goal else "not solved"
        print(
            f"{name}: error {result.error:.4f} after {result.steps} steps, {verdict} "
            f"(always answering 1: {BASELINE:.4f})"
        )
    print("\ngradient norm that reaches each step back in time")
    length = len(next(iter(results.values())).after)
    columns = [f"{name} {when}" for name in results for when in ("before", "after")]
    print("steps back".rjust(12), *(column.rjust(14) for column in columns))
    for back in sorted({0, 1, 2, 5, *range(10, length, 10), length - 1}):
        norms = [norm[back] for result in results.values() for norm in result[2:]]
        print(f"{back:12}", *(f"{norm:14.2e}" for norm in norms))


def plot(results: dict[str, Result], path: str) -> None:
    """Draw the gradient norms; needs matplotlib."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    for number, (name, result) in enumerate(results.items()):
        axes.semilogy(result.before, f"C{number}--", label=f"{name} before training")
        axes.semilogy(result.after, f"C{number}-", label=f"{name} after training")
    axes.set(xlabel="steps back from the end", ylabel="gradient norm of the state")
    axes.legend()
    figure.savefig(path, dpi=150, bbox_inches="tight")
    print(f"\nplotted to {path}")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Train an RNN and an LSTM to add two numbers that lie far apart in time."
    )
    parser.add_argument("--length", type=int, default=100, help="steps of a sequence (%(default)s)")
    parser.add_argument("--hidden-size", type=int, default=64, help="units (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="sequences (%(default)s)")
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="Adam's (%(default)s)")
    parser.add_argument("--steps", type=int, default=3000, help="at most so many (%(default)s)")
    parser.add_argument("--goal", type=float, default=0.01, help="error to stop at (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything (%(default)s)")
    parser.add_argument(
        "--plot",
        metavar="FILE",
        default=PLOT if importlib.util.find_spec("matplotlib") else None,
        help=f"where to draw the gradient norms ({PLOT} where matplotlib is installed)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> dict[str, Result]:
    """Solve the problem with both networks, report, and return what was found."""
    options = parse(arguments)
    results = {cell.upper(): solve(cell, options) for cell in ("rnn", "lstm")}
    report(results, options.goal)
    if options.plot:
        plot(results, options.plot)
    return results


if __name__ == "__main__":
    main()
