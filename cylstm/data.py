"""Sequences as arrays: padding, batches, splits, windows, streams and scaling statistics.

Everything here is plain NumPy and knows nothing of models. A *sequence* is an array whose first
axis is time; a set of sequences is a list of them (views where possible, so that nothing is copied
before a batch is put together).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import DTypeLike, NDArray

LENGTH_JITTER = 0.1
BLOCK_STEPS = 2**14

Array = NDArray[np.generic]
Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


def pad(sequences: Sequence[Array], dtype: DTypeLike | None = None) -> tuple[Array, Indices]:
    """Put sequences side by side, with zeros after the end of the shorter ones.

    Parameters
    ----------
    sequences : sequence of arrays (T_i, ...)
        At least one; all axes but the first agree.
    dtype : data type, optional
        Of the result; by default that of the first sequence.

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
    padded = np.zeros((lengths.max(), len(sequences), *first.shape[1:]), dtype or first.dtype)
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

    Returns
    -------
    array (ceil(T / samples), samples * I)
        The samples of a step stand in their order. A view where possible.

    Examples
    --------
    >>> fold(np.array([[1], [2], [3]]), 2).tolist()
    [[1, 1], [2, 3]]
    """
    missing = -len(sequence) % samples
    whole = (
        np.concatenate([sequence[:1].repeat(missing, axis=0), sequence]) if missing else sequence
    )
    return whole.reshape(len(whole) // samples, samples * whole.shape[1])


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


def scaling(sequences: Sequence[Array], *, predicted: bool = False) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each column over all steps of all sequences.

    A column that does not vary (beyond the resolution of float32) gets a deviation of 1, so that
    scaling by it only centres it; where it is to be predicted, the least that float32 resolves, so
    that a prediction in such units is the mean.

    Parameters
    ----------
    sequences : sequence of arrays (T_i, I)
        Without padding.
    predicted : bool
        Whether the columns are targets.

    Returns
    -------
    mean, std : float32 arrays (I,)

    Examples
    --------
    >>> mean, std = scaling([np.array([[1.0, 5.0], [3.0, 5.0]])])
    >>> mean.tolist(), std.tolist()
    ([2.0, 5.0], [1.0, 1.0])
    """
    steps = sum(len(sequence) for sequence in sequences)
    mean = sum(block.sum(axis=0) for block in _blocks(sequences)) / steps
    # The second pass is about the mean: the one-pass formula cancels where the mean is large.
    variance = sum(np.square(block - mean).sum(axis=0) for block in _blocks(sequences)) / steps
    std = np.sqrt(variance)
    float32 = np.finfo(np.float32)
    least = np.maximum(float32.eps * np.abs(mean), float32.tiny)
    scale = np.where(std <= least, least if predicted else 1.0, std)
    return mean.astype(np.float32), scale.astype(np.float32)


def _blocks(sequences: Sequence[Array]) -> Iterator[NDArray[np.float64]]:
    """Join sequences end to end into blocks that are few, yet not large."""
    ends = np.cumsum([len(sequence) for sequence in sequences])
    first = 0
    while first < len(sequences):
        steps = ends[first - 1] if first else 0
        last = int(np.searchsorted(ends, steps + BLOCK_STEPS)) + 1
        yield np.concatenate(sequences[first:last], dtype=np.float64)
        first = last
