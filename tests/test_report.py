"""What show_config says: all of it true, and enough to find out what a machine computes with."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from test_threads_default import run_python

import cylstm
from cylstm import _core, report


@pytest.fixture
def config(capsys):
    """What show_config returns, all of which it prints."""
    found = cylstm.show_config()
    printed = capsys.readouterr().out
    for name, value in found.items():
        assert f"{name}:" in printed
        for part in leaves(value):
            assert str(part) in printed
    return found


def leaves(value):
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return [value]
    return [leaf for part in value for leaf in leaves(part)]


def test_it_is_plain_data(config):
    assert json.loads(json.dumps(config)) == config


def test_it_says_what_the_core_was_built_by(config):
    assert config["version"] == cylstm.__version__
    name, version = config["compiler"].split(" ", 1)
    assert name in {"GCC", "Clang", "MSVC"}
    if sys.platform == "linux":  # compilers write their version into what they make
        command = ["readelf", "-p", ".comment", _core.__file__]
        assert version.split()[0] in subprocess.check_output(command, text=True)


def test_it_names_python_the_platform_and_the_packages(config):
    assert f"{platform.python_implementation()} {sys.version.split()[0]}" in config["python"]
    assert platform.machine() in config["platform"]
    assert config["packages"]["numpy"] == metadata.version("numpy")
    assert set(config["packages"]) == set(report.PACKAGES)


def test_a_package_that_is_missing_is_said_to_be(monkeypatch):
    monkeypatch.setattr(report, "PACKAGES", ("cylstm-no-such-package",))
    assert cylstm.show_config()["packages"] == {"cylstm-no-such-package": "missing"}


def test_the_instruction_set_in_use_is_one_of_those_there_are(config):
    assert config["isa"] == _core.build_info()["isa"]
    assert config["isa"] in config["isas"]
    assert config["isas"][-1] == "generic"
    for isa in config["isas"]:
        code = "import cylstm; print('config:', cylstm.show_config()['isa'])"
        assert f"config: {isa}" in run_python(code, CYLSTM_ISA=isa)


def test_threads_limits_and_variables(monkeypatch, capsys):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    config = cylstm.show_config()
    assert config["threads"] == cylstm.get_num_threads()
    assert config["limits"]["OMP_NUM_THREADS"] == 1
    assert config["environment"]["OPENBLAS_CORETYPE"] == "Haswell"
    assert "OPENBLAS_CORETYPE Haswell" in capsys.readouterr().out


# --- OpenMP --------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="not Linux")
def test_the_openmp_runtime_is_the_one_that_is_loaded(config):
    assert Path(config["openmp"]["runtime"]).is_file()
    assert config["openmp"]["runtime"] in Path("/proc/self/maps").read_text()
    assert config["openmp"]["threads"] >= 1


REPORT = "import json, cylstm; print('\\n' + json.dumps(cylstm.show_config()['openmp']))"


@pytest.mark.skipif(sys.platform != "linux", reason="not Linux")
def test_another_runtime_in_its_place_is_named():
    import ctypes.util

    libomp = ctypes.util.find_library("omp")
    if libomp is None:
        pytest.skip("LLVM's OpenMP is not here")
    found = json.loads(run_python(REPORT, LD_PRELOAD=libomp).splitlines()[-1])
    assert "libomp" in found["runtime"]
    assert any("libgomp" in path for path in found["others"])


# --- BLAS ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", ["ImportError", "TypeError"])
def test_it_says_why_there_is_no_blas(error):
    code = f"""
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "cylstm._blas":
            raise {error}("a foreign signature")
sys.meta_path.insert(0, Finder())
import cylstm
print(cylstm.show_config()["blas"])
"""
    assert f"own kernels instead ({error}: a foreign signature)" in run_python(code)
