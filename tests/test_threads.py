"""The life of threads: teams of one, nested regions, fork, many callers, busy machines, edits.

What the barrier and the budget of cores promise inside the core is tested in tests/c.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import multiprocessing
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from test_same_bits import as_tuple, digest, in_forked_child
from test_threads_default import run_python

import cylstm

HERE = str(Path(__file__).parent)
TASKS = Path("/proc/self/task")  # one entry for each thread of this process
HANG_SECONDS = 60

with_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
ignoring_fork_warnings = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def make_layer() -> cylstm.LSTM:
    """Large enough that a call of `make_input` is worth four threads."""
    return cylstm.LSTM(48, 64, bidirectional=True, seed=1)


def make_input(steps: int = 100, batch: int = 5, width: int = 48) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(steps, batch, width)).astype(np.float32)


def infer(layer, x, **options) -> str:
    """Name the bits of a call."""
    y, state = layer(x, **options)
    return digest([y, *as_tuple(state)])


def learn(layer, x) -> str:
    """Name the bits of a recorded call and its gradients."""
    grads = {name: np.zeros_like(value) for name, value in layer.grads.items()}
    y, state, tape = layer.record(x)
    dx, dstate = layer.backward(tape, np.ones_like(y), grads=grads)
    return digest([y, *as_tuple(state), dx, *as_tuple(dstate), *grads.values()])


@contextmanager
def running(*functions: Callable[[], object]) -> Iterator[None]:
    """Threads that call these again and again meanwhile; what one of them raises is raised."""
    stop, errors = threading.Event(), []

    def repeat(function):
        try:
            while not stop.is_set():
                function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=repeat, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]


def at_once(functions: list[Callable[[], object]]) -> list[object]:
    """What these return, each called by a thread of its own, all at the same time."""
    start, results = threading.Barrier(len(functions)), [None] * len(functions)

    def call(index):
        start.wait()
        results[index] = functions[index]()

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def run_beside_tests(code: str, **environment: str) -> str:
    """What a new interpreter prints that can import this file; BLAS adds no threads to it."""
    return run_python(code, OPENBLAS_NUM_THREADS="1", PYTHONPATH=HERE, **environment)


# --- as many threads as OpenMP gives -------------------------------------------------------------

# Calls that ask for four threads: their bits, and how many threads the process has more than before
FOUR_THREADS = """
import os, time
from test_threads import TASKS, infer, make_input, make_layer
layer, x = make_layer(), make_input()
def count():
    return len(os.listdir(TASKS)) if TASKS.exists() else 0
before, most = count(), 0
for _ in range(20):  # beside tests the first calls may find no core free, and do without a team
    bits = infer(layer, x, reproducible=True, num_threads=4)
    most = max(most, count() - before)
    if most == 3:
        break
    time.sleep(0.1)
print(bits, most)
"""


def run_four_threads(**environment: str) -> tuple[str, int]:
    bits, added = run_beside_tests(FOUR_THREADS, **environment).split()
    return bits, int(added)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, 3),
        ({"OMP_THREAD_LIMIT": "1"}, 0),
        ({"OMP_THREAD_LIMIT": "2"}, 1),
        ({"OMP_MAX_ACTIVE_LEVELS": "0"}, 0),
        ({"OMP_WAIT_POLICY": "passive"}, 3),
        ({"OMP_PROC_BIND": "true"}, 3),
    ],
    ids=str,
)
def test_a_team_may_be_smaller_than_asked_for(environment, expected):
    bits, added = run_four_threads(**environment)
    assert bits == infer(make_layer(), make_input(), reproducible=True, num_threads=1)
    assert added == expected or not TASKS.exists()


def test_openmp_may_choose_the_size_of_a_team():
    bits, added = run_four_threads(OMP_DYNAMIC="true")
    assert bits == infer(make_layer(), make_input(), reproducible=True, num_threads=1)
    assert added <= 3


def test_llvm_s_openmp_may_stand_in_for_gcc_s():
    libomp = ctypes.util.find_library("omp")
    if libomp is None or not sys.platform.startswith("linux"):
        pytest.skip("LLVM's OpenMP is not here, or cannot be put in another's place")
    bits, _ = run_four_threads(LD_PRELOAD=libomp)
    assert bits == infer(make_layer(), make_input(), reproducible=True, num_threads=1)


@pytest.mark.skipif(not TASKS.exists(), reason="threads cannot be counted on this system")
def test_a_thread_that_ends_takes_its_team_along():
    layer, x = make_layer(), make_input()
    at_once([lambda: infer(layer, x, num_threads=2)])
    before = len(os.listdir(TASKS))
    for _ in range(20):
        at_once([lambda: infer(layer, x, num_threads=2)])
    assert len(os.listdir(TASKS)) <= before + 2


# --- inside and beside other parallel regions ----------------------------------------------------

REGION = """
#include <omp.h>
void in_region(int threads, void (*function)(void))
{
#pragma omp parallel num_threads(threads)
    function();
}
"""

# In each of two threads of a region that is not ours, a call that asks for four threads: how many
# calls, with how many results, which are right or not, and how many threads were added meanwhile.
IN_REGION = """
import ctypes, os, sys, threading, time
from test_threads import TASKS, infer, learn, make_input, make_layer, running
layer, x, found, counts = make_layer(), make_input(), [], []
function = ctypes.CFUNCTYPE(None)(
    lambda: found.append(infer(layer, x, num_threads=4) + learn(layer, x)))
region = ctypes.CDLL(sys.argv[1]).in_region
def count():
    counts.append(len(os.listdir(TASKS)) if TASKS.exists() else 0)
    time.sleep(0.0002)
count()
with running(count):
    for _ in range(20):
        region(2, function)
added = max(counts) - counts[0] - 1
print(len(found), len(set(found)), found[0] == infer(layer, x) + learn(layer, x), added)
"""


def compile_library(compiler: str, flags: list[str], code: str, folder: Path) -> str:
    """A shared library of some C code; skips where the compiler cannot make it."""
    source, library = folder / "helper.c", str(folder / "helper.so")
    source.write_text(code)
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not here")
    command = [compiler, "-O1", "-shared", "-fPIC", *flags, str(source), "-o", library]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"{compiler} cannot compile this: {done.stderr}")
    return library


def run_in_region(compiler: str, folder: Path) -> list[str]:
    library = compile_library(compiler, ["-fopenmp"], REGION, folder)
    code = f"import sys; sys.argv.append({library!r})\n{IN_REGION}"
    nested = {"OMP_MAX_ACTIVE_LEVELS": "4"}  # OpenMP itself would let a nested call have a team
    return run_beside_tests(code, CYLSTM_NUM_THREADS="2", **nested).split()


def test_calls_inside_a_parallel_region_run_on_its_threads(tmp_path):
    calls, results, right, added = run_in_region("gcc", tmp_path)
    assert (calls, results, right) == ("40", "1", "True")
    assert int(added) <= 1  # the region's own second thread


def test_calls_beside_another_openmp_runtime(tmp_path):
    calls, results, right, _ = run_in_region("clang", tmp_path)
    assert (calls, results, right) == ("40", "1", "True")


# --- fork ----------------------------------------------------------------------------------------


@with_fork
@ignoring_fork_warnings
def test_a_child_and_its_child_compute_the_same():
    layer, x = make_layer(), make_input()
    expected = infer(layer, x, num_threads=2) + learn(layer, x)

    def compute() -> str:
        return infer(layer, x, num_threads=2) + learn(layer, x)

    def compute_and_fork() -> str:
        return compute() + in_forked_child(compute)

    assert in_forked_child(compute_and_fork) == 2 * expected
    assert compute() == expected


def _compute_in_pool(seed: int) -> str:
    return infer(cylstm.LSTM(48, 64, seed=seed), make_input(), num_threads=2)


@with_fork
@ignoring_fork_warnings
def test_a_pool_of_forked_processes_computes_the_same():
    expected = [_compute_in_pool(seed) for seed in range(4)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map_async(_compute_in_pool, range(4)).get(timeout=HANG_SECONDS)
    assert found == expected


@with_fork
@ignoring_fork_warnings
def test_fork_while_other_threads_call_and_edit():
    layer, x = make_layer(), make_input()
    infer(layer, x)
    weights = layer.state_dict()
    expected = infer(layer, x, num_threads=2) + learn(layer, x)

    def edit() -> None:
        layer.load_state_dict(weights)

    def edit_and_compute() -> str:
        edit()
        return infer(layer, x, num_threads=2) + learn(layer, x)

    with running(edit, lambda: infer(layer, x), lambda: infer(layer, x[:3])):
        found = [in_forked_child(edit_and_compute) for _ in range(10)]
    assert set(found) == {expected}
    assert edit_and_compute() == expected


# --- many callers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [make_layer, lambda: cylstm.LSTM(48, 8, 30, seed=1)], ids=["wide", "deep"]
)
def test_eight_threads_call_a_new_layer_at_once(make):
    layer, x = make(), make_input(5)
    expected = infer(layer, x), learn(layer, x)
    for _ in range(20):
        layer = make()  # its weights are packed by whoever comes first
        found = at_once(4 * [lambda new=layer: infer(new, x), lambda new=layer: learn(new, x)])
        assert found == 4 * list(expected)


def test_eight_threads_share_a_model_and_train_one_each():
    shared, x = make_layer(), make_input()
    waves = np.random.default_rng(1).normal(size=(40, 20, 3)).astype(np.float32)

    def train_and_infer(seed: int) -> str:
        own = cylstm.SequenceModel(
            task="regression",
            input_size=3,
            hidden_size=16,
            output_size=1,
            pooling="mean",
            seed=seed,
        )
        own.fit(waves, waves[:, :, :1].mean(0), epochs=3, batch_size=8, seed=seed, progress=False)
        return digest(list(own.parameters.values())) + infer(shared, x) + learn(shared, x)

    expected = [train_and_infer(seed) for seed in range(8)]
    assert at_once([lambda s=seed: train_and_infer(s) for seed in range(8)]) == expected


def test_the_number_of_threads_may_change_while_others_compute(restore_num_threads):
    layer, x = make_layer(), make_input()
    expected, found = infer(layer, x), set()
    with running(*3 * [lambda: found.add(infer(layer, x))]):
        for i in range(200):
            cylstm.set_num_threads(i % 4 + 1)
            time.sleep(0.001)
    assert found == {expected}


# A stream made when two threads were allowed, or one, and stepped when one is, or two: threads that
# are added by the step.
STREAM_BUDGET = """
import os
import numpy as np
import cylstm
from test_threads import TASKS
layer, x = cylstm.LSTM(512, 512, 2, seed=1), np.ones((32, 512), np.float32)
cylstm.set_num_threads(1)
layer(x[np.newaxis])
cylstm.set_num_threads({made})
stream = layer.stream(32)
cylstm.set_num_threads({stepped})
before = len(os.listdir(TASKS))
stream.step(x)
print(len(os.listdir(TASKS)) - before)
"""


@pytest.mark.skipif(not TASKS.exists(), reason="threads cannot be counted on this system")
@pytest.mark.parametrize(("made", "stepped"), [(2, 1), (1, 2), (2, 2)])
def test_a_stream_steps_on_as_many_threads_as_are_allowed_now(made, stepped):
    code = STREAM_BUDGET.format(made=made, stepped=stepped)
    assert run_beside_tests(code) == f"{stepped - 1}\n"


# While one caller has both cores, another caller gets none beside its own: threads that are added.
SHARED_BUDGET = """
import os, threading, time
from test_threads import TASKS, infer, make_input, make_layer
layer, x, long_x = make_layer(), make_input(), make_input(40_000)
infer(layer, x, num_threads=1)  # packing has threads for itself, before those of the call
count = lambda: len(os.listdir(TASKS))
alone = count()
long_call = threading.Thread(target=infer, args=(layer, long_x), kwargs={"num_threads": 2})
long_call.start()
while count() < alone + 2:
    time.sleep(0.001)
infer(layer, x, num_threads=2, reproducible=True)
beside, overlapped = count() - alone, long_call.is_alive()
long_call.join()
time.sleep(0.1)
alone = count()
infer(layer, x, num_threads=2, reproducible=True)
print(overlapped, beside, count() - alone)
"""


@pytest.mark.skipif(not TASKS.exists(), reason="threads cannot be counted on this system")
def test_concurrent_callers_share_the_cores():
    printed = run_beside_tests(SHARED_BUDGET, CYLSTM_NUM_THREADS="2").split()
    assert printed == ["True", "2", "1"]


# --- a busy machine ------------------------------------------------------------------------------


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Processes that compute meanwhile, and for a minute at most."""
    code = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def seconds_of_calls(layer, x, expected: str, num_threads: int) -> float:
    start = time.perf_counter()
    for _ in range(100):
        assert infer(layer, x, num_threads=num_threads) == expected
    return time.perf_counter() - start


def test_two_threads_get_on_where_four_other_processes_compute():
    # No benchmark: the bound is where a barrier that spins or yields instead of sleeping ends up.
    layer, x = cylstm.LSTM(64, 64, seed=1), make_input(200, 1, 64)
    expected = infer(layer, x)
    with busy_processes(4):
        time.sleep(0.3)
        one = seconds_of_calls(layer, x, expected, 1)
        two = seconds_of_calls(layer, x, expected, 2)
    assert two < 20 * one + 2.0


# --- the floating-point mode ---------------------------------------------------------------------

MODE = """
#include <immintrin.h>
unsigned get_mode(void) { return _mm_getcsr() & 0xFFC0; }
void set_mode(unsigned mode) { _mm_setcsr(mode); }
float product(float a, float b) { return a * b; }
"""
IEEE, FLUSH_TO_ZERO, ROUND_UP = 0x1F80, 0x8040, 0x4000


@pytest.fixture
def processor(tmp_path) -> ctypes.CDLL:
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        pytest.skip("this test knows x86-64's floating-point mode alone")
    library = ctypes.CDLL(compile_library("cc", [], MODE, tmp_path))
    library.product.argtypes, library.product.restype = 2 * [ctypes.c_float], ctypes.c_float
    return library


def call_in_mode(processor: ctypes.CDLL, mode: int, function: Callable[[], str]) -> str:
    """What a function returns that is called in, and must leave, this floating-point mode."""
    processor.set_mode(IEEE | mode)
    try:
        result, after = function(), processor.get_mode()
    finally:
        processor.set_mode(IEEE)
    assert after == IEEE | mode
    return result


@pytest.mark.parametrize("num_threads", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("mode", [FLUSH_TO_ZERO, ROUND_UP], ids=["flush to zero", "round up"])
def test_the_caller_s_floating_point_mode(processor, restore_num_threads, mode, bias, num_threads):
    x = make_input(20, 5, 48) * np.float32(1e-39)  # in flush-to-zero mode: all zero
    expected, layer = (cylstm.LSTM(48, 64, bias=bias, seed=1) for _ in range(2))
    cylstm.set_num_threads(num_threads)

    def learn_into_its_own(layer) -> str:
        y, state, tape = layer.record(x)
        dx, dstate = layer.backward(tape, y)
        return digest([y, *state, dx, *dstate, *layer.grads.values()])

    bits = call_in_mode(processor, mode, lambda: learn_into_its_own(layer))
    assert bits == learn_into_its_own(expected)


def test_the_modes_of_the_test_above_matter(processor):
    processor.set_mode(IEEE | FLUSH_TO_ZERO)
    flushed = processor.product(1e-30, 1e-10)
    processor.set_mode(IEEE | ROUND_UP)
    rounded = processor.product(1 + 2**-23, 1 + 2**-23)
    processor.set_mode(IEEE)
    assert flushed == 0.0 < processor.product(1e-30, 1e-10)
    assert rounded > processor.product(1 + 2**-23, 1 + 2**-23)
    y, _ = cylstm.LSTM(48, 64, bias=False, seed=1)(make_input(1) * np.float32(1e-39))
    assert 0.0 < np.abs(y).max() < 1e-38


# --- edits while others call ---------------------------------------------------------------------


def two_versions(layer) -> list[dict[str, np.ndarray]]:
    weights = layer.state_dict()
    return [weights, {name: array * np.float32(0.5) for name, array in weights.items()}]


def bits_of_versions(layer, versions, x) -> set[str]:
    bits = set()
    for weights in versions:
        layer.load_state_dict(weights)
        bits.add(infer(layer, x))
    assert len(bits) == len(versions)
    return bits


def test_a_call_sees_the_weights_before_an_edit_or_after_it():
    layer, x, found = make_layer(), make_input(400), set()
    versions = two_versions(layer)
    expected = bits_of_versions(layer, versions, x)
    with running(*3 * [lambda: found.add(infer(layer, x))]):
        for i in range(60):
            layer.load_state_dict(versions[i % 2])
            time.sleep(0.002)
    assert found <= expected


def test_nobody_sees_weights_that_are_half_written():
    layer = cylstm.LSTM(256, 256, seed=1)
    versions = [
        {name: np.full_like(array, value) for name, array in layer.parameters.items()}
        for value in (2.0**-10, 2.0**-9)
    ]
    x, values, bits = np.ones((1, 1, 256), np.float32), set(), set()
    expected = bits_of_versions(layer, versions, x)

    def look() -> None:
        parts = [np.unique(array) for array in layer.state_dict().values()]
        values.add(tuple(np.unique(np.concatenate(parts))))

    with running(look, lambda: bits.add(infer(layer, x))):
        for i in range(2000):
            layer.load_state_dict(versions[i % 2])
    assert values <= {(2.0**-10,), (2.0**-9,)}
    assert bits <= expected


def test_an_edit_gets_its_turn_among_calls_that_never_cease():
    layer, x = make_layer(), make_input(20_000, 1)
    edit = threading.Thread(target=layer.load_state_dict, args=(layer.state_dict(),))
    with running(*4 * [lambda: layer(x, num_threads=1)]):
        time.sleep(0.1)
        edit.start()
        edit.join(10)
        waits = edit.is_alive()
    edit.join()
    assert not waits


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="the system has no signals")
@pytest.mark.usefixtures("control_c")
def test_an_edit_gets_its_turn_after_control_c():
    layer, x = make_layer(), make_input(60_000, 1)
    main, weights = threading.main_thread().ident, layer.state_dict()
    for _ in range(3):
        edit = threading.Thread(target=layer.load_state_dict, args=(weights,), daemon=True)
        timers = [
            threading.Timer(0.01, edit.start),
            threading.Timer(0.06, signal.pthread_kill, (main, signal.SIGINT)),
        ]
        with pytest.raises(KeyboardInterrupt):
            call_until_control_c(layer, x, timers)
        edit.join(10)
        assert not edit.is_alive()


def call_until_control_c(layer, x, timers: list[threading.Timer]) -> None:
    for timer in timers:
        timer.start()
    try:
        while True:
            layer(x, reproducible=True)
    finally:
        for timer in timers:
            timer.join()


@pytest.mark.parametrize("call", ["infer", "record", "backward", "stream"])
def test_a_call_inside_an_edit_of_the_same_thread_uses_the_weights_of_before(call):
    layer, x = cylstm.LSTM(48, 64, seed=1), make_input(2)
    y, _, tape = layer.record(x)
    calls = {
        "infer": lambda: layer(x)[0],
        "record": lambda: layer.record(x)[0],
        "backward": lambda: layer.backward(tape, y)[0],
        "stream": lambda: layer.stream(batch_size=5).step(x[0]),
    }
    expected = digest([calls[call]()])
    with layer.editing() as parameters:
        parameters["weight_hh_l0"][...] = 0.0
        parameters["bias_ih_l0"][...] = 1.0
        assert digest([calls[call]()]) == expected
    assert call == "backward" or digest([calls[call]()]) != expected


# --- streams -------------------------------------------------------------------------------------


def step_from_two_threads(stream, x, shape) -> tuple[np.ndarray, np.ndarray, Exception | None]:
    """What both get, and the error of the second, if it came while the first was inside."""
    ours, theirs, error = np.zeros(shape, np.float32), np.zeros(shape, np.float32), None
    first = threading.Thread(target=stream.step, args=(x, ours))
    first.start()
    time.sleep(0.002)
    try:
        stream.step(x, theirs)
    except RuntimeError as raised:
        error = raised
    first.join()
    return ours, theirs, error


def test_a_stream_refuses_a_second_thread_and_is_not_disturbed():
    model = cylstm.SequenceModel(
        task="regression", input_size=512, hidden_size=512, output_size=3, seed=1
    )
    stream, x = model.stream(batch_size=256), make_input(1, 256, 512)[0]
    expected, error = stream.step(x), None
    for _ in range(50):
        stream.reset()
        ours, theirs, error = step_from_two_threads(stream, x, expected.shape)
        if error is not None:
            break
    assert "another thread" in str(error)
    np.testing.assert_array_equal(ours, expected)
    assert not theirs.any()


def test_a_stream_whose_state_is_asked_for_meanwhile_says_so():
    model = cylstm.LSTM(512, 512, seed=1)
    stream, x = model.stream(batch_size=256), make_input(1, 256, 512)[0]
    errors = set()

    def use(function: Callable[[], object]) -> None:
        try:
            function()
        except RuntimeError as error:
            errors.add(str(error))

    with running(lambda: use(lambda: stream.step(x))):
        for _ in range(100):
            use(lambda: stream.state)
            use(stream.reset)
    assert len(errors) == 1 and "another thread is using it" in errors.pop()
    assert stream.step(x).shape == (256, 512)


def test_streams_of_one_layer_run_side_by_side():
    layer, x = cylstm.LSTM(48, 64, 2, seed=1), make_input(50)

    def stream_all() -> str:
        stream = layer.stream(batch_size=5)
        return digest([stream.step(x_t) for x_t in x])

    expected = stream_all()
    assert at_once(8 * [stream_all]) == 8 * [expected]
