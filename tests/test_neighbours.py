"""Beside packages that bring an OpenMP runtime and a BLAS of their own, in one process.

Whatever is imported first, and however they run (in turn, at once, in a forked child), each package
computes what it computes alone.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("neighbours.py")
ORDERS = [
    ("cylstm", "sklearn", "torch"),
    ("torch", "sklearn", "cylstm"),
    ("sklearn", "cylstm"),
]


@functools.cache
def compute(*names: str) -> dict[str, dict[str, list[list[float | str]]]]:
    """What the packages compute, imported in this order."""
    kept = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    kept["OMP_WAIT_POLICY"] = "passive"  # or the teams of three runtimes spin against each other
    command = [sys.executable, "-W", "ignore::DeprecationWarning", str(PROGRAM), *names]
    done = subprocess.run(
        command, env=kept, check=False, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_each_package_computes_what_it_computes_alone(order):
    for name in order:
        pytest.importorskip(name)
    found = compute(*order)
    for name in order:
        (expected, *_) = compute(name)["in turn"][name]
        for result in found["in turn"][name]:
            if name == "cylstm":
                assert result == expected
            else:
                np.testing.assert_allclose(result, expected, rtol=1e-4)
        for result in found["at once"][name]:
            if name == "cylstm":
                # scikit-learn sets the threads of SciPy's BLAS meanwhile, and OpenBLAS's kernels
                # for Haswell round otherwise with two: the bits are those of our own kernels alone.
                own, _, *sizes = result
                assert own == expected[0]
                np.testing.assert_allclose(sizes, expected[2:], rtol=1e-5)
            else:
                np.testing.assert_allclose(result, expected, rtol=1e-4)
