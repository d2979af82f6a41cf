"""The end of a process whose daemon threads are busy."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Threads in sgemm, in our kernels, in training, in streams and in edits, when the process ends.
CODE = """
import sys, threading, time
import numpy as np
import cylstm
layer, big = cylstm.LSTM(256, 256, 2, seed=0), cylstm.LSTM(1024, 512, seed=0)
x, wide = np.ones((30, 32, 256), np.float32), np.ones((20, 64, 1024), np.float32)
model = cylstm.SequenceModel(
    task="classification", input_size=12, hidden_size=32, pooling="mean", output_size=4, seed=0
)
data, labels = 16 * [np.ones((9, 12), np.float32)], 4 * [0, 1, 2, 3]
stream = model.stream()
work = [
    lambda: big(wide), lambda: big(wide), lambda: layer(x), lambda: stream.step(data[0][0]),
    lambda: model.fit(data, labels, epochs=1, progress=False),
    lambda: layer.load_state_dict(layer.state_dict()),
]
def repeat(function):
    while True: function()
big(wide)
for function in work: threading.Thread(target=repeat, args=(function,), daemon=True).start()
time.sleep(float(sys.argv[1]))
sys.exit(3)
"""


def exit_status(seconds: float) -> int:
    command = [sys.executable, "-c", CODE, str(seconds)]
    return subprocess.run(command, check=False, capture_output=True, timeout=60).returncode


@pytest.mark.parametrize("count", [5, pytest.param(500, marks=pytest.mark.long)])
def test_daemon_threads_may_be_inside_calls(count):
    statuses = [exit_status(0.05 + 0.35 * i / count) for i in range(count)]
    assert statuses == count * [3]
