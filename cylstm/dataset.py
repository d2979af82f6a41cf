"""What `fit` is given, checked: sequences with their targets, and batches of them for the C core.

Shape letters: T steps, B sequences in a batch, N sequences in all, I inputs, O outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import data
from .arrays import (
    Layout,
    Scale,
    Shape,
    as_array,
    as_labels,
    as_lengths,
    as_real,
    as_tokens,
    blocks,
    is_wide,
    standardise,
)

Array = NDArray[Any]
Indices = NDArray[np.int64]
Config = Mapping[str, Any]
Classes = Sequence[Any]


# --- sequences and batches -----------------------------------------------------------------------


class Batch(NamedTuple):
    """Some sequences side by side, as the core takes them: time-major and contiguous."""

    x: Array
    """float32 (T, B, I) or int32 tokens (T, B)."""
    lengths: Indices | None
    """(B,), or None where all sequences have T steps."""
    targets: Array
    """(T, B) classes or (T, B, O) numbers; (B,) or (B, O) where the model is pooled."""
    mask: NDArray[np.bool_] | None
    """(T, B), True where a step counts; None where the model is pooled."""

    @property
    def rows(self) -> int:
        """How many targets count: the weight of this batch in a mean."""
        return len(self.targets) if self.mask is None else int(np.count_nonzero(self.mask))


def _unless_full(lengths: Indices, steps: int) -> Indices | None:
    return None if (lengths == steps).all() else lengths


@dataclass(frozen=True)
class Dataset:
    """N sequences with a target for each step, or one for each sequence where a model is pooled.

    Attributes
    ----------
    inputs : sequence of N arrays
        Numbers (T_n, I) of the type that the user gave, or int32 tokens (T_n,).
    targets : sequence of N arrays, or one array (N, ...) where pooled
        int64 classes (T_n,) or floats (T_n, O); without T_n where pooled.
    pooled : bool
    input_scale, output_scale : pair of arrays, or None
        What batches are standardised by as they are made, so that the data are not copied whole.
        Of the inputs' only a wide one: the core applies others.
    """

    inputs: Sequence[Array]
    targets: Any
    pooled: bool
    input_scale: Scale | None = None
    output_scale: Scale | None = None

    @property
    def lengths(self) -> Indices:
        """Steps of each sequence, (N,)."""
        return np.array([len(sequence) for sequence in self.inputs], np.int64)

    def batch(self, indices: Indices) -> Batch:
        """Put the sequences at these indices side by side."""
        x, lengths = data.pad([self.inputs[n] for n in indices])
        if x.ndim > 2:  # numbers, not tokens
            x = standardise(x, self.input_scale, "x")
        targets, mask = _taken(self.targets, indices), None
        if not self.pooled:
            mask = np.arange(len(x))[:, np.newaxis] < lengths
        together = np.asarray(targets) if self.pooled else data.pad(targets)[0]
        if together.dtype.kind == "f":  # numbers, not classes
            together = _in_units(together, self.output_scale)
        return Batch(x, _unless_full(lengths, len(x)), together, mask)

    def chunks(self, indices: Indices, steps: int | None) -> Iterator[Batch]:
        """A batch in runs of `steps` steps, each made when it is wanted; pooled, or None: whole."""
        longest = max(len(self.inputs[n]) for n in indices)
        if steps is None or self.pooled or steps >= longest:
            yield self.batch(indices)
            return
        batch, everything = self.subset(indices), np.arange(len(indices))
        for start in range(0, longest, steps):
            part = slice(start, start + steps)
            yield batch._sliced([part] * len(indices)).batch(everything)

    def subset(self, indices: Indices) -> Dataset:
        """The sequences at these indices."""
        inputs, targets = (_taken(arrays, indices) for arrays in (self.inputs, self.targets))
        return replace(self, inputs=inputs, targets=targets)

    def split(self, fraction: float, rng: np.random.Generator) -> tuple[Dataset, Dataset]:
        """All sequences but a random fraction, and that fraction."""
        training, validation = data.split(len(self.inputs), fraction, rng)
        return self.subset(training), self.subset(validation)

    def split_in_time(self, fraction: float) -> tuple[Dataset, Dataset]:
        """All sequences without the last fraction of their steps, and those steps; not pooled."""
        cuts = [len(data.split(length, fraction)[0]) for length in self.lengths]
        return self._sliced([slice(cut) for cut in cuts]), self._sliced(
            [slice(cut, None) for cut in cuts]
        )

    def _sliced(self, parts: list[slice]) -> Dataset:
        inputs, targets = (
            [array[part] for array, part in zip(arrays, parts, strict=True)]
            for arrays in (self.inputs, self.targets)
        )
        return replace(self, inputs=inputs, targets=targets)

    def streams(self, count: int) -> Dataset:
        """The first sequence, not pooled, cut into `count` that follow each other."""
        inputs, targets = (
            list(data.streams(arrays[0], count)) for arrays in (self.inputs, self.targets)
        )
        return replace(self, inputs=inputs, targets=targets)

    def standardised(self, input_scale: Scale | None, output_scale: Scale | None) -> Dataset:
        """What training computes with: batches are in the units of these scales."""
        return replace(self, input_scale=input_scale, output_scale=output_scale)

    @property
    def target_rows(self) -> Sequence[Array]:
        """Targets as arrays whose first axis is that of steps, or of sequences where pooled."""
        return [np.asarray(self.targets)] if self.pooled else self.targets


def _in_units(targets: Array, scale: Scale | None) -> Array:
    rounded = standardise(targets, scale, "y")
    return rounded if scale is None or is_wide(scale) else (rounded - scale[0]) / scale[1]


def _taken(arrays: Any, indices: Indices) -> Any:
    """Those at these indices, as one array where they are one."""
    return arrays[indices] if isinstance(arrays, np.ndarray) else [arrays[n] for n in indices]


# --- reading what the user gives -----------------------------------------------------------------


def read_dataset(
    config: Config, classes: Classes | None, x: Any, y: Any, lengths: Any, prefix: str = ""
) -> tuple[Dataset, Classes | None]:
    """Check sequences and targets for a model.

    Parameters
    ----------
    config : mapping
        The model's configuration.
    classes : sequence, optional
        Label of each class, if known yet; else they are found in y.
    x : array (T, B, I) or (B, T, I), (T, I) for one sequence, or list of arrays (T_n, I)
        Tokens have no axis I.
    y : like x
        A number or label, or an array (O,), for each step; for each sequence where the model is
        pooled; None for a language model, whose targets are the next tokens.
    lengths : int array (B,), optional
        Beside a padded array; nothing after a length is looked at.
    prefix : str
        Stands before the names of the arguments in messages.

    Returns
    -------
    dataset : Dataset
    classes : sequence or None
        Label of each class; None unless the task is classification.

    Raises
    ------
    TypeError, ValueError
        Naming the argument, what was expected and what it is; NaN and infinity are refused.
    """
    pooled = config["pooling"] is not None
    if not isinstance(x, list | tuple) and np.ndim(x) == 1 + len(_width(config)):
        axis = 0 if config["batch_first"] else 1
        x = np.expand_dims(_numbers_or_tokens(config)(x, f"{prefix}x"), axis)
        y = y if pooled or y is None else np.expand_dims(as_array(y, f"{prefix}y"), axis)
    inputs = _read_inputs(config, x, lengths, prefix)
    if config["task"] == "language":
        return _next_token_dataset(inputs, y, prefix), None
    name = f"{prefix}y"
    if y is None:
        raise ValueError(f"{name}: expected a target for each input, got None")
    targets = [y] if pooled else _split_like(config, x, y, inputs, name)
    counts = [len(inputs)] if pooled else [len(sequence) for sequence in inputs]
    names = [name] if pooled else [f"{name}[{n}]" for n in range(len(inputs))]
    rows = [_read_rows(config, *each) for each in zip(targets, counts, names, strict=True)]
    if config["task"] == "classification":
        rows, classes = _encode(config, rows, classes, name)
    return Dataset(inputs, rows[0] if pooled else rows, pooled), classes


def _width(config: Config) -> Shape:
    """Shape of one step of the input."""
    return () if config["vocab_size"] is not None else (config["input_size"],)


def _numbers_or_tokens(config: Config) -> Callable[[Any, str], Array]:
    """What reads the input of a model."""
    return as_real if config["vocab_size"] is None else as_tokens


def _read_inputs(config: Config, x: Any, lengths: Any, prefix: str) -> list[Array]:
    convert = _numbers_or_tokens(config)
    name, width = f"{prefix}x", _width(config)
    if isinstance(x, list | tuple):
        if lengths is not None:
            raise ValueError(f"{prefix}lengths: expected None beside a list of sequences")
        inputs = [convert(sequence, f"{name}[{n}]") for n, sequence in enumerate(x)]
    else:
        array = convert(x, name)
        if array.ndim != 2 + len(width):
            axes = "B, T" if config["batch_first"] else "T, B"
            shape = ", ".join([axes, *map(str, width)])
            raise ValueError(
                f"{name}: expected shape ({shape}), as batch_first={config['batch_first']} says, "
                f"got {array.shape}"
            )
        inputs = _unpad(config, array, lengths)
    if not inputs:
        raise ValueError(f"{name}: expected at least one sequence, got none")
    for n, sequence in enumerate(inputs):
        _check_sequence(
            config,
            sequence,
            f"{name}[{n}]" if isinstance(x, list | tuple) else f"{name}, sequence {n}",
        )
    samples = config["fold"]
    return inputs if samples == 1 else [data.fold(sequence, samples) for sequence in inputs]


def _unpad(config: Config, array: Array, lengths: Any) -> list[Array]:
    """Views of the sequences in (T, B, ...), or (B, T, ...), without their padding."""
    array = Layout(batched=True, batch_first=config["batch_first"]).time_major(array)
    steps, batch = array.shape[:2]
    read = as_lengths(lengths, batch, steps)
    sizes = np.full(batch, steps) if read is None else read
    return [array[:size, n] for n, size in enumerate(sizes)]


def _check_sequence(config: Config, sequence: Array, name: str) -> None:
    width = _width(config)
    if sequence.ndim != 1 + len(width) or sequence.shape[1:] != width:
        shape = ", ".join(["T", *map(str, width)])
        raise ValueError(f"{name}: expected shape ({shape}), got {sequence.shape}")
    if not len(sequence):
        raise ValueError(f"{name}: expected at least one step, got none")
    if config["vocab_size"] is None:
        _check_numbers(sequence, name)
        return
    wrong = np.flatnonzero((sequence < 0) | (sequence >= config["vocab_size"]))
    if wrong.size:
        token, last = sequence[wrong[0]], config["vocab_size"] - 1
        raise ValueError(f"{name}: expected tokens in 0..{last}, got {token} at {wrong[0]}")


def _check_numbers(array: Array, name: str) -> None:
    """ValueError unless numbers are finite, and such as float32 can hold."""
    for part in blocks(array):
        finite = np.isfinite(array[part])
        if not finite.all():
            first, *rest = map(int, np.argwhere(~finite)[0])
            position = (part.start + first, *rest)
            raise ValueError(
                f"{name}: expected finite numbers, got {array[position]} at {position}"
            )
        if array.dtype.itemsize > np.float32().itemsize:
            standardise(array[part], None, name)


def _next_token_dataset(inputs: list[Array], y: Any, prefix: str) -> Dataset:
    if y is not None:
        raise ValueError(f"{prefix}y: expected None, the targets are the next tokens")
    for n, tokens in enumerate(inputs):
        if len(tokens) < 2:
            raise ValueError(f"{prefix}x: expected at least two tokens in a sequence, {n} has one")
    targets = [tokens[1:].astype(np.int64) for tokens in inputs]
    return Dataset([tokens[:-1] for tokens in inputs], targets, pooled=False)


def _split_like(config: Config, x: Any, y: Any, inputs: list[Array], name: str) -> Sequence[Any]:
    """Targets sequence by sequence, y being a list or a padded array as x is."""
    if isinstance(x, list | tuple):
        if not isinstance(y, list | tuple) or len(y) != len(x):
            raise ValueError(f"{name}: expected a list of {len(x)} arrays, as x is one")
        return y
    array, leading = as_array(y, name), np.shape(x)[:2]
    if array.shape[:2] != leading:
        raise ValueError(
            f"{name}: expected shape {leading} or {(*leading, '...')}, as x has (batch_first="
            f"{config['batch_first']}), got {array.shape}"
        )
    return _unpad(config, array, [len(sequence) for sequence in inputs])


def _read_rows(config: Config, y: Any, count: int, name: str) -> Array:
    """Targets as rows: labels (count,), (count, 1) where binary, or numbers (count, O)."""
    outputs = config["output_size"]
    labels = config["task"] == "classification"
    array = as_labels(y, name) if labels else as_real(y, name)
    if not labels and array.dtype.kind != "f":
        array = array.astype(np.float64)
    shape = (count,) if labels and outputs > 1 else (count, outputs)
    if outputs == 1 and array.shape == (count,):
        array = array[:, np.newaxis]
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    if array.dtype.kind == "f":
        _check_numbers(array, name)
    return array


def _encode(
    config: Config, rows: list[Array], classes: Classes | None, name: str
) -> tuple[list[Array], Classes]:
    """Labels as numbers of classes: int64, or float32 0 and 1 where binary."""
    try:
        found, codes = np.unique(_join(rows), return_inverse=True)
    except TypeError:
        raise TypeError(f"{name}: expected labels that can be sorted, got a mixture") from None
    found = _without_bytes(found, name)
    outputs = config["output_size"]
    known = _find_classes(found, max(outputs, 2), name) if classes is None else classes
    numbers = {label: number for number, label in enumerate(known)}
    unknown = [label for label in found.tolist() if label not in numbers]
    if unknown:
        raise ValueError(f"{name}: expected the labels {list(known)}, got {unknown[0]!r}")
    kind = np.int64 if outputs > 1 else np.float32
    encoded = np.array([numbers[label] for label in found.tolist()], kind)[codes]
    edges = np.cumsum([len(row) for row in rows])[:-1]
    return np.split(encoded.reshape(-1, *rows[0].shape[1:]), edges), known


def _join(rows: list[Array]) -> Array:
    """All labels, in an array that holds each as it is."""
    kinds = {row.dtype.kind for row in rows}
    return np.concatenate(rows, dtype=object if len(kinds) > 1 else None)


def _without_bytes(labels: Array, name: str) -> Array:
    """Labels that are bytes, as some file formats have them, as the text that they are in UTF-8."""
    if not any(isinstance(label, bytes) for label in labels.tolist()):
        return labels
    try:
        return np.array([label.decode() for label in labels.tolist()])
    except ValueError as error:
        raise ValueError(f"{name}: expected labels of bytes to be UTF-8 text: {error}") from None


def _find_classes(found: Array, count: int, name: str) -> Classes:
    """0 .. count - 1 where all labels are of these; otherwise the `count` labels in order.

    The numbers are of the labels' type, which `predict` gives back.
    """
    labels: list[Any] = found.tolist()
    if set(labels) <= set(range(count)):
        kind = type(labels[0])
        return range(count) if kind is int else [kind(number) for number in range(count)]
    if len(labels) != count:
        raise ValueError(
            f"{name}: expected labels 0..{count - 1} or {count} different ones, "
            f"got {len(labels)}: {labels[:5]}"
        )
    return labels
