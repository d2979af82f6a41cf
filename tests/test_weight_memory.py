"""Memory that weights take while networks are made, read and changed, as the system counts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import cylstm

resource = pytest.importorskip("resource", reason="this system does not say what a process took")

LAYER = "cylstm.LSTM(1500, 1500, seed=0)"
WEIGHTS = 4 * 4 * 1500 * (1500 + 1500 + 2)  # bytes: 72 MB

SCRIPT = """
import resource, sys
import numpy as np
import cylstm

def peak():  # of this program: ru_maxrss begins with what its parent had
    fields = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * int(fields["VmHWM"].split()[0])

np.random.default_rng(0).uniform(-1, 1, 100)
cylstm.LSTM(2, 2).save(sys.argv[1] + ".small")
cylstm.load(sys.argv[1] + ".small")
start = peak()
{before}
{task}
print(peak() - start)
"""

# What comes before, the task, and how many times the weights it may take in all.
TASKS = {
    "construct": ("", f"layer = {LAYER}", 1.6),
    "load": ("", "layer = cylstm.load(sys.argv[1])", 1.6),
    "from_state_dict": (
        "",
        "layer = cylstm.LSTM.from_state_dict(sys.argv[2], prefix='encoder.')",
        2.0,
    ),
    "load_state_dict": (
        f"layer = {LAYER}; state = layer.state_dict()",
        "layer.load_state_dict(state)",
        2.0,  # those of the caller, and the network
    ),
    "edit": (
        f"layer = {LAYER}",
        "with layer.editing() as p: p['bias_ih_l0'][:] = 1",
        2.0,  # the draft, and the network
    ),
    "step": (
        f"layer = {LAYER}; layer.grads['bias_ih_l0'][:] = 1",
        "cylstm.Adam(1e-3).step(layer)",
        3.0,  # parameters and two moments; gradients that nothing was added into take none
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A model file, and one with the same tensors after a prefix."""
    folder = tmp_path_factory.mktemp("weights")
    paths = str(folder / "model"), str(folder / "tensors")
    layer = cylstm.LSTM(1500, 1500, seed=0)
    layer.save(paths[0])
    tensors = {f"encoder.{name}": array for name, array in layer.state_dict().items()}
    safetensors.numpy.save_file(tensors, paths[1])
    return paths


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
@pytest.mark.parametrize(("before", "task", "most"), TASKS.values(), ids=TASKS)
def test_peak_of_memory_over_the_size_of_the_weights(files, before, task, most):
    script = SCRIPT.format(before=before, task=task)
    done = subprocess.run(
        [sys.executable, "-c", script, *files], check=True, capture_output=True, text=True
    )
    taken = int(done.stdout) / WEIGHTS
    print(f"{taken:.2f} times the weights")
    assert taken < most + 0.1


def test_arrays_that_are_views_of_the_parameters_are_read_before_they_are_overwritten():
    layer = cylstm.LSTM(5, 5, seed=0)
    swapped = dict(layer.parameters)
    swapped["weight_ih_l0"], swapped["weight_hh_l0"] = (
        swapped["weight_hh_l0"],
        swapped["weight_ih_l0"],
    )
    expected = {name: array.copy() for name, array in swapped.items()}
    layer.load_state_dict(swapped)
    for name, array in expected.items():
        np.testing.assert_array_equal(layer.parameters[name], array)


def test_a_file_that_is_cut_short_while_it_is_read_is_an_error(tmp_path):
    path = tmp_path / "model"
    layer = cylstm.LSTM(50, 50, seed=0)
    safetensors.numpy.save_file(layer.state_dict(), path)
    tensors = cylstm.formats.TensorFile(path)
    with path.open("r+b") as file:
        file.truncate(5000)
    with pytest.raises(ValueError, match="cut short"):
        tensors["weight_ih_l0"]
