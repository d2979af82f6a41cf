"""Timing: all that is compared takes turns, so that a slow second of the machine hits everyone."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

SAMPLE_SECONDS = 0.05  # what one sample lasts at least
WARM_SECONDS = 0.02  # untimed work before each sample: caches, clock, sleeping threads
SETTLE_SECONDS = 0.005  # of rest before each sample
UNSETTLED_SECONDS = 0.5  # what is waited for that rest at most

Run = Callable[[], object]
Sampler = Callable[[float], float]  # from seconds to spend to the mean seconds of a call
K = TypeVar("K")


@dataclass(frozen=True)
class Timing:
    """Quartiles of the seconds one call takes.

    Attributes
    ----------
    median, first_quartile, third_quartile : float
        Seconds.
    samples : int
        How many times are behind the quartiles, each the mean of some calls in a row.
    """

    median: float
    first_quartile: float
    third_quartile: float
    samples: int

    def of_one(self, count: int) -> Timing:
        """The same of one of the `count` equal things that a call does."""
        return Timing(
            self.median / count,
            self.first_quartile / count,
            self.third_quartile / count,
            self.samples,
        )


def time_in_turns(samplers: Mapping[K, Sampler], rounds: int) -> dict[K, Timing]:
    """Time several things in alternating rounds: a, b, c, a, b, c, ...

    Parameters
    ----------
    samplers : mapping to callable
        Such as `sampler` makes them.
    rounds : int
        Samples of each.
    """
    samples = samples_in_turns(samplers, rounds)
    return {name: summarise(seconds) for name, seconds in samples.items()}


def samples_in_turns(
    samplers: Mapping[K, Sampler], rounds: int, seconds: float | None = None
) -> dict[K, list[float]]:
    """The samples behind `time_in_turns`, each of so many seconds, by default `SAMPLE_SECONDS`."""
    seconds = SAMPLE_SECONDS if seconds is None else seconds
    samples: dict[K, list[float]] = {name: [] for name in samplers}
    for _ in range(rounds):
        for name, take in samplers.items():
            samples[name].append(take(seconds))
    return samples


def sampler(run: Run) -> Sampler:
    """What samples a callable of this process."""
    return partial(sample, run)


def sample(run: Run, seconds: float) -> float:
    """Mean seconds of a call, over as many as last `seconds`, after pause and warm-up.

    It rests afterwards, too: who is timed next may be another process, which cannot see threads
    that still compute in this one.
    """
    gc.collect()
    gc.disable()
    try:
        settle()
        calls, start, elapsed = 0, time.perf_counter(), 0.0
        while elapsed < WARM_SECONDS or calls == 0:
            run()
            calls, elapsed = calls + 1, time.perf_counter() - start
        return time_calls(run, max(1, round(calls * seconds / elapsed)))
    finally:
        gc.enable()
        settle()


def settle() -> None:
    """Wait until no thread computes: a library's threads spin for a while after their last work.

    OpenBLAS's for 0.13 s: whoever is timed right after it would have a core less.
    """
    until = time.monotonic() + UNSETTLED_SECONDS
    while time.monotonic() < until:
        start = time.process_time()
        time.sleep(SETTLE_SECONDS)
        if time.process_time() - start < SETTLE_SECONDS / 10:
            return


def time_calls(run: Run, calls: int) -> float:
    """Mean seconds of so many calls."""
    start = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - start) / calls


def summarise(samples: list[float]) -> Timing:
    """Quartiles of the samples."""
    first, median, third = np.percentile(samples, [25, 50, 75])
    return Timing(float(median), float(first), float(third), len(samples))
