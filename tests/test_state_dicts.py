"""Layers from tensors that others have named and saved. What is refused is in test_bad_input.py."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import cylstm
from cylstm.state_dicts import parameter_shapes

OTHERS = {"conv.weight": np.zeros((2, 2)), "steps": np.array(7), "encoder.norm": np.zeros(3)}


def make_layer(cell: str, bidirectional: bool, bias: bool, num_layers: int):
    options = {"bidirectional": bidirectional, "bias": bias, "num_layers": num_layers, "seed": 1}
    if cell == "lstm":
        return cylstm.LSTM(5, 4, **options)
    return cylstm.RNN(5, 4, nonlinearity=cell, **options)


def write(path, **tensors: tuple[str, np.ndarray]) -> None:
    """A safetensors file of arrays that are said to be of these types."""
    header, data = {}, b""
    for name, (dtype, array) in tensors.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": offsets}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


CELLS = ("lstm", "tanh", "relu")


@pytest.mark.parametrize(
    ("cell", "bidirectional", "bias", "num_layers"),
    list(product(CELLS, (False, True), (False, True), (1, 3))),
)
def test_a_layer_after_a_prefix_has_the_sizes_of_its_tensors(cell, bidirectional, bias, num_layers):
    layer = make_layer(cell, bidirectional, bias, num_layers)
    tensors = {f"encoder.lstm.{name}": array for name, array in layer.parameters.items()}
    arguments = {} if cell == "lstm" else {"nonlinearity": cell}
    found = type(layer).from_state_dict(
        OTHERS | tensors, prefix="encoder.lstm.", seed=1, **arguments
    )
    assert found.config == layer.config
    for name, array in layer.parameters.items():
        assert_array_equal(found.parameters[name], array)


@pytest.mark.parametrize(
    ("cell", "bidirectional", "bias", "num_layers"),
    list(product(CELLS, (False, True), (False, True), (1, 3))),
)
def test_shapes_are_those_of_a_layer(cell, bidirectional, bias, num_layers):
    layer = make_layer(cell, bidirectional, bias, num_layers)
    shapes = parameter_shapes(layer._gates, 5, 4, num_layers, bias, bidirectional)
    assert shapes == {name: array.shape for name, array in layer.parameters.items()}


def test_a_cell_does_not_number_its_layer():
    layer = cylstm.LSTM(5, 4)
    cell = {f"cell.{name.removesuffix('_l0')}": array for name, array in layer.parameters.items()}
    found = cylstm.LSTM.from_state_dict(OTHERS | cell, prefix="cell.", batch_first=True)
    assert found.batch_first
    for name, array in layer.parameters.items():
        assert_array_equal(found.parameters[name], array)


def test_names_may_be_any():
    """Two cells on top of each other, one bias for both, and tensors in between that are others."""
    rng = np.random.default_rng(0)
    tensors = {
        "net.0.W": rng.normal(size=(16, 5)),
        "net.0.U": rng.normal(size=(16, 4)),
        "net.0.b": rng.normal(size=16),
        "net.1.W": rng.normal(size=(16, 4)),
        "net.1.U": rng.normal(size=(16, 4)),
        "net.1.b": rng.normal(size=16),
        "net.2.W": rng.normal(size=(3, 4)),
    }
    letters = {"weight_ih": "W", "weight_hh": "U", "bias_ih": "b", "bias_hh": "b"}
    names = {f"{ours}_l{n}": f"{n}.{theirs}" for n in (0, 1) for ours, theirs in letters.items()}
    found = cylstm.LSTM.from_state_dict(tensors, prefix="net.", names=names)
    assert (found.input_size, found.hidden_size, found.num_layers) == (5, 4, 2)
    for ours, theirs in names.items():
        assert_array_equal(found.parameters[ours], np.float32(tensors[f"net.{theirs}"]))


def test_the_layer_of_a_saved_model_is_found_in_its_file(tmp_path):
    model = cylstm.SequenceModel(task="regression", input_size=3, hidden_size=4, output_size=2)
    model.save(tmp_path / "model")
    for path in (tmp_path / "model", str(tmp_path / "model"), bytes(tmp_path / "model")):
        found = cylstm.LSTM.from_state_dict(path, prefix="recurrent.")
        assert_array_equal(
            found.parameters["weight_hh_l0"], model.parameters["recurrent.weight_hh_l0"]
        )


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_a_file_s_floats_become_float32(tmp_path, dtype):
    """Each to the nearest; bfloat16, which NumPy lacks, is float32 without its lower half."""
    exact = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    exact[0] = [np.inf, -0.0, 2.0**-20, 1.0]
    if dtype == "BF16":
        stored = (exact.view(np.uint32) >> 16).astype(np.uint16)
        expected = (stored.astype(np.uint32) << 16).view(np.float32)
        assert np.abs(expected[1:] / exact[1:] - 1).max() < 2**-7
    else:
        stored = exact.astype({"F64": np.float64, "F32": np.float32, "F16": np.float16}[dtype])
        expected = stored.astype(np.float32)
    other = ("I64", np.arange(3))
    write(tmp_path / "file", weight_ih=(dtype, stored), weight_hh=(dtype, stored))
    found = cylstm.LSTM.from_state_dict(tmp_path / "file")
    assert_array_equal(found.parameters["weight_hh_l0"].view("i4"), expected.view("i4"))
    write(tmp_path / "more", weight_ih=(dtype, stored), weight_hh=(dtype, stored), steps=other)
    with pytest.raises(ValueError, match="unexpected 'steps'"):
        cylstm.LSTM.from_state_dict(tmp_path / "more")
    names = {"weight_ih_l0": "weight_ih", "weight_hh_l0": "weight_hh"}
    assert cylstm.LSTM.from_state_dict(tmp_path / "more", names=names).hidden_size == 4


WRONG_FILES = {
    "integers": (("I8", np.zeros((16, 4), np.int8)), TypeError, "weight_hh: expected .*, got I8"),
    "eight bits": (
        ("F8_E4M3", np.zeros((16, 4), np.uint8)),
        TypeError,
        "weight_hh: expected F64, F32, F16 or BF16, got F8_E4M3",
    ),
    "too large": (("F64", np.full((16, 4), 1e300)), ValueError, "weight_hh: .*float32.*e\\+300"),
    "shape": (("F32", np.zeros((12, 4), np.float32)), ValueError, r"weight_hh'\]: expected shape"),
}


@pytest.mark.parametrize(("weight_hh", "error", "message"), WRONG_FILES.values(), ids=WRONG_FILES)
def test_wrong_tensors_of_a_file_are_refused(tmp_path, weight_hh, error, message):
    weight_ih = ("F32", np.zeros((16, 4), np.float32))
    write(tmp_path / "file", weight_ih=weight_ih, weight_hh=weight_hh)
    with pytest.raises(error, match=message):
        cylstm.LSTM.from_state_dict(tmp_path / "file")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 archive", bytes(100)], ids=["", "zip", "zeros"])
def test_what_is_no_safetensors_file_is_refused(tmp_path, data):
    (tmp_path / "file.pt").write_bytes(data)
    with pytest.raises(ValueError, match=r"file\.pt: expected a whole safetensors file"):
        cylstm.LSTM.from_state_dict(tmp_path / "file.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        cylstm.LSTM.from_state_dict(tmp_path / "nowhere")


def test_a_claim_of_many_layers_takes_no_memory_for_them(monkeypatch):
    """What a layer would need is not allocated before all its tensors are seen to be there."""
    monkeypatch.setattr(cylstm.LSTM, "__init__", lambda *_, **__: pytest.fail("built"))
    tiny = {f"weight_{kind}_l{n}": np.zeros(0) for kind in ("ih", "hh") for n in range(1000)}
    first = {f"weight_{kind}_l0": np.zeros((400, 100)) for kind in ("ih", "hh")}
    with pytest.raises(ValueError, match=r"weight_ih_l1'\]: expected shape \(400, 100\)"):
        cylstm.LSTM.from_state_dict(tiny | first)


def gated(gates: int, suffix: str = "_l0") -> dict[str, np.ndarray]:
    """Weights of a cell of 3 inputs and 5 units with so many gates."""
    return {
        f"weight_ih{suffix}": np.zeros((gates * 5, 3), np.float32),
        f"weight_hh{suffix}": np.zeros((gates * 5, 5), np.float32),
    }


@pytest.mark.parametrize("suffix", ["_l0", ""], ids=["layer", "cell"])
@pytest.mark.parametrize(
    ("layer", "gates", "message"),
    [
        (cylstm.LSTM, 3, r"\(20, 3\), got \(15, 3\), as of a GRU, which cylstm does not have"),
        (cylstm.RNN, 3, r"\(5, 3\), got \(15, 3\), as of a GRU, which cylstm does not have"),
        (cylstm.LSTM, 1, r"\(20, 3\), got \(5, 3\), as of a plain RNN \(see cylstm.RNN\)"),
        (cylstm.RNN, 4, r"\(5, 3\), got \(20, 3\), as of an LSTM \(see cylstm.LSTM\)"),
    ],
)
def test_another_kind_of_layer_is_named(layer, gates, suffix, message):
    with pytest.raises(ValueError, match=rf"state_dict\['a.weight_ih{suffix}'\]: .*{message}"):
        layer.from_state_dict(
            {f"a.{name}": tensor for name, tensor in gated(gates, suffix).items()}, prefix="a."
        )


@pytest.mark.parametrize("layer", [cylstm.LSTM, cylstm.RNN])
def test_a_projected_lstm_is_named(layer):
    projected = gated(4) | {"weight_hr_l0": np.zeros((2, 5), np.float32)}
    projected["weight_hh_l0"] = projected["weight_hh_l0"][:, :2]
    with pytest.raises(ValueError, match="'weight_hr_l0' is of a projected LSTM"):
        layer.from_state_dict(projected)
