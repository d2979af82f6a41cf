"""Model files: what is in them, what a failed save leaves, and what a damaged one does."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import cylstm


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def make_model(**arguments) -> cylstm.SequenceModel:
    defaults = {
        "task": "classification",
        "input_size": 2,
        "hidden_size": 4,
        "pooling": "mean",
        "output_size": 3,
        "seed": 1,
    }
    return cylstm.SequenceModel(**(defaults | arguments))


def make_language_model() -> cylstm.SequenceModel:
    return cylstm.SequenceModel(
        task="language", vocab_size=7, embedding_size=3, hidden_size=4, output_size=7, dropout=0.1
    )


NETWORKS = [
    cylstm.LSTM(3, 4, 2, bidirectional=True, batch_first=True, dropout=0.3, seed=1),
    cylstm.RNN(3, 4, bias=False, nonlinearity="relu"),
    cylstm.RNN(1, 1),
    make_model(num_layers=2, bidirectional=True),
    make_model(cell="rnn", nonlinearity="relu", pooling=None, output_size=1),
    make_model(task="regression", batch_first=True),
    make_language_model(),
]


def rewrite(path: Path, tensors: dict | None = None, **metadata: str | None) -> None:
    """Change some tensors or metadata of a file; None takes them out."""
    with safetensors.safe_open(path, "numpy") as file:
        old_metadata = file.metadata()
    old_tensors = safetensors.numpy.load_file(path)
    new_tensors = old_tensors | (tensors or {})
    new_metadata = old_metadata | metadata
    safetensors.numpy.save_file(
        {name: array for name, array in new_tensors.items() if array is not None},
        path,
        {key: value for key, value in new_metadata.items() if value is not None},
    )


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "model.safetensors"


# --- what is in a file ---------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS, ids=repr)
def test_what_is_saved_is_loaded(network, path):
    network.save(path)
    loaded = cylstm.load(path)
    assert type(loaded) is type(network)
    assert loaded.config == network.config
    state_dict = loaded.state_dict()
    assert list(state_dict) == list(network.state_dict())
    for name, array in network.state_dict().items():
        assert_array_equal(state_dict[name], array)


def test_what_belongs_to_a_model_is_in_its_file(path):
    model = make_model()
    model.set_input_scale([1, 2], [3, 4])
    model.classes = ["a", "b", "ß"]
    model.extras = {"columns": ["x", "y"], "nested": {"n": [1, 2.5, None, True]}}
    model.save(str(path))
    loaded = cylstm.load(str(path))
    assert (loaded.classes, loaded.extras) == (model.classes, model.extras)
    assert_array_equal(loaded.input_scale, model.input_scale)
    assert loaded.output_scale is None
    x = normal(5, 3, 2)
    assert_array_equal(loaded.predict(x), model.predict(x))


def test_a_path_may_be_bytes(path):
    model = make_model()
    model.save(os.fsencode(path))
    assert cylstm.load(os.fsencode(path)).config == model.config


def test_labels_may_be_numpy_s(path):
    model = make_model()
    model.classes = sorted({*np.array([3, 1, 2])})
    model.save(path)
    assert cylstm.load(path).classes == [1, 2, 3]


def test_output_scale_is_in_its_file(path):
    model = make_model(task="regression")
    model.set_output_scale([1, 2, 3], [4, 5, 6])
    model.save(path)
    assert_array_equal(cylstm.load(path).output_scale, model.output_scale)


def test_the_safetensors_package_reads_names_and_flat_metadata(path):
    model = make_model(task="regression", dropout=0.5)
    model.set_input_scale([1, 2], [3, 4])
    model.set_output_scale([1, 2, 3], [4, 5, 6])
    model.save(path)
    with safetensors.safe_open(path, "numpy") as file:
        metadata, names = file.metadata(), set(file.keys())
        assert_array_equal(file.get_tensor("head.weight"), model.parameters["head.weight"])
        assert_array_equal(file.get_tensor("input_scale.std"), [3, 4])
        assert_array_equal(file.get_tensor("output_scale.mean"), [1, 2, 3])
    scales = {f"{end}_scale.{part}" for end in ("input", "output") for part in ("mean", "std")}
    assert names == model.parameters.keys() | scales
    python = json.loads(metadata.pop("python"))
    assert python["dropout"] == 0.5
    assert metadata == {
        "format": "cylstm",
        "format_version": "1",
        "cell": "lstm",
        "pooling": "mean",
        "task": "regression",
        "input_size": "2",
        "hidden_size": "4",
        "num_layers": "1",
        "vocab_size": "0",
        "output_size": "3",
        "bidirectional": "0",
        "bias": "1",
    }


def test_a_layer_s_file_has_pytorch_s_names_after_recurrent(path):
    layer = cylstm.LSTM(3, 4)
    layer.save(path)
    with safetensors.safe_open(path, "numpy") as file:
        assert file.keys() == sorted(f"recurrent.{name}" for name in layer.parameters)
        assert file.metadata()["task"] == "none"
        assert file.metadata()["output_size"] == "0"


def test_nan_and_infinite_weights_survive(path):
    layer = cylstm.LSTM(3, 4)
    with layer.editing() as parameters:
        parameters["weight_ih_l0"][0] = [np.nan, np.inf, -np.inf]
    layer.save(path)
    assert_array_equal(
        cylstm.load(path).parameters["weight_ih_l0"], layer.parameters["weight_ih_l0"]
    )


def test_dropout_goes_on_where_the_saved_layer_stood(path):
    layer = cylstm.LSTM(3, 4, 2, dropout=0.5)
    x = normal(5, 2, 3)
    layer.record(x)
    layer.save(path)
    assert_array_equal(cylstm.load(path).record(x)[0], layer.record(x)[0])


def test_pickles_carry_the_bytes_of_a_file(path):
    layer = cylstm.LSTM(3, 4)
    make, (data,) = layer.__reduce__()
    path.write_bytes(data)
    assert_array_equal(cylstm.load(path).parameters["bias_hh_l0"], layer.parameters["bias_hh_l0"])
    assert make(data).config == layer.config


# --- saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["os.fsync", "os.replace"])
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=repr)
def test_a_failed_save_leaves_the_old_file_and_nothing_else(monkeypatch, path, step, error):
    make_model(seed=1).save(path)
    before = path.read_bytes()

    def fail(*_):
        raise error

    monkeypatch.setattr(step, fail)
    with pytest.raises(type(error)):
        make_model(seed=2).save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_save_replaces_the_old_file_and_leaves_nothing_else(path):
    make_model(seed=1).save(path)
    model = make_model(seed=2)
    model.save(path)
    assert_array_equal(cylstm.load(path).parameters["head.bias"], model.parameters["head.bias"])
    assert os.listdir(path.parent) == [path.name]


def test_a_save_through_a_link_keeps_the_link(path):
    link = path.with_name("link")
    link.symlink_to(path.name)
    make_model().save(link)
    assert link.is_symlink()
    assert cylstm.load(path).config == make_model().config


def test_a_save_keeps_who_may_read_the_file(path):
    make_model().save(path)
    path.chmod(0o600)
    make_model().save(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("extras", [{"a": object()}, {"a": float("nan")}], ids=["object", "nan"])
def test_extras_that_json_cannot_hold_are_refused(path, extras):
    model = make_model()
    model.save(path)
    before = path.read_bytes()
    model.extras = extras
    with pytest.raises((TypeError, ValueError), match=r"^extras: expected what JSON can hold"):
        model.save(path)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    """It names the file that was asked for, and not the one that is written first."""
    with pytest.raises(FileNotFoundError, match=r"nowhere/model\.safetensors"):
        make_model().save(tmp_path / "nowhere" / "model.safetensors")


# --- equal models, equal bytes -------------------------------------------------------------------


def test_equal_models_have_equal_files(path):
    """Whatever the order in which extras were set."""
    keys = [f"key {n}" for n in range(10)]
    for name, order in (("a", keys), ("b", keys[::-1])):
        model = make_model()
        model.extras = {key: {"nested": {key: 1, "z": 2}} for key in order}
        model.save(path.with_name(name))
    assert path.with_name("a").read_bytes() == path.with_name("b").read_bytes()


def test_equal_models_have_equal_files_in_other_processes(path):
    """The package safetensors orders metadata by a hash that each process draws."""
    make_model().save(path)
    script = "import sys, test_formats; test_formats.make_model().save(sys.argv[1])"
    other = path.with_name("other")
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", script, str(other)]
    subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parent)
    assert other.read_bytes() == path.read_bytes()


def test_extras_that_json_would_confuse_are_refused(path):
    model = make_model()
    model.extras = {1: "a", "1": "b"}
    with pytest.raises(ValueError, match=r"extras: .*'1' is there twice"):
        model.save(path)


def test_extras_that_no_header_holds_are_refused_when_saved(path):
    model = make_model()
    model.extras = {"long": "x" * 2**24}
    with pytest.raises(ValueError, match="extras: expected a header of at most 16777216 bytes"):
        model.save(path)
    assert not path.exists()


# --- files that are no models --------------------------------------------------------------------


def test_a_missing_file_is_named(path):
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        cylstm.load(path)


def test_a_truncated_file_is_refused_wherever_it_ends(path):
    make_model().save(path)
    whole = path.read_bytes()
    for size in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"model\.safetensors: expected a cylstm model"):
            cylstm.load(path)


def write_header(path: Path, header: bytes) -> None:
    path.write_bytes(len(header).to_bytes(8, "little") + header)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"...")


OTHER_KINDS = {
    "pickle": lambda path: path.write_bytes(pickle.dumps({"weight": [1, 2, 3]})),
    "zip": write_zip,
    "text": lambda path: path.write_text("date,value\n2020-01-01,3\n" * 100),
    "zeros": lambda path: path.write_bytes(bytes(1000)),
    "empty header": lambda path: write_header(path, b"{}"),
    "null metadata": lambda path: write_header(path, b'{"__metadata__":null}'),
    "other tensors": lambda path: safetensors.numpy.save_file({"a": normal(2)}, path),
    "other metadata": lambda path: safetensors.numpy.save_file(
        {"a": normal(2)}, path, {"format": "pt"}
    ),
}


@pytest.mark.parametrize("write", OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_a_file_of_another_kind_is_refused(path, write):
    write(path)
    with pytest.raises(ValueError, match="expected a cylstm model"):
        cylstm.load(path)


WRONG_METADATA = {
    "later": ({"format_version": "3"}, "format_version: the file is of a later version .*, 3; "),
    "version 0": ({"format_version": "0"}, "format_version: expected 1 to 2, got '0'"),
    "no version": ({"format_version": "new"}, "format_version: expected 1 to 2, got 'new'"),
    "unknown key": ({"colour": "red"}, "missing or unknown keys: colour"),
    "missing key": ({"bias": None}, "missing or unknown keys: bias"),
    "cell": ({"cell": "gru"}, "metadata cell"),
    "task": ({"task": "clustering"}, "metadata task"),
    "no integer": ({"hidden_size": "4.0"}, "metadata hidden_size"),
    "negative": ({"hidden_size": "-4"}, "metadata hidden_size"),
    "zero": ({"hidden_size": "0"}, "metadata hidden_size"),
    "flag": ({"bidirectional": "2"}, "metadata bidirectional"),
    "size": ({"hidden_size": "3"}, "tensors"),
    "layers": ({"num_layers": "999999"}, "sizes that need"),
    "absurd": ({"hidden_size": "16777216"}, "sizes that need"),
    "beyond absurd": ({"hidden_size": "9" * 30}, "metadata hidden_size"),
    "no bias": ({"bias": "0"}, "no SequenceModel has such bias"),
    "no head": ({"output_size": "0", "pooling": "none"}, "output_size"),
    "no JSON": ({"python": "{"}, "expected JSON"),
    "deep JSON": ({"python": "[" * 100_000}, "expected JSON"),
    "no object": ({"python": "[1]"}, "expected a JSON object"),
    "twice in JSON": ({"python": '{"seed": 1, "seed": 2}'}, "'seed' is there twice"),
    "NaN": ({"python": '{"seed": NaN}'}, "NaN is no JSON"),
    "long": ({"cell": "x" * 10**6}, "metadata cell: .*'xxx"),
    "long key": ({"x" * 10**6: ""}, "missing or unknown keys: xxx"),
    "many keys": ({f"x{n}": "" for n in range(10**4)}, "missing or unknown keys: x0"),
    "missing in JSON": ({"python": "{}"}, "python: missing or unknown keys: batch_first"),
}


@pytest.mark.parametrize(("change", "message"), WRONG_METADATA.values(), ids=WRONG_METADATA)
def test_wrong_metadata_are_refused(path, change, message):
    make_model().save(path)
    rewrite(path, **change)
    with pytest.raises(ValueError, match=message) as caught:
        cylstm.load(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 3000


@pytest.mark.parametrize("change", [{"output_size": "3"}, {"vocab_size": "3"}], ids=str)
def test_what_no_layer_has_is_refused(path, change):
    cylstm.LSTM(3, 4).save(path)
    rewrite(path, **change)
    with pytest.raises(ValueError, match=f"no LSTM has such {next(iter(change))}"):
        cylstm.load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"batch_first": 1},
        {"dropout": 1.5},
        {"dropout": "high"},
        {"seed": -1},
        {"seed": 1e9},
        {"classes": ["a", "b"]},
        {"classes": "abc"},
        {"classes": {"a": 1, "b": 2, "c": 3}},
        {"classes": [10**400, 0, 1.5, 2]},
        {"classes": ["x" * 10**6] * 3},
        {"dropout": 10**400},
        {"seed": 10**4000},
        {"extras": [1]},
    ],
    ids=str,
)
def test_wrong_json_is_refused(path, change):
    model = make_model()
    model.save(path)
    python = {"batch_first": False, "dropout": 0.0, "seed": 1, "classes": None, "extras": {}}
    rewrite(path, python=json.dumps(python))
    assert cylstm.load(path).config == model.config
    rewrite(path, python=json.dumps(python | change))
    with pytest.raises(ValueError, match=next(iter(change))) as caught:
        cylstm.load(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 2000


WRONG_TENSORS = {
    "missing": ({"head.bias": None}, "missing 'head.bias'"),
    "unknown": ({"tail.bias": normal(3)}, "unexpected 'tail.bias'"),
    "shape": ({"head.bias": normal(4)}, r"head.bias'\]: expected shape \(3,\), got \(4,\)"),
    "transposed": ({"head.weight": normal(4, 3)}, "head.weight"),
    "float64": ({"head.bias": np.zeros(3)}, "head.bias: expected float32, got F64"),
    "mean without std": ({"input_scale.mean": normal(2)}, "std"),
    "scale of zero": (
        {"input_scale.mean": normal(2), "input_scale.std": np.zeros(2, np.float32)},
        "std: expected deviations above 0",
    ),
    "scale of a classification": (
        {"output_scale.mean": normal(3), "output_scale.std": normal(3)},
        "set_output_scale",
    ),
}


@pytest.mark.parametrize(("change", "message"), WRONG_TENSORS.values(), ids=WRONG_TENSORS)
def test_wrong_tensors_are_refused(path, change, message):
    make_model().save(path)
    rewrite(path, tensors=change)
    with pytest.raises(ValueError, match=message):
        cylstm.load(path)


WHOLE = make_language_model()._to_bytes()


@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_whatever_bytes_change_a_file_loads_or_is_refused(tmp_path_factory, changes):
    damaged = bytearray(WHOLE)
    for position, value in changes:
        damaged[position] = value
    path = tmp_path_factory.mktemp("damaged") / "model"
    path.write_bytes(damaged)
    with contextlib.suppress(ValueError):  # any other exception would be a fault
        cylstm.load(path)
