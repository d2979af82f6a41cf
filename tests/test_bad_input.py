"""What is refused: each error says which argument it was, what it was and what was expected.

Damaged files are in test_formats.py, training data in test_training.py, tables in test_cli.py.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import cylstm

LSTM = cylstm.LSTM(3, 4, 2, seed=1)
COLUMNS = cylstm.LSTM(3, 4, batch_first=True, seed=1)
BOTH_WAYS = cylstm.LSTM(3, 4, bidirectional=True, seed=1)
RNN = cylstm.RNN(3, 4, seed=1)
X = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
ZEROS = np.zeros((2, 2, 4), np.float32)


def model(**arguments) -> cylstm.SequenceModel:
    defaults = {"task": "classification", "input_size": 3, "hidden_size": 4, "output_size": 2}
    return cylstm.SequenceModel(**(defaults | arguments))


def token_model(**arguments) -> cylstm.SequenceModel:
    tokens = {"input_size": None, "vocab_size": 7, "embedding_size": 3}
    return model(**(tokens | arguments))


MODEL, TOKENS, REGRESSION = model(), token_model(), model(task="regression")
POOLED = model(pooling="mean")


class Case(NamedTuple):
    """A call that must fail, and pieces of the message that it must fail with."""

    call: Callable[[], Any]
    error: type[Exception]
    message: list[str]


def value_error(call: Callable[[], Any], *message: str) -> Case:
    return Case(call, ValueError, list(message))


def type_error(call: Callable[[], Any], *message: str) -> Case:
    return Case(call, TypeError, list(message))


def check(case: Case) -> None:
    pieces = ".*".join(re.escape(piece) for piece in case.message)
    with pytest.raises(case.error, match=f"^{pieces}"):
        case.call()


def every(cases: dict[str, Case]):
    return pytest.mark.parametrize("case", cases.values(), ids=cases)


# --- the input of a call -------------------------------------------------------------------------


def read_only(shape: tuple[int, ...]) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array.flags.writeable = False
    return array


def run_onto_its_input() -> None:
    memory = np.zeros((5, 2, 6), np.float32)
    LSTM(memory[..., :3], out=memory[..., 2:])


INPUTS = {
    "wrong width": value_error(lambda: LSTM(X[..., :2]), "x: expected", "(T, B, 3)", "(5, 2, 2)"),
    "width, batch first": value_error(lambda: COLUMNS(X[..., :2]), "x: expected", "(B, T, 3)"),
    "one axis": value_error(lambda: LSTM(X[0, 0]), "x: expected", "got (3,)"),
    "four axes": value_error(lambda: LSTM(X[None]), "x: expected", "got (1, 5, 2, 3)"),
    "number": value_error(lambda: LSTM(1.0), "x: expected", "got ()"),
    "no steps": value_error(lambda: LSTM(X[:0]), "x: expected at least one step", "(0, 2, 3)"),
    "no sequences": value_error(lambda: LSTM(X[:, :0]), "x:", "of one sequence", "(5, 0, 3)"),
    "no steps of one": value_error(lambda: LSTM(X[:0, 0]), "x: expected at least", "(0, 3)"),
    "nothing": value_error(lambda: LSTM([]), "x: expected", "got (0,)"),
    "None": type_error(lambda: LSTM(None), "x: expected real numbers, got dtype object"),
    "objects": type_error(lambda: LSTM(X.astype(object)), "x: expected real numbers", "object"),
    "words": type_error(lambda: LSTM([["a", "b", "c"]]), "x: expected real numbers", "<U1"),
    "complex": type_error(lambda: LSTM(X + 1j), "x: expected real numbers", "complex64"),
    "dates": type_error(lambda: LSTM(X.astype("M8[s]")), "x: expected real numbers", "datetime64"),
    "masked": type_error(lambda: LSTM(np.ma.array(X)), "x: expected a plain array"),
    "ragged": value_error(lambda: LSTM([[1, 2, 3], [1, 2]]), "x: expected a rectangular array"),
    "too large": value_error(
        lambda: LSTM(np.float64(X) * 1e300), "x: expected", "float32", "e+300"
    ),
    "float tokens": type_error(lambda: TOKENS([X[:, :, 0]]), "x: expected integer tokens"),
    "bool tokens": type_error(lambda: TOKENS(X[:, :, 0] > 0), "x: expected integer tokens"),
    "token V": value_error(lambda: TOKENS(np.array([1, 7])), "x: token 7", "0..6"),
    "negative token": value_error(lambda: TOKENS(np.array([1, -1])), "x: token -1", "0..6"),
    "huge token": value_error(lambda: TOKENS(np.array([2**40])), "x: expected", str(2**40)),
    "token axes": value_error(lambda: TOKENS(np.ones((2, 2, 2), int)), "x: expected", "(T, B)"),
}


@every(INPUTS)
def test_inputs(case):
    check(case)


@pytest.mark.parametrize("layer", [LSTM, RNN], ids=str)
@pytest.mark.parametrize("x", [X[..., :2], X[:0], None, "abc"], ids=["width", "T=0", "None", "str"])
def test_record_refuses_what_a_call_does(layer, x):
    for call in (layer, layer.record):
        with pytest.raises((TypeError, ValueError), match=r"^x: expected"):
            call(x)


LENGTHS = {
    "over T": value_error(lambda: LSTM(X, lengths=[5, 6]), "lengths: expected", "0..5", "6 at 1"),
    "negative": value_error(lambda: LSTM(X, lengths=[-1, 5]), "lengths:", "0..5", "-1 at 0"),
    "too few": value_error(lambda: LSTM(X, lengths=[5]), "lengths: expected shape (2,), got (1,)"),
    "a number": value_error(lambda: LSTM(X, lengths=5), "lengths: expected shape (2,), got ()"),
    "floats": type_error(lambda: LSTM(X, lengths=[5.0, 3.0]), "lengths: expected integers"),
    "of one": value_error(lambda: LSTM(X[:, 0], lengths=[6]), "lengths: expected", "0..5"),
}


@every(LENGTHS)
def test_lengths(case):
    check(case)


STATES = {
    "batch": value_error(
        lambda: LSTM(X, (ZEROS[:, :1], ZEROS)), "state h: expected shape (2, 2, 4), got (2, 1, 4)"
    ),
    "layers": value_error(lambda: LSTM(X, (ZEROS, ZEROS[:1])), "state c: expected", "(1, 2, 4)"),
    "h alone": type_error(
        lambda: LSTM(X, ZEROS), "state: expected a tuple (h, c), got an", "(2, 2, 4)"
    ),
    "three": type_error(lambda: LSTM(X, (ZEROS,) * 3), "state: expected a tuple (h, c), got 3"),
    "a tuple": value_error(lambda: RNN(X, (ZEROS[:1], ZEROS[:1])), "state h: expected shape"),
    "batched": value_error(lambda: LSTM(X[:, 0], (ZEROS, ZEROS)), "state h: expected shape (2, 4)"),
    "objects": type_error(lambda: LSTM(X, (ZEROS, None)), "state c: expected real numbers"),
}


@every(STATES)
def test_states(case):
    check(case)


OPTIONS = {
    "out's shape": value_error(
        lambda: LSTM(X, out=np.zeros((5, 2, 3), np.float32)), "out: expected shape (5, 2, 4)"
    ),
    "out's dtype": type_error(lambda: LSTM(X, out=np.zeros((5, 2, 4))), "out:", "float64"),
    "a list": type_error(lambda: LSTM(X, out=[]), "out: expected an array", "list"),
    "read-only out": value_error(lambda: LSTM(X, out=read_only((5, 2, 4))), "out:", "writable"),
    "out's strides": value_error(
        lambda: LSTM(X, out=np.zeros((5, 2, 8), np.float32)[..., ::2]), "out: expected a writable"
    ),
    "unaligned out": value_error(
        lambda: LSTM(X, out=np.zeros(161, "u1")[1:].view("f4").reshape(5, 2, 4)),
        "out: expected a writable, aligned array",
    ),
    "overlap": value_error(run_onto_its_input, "out: expected memory of its own"),
    "no threads": value_error(lambda: LSTM(X, num_threads=0), "num_threads: expected", "1..1024"),
    "half a thread": type_error(lambda: LSTM(X, num_threads=0.5), "num_threads: expected an int"),
    "reproducible": type_error(lambda: LSTM(X, reproducible="yes"), "reproducible: expected True"),
    "set no threads": value_error(lambda: cylstm.set_num_threads(0), "num_threads: expected"),
    "set True threads": type_error(lambda: cylstm.set_num_threads(True), "num_threads: expected"),
    "key": value_error(lambda: LSTM.record(X, key=-1), "key: expected"),
    "no steps": value_error(
        lambda: LSTM.record(X, checkpoint_every=0), "checkpoint_every: expected an integer in 1.."
    ),
    "half a step": type_error(
        lambda: LSTM.record(X, checkpoint_every=0.5), "checkpoint_every: expected an integer"
    ),
    "gates that are not there": value_error(
        lambda: LSTM.record(X, checkpoint_every=1)[2].layers, "input_gate: not on a tape"
    ),
    "explain nothing": type_error(lambda: cylstm.explain(X, T=1), "layer: expected an LSTM"),
    "explain no steps": value_error(lambda: cylstm.explain(LSTM, T=0), "T: expected", "1.."),
    "explain half": type_error(lambda: cylstm.explain(LSTM, T=1, B=0.5), "B: expected an integer"),
}


@every(OPTIONS)
def test_options(case):
    check(case)


# --- constructors --------------------------------------------------------------------------------

SIZES = {
    "zero": value_error(lambda: cylstm.LSTM(0, 4), "input_size: expected an integer in 1..", "0"),
    "negative": value_error(lambda: cylstm.LSTM(3, -4), "hidden_size: expected", "-4"),
    "no layers": value_error(lambda: cylstm.RNN(3, 4, 0), "num_layers: expected"),
    "float": type_error(lambda: cylstm.LSTM(3, 4.0), "hidden_size: expected an integer, got 4.0"),
    "bool": type_error(lambda: cylstm.LSTM(True, 4), "input_size: expected an integer, got True"),
    "None": type_error(lambda: cylstm.LSTM(3, None), "hidden_size: expected an integer, got None"),
    "absurd": value_error(lambda: cylstm.LSTM(3, 10**30), "hidden_size: expected"),
    "absurd together": value_error(
        lambda: cylstm.LSTM(2**24, 2**24), "hidden_size: expected", "weights"
    ),
    "too large": value_error(lambda: cylstm.LSTM(3, 100_000), "hidden_size: expected", "weights"),
    "deep": value_error(lambda: cylstm.LSTM(3, 4, 10**6), "num_layers: expected", "1..1024"),
    "vocabulary": value_error(
        lambda: token_model(vocab_size=10**9), "vocab_size: expected an integer in 1.."
    ),
    "batch": value_error(lambda: LSTM.stream(0), "batch_size: expected"),
    "dropout 1.5": value_error(lambda: cylstm.LSTM(3, 4, dropout=1.5), "dropout: expected", "1.5"),
    "dropout -1": value_error(lambda: cylstm.LSTM(3, 4, dropout=-0.1), "dropout: expected"),
    "dropout nan": value_error(lambda: cylstm.LSTM(3, 4, dropout=np.nan), "dropout: expected"),
    "dropout True": type_error(
        lambda: cylstm.LSTM(3, 4, dropout=True), "dropout: expected", "True"
    ),
    "dropout half": type_error(lambda: cylstm.LSTM(3, 4, dropout="half"), "dropout: expected"),
    "bias": type_error(lambda: cylstm.LSTM(3, 4, bias=None), "bias: expected True or False"),
    "seed": value_error(lambda: cylstm.LSTM(3, 4, seed=-1), "seed: expected"),
    "nonlinearity": value_error(
        lambda: cylstm.RNN(3, 4, nonlinearity="elu"), "nonlinearity: expected one of 'tanh', 'relu'"
    ),
}


@every(SIZES)
def test_constructors_of_layers(case):
    check(case)


COMBINATIONS = {
    "task": value_error(lambda: model(task="translation"), "task: expected one of"),
    "cell": value_error(lambda: model(cell="gru"), "cell: expected one of 'lstm', 'rnn'"),
    "pooling": value_error(lambda: model(pooling="sum"), "pooling: expected one of None, 'last'"),
    "a list": value_error(lambda: model(pooling=["last"]), "pooling: expected one of"),
    "two inputs": value_error(lambda: token_model(input_size=3), "input_size: expected either"),
    "no input": value_error(lambda: model(input_size=None), "input_size:", "none of them"),
    "no embedding": value_error(
        lambda: model(input_size=None, vocab_size=7), "input_size:", "got vocab_size"
    ),
    "relu": value_error(lambda: model(nonlinearity="relu"), "nonlinearity: expected 'tanh'"),
    "no output": value_error(lambda: model(output_size=0), "output_size: expected"),
    "next numbers": value_error(
        lambda: model(task="language"), "vocab_size: expected", "language model"
    ),
    "next classes": value_error(
        lambda: token_model(task="language"), "output_size: expected 7 for a language model, got 2"
    ),
    "pooled tokens": value_error(
        lambda: token_model(task="language", output_size=7, pooling="last"),
        "pooling: expected None for a language model",
    ),
    "the future": value_error(
        lambda: token_model(task="language", output_size=7, bidirectional=True),
        "bidirectional: expected False for a language model",
    ),
}


@every(COMBINATIONS)
def test_constructors_of_models(case):
    check(case)


# --- parameters and gradients --------------------------------------------------------------------


def state_dict(**changes: Any) -> dict[str, Any]:
    changed = LSTM.state_dict() | changes
    return {name: array for name, array in changed.items() if array is not None}


WRONG_STATE_DICTS = {
    "missing": value_error(
        lambda: LSTM.load_state_dict(state_dict(bias_hh_l1=None)),
        "state_dict: missing 'bias_hh_l1'",
    ),
    "misnamed": value_error(
        lambda: LSTM.load_state_dict(state_dict(bias_hh_l1=None, bias_hh_1=np.zeros(16))),
        "state_dict: missing 'bias_hh_l1'; unexpected 'bias_hh_1'",
    ),
    "misshapen": value_error(
        lambda: LSTM.load_state_dict(state_dict(weight_ih_l0=np.zeros((3, 16)))),
        "state_dict['weight_ih_l0']: expected shape (16, 3), got (3, 16)",
    ),
    "objects": type_error(
        lambda: LSTM.load_state_dict(state_dict(weight_hh_l1=np.full((16, 4), None))),
        "state_dict['weight_hh_l1']: expected real numbers",
    ),
    "a list": type_error(
        lambda: LSTM.load_state_dict([1, 2]), "state_dict: expected a mapping", "list"
    ),
}


@every(WRONG_STATE_DICTS)
def test_a_wrong_state_dict_changes_nothing(case):
    before = LSTM.state_dict()
    check(case)
    for name, array in LSTM.parameters.items():
        assert_array_equal(array, before[name])


def from_tensors(options: dict[str, Any] | None = None, **changes: Any) -> Callable[[], Any]:
    tensors = {f"a.{name}": array for name, array in LSTM.state_dict().items()}
    changed = tensors | {f"a.{name}": array for name, array in changes.items()}
    kept = {name: array for name, array in changed.items() if array is not None}
    return lambda: cylstm.LSTM.from_state_dict(kept, **({"prefix": "a."} | (options or {})))


NAMES = {name: name for name in LSTM.parameters}

WRONG_TENSORS = {
    "no prefix": value_error(
        from_tensors({"prefix": ""}),
        "state_dict after '': missing 'weight_ih_l0', 'weight_hh_l0'; there is a layer after 'a.'",
    ),
    "other prefix": value_error(from_tensors({"prefix": "a"}), "state_dict after 'a': missing"),
    "prefix": type_error(from_tensors({"prefix": None}), "prefix: expected a str, got None"),
    "missing": value_error(
        from_tensors(bias_hh_l1=None), "state_dict after 'a.': missing 'bias_hh_l1'"
    ),
    "first": value_error(
        from_tensors(weight_hh_l0=None), "state_dict after 'a.': missing 'weight_hh_l0'"
    ),
    "projection": value_error(
        from_tensors(weight_hr_l0=np.zeros((2, 4))),
        "state_dict: 'a.weight_hr_l0' is of a projected LSTM",
    ),
    "skipped layer": value_error(
        from_tensors(weight_hh_l1=None, weight_hh_l2=np.zeros((16, 4))),
        "state_dict after 'a.': missing 'weight_hh_l1', 'weight_ih_l2', 'bias_ih_l2', 'bias_hh_l2'",
    ),
    "missing of the last layer": value_error(
        from_tensors(weight_hh_l1=None), "state_dict after 'a.': missing 'weight_hh_l1'"
    ),
    "numbered twice": value_error(
        from_tensors(weight_hh=np.zeros((16, 4))), "state_dict", "unexpected 'weight_hh'"
    ),
    "misshapen": value_error(
        from_tensors(bias_ih_l1=np.zeros(4)),
        "state_dict['a.bias_ih_l1']: expected shape (16,), got (4,)",
    ),
    "a GRU's": value_error(
        from_tensors(weight_hh_l0=np.zeros((12, 4))),
        "state_dict['a.weight_hh_l0']: expected shape (16, 4), got (12, 4)",
    ),
    "an RNN's": value_error(
        lambda: cylstm.RNN.from_state_dict(LSTM.state_dict()),
        "state_dict['weight_ih_l0']: expected shape (4, 3), got (16, 3)",
    ),
    "no matrix": value_error(
        from_tensors(weight_ih_l0=np.zeros(16)), "state_dict['a.weight_ih_l0']: expected a matrix"
    ),
    "nothing": value_error(
        lambda: cylstm.LSTM.from_state_dict(
            {"weight_ih": np.zeros((0, 3)), "weight_hh": np.zeros((0, 0))}
        ),
        "hidden_size: expected an integer in 1..",
    ),
    "objects": type_error(
        from_tensors(weight_hh_l1=np.full((16, 4), None)),
        "state_dict['a.weight_hh_l1']: expected real numbers",
    ),
    "ragged": value_error(
        from_tensors(weight_hh_l0=[[1, 2], [3]]), "state_dict['a.weight_hh_l0']: expected a rect"
    ),
    "a list": type_error(lambda: cylstm.LSTM.from_state_dict([1]), "state_dict: expected", "list"),
    "numbered": type_error(
        lambda: cylstm.LSTM.from_state_dict({1: X}), "state_dict: expected a mapping of names"
    ),
    "names": type_error(from_tensors({"names": ["a"]}), "names: expected a mapping", "['a']"),
    "names of no name": type_error(
        from_tensors({"names": NAMES | {"bias_hh_l1": None}}), "names: expected a mapping"
    ),
    "no name": value_error(
        from_tensors({"names": {"weight_ih_l0": "weight_ih_l0"}}), "names: missing 'weight_hh_l0'"
    ),
    "one name less": value_error(
        from_tensors({"names": {k: k for k in NAMES if k != "bias_hh_l1"}}),
        "names: missing 'bias_hh_l1'",
    ),
    "one name more": value_error(
        from_tensors({"names": NAMES | {"c": "bias_hh_l1"}}), "names: unexpected 'c'"
    ),
    "name of none": value_error(
        from_tensors({"names": NAMES | {"bias_hh_l1": "b"}}), "state_dict: missing 'a.b'"
    ),
    "sizes": type_error(from_tensors({"hidden_size": 4}), "", "hidden_size"),
}


@every(WRONG_TENSORS)
def test_tensors_that_make_no_layer(case):
    check(case)


Y, _, TAPE = LSTM.record(X)


def grads(**changes: Any) -> dict[str, Any]:
    changed = {name: np.zeros(array.shape) for name, array in LSTM.parameters.items()} | changes
    return {name: array for name, array in changed.items() if array is not None}


def backward_into(**changes: Any) -> Callable[[], Any]:
    return lambda: LSTM.backward(TAPE, Y, grads=grads(**changes))


WRONG_GRADIENTS = {
    "no tape": type_error(lambda: LSTM.backward(Y, Y), "tape: expected what record returned"),
    "another's tape": value_error(lambda: RNN.backward(TAPE, Y), "tape: expected one that this"),
    "dy's shape": value_error(
        lambda: LSTM.backward(TAPE, Y[:4]), "dy: expected shape (5, 2, 4), got (4, 2, 4)"
    ),
    "dy's type": type_error(lambda: LSTM.backward(TAPE, None), "dy: expected real numbers"),
    "dstate": value_error(
        lambda: LSTM.backward(TAPE, Y, (ZEROS, ZEROS[..., :3])), "dstate c: expected shape"
    ),
    "need_dx": type_error(lambda: LSTM.backward(TAPE, Y, need_dx=None), "need_dx: expected True"),
    "missing": value_error(backward_into(bias_hh_l1=None), "grads: missing 'bias_hh_l1'"),
    "misshapen": value_error(
        backward_into(bias_hh_l1=np.zeros(15)), "grads['bias_hh_l1']: expected", "(16,)", "(15,)"
    ),
    "read-only": value_error(
        backward_into(bias_hh_l1=read_only((16,))), "grads['bias_hh_l1']: expected a writable"
    ),
    "integers": type_error(
        backward_into(bias_hh_l1=np.zeros(16, int)), "grads['bias_hh_l1']: expected", "int64"
    ),
    "a list": type_error(backward_into(bias_hh_l1=[0.0] * 16), "grads['bias_hh_l1']: expected"),
}


@every(WRONG_GRADIENTS)
def test_wrong_gradients_add_nothing(case):
    check(case)
    assert not any(array.any() for array in LSTM.grads.values())


def test_a_tape_is_of_no_use_once_the_parameters_have_changed():
    layer = cylstm.LSTM(3, 4, seed=1)
    y, _, tape = layer.record(X)
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="tape: the weights have changed"):
        layer.backward(tape, y)
    assert not any(array.any() for array in layer.grads.values())


def test_a_misspelt_parameter_cannot_be_edited():
    with pytest.raises(KeyError), LSTM.editing() as parameters:
        parameters["weight"][...] = 0
    with pytest.raises(TypeError), LSTM.editing() as parameters:
        parameters["weight_ih_l0"] = np.zeros((16, 3))


# --- streams -------------------------------------------------------------------------------------

STREAM, PAIR, TOKEN_STREAM = LSTM.stream(), LSTM.stream(2), TOKENS.stream()


def set_state(stream, state) -> Callable[[], None]:
    return lambda: setattr(stream, "state", state)


STREAMS = {
    "bidirectional": value_error(BOTH_WAYS.stream, "stream: expected", "bidirectional"),
    "width": value_error(lambda: STREAM.step([1, 2]), "x_t: expected shape (1, 3), got (2,)"),
    "batch": value_error(lambda: PAIR.step([1, 2, 3]), "x_t: expected shape (2, 3), got (3,)"),
    "words": type_error(lambda: STREAM.step(["a", "b", "c"]), "x_t: expected real numbers"),
    "float token": type_error(lambda: TOKEN_STREAM.step(1.0), "x_t: expected integer tokens"),
    "token V": value_error(lambda: TOKEN_STREAM.step(7), "x_t: token 7", "0..6"),
    "token -1": value_error(lambda: TOKEN_STREAM.step(-1), "x_t: token -1", "0..6"),
    "out": value_error(
        lambda: STREAM.step([1, 2, 3], out=np.zeros(3, np.float32)), "out: expected shape (4,)"
    ),
    "out's axes": value_error(
        lambda: STREAM.step([[1, 2, 3]], out=np.zeros(4, np.float32)), "out: expected shape (1, 4)"
    ),
    "state": value_error(set_state(PAIR, (ZEROS[:1], ZEROS)), "state h: expected shape (2, 2, 4)"),
    "no state": type_error(set_state(PAIR, None), "state: expected a tuple (h, c), got NoneType"),
    "pooled": type_error(
        set_state(POOLED.stream(), (ZEROS[:1, :1],) * 2), "state: expected a tuple (h, c, pooled)"
    ),
}


@every(STREAMS)
def test_streams(case):
    streams = (STREAM, PAIR, TOKEN_STREAM)
    before = [stream.state for stream in streams]
    check(case)
    for stream, state in zip(streams, before, strict=True):
        assert_array_equal(np.stack(stream.state), np.stack(state))


# --- models --------------------------------------------------------------------------------------


def set_attribute(name: str, value: Any, owner: Any = MODEL) -> Callable[[], None]:
    return lambda: setattr(owner, name, value)


MODELS = {
    "list and lengths": value_error(
        lambda: MODEL.scores([X[:, 0]], lengths=[5]), "lengths: expected None beside a list"
    ),
    "list and state": value_error(
        lambda: MODEL.scores([X[:, 0]], (ZEROS, ZEROS)), "state: expected None beside a list"
    ),
    "empty list": value_error(lambda: MODEL.scores([]), "x: expected at least one sequence"),
    "list of batches": value_error(lambda: MODEL.scores([X]), "x[0]: expected one sequence"),
    "one too wide": value_error(
        lambda: MODEL.scores([X[:, 0], X[:, 0, :2]]), "x[1]: expected", "got (5, 2)"
    ),
    "one too short": value_error(
        lambda: MODEL.predict([X[:, 0], X[:0, 0]]), "x[1]: expected at least one step"
    ),
    "numbers for tokens": type_error(
        lambda: TOKENS.predict([[1, 2], [0.5]]), "x[1]: expected integer tokens"
    ),
    "token in a list": value_error(lambda: TOKENS.predict([[1, 2], [9]]), "x: token 9"),
    "threads": value_error(lambda: MODEL.predict([X[:, 0]], num_threads=0), "num_threads:"),
    "proba": value_error(lambda: REGRESSION.predict_proba(X), "predict_proba: expected classes"),
    "target": value_error(lambda: MODEL.evaluate(X), "y: expected"),
    "NaN": value_error(lambda: POOLED.evaluate(X * np.nan, [0, 1]), "x", "expected finite", "nan"),
    "mean's shape": value_error(
        lambda: MODEL.set_input_scale([0], [1, 1, 1]), "mean: expected shape (3,), got (1,)"
    ),
    "mean alone": type_error(lambda: MODEL.set_input_scale([0, 0, 0], None), "std: expected"),
    "std of 0": value_error(
        lambda: MODEL.set_input_scale([0, 0, 0], [1, 0, 1]), "std: expected deviations above 0"
    ),
    "std of NaN": value_error(
        lambda: MODEL.set_input_scale([0, 0, 0], [1, np.nan, 1]), "std: expected finite"
    ),
    "tokens' scale": value_error(
        lambda: TOKENS.set_input_scale([0], [1]), "set_input_scale: expected a model of numbers"
    ),
    "classes' scale": value_error(
        lambda: MODEL.set_output_scale([0, 0], [1, 1]), "set_output_scale: expected a regression"
    ),
    "three classes": value_error(
        set_attribute("classes", ["a", "b", "c"]), "classes: expected 2 different labels"
    ),
    "same classes": value_error(set_attribute("classes", ["a", "a"]), "classes: expected 2"),
    "a word": type_error(set_attribute("classes", "ab"), "classes: expected a list of labels"),
    "a number": type_error(set_attribute("classes", 2), "classes: expected a list of labels"),
    "mixed classes": type_error(set_attribute("classes", ["a", 1]), "classes: expected words"),
    "objects": type_error(set_attribute("classes", [None, None]), "classes: expected words"),
    "class NaN": value_error(
        set_attribute("classes", [0.0, np.nan]), "classes: expected finite numbers"
    ),
    "a regression's": value_error(
        set_attribute("classes", ["a", "b"], REGRESSION), "classes: expected a classification"
    ),
    "extras": type_error(set_attribute("extras", [1]), "extras: expected a dict, got list"),
    "missing": value_error(
        lambda: MODEL.load_state_dict(LSTM.state_dict()), "state_dict: missing 'recurrent.weight"
    ),
}


@every(MODELS)
def test_models(case):
    check(case)
    assert (MODEL.input_scale, MODEL.classes, MODEL.extras) == (None, None, {})


def test_a_bidirectional_model_cannot_stream():
    with pytest.raises(ValueError, match="stream: expected a network of one direction"):
        model(bidirectional=True).stream()


# --- what is no number, no name, no file ---------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("schedule", 3),
        ("optimizer", ["adam"]),
        ("learning_rate", "fast"),
        ("clip_norm", "none"),
    ],
)
def test_fit_names_the_option_that_is_of_the_wrong_type(option, value):
    model = cylstm.SequenceModel(
        task="regression", input_size=1, hidden_size=2, pooling="last", output_size=1
    )
    x, y = np.ones((4, 8, 1)), np.arange(8.0)
    with pytest.raises(TypeError, match=f"^{option}: expected"):
        model.fit(x, y, **{option: value})
    assert model.input_scale is None


PATHS = {
    "save": type_error(lambda: LSTM.save(None), "path: expected a path, got None"),
    "load": type_error(lambda: cylstm.load(5), "path: expected a path, got 5"),
}


@every(PATHS)
def test_what_is_no_path(case):
    check(case)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_saving_does_not_replace_what_is_no_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="path: expected a file"):
        cylstm.LSTM(2, 2).save(pipe)
    assert pipe.is_fifo()


def test_tokens_that_change_after_they_were_checked_do_no_harm():
    model = cylstm.SequenceModel(
        task="language", vocab_size=3, embedding_size=64, hidden_size=4, output_size=3
    )
    x, done = np.zeros((2000, 20), np.int32), threading.Event()

    def overwrite() -> None:
        while not done.is_set():
            x[:] = 2**31 - 1
            x[:] = 0

    thread = threading.Thread(target=overwrite)
    thread.start()
    try:
        for _ in range(40):
            with contextlib.suppress(ValueError):
                model(x)
    finally:
        done.set()
        thread.join()
