"""What continuous integration checks distributions with finds what it is there to find."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ("cylstm/__init__.py", "cylstm/_core.so")
LIBGOMP = "cylstm.libs/libgomp-a34b3233.so.1.0.0"
LICENCES = "cylstm-0.1.dist-info/licenses/licenses"


def load(tool: str):
    spec = importlib.util.spec_from_file_location(tool, ROOT / "tools" / f"{tool}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("names", "complaints"),
    [
        (PACKAGE, []),
        ((*PACKAGE, "cylstm/_core.pyx"), ["cylstm/_core.pyx is only for building"]),
        (
            (*PACKAGE, LIBGOMP, f"{LICENCES}/GPL-3.0.txt"),
            [f"{LIBGOMP} without GCC-exception-3.1.txt"],
        ),
        (
            (*PACKAGE, LIBGOMP, f"{LICENCES}/GPL-3.0.txt", f"{LICENCES}/GCC-exception-3.1.txt"),
            [],
        ),
        (
            (*PACKAGE, "cylstm/.dylibs/libz.dylib"),
            ["cylstm/.dylibs/libz.dylib without a licence of libz"],
        ),
    ],
    ids=["good", "a source", "half a licence", "both", "unknown library"],
)
def test_wheels_are_looked_into(tmp_path, names, complaints):
    path = tmp_path / "cylstm-0.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name in names:
            wheel.writestr(name, "")
    found = load("check_distributions").wrong_with(path)
    assert list(found) == [f"{path.name}: {complaint}" for complaint in complaints]


def test_wheels_are_weighed(tmp_path):
    path = tmp_path / "cylstm.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("cylstm/large", bytes(2_000_001))
    assert list(load("check_distributions").wrong_with(path)) == [
        "cylstm.whl: more than 2,000,000 bytes"
    ]
