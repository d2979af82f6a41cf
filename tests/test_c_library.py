"""The C library by itself: the files that Python saves give the bits that Python computes.

A shared library, compiled by each compiler there is at the least and at the most optimisation, and
loaded with ctypes: what it exports is the public header and nothing else.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from configurations import (
    BATCH,
    ISA,
    LAYERS,
    LENGTHS,
    MODELS,
    STEPS,
    check_program,
    input_of,
    layer_of_silero,
    new_layer,
    new_model,
    output_of,
)
from test_c import ISA_FLAGS as ISA_FLAGS_OF
from test_c import NEON, build_program
from test_instruction_sets import AVX, FORBIDDEN, instructions

import cylstm

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for path in ROOT.glob("src/*.c") if not path.stem.startswith("kernels_"))
ISA_FLAGS = {"generic": [], **ISA_FLAGS_OF.get(platform.machine(), {})}
FLAGS = ["-std=c11", "-ffp-contract=off", "-fopenmp", "-fPIC", "-fvisibility=hidden", "-Isrc"]


class LoadOptions(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("allocator", ctypes.c_void_p * 3),
        ("kernels", ctypes.c_char_p),
        ("sgemm", ctypes.c_void_p * 2),
        ("borrow", ctypes.c_int32),
        ("log", ctypes.c_void_p * 2),
    )


class StateOptions(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("batch", ctypes.c_int64),
        ("max_steps", ctypes.c_int64),
        ("max_threads", ctypes.c_int32),
        ("allocator", ctypes.c_void_p * 3),
    )


class Call(ctypes.Structure):
    _fields_ = (
        ("struct_size", ctypes.c_size_t),
        ("steps", ctypes.c_int64),
        ("x", ctypes.c_void_p),
        ("tokens", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
        ("y", ctypes.c_void_p),
        ("threads", ctypes.c_int32),
        ("message", ctypes.c_void_p),
        ("message_size", ctypes.c_size_t),
    )


def compile_objects(compiler: str, options: list[str], folder: Path) -> list[str]:
    """The whole core."""
    objects = []
    for source in (*SOURCES, *(ROOT / f"src/kernels_{isa}.c" for isa in ISA_FLAGS)):
        extra = ISA_FLAGS.get(source.stem.removeprefix("kernels_"), [])
        objects.append(str(folder / f"{source.stem}.o"))
        command = [compiler, *options, *extra, "-c", str(source), "-o", objects[-1]]
        subprocess.run(command, check=True, cwd=ROOT)
    return objects


def compile_library(compiler: str, level: str, folder: Path) -> Path:
    """The whole core as one shared library."""
    objects = compile_objects(compiler, [*FLAGS, "-DCYLSTM_SHARED", level], folder)
    library = folder / "libcylstm.so"
    command = [compiler, "-shared", "-fopenmp", *objects, "-lm", "-o", str(library)]
    subprocess.run(command, check=True)
    return library


@pytest.fixture(scope="module")
def library_by(tmp_path_factory: Any) -> Callable[[str, str], Path]:
    """The core as a shared library, compiled once by a compiler at a level of optimisation."""
    return functools.cache(
        lambda compiler, level: compile_library(
            compiler, level, tmp_path_factory.mktemp(compiler + level)
        )
    )


@pytest.fixture(
    scope="module",
    params=list(itertools.product(("gcc", "clang"), ("-O0", "-O3"))),
    ids="".join,
)
def library_file(request: pytest.FixtureRequest, library_by: Callable[[str, str], Path]) -> Path:
    compiler, level = request.param
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    return library_by(compiler, level)


@pytest.fixture(scope="module")
def library(library_file: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(library_file))
    loaded.cylstm_output_width.restype = ctypes.c_int64
    loaded.cylstm_model_kernels.restype = ctypes.c_char_p
    loaded.cylstm_version.restype = ctypes.c_char_p
    return loaded


class Model:
    """A model file as the C library reads it, with the kernels that Python has, or the fastest."""

    def __init__(self, library: ctypes.CDLL, path: Path, kernels: str | None = ISA) -> None:
        self.library, self.pointer = library, ctypes.c_void_p()
        message = ctypes.create_string_buffer(200)
        options = LoadOptions(ctypes.sizeof(LoadOptions))
        if kernels is not None:
            options.kernels = kernels.encode()
        status = library.cylstm_load(
            str(path).encode(),
            ctypes.byref(options),
            ctypes.byref(self.pointer),
            message,
            ctypes.c_size_t(200),
        )
        assert status == 0, message.value

    def run(self, x: np.ndarray, lengths: np.ndarray | None, pooled: bool, threads: int) -> Any:
        """One block of (T, B, I) or, of tokens, (T, B), from the beginning."""
        options = StateOptions(ctypes.sizeof(StateOptions), BATCH, STEPS, threads)
        state = ctypes.c_void_p()
        status = self.library.cylstm_state_new(
            self.pointer, ctypes.byref(options), ctypes.byref(state)
        )
        assert status == 0
        width = self.library.cylstm_output_width(self.pointer)
        y = np.full((BATCH, width) if pooled else (STEPS, BATCH, width), np.nan, np.float32)
        call = Call(ctypes.sizeof(Call), STEPS, y=y.ctypes.data, threads=threads)
        setattr(call, "tokens" if x.dtype == np.int32 else "x", x.ctypes.data)
        if lengths is not None:
            call.lengths = lengths.ctypes.data
        assert self.library.cylstm_call_run(state, ctypes.byref(call)) == 0
        self.library.cylstm_state_free(state)
        return y

    def free(self) -> None:
        self.library.cylstm_model_free(self.pointer)


def check_against_python(library: ctypes.CDLL, network: Any, path: Path) -> None:
    """Save, load, and run the same sequences in both."""
    network.save(path)
    loaded = Model(library, path)
    pooled = getattr(network, "_config", {}).get("pooling") is not None
    x = input_of(network)
    for lengths in (None, LENGTHS):
        expected = output_of(network, x, lengths)
        for threads in (1, 2):
            y = loaded.run(x, lengths, pooled, threads)
            np.testing.assert_array_equal(y.view(np.int32), expected.view(np.int32))
    loaded.free()


@pytest.mark.parametrize("options", LAYERS, ids=str)
def test_a_layer_gives_pythons_bits(library, tmp_path, options):
    check_against_python(library, new_layer(*options), tmp_path / "layer")


@pytest.mark.parametrize("options", MODELS, ids=str)
def test_a_model_gives_pythons_bits(library, tmp_path, options):
    check_against_python(library, new_model(*options), tmp_path / "model")


def test_a_layer_from_another_s_file_gives_pythons_bits(library, tmp_path):
    layer = layer_of_silero()
    if layer is None:
        pytest.skip("silero-vad is not installed")
    check_against_python(library, layer, tmp_path / "layer")


def test_the_bits_on_aarch64_are_pythons(library_of, tmp_path):
    library = library_of(NEON)
    check_program(build_program(NEON, "run_models", library, tmp_path), tmp_path)


def test_the_library_is_of_this_version(library):
    assert library.cylstm_version().decode() == cylstm.__version__


def test_the_fastest_kernels_are_taken_where_nobody_says_which(library, tmp_path):
    cylstm.LSTM(2, 3).save(tmp_path / "layer")
    loaded = Model(library, tmp_path / "layer", kernels=None)
    script = "from cylstm import _core; print(_core.build_info()['isa'])"
    environment = {name: value for name, value in os.environ.items() if name != "CYLSTM_ISA"}
    fastest = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    assert library.cylstm_model_kernels(loaded.pointer).decode() == fastest.strip()
    loaded.free()


def test_nothing_is_exported_but_the_header(library_file):
    table = subprocess.run(
        ["nm", "-D", "--defined-only", str(library_file)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    exported = {line.split()[-1] for line in table.splitlines()}
    header = (ROOT / "src/cylstm.h").read_text()
    assert exported == set(re.findall(r"^CYLSTM_API [^;(]*?(\w+)\(", header, re.MULTILINE))


def test_the_header_fits_on_a_screen():
    lines = (ROOT / "src/cylstm.h").read_text().splitlines()
    assert [line for line in lines if len(line) > 120] == []


@pytest.mark.parametrize("standard", ["c99", "c11", "c++11"])
def test_the_header_compiles_alone(tmp_path, standard):
    source = tmp_path / ("alone.cpp" if "+" in standard else "alone.c")
    source.write_text('#include "cylstm.h"\n')
    compiler = "g++" if "+" in standard else "gcc"
    warnings = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    command = [compiler, f"-std={standard}", *warnings, f"-I{ROOT}/src", "-c", str(source)]
    subprocess.run([*command, "-o", str(tmp_path / "alone.o")], check=True)


# --- examples ------------------------------------------------------------------------------------


def build_example(library_file: Path, compiler: str, sources: list[str], folder: Path) -> str:
    """A program linked with the shared library, as the head of its source says."""
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    program, where = str(folder / "program"), str(library_file.parent)
    paths = [str(ROOT / "examples" / source) for source in sources]
    modules = ["-J", str(folder)] if compiler == "gfortran" else ["-Wall", "-Wextra", "-Werror"]
    options = [f"-I{ROOT}/src", f"-L{where}", f"-Wl,-rpath,{where}", "-lcylstm", *modules]
    subprocess.run([compiler, *paths, *options, "-o", program], check=True)
    return program


def assert_pythons_numbers(numbers: np.ndarray, expected: np.ndarray) -> None:
    """To the bit, unless Python has been told to do without what programs compute with."""
    if ISA == "generic":
        np.testing.assert_allclose(numbers, expected, rtol=1e-5)
    else:
        np.testing.assert_array_equal(numbers.view(np.int32), expected.view(np.int32))


def run_example(program: str, *arguments: str, text: str = "") -> str:
    done = subprocess.run(
        [program, *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def saved(tmp_path: Path) -> tuple[cylstm.SequenceModel, Path]:
    """A regression of three numbers, with both scales."""
    model = cylstm.SequenceModel(
        task="regression", input_size=3, hidden_size=10, output_size=2, seed=0
    )
    model.set_input_scale([1.0, 2.0, 3.0], [1.0, 2.0, 0.5])
    model.set_output_scale([10.0, 20.0], [2.0, 3.0])
    model.save(tmp_path / "model.safetensors")
    return model, tmp_path / "model.safetensors"


def series() -> np.ndarray:
    """What the C++ and the Fortran example make."""
    return (np.float32(0.1) * (np.arange(30) % 7).astype(np.float32)).reshape(10, 3)


def test_the_c_example_scores_a_table(library_file, tmp_path, saved):
    model, path = saved
    program = build_example(library_file, "gcc", ["c/score_csv.c"], tmp_path)
    x = np.random.default_rng(0).standard_normal((20, 3), np.float32)
    lines = [",".join(f"{number:.9g}" for number in row) for row in x]
    printed = run_example(program, str(path), text="\n".join(["a,b,c", *lines]))
    values = np.array([line.split(",") for line in printed.splitlines()], np.float32)
    assert_pythons_numbers(values, model.predict(x, reproducible=True))

    model.set_input_scale([1.7e9, 4_492_557.1, 0.0], [32.0, 0.25, 1.0])
    model.set_output_scale([4_492_557.1, 1e8], [0.25, 1.0])
    model.save(path)
    large = x * [32.0, 0.25, 1.0] + [1.7e9, 4_492_557.1, 0.0]
    lines = [",".join(map(repr, row)) for row in large.tolist()]
    printed = run_example(program, str(path), text="\n".join(lines))
    values = np.array([line.split(",") for line in printed.splitlines()], float)
    expected = model.predict(large, reproducible=True)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-3)
    wrong = subprocess.run(
        [program, str(path)], input="1,2,3\n1,2\n", capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 1 and "line 2: expected 3 numbers" in wrong.stderr
    missing = subprocess.run([program, "none"], capture_output=True, text=True, check=False)
    assert missing.returncode == 1 and "cannot open none" in missing.stderr


def test_the_audio_example_gives_pythons_bits_in_blocks(library_file, tmp_path):
    program = build_example(library_file, "gcc", ["c/audio_callback.c"], tmp_path)
    model = cylstm.SequenceModel(
        task="regression", input_size=1, hidden_size=24, output_size=1, seed=0
    )
    model.set_input_scale([0.1], [0.5])
    model.set_output_scale([0.01], [0.7])
    model.save(tmp_path / "amp.safetensors")
    fading = np.geomspace(1, 1e-44, 1000)  # to the least that float32 can hold; no whole blocks
    x = (fading * np.sin(np.arange(1000))).astype(np.float32)
    command = [program, str(tmp_path / "amp.safetensors")]
    done = subprocess.run(command, input=x.tobytes(), capture_output=True, check=True)
    expected = model.predict(x[:, np.newaxis], reproducible=True)[:, 0]
    assert_pythons_numbers(np.frombuffer(done.stdout, np.float32), expected)
    report = (
        rb"0\.0 s of sound; real-time factor \d\.\d{4}; worst callback \d+\.\d us of 1333\.3 us\n"
    )
    assert re.fullmatch(report, done.stderr)


@pytest.mark.parametrize(
    "options",
    [{"pooling": "mean"}, {"bidirectional": True}, {"input_size": 2}, {"output_size": 2}],
    ids=str,
)
def test_the_audio_example_refuses_what_gives_no_sample_for_a_sample(
    library_file, tmp_path, options
):
    program = build_example(library_file, "gcc", ["c/audio_callback.c"], tmp_path)
    sizes = {"task": "regression", "input_size": 1, "hidden_size": 4, "output_size": 1}
    cylstm.SequenceModel(**(sizes | options)).save(tmp_path / "model")
    done = subprocess.run([program, str(tmp_path / "model")], capture_output=True, check=False)
    assert done.returncode == 1 and b"expected one number in and one out" in done.stderr


@pytest.mark.parametrize(
    ("compiler", "sources"),
    [("g++", ["cpp/raii.cpp"]), ("gfortran", ["fortran/cylstm.f90", "fortran/step.f90"])],
)
def test_an_example_gives_pythons_numbers(library_file, tmp_path, saved, compiler, sources):
    model, path = saved
    program = build_example(library_file, compiler, sources, tmp_path)
    printed = run_example(program, str(path)).split()[:10]
    expected = model.scores(series(), reproducible=True)[:, 0]
    tolerance = 1e-5 if ISA == "generic" else 1e-6
    np.testing.assert_allclose(np.array(printed, np.float32), expected, rtol=tolerance)


# --- steps that call nothing ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def sealed_steps(tmp_path_factory: Any, library_by: Callable[[str, str], Path]) -> str:
    """A program whose steps may not call the system, nor malloc."""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("glibc is not installed")
    folder = tmp_path_factory.mktemp("sealed")
    where, program = str(library_by("gcc", "-O3").parent), str(folder / "sealed_steps")
    link = [f"-L{where}", f"-Wl,-rpath,{where}", "-lcylstm", "-lm", "-lpthread"]
    source = "tests/c/sealed_steps.c"
    command = ["gcc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-Isrc", source, *link]
    subprocess.run([*command, "-o", program], check=True, cwd=ROOT)
    return program


SEALED = {
    "one number": lambda: cylstm.LSTM(1, 16, seed=0),
    "two layers": lambda: cylstm.LSTM(8, 40, num_layers=2, seed=0),
    "no bias": lambda: cylstm.LSTM(64, 64, bias=False, seed=0),
    "wide": lambda: cylstm.LSTM(128, 256, seed=0),
    "both directions": lambda: cylstm.LSTM(5, 19, num_layers=2, bidirectional=True, seed=0),
    "tokens, mean": lambda: sealed_model(pooling="mean", vocab_size=9, embedding_size=6),
    "last": lambda: sealed_model(pooling="last", input_size=3),
    "max, RNN": lambda: sealed_model(pooling="max", input_size=3, cell="rnn"),
    "float64 scales": lambda: sealed_model(offset=1e9, input_size=3),
}


def sealed_model(offset: float = 1.0, **options: Any) -> cylstm.SequenceModel:
    """A regression with all scales there can be."""
    sizes = {"hidden_size": 21, "num_layers": 2, "output_size": 2}
    model = cylstm.SequenceModel(task="regression", seed=0, **sizes, **options)
    model.set_output_scale([offset, 2.0], [0.5, 1.5])
    if "input_size" in options:
        model.set_input_scale([offset, 2.0, 3.0], [1.0, 2.0, 0.5])
    return model


@pytest.mark.parametrize("name", SEALED)
def test_steps_and_blocks_call_nothing(sealed_steps, tmp_path, name):
    model = SEALED[name]()
    model.save(tmp_path / "model")
    timed = "0" if name == "both directions" else "5000"  # it has no steps
    print(run_example(sealed_steps, str(tmp_path / "model"), timed))


@pytest.mark.slow
def test_the_worst_of_ten_million_steps(sealed_steps, tmp_path):
    cylstm.LSTM(1, 16, seed=0).save(tmp_path / "layer")
    print(run_example(sealed_steps, str(tmp_path / "layer"), "10000000"))


# --- little stack --------------------------------------------------------------------------------

STACK = {"load": 8192, "state": 4096, "step": 8192, "run": 8192}  # bytes; src/README.md says so


@pytest.mark.parametrize("openmp", [True, False], ids=["OpenMP", "alone"])
@pytest.mark.parametrize("level", ["-O2", "-O3"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_one_thread_needs_little_stack(tmp_path, compiler, level, openmp):
    """What a team takes of it, 32 KB, must not have been inlined into what one thread does."""
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    threads = ["-fopenmp"] if openmp else []
    flags = [flag for flag in FLAGS if flag != "-fopenmp"] + threads
    objects = compile_objects(compiler, [*flags, "-fno-math-errno", level], tmp_path)
    program, options = str(tmp_path / "small_stack"), ["-Wall", "-Wextra", "-Werror", "-Wl,-z,now"]
    source = str(ROOT / "tests/c/small_stack.c")
    libraries = [*threads, "-lm", "-lpthread"]
    command = [compiler, "-std=c11", *options, f"-I{ROOT}/src", source, *objects, *libraries]
    subprocess.run([*command, "-o", program], check=True)
    sealed_model(pooling="mean", input_size=3).save(tmp_path / "model")
    limits = [str(most) for most in STACK.values()]
    done = subprocess.run(
        [program, str(tmp_path / "model"), *limits], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    print(done.stdout)


# --- in other builds -----------------------------------------------------------------------------


def test_a_project_that_adds_this_one_gets_the_header_and_no_tests(tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("CMake is not installed")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(adds C)\ninclude(CTest)\n"
        f'add_subdirectory("{ROOT}" cylstm)\n'
        "file(GENERATE OUTPUT includes CONTENT\n"
        "  $<TARGET_PROPERTY:cylstm::cylstm,INTERFACE_INCLUDE_DIRECTORIES>)\n"
    )
    build = tmp_path / "build"
    subprocess.run(["cmake", "-S", tmp_path, "-B", build], check=True)
    (includes,) = re.findall("[^;]+", (build / "includes").read_text())
    assert os.listdir(includes) == ["cylstm.h"]
    listed = subprocess.run(["ctest", "-N", "--test-dir", build], check=True, capture_output=True)
    assert b"Total Tests: 0" in listed.stdout
    subprocess.run(["cmake", "--build", build, "--parallel", "2"], check=True)
    installed = tmp_path / "installed"
    subprocess.run(["cmake", "--install", build, "--prefix", installed], check=True)
    assert not installed.exists()


@pytest.mark.parametrize("shared", ["ON", "OFF"])
def test_what_cmake_installs(tmp_path, shared):
    if not shutil.which("cmake"):
        pytest.skip("CMake is not installed")
    build, installed = tmp_path / "build", tmp_path / "installed"
    options = [f"-DBUILD_SHARED_LIBS={shared}", "-DBUILD_TESTING=OFF", "-DCYLSTM_GENERIC_ONLY=ON"]
    subprocess.run(["cmake", "-S", ROOT, "-B", build, *options], check=True)
    subprocess.run(["cmake", "--build", build, "--parallel", "2"], check=True)
    subprocess.run(["cmake", "--install", build, "--prefix", installed], check=True)
    text = installed / "share/licenses/cylstm/LICENSE"
    assert text.read_text() == (ROOT / "LICENSE").read_text()
    (description,) = installed.rglob("cylstm.pc")
    flags = "Libs.private: -lm -lpthread"
    assert flags in description.read_text()
    if shared == "ON":
        (library,) = (path for path in installed.rglob("libcylstm.so.*.*.*"))
        dynamic = subprocess.run(["readelf", "-d", library], check=True, capture_output=True)
        assert b"NODELETE" in dynamic.stdout


MESON = """
project('adds', 'c', default_options: ['c_std=c11', 'buildtype=release'])
library = import('cmake').subproject('cylstm').dependency('cylstm')
executable('score_csv', 'score_csv.c', dependencies: library)
"""


def test_meson_keeps_the_flags_of_kernels_to_them(tmp_path, saved):
    """It merges the flags of a target's files, so that AVX-512 would be in all of them."""
    for tool in ("meson", "ninja", "cmake", "objdump"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    (tmp_path / "subprojects/cylstm").mkdir(parents=True)
    for name in ("CMakeLists.txt", "LICENSE", "src"):
        (tmp_path / "subprojects/cylstm" / name).symlink_to(ROOT / name)
    (tmp_path / "meson.build").write_text(MESON)
    shutil.copy(ROOT / "examples/c/score_csv.c", tmp_path)
    subprocess.run(["meson", "setup", "build"], check=True, cwd=tmp_path)
    subprocess.run(["meson", "compile", "-C", "build"], check=True, cwd=tmp_path)
    program = str(tmp_path / "build/score_csv")
    assert run_example(program, str(saved[1]), text="1,2,3\n").count(",") == 1
    strays = {
        function
        for file, function, instruction in instructions(program)
        if FORBIDDEN.get(file, AVX).search(instruction)
    }
    assert not strays


def test_a_file_whose_header_is_wrong_is_refused_before_memory_is_taken_for_it(library, tmp_path):
    path, model, message = tmp_path / "sparse", ctypes.c_void_p(), ctypes.create_string_buffer(200)
    with path.open("wb") as file:
        file.truncate(2**42)  # more than there is memory
    size = ctypes.c_size_t(200)
    status = library.cylstm_load(str(path).encode(), None, ctypes.byref(model), message, size)
    assert status == 5, message.value  # CYLSTM_BAD_FILE
