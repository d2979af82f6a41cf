"""How many threads there are at first, and what an import costs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import cylstm
from cylstm import _core, threads


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in ("CYLSTM_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_system(tmp_path, monkeypatch):
    """Write the files of a system with 64 CPUs, and give its root."""
    monkeypatch.setattr(threads, "_count_cpus", lambda: 64)

    def make(files: dict[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return make


def run_python(code: str, **environment: str) -> str:
    """What a new interpreter prints."""
    kept = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    child = subprocess.run(
        [sys.executable, "-W", "always", "-c", code],
        env=kept | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return child.stdout + child.stderr


# --- cgroups -------------------------------------------------------------------------------------

V1 = "proc/self/cgroup", "4:memory:/m\n3:cpu,cpuacct:/a/b\n2:cpuset:/c\n1:name=systemd:/s\n"
V2 = "proc/self/cgroup", "0::/a/b\n"
GROUPS = "sys/fs/cgroup"
SYSTEMS = {
    "none": ({}, None),
    "v2, no limit": ({"cpu.max": "max 100000\n"}, None),
    "v2": ({"a/b/cpu.max": "300000 100000\n"}, 3),
    "v2, rounded up": ({"a/b/cpu.max": "150000 100000\n"}, 2),
    "v2, less than one": ({"a/b/cpu.max": "5000 100000\n"}, 1),
    "v2, of a group around it": ({"a/b/cpu.max": "max 100000\n", "a/cpu.max": "7 1\n"}, 7),
    "v2, the least": ({"a/b/cpu.max": "9 1\n", "a/cpu.max": "4 1\n", "cpu.max": "6 1\n"}, 4),
    "v2, of a container": ({"cpu.max": "200000 100000\n"}, 2),
    "v2, of another group": ({"a/c/cpu.max": "1 1\n"}, None),
    "v2, nonsense": ({"cpu.max": "much\n"}, None),
}


def version_1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    return {
        f"cpu/{folder}cpu.cfs_quota_us": f"{quota}\n",
        f"cpu/{folder}cpu.cfs_period_us": f"{period}\n",
    }


SYSTEMS_1 = {
    "v1, no limit": (version_1("a/b/", -1), None),
    "v1": (version_1("a/b/", 250_000), 3),
    "v1, of a group around it": (version_1("a/b/", -1) | version_1("a/", 200_000), 2),
    "v1, of a container": (version_1("", 400_000), 4),
    "v1, half": ({"cpu/a/b/cpu.cfs_quota_us": "100000\n"}, None),
}


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [(V2, *case) for case in SYSTEMS.values()] + [(V1, *case) for case in SYSTEMS_1.values()],
    ids=[*SYSTEMS, *SYSTEMS_1],
)
def test_the_cgroup_s_limit(make_system, membership, files, expected):
    name, text = membership
    root = make_system({name: text, **{f"{GROUPS}/{path}": text for path, text in files.items()}})
    limits = {"CPUs": 64} if expected is None else {"CPUs": 64, "cgroup": expected}
    assert threads.find_limits(root) == limits


def test_a_system_without_cgroups_has_no_such_limit(make_system):
    assert threads.find_limits(make_system({})) == {"CPUs": 64}


# --- the default ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 3),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "2,1"}, 2),
        ({"OMP_NUM_THREADS": "5"}, 3),
        ({"CYLSTM_NUM_THREADS": "7", "OMP_NUM_THREADS": "2"}, 7),
        ({"CYLSTM_NUM_THREADS": " 1 "}, 1),
        ({"CYLSTM_NUM_THREADS": ""}, 3),
        ({"CYLSTM_NUM_THREADS": "100000"}, 1024),
    ],
    ids=str,
)
def test_the_default_is_the_least_limit_or_what_the_variable_says(
    monkeypatch, restore_num_threads, environment, expected
):
    monkeypatch.setattr(threads, "_count_cpus", lambda: 4)
    monkeypatch.setattr(threads, "_cgroup_limit", lambda root: 3)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    threads.set_default()
    assert cylstm.get_num_threads() == expected


@pytest.mark.parametrize("value", ["0", "-2", "two", "1.5", "²"])
@pytest.mark.parametrize("name", ["CYLSTM_NUM_THREADS", "OMP_NUM_THREADS"])
def test_what_is_no_number_is_ignored_with_a_warning(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.warns(RuntimeWarning, match=f"{name}: expected a number of threads, got '{value}'"):
        assert name not in threads.find_limits()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")
def test_the_default_respects_affinity(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 4, 6})
    assert threads.find_limits()["CPUs"] == 3


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")
@pytest.mark.parametrize(
    "variables",
    [
        {"OMP_PROC_BIND": "true"},
        {"OMP_PROC_BIND": "spread", "OMP_PLACES": "cores"},
        {"OMP_PROC_BIND": "close", "OMP_PLACES": "threads"},
        {"OMP_PLACES": "{0},{1}"},
    ],
    ids=str,
)
def test_openmp_s_binding_of_the_main_thread_hides_no_cpus(variables):
    if not {0, 1} <= os.sched_getaffinity(0):
        pytest.skip("this process may not run on the first two CPUs")
    code = "import cylstm; print(cylstm.get_num_threads())"
    expected = 2 if variables.get("OMP_PLACES", "").startswith("{") else int(run_python(code))
    assert int(run_python(code, **variables)) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_one_cpu_is_one_thread():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    assert run_python(f"{code}; import cylstm; print(cylstm.get_num_threads())").strip() == "1"


def test_a_process_starts_with_what_its_environment_says():
    code = "import cylstm; print(cylstm.get_num_threads())"
    assert run_python(code, CYLSTM_NUM_THREADS="3") == "3\n"
    printed = run_python(code, CYLSTM_NUM_THREADS="many")
    assert "CYLSTM_NUM_THREADS: expected a number of threads, got 'many'" in printed
    assert int(printed.splitlines()[0]) >= 1


def test_what_is_set_is_got(restore_num_threads):
    for number in (1, 5, 2):
        cylstm.set_num_threads(number)
        assert cylstm.get_num_threads() == _core.get_num_threads() == number


# --- importing -----------------------------------------------------------------------------------


def test_importing_streaming_and_small_calls_leave_heavy_packages_alone():
    code = """
import sys, numpy
of_numpy = set(sys.modules)
import cylstm
def report(*heavy): print(sorted(set(heavy) & (set(sys.modules) - of_numpy)))
report("hashlib", "random", "shutil")
layer = cylstm.LSTM(3, 4)
layer.stream().step([1, 2, 3])
y, _, tape = layer.record(numpy.zeros((20, 8, 3)))
layer.backward(tape, layer(numpy.zeros((20, 8, 3)))[0])
report("scipy", "scipy.linalg", "pandas", "tqdm", "matplotlib", "threadpoolctl")
"""
    assert run_python(code) == "[]\n[]\n"


def test_importing_a_source_tree_says_what_to_do(tmp_path):
    """As Python does that is started in a clone whose package is installed elsewhere."""
    compiled = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    shutil.copytree(Path(cylstm.__file__).parent, tmp_path / "cylstm", ignore=compiled)
    # without site-packages, where an editable installation would help out with its modules
    command = [sys.executable, "-S", "-c", "import cylstm"]
    done = subprocess.run(
        command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert f"ImportError: cylstm: {tmp_path / 'cylstm'} has no" in done.stderr
