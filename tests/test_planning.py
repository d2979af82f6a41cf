"""What explain says of a call is what the core does."""

from __future__ import annotations

import numpy as np
import pytest

import cylstm
from cylstm import _blas

TWO_WAYS = cylstm.LSTM(64, 64, bidirectional=True, seed=0)
STACK = cylstm.LSTM(64, 64, 2, seed=0)
LAYER = cylstm.LSTM(256, 256, seed=0)


@pytest.mark.parametrize(
    ("layer", "steps", "batch", "threads", "words"),
    [
        (STACK, 1, 1, 2, ["1 step of 1 sequence", "threads: 1 of 2", "by the steps themselves"]),
        (LAYER, 1, 1, 2, ["threads: 2 of 2", "projected by the steps themselves"]),
        (LAYER, 100, 32, 2, ["threads: 2 of 2", "16 at most; no barrier", "by the steps"]),
        (LAYER, 100, 1, 2, ["2 threads share a layer's units; a barrier", "projected by"]),
        (TWO_WAYS, 200, 1, 2, ["both directions of a layer, each on its own threads"]),
        (STACK, 1000, 1, 2, ["2 groups of layers as a wave", "layer 2: inputs"]),
        (STACK, 1000, 1, 4, ["2 groups of layers as a wave", "2 threads share a layer's units"]),
        (STACK, 1000, 1, 1, ["threads: 1 of 1"]),
    ],
)
def test_a_plan_in_words(capsys, blas_as_planned, layer, steps, batch, threads, words):
    cylstm.explain(layer, T=steps, B=batch, num_threads=threads, reproducible=True)
    printed = capsys.readouterr().out
    for word in words:
        assert word in printed


@pytest.mark.parametrize("reproducible", [False, True])
def test_products_are_where_it_says(capsys, reproducible):
    x = np.zeros((100, 32, 256), np.float32)
    before = _blas.calls()
    LAYER(x, reproducible=reproducible)
    called = _blas.calls() > before
    cylstm.explain(LAYER, T=100, B=32, reproducible=reproducible)
    assert ("layer 1: inputs projected by SciPy's sgemm" in capsys.readouterr().out) == called
    assert called != reproducible
