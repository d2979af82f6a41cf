"""Exceptions out of signal handlers, at any time: nothing stays locked, half done or lost."""

from __future__ import annotations

import itertools
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType

import numpy as np
import pytest
from test_same_bits import digest
from test_threads import running

import cylstm
from cylstm.trainer import DivergenceError, Trainer

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers")

PACKAGE = str(Path(cylstm.__file__).parent)
SECONDS = 60  # after which something is held for ever


class Stop(Exception):
    """What a handler raises: any exception, not only KeyboardInterrupt."""


@pytest.fixture(autouse=True)
def numpy_state() -> Iterator[None]:
    """Puts back what NumPy does on overflow.

    An exception between the entering of its `errstate` and the first line below the with statement
    leaves that changed, in any program.
    """
    before = np.geterr()
    yield
    np.seterr(**before)


@pytest.fixture(params=[KeyboardInterrupt, Stop])
def interrupt(request) -> Iterator[type[BaseException]]:
    """The exception that a timer's signal raises."""

    def handle(*_):
        raise request.param

    before = signal.signal(signal.SIGALRM, handle)
    yield request.param
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def storm(function: Callable[[], object], error: type[BaseException], count: int) -> None:
    """Interrupt repeated calls so many times, at random moments."""
    delays, interrupts, end = random.Random(0), 0, time.monotonic() + SECONDS + count / 100
    while interrupts < count:
        assert time.monotonic() < end, f"too slow after {interrupts} interrupts"
        try:
            signal.setitimer(signal.ITIMER_REAL, delays.uniform(1e-5, 4e-4))
            while True:
                function()
        except error:
            interrupts += 1


def make_layer() -> cylstm.LSTM:
    return cylstm.LSTM(8, 16, seed=0)


X = np.ones((2, 2, 8), np.float32)


def work_of(layer: cylstm.LSTM, kind: str) -> Callable[[], object]:
    """Calls of one kind to interrupt; each leaves the weights as they are."""
    weights, optimizer, stream = layer.state_dict(), cylstm.SGD(1e-30), layer.stream(batch_size=2)

    def train() -> None:
        y, _, tape = layer.record(X)
        layer.zero_grad()
        layer.backward(tape, y)
        optimizer.step(layer)

    def edit() -> None:
        with layer.editing() as parameters:
            parameters["bias_ih_l0"][...] = weights["bias_ih_l0"]

    return {
        "call": lambda: layer(X),
        "load": lambda: layer.load_state_dict(weights),
        "edit": edit,
        "state_dict": layer.state_dict,
        "train": train,
        "stream": lambda: stream.step(X[0]),
    }[kind]


KINDS = ("call", "load", "edit", "state_dict", "train", "stream")


@contextmanager
def watched(layer: cylstm.LSTM) -> Iterator[None]:
    """Beside a thread that calls, and one that now and then sets the weights to what they are."""
    weights = layer.state_dict()
    with running(lambda: layer(X), lambda: (layer.load_state_dict(weights), time.sleep(1e-3))):
        yield


@pytest.mark.parametrize("count", [200, pytest.param(8000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_storm_leaves_nothing_held(interrupt, kind, count):
    layer = make_layer()
    expected, weights = digest([layer(X)[0]]), digest(layer.state_dict().values())
    work = work_of(layer, kind)
    if kind == "train":  # another thread's edits would make its tapes worthless
        with running(lambda: layer(X)):
            storm(work, interrupt, count)
    else:
        with watched(layer):
            storm(work, interrupt, count)
    check_that_all_threads_get_on(layer)
    assert digest([layer(X)[0]]) == expected
    assert digest(layer.state_dict().values()) == weights


def check_that_all_threads_get_on(layer: cylstm.LSTM) -> None:
    def use() -> None:
        layer.load_state_dict(layer.state_dict())
        layer(X)

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive()


# --- fit -----------------------------------------------------------------------------------------


def make_model() -> cylstm.SequenceModel:
    return cylstm.SequenceModel(
        task="classification", input_size=4, hidden_size=8, pooling="last", output_size=2, seed=0
    )


LABELS = [0, 1, 0, 1]


def fit(model: cylstm.SequenceModel) -> cylstm.History:
    x = [np.full((2, 4), value, np.float32) for value in LABELS]
    return model.fit(x, LABELS, epochs=2, patience=5, batch_size=2, seed=0, progress=False)


def is_within(frame: FrameType | None, code: CodeType) -> bool:
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    return frame is not None


@pytest.mark.parametrize("count", [100, pytest.param(4000, marks=pytest.mark.slow)])
def test_fit_gives_its_history_in_a_storm(count):
    model, stops, delays = make_model(), Counter(), random.Random(0)

    def handle(_, frame):
        if is_within(frame, Trainer.run.__code__):
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, handle)
    try:
        while stops["interrupted"] < count:
            signal.setitimer(signal.ITIMER_REAL, delays.uniform(1e-4, 3e-3))
            stops[fit(model).stopped] += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert set(stops) <= {"interrupted", "epochs"}


def interrupt_line(number: int) -> Callable[..., object]:
    """A trace function that raises KeyboardInterrupt at a line of the package from `run` on."""
    run, lines = Trainer.run.__code__, itertools.count()

    def trace(frame, event, _):
        code = frame.f_code
        ours = code.co_filename.startswith(PACKAGE) and (trace.started or code is run)
        return at_line if ours else None

    def at_line(frame, event, _):
        trace.started = True
        if event == "line" and next(lines) == number:
            raise KeyboardInterrupt
        return at_line

    trace.started = False
    return trace


def test_fit_gives_its_history_at_whatever_line_it_is_interrupted():
    model, lines = make_model(), 0
    while True:
        sys.settrace(interrupt_line(lines))
        try:
            history = fit(model)
        finally:
            sys.settrace(None)
        if history.stopped != "interrupted":
            break
        lines += 1
    assert history.stopped == "epochs"
    assert lines > 100


def test_an_interrupt_of_a_run_that_diverges_leaves_sound_weights():
    """Whether it says that it diverged or that it was interrupted."""
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(5, 3)).astype(np.float32) for _ in range(6)]
    for line in itertools.count():
        model = cylstm.SequenceModel(
            task="regression", input_size=3, hidden_size=4, output_size=1, pooling="last", seed=0
        )
        sys.settrace(interrupt_line(line))
        try:
            history = model.fit(
                x, range(6), optimizer=cylstm.SGD(1e39), batch_size=2, seed=0, progress=False
            )
        except DivergenceError as error:
            history = error.history
        finally:
            sys.settrace(None)
        assert np.isfinite(model.predict(x)).all()
        if history.stopped == "diverged":
            break
        assert history.stopped == "interrupted"
