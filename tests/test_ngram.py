"""The n-gram model: against a slow model of dictionaries, and as a probability distribution."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from cylstm.ngram import ngram_bits

TEXT = b"the cat sat on the mat; the dog sat on the log; a cat and a dog sat on a mat. " * 3


def slow_counts(train: bytes, length: int, order: int) -> Counter:
    """Count the k-grams of the highest order, the different predecessors of all shorter ones."""
    if length == order:
        return Counter(train[i : i + length] for i in range(len(train) - length + 1))
    longer = {train[i : i + length + 1] for i in range(len(train) - length)}
    return Counter(gram[1:] for gram in longer)


def slow_discount(counts: Counter, count: int) -> float:
    """Discount of an n-gram seen `count` times, written as in the paper, then kept in range."""
    times = [max(sum(c == k for c in counts.values()), 1) for k in range(1, 5)]
    y = times[0] / (times[0] + 2 * times[1])
    k = min(count, 3)
    return min(max(k - (k + 1) * y * times[k] / times[k - 1], 0.1), k - 0.1)


def slow_probability(train: bytes, gram: bytes, order: int) -> float:
    """P(last byte of gram | the bytes before it), by recursion over ever shorter contexts."""
    if not gram:
        return 1 / 256
    counts = slow_counts(train, len(gram), order)
    lower = slow_probability(train, gram[1:], order)
    followers = {g: c for g, c in counts.items() if g[:-1] == gram[:-1]}
    if not followers:
        return lower
    freed = sum(slow_discount(counts, c) for c in followers.values())
    own = counts[gram] - slow_discount(counts, counts[gram]) if gram in followers else 0.0
    return (own + freed * lower) / sum(followers.values())


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_matches_the_slow_model(order):
    text = b"a mat sat on the cat? zz the"
    context = TEXT[len(TEXT) - order + 1 :] + text
    grams = [context[i : i + order] for i in range(len(text))]
    expected = [-math.log2(slow_probability(TEXT, gram, order)) for gram in grams]
    np.testing.assert_allclose(ngram_bits(TEXT, text, order), expected, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 7])
@pytest.mark.parametrize("train", [TEXT, b"aaaaaaaa", b"abcdefgh", bytes(range(256))])
def test_probabilities_sum_to_one(train, order):
    total = sum(2.0 ** -ngram_bits(train, bytes([value]), order)[0] for value in range(256))
    assert total == pytest.approx(1.0, abs=1e-9)


def test_more_context_helps_on_text():
    head, tail = TEXT[:200], TEXT[200:]
    costs = [ngram_bits(head, tail, order).mean() for order in (1, 2, 3)]
    assert costs[0] > costs[1] > costs[2]


@pytest.mark.parametrize(
    ("train", "text", "order", "message"),
    [
        (TEXT, b"a", 0, "order: expected 1 to 7, got 0"),
        (TEXT, b"a", 8, "order: expected 1 to 7, got 8"),
        (b"ab", b"a", 3, "train: expected at least 3 bytes"),
        (TEXT, b"", 3, "text: expected at least one byte"),
    ],
)
def test_bad_input(train, text, order, message):
    with pytest.raises(ValueError, match=message):
        ngram_bits(train, text, order)
