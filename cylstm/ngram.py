"""An n-gram model of bytes: what the demo's LSTM is compared with.

Order n is used as in speech and translation toolkits: an order-3 model (a trigram) predicts a byte
from the two before it. Smoothing is interpolated modified Kneser-Ney, the strongest classical one:
S. F. Chen and J. Goodman, "An empirical study of smoothing techniques for language modeling",
Harvard TR-10-98 (1998).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["ngram_bits"]

BYTE_VALUES = 256
MAX_ORDER = 7  # seven bytes are the most that one int64 code holds without its sign


class _Counts(NamedTuple):
    """The k-grams of a text, each packed into one int64 (see `_pack`), and how often they count."""

    grams: NDArray[np.int64]  # sorted, no duplicates
    counts: NDArray[np.int64]


def ngram_bits(train: bytes, text: bytes, order: int = 3) -> NDArray[np.float64]:
    """Cost of each byte of a text under an n-gram model of another, its continuation.

    Parameters
    ----------
    train : bytes
        What the model is estimated on; at least `order` bytes.
    text : bytes
        What it is scored on, not empty. The context of its first bytes is the end of `train`.
    order : int, default 3
        Length of the n-grams: `order - 1` bytes of context. 1 to 7.

    Returns
    -------
    ndarray of float64, shape (len(text),)
        Bits each byte costs: minus the base-2 logarithm of its probability.

    Raises
    ------
    ValueError
        If `order` is out of range, `train` is shorter than it, or `text` is empty.

    Examples
    --------
    >>> bool(ngram_bits(b"abab" * 100, b"abab", order=2).max() < 0.1)
    True
    """
    if not 1 <= order <= MAX_ORDER:
        raise ValueError(f"order: expected 1 to {MAX_ORDER}, got {order}")
    if len(train) < order:
        raise ValueError(f"train: expected at least {order} bytes (the order), got {len(train)}")
    if not text:
        raise ValueError("text: expected at least one byte, got none")
    context = train[len(train) - (order - 1) :]
    symbols, queried = (np.frombuffer(part, np.uint8) for part in (train, context + text))
    probability = np.full(len(text), 1 / BYTE_VALUES)
    for length in range(1, order + 1):
        model = _count(symbols, length, continuation=length < order)
        queries = _pack(queried[order - length :], length)
        probability = _interpolate(model, queries, probability)
    return -np.log2(probability)


def _pack(symbols: NDArray[np.uint8], length: int) -> NDArray[np.int64]:
    """Every run of `length` bytes as one number, the last byte lowest."""
    windows = np.lib.stride_tricks.sliding_window_view(symbols, length).astype(np.int64)
    return windows @ (BYTE_VALUES ** np.arange(length - 1, -1, -1, dtype=np.int64))


def _count(symbols: NDArray[np.uint8], length: int, *, continuation: bool) -> _Counts:
    """Count the k-grams of a text, or (Kneser-Ney's idea) the different bytes that precede each."""
    if not continuation:
        return _Counts(*np.unique(_pack(symbols, length), return_counts=True))
    longer = np.unique(_pack(symbols, length + 1))
    return _Counts(*np.unique(longer % BYTE_VALUES**length, return_counts=True))


def _discounts(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Chen and Goodman's discounts for counts 0, 1, 2 and 3 or more."""
    n1, n2, n3, n4 = (max(int(np.count_nonzero(counts == k)), 1) for k in (1, 2, 3, 4))
    y = n1 / (n1 + 2 * n2)
    raw = [0.0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    # Few, odd counts can push the estimate out of its range: no n-gram may lose more than it has,
    # and every one must lose something, so that bytes never seen keep a probability.
    return np.clip(raw, [0.0, 0.1, 0.1, 0.1], [0.0, 0.9, 1.9, 2.9])


def _interpolate(
    model: _Counts, queries: NDArray[np.int64], lower: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Probability of the last byte of each query, given the shorter context's probability."""
    discounts = _discounts(model.counts)[np.minimum(model.counts, 3)]
    contexts, context_of = np.unique(model.grams // BYTE_VALUES, return_inverse=True)
    totals = np.bincount(context_of, model.counts)
    freed = np.bincount(context_of, discounts)

    total = _lookup(contexts, totals, queries // BYTE_VALUES)
    seen = _lookup(model.grams, model.counts - discounts, queries)
    # P(byte | context) = (count - discount + freed mass * P(byte | shorter context)) / total
    mixed = seen + _lookup(contexts, freed, queries // BYTE_VALUES) * lower
    return np.where(total > 0, mixed / np.maximum(total, 1), lower)


def _lookup(
    keys: NDArray[np.int64], values: NDArray[Any], queries: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Value of each query's key, 0 where the sorted `keys` do not hold it."""
    found = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return np.where(keys[found] == queries, values[found], 0.0)
