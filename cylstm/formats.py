"""Model files: safetensors, checked before use.

A file holds the tensors `embedding.weight`, `recurrent.weight_ih_l0` ... (PyTorch's names after
`recurrent.`), `head.weight`, `head.bias`, `input_scale.mean`, `input_scale.std`,
`output_scale.mean` and `output_scale.std`, all float32, as far as the network has them. Its
metadata are flat keys:

=================  ==============================================================================
format             `cylstm`
format_version     1
cell               `lstm`, `rnn_tanh` or `rnn_relu`
pooling            `none`, `last`, `mean` or `max`
task               `none` (a layer), `classification`, `regression` or `language`
input_size         numbers per step, or the width of the embedding
vocab_size         0: numeric inputs
hidden_size, num_layers
output_size        0: no head
bidirectional      0 or 1
bias               0 or 1
python             what only Python needs, one JSON object, which C skips
=================  ==============================================================================

The JSON object has `batch_first`, `dropout` and `seed`; a layer's `record_calls`, how many dropout
masks it has drawn; a model's `classes` and `extras`.

Nothing is unpickled, no number that the network computes with is read from text, and sizes count
only as far as the file's own tensors back them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

from .arrays import Float32, as_choice, as_float32, as_path, as_size, count_weights

FORMAT_VERSION = 1
_LEAST = {  # the integers of the metadata and the least each can be
    "input_size": 1,
    "hidden_size": 1,
    "num_layers": 1,
    "vocab_size": 0,
    "output_size": 0,
    "bidirectional": 0,
    "bias": 0,
}
_FLAGS = ("bidirectional", "bias")
_WORDS = {
    "cell": ("lstm", "rnn_tanh", "rnn_relu"),
    "pooling": ("none", "last", "mean", "max"),
    "task": ("none", "classification", "regression", "language"),
}
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}  # safetensors' names and NumPy's
_HEADER_SIZE = 8  # bytes: the length of a safetensors file's header


class Contents(NamedTuple):
    """What a model file says.

    `network` has the metadata's integers and words as C reads them, `none` being None; `python`
    is the JSON object; `tensors` are by name.
    """

    network: dict[str, Any]
    python: dict[str, Any]
    tensors: dict[str, Float32]


class TensorFile(Mapping[str, Float32]):
    """The tensors of any safetensors file by name, made float32 when they are asked for.

    float64 is rounded, float16 and bfloat16 are held exactly. TypeError for other types, which
    would need scales or meanings that are not in the file; OSError or ValueError for a file that
    cannot be read or is another's.
    """

    def __init__(self, path: str | bytes | os.PathLike[str]) -> None:
        data = Path(as_path(path)).read_bytes()
        try:
            self._entries = dict(safetensors.deserialize(data))
        except safetensors.SafetensorError as error:
            raise ValueError(
                f"{as_path(path)}: expected a whole safetensors file ({error})"
            ) from None

    def __getitem__(self, name: str) -> Float32:
        entry = self._entries[name]
        kind, data = entry["dtype"], entry["data"]
        if kind == "BF16":  # the upper half of a float32
            numbers = (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)
        elif kind in _FLOATS:
            numbers = as_float32(np.frombuffer(data, _FLOATS[kind]), name)
        else:
            raise TypeError(f"{name}: expected {', '.join(_FLOATS)} or BF16, got {kind}")
        return numbers.reshape(entry["shape"])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


def encode(contents: Contents) -> bytes:
    """The bytes of a model file; TypeError or ValueError where JSON cannot hold the extras."""
    words = {key: str(contents.network[key] or "none") for key in _WORDS}
    integers = {key: str(int(contents.network[key])) for key in _LEAST}
    metadata = {
        "format": "cylstm",
        "format_version": str(FORMAT_VERSION),
        **words,
        **integers,
        "python": _write_json(contents.python),
    }
    return safetensors.numpy.save(contents.tensors, metadata)


def decode(data: bytes) -> Contents:
    """The way back from `encode`; TypeError or ValueError for what it did not make."""
    try:
        entries = safetensors.deserialize(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"expected a whole safetensors file ({error})") from None
    network, python = _read_metadata(data)
    tensors = {name: _read_tensor(name, entry) for name, entry in entries}
    needed, there = (count_weights(network), sum(tensor.size for tensor in tensors.values()))
    if needed > there:
        raise ValueError(f"metadata: sizes that need {needed} weights, the file holds {there}")
    return Contents(network, python, tensors)


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Put data at path whole or not at all: what was there stays until the last byte is on disk."""
    write_files({path: data})


def write_files(files: Mapping[str | os.PathLike[str], bytes]) -> None:
    """Put data at each path, as `write_file` does: nothing is replaced before all are on disk."""
    drafts = {_draft_of(path): data for path, data in files.items()}
    try:
        for (target, draft), data in drafts.items():
            _write_draft(target, draft, data)
        for target, draft in drafts:
            os.replace(draft, target)
    except BaseException:
        for _, draft in drafts:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(draft)
        raise


def _draft_of(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Where the file will be, and where it is written first."""
    target = os.path.realpath(as_path(path))
    if os.path.exists(target) and not os.path.isfile(target):
        raise ValueError(f"path: expected a file, or none yet, got {target!r}, which is neither")
    return target, os.path.join(os.path.dirname(target), f".cylstm-{os.urandom(8).hex()}.tmp")


def _write_draft(target: str, draft: str, data: bytes) -> None:
    try:
        with open(draft, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        error.filename = target  # the name that the caller knows
        raise
    with contextlib.suppress(FileNotFoundError):
        os.chmod(draft, os.stat(target).st_mode & 0o7777)


def check_keys(mapping: Mapping[str, Any], expected: set[str], name: str) -> None:
    """ValueError unless a mapping of a file has exactly these keys."""
    if mapping.keys() != expected:
        wrong = ", ".join(sorted(mapping.keys() ^ expected))
        raise ValueError(f"{name}: missing or unknown keys: {wrong}")


def _read_metadata(data: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """`network` and `python` of a file whose structure safetensors has checked."""
    length = int.from_bytes(data[:_HEADER_SIZE], "little")
    metadata = json.loads(data[_HEADER_SIZE : _HEADER_SIZE + length]).get("__metadata__") or {}
    if metadata.get("format") != "cylstm":
        raise ValueError("metadata: expected a cylstm model, whose format is 'cylstm'")
    _check_version(metadata.get("format_version", ""))
    check_keys(metadata, {"format", "format_version", "python", *_WORDS, *_LEAST}, "metadata")
    network: dict[str, Any] = {key: _read_word(metadata[key], key) for key in _WORDS}
    network |= {key: _read_integer(metadata[key], key) for key in _LEAST}
    return network, _read_json(metadata["python"])


def _check_version(text: str) -> None:
    """ValueError for a version of the format that this one does not read."""
    if text == str(FORMAT_VERSION):
        return
    if re.fullmatch("[0-9]{1,9}", text) and int(text) > FORMAT_VERSION:
        raise ValueError(
            "metadata format_version: the file is of a later version of the format, "
            f"{int(text)}; this cylstm reads {FORMAT_VERSION}"
        )
    raise ValueError(f"metadata format_version: expected {FORMAT_VERSION}, got {text!r}")


def _read_word(text: str, key: str) -> str | None:
    word = as_choice(text, f"metadata {key}", _WORDS[key])
    return None if word == "none" else word


def _read_integer(text: str, key: str) -> int | bool:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError(f"metadata {key}: expected an integer, got {text!r}")
    if key in _FLAGS:
        return bool(as_size(int(text), f"metadata {key}", minimum=0, maximum=1))
    return as_size(int(text), f"metadata {key}", minimum=_LEAST[key])


def _write_json(python: dict[str, Any]) -> str:
    try:
        return json.dumps(python, allow_nan=False)
    except (TypeError, ValueError) as error:  # of what it has, only extras may not be JSON
        raise type(error)(f"extras: expected what JSON can hold ({error})") from None


def _read_json(text: str) -> dict[str, Any]:
    try:
        python = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"metadata python: expected JSON ({error})") from None
    if not isinstance(python, dict):
        raise TypeError(f"metadata python: expected a JSON object, got {type(python).__name__}")
    return python


def _read_tensor(name: str, entry: Mapping[str, Any]) -> Float32:
    if entry["dtype"] != "F32":
        raise ValueError(f"{name}: expected float32, got {entry['dtype']}")
    numbers = np.frombuffer(entry["data"], dtype="<f4").astype(np.float32, copy=False)
    return numbers.reshape(entry["shape"])
