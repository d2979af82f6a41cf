"""The same sequence gives the same bits, however it is run: the table of promises, cell by cell.

The table has two columns: the library's own kernels (reproducible=True, and streaming) and the
default, which gives large products to sgemm. Where the default promises closeness instead of bits,
its tests say so.
"""

from __future__ import annotations

import hashlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import cylstm
from cylstm._core import build_info

CALLERS = 8
CHILD_SECONDS = 120


class LayerProblem:
    """A layer with its input: infer and learn give all that comes out, as a list of arrays."""

    def __init__(self, network: cylstm.LSTM | cylstm.RNN, steps: int, batch: int) -> None:
        self.network = network
        rng = np.random.default_rng(steps)
        self.x = rng.normal(size=(steps, batch, network.input_size)).astype(np.float32)
        self._draw_the_rest(rng)

    def _draw_the_rest(self, rng: np.random.Generator) -> None:
        steps, batch = self.x.shape[:2]
        self.lengths = rng.integers(1, steps + 1, size=batch)
        self.lengths[0] = steps
        self.dy = rng.normal(size=self.infer()[0].shape).astype(np.float32)

    def infer(self, **options) -> list[np.ndarray]:
        y, state = self.network(self.x, lengths=self.lengths, **options)
        return [y, *as_tuple(state)]

    def record(self, checkpoint_every: int | None = None):
        return self.network.record(
            self.x, lengths=self.lengths, key=1, checkpoint_every=checkpoint_every
        )

    def backward(self, tape) -> list[np.ndarray]:
        grads = {name: np.zeros_like(value) for name, value in self.network.grads.items()}
        dx, dstate = self.network.backward(tape, self.dy, grads=grads)
        return [dx, *as_tuple(dstate), *grads.values()]

    def learn(self, checkpoint_every: int | None = None) -> list[np.ndarray]:
        y, state, tape = self.record(checkpoint_every)
        return [y, *as_tuple(state), *self.backward(tape)]

    def everything(self) -> list[np.ndarray]:
        return [*self.infer(reproducible=True), *self.infer(), *self.learn()]

    def spoil_padding(self, garbage: float) -> None:
        padding = np.arange(len(self.x))[:, None] >= self.lengths
        self.x[padding] = garbage
        self.dy[padding] = garbage

    def outputs_of(self, y: np.ndarray, b: int, length: int) -> np.ndarray:
        """What belongs to one sequence."""
        return y[:length, b]


class ModelProblem(LayerProblem):
    """The same for a whole model: embedding, both directions, pooling and a wide head."""

    def __init__(self, pooling: str | None, steps: int, batch: int) -> None:
        self.pooling = pooling
        self.network = cylstm.SequenceModel(
            task="classification",
            vocab_size=50,
            embedding_size=33,
            hidden_size=65,
            bidirectional=True,
            pooling=pooling,
            output_size=300,
            seed=5,
        )
        rng = np.random.default_rng(steps)
        self.x = rng.integers(50, size=(steps, batch)).astype(np.int32)
        self._draw_the_rest(rng)

    def record(self, checkpoint_every: int | None = None):
        return self.network._network.record(self.x, None, self.lengths, 0, checkpoint_every or 0)

    def backward(self, tape) -> list[np.ndarray]:
        network = self.network._network
        gradient = np.zeros_like(network.vector)
        _, dstate = network.backward(tape, self.dy, None, gradient, False)
        return [*dstate, gradient]

    def spoil_padding(self, garbage: float) -> None:
        padding = np.arange(len(self.x))[:, None] >= self.lengths
        self.x[padding] = -1  # no token
        if self.pooling is None:
            self.dy[padding] = 0  # what the losses say of steps that do not count

    def outputs_of(self, y: np.ndarray, b: int, length: int) -> np.ndarray:
        return y[:length, b] if self.pooling is None else y[b]


def as_tuple(state) -> tuple[np.ndarray, ...]:
    return state if isinstance(state, tuple) else (state,)


def deep_lstm() -> cylstm.LSTM:
    return cylstm.LSTM(17, 19, 3, bidirectional=True, dropout=0.3, seed=2)


PROBLEMS: dict[str, Callable[[], LayerProblem]] = {
    "small": lambda: LayerProblem(cylstm.LSTM(3, 5, seed=1), 7, 3),
    "deep": lambda: LayerProblem(deep_lstm(), 12, 9),
    "large": lambda: LayerProblem(cylstm.LSTM(130, 129, seed=3), 50, 17),
    "two-ways": lambda: LayerProblem(cylstm.LSTM(40, 64, bidirectional=True, seed=6), 120, 3),
    "wave": lambda: LayerProblem(cylstm.LSTM(40, 64, 4, seed=7), 120, 3),
    "rnn": lambda: LayerProblem(cylstm.RNN(65, 66, 2, bidirectional=True, seed=4), 20, 18),
    "model": lambda: ModelProblem(None, 30, 18),
    "model-last": lambda: ModelProblem("last", 20, 18),
    "model-mean": lambda: ModelProblem("mean", 20, 18),
    "model-max": lambda: ModelProblem("max", 20, 18),
}
every_problem = pytest.mark.parametrize("make", PROBLEMS.values(), ids=PROBLEMS)
both_columns = pytest.mark.parametrize("reproducible", [True, False], ids=["kernels", "default"])


def digest(arrays: Iterable[np.ndarray]) -> str:
    """Names the bits of some arrays."""
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()


def assert_as_promised(ours: np.ndarray, expected: np.ndarray, reproducible: bool) -> None:
    """The same bits by the library's kernels, within 1e-6 of the largest value by default."""
    if reproducible:
        np.testing.assert_array_equal(ours, expected)
    else:
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


# --- on 1 or n threads, after fork, beside other callers -----------------------------------------


@every_problem
@both_columns
def test_any_number_of_threads_infers_the_same(make, reproducible):
    problem = make()
    bits = {digest(problem.infer(reproducible=reproducible, num_threads=n)) for n in (1, 2, 3)}
    assert len(bits) == 1


@pytest.mark.parametrize("name", ["two-ways", "wave"])
def test_directions_or_layers_side_by_side_give_the_same(
    name, blas_as_planned, restore_num_threads
):
    problem, bits = PROBLEMS[name](), set()
    plan = problem.network._network.plan(*problem.x.shape[:2], 2, False)
    assert plan["strands"] == 2
    assert (plan["wave_steps"] > 0) == (name == "wave")
    for threads in (1, 2, 3):
        cylstm.set_num_threads(threads)
        bits.add(digest([*problem.infer(), *problem.learn()]))
    assert len(bits) == 1


@every_problem
def test_any_number_of_threads_learns_the_same(make, restore_num_threads):
    problem, bits = make(), set()
    for threads in (1, 2, 3):
        cylstm.set_num_threads(threads)
        bits.add(digest(problem.learn()))
    assert len(bits) == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@every_problem
def test_a_forked_child_computes_the_same(make, restore_num_threads):
    cylstm.set_num_threads(2)
    problem = make()
    expected = digest(problem.everything())
    assert in_forked_child(lambda: digest(problem.everything())) == expected


def in_forked_child(function: Callable[[], str]) -> str:
    """What function returns in a child of this process, which is killed if it takes too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, function().encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], CHILD_SECONDS)
        assert ready, f"the child gave no answer in {CHILD_SECONDS} s"
        return os.read(reader, 4000).decode()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)


def at_once(function: Callable[[], str]) -> list[str]:
    """What 8 threads get that call function at the same time, three times each."""
    start = threading.Barrier(CALLERS)

    def call() -> list[str]:
        start.wait()
        return [function() for _ in range(3)]

    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(call) for _ in range(CALLERS)]
        return [result for future in futures for result in future.result()]


@every_problem
@both_columns
def test_concurrent_callers_infer_what_one_does(make, reproducible):
    problem = make()
    expected = digest(problem.infer(reproducible=reproducible))
    assert set(at_once(lambda: digest(problem.infer(reproducible=reproducible)))) == {expected}


@every_problem
def test_concurrent_callers_with_their_own_grads_learn_what_one_does(make):
    problem = make()
    expected = digest(problem.learn())
    assert set(at_once(lambda: digest(problem.learn()))) == {expected}


@every_problem
def test_concurrent_backward_calls_can_share_a_tape(make):
    problem = make()
    _, _, tape = problem.record()
    expected = digest(problem.backward(tape))
    assert set(at_once(lambda: digest(problem.backward(tape)))) == {expected}


# --- recomputed (and resumed from a checkpoint: test_training.py) ---------------------------------


@every_problem
def test_computing_again_gives_the_same(make):
    problem, again = make(), make()
    again.network.load_state_dict(problem.network.state_dict())
    bits = {digest(p.everything()) for p in (problem, problem, again)}
    assert len(bits) == 1


@every_problem
@pytest.mark.parametrize("steps", [1, 7, 1000])
def test_gates_that_are_computed_again_are_the_same(make, steps):
    problem = make()
    assert digest(problem.learn(checkpoint_every=steps)) == digest(problem.learn())


# --- alone or in any batch, with any padding -----------------------------------------------------


@every_problem
@both_columns
def test_a_sequence_alone_gives_what_it_does_in_a_batch(make, reproducible):
    problem = make()
    y, *state = problem.infer(reproducible=reproducible)
    for b, length in enumerate(problem.lengths):
        alone, alone_state = problem.network(problem.x[:length, b], reproducible=reproducible)
        assert_as_promised(problem.outputs_of(y, b, length), alone, reproducible)
        for part, alone_part in zip(state, as_tuple(alone_state), strict=True):
            assert_as_promised(part[:, b], alone_part, reproducible)


@every_problem
@both_columns
def test_a_batch_gives_what_its_parts_do(make, reproducible):
    problem = make()
    y, *_ = problem.infer(reproducible=reproducible)
    for members in np.split(np.arange(len(problem.lengths)), [2]):
        lengths = problem.lengths[members]
        x = problem.x[: lengths.max(), members]
        part, _ = problem.network(x, lengths=lengths, reproducible=reproducible)
        for place, b in enumerate(members):
            ours = problem.outputs_of(part, place, lengths[place])
            assert_as_promised(ours, problem.outputs_of(y, b, lengths[place]), reproducible)


@every_problem
@pytest.mark.parametrize("garbage", [1e30, np.inf, np.nan])
def test_what_stands_in_the_padding_changes_nothing(make, garbage):
    problem = make()
    expected = digest(problem.everything())
    problem.spoil_padding(garbage)
    assert digest(problem.everything()) == expected


# --- streamed step by step or run at once --------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: cylstm.LSTM(3, 5, seed=1),
        lambda: cylstm.LSTM(64, 70, 2, seed=2),
        lambda: cylstm.RNN(65, 129, seed=3),
    ],
    ids=["small", "deep", "rnn"],
)
@pytest.mark.parametrize("batch", [1, 9])
@both_columns
def test_streaming_gives_what_one_run_does(make, batch, reproducible):
    layer = make()
    x = np.random.default_rng(0).normal(size=(30, batch, layer.input_size)).astype(np.float32)
    y, state = layer(x, reproducible=reproducible)
    stream = layer.stream(batch_size=batch)
    streamed = np.stack([stream.step(x_t) for x_t in x])
    assert_as_promised(streamed, y, reproducible)
    for part, whole in zip(as_tuple(stream.state), as_tuple(state), strict=True):
        assert_as_promised(part, whole, reproducible)


@both_columns
def test_a_run_in_two_pieces_gives_what_one_run_does(reproducible):
    layer = cylstm.LSTM(64, 70, 2, seed=2)
    x = np.random.default_rng(0).normal(size=(30, 9, 64)).astype(np.float32)
    y, _ = layer(x, reproducible=reproducible)
    first, state = layer(x[:11], reproducible=reproducible)
    second, _ = layer(x[11:], state, reproducible=reproducible)
    assert_as_promised(np.concatenate([first, second]), y, reproducible)


@pytest.mark.parametrize("pooling", [None, "last", "mean", "max"])
def test_a_streamed_model_scores_what_one_run_does(pooling):
    model = cylstm.SequenceModel(
        task="classification",
        input_size=5,
        hidden_size=33,
        num_layers=2,
        pooling=pooling,
        output_size=3,
        seed=0,
    )
    x = np.random.default_rng(0).normal(size=(20, 2, 5)).astype(np.float32)
    stream = model.stream(batch_size=2)
    streamed = [stream.step(x_t) for x_t in x]
    scores = model.scores(x, reproducible=True)
    np.testing.assert_array_equal(streamed if pooling is None else streamed[-1], scores)


# --- on every instruction set --------------------------------------------------------------------

WITH_FMA = ("avx512", "avx2", "neon")
FALLBACK = "generic"
# What computes by kernels, of tests that take seconds: the rest asks nothing else of them.
AGAIN = (
    "test_same_bits",
    "test_reference",
    "test_layers",
    "test_model",
    "test_optim",
    "test_training",
    "test_training_against_torch",
    "test_real_data",
)
BUT = "not instruction_set and not has_the_gradients"  # the latter are slow and try the reference


def run_with_isa(isa: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments on kernels for this instruction set."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "CYLSTM_ISA": isa},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def available(names: Iterable[str]) -> list[str]:
    """Those that this build and this processor have."""
    return [isa for isa in names if run_with_isa(isa, "-c", "import cylstm").returncode == 0]


def test_instruction_sets_with_fma_give_the_same():
    found = available(WITH_FMA)
    printed = [run_with_isa(isa, __file__).stdout.split() for isa in found]
    assert [isa for isa, _ in printed] == found
    assert len({bits for _, bits in printed}) <= 1


@pytest.mark.parametrize("isa", [*WITH_FMA, FALLBACK])
def test_other_instruction_sets_keep_all_other_promises(isa):
    """Run the tests of what kernels compute on each but the default."""
    if isa == build_info()["isa"] or not available([isa]):
        pytest.skip(f"{isa} is the default, or not to be had here")
    files = [str(Path(__file__).with_name(f"{name}.py")) for name in AGAIN]
    child = run_with_isa(isa, "-m", "pytest", "-q", "-k", BUT, *files)
    assert child.returncode == 0, child.stdout


if __name__ == "__main__":
    arrays = [array for make in PROBLEMS.values() for array in make().infer(reproducible=True)]
    print(build_info()["isa"], digest(arrays))
