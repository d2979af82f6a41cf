"""The C library as the installed package holds it: found, linked, small, and the same in Cython."""

from __future__ import annotations

import ctypes
import os
import re
import select
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cylstm
from cylstm import _blas, _core
from cylstm.cli import main

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
FUNCTIONS = re.findall(
    r"^CYLSTM_API [^;(]*?(\w+)\(", (ROOT / "src/cylstm.h").read_text(), re.MULTILINE
)
INCLUDE, LIB = Path(cylstm.get_include()), Path(cylstm.get_library_dir())

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="not Linux")


def run(*words: Any, **options: Any) -> str:
    """What a command prints; the test fails where it does."""
    options = {"capture_output": True, "text": True, "timeout": 120, **options}
    done = subprocess.run([str(word) for word in words], check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def need(*tools: str) -> None:
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")


def config(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """What `cylstm config` prints, as the words a shell makes of it."""
    assert main(["config", *words]) == 0
    return capsys.readouterr().out.split()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[cylstm.SequenceModel, Path]:
    """A model of three numbers, with both scales."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model = cylstm.SequenceModel(
        task="regression", input_size=3, hidden_size=10, output_size=2, seed=0
    )
    model.set_input_scale([1.0, 2.0, 3.0], [1.0, 2.0, 0.5])
    model.set_output_scale([10.0, 20.0], [2.0, 3.0])
    model.save(path)
    return model, path


def copy_package(folder: Path) -> Path:
    """The installed package in another place, with what auditwheel has put beside it."""
    site = INCLUDE.parents[1]
    for name in ("cylstm", "cylstm.libs"):
        if (site / name).exists():
            shutil.copytree(site / name, folder / name)
    return folder / "cylstm"


def assert_pythons_bits(values: np.ndarray, expected: np.ndarray) -> None:
    """C takes the processor's best kernels, Python those of CYLSTM_ISA: without FMA bits differ."""
    info = _core.build_info()
    if info["isa"] == "generic" != info["isas"][0]:
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(values, expected)


def check_scores(program: Path, saved: tuple[cylstm.SequenceModel, Path]) -> None:
    """The C example gives Python's bits, whatever it was linked with, and wherever it is run."""
    model, path = saved
    x = np.random.default_rng(0).standard_normal((20, 3), np.float32)
    text = "\n".join(",".join(f"{number:.9g}" for number in row) for row in x)
    printed = run(program, path, input=text, cwd="/")
    values = np.array([line.split(",") for line in printed.splitlines()], np.float32)
    assert_pythons_bits(values, model.predict(x, reproducible=True))


def needed(program: Path) -> list[str]:
    """The shared libraries that a program asks for."""
    return re.findall(r"NEEDED\s+(\S+)", run("objdump", "-p", program))


# --- what is installed ---------------------------------------------------------------------------


def symbols(path: Path, *options: str) -> set[str]:
    """What a library defines for others."""
    lines = run("nm", "--defined-only", "--extern-only", *options, path).splitlines()
    return {line.split()[-1] for line in lines if len(line.split()) == 3}


def shared_library() -> Path:
    (path,) = LIB.glob("libcylstm.so.*")
    return path


def test_the_shared_library_exports_the_header():
    assert symbols(shared_library(), "--dynamic") == set(FUNCTIONS)


def test_every_function_of_the_header_is_explained():
    """By a comment above it, or above the functions that it follows."""
    text = (ROOT / "src/cylstm.h").read_text()
    blocks = [block for block in text.split("\n\n") if "\nCYLSTM_API" in f"\n{block}"]
    assert [block for block in blocks if not block.startswith("/*")] == []
    assert max(map(len, text.splitlines())) <= 120


def test_names_in_the_static_library_are_its_own():
    names = symbols(LIB / "libcylstm.a")
    assert names > set(FUNCTIONS)
    assert [name for name in names if not name.startswith("cylstm_")] == []


@pytest.mark.parametrize("module", [_core, _blas], ids=lambda module: module.__name__)
def test_modules_export_nothing_that_a_program_could_put_its_own_in_place_of(module):
    name = module.__name__.rpartition(".")[2]
    assert symbols(module.__file__, "--dynamic") == {f"PyInit_{name}"}


def test_programs_ask_for_the_minor_version():
    minor = ".".join(cylstm.__version__.split(".")[:2])
    assert shared_library().name == f"libcylstm.so.{minor}"
    assert f"SONAME               {shared_library().name}" in run("objdump", "-p", shared_library())


def test_sizes(tmp_path):
    """The shared library with every instruction set; a program that loads and steps, in plain C."""
    assert shared_library().stat().st_size <= 300_000
    sources = [path for path in ROOT.glob("src/*.c") if not path.stem.startswith("kernels_")]
    sources += [ROOT / "src/kernels_generic.c", EXAMPLES / "c/score_csv.c"]
    flags = ["-std=c11", "-O2", "-ffp-contract=off", "-fno-math-errno", "-fopenmp"]
    small = ["-DCYLSTM_GENERIC_ONLY", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections"]
    program = tmp_path / "score_csv"
    run("gcc", *flags, *small, f"-I{ROOT}/src", *sources, "-lm", "-o", program)
    sections = dict(re.findall(r"^(\.\w+)\s+(\d+)", run("size", "-A", program), re.MULTILINE))
    code = int(sections[".text"]) + int(sections[".rodata"])
    print(f"shared {shared_library().stat().st_size:,} bytes, generic load and step {code:,}")
    assert code <= 60_000


# --- programs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("static", [False, True], ids=["shared", "static"])
def test_config_links(tmp_path, capsys, saved, static):
    words = ["--cflags", "--libs", *(["--static"] if static else [])]
    program = tmp_path / "score_csv"
    run("cc", "-std=c99", EXAMPLES / "c/score_csv.c", *config(capsys, *words), "-o", program)
    check_scores(program, saved)
    assert (shared_library().name in needed(program)) == (not static)


@pytest.mark.parametrize(
    ("table", "status", "complaint"),
    [
        ("a,b,c\r\n1,2,3\r\n", 0, ""),
        ("inflow,nanometres,c\n1,2,3\n", 0, ""),
        ("inf,nan\n1,2,3\n", 1, "line 1: expected 3 numbers\n"),
        ("1,2\n1,2,3\n", 1, "line 1: expected 3 numbers\n"),
        ("1,2,3\n1,2,3,4\n", 1, "line 2: expected 3 numbers\n"),
        ("1,2,3\n1,,3\n", 1, "line 2: expected 3 numbers\n"),
        ("1,2,3\n", 1, "standard input or output: No space left on device\n"),
    ],
    ids=["names", "begin like numbers", "no names", "first row", "too many", "missing", "full"],
)
def test_the_example_in_c_says_what_is_wrong(tmp_path, capsys, saved, table, status, complaint):
    program, full = tmp_path / "score_csv", "space" in complaint
    flags = config(capsys, "--cflags", "--libs")
    run("cc", "-std=c99", EXAMPLES / "c/score_csv.c", *flags, "-o", program)
    with open("/dev/full" if full else tmp_path / "out", "w") as out:
        done = subprocess.run(
            [program, saved[1]],
            input=table.encode(),
            stdout=out,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr.decode()) == (status, complaint)


@pytest.mark.parametrize(
    "options",
    [{"input_size": 3, "bidirectional": True}, {"vocab_size": 3, "embedding_size": 3}],
    ids=["bidirectional", "tokens"],
)
def test_the_example_in_c_refuses_what_has_no_rows_of_numbers(tmp_path, capsys, options):
    model, program = tmp_path / "model.safetensors", tmp_path / "score_csv"
    sizes = {"hidden_size": 2, "output_size": 2}
    cylstm.SequenceModel(task="classification", **sizes, **options).save(model)
    flags = config(capsys, "--cflags", "--libs")
    run("cc", "-std=c99", EXAMPLES / "c/score_csv.c", *flags, "-o", program)
    done = subprocess.run([program, model], input=b"1,2,3\n", capture_output=True, check=False)
    complaint = f"{model}: expected a model of numbers, in one direction\n"
    assert (done.returncode, done.stderr.decode()) == (1, complaint)


def test_the_example_in_c_prints_a_row_before_the_next_one_comes(tmp_path, capsys, saved):
    program = tmp_path / "score_csv"
    flags = config(capsys, "--cflags", "--libs")
    run("cc", "-std=c99", EXAMPLES / "c/score_csv.c", *flags, "-o", program)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([program, saved[1]], **pipes) as scoring:
        scoring.stdin.write(b"1,2,3\n")
        scoring.stdin.flush()
        came, _, _ = select.select([scoring.stdout], [], [], 30)
        scoring.stdin.close()
        assert came and len(scoring.stdout.readline().split(b",")) == 2
    assert scoring.returncode == 0


def test_the_audio_example_says_that_its_sound_went_nowhere(tmp_path, capsys):
    model, program = tmp_path / "amp.safetensors", tmp_path / "audio_callback"
    cylstm.LSTM(1, 1).save(model)
    flags = config(capsys, "--cflags", "--libs")
    run("cc", EXAMPLES / "c/audio_callback.c", *flags, "-o", program)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [program, model], input=bytes(64), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert (done.returncode, done.stderr) == (
        1,
        b"standard input or output: No space left on device\n",
    )


def test_a_plugin_that_used_two_threads_can_be_closed(tmp_path):
    """They wait for more, in the code that they run, where the program goes on."""
    program, path = tmp_path / "unloaded", tmp_path / "layer"
    cylstm.LSTM(32, 128, seed=0).save(path)
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}"]
    run("cc", *flags, ROOT / "tests/c/unloaded.c", "-ldl", "-o", program)
    assert run(program, shared_library(), path) == "still here\n"


def test_config_says_where_things_are(capsys):
    assert config(capsys, "--includedir", "--libdir", "--version") == [
        cylstm.get_include(),
        cylstm.get_library_dir(),
        cylstm.__version__,
    ]
    assert main(["config"]) == 2
    assert "nothing asked for" in capsys.readouterr().err


@pytest.mark.parametrize(("system", "openmp"), [("linux", "-fopenmp"), ("darwin", "-lomp")])
def test_config_names_the_openmp_of_the_system_s_compiler(monkeypatch, capsys, system, openmp):
    """That of macOS has no option for it."""
    monkeypatch.setattr("sys.platform", system)
    assert config(capsys, "--libs", "--static") == [str(LIB / "libcylstm.a"), openmp, "-lm"]


def test_config_where_paths_have_blanks(tmp_path, saved):
    """Flags are quoted, for a shell that is told to; folders are not, for quotes around them."""
    package = copy_package(tmp_path / "in here")
    config = f"{sys.executable} -P -m cylstm config"
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    source = EXAMPLES / "c/score_csv.c"
    for flags in ("--cflags --libs", "--cflags --libs --static"):
        command = f'eval "cc -std=c99 {source} $({config} {flags}) -o score_csv"'
        run("sh", "-c", command, cwd=tmp_path, env=environment)
        check_scores(tmp_path / "score_csv", saved)
    for option, file in (("includedir", "cylstm.h"), ("cmakedir", "cylstm-config.cmake")):
        folder = run("sh", "-c", f'echo "$({config} --{option})"', env=environment).rstrip("\n")
        assert folder.startswith(str(package)) and Path(folder, file).is_file()


@pytest.mark.parametrize(
    ("compiler", "source"),
    [("cc", "c/score_csv.c"), ("c++", "cpp/raii.cpp"), ("gfortran", "fortran/step.f90")],
)
def test_examples_are_built_and_run_as_they_say(tmp_path, saved, compiler, source):
    need(compiler)
    shutil.copytree((EXAMPLES / source).parent, tmp_path, dirs_exist_ok=True)
    shutil.copy(saved[1], tmp_path / "model.safetensors")
    (tmp_path / "table.csv").write_text("1,2,3\n")
    head = (EXAMPLES / source).read_text().split("include")[0]
    said = re.findall(r"^[ */!]* {4}(.* \$\(cylstm config .*|\./.*)$", head, re.MULTILINE)
    assert len(said) == 2
    folders = [sysconfig.get_path("scripts"), os.environ["PATH"]]
    for command in said:
        run("sh", "-c", command, cwd=tmp_path, env={**os.environ, "PATH": ":".join(folders)})


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """The package's files in another place, as of a wheel that is unpacked there."""
    return copy_package(tmp_path / "else where")


@pytest.mark.parametrize("target", ["cylstm", "static"])
def test_cmake_finds_the_package_where_it_lies(tmp_path, saved, elsewhere, target):
    need("cmake")
    project = tmp_path / "project"
    shutil.copytree(EXAMPLES / "c", project)
    lists = project / "CMakeLists.txt"
    lists.write_text(lists.read_text().replace("cylstm::cylstm", f"cylstm::{target}"))
    where = f"-Dcylstm_DIR={elsewhere}/lib/cmake/cylstm"
    run("cmake", "-S", project, "-B", project / "build", where)
    run("cmake", "--build", project / "build")
    check_scores(project / "build/score_csv", saved)
    asks = shared_library().name in needed(project / "build/score_csv")
    assert asks == (target == "cylstm")


@pytest.mark.parametrize("wanted", ["", "0.1", "0.1.0 EXACT"])
def test_cmake_takes_a_version_that_can_replace_the_wanted_one(tmp_path, elsewhere, wanted):
    assert is_found_by_cmake(tmp_path, elsewhere, wanted)


@pytest.mark.parametrize("wanted", ["0.1.1", "0.2", "0.0.9", "1"])
def test_cmake_takes_no_other_version(tmp_path, elsewhere, wanted):
    assert not is_found_by_cmake(tmp_path, elsewhere, wanted)


def is_found_by_cmake(folder: Path, prefix: Path, wanted: str) -> bool:
    need("cmake")
    (folder / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(asks C)\n"
        f"find_package(cylstm {wanted} QUIET)\nmessage(STATUS found=${{cylstm_FOUND}})\n"
    )
    command = ["cmake", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={prefix}"]
    return "found=1" in run(*command)


def test_pkg_config_finds_the_library_where_it_lies(tmp_path, saved, elsewhere):
    need("pkg-config")
    # without the blank, for the shell
    elsewhere = elsewhere.parent.rename(tmp_path / "elsewhere") / "cylstm"
    command = f"cc {EXAMPLES}/c/score_csv.c $(pkg-config --cflags --libs cylstm) -o score_csv"
    variables = {**os.environ, "PKG_CONFIG_PATH": f"{elsewhere}/lib/pkgconfig"}
    run("sh", "-c", command, cwd=tmp_path, env=variables)
    check_scores(tmp_path / "score_csv", saved)
    assert run("pkg-config", "--modversion", "cylstm", env=variables).strip() == cylstm.__version__


# --- without linking -----------------------------------------------------------------------------


def test_the_table_and_the_declarations_have_every_function():
    header = (INCLUDE / "cylstm_import.h").read_text()
    listed = re.findall(r"FUNCTION\([^,]+, (\w+),", header)
    assert sorted(f"cylstm_{name}" for name in listed) == sorted(FUNCTIONS)
    declarations = (LIB.parent / "__init__.pxd").read_text()
    declared = re.findall(r'(cylstm_\w+) "cylstm_api->(\w+)"', declarations)
    assert sorted(declared) == sorted((f"cylstm_{name}", name) for name in listed)


def test_the_capsule_holds_the_table():
    class Functions(ctypes.Structure):
        _fields_ = (
            ("struct_size", ctypes.c_size_t),
            ("version", ctypes.c_int32 * 3),
            ("functions", ctypes.c_void_p * len(FUNCTIONS)),
        )

    major, minor, patch = map(int, re.findall(r"\d+", cylstm.__version__))
    capsule = getattr(_core, f"_C_API_{major}_{minor}")
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    name = f"cylstm._core._C_API_{major}_{minor}".encode()
    table = ctypes.cast(get(capsule, name), ctypes.POINTER(Functions)).contents
    assert table.struct_size == ctypes.sizeof(Functions)
    assert tuple(table.version) == (major, minor, patch)
    assert all(table.functions)
    version = ctypes.CFUNCTYPE(ctypes.c_char_p)(table.functions[1])
    assert version() == cylstm.__version__.encode()


PROBE = """
#include "cylstm_import.h"

static struct PyModuleDef probe = {PyModuleDef_HEAD_INIT, .m_name = "probe"};

PyMODINIT_FUNC PyInit_probe(void)
{
    return cylstm_import() == 0 ? PyModule_Create(&probe) : NULL;
}
"""


@pytest.mark.parametrize(
    ("file", "old", "new", "imported"),
    [
        ("cylstm.h", "", "", True),
        ("cylstm.h", "CYLSTM_VERSION_MINOR 1", "CYLSTM_VERSION_MINOR 2", False),
        ("cylstm_import.h", "#undef CYLSTM_MEMBER", "int (*new_one)(void);", False),
    ],
    ids=["same", "another series", "older"],
)
def test_extensions_built_for_another_version_are_not_imported(tmp_path, file, old, new, imported):
    shutil.copytree(INCLUDE, tmp_path, dirs_exist_ok=True)
    header = (tmp_path / file).read_text()
    assert old in header
    (tmp_path / file).write_text(header.replace(old, new, 1) if old else header)
    (tmp_path / "probe.c").write_text(PROBE)
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", f"-I{sysconfig.get_path('include')}"]
    run("cc", *flags, "-shared", "-fPIC", "probe.c", "-o", "probe.so", cwd=tmp_path)
    script = "try: import probe\nexcept ImportError as error: print(error)"
    printed = run(sys.executable, "-c", script, cwd=tmp_path)
    assert printed == "" if imported else printed.startswith("this module was built for cylstm")


def test_the_cython_example_gives_pythons_bits(tmp_path, saved):
    for package in ("Cython", "setuptools"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    shutil.copytree(EXAMPLES / "cython", tmp_path, dirs_exist_ok=True)
    run(sys.executable, "setup.py", "build_ext", "--inplace", cwd=tmp_path)
    (module,) = tmp_path.glob("series_scores*.so")
    assert "libcylstm" not in run("objdump", "-p", module)
    model, path = saved
    x = np.random.default_rng(0).standard_normal((5, 7, 3), np.float32)
    np.save(tmp_path / "x.npy", x)
    script = (
        "import numpy as np, series_scores as s\n"
        f"np.save('y.npy', s.Scorer({str(path)!r}).scores(np.load('x.npy')))\n"
        "try: s.Scorer('none')\n"
        "except ValueError as error: print(error)\n"
    )
    assert run(sys.executable, "-c", script, cwd=tmp_path) == "none: cannot open none\n"
    expected = model.scores(x.transpose(1, 0, 2), reproducible=True).transpose(1, 0, 2)
    assert_pythons_bits(np.load(tmp_path / "y.npy"), expected)
