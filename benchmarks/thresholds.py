"""The plan's thresholds, measured: what each choice costs on either side of where it is made.

Shape letters: T steps, B sequences, I inputs, H hidden units.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np

import cylstm
from benchmarks.measure import sampler, time_in_turns
from cylstm import _core

ALWAYS, NEVER = 1, 2**60  # thresholds that every size is above, and below
PAUSE = 0.01  # seconds between calls, after which OpenMP's threads are asleep
PAUSED_CALLS = 20
CALLS_SECONDS = 0.01

Run = Callable[[], object]


@dataclass(frozen=True)
class Choice:
    """What one threshold decides.

    Attributes
    ----------
    threshold : str
    question : str
        What is gained above it.
    sizes : tuple of int
        In what the problem is made of; `measure` is given each.
    make : callable
        The call to time for a size, and the size in the threshold's own unit.
    above : int, optional
        The threshold's value for doing it; None: the size is the value.
    below : int
        Its value for not doing it.
    """

    threshold: str
    question: str
    sizes: tuple[int, ...]
    make: Callable[[int, int], tuple[Run, float]]
    above: int | None = ALWAYS
    below: int = NEVER


@dataclass(frozen=True)
class Point:
    """A size, and what doing it brings there.

    Attributes
    ----------
    size : float
        In the threshold's unit.
    gain : float
        Time of not doing it over time of doing it, calls in a row.
    gain_after_pause : float or None
        The same where each call comes after a pause; None where that does not matter.
    """

    size: float
    gain: float
    gain_after_pause: float | None


def layer_call(
    inputs: int, hidden: int, steps: int, batch: int, threads: int, **options: Any
) -> Run:
    """Inference by one new layer."""
    layer = cylstm.LSTM(inputs, hidden, seed=0, **options)
    x = np.random.default_rng(0).standard_normal((steps, batch, inputs), np.float32)
    return lambda: layer(x, num_threads=threads)


def by_steps(steps: int, threads: int) -> tuple[Run, float]:
    """I = H = 64; the unit is multiply-adds for each thread."""
    return layer_call(64, 64, steps, 1, threads), steps * 256 * 128 / threads


def by_parameters(hidden: int, threads: int) -> tuple[Run, float]:
    """A step of Adam; the unit is values for each thread."""
    layer, adam = cylstm.LSTM(hidden, hidden, seed=0), cylstm.Adam(1e-9)
    layer.grads["bias_ih_l0"][...] = 1.0
    return lambda: adam.step(layer), layer._network.vector.size / threads


def by_sequences(batch: int, threads: int) -> tuple[Run, float]:
    """T = 50, I = H = 128; the unit is sequences for each thread."""
    return layer_call(128, 128, 50, batch, threads), batch / threads


def by_weights(batch: int, threads: int) -> tuple[Run, float]:
    """T = 20, I = H = 512; the unit is weights for each sequence of a thread."""
    return layer_call(512, 512, 20, batch, threads), 4 * 512 * 1024 * threads / batch


def by_step_weights(hidden: int, threads: int) -> tuple[Run, float]:
    """Eight sequences of 100 steps, I = H; the unit is weights for each thread."""
    return layer_call(hidden, hidden, 100, 8, threads), 8 * hidden * hidden / threads


def by_direction_size(hidden: int, threads: int) -> tuple[Run, float]:
    """One sequence in both directions; the unit is a direction's weights for each thread."""
    run = layer_call(hidden, hidden, 100, 1, threads, bidirectional=True)
    return run, 4 * hidden * hidden / threads


def by_layer_size(hidden: int, threads: int) -> tuple[Run, float]:
    """One sequence through two layers; the unit is a layer's weights for each thread."""
    run = layer_call(hidden, hidden, 200, 1, threads, num_layers=2)
    return run, 4 * hidden * hidden / threads


def by_product(hidden: int, threads: int) -> tuple[Run, float]:
    """One sequence of 512 steps; the unit is multiply-adds of its input projection."""
    return layer_call(hidden, hidden, 512, 1, threads), 512 * 4 * hidden * hidden


def by_chunk_rows(rows: int, threads: int) -> tuple[Run, float]:
    """One sequence of 2,048 steps, I = H = 256, whose threads share units."""
    return layer_call(256, 256, 2048, 1, threads), rows


def by_wave_chunks(chunks: int, threads: int) -> tuple[Run, float]:
    """One sequence of 1,000 steps through two layers of 64."""
    return layer_call(64, 64, 1000, 1, threads, num_layers=2), chunks


CHOICES = (
    Choice("work_per_thread", "all threads", (1, 4, 15, 30, 61, 122), by_steps),
    Choice("values_per_thread", "all threads", (16, 32, 64, 96, 128, 192), by_parameters),
    Choice("split_sequences", "sequences, not units, to threads", (4, 8, 12, 16, 32), by_sequences),
    Choice(
        "split_weights", "sequences, not units, to threads", (16, 32, 64, 128), by_weights, NEVER, 1
    ),
    Choice("fused_sequences", "steps project", (1, 2, 4, 6, 8, 12), by_sequences),
    Choice("fused_weights", "steps do not project", (192, 256, 320, 384, 512), by_step_weights),
    Choice(
        "strand_weights", "directions apart", (32, 64, 128, 192, 256), by_direction_size, NEVER, 1
    ),
    Choice("strand_weights", "layers in a wave", (32, 64, 128, 192, 256), by_layer_size, NEVER, 1),
    Choice("wave_chunks", "so many, not 16", (4, 8, 32, 64), by_wave_chunks, None, 16),
    Choice("chunk_rows", "so many, not 512", (64, 128, 256, 1024), by_chunk_rows, None, 512),
    Choice("blas_work", "sgemm", (256, 512, 724, 1024), by_product),
)


@contextmanager
def planned_with(threshold: str, value: int) -> Iterator[None]:
    """Plan with another threshold meanwhile."""
    before = _core.thresholds()[threshold]
    _core.set_threshold(threshold, value)
    try:
        yield
    finally:
        _core.set_threshold(threshold, before)


def measure_choice(choice: Choice, threads: int, rounds: int) -> list[Point]:
    """Gains over the sizes."""
    return [measure_point(choice, size, threads, rounds) for size in choice.sizes]


def measure_point(choice: Choice, size: int, threads: int, rounds: int) -> Point:
    """Time a call with the choice made and not made, in turns."""
    run, own_size = choice.make(size, threads)

    def with_threshold(value: int, count: int) -> None:
        with planned_with(choice.threshold, value):
            for _ in range(count):
                run()

    above = size if choice.above is None else choice.above
    values = {"above": above, "below": choice.below}
    count = calls_at_a_time(run)
    samplers = {
        name: sampler(partial(with_threshold, value, count)) for name, value in values.items()
    }
    timings = time_in_turns(samplers, rounds)
    gain = timings["below"].median / timings["above"].median
    paused = None
    if choice.question == "all threads":
        seconds = {
            name: paused_call(choice.threshold, value, run) for name, value in values.items()
        }
        paused = seconds["below"] / seconds["above"]
    return Point(own_size, gain, paused)


def calls_at_a_time(run: Run) -> int:
    """So many that setting the threshold does not count."""
    run()
    start = time.perf_counter()
    run()
    return max(1, round(CALLS_SECONDS / (time.perf_counter() - start)))


def paused_call(threshold: str, value: int, run: Run) -> float:
    """Median seconds of a call after a pause."""
    seconds = []
    with planned_with(threshold, value):
        for _ in range(PAUSED_CALLS):
            time.sleep(PAUSE)
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    return median(seconds)
