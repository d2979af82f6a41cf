# cython: freethreading_compatible = True
"""SciPy's sgemm, as the core's door to BLAS (src/blas.h), and SciPy's BLAS held at one thread while it is used.

A module of its own so that SciPy is imported when the first large product needs it, and so that, where SciPy is
missing, its signature is foreign or its BLAS cannot be held, this import fails alone and the core uses its own kernels.

sgemm is taken from the capsule that ``scipy.linalg.cython_blas`` exports, not by ``cimport``: a wheel then works with
every SciPy whose signature is understood here, not only with the one it was built against.
"""

import os
import re
import sys
import threading

cimport cython
from cpython.pycapsule cimport PyCapsule_GetName, PyCapsule_GetPointer
from libc.stdint cimport int64_t
from libc.string cimport memset

from cylstm._capi cimport blas

import scipy
from scipy.linalg import cython_blas
from threadpoolctl import ThreadpoolController

# Fortran's sgemm(transa, transb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc). Its integers are 32 bits (LP64) or 64
# (ILP64): on a little-endian machine the address of an int64_t that holds a small number serves both.
ctypedef void (*fortran_sgemm)(char *, char *, int64_t *, int64_t *, int64_t *, float *, float *, int64_t *, float *,
                               int64_t *, float *, float *, int64_t *) noexcept nogil

cdef extern from *:
    """
    #include <stdatomic.h>

    static atomic_llong calls_made;

    static void count_call(void)
    {
        atomic_fetch_add_explicit(&calls_made, 1, memory_order_relaxed);
    }
    """
    void count_call() noexcept nogil
    int64_t calls_made

_SIGNATURE = re.compile(
    r"void \(char \*, char \*, (?P<int>\w*int\w*) \*, (?P=int) \*, (?P=int) \*, "
    r"(?P<real>\w*(float|cython_blas_s)) \*, (?P=real) \*, (?P=int) \*, (?P=real) \*, (?P=int) \*, "
    r"(?P=real) \*, (?P=real) \*, (?P=int) \*\)(?: noexcept)?(?: nogil)?"
)

cdef fortran_sgemm _fortran_sgemm = NULL
cdef str _integer = ""  # what SciPy calls sgemm's integers
cdef blas _door
memset(&_door, 0, sizeof(_door))


cdef void _sgemm(void *context, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                 const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                 int64_t ldc) noexcept nogil:
    # A row-major C is a column-major C^T = op(B)^T op(A)^T: the operands change places.
    cdef char trans_a = b'T' if transpose_a else b'N'
    cdef char trans_b = b'T' if transpose_b else b'N'
    count_call()
    _fortran_sgemm(&trans_b, &trans_a, &n, &m, &k, &alpha, <float *> b, &ldb, <float *> a, &lda, &beta, c, &ldc)


cdef fortran_sgemm _find_sgemm() except NULL:
    global _integer
    capsule = cython_blas.__pyx_capi__["sgemm"]
    cdef const char *name = PyCapsule_GetName(capsule)
    signature = _SIGNATURE.fullmatch(name.decode())
    if signature is None:
        raise ImportError(f"SciPy {scipy.__version__} has an sgemm of a foreign signature: {name.decode()}")
    _integer = signature["int"].rpartition("cython_blas_")[2]
    return <fortran_sgemm> PyCapsule_GetPointer(capsule, name)


def _scipy_libraries():
    """The BLAS libraries to hold: SciPy's own where it bundles one, otherwise all but NumPy's own."""
    found = [lib for lib in ThreadpoolController().lib_controllers if lib.user_api == "blas"]
    own = [lib for lib in found if "scipy" in os.path.basename(os.path.dirname(lib.filepath))]
    return own or [lib for lib in found if "numpy" not in os.path.basename(os.path.dirname(lib.filepath))]


def _set_threads(library, threads):
    """From any thread: threadpoolctl lets one thread at a time control OpenBLAS, and ignores the others."""
    let_go = getattr(library, "clear_controlling_thread", lambda force: None)  # since threadpoolctl 3.7
    let_go(force=True)
    library.set_num_threads(threads)
    let_go(force=True)


cdef enum:
    MOST_INTERRUPTS = 10000


cdef object _to_the_end(action):
    """Do what must not be left half done, over again where a signal's handler interrupts it; what that raised, or None.

    What fails by itself fails each time: then its exception is raised in the end.
    """
    interrupt = None
    for _ in range(MOST_INTERRUPTS):
        try:
            action()
            return interrupt
        except BaseException as caught:
            interrupt = caught
    raise interrupt


cdef class _Hold:
    """Libraries held at one thread while at least one call needs it; then each gets back the number it had."""

    cdef cython.pymutex mutex
    cdef list libraries, before
    cdef int count

    def __cinit__(self, libraries):
        self.libraries, self.before = libraries, None

    cdef int hold(self) except -1:
        interrupt = None
        with self.mutex:
            if self.count == 0:
                interrupt = _to_the_end(self.take)
            self.count += 1
        if interrupt is not None:
            self.release()
            raise interrupt
        return 0

    cdef int release(self) except -1:
        interrupt = None
        with self.mutex:
            self.count -= 1
            if self.count == 0:
                interrupt = _to_the_end(self.put_back)
        if interrupt is not None:
            raise interrupt
        return 0

    def take(self):
        if self.before is None:
            self.before = [library.num_threads for library in self.libraries]
        for library in self.libraries:
            _set_threads(library, 1)

    def put_back(self):
        for library, threads in zip(self.libraries, self.before):
            _set_threads(library, threads)
        self.before = None


cdef class _Holder:
    """The hold on libraries that have one number of threads for the process, and each thread's own hold on those that
    have one for each thread, as a BLAS on OpenMP has."""

    cdef _Hold shared
    cdef list of_threads
    cdef object own  # threading.local

    def __cinit__(self, libraries):
        self.of_threads = [library for library in libraries if _is_per_thread(library)]
        self.shared = _Hold([library for library in libraries if not _is_per_thread(library)])
        self.own = threading.local()

    cdef _Hold of_this_thread(self):
        if not hasattr(self.own, "hold"):
            self.own.hold = _Hold(self.of_threads)
        return self.own.hold

    cpdef hold(self):
        self.shared.hold()
        try:
            self.of_this_thread().hold()
        except BaseException:
            self.shared.release()
            raise

    cpdef release(self):
        try:
            self.of_this_thread().release()
        finally:
            self.shared.release()


def _is_per_thread(library):
    return getattr(library, "threading_layer", None) == "openmp"


def _make_holder(libraries):
    holder = _Holder(libraries)
    holder.hold()
    try:
        held = [library.num_threads == 1 for library in libraries]
    finally:
        holder.release()
    if not libraries or not all(held):
        raise ImportError(f"the BLAS of SciPy {scipy.__version__} is none whose threads can be held at one")
    return holder


if sys.byteorder != "little":
    raise ImportError("sgemm's integers are passed in a way that needs a little-endian machine")
_libraries = _scipy_libraries()
cdef _Holder _holder = _make_holder(_libraries)
_fortran_sgemm = _find_sgemm()
_door.sgemm = _sgemm


def hold():
    """Hold SciPy's BLAS at one thread until `release`; calls nest, from any thread. Returns the address of a blas.

    It is for the caller to keep forks away meanwhile.
    """
    _holder.hold()
    return <size_t> &_door


def release():
    """End one `hold`."""
    _holder.release()


def calls():
    """How many sgemm calls the core has made."""
    return calls_made


def info():
    """The BLAS in use, its threads while no call holds it, its file and what it takes for integers."""
    library = _libraries[0]
    return {
        "name": library.internal_api,
        "version": library.version,
        "threads": library.num_threads,
        "path": library.filepath,
        "integers": _integer,
    }
