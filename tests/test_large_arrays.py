"""Arrays that are larger than the memory: no copy of one is made, of whatever type and scale.

A child maps a file of 64 MB, and may then take less than half as much memory beside it.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import cylstm
from cylstm import network
from cylstm.arrays import standardise

if not sys.platform.startswith("linux"):
    pytest.skip("asks Linux how much memory it gave", allow_module_level=True)

STEPS = 2**22
CHILD = """
import resource, sys
import numpy as np
import cylstm
from cylstm import network
from cylstm.arrays import standardise

network.LONG_CALL, network.BLOCK = 2**22, 2**20
model = cylstm.SequenceModel(
    task="regression", input_size=4, hidden_size=4, output_size=1, seed=0, **{options}
)
model.set_input_scale([{mean}] * 4, [1.0] * 4)
model.set_output_scale([{mean}], [1.0])
cylstm.set_num_threads(1)
x = np.load(sys.argv[1], mmap_mode="r")
y = x[:, :1]
def do(x, y):
    {call}
do(x[:3000], y[:3000])
with open("/proc/self/status") as status:
    used = next(int(line.split()[1]) for line in status if line.startswith("VmData")) * 1024
limit = used + {allowed}
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
do(x, y)
"""
FIT = "model.fit(x, y, bptt_steps=10_000, epochs=1, progress=False)"
#: Each call, the type of its numbers, their mean, and how many MB it may take: two arrays of
#: results are 32 MB, one of twice as many integers as well, and one of half as many float64 8.
CALLS = {
    "predict": ("model.predict(x)", np.float32, 0.0, 48),
    "predict batched": ("model.predict(x.reshape(-1, 2, 4))", np.float32, 0.0, 48),
    "predict a list": ("model.predict([x])", np.float32, 0.0, 48),
    "predict of float64": ("model.scores(x)", np.float64, 0.0, 32),
    "predict of a wide scale": ("model.scores(x)", np.float64, 1e9, 32),
    "predict of integers": ("model.scores(x)", np.int16, 0.0, 48),
    "evaluate": ("model.evaluate(x, y)", np.float32, 0.0, 24),
    "evaluate a wide scale": ("model.evaluate(x, y)", np.float64, 1e9, 24),
}


def run(path, call, *, dtype, mean, allowed, options=None):
    steps = STEPS // np.dtype(dtype).itemsize * 4
    array = np.lib.format.open_memmap(path, "w+", dtype, (steps, 4))
    array[:] = mean
    array[::2] += 1
    array.flush()
    del array
    source = CHILD.format(call=call, mean=mean, allowed=allowed * 2**20, options=options or {})
    done = subprocess.run(
        [sys.executable, "-c", source, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(("call", "dtype", "mean", "allowed"), CALLS.values(), ids=CALLS)
def test_no_array_is_copied(tmp_path, call, dtype, mean, allowed):
    run(tmp_path / "x.npy", call, dtype=dtype, mean=mean, allowed=allowed)


@pytest.mark.parametrize(("dtype", "mean"), [(np.float32, 0.0), (np.float64, 1e9)])
def test_fit_copies_no_array(tmp_path, dtype, mean):
    call = "model.set_input_scale(None, None); model.set_output_scale(None, None); " + FIT
    run(tmp_path / "x.npy", call, dtype=dtype, mean=mean, allowed=24)


@pytest.mark.parametrize(
    "options", [{}, {"pooling": "last"}, {"batch_first": True}, {"vocab_size": 5}], ids=str
)
@pytest.mark.parametrize("lengths", [None, [0, 37, 60, 1, 59]])
def test_blocks_have_the_bits_of_the_whole(monkeypatch, options, lengths):
    inputs = (
        {"vocab_size": 5, "embedding_size": 3} if "vocab_size" in options else {"input_size": 3}
    )
    settings = {"task": "classification", "hidden_size": 6, "output_size": 4, "num_layers": 2}
    model = cylstm.SequenceModel(**settings, **options | inputs, seed=0)
    x = np.random.default_rng(0).standard_normal((60, 5, 3)).astype(np.float32)
    if "vocab_size" in options:
        x = np.random.default_rng(0).integers(0, 5, (60, 5))
    if "batch_first" in options:
        x = x.swapaxes(0, 1)
    arguments = {"lengths": lengths, "reproducible": True}
    expected, state = model(x, **arguments)
    monkeypatch.setattr(network, "LONG_CALL", 100)
    monkeypatch.setattr(network, "BLOCK", 7 * 5 * 25)
    blocks = model._blocks(model._signature.read(x, None, lengths))
    assert len(blocks) > 3
    found, last = model(x, **arguments)
    assert_array_equal(found, expected)
    for part, whole in zip(last, state, strict=True):
        assert_array_equal(part, whole)


@pytest.mark.parametrize("options", [{"pooling": "mean"}, {"bidirectional": True}], ids=str)
def test_what_needs_whole_sequences_is_not_cut(monkeypatch, options):
    model = cylstm.SequenceModel(
        task="regression", input_size=2, hidden_size=3, output_size=1, seed=0, **options
    )
    x = np.random.default_rng(0).standard_normal((50, 2, 2)).astype(np.float32)
    expected = model.scores(x)
    monkeypatch.setattr(network, "LONG_CALL", 10)
    monkeypatch.setattr(network, "BLOCK", 10)
    assert_array_equal(model.scores(x), expected)


def test_blocks_of_numbers_are_standardised_alike(monkeypatch):
    x = 1e9 + np.arange(60.0).reshape(10, 3, 2)
    scale = (np.full(2, 1e9), np.array([1.0, 2.0]))
    monkeypatch.setattr("cylstm.arrays.BLOCK_NUMBERS", 13)
    expected = (np.arange(60.0).reshape(10, 3, 2) / [1.0, 2.0]).astype(np.float32)
    assert_array_equal(standardise(x, scale, "x"), expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.nan, r"x\[1\]: expected finite numbers, got nan at \(7, 1\)"),
        (1e39, r"x\[1\]: expected numbers that float32 can hold \(up to 3.4e38\), got 1e\+39"),
    ],
)
def test_what_is_wrong_far_into_an_array_is_found(monkeypatch, wrong, message):
    monkeypatch.setattr("cylstm.arrays.BLOCK_NUMBERS", 5)
    x = [np.zeros((9, 2)), np.zeros((9, 2))]
    x[1][7, 1] = wrong
    model = cylstm.SequenceModel(task="regression", input_size=2, hidden_size=3, output_size=1)
    with pytest.raises(ValueError, match=message):
        model.fit(x, [np.zeros((9, 1))] * 2)
