"""What goes to SciPy's sgemm, how its BLAS is held at one thread, and what happens without it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from test_same_bits import in_forked_child
from test_threads import HERE, at_once, infer, learn, running
from test_threads_default import run_python
from threadpoolctl import ThreadpoolController

import cylstm
from cylstm import _blas


def make_layer() -> cylstm.LSTM:
    return cylstm.LSTM(96, 64, seed=1)


def make_input(steps: int, batch: int = 16) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(steps, batch, 96)).astype(np.float32)


def count_calls(function) -> int:
    before = _blas.calls()
    function()
    return _blas.calls() - before


# --- what goes to sgemm --------------------------------------------------------------------------


def test_a_large_projection_goes_to_sgemm():
    layer, x = make_layer(), make_input(60)
    assert count_calls(lambda: layer(x)) > 0
    assert count_calls(lambda: layer.record(x)) > 0


def test_by_the_plan_what_is_large_is_a_gigaflop():
    """The other tests let sgemm do smaller products (conftest.py)."""
    code = """
import numpy as np, cylstm
from cylstm import _blas
for inputs, hidden in ((256, 256), (512, 1024)):
    cylstm.LSTM(inputs, hidden, seed=1)(np.zeros((16, 32, inputs), np.float32))
    print(_blas.calls() > 0)
"""
    assert run_python(code, CYLSTM_BLAS_WORK="").split() == ["False", "True"]


def test_so_do_its_gradients():
    layer, x = make_layer(), make_input(60)
    y, _, tape = layer.record(x)
    with_dx = count_calls(lambda: layer.backward(tape, y))
    assert with_dx > count_calls(lambda: layer.backward(tape, y, need_dx=False)) > 0


def test_a_large_head_goes_to_sgemm():
    model = cylstm.SequenceModel(
        task="language", vocab_size=500, embedding_size=4, hidden_size=64, output_size=500, seed=1
    )
    tokens = np.zeros((40, 16), np.int32)
    assert count_calls(lambda: model.scores(tokens)) > 0


@pytest.mark.parametrize("steps", [1, 5])
def test_a_small_projection_does_not(steps):
    layer, x = make_layer(), make_input(steps, 4)
    assert count_calls(lambda: learn(layer, x)) == 0


def test_reproducible_calls_do_not():
    layer, x = make_layer(), make_input(60)
    assert count_calls(lambda: layer(x, reproducible=True)) == 0


def test_streaming_does_not():
    layer = cylstm.LSTM(1024, 512, seed=1)
    stream, x = layer.stream(batch_size=64), np.ones((64, 1024), np.float32)
    assert count_calls(lambda: stream.step(x)) == 0
    assert count_calls(lambda: layer(x[np.newaxis])) > 0  # large enough, then


def test_on_how_many_threads_does_not_change_how_often():
    layer, x = make_layer(), make_input(200)
    one, two = (count_calls(lambda n=n: layer(x, num_threads=n)) for n in (1, 2))
    assert one == two > 1


# --- SciPy's BLAS is held, NumPy's is not --------------------------------------------------------

FOUND, NUMPYS = 3, 2  # threads of the two libraries before


def set_threads(library, threads: int) -> None:
    """Do so whichever thread was the last to do it."""
    getattr(library, "clear_controlling_thread", lambda force: None)(force=True)
    library.set_num_threads(threads)


def find_libraries(owner: str) -> list:
    """The BLAS libraries in a wheel's own folder."""
    found = ThreadpoolController().lib_controllers
    return [lib for lib in found if lib.user_api == "blas" and f"{owner}.libs" in lib.filepath]


@pytest.fixture
def libraries():
    """SciPy's BLAS and NumPy's, which have 3 and 2 threads."""
    found = [*find_libraries("scipy"), *find_libraries("numpy")]
    if len(found) != 2:
        pytest.skip("SciPy and NumPy do not have one BLAS each of their own here")
    before = [library.num_threads for library in found]
    set_threads(found[0], FOUND)
    set_threads(found[1], NUMPYS)
    if [library.num_threads for library in found] != [FOUND, NUMPYS]:
        pytest.skip("these libraries have too few threads to tell")
    yield found
    for library, threads in zip(found, before, strict=True):
        set_threads(library, threads)


def test_the_number_of_threads_is_put_back(libraries):
    layer, x = make_layer(), make_input(60)
    for function in (infer, learn):
        assert count_calls(lambda f=function: f(layer, x)) > 0
        assert [library.num_threads for library in libraries] == [FOUND, NUMPYS]


def test_it_is_put_back_after_errors(libraries):
    layer, x = make_layer(), make_input(60)
    y, _, tape = layer.record(x)
    for wrong in (lambda: layer(x[..., :-1]), lambda: layer.backward(tape, y[1:])):
        with pytest.raises(ValueError, match="expected"):
            wrong()
        assert [library.num_threads for library in libraries] == [FOUND, NUMPYS]


def test_meanwhile_scipy_s_is_one_and_numpy_s_what_it_was(libraries):
    scipys, numpys = libraries
    layer, x, seen = make_layer(), make_input(2000), set()
    with running(lambda: layer(x)):
        for _ in range(300):
            seen.add((scipys.num_threads, numpys.num_threads))
            time.sleep(0.001)
    assert (1, NUMPYS) in seen
    assert seen <= {(1, NUMPYS), (FOUND, NUMPYS)}
    assert (scipys.num_threads, numpys.num_threads) == (FOUND, NUMPYS)


def test_it_is_put_back_after_concurrent_calls(libraries):
    layer, inputs = make_layer(), [make_input(60 + 40 * i) for i in range(8)]
    for _ in range(10):
        at_once([lambda x=x: layer(x) for x in inputs])
        assert [library.num_threads for library in libraries] == [FOUND, NUMPYS]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_in_mid_call_has_what_was_found(libraries):
    layer, x = make_layer(), make_input(60)
    with running(lambda: layer(x)):
        found = [in_forked_child(lambda: str(libraries[0].num_threads)) for _ in range(60)]
    assert set(found) == {str(FOUND)}


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="the system has no signals")
@pytest.mark.usefixtures("control_c")
def test_it_is_put_back_after_control_c(libraries):
    layer, x = make_layer(), make_input(1000)
    for i in range(10):
        with pytest.raises(KeyboardInterrupt):
            call_until_control_c(layer, x, 0.02 + 0.003 * i)
        assert [library.num_threads for library in libraries] == [FOUND, NUMPYS]


def call_until_control_c(layer, x, seconds: float) -> None:
    main = threading.main_thread().ident
    timer = threading.Timer(seconds, signal.pthread_kill, (main, signal.SIGINT))
    timer.start()
    try:
        while True:
            layer(x)
    finally:
        timer.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.usefixtures("control_c")
def test_a_fork_gets_its_turn_after_control_c(libraries):
    layer, x = make_layer(), make_input(4000)
    for _ in range(5):
        fork = threading.Thread(target=in_forked_child, args=(str,), daemon=True)
        timer = threading.Timer(0.01, fork.start)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            call_until_control_c(layer, x, 0.02)
        timer.join()
        fork.join(10)
        assert not fork.is_alive()


class LibraryOfThreads:
    """A BLAS on OpenMP, whose number of threads each thread has for itself."""

    threading_layer = "openmp"

    def __init__(self) -> None:
        self.local = threading.local()

    @property
    def num_threads(self) -> int:
        return getattr(self.local, "threads", FOUND)

    def set_num_threads(self, threads: int) -> None:
        self.local.threads = threads


def test_where_each_thread_has_a_number_of_its_own_each_is_put_back():
    library = LibraryOfThreads()
    holder = _blas._make_holder([library])
    first_holds, second_is_done = threading.Event(), threading.Event()

    def hold(before_release, after_hold) -> tuple[int, int]:
        holder.hold()
        held = library.num_threads
        after_hold()
        before_release()
        holder.release()
        return held, library.num_threads

    def second() -> tuple[int, int]:
        first_holds.wait()
        result = hold(lambda: None, lambda: None)
        second_is_done.set()
        return result

    def first() -> tuple[int, int]:
        return hold(second_is_done.wait, first_holds.set)

    assert at_once([first, second]) == [(1, FOUND), (1, FOUND)]


# --- SciPy is imported when it is needed ---------------------------------------------------------


def test_scipy_is_imported_by_the_first_large_product():
    printed = run_python("""
import sys
import numpy as np
import cylstm
def report(): print(*sorted({"scipy", "threadpoolctl"} & set(sys.modules)))
layer = cylstm.LSTM(96, 64, seed=1)
report()
stream = layer.stream(batch_size=8)
stream.step(np.ones((8, 96), np.float32))
layer(np.ones((5, 4, 96), np.float32))
layer(np.ones((60, 16, 96), np.float32), reproducible=True)
report()
layer(np.ones((60, 16, 96), np.float32))
report()
""")
    assert printed.splitlines() == ["", "", "scipy threadpoolctl"]


# --- without it ----------------------------------------------------------------------------------

# Runs on our kernels alone, says so, and why.
WITHOUT = """
import sys
import numpy as np
import cylstm
from test_threads import infer, learn
layer = cylstm.LSTM(96, 64, seed=1)
x = np.random.default_rng(0).normal(size=(60, 16, 96)).astype(np.float32)
print(infer(layer, x) == infer(layer, x, reproducible=True))
y, _, tape = layer.record(x)
layer.backward(tape, np.ones_like(y))
np.save(sys.argv[1], np.concatenate([grad.ravel() for grad in layer.grads.values()]))
print(cylstm.show_config()["blas"])
"""

# Puts another capsule in sgemm's place, whose name says another signature.
RENAMED = """
import ctypes
from scipy.linalg import cython_blas
api = ctypes.pythonapi
api.PyCapsule_GetName.restype, api.PyCapsule_GetName.argtypes = ctypes.c_char_p, [ctypes.py_object]
api.PyCapsule_GetPointer.restype = ctypes.c_void_p
api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
api.PyCapsule_New.restype = ctypes.py_object
api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
capsule = cython_blas.__pyx_capi__["sgemm"]
name = api.PyCapsule_GetName(capsule)
pointer = api.PyCapsule_GetPointer(capsule, name)
new_name = name.replace(b"OLD", b"NEW")
cython_blas.__pyx_capi__["sgemm"] = api.PyCapsule_New(pointer, new_name, None)
"""

OBEDIENT = """
class Obedient:
    user_api, internal_api, version, num_threads = "blas", "openblas", None, 8
    filepath = "/lib/scipy.libs/libopenblas.so"
    def set_num_threads(self, num_threads): self.num_threads = num_threads
class ThreadpoolController:
    lib_controllers = [Obedient()]
"""

PACKAGES = {
    "SciPy is missing": {"scipy/__init__.py": "raise ImportError('no such SciPy')"},
    "SciPy is broken": {"scipy/__init__.py": "raise ValueError('numpy.dtype size changed')"},
    "SciPy has no such functions": {
        "scipy/__init__.py": "__version__ = '9'",
        "scipy/linalg/__init__.py": "",
        "scipy/linalg/cython_blas.py": "",
        "threadpoolctl.py": OBEDIENT,
    },
    "SciPy's functions are others": {
        "scipy/__init__.py": "__version__ = '9'",
        "scipy/linalg/__init__.py": "",
        "scipy/linalg/cython_blas.py": "__pyx_capi__ = {'dgemm': None}",
        "threadpoolctl.py": OBEDIENT,
    },
    "threadpoolctl is missing": {"threadpoolctl.py": "raise ImportError('no such threadpoolctl')"},
    "no BLAS is known": {
        "threadpoolctl.py": OBEDIENT.replace("[Obedient()]", "[]"),
    },
    "the BLAS cannot be held": {
        "threadpoolctl.py": OBEDIENT.replace("self.num_threads = num_threads", "pass"),
    },
}
REASONS = {
    "SciPy is missing": "no such SciPy",
    "SciPy is broken": "numpy.dtype size changed",
    "SciPy has no such functions": "__pyx_capi__",
    "SciPy's functions are others": "sgemm",
    "threadpoolctl is missing": "no such threadpoolctl",
    "no BLAS is known": "can be held at one",
    "the BLAS cannot be held": "can be held at one",
}


def check_without(prelude: str, reason: str, folder: Path) -> None:
    """Ours alone: the bits of reproducible calls, and gradients as sgemm's but for rounding."""
    saved = folder / "gradients.npy"
    code = f"{prelude}\nimport sys; sys.argv.append({str(saved)!r})\n{WITHOUT}"
    same, *config = run_python(code, PYTHONPATH=f"{folder}{os.pathsep}{HERE}").splitlines()
    assert same == "True"
    assert "cylstm's own kernels instead" in config[-1]
    assert reason in config[-1]
    layer, x = make_layer(), make_input(60)
    y, _, tape = layer.record(x)
    layer.backward(tape, np.ones_like(y))
    expected = np.concatenate([grad.ravel() for grad in layer.grads.values()])
    np.testing.assert_allclose(np.load(saved), expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("case", PACKAGES)
def test_without_a_blas_that_can_be_used_our_kernels_do_all(tmp_path, case):
    for name, code in PACKAGES[case].items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    check_without("", REASONS[case], tmp_path)


def renamed(old: str, new: str) -> str:
    """Code that puts `new` in place of `old` in the signature that SciPy says its sgemm has."""
    return RENAMED.replace("OLD", old).replace("NEW", new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("int *", "long *"),
        ("cython_blas_s *", "cython_blas_d *"),
        ("*)", "*, size_t, size_t)"),
        ("void (", "int ("),
    ],
    ids=["other integers", "doubles", "lengths of strings", "a result"],
)
def test_a_foreign_signature_is_not_called(tmp_path, old, new):
    check_without(renamed(old, new), "foreign signature", tmp_path)


# --- signatures ----------------------------------------------------------------------------------

CALL = "void (char *, char *, I *, I *, I *, R *, R *, I *, R *, I *, R *, R *, I *)"
PREFIX = "__pyx_t_5scipy_6linalg_11cython_blas_"


def signature(integer: str, real: str, end: str = "") -> str:
    return CALL.replace("I ", f"{integer} ").replace("R ", f"{real} ") + end


def test_this_scipy_s_signature_is_understood():
    from scipy.linalg import cython_blas

    name = str(cython_blas.__pyx_capi__["sgemm"]).split('"')[1]
    assert _blas._SIGNATURE.fullmatch(name)


@pytest.mark.parametrize("real", [f"{PREFIX}s", "float"])
@pytest.mark.parametrize(
    "integer", ["int", f"{PREFIX}blas_int", "blas_int", "int64_t", "int32_t", "npy_int64"]
)
@pytest.mark.parametrize("end", ["", " nogil", " noexcept nogil"])
def test_32_and_64_bit_integers_by_any_name_are_understood(integer, real, end):
    assert _blas._SIGNATURE.fullmatch(signature(integer, real, end))


@pytest.mark.parametrize(
    "name",
    [
        signature("int", f"{PREFIX}d"),
        signature("int", "double"),
        signature("long", "float"),
        signature("char", "float"),
        signature("int", "float").replace("void (", "int ("),
        signature("int", "float").replace("char *, char *, int", "char *, char *, long", 1),
        signature("int", "float").replace(", int *)", ")"),
        signature("int", "float").replace("int *)", "int *, size_t, size_t)"),
        signature("int", "float").replace("int *", "int"),
        "",
    ],
)
def test_what_is_not_understood(name):
    assert not _blas._SIGNATURE.fullmatch(name)


def run_with_capsule(prelude: str) -> list[str]:
    """Whether sgemm is called, the results are right, and its integers, with another capsule."""
    return run_python(f"""{prelude}
import numpy as np
import cylstm
from cylstm import _blas
layer = cylstm.LSTM(96, 64, seed=1)
x = np.random.default_rng(0).normal(size=(60, 16, 96)).astype(np.float32)
y, _ = layer(x)
expected, _ = layer(x, reproducible=True)
print(_blas.calls() > 0, np.abs(y - expected).max() < 1e-6, _blas.info()["integers"])
""").split()


# An sgemm in Python, column-major as Fortran's, that reads its integers as 64 bits
SGEMM_OF_64_BITS = """
import numpy as np
def matrix(pointer, leading, columns):
    return np.ctypeslib.as_array(pointer, (columns, leading)).T
def sgemm(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    m, n, k, lda, ldb, ldc = (value[0] for value in (m, n, k, lda, ldb, ldc))
    a = matrix(a, lda, m)[:k].T if transa[0] == b"T" else matrix(a, lda, k)[:m]
    b = matrix(b, ldb, k)[:n].T if transb[0] == b"T" else matrix(b, ldb, n)[:k]
    c = matrix(c, ldc, n)[:m]
    c[...] = alpha[0] * (a @ b) + beta[0] * c
char, integer, real = map(ctypes.POINTER, (ctypes.c_char, ctypes.c_int64, ctypes.c_float))
function = ctypes.CFUNCTYPE(None, char, char, integer, integer, integer, real, real, integer, real,
                            integer, real, real, integer)(sgemm)
address = ctypes.cast(function, ctypes.c_void_p)
cython_blas.__pyx_capi__["sgemm"] = api.PyCapsule_New(address, new_name, None)
"""


def test_a_blas_int_of_32_bits_works():
    prelude = renamed("int *", f"{PREFIX}blas_int *")
    assert run_with_capsule(prelude) == ["True", "True", "blas_int"]


@pytest.mark.skipif(sys.byteorder != "little", reason="there SciPy of 64-bit integers alone works")
def test_a_blas_int_of_64_bits_works():
    prelude = renamed("int *", "int64_t *") + SGEMM_OF_64_BITS
    assert run_with_capsule(prelude) == ["True", "True", "int64_t"]


# --- what it is ----------------------------------------------------------------------------------


def test_show_config_says_which_blas_it_is_and_its_threads(libraries):
    blas = cylstm.show_config()["blas"]
    assert blas["threads"] == libraries[0].num_threads
    assert blas["path"] == libraries[0].filepath
    assert blas["integers"] in {"int", "blas_int"}
