"""Model files: safetensors, checked before use.

A file holds the tensors `embedding.weight`, `recurrent.weight_ih_l0` ... (PyTorch's names after
`recurrent.`), `head.weight`, `head.bias`, `input_scale.mean`, `input_scale.std`,
`output_scale.mean` and `output_scale.std`, as far as the network has them: float32, or from version
2 on a scale's two float64. Its metadata are flat keys:

=================  ==============================================================================
format             `cylstm`
format_version     1, or 2 where a scale is float64
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
only as far as the file's own tensors back them. A header has 16 MiB at most: the objects that
Python makes of hostile JSON take up to thirty times its size. Equal models give equal bytes:
metadata, tensors and keys are sorted.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import Float32, Shape, as_choice, as_float32, as_path, as_size, count_weights, quote

FORMAT_VERSION = 2
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
_MOST_SHOWN = 40  # keys of a file, and characters of each, in an error
_WORDS = {
    "cell": ("lstm", "rnn_tanh", "rnn_relu"),
    "pooling": ("none", "last", "mean", "max"),
    "task": ("none", "classification", "regression", "language"),
}
_SCALES = ("input_scale", "output_scale")
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}  # safetensors' names and NumPy's
_WIDTHS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # bytes of a number
_HEADER_SIZE = 8  # bytes: the length of a safetensors file's header
_LARGEST_HEADER = 2**24  # bytes, as in src/safetensors.c


class Entry(NamedTuple):
    """What a safetensors file says of a tensor; its bytes are those from `begin` to `end`."""

    dtype: str
    shape: Shape
    begin: int
    end: int


class Contents(NamedTuple):
    """What a model file says.

    `network` has the metadata's integers and words as C reads them, `none` being None; `python`
    is the JSON object; `tensors` are by name.
    """

    network: dict[str, Any]
    python: dict[str, Any]
    tensors: dict[str, NDArray[Any]]


class TensorFile(Mapping[str, Float32]):
    """The tensors of any safetensors file by name, made float32 when they are asked for.

    float64 is rounded, float16 and bfloat16 are held exactly. TypeError for other types, which
    would need scales or meanings that are not in the file; OSError or ValueError for a file that
    cannot be read or is another's.
    """

    def __init__(self, path: str | bytes | os.PathLike[str]) -> None:
        self._path = as_path(path)
        self._file = open(self._path, "rb")  # noqa: SIM115 -- as long as tensors may be asked for
        try:
            self._entries, _ = _read_header(self._file)
        except ValueError as error:
            raise ValueError(f"{self._path}: {error}") from None

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def __getitem__(self, name: str) -> Float32:
        entry = self._entries[name]
        try:
            return self._read(name, entry)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{self._path}: {error}") from None

    def _read(self, name: str, entry: Entry) -> Float32:
        kind = entry.dtype
        if kind == "BF16":  # the upper half of a float32
            halves = _read_numbers(self._file, name, entry, "<u2")
            numbers = halves.astype(np.uint32)
            numbers <<= 16
            return numbers.view(np.float32)
        if kind in _FLOATS:
            return as_float32(_read_numbers(self._file, name, entry, _FLOATS[kind]), name)
        raise TypeError(f"{name}: expected {', '.join(_FLOATS)} or BF16, got {kind}")

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
        "format_version": "2" if _has_float64(contents.tensors) else "1",
        **words,
        **integers,
        "python": _write_json(contents.python),
    }
    return to_safetensors(contents.tensors, metadata)


def _has_float64(tensors: Mapping[str, NDArray[Any]]) -> bool:
    return any(tensor.dtype == np.float64 for tensor in tensors.values())


def take_scale(
    tensors: dict[str, NDArray[Any]], name: str
) -> tuple[NDArray[Any] | None, NDArray[Any] | None] | None:
    """Mean and deviation out of a file's tensors, None where it has neither."""
    mean, std = (tensors.pop(f"{name}.{part}", None) for part in ("mean", "std"))
    return None if mean is None and std is None else (mean, std)


def to_safetensors(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """A safetensors file; equal bytes for equal contents, in whatever order they are given.

    The package of that name orders metadata by chance. Wider numbers come first, so that all are
    aligned. ValueError for a header that `_read_header` would refuse.
    """
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))}
    data, end = [], 0
    for name in sorted(tensors, key=lambda name: (-tensors[name].itemsize, name)):
        array = np.asarray(tensors[name], tensors[name].dtype.newbyteorder("<"), order="C")
        begin, end = end, end + array.nbytes
        kind = f"{array.dtype.kind.upper()}{8 * array.itemsize}"
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": (begin, end)}
        data.append(array.data.cast("B") if array.size else b"")
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _HEADER_SIZE)
    if len(text) > _LARGEST_HEADER:
        raise ValueError(
            f"extras: expected a header of at most {_LARGEST_HEADER} bytes, got {len(text)}"
        )
    return b"".join([len(text).to_bytes(_HEADER_SIZE, "little"), text, *data])


def decode(file: BinaryIO) -> Contents:
    """The way back from `encode`; TypeError or ValueError for what it did not make.

    Tensors are read one by one into arrays of their own, after all that the header says is checked.
    The file is not mapped: one that another process cuts short meanwhile is a ValueError then, and
    not a signal that ends this process.
    """
    entries, metadata = _read_header(file)
    network, python = _read_metadata(metadata)
    _check_types(entries, int(metadata["format_version"]))
    needed, there = count_weights(network), sum(map(_count, entries.values()))
    if needed > there:
        raise ValueError(f"metadata: sizes that need {needed} weights, the file holds {there}")
    tensors = {
        name: _in_native_order(_read_numbers(file, name, entry, _FLOATS[entry.dtype]))
        for name, entry in entries.items()
    }
    return Contents(network, python, tensors)


def _check_types(entries: Mapping[str, Entry], version: int) -> None:
    """ValueError unless tensors are float32, or, from version 2 on, both of a scale float64."""
    wide = {name for name, entry in entries.items() if entry.dtype == "F64"}
    scales = [{f"{name}.mean", f"{name}.std"} for name in _SCALES] if version > 1 else []
    allowed = set().union(*(scale for scale in scales if scale <= wide))
    for name, entry in entries.items():
        if entry.dtype != "F32" and name not in allowed:
            raise ValueError(f"{name}: expected float32, got {entry.dtype}")


def _in_native_order(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _count(entry: Entry) -> int:
    return math.prod(entry.shape)


def _read_header(file: BinaryIO) -> tuple[dict[str, Entry], dict[str, str]]:
    """Where the tensors of a safetensors file lie, and its metadata; ValueError unless whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(_HEADER_SIZE), "little")
    begin = _HEADER_SIZE + length
    if size < _HEADER_SIZE or begin > size:
        raise ValueError(f"expected a whole safetensors file, got {size} bytes")
    if length > _LARGEST_HEADER:
        raise ValueError(f"expected a header of at most {_LARGEST_HEADER} bytes, got {length}")
    try:
        header = _parse_json(file.read(length).decode(), parse_int=_parse_size)
        metadata = header.pop("__metadata__", None) or {}
        entries = {name: _read_entry(begin, **fields) for name, fields in header.items()}
        if not all(isinstance(word, str) for word in metadata.values()):
            raise TypeError("metadata that are not words")
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"expected a whole safetensors file ({error})") from None
    _check_places(entries, begin, size)
    return entries, metadata


def _check_places(entries: Mapping[str, Entry], begin: int, size: int) -> None:
    """ValueError unless tensors lie side by side from `begin` to the file's end."""
    end = begin
    for entry in sorted(entries.values(), key=lambda entry: (entry.begin, entry.end)):
        if entry.begin != end:
            raise ValueError("expected a whole safetensors file (tensors overlap, or leave gaps)")
        end = entry.end
    if end != size:
        raise ValueError(
            f"expected a whole safetensors file ({end - begin} bytes, got {size - begin})"
        )


def _read_entry(start: int, dtype: str, shape: list[int], data_offsets: list[int]) -> Entry:
    """Of what the header says, the tensors beginning at byte `start` of the file."""
    begin, end = data_offsets
    if not isinstance(dtype, str) or not all(
        type(number) is int and number >= 0 for number in (*shape, begin, end)
    ):
        raise ValueError("expected whole numbers from 0 on")
    width = _WIDTHS.get(dtype)
    if end < begin or (width is not None and math.prod(shape) * width != end - begin):
        raise ValueError(f"{end - begin} bytes for a tensor of shape {tuple(shape)} of {dtype}")
    return Entry(dtype, tuple(shape), start + begin, start + end)


def _read_numbers(file: BinaryIO, name: str, entry: Entry, dtype: str) -> NDArray[Any]:
    numbers = np.empty(_count(entry), dtype)
    file.seek(entry.begin)
    if file.readinto(numbers.view(np.uint8)) != numbers.nbytes:  # type: ignore[attr-defined]
        raise ValueError(f"{name}: expected {numbers.nbytes} bytes, the file has been cut short")
    return numbers.reshape(entry.shape)


def check_keys(mapping: Mapping[str, Any], expected: set[str], name: str) -> None:
    """ValueError unless a mapping of a file has exactly these keys."""
    if mapping.keys() != expected:
        wrong = sorted(mapping.keys() ^ expected)
        named = ", ".join(key[:_MOST_SHOWN] for key in wrong[:_MOST_SHOWN])
        raise ValueError(f"{name}: missing or unknown keys: {named}")


def _read_metadata(metadata: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`network` and `python` of a file's metadata."""
    if metadata.get("format") != "cylstm":
        raise ValueError("metadata: expected a cylstm model, whose format is 'cylstm'")
    _check_version(metadata.get("format_version", ""))
    check_keys(metadata, {"format", "format_version", "python", *_WORDS, *_LEAST}, "metadata")
    network: dict[str, Any] = {key: _read_word(metadata[key], key) for key in _WORDS}
    network |= {key: _read_integer(metadata[key], key) for key in _LEAST}
    return network, _read_json(metadata["python"])


def _check_version(text: str) -> None:
    """ValueError for a version of the format that this one does not read."""
    version = int(text) if re.fullmatch("[0-9]{1,9}", text) else 0
    if version > FORMAT_VERSION:
        raise ValueError(
            "metadata format_version: the file is of a later version of the format, "
            f"{version}; this cylstm reads 1 to {FORMAT_VERSION}"
        )
    if version < 1:
        raise ValueError(
            f"metadata format_version: expected 1 to {FORMAT_VERSION}, got {quote(text)}"
        )


def _read_word(text: str, key: str) -> str | None:
    word = as_choice(text, f"metadata {key}", _WORDS[key])
    return None if word == "none" else word


def _read_integer(text: str, key: str) -> int | bool:
    if key in _FLAGS:
        return as_choice(text, f"metadata {key}", ("0", "1")) == "1"
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError(f"metadata {key}: expected an integer, got {quote(text)}")
    return as_size(int(text), f"metadata {key}", minimum=_LEAST[key])


def _write_json(python: dict[str, Any]) -> str:
    """JSON with sorted keys, which are texts by then."""
    try:
        return json.dumps(_parse_json(json.dumps(python, allow_nan=False)), sort_keys=True)
    except (TypeError, ValueError) as error:  # of what it has, only extras may not be JSON
        raise type(error)(f"extras: expected what JSON can hold ({error})") from None


def _read_json(text: str) -> dict[str, Any]:
    try:
        python = _parse_json(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"metadata python: expected JSON ({error})") from None
    if not isinstance(python, dict):
        raise TypeError(f"metadata python: expected a JSON object, got {type(python).__name__}")
    return python


# --- JSON, as strict as in C ----------------------------------------------------------------------


def _parse_json(text: str, **options: Any) -> Any:
    """What JSON says; ValueError for keys that are there twice and for NaN and infinity."""
    return json.loads(
        text, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant, **options
    )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in found if names.count(name) > 1)
        raise ValueError(f"{quote(twice)} is there twice")
    return found


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _parse_size(text: str) -> int:
    """An integer of a header; ValueError for a sign or more digits than C reads."""
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(f"expected whole numbers from 0 on, got {quote(text)}")
    return int(text)
