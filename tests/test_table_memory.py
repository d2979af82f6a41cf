"""How much memory the commands take for a table, beside its size."""

from __future__ import annotations

import sys

import pytest

from benchmarks.tables import memory_factors

pytest.importorskip("pandas")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="where /proc says how much a process had")
def test_training_holds_a_few_times_the_file(tmp_path):
    assert memory_factors(tmp_path)["train"] < 5.5
