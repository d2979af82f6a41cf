"""One verdict on a model file, in Python and in C: what one refuses, the other does not load."""

from __future__ import annotations

import ctypes
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import cylstm
from cylstm import formats

LIBRARY = next(Path(cylstm.get_library_dir()).glob("libcylstm.so.*"), None)
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="a shared library that ctypes can open")

Header = dict[str, dict]
SIZES = {"vocab_size": 3, "embedding_size": 2, "hidden_size": 3}
NETWORKS = [
    cylstm.LSTM(2, 3),
    cylstm.RNN(2, 3, bidirectional=True, bias=False),
    cylstm.SequenceModel(task="regression", input_size=2, hidden_size=3, output_size=1),
    cylstm.SequenceModel(
        task="classification", output_size=3, pooling="mean", num_layers=2, **SIZES
    ),
    cylstm.SequenceModel(task="language", output_size=3, cell="rnn", **SIZES),
]
VALUES = {
    "format": ["cylstm", "pt"],
    "format_version": ["1", "01", "0", "2", "3", "1.0", "", "9" * 10],
    "cell": ["lstm", "rnn_tanh", "rnn_relu", "gru", ""],
    "pooling": ["none", "last", "mean", "max", "None"],
    "task": ["none", "classification", "regression", "language", "x"],
    "bidirectional": ["0", "1", "00", "01", "2", "True"],
    "bias": ["0", "1", "00", "01", " 1"],
    "input_size": ["2", "02", "+2", "0", "3", "2 ", "999999999", "16777217"],
    "vocab_size": ["0", "00", "3", "2", "-1"],
    "hidden_size": ["3", "03", "0", "4", "2000000"],
    "num_layers": ["1", "2", "0", "1024", "1025", "999999999"],
    "output_size": ["0", "1", "3", "00", "x"],
}
#: What C does not read, as the task needs it.
PYTHON = {
    kind: json.dumps({"batch_first": False, "dropout": 0.0, "seed": 1} | more)
    for kind, more in {
        "layer": {"record_calls": 0},
        "model": {"classes": None, "extras": {}},
    }.items()
}


def split(data: bytes) -> tuple[Header, bytes]:
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def join(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def python_loads(path: Path, data: bytes) -> bool:
    path.write_bytes(data)
    message = ""
    try:
        cylstm.load(path)
    except ValueError as error:
        message = str(error)
    assert not message or message.startswith(str(path))
    assert len(message) < 3000
    return not message


def c_loads(data: bytes) -> bool:
    library = ctypes.CDLL(str(LIBRARY))
    library.cylstm_model_free.argtypes = [ctypes.c_void_p]
    model, text = ctypes.c_void_p(), ctypes.create_string_buffer(200)
    size = ctypes.c_size_t(len(data))
    status = library.cylstm_load_memory(data, size, None, ctypes.byref(model), text, len(text))
    library.cylstm_model_free(model)
    return status == 0


def changed_metadata() -> Iterator[tuple[str, bytes]]:
    """Files whose metadata say something else in one place, or in two."""
    for network in NETWORKS:
        header, data = split(network._to_bytes())
        single = [{key: value} for key, values in VALUES.items() for value in values]
        pairs = itertools.combinations(("task", "pooling", "output_size", "bidirectional"), 2)
        double = [
            {a: x, b: y} for a, b in pairs for x, y in itertools.product(VALUES[a], VALUES[b])
        ]
        for change in [*single, *double]:
            metadata = header["__metadata__"] | change
            metadata["python"] = PYTHON["layer" if metadata["task"] == "none" else "model"]
            text = json.dumps(header | {"__metadata__": metadata}).encode()
            yield f"{network!r} {change}", join(text, data)


def test_metadata_are_judged_alike(tmp_path):
    files = list(changed_metadata())
    verdicts = [(python_loads(tmp_path / "file", data), c_loads(data)) for _, data in files]
    differ = [name for (name, _), (p, c) in zip(files, verdicts, strict=True) if p != c]
    assert differ == []
    assert 20 < sum(python for python, _ in verdicts) < len(files) / 2


def test_scales_are_judged_alike(tmp_path):
    for network, which, std in itertools.product(
        NETWORKS, ("input_scale", "output_scale"), (1.0, 0.0, np.inf)
    ):
        contents = network._contents(network._network.copy_vector())
        width = contents.network["input_size" if which == "input_scale" else "output_size"] or 1
        scale = {f"{which}.mean": np.zeros(width), f"{which}.std": np.full(width, std)}
        for kind in (np.float32, np.float64):
            tensors = contents.tensors | {name: part.astype(kind) for name, part in scale.items()}
            data = formats.encode(contents._replace(tensors=tensors))
            verdicts = python_loads(tmp_path / "file", data), c_loads(data)
            assert verdicts[0] == verdicts[1], (network, which, std, kind)


#: Of scales of float64, what is wrong with them.
WIDE = {
    "sound": ({}, True),
    "longer": ({"input_scale.mean": np.zeros(3)}, False),
    "shorter": ({"input_scale.std": np.ones(1)}, False),
    "not a number": ({"input_scale.mean": np.array([0.0, np.nan])}, False),
    "infinite mean": ({"output_scale.mean": np.array([-np.inf])}, False),
    "infinite deviation": ({"output_scale.std": np.array([np.inf])}, False),
    "deviation of zero": ({"input_scale.std": np.array([1.0, 0.0])}, False),
    "negative deviation": ({"input_scale.std": np.array([1.0, -1.0])}, False),
    "the least deviation": ({"input_scale.std": np.array([1.0, 5e-324])}, True),
    "beyond float32": ({"input_scale.mean": np.array([1e300, 0.0])}, True),
    "of two types": ({"input_scale.std": np.ones(2, np.float32)}, False),
    "two scales of two types": (
        {"output_scale.mean": np.zeros(1, "f4"), "output_scale.std": np.ones(1, "f4")},
        True,
    ),
    "float16": ({"input_scale.mean": np.zeros(2, np.float16)}, False),
    "weights too": ({"head.bias": np.zeros(1)}, False),
}


def with_wide_scales(change: dict) -> bytes:
    model = NETWORKS[2]
    contents = model._contents(model._network.copy_vector())
    scales = {"input_scale.mean": np.zeros(2), "input_scale.std": np.ones(2)}
    scales |= {"output_scale.mean": np.zeros(1), "output_scale.std": np.ones(1)}
    return formats.encode(contents._replace(tensors=contents.tensors | scales | change))


@pytest.mark.parametrize(("change", "expected"), WIDE.values(), ids=WIDE)
def test_scales_of_float64_are_judged_alike(tmp_path, change, expected):
    data = with_wide_scales(change)
    assert (python_loads(tmp_path / "file", data), c_loads(data)) == (expected, expected)


def test_scales_of_float64_need_version_2(tmp_path):
    data = with_wide_scales({}).replace(b'"format_version":"2"', b'"format_version":"1"')
    assert (python_loads(tmp_path / "file", data), c_loads(data)) == (False, False)


def insert(before: bytes, text: bytes) -> Callable[[bytes], bytes]:
    return lambda header: header.replace(before, text + before, 1)


def replace(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(header: bytes) -> bytes:
        assert old in header
        return header.replace(old, new, 1)

    return change


#: What is done to the header of an LSTM(2, 3), whose first tensor is bias_hh_l0 of 12 numbers.
TEXTS = {
    "as it is": (lambda header: header, True),
    "spaces": (lambda header: b" \n" + header.replace(b":", b" : ") + b"\t", True),
    "escapes in names": (replace(b'"shape"', b'"sh\\u0061pe"'), True),
    "another order": (replace(b'"dtype":"F32","shape":[12]', b'"shape":[12],"dtype":"F32"'), True),
    "metadata twice": (insert(b'"recurrent.bias_hh_l0"', b'"__metadata__":{},'), False),
    "a key twice": (insert(b'"cell"', b'"cell":"lstm",'), False),
    "a tensor twice": (
        insert(
            b'"recurrent.bias_hh_l0"',
            b'"recurrent.bias_hh_l0":{"dtype":"F32","shape":[12],"data_offsets":[0,48]},',
        ),
        False,
    ),
    "a shape twice": (insert(b'"shape"', b'"shape":[12],'), False),
    "an unknown field": (insert(b'"shape"', b'"colour":"red",'), False),
    "a leading zero": (replace(b"[12]", b"[012]"), False),
    "minus zero": (replace(b'"data_offsets":[0,', b'"data_offsets":[-0,'), False),
    "a float": (replace(b"[12]", b"[12.0]"), False),
    "an exponent": (replace(b"[12]", b"[12e0]"), False),
    "400 digits": (replace(b"[12]", b"[1" + b"0" * 400 + b"]"), False),
    "19 digits": (replace(b"[0,48]", b"[0,1000000000000000048]"), False),
    "true": (replace(b"[12]", b"[true]"), False),
    "NaN": (replace(b"[12]", b"[NaN]"), False),
    "three offsets": (replace(b"[0,48]", b"[0,48,48]"), False),
    "a trailing comma": (replace(b"[0,48]", b"[0,48,]"), False),
    "text after it": (lambda header: header + b"{}", False),
    "a byte order mark": (lambda header: b"\xef\xbb\xbf" + header, False),
    "a byte that is no UTF-8": (replace(b'"python":"', b'"python":"\xff'), False),
    "an overlong byte": (replace(b'"python":"', b'"python":"\xc0\xaf'), False),
    "a surrogate in UTF-8": (replace(b'"python":"', b'"python":"\xed\xa0\x80'), False),
    "a control character": (replace(b'"F32"', b'"F32\x01"'), False),
    "a zero in a name": (replace(b'"F32"', b'"F32\\u0000"'), False),
    "metadata that are no words": (replace(b'"bias":"1"', b'"bias":1'), False),
    "deep": (replace(b"[12]", b"[" * 100_000), False),
}


@pytest.mark.parametrize(("change", "expected"), TEXTS.values(), ids=TEXTS)
def test_headers_are_judged_alike(tmp_path, change, expected):
    whole = NETWORKS[0]._to_bytes()
    length = int.from_bytes(whole[:8], "little")
    data = join(change(whole[8 : 8 + length]), whole[8 + length :])
    assert (python_loads(tmp_path / "file", data), c_loads(data)) == (expected, expected)


def test_a_header_of_more_than_16_mib_is_refused(tmp_path):
    whole = NETWORKS[0]._to_bytes()
    length = int.from_bytes(whole[:8], "little")
    for size, expected in ((2**24, True), (2**24 + 1, False)):
        data = join(whole[8 : 8 + length].ljust(size), whole[8 + length :])
        assert (python_loads(tmp_path / "file", data), c_loads(data)) == (expected, expected)


def test_bytes_that_change_are_judged_alike(tmp_path):
    """But for those in the JSON that C skips."""
    whole, rng = NETWORKS[2]._to_bytes(), np.random.default_rng(0)
    begin = whole.index(b'"python"')
    end = whole.index(b"}", whole.index(b"}", begin) + 1)
    places = [n for n in range(len(whole)) if not begin <= n < end]
    for _ in range(3000):
        data = bytearray(whole)
        for place in rng.choice(places, rng.integers(1, 4)):
            data[place] = rng.integers(256)
        verdicts = python_loads(tmp_path / "file", bytes(data)), c_loads(bytes(data))
        assert verdicts[0] == verdicts[1], bytes(data[:1000])
