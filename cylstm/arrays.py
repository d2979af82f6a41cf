"""The one place where what a user passes is converted and checked.

Every function takes the value and the name of the argument it came in, and either returns what
the C core can read or raises an error that says what the argument was and what was expected:
TypeError for a wrong type, ValueError for a wrong value. NaN passes through.

Shape letters: T steps, B sequences, I inputs, H hidden units, L layers, D directions.
"""

from __future__ import annotations

import operator
import os
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import foreign

Float32 = NDArray[np.float32]
Shape = tuple[int, ...]

MAX_SIZE = 2**24  # of one dimension of a network: products of two stay far inside 64 bits
MAX_LAYERS = 1024
MAX_THREADS = 1024


_SHOWN = reprlib.Repr()
_SHOWN.maxstring, _SHOWN.maxother, _SHOWN.maxlong = 120, 400, 60
_SHOWN.maxlist = _SHOWN.maxtuple = _SHOWN.maxset = _SHOWN.maxfrozenset = _SHOWN.maxdict = 20
_SHOWN.maxlevel = 3


def quote(value: Any) -> str:
    """`repr` of a value, cut where it is long: an error is a line or two, whatever it was given.

    Examples
    --------
    >>> quote([1, "two"]), len(quote("x" * 10**6))
    ("[1, 'two']", 120)
    """
    return _SHOWN.repr(value)


# --- scalars -------------------------------------------------------------------------------------


def as_size(value: Any, name: str, *, minimum: int = 1, maximum: int = MAX_SIZE) -> int:
    """An integer in minimum..maximum; a bool is not one."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected an integer, got {quote(value)}")
    if not minimum <= number <= maximum:
        raise ValueError(
            f"{name}: expected an integer in {minimum}..{maximum}, got {quote(number)}"
        )
    return number


def as_flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected True or False, got {quote(value)}")
    return bool(value)


def as_choice(value: Any, name: str, choices: Iterable[Any]) -> Any:
    choices = tuple(choices)
    if not isinstance(value, str | None) or value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ValueError(f"{name}: expected one of {listed}, got {quote(value)}")
    return value


def as_dropout(value: Any, name: str = "dropout") -> float:
    """A probability."""
    number = as_number(value, name)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{name}: expected a probability in [0, 1], got {quote(value)}")
    return number


def as_number(value: Any, name: str) -> float:
    """A real number; a bool is not one."""
    if not isinstance(value, Real) or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}: expected a number, got {quote(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{name}: expected a number of 64 bits, got {quote(value)}") from None


def as_seed(value: Any, name: str = "seed") -> int:
    """A seed of 63 bits; for None, one that the operating system draws."""
    if value is None:
        return int.from_bytes(os.urandom(8), "little") >> 1
    return as_size(value, name, minimum=0, maximum=2**63 - 1)


def as_num_threads(value: Any) -> int:
    """The core's thread count: 0, its default, for None."""
    return 0 if value is None else as_size(value, "num_threads", maximum=MAX_THREADS)


def as_path(value: Any, name: str = "path") -> str:
    try:
        return os.fsdecode(value)
    except TypeError:
        raise TypeError(f"{name}: expected a path, got {quote(value)}") from None


# --- arrays --------------------------------------------------------------------------------------


def as_array(value: Any, name: str) -> NDArray[Any]:
    """A plain array of whatever dtype, not yet checked."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name}: expected a plain array, got a masked one; fill it first")
    try:
        return np.asarray(foreign.to_numpy(value))
    except ValueError as error:
        raise ValueError(f"{name}: expected a rectangular array of numbers ({error})") from None
    except (TypeError, RuntimeError) as error:  # as of a tensor that NumPy cannot read
        raise TypeError(f"{name}: expected an array of numbers ({error})") from None


def as_labels(value: Any, name: str) -> NDArray[Any]:
    """An array whose items are the labels as they are.

    NumPy makes floats of integers on both sides of 2^63, and texts of numbers beside texts: where
    it would, the labels are kept as objects, or as uint64 if that holds them.
    """
    value = foreign.to_numpy(value)
    array = as_array(value, name)
    if not isinstance(value, list | tuple) or array.dtype.kind not in "fUS":
        return array
    objects = np.array(value, object)
    kept = objects.shape == array.shape and np.all(array.astype(object) == objects)
    if kept or (array.dtype.kind == "f" and not np.isfinite(array).all()):  # NaN equals nothing
        return array
    try:
        return np.array(value, np.uint64) if _are_integers(objects) else objects
    except OverflowError:
        return objects


def _are_integers(objects: NDArray[Any]) -> bool:
    return all(isinstance(item, int | np.integer) for item in objects.flat)


def as_real(value: Any, name: str) -> NDArray[Any]:
    """Real numbers of whatever type."""
    array = as_array(value, name)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected real numbers, got {foreign.describe(value, array)}")
    return array


def as_float32(value: Any, name: str) -> Float32:
    """Real numbers as float32: other float types are rounded, integers and bools converted.

    What already is aligned float32 in the machine's byte order is returned as it is, whatever its
    strides.
    """
    array = as_real(value, name)
    if array.dtype == np.float32 and array.flags.aligned:
        return array
    try:
        with np.errstate(over="raise"):
            return array.astype(np.float32, order="C")
    except FloatingPointError:
        largest = np.max(np.abs(array[np.isfinite(array)]))
        raise ValueError(
            f"{name}: expected numbers that float32 can hold (up to 3.4e38), got {largest:.3g}"
        ) from None


def as_shaped(value: Any, name: str, shape: Shape) -> Float32:
    """C-contiguous float32 of exactly this shape."""
    array = as_float32(value, name)
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
    return np.ascontiguousarray(array)


def as_finite(value: Any, name: str, shape: Shape) -> Float32:
    """Like `as_shaped`, refusing NaN and infinities."""
    array = as_shaped(value, name, shape)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return array


def as_named_arrays(value: Any, name: str, shapes: Mapping[str, Shape]) -> dict[str, Float32]:
    """Exactly the arrays that shapes names, as float32."""
    check_names(value, name, shapes)
    return {key: as_shaped(value[key], f"{name}[{key!r}]", shape) for key, shape in shapes.items()}


def as_accumulators(
    value: Any, name: str, shapes: Mapping[str, Shape]
) -> Mapping[str, NDArray[Any]]:
    """A mapping of writable float arrays, one for each of these names, to add into."""
    check_names(value, name, shapes)
    for key, shape in shapes.items():
        array, item = value[key], f"{name}[{key!r}]"
        if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
            raise TypeError(f"{item}: expected an array of floats, got {_describe(array)}")
        if array.shape != shape or not array.flags.writeable:
            raise ValueError(
                f"{item}: expected a writable array of shape {shape}, got {_describe(array)}"
            )
    return value


def check_names(value: Any, name: str, expected: Mapping[str, Any]) -> None:
    """ValueError unless a mapping has exactly these names."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name}: expected a mapping of names to arrays, got {_describe(value)}")
    missing = [repr(key) for key in expected if key not in value]
    unexpected = [repr(key) for key in value if key not in expected]
    if missing or unexpected:
        parts = [f"missing {', '.join(missing)}"] if missing else []
        parts += [f"unexpected {', '.join(unexpected)}"] if unexpected else []
        raise ValueError(f"{name}: {'; '.join(parts)}")


def as_out(value: Any, shape: Shape, inputs: Iterable[NDArray[Any] | None]) -> Float32:
    """An array to write a result of this shape into that shares no memory with what is read."""
    if not isinstance(value, np.ndarray) or value.dtype != np.float32:
        raise TypeError(f"out: expected an array of float32, got {_describe(value)}")
    if value.shape != shape:
        raise ValueError(f"out: expected shape {shape}, got {value.shape}")
    if not value.flags.writeable or not value.flags.aligned or not _has_dense_rows(value):
        raise ValueError("out: expected a writable, aligned array with a contiguous last axis")
    if any(array is not None and np.shares_memory(value, array) for array in inputs):
        raise ValueError("out: expected memory of its own, got an array that overlaps an input")
    return value


def _dense_rows(array: NDArray[Any]) -> NDArray[Any]:
    """The array itself where its last axis is contiguous, else a copy."""
    return array if _has_dense_rows(array) else array.copy(order="C")


def _has_dense_rows(array: NDArray[Any]) -> bool:
    return array.strides[-1] == array.itemsize


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        article = "an" if value.flags.writeable else "a read-only"
        return f"{article} array of {value.dtype} of shape {value.shape}"
    return type(value).__name__


# --- scales --------------------------------------------------------------------------------------

#: Where |mean| is more deviations than this, a scale is float64: of float32's 24 bits, less than 14
#: would be left for a deviation.
MOST_DEVIATIONS = 2**10
BLOCK_NUMBERS = 2**19  # 4 MB of float64

#: Mean and deviation, (I,) each. float32 where float32 numbers keep what they are about: the core
#: then applies that of inputs. Else float64 (it is *wide*), and the difference from the mean is
#: taken in float64, here, before anything is rounded.
Scale = tuple[NDArray[Any], NDArray[Any]]


def is_wide(scale: Scale | None) -> bool:
    """Whether differences from the mean are taken in float64."""
    return scale is not None and scale[0].dtype == np.float64


def as_scale(mean: Any, std: Any, width: int, *, keep: bool = False) -> Scale | None:
    """Read-only copies of a mean and a deviation, or None for two of None.

    What is float32 stays, all else becomes float32 where that is enough, unless float64 is to be
    kept.
    """
    if mean is None and std is None:
        return None
    given = (_as_finite64(mean, "mean", width), _as_finite64(std, "std", width))
    if not (given[1] > 0).all():
        raise ValueError(f"std: expected deviations above 0, got {given[1].min()}")
    wide = any(part.dtype == np.float64 for part in given) and (keep or needs_float64(*given))
    scale = tuple(part.astype(np.float64 if wide else np.float32) for part in given)
    for part in scale:
        part.flags.writeable = False
    return scale[0], scale[1]


def needs_float64(mean: NDArray[Any], std: NDArray[Any]) -> bool:
    """Whether float32 would lose too much of numbers with this mean and deviation."""
    limits = np.finfo(np.float32)
    beyond = (std < limits.tiny) | (std > limits.max) | (np.abs(mean) > limits.max)
    return bool((beyond | (np.abs(mean) / MOST_DEVIATIONS > std)).any())


def _as_finite64(value: Any, name: str, width: int) -> NDArray[Any]:
    """Finite numbers, (width,): float32 as it is, all else as float64."""
    array = as_real(value, name)
    if array.shape != (width,):
        raise ValueError(f"{name}: expected shape {(width,)}, got {array.shape}")
    array = array if array.dtype == np.float32 else array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity")
    return array


def standardise(array: NDArray[Any], scale: Scale | None, name: str) -> Float32:
    """(array - mean) / std where the scale is wide, else the numbers as they are: as float32.

    In float64, by blocks along the first axis, so that little memory is taken beside the result.

    Examples
    --------
    >>> seconds = np.array([[1_700_000_001], [1_700_000_003]])
    >>> standardise(seconds, (np.array([1_700_000_002.0]), np.array([0.5])), "x").tolist()
    [[-2.0], [2.0]]
    """
    if scale is None or not is_wide(scale):
        return as_float32(array, name)
    mean, std = scale
    result = np.empty(array.shape, np.float32)
    for part in blocks(array):
        difference = np.subtract(array[part], mean, dtype=np.float64)
        difference /= std
        result[part] = as_float32(difference, name)
    return result


def blocks(array: NDArray[Any]) -> Iterator[slice]:
    """Parts of the first axis with about `BLOCK_NUMBERS` numbers each, at least one item."""
    items = max(1, BLOCK_NUMBERS // max(1, array[:1].size))
    for first in range(0, len(array), items):
        yield slice(first, first + items)


# --- what a call of a network reads --------------------------------------------------------------


class Layout(NamedTuple):
    """How a caller's arrays stand: the core's own layout is time-major, (T, B, ...)."""

    batched: bool
    batch_first: bool

    def time_major(self, array: NDArray[Any]) -> NDArray[Any]:
        """A caller's (T, B, ...), (B, T, ...) or, unbatched, (T, ...) as the core's view of it."""
        if not self.batched:
            return array[:, np.newaxis]
        return array.swapaxes(0, 1) if self.batch_first else array

    def restore(self, array: NDArray[Any]) -> NDArray[Any]:
        """The way back: the core's (T, B, ...) as the caller's view of it."""
        if not self.batched:
            return array[:, 0]
        return array.swapaxes(0, 1) if self.batch_first else array

    def shape(self, steps: int, batch: int, width: int) -> Shape:
        """The caller's shape of (T, B, width)."""
        if not self.batched:
            return (steps, width)
        return (batch, steps, width) if self.batch_first else (steps, batch, width)


class Extent(NamedTuple):
    """How much a caller's arrays hold, and how they stand."""

    steps: int
    batch: int
    layout: Layout


class Call(NamedTuple):
    """The checked arguments of one call, as the core takes them; x may be of another type yet."""

    x: NDArray[Any]
    state: tuple[Float32, ...] | None
    lengths: NDArray[np.int64] | None
    extent: Extent


class Signature(NamedTuple):
    """What a network takes: numeric steps of `width`, or tokens where it is None; its state.

    `state_names` are ("h",) or ("h", "c"), each (L * D, B, H). `input_scale` is a wide one that the
    core does not apply, or None.
    """

    width: int | None
    layers: int
    directions: int
    hidden_size: int
    state_names: tuple[str, ...]
    batch_first: bool
    input_scale: Scale | None = None

    def read(self, x: Any, state: Any, lengths: Any) -> Call:
        """The arguments of a call; `convert` has to follow for x."""
        array, layout = self._read_x(x, "x")
        steps, batch = array.shape[:2]
        extent = Extent(steps, batch, layout)
        return Call(
            array,
            self.read_state(state, "state", extent),
            as_lengths(lengths, batch, steps),
            extent,
        )

    def convert(self, x: NDArray[Any], name: str) -> NDArray[Any]:
        """What has been read as the core takes it: float32, by a wide scale if there is one."""
        if self.width is None:
            return np.ascontiguousarray(x)
        return _dense_rows(standardise(x, self.input_scale, name))

    def read_sequence(self, x: Any, name: str) -> NDArray[Any]:
        """One sequence, (T, I) or, of tokens, (T,); `convert` has to follow."""
        array, layout = self._read_x(x, name)
        if layout.batched:
            raise ValueError(f"{name}: expected one sequence, got shape {np.shape(x)}")
        return array[:, 0]

    def _read_x(self, x: Any, name: str) -> tuple[NDArray[Any], Layout]:
        """(T, B, I) or, of tokens, (T, B)."""
        array = as_tokens(x, name) if self.width is None else as_real(x, name)
        tail: Shape = () if self.width is None else (self.width,)
        leading = array.ndim - len(tail)  # T, or T and B
        if leading not in (1, 2) or array.shape[leading:] != tail:
            raise ValueError(f"{name}: expected shape {self._expected_shapes()}, got {array.shape}")
        if 0 in array.shape:
            raise ValueError(
                f"{name}: expected at least one step of one sequence, got shape {array.shape}"
            )
        layout = Layout(leading == 2, self.batch_first)
        return layout.time_major(array), layout

    def _expected_shapes(self) -> str:
        width = "" if self.width is None else f", {self.width}"
        one = "(T,)" if self.width is None else f"(T{width})"
        return f"({'B, T' if self.batch_first else 'T, B'}{width}), or {one} for one sequence"

    def read_state(self, state: Any, name: str, extent: Extent) -> tuple[Float32, ...] | None:
        """The caller's h or (h, c) as the core's tuple of (L * D, B, H)."""
        if state is None:
            return None
        batched = extent.layout.batched
        middle = (extent.batch,) if batched else ()
        shape = (self.layers * self.directions, *middle, self.hidden_size)
        parts = as_state(state, name, dict.fromkeys(self.state_names, shape))
        return parts if batched else tuple(part[:, np.newaxis] for part in parts)

    @staticmethod
    def restore_state(state: tuple[Float32, ...], extent: Extent) -> Any:
        """The core's tuple as the caller's h or (h, c)."""
        batched = extent.layout.batched
        return from_state(state if batched else tuple(part[:, 0] for part in state))


def as_tokens(value: Any, name: str) -> NDArray[np.int32]:
    """Integers as int32; whether a token is in the vocabulary is the core's check."""
    array = as_array(value, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name}: expected integer tokens, got dtype {array.dtype}")
    limits = np.iinfo(np.int32)
    for token in (array.min(initial=0), array.max(initial=0)):
        if not limits.min <= token <= limits.max:
            raise ValueError(f"{name}: expected tokens of the vocabulary, got {token}")
    return np.require(array, np.int32, ["A"])


def as_lengths(value: Any, batch: int, steps: int) -> NDArray[np.int64] | None:
    """How many steps of each sequence count, (B,) int64; None when all do."""
    if value is None:
        return None
    array = as_array(value, "lengths")
    if array.dtype.kind not in "iu":
        raise TypeError(f"lengths: expected integers, got dtype {array.dtype}")
    if array.shape != (batch,):
        raise ValueError(f"lengths: expected shape ({batch},), got {array.shape}")
    wrong = np.flatnonzero((array < 0) | (array > steps))
    if wrong.size:
        raise ValueError(
            f"lengths: expected integers in 0..{steps}, got {array[wrong[0]]} at {wrong[0]}"
        )
    return np.require(array, np.int64, ["A", "C"])


def as_state(value: Any, name: str, shapes: Mapping[str, Shape]) -> tuple[Float32, ...]:
    """The parts of a state: a tuple in the order of shapes, or the array itself if it has one."""
    parts = (value,) if len(shapes) == 1 else value
    if not isinstance(parts, tuple | list) or len(parts) != len(shapes):
        got = f"{len(parts)} of them" if isinstance(parts, tuple | list) else _describe(value)
        raise TypeError(f"{name}: expected a tuple ({', '.join(shapes)}), got {got}")
    return tuple(
        as_shaped(part, f"{name} {key}", shape)
        for part, (key, shape) in zip(parts, shapes.items(), strict=True)
    )


def from_state(state: tuple[Float32, ...]) -> Any:
    """The mirror image of `as_state`."""
    return state if len(state) > 1 else state[0]


# --- sizes ---------------------------------------------------------------------------------------


def count_weights(network: Mapping[str, Any]) -> int:
    """How many weights, biases aside, a network of this configuration has (Python's big integers).

    It is asked before anything is allocated, so that absurd sizes and files that claim more than
    they hold are refused.
    """
    gates = 4 if network["cell"] == "lstm" else 1
    directions = 2 if network["bidirectional"] else 1
    hidden, layers = network["hidden_size"], network["num_layers"]
    width = directions * hidden
    first = directions * gates * hidden * (network["input_size"] + hidden)
    other = directions * gates * hidden * (width + hidden)
    embedding = network["vocab_size"] * network["input_size"]
    return embedding + first + (layers - 1) * other + network["output_size"] * width
