"""Sequences as arrays: padding, batches, splits, windows, streams and scaling statistics.

Everything here is plain NumPy and knows nothing of models. A *sequence* is an array whose first
axis is time; a set of sequences is a list of them (views where possible, so that nothing is copied
before a batch is put together).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .arrays import BLOCK_NUMBERS, as_size, needs_float64

LENGTH_JITTER = 0.1
BLOCK_STEPS = 2**14
FLOAT64_RESOLUTION = 2.0**-40  # 12 bits less than it has: sums of equal numbers are rounded too

Array = NDArray[Any]
Floats = NDArray[Any]
Indices = NDArray[np.int64]


def pad(sequences: Sequence[Array], dtype: DTypeLike | None = None) -> tuple[Array, Indices]:
    """Put sequences side by side, with zeros after the end of the shorter ones.

    Parameters
    ----------
    sequences : sequence of arrays (T_i, ...)
        At least one; all axes but the first agree.
    dtype : data type, optional
        Of the result; by default one that holds those of all sequences.

    Returns
    -------
    padded : array (T, B, ...)
        T is the greatest length, B the number of sequences.
    lengths : int64 array (B,)

    Examples
    --------
    >>> padded, lengths = pad([np.array([1, 2, 3]), np.array([4])])
    >>> padded.T.tolist(), lengths.tolist()
    ([[1, 2, 3], [4, 0, 0]], [3, 1])
    """
    lengths = np.array([len(sequence) for sequence in sequences], np.int64)
    first = np.asarray(sequences[0])
    dtype = dtype or np.result_type(*{np.asarray(sequence).dtype for sequence in sequences})
    padded = np.zeros((lengths.max(), len(sequences), *first.shape[1:]), dtype)
    for index, sequence in enumerate(sequences):
        padded[: len(sequence), index] = sequence
    return padded, lengths


def fold(sequence: Array, samples: int) -> Array:
    """Put each so many consecutive samples into one step, which makes a sequence shorter.

    Where they do not divide the sequence, its first sample stands before it as often as is needed.

    Parameters
    ----------
    sequence : array (T, I)
    samples : int
        At least 1.

    Returns
    -------
    array (ceil(T / samples), samples * I)
        The samples of a step stand in their order. A view where possible.

    Raises
    ------
    TypeError, ValueError
        For samples that are not a whole number from 1, or a sequence without an axis I.

    Examples
    --------
    >>> fold(np.array([[1], [2], [3]]), 2).tolist()
    [[1, 1], [2, 3]]
    """
    sequence, samples = np.asarray(sequence), as_size(samples, "samples")
    if sequence.ndim != 2:
        raise ValueError(f"sequence: expected shape (T, I), got {sequence.shape}")
    missing = -len(sequence) % samples
    if missing:
        sequence = np.concatenate([sequence[:1].repeat(missing, axis=0), sequence])
    return sequence.reshape(len(sequence) // samples, samples * sequence.shape[1])


def batches(
    lengths: Indices, batch_size: int, rng: np.random.Generator | None = None
) -> list[Indices]:
    """Cut sequences into batches of similar length, each sequence in exactly one.

    Sequences are sorted by length and cut into the fewest batches of nearly equal size. With `rng`,
    each length is first stretched by a random factor of up to 10 percent, which mixes neighbours
    anew in every epoch (equal lengths are shuffled entirely), and the batches come in random order.

    Parameters
    ----------
    lengths : int array (N,)
    batch_size : int
        The greatest number of sequences in a batch.
    rng : numpy Generator, optional
        Source of the shuffle; without it the order follows from the lengths alone.

    Returns
    -------
    list of int64 arrays
        Indices into `lengths`.

    Examples
    --------
    >>> [batch.tolist() for batch in batches(np.array([9, 2, 8, 1]), 2)]
    [[3, 1], [2, 0]]
    """
    keys = np.asarray(lengths, np.float64)
    if rng is not None:
        keys = keys * rng.uniform(1.0, 1.0 + LENGTH_JITTER, len(keys))
    count = -(-len(keys) // batch_size)
    parts = np.array_split(np.argsort(keys, kind="stable"), count)
    return parts if rng is None else [parts[index] for index in rng.permutation(count)]


def batches_within(lengths: Indices, most_sequences: int, most_steps: int) -> list[Indices]:
    """Cut sequences into batches of similar length that are at most so large, padding included.

    A sequence longer than `most_steps` is a batch of its own; it does not make those of the shorter
    ones smaller.

    Parameters
    ----------
    lengths : int array (N,)
    most_sequences, most_steps : int

    Returns
    -------
    list of int64 arrays
        Indices into `lengths`, shortest sequences first.

    Examples
    --------
    >>> [batch.tolist() for batch in batches_within(np.array([9, 2, 8, 1]), 3, 10)]
    [[3, 1], [2], [0]]
    """
    order = np.argsort(lengths, kind="stable")
    ascending, parts, begin = np.asarray(lengths)[order], [], 0
    while begin < len(order):
        candidates = ascending[begin : begin + most_sequences]
        padded = candidates * np.arange(1, len(candidates) + 1)
        count = max(1, int(np.searchsorted(padded, most_steps, side="right")))
        parts.append(order[begin : begin + count])
        begin += count
    return parts


def split(
    count: int, fraction: float, rng: np.random.Generator | None = None
) -> tuple[Indices, Indices]:
    """Set a fraction of `count` items aside for validation.

    Parameters
    ----------
    count : int
    fraction : float
        Between 0 and 1; both parts get at least one item.
    rng : numpy Generator, optional
        Draws the items; without it the last ones are taken, as befits items in time order.

    Returns
    -------
    training, validation : int64 arrays
        Ascending indices, together 0 .. count - 1.

    Examples
    --------
    >>> training, validation = split(10, 0.2)
    >>> validation.tolist()
    [8, 9]
    """
    if not 0.0 < fraction < 1.0:
        raise ValueError(f"validation: expected a fraction between 0 and 1, got {fraction}")
    if count < 2:
        raise ValueError(f"validation: expected (x, y), a fraction of {count} cannot be set aside")
    held_out = min(max(round(count * fraction), 1), count - 1)
    order = np.arange(count) if rng is None else rng.permutation(count)
    return np.sort(order[:-held_out]), np.sort(order[-held_out:])


def streams(sequence: Array, count: int) -> Array:
    """Cut one long sequence into `count` contiguous streams, each going on where one before ends.

    For truncated back-propagation all streams run side by side, their states carried along. Fewer
    than `count` steps at the very end are left over.

    Parameters
    ----------
    sequence : array (N, ...)
    count : int

    Returns
    -------
    array (count, N // count, ...)
        A view where possible.

    Raises
    ------
    ValueError
        When there is less than one step for each stream.

    Examples
    --------
    >>> streams(np.arange(7), 2).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    steps = len(sequence) // count
    if steps < 1:
        raise ValueError(
            f"x: expected at least {count} steps, one for each stream (batch_size), "
            f"got {len(sequence)}"
        )
    return sequence[: count * steps].reshape(count, steps, *sequence.shape[1:])


def scaling(
    sequences: Sequence[Array], name: str = "x", *, predicted: bool = False
) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column over all steps of all sequences.

    A column that does not vary (beyond the resolution of its numbers) gets a deviation of 1, so
    that scaling by it only centres it; where it is to be predicted, the least that float32
    resolves, so that a prediction in such units is the mean. A UserWarning names a column that
    varies, but by less than float32 can tell.

    Parameters
    ----------
    sequences : sequence of arrays (T_i, I)
        Without padding.
    name : str
        What they are called in warnings.
    predicted : bool
        Whether the columns are targets.

    Returns
    -------
    mean, std : arrays (I,)
        float32, or float64 where the sequences hold more than float32 can and lose by it.

    Examples
    --------
    >>> mean, std = scaling([np.array([[1.0, 5.0], [3.0, 5.0]])])
    >>> mean.tolist(), std.tolist()
    ([2.0, 5.0], [1.0, 1.0])
    """
    mean, variance = moments(sequences)
    std, limits = np.sqrt(variance), np.finfo(np.float32)
    precise = not all(np.can_cast(sequence.dtype, np.float32) for sequence in sequences)
    resolution = FLOAT64_RESOLUTION if precise else limits.eps
    varies = std > np.maximum(resolution * np.abs(mean), limits.tiny)
    if not precise:
        _warn_of_lost_spread(mean, std, varies, name)
    least = np.maximum(limits.eps * np.abs(mean), limits.tiny) if predicted else 1.0
    wide = precise and needs_float64(mean[varies], std[varies])
    kind = np.float64 if wide else np.float32
    return mean.astype(kind), np.where(varies, std, least).astype(kind)


def moments(sequences: Sequence[Array]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each column over all steps of all sequences, float64, by blocks."""
    steps = sum(len(sequence) for sequence in sequences)
    mean = sum(block.sum(axis=0) for block in _blocks(sequences)) / steps
    # The second pass is about the mean: the one-pass formula cancels where the mean is large.
    variance = sum(np.square(block - mean).sum(axis=0) for block in _blocks(sequences)) / steps
    return mean, variance


def _warn_of_lost_spread(mean: Array, std: Array, varies: Array, name: str) -> None:
    for column in np.flatnonzero(~varies & (std > 0)):
        center = np.float32(mean[column])
        warnings.warn(
            f"{name}, column {column}: its float32 numbers near {center:.9g} stand "
            f"{np.spacing(np.abs(center)):.3g} apart, which hides how they vary, so it is taken as "
            "constant; pass float64",
            stacklevel=5,  # of who calls fit
        )


def _blocks(sequences: Sequence[Array]) -> Iterator[NDArray[np.float64]]:
    """Join sequences, and parts of long ones, end to end into blocks: few, yet not large."""
    width = max(1, sequences[0][:1].size)
    most = max(1, min(BLOCK_STEPS, BLOCK_NUMBERS // width))
    parts = [item[at : at + most] for item in sequences for at in range(0, len(item), most)]
    ends = np.cumsum([len(part) for part in parts])
    first = 0
    while first < len(parts):
        steps = ends[first - 1] if first else 0
        last = int(np.searchsorted(ends, steps + most)) + 1
        yield np.concatenate(parts[first:last], dtype=np.float64)
        first = last
