"""How good predictions are, beside what one would say without a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cylstm.arrays import quote

from .console import number, print_table


class Metric(NamedTuple):
    """A measure of predictions against the truth."""

    name: str
    unit: str
    of: Any  # (truth, prediction) -> float


ERRORS = (
    Metric("mean absolute error", "", lambda y, p: float(np.abs(p - y).mean())),
    Metric("root mean squared error", "", lambda y, p: float(np.sqrt(np.square(p - y).mean()))),
)
HITS = (Metric("accuracy", " %", lambda y, p: 100 * float((p == y).mean())),)


def metrics_of(task: str) -> tuple[Metric, ...]:
    """The measures of a task; the last one decides."""
    return HITS if task == "classification" else ERRORS


def score(
    task: str, truth: NDArray[Any], predictions: Mapping[str, NDArray[Any]]
) -> dict[str, dict[str, float]]:
    """Measure each prediction: its name -> name of the measure -> value."""
    return {
        name: {metric.name: metric.of(truth, values) for metric in metrics_of(task)}
        for name, values in predictions.items()
    }


def print_scores(task: str, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Print a row of measures for each prediction."""
    shown = {name: in_words(task, values) for name, values in scores.items()}
    print_table(
        ("", *next(iter(shown.values()))),
        [(name, *values.values()) for name, values in shown.items()],
    )


def in_words(task: str, values: Mapping[str, float]) -> dict[str, str]:
    """Measures as they are shown; beside an accuracy the share of errors."""
    shown = {metric.name: number(values[metric.name]) + metric.unit for metric in metrics_of(task)}
    if task == "classification":
        shown["share of errors"] = f"{number(100 - values['accuracy'])} %"
    return shown


def read_scores(task: str, data: Any) -> dict[str, dict[str, float]]:
    """Scores out of a model file, the model's first; ValueError for anything else."""
    names = {metric.name for metric in metrics_of(task)}
    sound = isinstance(data, dict) and all(
        isinstance(values, dict)
        and names <= values.keys()
        and all(isinstance(values[name], float) for name in names)
        for values in data.values()
    )
    if not sound:
        raise ValueError(f"damaged score of the model: {quote(data)}")
    first = {"model": data["model"]} if "model" in data else {}
    return {**first, **data}


def verdict(task: str, scores: Mapping[str, Mapping[str, float]]) -> str:
    """Compare the first prediction, the model's, with the best of the others, in a sentence."""
    decisive = metrics_of(task)[-1]
    (_, model), *others = ((name, values[decisive.name]) for name, values in scores.items())
    higher_wins = decisive in HITS
    best_name, best = (max if higher_wins else min)(others, key=lambda item: item[1])
    if higher_wins:
        distance, word = f"{abs(model - best):.1f} points", "above" if model > best else "below"
    else:
        share = f"{100 * abs(model - best) / best:.1f} %" if best else number(model)
        distance, word = share, "below" if model < best else "above"
    if model == best:
        return f"The model's {decisive.name} equals that of: {best_name}."
    return f"The model's {decisive.name} is {distance} {word} that of: {best_name}."
