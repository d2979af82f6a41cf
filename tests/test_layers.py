"""LSTM and RNN as objects: shapes, layouts, conversions, parameters, tapes, streams and copies.

That the numbers are right is for test_reference.py and test_against_torch.py to show.
"""

from __future__ import annotations

import copy
import gc
import pickle
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import cylstm
from cylstm import arrays

CELLS = {"lstm": cylstm.LSTM, "rnn": cylstm.RNN}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def as_tuple(state) -> tuple[np.ndarray, ...]:
    return state if isinstance(state, tuple) else (state,)


def assert_same_states(ours, expected) -> None:
    for part, expected_part in zip(as_tuple(ours), as_tuple(expected), strict=True):
        assert_array_equal(part, expected_part)


# --- shapes and layouts --------------------------------------------------------------------------


@every_cell
@pytest.mark.parametrize(
    ("num_layers", "bidirectional", "batch_first"),
    list(product((1, 3), (False, True), (False, True))),
)
def test_shapes(cell, num_layers, bidirectional, batch_first):
    layer = cell(3, 4, num_layers, bidirectional=bidirectional, batch_first=batch_first)
    rows, width = num_layers * (1 + bidirectional), 4 * (1 + bidirectional)
    y, state = layer(normal(5, 2, 3))
    batch = 5 if batch_first else 2
    assert y.shape == (5, 2, width)
    assert [part.shape for part in as_tuple(state)] == [(rows, batch, 4)] * len(as_tuple(state))
    y, state = layer(normal(5, 3))
    assert y.shape == (5, width)
    assert [part.shape for part in as_tuple(state)] == [(rows, 4)] * len(as_tuple(state))
    assert {array.dtype for array in (y, *as_tuple(state))} == {np.dtype(np.float32)}


def test_an_lstm_has_two_states_and_an_rnn_one():
    assert isinstance(cylstm.LSTM(3, 4)(normal(5, 3))[1], tuple)
    assert isinstance(cylstm.RNN(3, 4)(normal(5, 3))[1], np.ndarray)


def gradients(layer, x, state, lengths, dy, dstate) -> list[np.ndarray]:
    """All that record and backward give; the parameters' gradients last."""
    layer.zero_grad()
    y, last, tape = layer.record(x, state, lengths=lengths)
    dx, first = layer.backward(tape, dy, dstate)
    grads = [array.copy() for array in layer.grads.values()]
    return [y, *as_tuple(last), dx, *as_tuple(first), *grads]


def test_batch_first_is_the_same_with_two_axes_swapped():
    rows = cylstm.LSTM(3, 4, 2, bidirectional=True, seed=1)
    columns = cylstm.LSTM(3, 4, 2, bidirectional=True, batch_first=True, seed=1)
    x, dy, state = normal(5, 2, 3), normal(5, 2, 8), (normal(4, 2, 4), normal(4, 2, 4, seed=1))
    y, last = rows(x, state, lengths=[5, 3])
    swapped, swapped_last = columns(x.swapaxes(0, 1), state, lengths=[5, 3])
    assert_array_equal(swapped.swapaxes(0, 1), y)
    assert_same_states(swapped_last, last)
    expected = gradients(rows, x, state, [5, 3], dy, state)
    results = gradients(columns, x.swapaxes(0, 1), state, [5, 3], dy.swapaxes(0, 1), state)
    for result, wanted in zip(results, expected, strict=True):
        assert_array_equal(result.swapaxes(0, 1) if wanted.shape[0] == 5 else result, wanted)


@every_cell
@pytest.mark.parametrize("batch_first", [False, True])
def test_one_sequence_is_a_batch_of_one_without_its_axis(cell, batch_first):
    layer = cell(3, 4, 2, batch_first=batch_first, seed=1)
    axis = 0 if batch_first else 1
    x, dy = normal(5, 3), normal(5, 4)
    zeros = np.zeros((2, 4), np.float32)
    state = (zeros, zeros + 1) if cell is cylstm.LSTM else zeros + 1
    batched = tuple(part[:, np.newaxis] for part in as_tuple(state))
    batched = batched if cell is cylstm.LSTM else batched[0]
    alone = gradients(layer, x, state, None, dy, state)
    in_batch = gradients(
        layer, np.expand_dims(x, axis), batched, None, np.expand_dims(dy, axis), batched
    )
    for ours, expected in zip(alone, in_batch, strict=True):
        assert_array_equal(ours, expected.reshape(ours.shape))


# --- lengths and states --------------------------------------------------------------------------


@every_cell
def test_an_empty_sequence_gives_zeros_and_keeps_its_state(cell):
    layer = cell(3, 4, seed=1)
    state = layer(normal(5, 2, 3))[1]
    y, last = layer(normal(5, 2, 3), state, lengths=[0, 5])
    assert_array_equal(y[:, 0], 0)
    for part, given in zip(as_tuple(last), as_tuple(state), strict=True):
        assert_array_equal(part[:, 0], given[:, 0])
        assert (part[:, 1] != given[:, 1]).all()


def test_full_lengths_change_nothing():
    layer = cylstm.LSTM(3, 4, seed=1)
    assert_array_equal(layer(normal(5, 2, 3), lengths=[5, 5])[0], layer(normal(5, 2, 3))[0])


def test_padding_may_be_nan_and_nan_inside_passes_through():
    layer = cylstm.LSTM(3, 4, seed=1)
    x = normal(5, 2, 3)
    x[3:, 0] = np.nan
    padded, _ = layer(x, lengths=[3, 5])
    assert np.isfinite(padded).all()
    unpadded, _ = layer(x)
    assert np.isnan(unpadded[3:, 0]).all()
    assert np.isfinite(unpadded[:, 1]).all()


@every_cell
def test_the_default_state_is_zeros(cell):
    layer = cell(3, 4, 2, seed=1)
    zeros = np.zeros((2, 2, 4))
    x = normal(5, 2, 3)
    y, _ = layer(x, (zeros, zeros) if cell is cylstm.LSTM else zeros)
    assert_array_equal(layer(x)[0], y)


def test_a_given_state_is_left_as_it_is():
    state = normal(1, 2, 4), normal(1, 2, 4, seed=1)
    before = copy.deepcopy(state)
    cylstm.LSTM(3, 4)(normal(5, 2, 3), state)
    assert_same_states(state, before)


# --- conversions ---------------------------------------------------------------------------------


def read_only(x: np.ndarray) -> np.ndarray:
    x = x.copy()
    x.flags.writeable = False
    return x


def unaligned(x: np.ndarray) -> np.ndarray:
    moved = np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)
    assert not moved.flags.aligned
    return moved


def every_other(x: np.ndarray, axis: int) -> np.ndarray:
    """x as a view on an array twice as long, with NaN between."""
    wide = np.insert(x, range(1, x.shape[axis] + 1), np.nan, axis=axis)
    return wide.swapaxes(0, axis)[::2].swapaxes(0, axis)


CONVERSIONS = {
    "list": lambda x: x.tolist(),
    "float64": lambda x: x.astype(np.float64),
    "longdouble": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f4"),
    "read-only": read_only,
    "unaligned": unaligned,
    "Fortran order": np.asfortranarray,
    "strided steps": lambda x: every_other(x, 0),
    "strided sequences": lambda x: every_other(x, 1),
    "strided inputs": lambda x: every_other(x, 2),
    "reversed": lambda x: x[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
    "subclass": lambda x: x.view(np.recarray),
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
@pytest.mark.parametrize("width", [1, 3])
def test_what_numpy_takes_is_converted(convert, width):
    layer = cylstm.LSTM(width, 4, seed=1)
    x, dy = normal(5, 2, width), normal(5, 2, 4)
    expected = gradients(layer, x, None, None, dy, None)
    results = gradients(layer, convert(x), None, None, convert(dy), None)
    for result, wanted in zip(results, expected, strict=True):
        assert_array_equal(result, wanted)
    assert_array_equal(layer(convert(x))[0], expected[0])


def test_what_reaches_the_core_is_aligned():
    numbers = np.array([1, 2])
    assert arrays.as_float32(unaligned(np.float32(numbers)), "x").flags.aligned
    assert arrays.as_tokens(unaligned(np.int32(numbers)), "x").flags.aligned
    assert arrays.as_lengths(unaligned(np.int64(numbers)), 2, 5).flags.aligned


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16])
def test_small_numbers_of_any_type_are_exact(dtype):
    layer = cylstm.LSTM(3, 4, seed=1)
    x = np.arange(30).reshape(5, 2, 3) % 2
    assert_array_equal(layer(x.astype(dtype))[0], layer(x.astype(np.float32))[0])


def test_a_memory_map_is_read(tmp_path):
    x = normal(5, 2, 3)
    x.tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.float32, "r", shape=x.shape)
    layer = cylstm.LSTM(3, 4, seed=1)
    y, _ = layer(mapped)
    assert type(y) is np.ndarray
    assert_array_equal(y, layer(x)[0])


def test_states_and_lengths_are_converted():
    layer = cylstm.LSTM(3, 4, seed=1)
    x, h, c = normal(5, 2, 3), normal(1, 2, 4), normal(1, 2, 4, seed=1)
    expected, _ = layer(x, (h, c), lengths=np.array([5, 3]))
    y, _ = layer(x, [h.tolist(), np.asfortranarray(c, np.float64)], lengths=np.uint8([5, 3]))
    assert_array_equal(y, expected)


# --- out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_first", [False, True])
def test_out_is_written_and_returned(batch_first):
    layer = cylstm.LSTM(3, 4, batch_first=batch_first, seed=1)
    x = normal(5, 2, 3)
    expected, _ = layer(x)
    out = np.full(expected.shape, np.nan, np.float32)
    y, _ = layer(x, out=out)
    assert y is out
    assert_array_equal(out, expected)


def test_out_may_be_a_part_of_something_larger():
    layer = cylstm.LSTM(3, 4, seed=1)
    x = normal(5, 2, 3)
    whole = np.zeros((7, 3, 10), np.float32)
    layer(x, out=whole[1:6, ::2, 3:7])
    assert_array_equal(whole[1:6, ::2, 3:7], layer(x)[0])
    whole[1:6, ::2, 3:7] = 0
    assert not whole.any()


def test_out_gets_zeros_past_each_length():
    out = np.full((5, 2, 4), np.nan, np.float32)
    cylstm.LSTM(3, 4)(normal(5, 2, 3), lengths=[2, 0], out=out)
    assert_array_equal(out[2:], 0)
    assert_array_equal(out[:, 1], 0)


# --- parameters ----------------------------------------------------------------------------------


def test_names_shapes_and_order_are_pytorch_s():
    layer = cylstm.LSTM(3, 4, 2, bidirectional=True)
    kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ends = ("_l0", "_l0_reverse", "_l1", "_l1_reverse")
    assert list(layer.state_dict()) == [kind + end for end in ends for kind in kinds]
    shapes = {name: array.shape for name, array in layer.parameters.items()}
    assert shapes["weight_ih_l0"] == (16, 3)
    assert shapes["weight_ih_l1_reverse"] == (16, 8)
    assert shapes["weight_hh_l1"] == (16, 4)
    assert shapes["bias_hh_l0"] == (16,)


def test_without_bias_there_are_none():
    assert list(cylstm.RNN(3, 4, bias=False).parameters) == ["weight_ih_l0", "weight_hh_l0"]


@every_cell
def test_the_first_parameters_fill_plus_minus_one_over_root_h(cell):
    values = np.concatenate([a.ravel() for a in cell(30, 25, 2, seed=0).parameters.values()])
    assert -0.2 <= values.min() < -0.19
    assert 0.19 < values.max() <= 0.2
    assert abs(values.mean()) < 0.01
    assert_allclose(values.std(), 0.2 / np.sqrt(3), rtol=0.05)


def test_a_seed_decides_the_first_parameters():
    def first(seed: int | None) -> np.ndarray:
        return cylstm.LSTM(3, 4, seed=seed).parameters["weight_ih_l0"]

    assert_array_equal(first(1), first(1))
    assert (first(1) != first(2)).all()
    assert (first(None) != first(None)).all()
    drawn = cylstm.LSTM(3, 4)
    assert_array_equal(first(drawn.seed), drawn.parameters["weight_ih_l0"])


def test_parameters_are_live_read_only_views():
    layer = cylstm.LSTM(3, 4, seed=1)
    weight = layer.parameters["weight_ih_l0"]
    with pytest.raises(ValueError, match="read-only"):
        weight[0, 0] = 1
    with pytest.raises(TypeError):
        layer.parameters["weight_ih_l0"] = weight
    layer.load_state_dict({name: np.ones_like(a) for name, a in layer.parameters.items()})
    assert_array_equal(weight, 1)


def test_a_state_dict_makes_another_layer_the_same():
    layer, other = cylstm.LSTM(3, 4, 2, seed=1), cylstm.LSTM(3, 4, 2, seed=2)
    x = normal(5, 2, 3)
    before = other(x)[0]
    other.load_state_dict({name: array.tolist() for name, array in layer.state_dict().items()})
    assert_array_equal(other(x)[0], layer(x)[0])
    assert (other(x)[0] != before).any()


def test_a_state_dict_is_a_copy():
    layer = cylstm.LSTM(3, 4, seed=1)
    x = normal(5, 2, 3)
    before = layer(x)[0]
    for array in layer.state_dict().values():
        array[...] = 0
    assert_array_equal(layer(x)[0], before)


def test_editing_takes_effect_when_the_block_ends():
    layer = cylstm.LSTM(3, 4, seed=1)
    x = normal(5, 2, 3)
    before = layer(x)[0]
    with layer.editing() as parameters:
        for array in parameters.values():
            array[...] = 0
        assert_array_equal(layer(x)[0], before)
    assert_array_equal(layer(x)[0], 0)
    assert_array_equal(layer.parameters["weight_hh_l0"], 0)


def fail_while_editing(layer: cylstm.LSTM) -> None:
    with layer.editing() as parameters:
        parameters["weight_ih_l0"][...] = 7
        raise RuntimeError("stop")


def test_an_exception_while_editing_changes_nothing():
    layer = cylstm.LSTM(3, 4, seed=1)
    x, before = normal(5, 2, 3), layer.state_dict()
    y = layer(x)[0]
    with pytest.raises(RuntimeError, match="stop"):
        fail_while_editing(layer)
    for name, array in layer.parameters.items():
        assert_array_equal(array, before[name])
    assert_array_equal(layer(x)[0], y)


def test_what_is_kept_from_editing_is_no_way_in():
    layer = cylstm.LSTM(3, 4, seed=1)
    with layer.editing() as parameters:
        kept = parameters["weight_ih_l0"]
    before = layer.state_dict()["weight_ih_l0"]
    kept[...] = 7
    assert_array_equal(layer.parameters["weight_ih_l0"], before)


# --- gradients -----------------------------------------------------------------------------------


def test_gradients_add_up_until_zeroed():
    layer = cylstm.LSTM(3, 4, seed=1)
    y, _, tape = layer.record(normal(5, 2, 3))
    layer.backward(tape, np.ones_like(y))
    once = {name: array.copy() for name, array in layer.grads.items()}
    assert all(array.any() for array in once.values())
    layer.backward(tape, np.ones_like(y))
    for name, array in layer.grads.items():
        assert_allclose(array, 2 * once[name], rtol=1e-5, atol=1e-6)
    layer.zero_grad()
    assert not any(array.any() for array in layer.grads.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_go_where_they_are_wanted(dtype):
    layer = cylstm.LSTM(3, 4, seed=1)
    y, _, tape = layer.record(normal(5, 2, 3))
    own = {name: np.ones(array.shape, dtype) for name, array in layer.grads.items()}
    dx, _ = layer.backward(tape, np.ones_like(y), grads=own)
    assert not any(array.any() for array in layer.grads.values())
    default_dx, _ = layer.backward(tape, np.ones_like(y))
    assert_array_equal(dx, default_dx)
    for name, array in layer.grads.items():
        assert_allclose(own[name], 1 + array, rtol=1e-6)


def test_dx_is_left_out_on_request():
    layer = cylstm.LSTM(3, 4, 2, seed=1)
    y, _, tape = layer.record(normal(5, 2, 3))
    dx, dstate = layer.backward(tape, np.ones_like(y))
    grads = {name: array.copy() for name, array in layer.grads.items()}
    layer.zero_grad()
    none, same_dstate = layer.backward(tape, np.ones_like(y), need_dx=False)
    assert dx.shape == (5, 2, 3)
    assert none is None
    assert_same_states(same_dstate, dstate)
    for name, array in layer.grads.items():
        assert_array_equal(array, grads[name])


def test_record_gives_what_a_call_does():
    layer = cylstm.LSTM(3, 4, 2, bidirectional=True, seed=1)
    x, state = normal(5, 2, 3), (normal(4, 2, 4), normal(4, 2, 4, seed=1))
    y, last, _ = layer.record(x, state, lengths=[5, 3])
    expected, expected_last = layer(x, state, lengths=[5, 3], reproducible=True)
    assert_allclose(y, expected, rtol=0, atol=1e-6)
    for part, wanted in zip(last, expected_last, strict=True):
        assert_allclose(part, wanted, rtol=0, atol=1e-6)


# --- tapes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [4, 128])  # of 128 a row of gates has a line more than its values
def test_a_tape_shows_what_happened_inside_an_lstm(units):
    layer = cylstm.LSTM(3, units, 2, bidirectional=True, batch_first=True, seed=1)
    y, _, tape = layer.record(normal(2, 5, 3))
    assert tape.nbytes >= 4 * 5 * 5 * 2 * 4 * 4  # five values of each unit, each step
    assert [len(directions) for directions in tape.layers] == [2, 2]
    for directions in tape.layers:
        for reverse, trace in enumerate(directions):
            for values in trace:
                assert values.shape == (5, 2, units)
                assert not values.flags.writeable
            assert_allclose(trace.hidden, trace.output_gate * np.tanh(trace.cell_state), atol=1e-6)
            ordered = [values[::-1] if reverse else values for values in trace]
            i, f, g, _, c, _ = ordered
            assert_allclose(c[0], i[0] * g[0], atol=1e-6)
            assert_allclose(c[1:], f[1:] * c[:-1] + i[1:] * g[1:], atol=1e-6)
    top = np.concatenate([trace.hidden for trace in tape.layers[-1]], axis=-1)
    assert_array_equal(top.swapaxes(0, 1), y)


def test_a_tape_of_an_rnn_shows_its_hidden_states():
    y, _, tape = cylstm.RNN(3, 4, seed=1).record(normal(5, 2, 3))
    assert_array_equal(tape.layers[0][0].hidden, y)
    assert tape.layers[0][0]._fields == ("hidden",)


def test_views_outlive_their_tape():
    y, _, tape = cylstm.LSTM(3, 4, seed=1).record(normal(5, 2, 3))
    hidden = tape.layers[0][0].hidden
    del tape
    gc.collect()
    assert_array_equal(hidden, y)


# --- dropout -------------------------------------------------------------------------------------


def test_dropout_acts_in_record_alone_and_between_layers_alone():
    x = normal(5, 2, 3)
    layer, without = cylstm.LSTM(3, 4, 2, dropout=0.5, seed=1), cylstm.LSTM(3, 4, 2, seed=1)
    assert_array_equal(layer(x)[0], without(x)[0])
    (y, _, tape), (other_y, _, other_tape) = layer.record(x), without.record(x)
    assert (y != other_y).any()
    assert_array_equal(tape.layers[0][0].hidden, other_tape.layers[0][0].hidden)
    single = cylstm.LSTM(3, 4, dropout=0.5, seed=1)
    assert_array_equal(single.record(x)[0], cylstm.LSTM(3, 4, seed=1).record(x)[0])


def test_each_record_call_draws_new_masks_that_the_seed_decides():
    x = normal(5, 2, 3)
    layer, twin = (cylstm.LSTM(3, 4, 2, dropout=0.5, seed=1) for _ in range(2))
    first, second = layer.record(x)[0], layer.record(x)[0]
    assert (first != second).any()
    assert_array_equal(twin.record(x)[0], first)
    assert_array_equal(twin.clone().record(x)[0], second)


def test_a_key_names_its_masks():
    x = normal(5, 2, 3)
    layer = cylstm.LSTM(3, 4, 2, dropout=0.5, seed=1)
    assert_array_equal(layer.record(x, key=5)[0], layer.record(x, key=5)[0])
    assert (layer.record(x, key=5)[0] != layer.record(x, key=6)[0]).any()
    assert_array_equal(layer.record(x, key=0)[0], cylstm.LSTM(3, 4, 2, seed=1).record(x)[0])


def test_dropout_of_everything_leaves_what_a_zero_input_gives():
    x = normal(5, 2, 3)
    layer = cylstm.LSTM(3, 4, 2, dropout=1.0, seed=1)
    y, _, tape = layer.record(x)
    upper = cylstm.LSTM(4, 4)
    names = [name for name in layer.state_dict() if name.endswith("_l1")]
    upper.load_state_dict({name[:-1] + "0": layer.parameters[name] for name in names})
    assert_array_equal(y, upper(np.zeros((5, 2, 4)))[0])
    dx, _ = layer.backward(tape, y)
    assert_array_equal(dx, 0.0)
    assert_array_equal(layer.grads["weight_ih_l0"], 0.0)


# --- streams -------------------------------------------------------------------------------------


@every_cell
@pytest.mark.parametrize("batch", [1, 3])
def test_a_stream_gives_what_one_run_does(cell, batch):
    layer = cell(3, 4, 2, seed=1)
    x = normal(5, batch, 3)
    y, last = layer(x, reproducible=True)
    stream = layer.stream(batch_size=batch)
    assert_array_equal([stream.step(x_t) for x_t in x], y)
    assert_same_states(stream.state, last)


def test_a_step_may_be_one_sequence_s_and_any_kind_of_numbers():
    layer = cylstm.LSTM(3, 4, seed=1)
    x = normal(5, 3)
    y, _ = layer(x, reproducible=True)
    stream = layer.stream()
    ways = (np.ndarray.tolist, np.float64, CONVERSIONS["read-only"], unaligned, lambda row: row)
    for row, way, expected in zip(x, ways, y, strict=True):
        assert_array_equal(stream.step(way(row)), expected)


def test_a_step_writes_to_out():
    layer = cylstm.LSTM(3, 4, seed=1)
    x = normal(5, 2, 3)
    stream, other = layer.stream(2), layer.stream(2)
    out = np.empty((2, 4), np.float32)
    for x_t in x:
        assert stream.step(x_t, out=out) is out
        assert_array_equal(out, other.step(x_t))
    row = np.empty(4, np.float32)
    assert layer.stream().step(x[0, 0], out=row) is row
    assert_array_equal(row, layer(x[:1, 0], reproducible=True)[0][0])


@every_cell
def test_a_stream_s_state_can_be_read_set_and_reset(cell):
    layer = cell(3, 4, 2, seed=1)
    x = normal(6, 2, 3)
    stream = layer.stream(2)
    first = [stream.step(x_t) for x_t in x[:3]]
    middle = stream.state
    rest = [stream.step(x_t) for x_t in x[3:]]
    other = layer.stream(2)
    other.state = middle
    assert_same_states(other.state, middle)
    assert_array_equal([other.step(x_t) for x_t in x[3:]], rest)
    stream.reset()
    assert_array_equal([stream.step(x_t) for x_t in x[:3]], first)


def test_the_state_of_a_stream_is_a_copy():
    layer = cylstm.LSTM(3, 4, seed=1)
    stream, other = layer.stream(), layer.stream()
    stream.step([1, 2, 3])
    other.step([1, 2, 3])
    for part in stream.state:
        part[...] = 7
    assert_array_equal(stream.step([4, 5, 6]), other.step([4, 5, 6]))


# --- copies and descriptions ---------------------------------------------------------------------

COPIES = {
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "clone": lambda layer: layer.clone(),
}


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize(
    "layer",
    [
        cylstm.LSTM(3, 4, 2, dropout=0.5, bidirectional=True, batch_first=True),
        cylstm.LSTM(3, 4, bias=False, seed=5),
        cylstm.RNN(3, 4, nonlinearity="relu"),
    ],
    ids=str,
)
def test_copies_are_the_same_and_independent(layer, make_copy):
    twin = make_copy(layer)
    x = normal(5, 2, 3)
    before = layer(x)[0]
    assert type(twin) is type(layer)
    assert twin.config == layer.config
    assert_array_equal(twin(x)[0], before)
    with twin.editing() as parameters:
        parameters["weight_ih_l0"][...] = 7
    assert_array_equal(layer(x)[0], before)


def test_the_arguments_are_read_only_attributes():
    layer = cylstm.RNN(3, 4, 2, nonlinearity="relu", dropout=0.5, seed=7)
    shown = {name: getattr(layer, name) for name in layer.config}
    assert shown == layer.config
    assert (layer.input_size, layer.num_layers, layer.nonlinearity) == (3, 2, "relu")
    with pytest.raises(AttributeError):
        layer.batch_first = True


def test_repr_shows_what_is_not_default():
    assert repr(cylstm.LSTM(3, 4)) == "LSTM(input_size=3, hidden_size=4)"
    layer = cylstm.RNN(3, 4, 2, nonlinearity="relu", seed=1)
    assert repr(layer) == "RNN(input_size=3, hidden_size=4, num_layers=2, nonlinearity='relu')"
    assert repr(layer.record(normal(5, 2, 3))[2]).startswith("<Tape of 5 steps x 2, ")
