"""Memory: what a tape takes and gives back, that nothing grows, and sizes that cannot be."""

from __future__ import annotations

import gc
import os
import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from test_threads import at_once

import cylstm
from benchmarks.footprint import streaming_peak
from cylstm import _core, trainer
from cylstm.trainer import Trainer, evaluate

STATM = Path("/proc/self/statm")
TERABYTE = 2**40
BEYOND_ADDRESSES = 2**50  # floats: more than a 64-bit processor of today can address


def make_input(steps: int, batch: int, width: int = 7) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(steps, batch, width)).astype(np.float32)


@contextmanager
def traced() -> Iterator[None]:
    """Python's allocations, and the core's, which go through Python, are counted meanwhile."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def resident() -> int:
    """Bytes of memory that the process has."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- a process that streams ----------------------------------------------------------------------


@pytest.mark.skipif(not STATM.exists(), reason="this system does not say how much a process has")
def test_streaming_takes_less_than_60_megabytes_with_python_and_numpy():
    assert 20e6 < streaming_peak() < 60e6


# --- packed copies of the weights ----------------------------------------------------------------

BIDIRECTIONAL = {"num_layers": 2, "bidirectional": True}


def make_model() -> cylstm.SequenceModel:
    return cylstm.SequenceModel(
        task="regression", input_size=7, hidden_size=33, output_size=5, seed=1, **BIDIRECTIONAL
    )


PACKED = {
    "LSTM": (lambda: cylstm.LSTM(7, 33, seed=1, **BIDIRECTIONAL), 4),
    "RNN": (lambda: cylstm.RNN(7, 33, seed=1, **BIDIRECTIONAL), 1),
    "model": (make_model, 4),
}


def train_once(network: Any, x: np.ndarray, need_dx: bool, lengths: Any = None) -> None:
    core = network._network
    y, _, tape = core.record(x, None, lengths, 1)
    core.backward(tape, np.ones_like(y), None, None, need_dx)


@pytest.mark.parametrize(("make", "gates"), PACKED.values(), ids=PACKED)
def test_packed_copies_are_counted_when_they_are_made(make, gates):
    network, x = make(), make_input(3, 2)
    head = 5 * 66 if isinstance(network, cylstm.SequenceModel) else 0
    recurrent, first, second = (4 * 2 * gates * 33 * width for width in (33, 7, 66))
    forward = 2 * recurrent + first + second + 4 * head
    assert network.packed_nbytes == 0
    network(x)
    of_forward = network.packed_nbytes
    assert forward < of_forward  # which is padded, too
    train_once(network, x, need_dx=False)
    without_dx = network.packed_nbytes
    assert without_dx - of_forward >= forward - first
    train_once(network, x, need_dx=True)
    assert network.packed_nbytes - without_dx >= first


def test_copies_of_whole_vectors_take_what_the_weights_take():
    lstm = cylstm.LSTM(64, 128, seed=1)
    weights, biases = 4 * 4 * 128 * (64 + 128), 4 * 4 * 128
    train_once(lstm, make_input(3, 2, 64), need_dx=True)
    assert lstm.packed_nbytes == 2 * weights + biases


def test_other_weights_are_packed_into_the_same_memory():
    network, x = make_model(), make_input(3, 2)
    network.load_state_dict(network.state_dict())
    train_once(network, x, need_dx=True)
    before = network.packed_nbytes
    with traced():
        allocated_before = allocated()
        for _ in range(3):
            network.load_state_dict(network.state_dict())
            train_once(network, x, need_dx=True)
        assert allocated() - allocated_before < 20_000
    assert network.packed_nbytes == before


def call_in_all_ways(network: Any, x: np.ndarray) -> None:
    for _ in range(3):
        network(x)
        network(x, reproducible=True)
        network(x[:2, :1])
        train_once(network, x, need_dx=True)
        train_once(network, x, need_dx=False)


@pytest.mark.parametrize("make", [make for make, _ in PACKED.values()], ids=PACKED)
def test_each_version_of_the_weights_is_packed_once(make):
    network, x, optimizer = make(), make_input(5, 3), cylstm.SGD(0.1)
    changes = [
        lambda: network.load_state_dict(network.state_dict()),
        lambda: optimizer.step(network),
        network.editing().__enter__,  # a draft alone changes nothing
    ]
    for change, expected in zip([lambda: None, *changes], (3, 6, 9, 9), strict=True):
        change()
        call_in_all_ways(network, x)
        assert network._network.packings == expected


def test_editing_without_calls_packs_nothing():
    network, x = make_model(), make_input(5, 3)
    for _ in range(5):
        network.load_state_dict(network.state_dict())
    assert network._network.packings == 0
    network(x)
    assert network._network.packings == 1


def test_threads_that_come_first_together_pack_once():
    for _ in range(20):
        network, x = make_model(), make_input(5, 3)
        stream = cylstm.LSTM(7, 33, seed=1).stream()
        at_once(8 * [lambda network=network, x=x: network(x)])
        at_once([lambda stream=stream, x=x: stream.step(x[0, :1])])
        assert network._network.packings == 1


# --- tapes ---------------------------------------------------------------------------------------

NETWORKS = {
    "LSTM": lambda: cylstm.LSTM(7, 33, 2, bidirectional=True, dropout=0.5, seed=1),
    "RNN": lambda: cylstm.RNN(7, 65, seed=1),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("lengths", [None, [100, 0, 3, 50, 99]], ids=["full", "ragged"])
def test_a_tape_says_how_much_it_holds(make, lengths):
    layer, x = make(), make_input(100, 5)
    other = layer.record(x, lengths=lengths)  # what calls work in is there from here on
    with traced():
        before = allocated()
        tape = layer.record(x, lengths=lengths)[2]
        assert tape.nbytes <= allocated() - before <= tape.nbytes + 4000
    assert other[2].nbytes == tape.nbytes


def test_a_tape_of_short_sequences_is_smaller():
    layer, x = NETWORKS["LSTM"](), make_input(100, 5)
    full, short = (layer.record(x, lengths=5 * [n])[2].nbytes for n in (100, 20))
    assert short < full / 4


def tape_bytes(layer: cylstm.LSTM | cylstm.RNN, rows: int, padded: int | None = None) -> int:
    """What backward needs of each row: x and, of each layer and direction, h, gates and c.

    Of an RNN, whose one gate is h, that is h twice. Gates and c are `padded` numbers wide.
    """
    units = padded or layer.hidden_size
    of_a_stack = layer.hidden_size + (4 + 1 if isinstance(layer, cylstm.LSTM) else 1) * units
    stacks = layer.num_layers * (1 + layer.bidirectional)
    return 4 * rows * (layer.input_size + stacks * of_a_stack)


@pytest.mark.parametrize("lengths", [None, [90, 1, 0, 55, 89]], ids=["full", "ragged"])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("kind", "sizes"), [
    (cylstm.LSTM, (64, 64)), (cylstm.LSTM, (3, 128)), (cylstm.LSTM, (77, 250)),
    (cylstm.RNN, (64, 64)), (cylstm.RNN, (3, 128)), (cylstm.RNN, (77, 250)),
])  # fmt: skip
def test_a_tape_holds_little_more_than_what_backward_needs(
    kind, sizes, bidirectional, depth, lengths
):
    layer = kind(*sizes, depth, bidirectional=bidirectional, seed=1)
    rows = 90 * 5 if lengths is None else sum(lengths)
    tape = layer.record(make_input(90, 5, sizes[0]), lengths=lengths)[2]
    assert tape_bytes(layer, rows) <= tape.nbytes < 1.1 * tape_bytes(layer, rows)


@pytest.mark.parametrize("hidden", [1, 5, 15, 17, 33, 63, 65])
@pytest.mark.parametrize(("kind", "most"), [(cylstm.LSTM, 16), (cylstm.RNN, 64)])
def test_a_tape_of_few_units_is_padded_to_whole_vectors_and_no_more(kind, most, hidden):
    layer = kind(7, hidden, 2, bidirectional=True, seed=1)
    tape = layer.record(make_input(100, 5))[2]
    padded = -(-hidden // most) * most  # fewer where vectors are shorter than AVX-512's
    assert tape_bytes(layer, 500) <= tape.nbytes < 1.02 * tape_bytes(layer, 500, padded) + 2000


def test_a_tape_without_gates_is_much_smaller():
    layer, x = cylstm.LSTM(64, 64, 2, seed=1), make_input(1000, 5, 64)
    whole, small = (layer.record(x, checkpoint_every=n)[2].nbytes for n in (None, 100))
    rows, states = 1000 * 5, 10 * 5 * 2 * 2  # h and c of two layers, every 100 steps or more
    assert small < 1.05 * 4 * 64 * (3 * rows + states)  # x and h are still there
    assert small < 0.3 * whole


def test_tapes_that_are_dropped_leave_memory_for_one_that_is_to_come():
    layer, x = NETWORKS["LSTM"](), make_input(100, 5)
    y, _, tape = layer.record(x)
    layer.backward(tape, y)
    with traced():
        before = allocated()
        tapes = [layer.record(x)[2] for _ in range(4)]
        seen, size = weakref.ref(tapes[0]), tape.nbytes
        assert allocated() - before >= 4 * size
        del tapes
        assert seen() is None
        assert allocated() - before < size + 4000
        next_tape = layer.record(x)[2]
        assert allocated() - before < size + 8000
        del next_tape
        del layer, tape
        assert allocated() - before < 4000


def test_memory_that_is_kept_for_later_calls_can_be_released():
    layer, x = NETWORKS["LSTM"](), make_input(100, 5)
    small = make_input(1, 1)
    expected, _ = layer(small)
    train_once(layer, small, need_dx=True)  # its packed copies stay
    layer.release_memory()
    with traced():
        before = allocated()
        y, _, tape = layer.record(x)
        layer.backward(tape, y)
        del y, _, tape
        assert allocated() - before > 100_000
        layer.release_memory()
        assert allocated() - before < 4000
    np.testing.assert_array_equal(layer(small)[0], expected)


def test_releasing_memory_leaves_tapes_that_are_in_use():
    layer, x = NETWORKS["LSTM"](), make_input(100, 5)
    tape = layer.record(x)[2]
    expected = tape.layers[0][0].hidden.copy()
    layer.release_memory()
    layer.record(np.zeros_like(x))
    np.testing.assert_array_equal(tape.layers[0][0].hidden, expected)


def test_a_view_keeps_its_tape_from_the_next_one():
    layer, x = NETWORKS["LSTM"](), make_input(100, 5)
    tape = layer.record(x)[2]
    view = tape.layers[0][0].forget_gate
    expected = view.copy()
    del tape
    other = layer.record(np.zeros_like(x))[2]
    np.testing.assert_array_equal(view, expected)
    with traced():
        before = allocated()
        del view
        others = [layer.record(x)[2]]
        assert allocated() - before < 4000  # in the memory of the first
    assert others[0].nbytes == other.nbytes


def test_a_tape_that_lives_on_after_its_finalisation_keeps_its_memory():
    class Phoenix:
        def __del__(self):
            kept.append(self)

    kept: list = []
    layer, x, phoenix = NETWORKS["LSTM"](), make_input(100, 5), Phoenix()
    phoenix.itself, phoenix.tape = phoenix, layer.record(x)[2]
    expected = phoenix.tape.layers[0][0].hidden.copy()
    del phoenix
    gc.collect()
    layer.record(np.zeros_like(x))
    np.testing.assert_array_equal(kept[0].tape.layers[0][0].hidden, expected)


# --- training ------------------------------------------------------------------------------------


class Step(NamedTuple):
    """What a step of `fit` or of an evaluation took while it ran, beyond what there was before."""

    rows: int
    batch: int
    peak: int


def trace_steps(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[Step]:
    """Watch the steps that a method of training makes, whose first array argument is x."""
    method, steps = getattr(owner, name), []

    def watched(self, x, *arguments, **options):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        outcome = method(self, x, *arguments, **options)
        steps_in, batch = np.shape(getattr(x, "x", x))[:2]
        peak = tracemalloc.get_traced_memory()[1] - before
        steps.append(Step(steps_in * batch, batch, peak))
        return outcome

    monkeypatch.setattr(owner, name, watched)
    return steps


HIDDEN, OUTPUTS = 64, 50


def make_trained(task: str, **options: Any) -> cylstm.SequenceModel:
    inputs = {"input_size": 7} if task != "language" else {"vocab_size": 50, "embedding_size": 7}
    return cylstm.SequenceModel(
        task=task, hidden_size=HIDDEN, output_size=OUTPUTS, seed=0, **inputs, **options
    )


def make_sequences(task: str, pooled: bool) -> tuple[list, list | None]:
    rng = np.random.default_rng(0)
    lengths = rng.integers(10, 100, 48)
    if task == "language":
        return [rng.integers(0, 50, length) for length in lengths], None
    x = [rng.standard_normal((length, 7), np.float32) for length in lengths]
    shapes = [() if pooled else (length,) for length in lengths]
    if task == "regression":
        return x, [rng.standard_normal((*shape, OUTPUTS), np.float32) for shape in shapes]
    return x, [rng.integers(0, OUTPUTS, shape) for shape in shapes]


TRAINED = {
    "a class for each step": ("classification", {}, None),
    "numbers for a sequence": ("regression", {"pooling": "mean"}, None),
    "numbers for each step": ("regression", {"num_layers": 2, "dropout": 0.5}, None),
    "both directions": ("classification", {"bidirectional": True, "pooling": "max"}, None),
    "chunks": ("regression", {"num_layers": 2}, 25),
    "text": ("language", {"num_layers": 2}, None),
    "text in chunks": ("language", {}, 25),
}


@pytest.mark.parametrize(("task", "options", "bptt_steps"), TRAINED.values(), ids=TRAINED)
def test_epochs_allocate_nothing_after_the_largest_batch(monkeypatch, task, options, bptt_steps):
    model = make_trained(task, **options)
    x, y = make_sequences(task, pooled="pooling" in options)
    steps = trace_steps(monkeypatch, Trainer, "_step")
    with traced():
        model.fit(x, y, epochs=3, batch_size=12, bptt_steps=bptt_steps, progress=False, seed=0)
    largest = max(range(len(steps)), key=lambda i: steps[i].rows)
    assert largest < len(steps) // 2
    stacks = options.get("num_layers", 1) * (2 if "bidirectional" in options else 1)
    for step in steps[len(steps) // 2 :]:
        states = 4 * stacks * step.batch * HIDDEN * 4  # h, c and their gradients
        labels = 9 * step.rows  # those that count, and which
        assert step.peak < states + labels + 8_000
        assert steps[0].peak > 100 * step.rows  # had it not, the bound would say nothing


def test_evaluating_allocates_nothing_after_the_largest_batch(monkeypatch):
    model, (x, y) = make_trained("classification"), make_sequences("classification", False)
    calls = []

    def watched(*arguments, scratch, **options):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        outcome = evaluate(*arguments, scratch=scratch, **options)
        calls.append(tracemalloc.get_traced_memory()[1] - before)
        return outcome

    monkeypatch.setattr(trainer, "evaluate", watched)
    with traced():
        model.fit(x, y, validation=0.25, epochs=4, batch_size=12, progress=False, seed=0)
    scores = 4 * OUTPUTS * 12 * max(map(len, x))  # of the largest batch
    assert max(calls[1:]) < scores // 2  # its inputs and labels, put side by side


def test_steps_by_hand_allocate_what_they_return_and_no_more():
    layer, adam = cylstm.LSTM(7, HIDDEN, 2, seed=1), cylstm.Adam(1e-3)
    inputs = [make_input(steps, 5) for steps in (80, 20, 50)]

    def step(x: np.ndarray) -> int:
        y, state, tape = layer.record(x)
        dx, dstate = layer.backward(tape, y)
        adam.step(layer, clip_norm=1.0)
        layer.zero_grad()
        return sum(array.nbytes for array in (y, *state, dx, *dstate))

    for x in 2 * inputs:
        step(x)
    for x in 2 * inputs:
        with traced():
            returned = step(x)
            assert tracemalloc.get_traced_memory()[1] < returned + 20_000


# --- nothing grows -------------------------------------------------------------------------------


def call_in_many_shapes(networks: list, rng: np.random.Generator, calls: int) -> None:
    """Inference, training, streaming and editing, with other sizes at every turn of ten calls."""
    for _ in range(calls // 10):
        network = networks[rng.integers(len(networks))]
        x = make_input(rng.choice((1, 2, 17, 60)), rng.choice((1, 3, 12)))
        lengths = rng.integers(0, len(x) + 1, size=x.shape[1]) if rng.integers(2) else None
        y, state = network(x, lengths=lengths)
        network(x, state, lengths=lengths, reproducible=True, num_threads=int(rng.integers(1, 4)))
        network(x, lengths=lengths, out=np.empty_like(y))
        for _ in range(2):
            train_once(network, x, need_dx=bool(rng.integers(2)), lengths=lengths)
        if not network.config["bidirectional"]:
            stream = network.stream(batch_size=x.shape[1])
            for x_t in x[:2]:
                stream.step(x_t)
        network.load_state_dict(network.state_dict())


def warm_up(networks: list, rng: np.random.Generator) -> None:
    """Let networks have the memory they keep, and Python its free lists: of the largest call."""
    call_in_many_shapes(networks, rng, 10_000)
    for network in networks:
        largest = make_input(60, 12)
        network(largest, reproducible=True)
        train_once(network, largest, need_dx=True)


def make_networks() -> list:
    pooled = cylstm.SequenceModel(
        task="regression", input_size=7, hidden_size=9, output_size=2, pooling="max", seed=1
    )
    return [*(make() for make in NETWORKS.values()), make_model(), pooled]


def test_ten_thousand_calls_of_changing_shapes_leave_nothing_behind():
    networks, rng = make_networks(), np.random.default_rng(0)
    with traced():
        warm_up(networks, rng)
        left = []
        for _ in range(2):  # calls would leave something twice, another thread may once
            before = allocated()
            call_in_many_shapes(networks, rng, 10_000)
            left.append(allocated() - before)
    assert min(left) < 12_000  # of the smallest object, left at each turn: 16,000


@pytest.mark.skipif(not STATM.exists(), reason="this system does not say how much a process has")
def test_ten_thousand_calls_of_changing_shapes_do_not_make_the_process_grow():
    networks, rng = make_networks(), np.random.default_rng(1)
    warm_up(networks, rng)
    before = resident()
    call_in_many_shapes(networks, rng, 10_000)
    assert resident() - before < 4_000_000


@pytest.mark.skipif(not STATM.exists(), reason="this system does not say how much a process has")
def test_networks_that_are_dropped_do_not_make_the_process_grow():
    def use_once() -> None:
        layer, x = cylstm.LSTM(7, 128, seed=1), make_input(5, 2)
        y, _, tape = layer.record(x)
        layer.backward(tape, y)
        layer.stream().step(x[0, :1])

    for _ in range(20):
        use_once()
    before = resident()
    for _ in range(200):  # 2 MB each
        use_once()
    assert resident() - before < 20_000_000


def test_a_layer_keeps_no_more_memory_than_its_concurrent_calls_need():
    layer, x = cylstm.LSTM(7, 64, seed=1), make_input(200, 8)
    with traced():
        before = allocated()
        layer(x)
        of_one = allocated() - before
        for _ in range(30):
            at_once(8 * [lambda: layer(x)])
        assert allocated() - before < 8.5 * of_one


# --- sizes that cannot be ------------------------------------------------------------------------


def endless(steps: int, batch: int, width: int = 7) -> np.ndarray:
    """Zeros of any shape, which take no memory."""
    return np.broadcast_to(np.zeros(width, np.float32), (steps, batch, width))


@pytest.mark.parametrize(
    ("steps", "batch"),
    [(BEYOND_ADDRESSES, 1), (1, BEYOND_ADDRESSES), (2**31, 2**31), (2**55, 1)],
)
def test_more_steps_than_memory_can_hold(steps, batch):
    network = cylstm.LSTM(7, 5, seed=1)._network
    for call in (
        lambda: network.forward(endless(steps, batch), None, None),
        lambda: network.record(endless(steps, batch), None, None, 0),
    ):
        with pytest.raises((MemoryError, ValueError)):
            call()
    assert network.forward(endless(2, 3), None, None)[0].shape == (2, 3, 5)


def test_a_pooled_result_is_small_but_its_call_is_not():
    # The result takes a few bytes: what cannot be had is the memory the call works in.
    model = cylstm.SequenceModel(
        task="regression", input_size=7, hidden_size=5, output_size=1, pooling="last", seed=1
    )
    with pytest.raises(MemoryError, match="bytes"):
        model._network.forward(endless(BEYOND_ADDRESSES, 1), None, None)
    with pytest.raises(MemoryError, match="bytes"):
        model._network.record(endless(2**55, 1), None, None, 0)


def test_a_call_that_could_not_be_leaves_no_trace():
    layer, x = NETWORKS["RNN"](), make_input(5, 2)
    expected, _ = layer(x)
    before = layer._network.version
    with pytest.raises((MemoryError, ValueError)):
        layer._network.record(endless(BEYOND_ADDRESSES, 1), None, None, 0)
    np.testing.assert_array_equal(layer(x)[0], expected)
    layer.load_state_dict(layer.state_dict())  # no call is thought to be running
    assert layer._network.version == before + 1


@pytest.mark.parametrize("batch_size", [BEYOND_ADDRESSES, 2**62])
def test_more_streams_than_memory_can_hold(batch_size):
    with pytest.raises((MemoryError, ValueError)):
        cylstm.LSTM(7, 5, seed=1).stream(batch_size)
    with pytest.raises((MemoryError, ValueError)):
        cylstm.LSTM(7, 5, seed=1)._network.stream(batch_size)


CONFIG = {
    "input_size": 7,
    "hidden_size": 5,
    "num_layers": 1,
    "bias": True,
    "bidirectional": False,
    "dropout": 0.0,
    "vocab_size": 0,
    "output_size": 0,
    "pooling": None,
}


@pytest.mark.parametrize(
    "sizes",
    [
        {"hidden_size": 2**31 - 1},
        {"hidden_size": 2**31 - 1, "input_size": 2**31 - 1},
        {"hidden_size": 2**30, "num_layers": 2**30},
        {"vocab_size": 2**31 - 1, "input_size": 2**31 - 1},
        {"hidden_size": 2**31},
        {"hidden_size": 2**62},
        {"num_layers": 2**62},
        {"output_size": 2**40},
        {"input_size": 0},
        {"hidden_size": -1},
    ],
    ids=str,
)
def test_networks_that_cannot_be(sizes):
    with pytest.raises((MemoryError, ValueError)):
        _core.Network("lstm", **(CONFIG | sizes))


# --- out that is also an argument ----------------------------------------------------------------


def test_out_must_not_be_what_is_read():
    layer = cylstm.LSTM(5, 5, seed=1)
    memory = np.zeros((8, 3, 5), np.float32)
    state = (np.zeros((1, 3, 5), np.float32), np.zeros((1, 3, 5), np.float32))
    for out, arguments in [
        (memory, (memory,)),
        (memory[1:], (memory[:-1],)),
        (memory[::-1], (memory,)),
        (state[1], (memory[:1], state)),
    ]:
        before = [array.copy() for array in (memory, *state)]
        with pytest.raises(ValueError, match="out"):
            layer(*arguments, out=out)
        for array, value in zip((memory, *state), before, strict=True):
            np.testing.assert_array_equal(array, value)


def test_out_may_lie_beside_what_is_read():
    layer = cylstm.LSTM(5, 5, seed=1)
    memory = np.ones((8, 3, 5), np.float32)
    expected, _ = layer(memory[:4])
    y, _ = layer(memory[:4], out=memory[4:])
    np.testing.assert_array_equal(memory[4:], expected)
    assert y is not None and (memory[:4] == 1).all()


def test_a_stream_s_out_must_not_be_its_input():
    stream = cylstm.LSTM(5, 5, seed=1).stream(batch_size=2)
    x = np.zeros((2, 5), np.float32)
    with pytest.raises(ValueError, match="out"):
        stream.step(x, out=x)
