"""Timing: all that is compared takes turns, so that a slow second of the machine hits everyone."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

SAMPLE_SECONDS = 0.05  # what one sample lasts at least
WARM_SECONDS = 0.02  # untimed work before each sample: caches, clock, sleeping threads
SETTLE_SECONDS = 0.005  # pause before each sample: another library's threads stop spinning

Run = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Quartiles of the seconds one call takes.

    Attributes
    ----------
    median, first_quartile, third_quartile : float
        Seconds.
    samples, calls_per_sample : int
        A sample is the mean of `calls_per_sample` calls.
    """

    median: float
    first_quartile: float
    third_quartile: float
    samples: int
    calls_per_sample: int


def time_in_turns(runs: Mapping[str, Run], rounds: int) -> dict[str, Timing]:
    """Time several callables in alternating rounds: a, b, c, a, b, c, ...

    Parameters
    ----------
    runs : mapping of str to callable
    rounds : int
        Samples of each.
    """
    calls = {name: calls_for(run, SAMPLE_SECONDS) for name, run in runs.items()}
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            samples[name].append(sample(run, calls[name]))
    return {name: summarise(samples[name], calls[name]) for name in runs}


def calls_for(run: Run, seconds: float) -> int:
    """How many calls last `seconds`, judged by the quickest of a few."""
    run()
    quickest, spent, tries = float("inf"), 0.0, 0
    while tries < 3 or (spent < WARM_SECONDS and tries < 1000):
        start = time.perf_counter()
        run()
        elapsed = time.perf_counter() - start
        quickest, spent, tries = min(quickest, elapsed), spent + elapsed, tries + 1
    return max(1, round(seconds / quickest))


def sample(run: Run, calls: int) -> float:
    """Mean seconds of `calls` calls, after a pause and a warm-up."""
    time.sleep(SETTLE_SECONDS)
    end = time.perf_counter() + WARM_SECONDS
    run()
    while time.perf_counter() < end:
        run()
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return (time.perf_counter() - start) / calls
    finally:
        gc.enable()


def summarise(samples: list[float], calls: int) -> Timing:
    """Quartiles of the samples."""
    first, median, third = np.percentile(samples, [25, 50, 75])
    return Timing(float(median), float(first), float(third), len(samples), calls)
