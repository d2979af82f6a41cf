# cython: freethreading_compatible = True
"""The C core: checked arrays in, one call each. See src/ for what it computes.

The rhythm of every method: look at the arrays, place the call's memory, release the GIL, one C call, raise or return.
Arrays come converted and validated (arrays.py); what is checked here is what memory safety needs.

Shape letters: T steps, B sequences, I inputs, H hidden units, L layers, D directions, O outputs, P parameters.
"""

import atexit
import math
import os

import numpy as np

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_RawCalloc, PyMem_RawFree, PyMem_RawMalloc
from cpython.pycapsule cimport PyCapsule_New
from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint64_t, uintptr_t
from libc.string cimport memcpy, memset

from cylstm cimport _capi
from cylstm._capi cimport arena, blas, kernels, view

cnp.import_array()

# What one thread writes while others read it; each access by its name is atomic.
cdef extern from "<stdatomic.h>" nogil:
    ctypedef int atomic_int
    ctypedef long long atomic_llong
    int atomic_exchange(atomic_int *object, int desired)
    int atomic_load(atomic_int *object)
    int atomic_fetch_add(atomic_int *object, int more)
    int atomic_fetch_sub(atomic_int *object, int less)

cdef extern from *:
    """
    #define FLOATS(array) ((float *)PyArray_DATA(array))
    #define STRIDE(array, axis) (PyArray_STRIDE(array, axis) / (npy_intp)sizeof(float))
    """
    float *FLOATS(cnp.ndarray array) nogil
    int64_t STRIDE(cnp.ndarray array, int axis) nogil

cdef extern from *:
    """
    #include "cylstm_import.h"

    #define ENTRY(type, name, parameters) cylstm_##name,
    static const cylstm_functions c_functions = {
        sizeof(cylstm_functions), CYLSTM_VERSION_MAJOR, CYLSTM_VERSION_MINOR, CYLSTM_VERSION_PATCH,
        CYLSTM_FUNCTIONS(ENTRY)
    };
    #undef ENTRY
    """
    const char *CYLSTM_CAPSULE
    const void *c_functions "&c_functions"

cdef extern from *:
    """
    #define AS_TEXT(value) AS_TEXT_OF(value)
    #define AS_TEXT_OF(value) #value
    #if defined(__clang__)
    #define COMPILER "Clang " __clang_version__
    #elif defined(__GNUC__)
    #define COMPILER "GCC " __VERSION__
    #elif defined(_MSC_VER)
    #define COMPILER "MSVC " AS_TEXT(_MSC_FULL_VER)
    #else
    #define COMPILER "unknown"
    #endif
    """
    const char *COMPILER

CELLS = {"lstm": _capi.CYLSTM_LSTM, "rnn_tanh": _capi.CYLSTM_RNN_TANH, "rnn_relu": _capi.CYLSTM_RNN_RELU}
POOLINGS = {
    None: _capi.CYLSTM_POOL_NONE,
    "last": _capi.CYLSTM_POOL_LAST,
    "mean": _capi.CYLSTM_POOL_MEAN,
    "max": _capi.CYLSTM_POOL_MAX,
}
GATES = ("input_gate", "forget_gate", "candidate", "output_gate")


# ---- what this process computes with ----

cdef const kernels *_kernels = _capi.cylstm_kernels_best()


cdef int _choose_kernels() except -1:
    global _kernels
    name = os.environ.get("CYLSTM_ISA")
    if not name:
        return 0
    _kernels = _capi.cylstm_kernels_named(name.encode())
    if _kernels == NULL:
        best = _capi.cylstm_kernels_best().name.decode()
        raise ImportError(f"CYLSTM_ISA={name!r}: unknown, or more than this processor has; its best is {best!r}")
    return 0


def thresholds():
    """The plan's thresholds by name: `plan.c` says what each is."""
    found = {}
    while (name := _capi.cylstm_threshold_name(<int> len(found))) != NULL:
        found[name.decode()] = _capi.cylstm_threshold(<int> len(found))
    return found


def set_threshold(str name, int64_t value):
    """Plan with another threshold, for measurements and tests; 0: as planned. Not while calls run."""
    _capi.cylstm_set_threshold(<int> list(thresholds()).index(name), value)


_choose_kernels()
set_threshold("blas_work", int(os.environ.get("CYLSTM_BLAS_WORK") or 0))


def set_num_threads(int num_threads):
    """Threads that all concurrent calls share."""
    _capi.cylstm_set_thread_budget(num_threads)


def get_num_threads():
    """Threads that all concurrent calls share."""
    return _capi.cylstm_thread_budget()


def build_info():
    """Version, compiler and OpenMP of the core; the kernels in use, and all that this processor can run."""
    names = ("avx512", "avx2", "neon", "generic")
    return {
        "version": (<bytes> _capi.CYLSTM_VERSION).decode(),
        "compiler": (<bytes> COMPILER).decode().strip(),
        "openmp": (<bytes> _capi.cylstm_parallel_name()).decode(),
        "isa": _kernels.name.decode(),
        "isas": [name for name in names if _capi.cylstm_kernels_named(name.encode()) != NULL],
    }


def count_processors():
    """Processors that OpenMP may use."""
    return _capi.cylstm_processors()


def openmp_address():
    """Where a function of the OpenMP runtime stands that the core calls; 0 without one."""
    return _capi.cylstm_parallel_address()


# The functions of cylstm.h for extensions of other packages, which find them by this name: cylstm_import.h.
_capsule_name = (<bytes> CYLSTM_CAPSULE).decode().rpartition(".")[2]
globals()[_capsule_name] = PyCapsule_New(<void *> c_functions, CYLSTM_CAPSULE, NULL)


# ---- guards: of weights, and of what a fork waits for ----

cdef enum:
    READ = 0
    WRITE = 1
    LOOK_AT_SIGNALS = 50_000_000  # ns


# No Python runs between a guard's being entered and left but what a `try` holds, so that no signal handler can raise an
# exception there. One that is raised while waiting ends the wait: then nothing is held.
cdef int _enter(_capi.guard *g, bint to_write) except -1:
    if not _capi.cylstm_guard_try(g, to_write):
        _wait_to_enter(g, to_write, True)
    return 0


cdef int _wait_to_enter(_capi.guard *g, bint to_write, bint look_at_signals) except -1:
    cdef bint entered = False
    _capi.cylstm_guard_queue(g, to_write)
    while True:
        with nogil:
            entered = _capi.cylstm_guard_try_queued(g, to_write)
            if not entered:
                _capi.cylstm_guard_sleep(g, to_write, LOOK_AT_SIGNALS)
        if entered:
            return 0
        if look_at_signals:
            try:
                PyErr_CheckSignals()
            except BaseException:
                _capi.cylstm_guard_dequeue(g, to_write)
                raise


cdef int _enter_fork_gate() except -1:
    """Keep forks away until `_leave_fork_gate`; nests in a thread."""
    if not _capi.cylstm_fork_gate_held():
        _enter(&_capi.cylstm_fork_gate, READ)
    _capi.cylstm_fork_gate_count(1)
    return 0


cdef void _leave_fork_gate() noexcept:
    _capi.cylstm_fork_gate_count(-1)
    if not _capi.cylstm_fork_gate_held():
        _capi.cylstm_guard_leave(&_capi.cylstm_fork_gate, READ)


cdef int _start_writing(_capi.guard *g) except -1:
    """The guard first: who is inside the gate waits for nobody, or a fork could wait for ever."""
    _enter(g, WRITE)
    try:
        _enter_fork_gate()
    except BaseException:
        _capi.cylstm_guard_leave(g, WRITE)
        raise
    return 0


cdef void _stop_writing(_capi.guard *g) noexcept:
    _leave_fork_gate()
    _capi.cylstm_guard_leave(g, WRITE)


_forking = False  # of the thread that closed the gate


def _before_fork():
    """Wait until no thread is inside the gate: what it has half done, or locked, would stay so in the child."""
    global _forking
    if not _capi.cylstm_fork_gate_held():
        if not _capi.cylstm_guard_try(&_capi.cylstm_fork_gate, WRITE):
            _wait_to_enter(&_capi.cylstm_fork_gate, WRITE, False)
        _forking = True


def _after_fork_in_parent():
    global _forking
    if _forking:
        _forking = False
        _capi.cylstm_guard_leave(&_capi.cylstm_fork_gate, WRITE)


def _after_fork_in_child():
    global _forking
    _forking = False  # the gate is open: it counts forks


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


# ---- BLAS, imported when the first large product needs it ----

_blas_module = None  # not looked for yet; False: not to be had
cdef atomic_int _blas_calls, _exiting


cdef int _import_blas() except -1:
    """Once more if it fails: what was raised may have been a signal handler's exception, which then goes on its way."""
    global _blas_module
    cdef object first = None
    while _blas_module is None:
        try:
            from cylstm import _blas as _blas_module
        except Exception as error:  # whatever is wrong with SciPy, we can do without; show_config() says what it is
            if first is not None:
                _blas_module = False
            first = error
    if _blas_module is not False and first is not None:
        raise first
    return 0


cdef const blas *_hold_blas() except? NULL:
    """SciPy's BLAS, held at one thread until `_release_blas`; NULL where there is none to be had."""
    if _blas_module is None:
        _import_blas()
    if _blas_module is False:
        return NULL
    _enter_blas()
    try:
        if not atomic_load(&_exiting):  # then BLAS may be gone any time; our kernels are not
            return <const blas *> <uintptr_t> _blas_module.hold()
    except BaseException:
        _leave_blas()
        raise
    _leave_blas()
    return NULL


cdef int _release_blas(const blas *held) except -1:
    if held != NULL:
        try:
            _blas_module.release()
        finally:
            _leave_blas()
    return 0


cdef int _enter_blas() except -1:
    _enter_fork_gate()
    atomic_fetch_add(&_blas_calls, 1)  # inside the gate, so that a child has none
    return 0


cdef void _leave_blas() noexcept:
    atomic_fetch_sub(&_blas_calls, 1)
    _leave_fork_gate()


def _wait_for_blas():
    """Where the interpreter ends: daemon threads would be inside sgemm while BLAS's library takes itself down."""
    cdef int calls
    atomic_exchange(&_exiting, 1)
    while (calls := atomic_load(&_blas_calls)) > 0:
        with nogil:
            _capi.cylstm_sleep_while_for(&_blas_calls, calls, 1_000_000)
        PyErr_CheckSignals()


atexit.register(_wait_for_blas)


# ---- memory ----

cdef class Memory:
    """A block of memory that grows when more is asked of it."""

    cdef void *block
    cdef char *begin
    cdef int64_t size

    def __dealloc__(self):
        PyMem_RawFree(self.block)

    cdef char *reserve(self, int64_t size, bint zeros=False) except NULL:
        """At least so many bytes; new ones are 0 if asked for: the system's own zeros, which take no memory before
        they are written.
        """
        cdef size_t bytes
        if size > self.size or self.block == NULL:
            PyMem_RawFree(self.block)
            self.size = 0
            self.block = NULL
            if size <= INT64_MAX // 4:
                bytes = <size_t> _capi.cylstm_memory_to_allocate(size)
                self.block = PyMem_RawCalloc(1, bytes) if zeros else PyMem_RawMalloc(bytes)
            if self.block == NULL:
                raise MemoryError(f"this call needs {size:,} bytes of memory, which cannot be had")
            self.begin = _capi.cylstm_memory_begin(self.block, size)
            self.size = size
        return self.begin


@cython.no_gc  # none is ever part of a cycle
cdef class Pool:
    """Memory of calls and of tapes that are gone, for those that come: fresh pages cost more than writing them."""

    cdef cython.pymutex mutex  # nothing is freed under it: a tape's __dealloc__ takes it too
    cdef list calls
    cdef Memory tape  # of the last one

    def __cinit__(self):
        self.calls = []

    cdef Memory take(self):
        with self.mutex:
            if self.calls:
                return self.calls.pop()
        return Memory()

    cdef int give(self, Memory memory) except -1:
        with self.mutex:
            self.calls.append(memory)
        return 0

    cdef Memory take_tape(self):
        cdef Memory memory
        with self.mutex:
            memory, self.tape = self.tape, None
        return Memory() if memory is None else memory

    cdef int release(self) except -1:
        """Keep nothing; what is in use comes back when it is given back."""
        cdef list calls = []
        cdef Memory tape
        with self.mutex:
            calls, self.calls = self.calls, calls
            tape, self.tape = self.tape, None
        return 0

    cdef int give_tape(self, Memory memory) except -1:
        with self.mutex:
            self.tape, memory = memory, self.tape
        return 0


cdef class Scratch:
    """What a training step makes and the next one does not need, in memory that is kept and only grows.

    An array in it holds until the next call that is given this scratch.
    """

    cdef Memory scores, dscores, row_losses

    cdef Memory _at_least(self, Memory kept, int64_t size):
        """Memory that is large enough; what arrays there are in a smaller one keep that for themselves."""
        if kept is None or kept.size < size:
            kept = Memory()
            kept.reserve(size)
        return kept

    cdef cnp.ndarray scores_of(self, tuple shape):
        self.scores = self._at_least(self.scores, _bytes(shape))
        return _shaped(self.scores, shape)

    cdef cnp.ndarray dscores_of(self, tuple shape):
        self.dscores = self._at_least(self.dscores, _bytes(shape))
        return _shaped(self.dscores, shape)

    cdef double *row_losses_of(self, int64_t rows) except NULL:
        self.row_losses = self._at_least(self.row_losses, rows * sizeof(double))
        return <double *> self.row_losses.reserve(0)


cdef int64_t _bytes(tuple shape) except -1:
    cdef int64_t count = sizeof(float)
    for extent in shape:
        count = _capi.cylstm_product(count, extent)
    return count


cdef cnp.ndarray _shaped(Memory memory, tuple shape):
    """A float32 array at the beginning of memory that is large enough."""
    cdef int64_t count = _bytes(shape) // <int64_t> sizeof(float)
    return _array(memory, <float *> memory.reserve(0), 1, count, count, True).reshape(shape)


cdef cnp.ndarray _array(object owner, float *data, int64_t rows, int64_t columns, int64_t distance, bint writeable):
    """float32 (rows, columns), rows `distance` floats apart, in memory that `owner` keeps; (columns,) for one row.

    The owner is no array, so that NumPy has no way to make a read-only array writable again.
    """
    cdef cnp.npy_intp shape[2]
    cdef cnp.npy_intp strides[2]
    shape[0], shape[1] = rows, columns
    strides[0], strides[1] = distance * sizeof(float), sizeof(float)
    cdef int flags = cnp.NPY_ARRAY_ALIGNED | (cnp.NPY_ARRAY_WRITEABLE if writeable else 0)
    cdef int first = 1 if rows == 1 else 0
    array = cnp.PyArray_New(np.ndarray, 2 - first, shape + first, cnp.NPY_FLOAT32, strides + first, data, 0, flags,
                            None)
    cnp.set_array_base(array, owner)
    return array


# ---- arrays in and out ----

cdef inline bint _is_float32(cnp.ndarray array):
    return cnp.PyArray_TYPE(array) == cnp.NPY_FLOAT32 and cnp.PyArray_ISNOTSWAPPED(array)


cdef cnp.ndarray _new(int ndim, int64_t first, int64_t second, int64_t third):
    """A new float32 array of shape (second, third), or (first, second, third)."""
    cdef cnp.npy_intp shape[3]
    shape[0], shape[1], shape[2] = first, second, third
    return cnp.PyArray_EMPTY(ndim, shape + 3 - ndim, cnp.NPY_FLOAT32, 0)


cdef tuple _new_states(const _capi.layout *l, int64_t batch, float **pointers):
    """(h,) or (h, c), each (L*D, B, H), and where they are."""
    cdef int64_t stacks = l.config.num_layers * l.directions
    cdef cnp.ndarray h = _new(3, stacks, batch, l.config.hidden_size), c
    pointers[0], pointers[1] = FLOATS(h), NULL
    if l.states == 1:
        return (h,)
    c = _new(3, stacks, batch, l.config.hidden_size)
    pointers[1] = FLOATS(c)
    return (h, c)


cdef view _view(cnp.ndarray array, int64_t steps, int64_t batch, int64_t width, str name) except *:
    """A (T, B, width) array whose last axis is contiguous; (B, width) where steps is 0."""
    cdef view v
    cdef int ndim = 3 if steps else 2
    if (not _is_float32(array) or array.ndim != ndim or array.shape[ndim - 1] != width
            or array.shape[ndim - 2] != batch or (steps and array.shape[0] != steps)
            or (width > 1 and STRIDE(array, ndim - 1) != 1)):
        shape = (steps, batch, width)[0 if steps else 1:]
        raise ValueError(f"{name}: a float32 array of shape {shape} with a contiguous last axis expected, "
                         f"not {array.dtype} {(<object> array).shape}")
    v.data = FLOATS(array)
    v.step = STRIDE(array, 0) if steps else 0
    v.row = STRIDE(array, ndim - 2)
    return v


cdef int _state_pointers(object state, const float **pointers, const _capi.layout *l, int64_t batch,
                         str name) except -1:
    """Pointers to the parts of a state: (h,) or (h, c), each (L*D, B, H); NULL for None."""
    cdef cnp.ndarray array
    cdef int64_t stacks = l.config.num_layers * l.directions
    cdef int i
    pointers[0] = pointers[1] = NULL
    if state is None:
        return 0
    if len(state) != l.states:
        raise ValueError(f"{name}: {l.states} arrays expected, not {len(state)}")
    for i in range(l.states):
        array = state[i]
        if (not _is_float32(array) or array.ndim != 3 or array.shape[0] != stacks or array.shape[1] != batch
                or array.shape[2] != l.config.hidden_size or not cnp.PyArray_IS_C_CONTIGUOUS(array)):
            shape = (stacks, batch, l.config.hidden_size)
            raise ValueError(f"{name}[{i}]: a C-contiguous float32 array of shape {shape} expected, "
                             f"not {array.dtype} {(<object> array).shape}")
        pointers[i] = FLOATS(array)
    return 0


cdef const int64_t *_lengths_pointer(cnp.ndarray lengths, int64_t steps, int64_t batch, int64_t *rows) except? NULL:
    """Checks the lengths, or NULL without any; sets the number of rows they make."""
    if lengths is None:
        rows[0] = _capi.cylstm_product(steps, batch)
        return NULL
    if lengths.dtype != np.int64 or (<object> lengths).shape != (batch,) or not lengths.flags.c_contiguous:
        raise ValueError(f"lengths: int64 of shape ({batch},) expected")
    cdef const int64_t *pointer = <const int64_t *> cnp.PyArray_DATA(lengths)
    cdef int64_t b
    rows[0] = 0
    for b in range(batch):
        if pointer[b] < 0 or pointer[b] > steps:
            raise ValueError(f"lengths[{b}]: {pointer[b]} is not in 0..{steps}")
        rows[0] += pointer[b]
    return pointer


# ---- the network ----

cdef class Network:
    """Weights, gradients and the calls that use them: [embedding ->] recurrent stack [-> pooling] [-> head].

    Parameters
    ----------
    cell : {"lstm", "rnn_tanh", "rnn_relu"}
    input_size : int
        Width I of a numeric input, or of the embedding.
    hidden_size, num_layers : int
    bias, bidirectional : bool
    dropout : float
        Probability, between layers, when recording with a key.
    vocab_size : int
        0: numeric inputs.
    output_size : int
        0: no head.
    pooling : {None, "last", "mean", "max"}
    """

    cdef _capi.network net
    cdef readonly cnp.ndarray grad_vector
    cdef atomic_llong _version  # of the weights
    cdef readonly tuple tensors
    cdef readonly dict parameters, grads
    cdef readonly cnp.ndarray vector  # all parameters, float32 (P,), read-only
    cdef cnp.ndarray _vector  # the same, writable
    cdef cnp.ndarray _mean, _std
    cdef Memory _forward_copies, _backward_copies
    cdef atomic_llong _packed_forward, _packed_backward, _packed_dx  # versions of the weights the copies are of
    cdef readonly int64_t packings  # how many copies have been made so far, of the three kinds together
    cdef _capi.guard guard  # many calls may read the weights at once, or one may change them
    cdef _capi.guard packing  # the packed copies of a new version are made by one reader
    cdef Pool pool
    cdef float _dropout
    cdef atomic_int _descending  # of the last call
    # Of the last backward pass. What else goes over weights and gradients does well to use as many: what another core
    # holds in its cache takes longer to fetch than to compute with.
    cdef atomic_int _training_threads

    def __cinit__(self, cell, *, int64_t input_size, int64_t hidden_size, int64_t num_layers, bint bias,
                  bint bidirectional, float dropout, int64_t vocab_size, int64_t output_size, pooling):
        cdef _capi.cylstm_config config
        memset(&config, 0, sizeof(config))
        config.struct_size = sizeof(config)
        config.cell, config.pooling = CELLS[cell], POOLINGS[pooling]
        config.bidirectional, config.bias = bidirectional, bias
        config.vocab_size, config.input_size, config.output_size = vocab_size, input_size, output_size
        config.hidden_size, config.num_layers = hidden_size, num_layers
        cdef _capi.cylstm_status status = _capi.cylstm_network_init(&self.net, &config, _kernels)
        if status == _capi.CYLSTM_TOO_LARGE:
            raise MemoryError(f"a network of {self.net.layout.parameter_count:,} parameters cannot be held")
        if status != _capi.CYLSTM_OK:
            raise ValueError(f"{_capi.cylstm_status_name(status).decode()}: no network of these sizes")
        self._dropout = dropout
        self._training_threads = 1
        self.pool = Pool()
        self._allocate()

    cdef int _allocate(self) except -1:
        cdef int64_t count = self.net.layout.parameter_count
        cdef Memory parameters = Memory(), gradients = Memory()
        cdef int64_t size = count * sizeof(float)
        self._vector = _array(parameters, <float *> parameters.reserve(size, zeros=True), 1, count, count, True)
        self.grad_vector = _array(gradients, <float *> gradients.reserve(size, zeros=True), 1, count, count, True)
        self.vector = _array(parameters, FLOATS(self._vector), 1, count, count, False)
        tensors = []
        cdef int64_t i
        cdef _capi.tensor t
        for i in range(_capi.cylstm_layout_tensor_count(&self.net.layout)):
            t = _capi.cylstm_layout_tensor(&self.net.layout, i)
            shape = (t.rows, t.columns)[:2 if t.columns else 1]
            tensors.append(((<bytes> t.name).decode(), shape, t.offset))
        self.tensors = tuple(tensors)
        self.parameters = self._named(self.vector)
        self.grads = self._named(self.grad_vector)
        self._place_copies()
        self._version = 1
        return 0

    cdef int _place_copies(self) except -1:
        """Both kinds of copies get their places now; the backward ones take no memory until they are first packed."""
        cdef arena forward = arena(NULL, 0), backward = arena(NULL, 0)
        _capi.cylstm_weights_place(&self.net.weights, &self.net.layout, &forward, &backward)
        self._forward_copies, self._backward_copies = Memory(), Memory()
        forward = arena(self._forward_copies.reserve(forward.used), 0)
        backward = arena(self._backward_copies.reserve(backward.used), 0)
        _capi.cylstm_weights_place(&self.net.weights, &self.net.layout, &forward, &backward)
        _capi.cylstm_weights_set_all(&self.net.weights, &self.net.layout, FLOATS(self._vector))
        return 0

    def _named(self, vector):
        return {
            name: vector[offset:offset + math.prod(shape)].reshape(shape) for name, shape, offset in self.tensors
        }

    # As C's own types: Cython casts to the type that it makes a number of, and clang refuses a cast to an atomic one.
    @property
    def version(self):
        return <long long> self._version

    @property
    def training_threads(self):
        return <int> self._training_threads

    @property
    def packed_nbytes(self):
        """Bytes of packed copies of the weights; copies that nothing has asked for yet take none."""
        cdef _capi.packed_sizes sizes = _capi.cylstm_weights_packed_sizes(&self.net.weights, &self.net.layout)
        return ((sizes.forward if self._packed_forward else 0) + (sizes.backward if self._packed_backward else 0)
                + (sizes.for_dx if self._packed_dx else 0))

    def zero_grad(self):
        """Set all gradients to zero."""
        cdef float *gradients = FLOATS(self.grad_vector)
        with nogil:
            _capi.cylstm_clear(gradients, self.net.layout.parameter_count, self._training_threads)

    def release_memory(self):
        """Free the memory of calls and tapes that are gone."""
        self.pool.release()

    def assign(self, arrays):
        """Set the parameters of these names, all in one new version of the weights; float32, of their shapes.

        Once they are checked nothing can fail, and no Python runs in between: there is no old version to keep.
        """
        cdef list pairs = []
        cdef dict places = self._named(self._vector)
        for name, array in arrays.items():
            if array.dtype != np.float32 or array.shape != places[name].shape:
                raise ValueError(f"{name}: float32 of shape {places[name].shape} expected")
            overlaps = np.may_share_memory(array, self._vector)  # may be overwritten before it is read
            pairs.append((places[name], array.copy() if overlaps else array))
        _start_writing(&self.guard)
        try:
            for place, array in pairs:
                cnp.PyArray_CopyInto(place, array)
            self._version += 1
        finally:
            _stop_writing(&self.guard)

    def assign_vector(self, cnp.ndarray vector):
        """Take all parameters from a float32 vector (P,): a new version of the weights."""
        cdef int64_t count = self.net.layout.parameter_count
        vector = np.ascontiguousarray(vector, np.float32)
        if (<object> vector).shape != (count,):
            raise ValueError(f"vector: float32 of shape ({count},) expected, not {(<object> vector).shape}")
        _start_writing(&self.guard)
        with nogil:
            memcpy(FLOATS(self._vector), FLOATS(vector), count * sizeof(float))
        self._version += 1
        _stop_writing(&self.guard)

    def copy_vector(self):
        """A copy of all parameters, of one version: float32 (P,)."""
        cdef int64_t count = self.net.layout.parameter_count
        cdef cnp.ndarray copy = np.empty(count, np.float32)
        _enter(&self.guard, READ)
        with nogil:
            memcpy(FLOATS(copy), FLOATS(self._vector), count * sizeof(float))
        _capi.cylstm_guard_leave(&self.guard, READ)
        return copy

    def set_input_scale(self, cnp.ndarray mean, cnp.ndarray std):
        """Numeric inputs enter as (x - mean) / std, float32 (I,) each; None: as they are."""
        cdef int64_t width = self.net.layout.config.input_size
        for array in (mean, std):
            if array is not None and (array.dtype != np.float32 or (<object> array).shape != (width,)):
                raise ValueError(f"input scale: float32 of shape ({width},) expected")
        mean, std = None if mean is None else mean.copy(), None if std is None else std.copy()
        _start_writing(&self.guard)
        self._mean, mean = mean, self._mean  # the old ones are let go of after the guard
        self._std, std = std, self._std
        self.net.input_mean = NULL if self._mean is None else FLOATS(self._mean)
        self.net.input_std = NULL if self._std is None else FLOATS(self._std)
        _stop_writing(&self.guard)

    cdef int _pack(self, int threads, bint backward=False, bint dx=False) except -1:
        """Bring the packed copies up to this version of the weights, on as many threads as the call that needs them.

        Called by readers: nobody changes weights.
        """
        if (self._packed_forward == self._version and (not backward or self._packed_backward == self._version)
                and (not dx or self._packed_dx == self._version)):
            return 0
        cdef _capi.weights *w = &self.net.weights
        cdef _capi.layout *l = &self.net.layout
        _enter(&self.packing, WRITE)
        with nogil:
            if self._packed_forward != self._version:
                _capi.cylstm_weights_pack_forward(w, l, self.net.kernels, threads)
                self._packed_forward = self._version
                self.packings += 1
            if backward and self._packed_backward != self._version:
                _capi.cylstm_weights_pack_backward(w, l, self.net.kernels, threads)
                self._packed_backward = self._version
                self.packings += 1
            if dx and self._packed_dx != self._version:
                _capi.cylstm_weights_pack_for_dx(w, l, self.net.kernels, threads)
                self._packed_dx = self._version
                self.packings += 1
        _capi.cylstm_guard_leave(&self.packing, WRITE)
        return 0

    def plan(self, int64_t steps, int64_t batch, int num_threads, bint reproducible):
        """How a call of these shapes is done: `plan.h`, as a dict; products are by "steps", "kernel" or "sgemm"."""
        cdef _capi.layout *l = &self.net.layout
        cdef int64_t rows = _capi.cylstm_product(steps, batch), layer, inputs
        cdef _capi.plan p = _capi.cylstm_plan(l, rows, batch, num_threads)
        cdef int64_t chunk = min(rows, p.chunk_rows)
        cdef _capi.axis gates = _capi.cylstm_axis_merged(_capi.cylstm_layout_gate_axis(l))
        cdef _capi.compute c
        c.kernels, c.blas = self.net.kernels, <const blas *> NULL if reproducible else _hold_blas()
        by = {_capi.PROJECT_IN_STEPS: "steps", _capi.PROJECT_BY_KERNEL: "kernel", _capi.PROJECT_BY_BLAS: "sgemm"}
        projections, gradients = [], []
        for layer in range(l.config.num_layers):
            inputs = l.width if layer else l.config.input_size
            projections.append(by[_capi.cylstm_projection(&p, &c, &self.net.weights.layers[layer * l.directions].input,
                                                          chunk)])
            gradients.append("sgemm" if _capi.cylstm_plan_blas(&c, gates.segments, gates.valid, inputs, chunk)
                             else "kernel")
        _release_blas(c.blas)
        return {
            "threads": p.threads, "split_rows": p.split_rows, "strands": p.strands, "wave_steps": p.wave_steps,
            "chunk_rows": chunk, "multiply_adds": _capi.cylstm_plan_work(l, rows), "projections": projections,
            "weight_gradients": gradients,
        }

    # -- calls --

    def try_forward(self, x):
        """Like ``forward(x, None, None)`` where x is as that takes it, else None: looking at arguments takes longer."""
        cdef cnp.ndarray array
        if type(x) is not np.ndarray or self.net.layout.config.vocab_size > 0:
            return None
        array = x
        if (not _is_float32(array) or array.ndim != 3 or array.shape[0] < 1 or array.shape[1] < 1
                or array.shape[2] != self.net.layout.config.input_size or not cnp.PyArray_ISCARRAY_RO(array)):
            return None
        return self.forward(array, None, None)

    cpdef forward(self, cnp.ndarray x, state, lengths, int num_threads=0, bint reproducible=False, out=None,
                  Scratch scratch=None):
        """Inference: x float32 (T, B, I) or int32 (T, B) -> y, state; y in `scratch` if given. See `Call`."""
        cdef Call call = (<Call> Call.__new__(Call)).prepare(self, x, state, lengths, num_threads)
        return call.run(None, reproducible, out if scratch is None else scratch.scores_of(call.y_shape()))

    def record(self, cnp.ndarray x, state, lengths, uint64_t key, int64_t checkpoint_every=0, int num_threads=0,
               Scratch scratch=None):
        """Like `forward`, for training: dropout drawn from `key` (0: none) -> y, state, tape.

        checkpoint_every: steps after which a state is kept to compute gates and cells again from; 0: all are kept.
        """
        cdef Call call = (<Call> Call.__new__(Call)).prepare(self, x, state, lengths, num_threads)
        cdef Tape tape = Tape.__new__(Tape)
        tape.place(call, self._dropout if key else 0.0, key, checkpoint_every)
        y, state = call.run(tape, False, None if scratch is None else scratch.scores_of(call.y_shape()))
        return y, state, tape

    def backward(self, Tape tape, cnp.ndarray dy, dstate, cnp.ndarray grad_vector, bint need_dx, int num_threads=0):
        """Add the gradients of what `tape` recorded to grad_vector (None: the network's own) -> dx or None, dstate."""
        if tape.network is not self:
            raise ValueError("tape: recorded by another network")
        if grad_vector is None:
            grad_vector = self.grad_vector
        cdef _capi.layout *l = &self.net.layout
        if (grad_vector.dtype != np.float32 or (<object> grad_vector).shape != (l.parameter_count,)
                or not grad_vector.flags.c_contiguous or not grad_vector.flags.writeable):
            raise ValueError(f"grads: writable contiguous float32 of shape ({l.parameter_count},) expected")
        cdef int64_t steps = tape.steps, batch = tape.batch, rows = tape.t.sequences.rows
        cdef _capi.backward_call call
        memset(&call, 0, sizeof(call))
        call.network, call.tape, call.compute.kernels = &self.net, &tape.t, self.net.kernels
        call.dparameters = FLOATS(grad_vector)
        call.dy = _view(dy, 0 if l.config.pooling else steps, batch, l.config.output_size or l.width, "dy")
        _state_pointers(dstate, call.dfinal, l, batch, "dstate")
        dinitial = _new_states(l, batch, call.dinitial)
        dx = None
        if need_dx and l.config.vocab_size == 0:
            dx = _new(3, steps, batch, l.config.input_size)
            call.dx = _view(dx, steps, batch, l.config.input_size, "dx")
        call.plan = _capi.cylstm_plan(l, rows, batch, num_threads or _capi.cylstm_thread_budget())
        self._training_threads = call.plan.threads
        cdef Memory memory = self.pool.take()
        cdef arena place = arena(NULL, 0)
        _capi.cylstm_backward_place(&call, steps, batch, rows, &place)
        place = arena(memory.reserve(place.used), 0)
        _capi.cylstm_backward_place(&call, steps, batch, rows, &place)
        _enter(&self.guard, READ)
        try:
            if tape.version != self._version:
                raise RuntimeError("tape: the weights have changed since it was recorded; record again")
            self._pack(call.plan.threads, backward=True, dx=need_dx or l.config.vocab_size > 0)
            if _capi.cylstm_plan_wants_blas(l, rows, batch, True):
                call.compute.blas = _hold_blas()
            try:
                with nogil:
                    _capi.cylstm_network_backward(&call)
            finally:
                _release_blas(call.compute.blas)
        finally:
            _capi.cylstm_guard_leave(&self.guard, READ)
        self.pool.give(memory)
        return dx, dinitial

    def stream(self, int64_t batch_size):
        """A stream of batch_size sequences, one step at a time."""
        return Stream(self, batch_size)


@cython.no_gc  # none is ever part of a cycle
@cython.freelist(8)
cdef class Call:
    """One forward call: its arguments checked, its results made, its memory placed.

    y is (T, B, D*H), (T, B, O) with a head, (B, O) pooled; state a tuple of (L*D, B, H) arrays: (h,) or (h, c).
    """

    cdef Network network
    cdef cnp.ndarray x
    cdef object state, lengths
    cdef int64_t steps, batch, rows
    cdef _capi.forward_call call
    cdef const int64_t *lengths_pointer

    cdef Call prepare(self, Network network, cnp.ndarray x, state, lengths, int num_threads):
        cdef _capi.layout *l = &network.net.layout
        self.network, self.x, self.state = network, x, state
        self.lengths = None if lengths is None else np.array(lengths)  # what is checked is what is used
        memset(&self.call, 0, sizeof(self.call))
        self.call.network, self.call.compute.kernels = &network.net, network.net.kernels
        self.call.descending = network._descending = not network._descending
        tokens = l.config.vocab_size > 0
        if x.ndim != (2 if tokens else 3) or x.shape[0] < 1 or x.shape[1] < 1:
            raise ValueError(f"x: {'(T, B) tokens' if tokens else '(T, B, I)'} expected, not {(<object> x).shape}")
        self.steps, self.batch = x.shape[0], x.shape[1]
        if tokens:
            if x.dtype != np.int32:
                raise ValueError(f"x: int32 tokens expected, not {x.dtype}")
            self.x = x = x.copy()  # what has been checked is what is used, whoever writes into the caller's
            self.call.tokens.data = <const int32_t *> cnp.PyArray_DATA(x)
            self.call.tokens.step, self.call.tokens.row = STRIDE(x, 0), STRIDE(x, 1)
        else:
            self.call.x = _view(x, self.steps, self.batch, l.config.input_size, "x")
        self.lengths_pointer = _lengths_pointer(self.lengths, self.steps, self.batch, &self.rows)
        self.call.plan = _capi.cylstm_plan(l, self.rows, self.batch, num_threads or _capi.cylstm_thread_budget())
        return self

    cdef tuple y_shape(self):
        cdef _capi.layout *l = &self.network.net.layout
        width = l.config.output_size or l.width
        shape = (self.steps, self.batch, width)
        return shape[1:] if l.config.pooling else shape

    cdef tuple run(self, Tape tape, bint reproducible, out):
        cdef _capi.layout *l = &self.network.net.layout
        cdef int64_t width = l.config.output_size or l.width
        cdef int64_t y_steps = 0 if l.config.pooling else self.steps
        final = _new_states(l, self.batch, self.call.final)
        y = _new(3 if y_steps else 2, y_steps, self.batch, width) if out is None else out
        self.call.y = _view(y, y_steps, self.batch, width, "out")
        _state_pointers(self.state, self.call.initial, l, self.batch, "state")
        cdef Memory memory = self.network.pool.take()
        cdef _capi.sequences sequences
        cdef arena place = arena(NULL, 0)
        self._place(&sequences, tape, &place)
        place = arena(memory.reserve(place.used), 0)
        self._place(&sequences, tape, &place)
        if self.call.tokens.data != NULL:
            self._check_tokens()
        self._run_packed(tape, reproducible)
        self.network.pool.give(memory)
        return y, final

    cdef int _place(self, _capi.sequences *sequences, Tape tape, arena *place) except -1:
        if tape is not None:
            self.call.tape, self.call.sequences = &tape.t, &tape.t.sequences
        else:
            self.call.sequences = sequences
            _capi.cylstm_sequences_place(sequences, place, self.steps, self.batch)
            if place.base != NULL:
                _capi.cylstm_sequences_fill(sequences, self.lengths_pointer)
        _capi.cylstm_forward_place(&self.call, self.steps, self.batch, self.rows, place)
        return 0

    cdef int _check_tokens(self) except -1:
        cdef int64_t step, sequence
        if _capi.cylstm_find_bad_token(&self.network.net, self.call.sequences, &self.call.tokens, &step, &sequence):
            raise ValueError(f"x: token {self.x[step, sequence]} at step {step} of sequence {sequence} "
                             f"is not in 0..{self.network.net.layout.config.vocab_size - 1}")
        return 0

    cdef int _run_packed(self, Tape tape, bint reproducible) except -1:
        _enter(&self.network.guard, READ)
        try:
            if tape is not None:
                tape.version = self.network._version
            self.network._pack(self.call.plan.threads)
            if not reproducible and _capi.cylstm_plan_wants_blas(&self.network.net.layout, self.rows, self.batch,
                                                                 tape is not None):
                self.call.compute.blas = _hold_blas()
            try:
                with nogil:
                    _capi.cylstm_network_forward(&self.call)
            finally:
                _release_blas(self.call.compute.blas)
        finally:
            _capi.cylstm_guard_leave(&self.network.guard, READ)
        return 0


@cython.no_gc_clear  # __dealloc__ needs its attributes
cdef class Tape:
    """What a recorded call left for `Network.backward`, and what happened inside it."""

    cdef readonly Network network
    cdef readonly int64_t version, steps, batch, nbytes
    cdef _capi.tape t
    cdef Memory memory
    cdef Pool pool  # the network's, which may have lost its own when the garbage collector takes both

    cdef int place(self, Call call, float dropout, uint64_t key, int64_t checkpoint_every) except -1:
        self.network, self.steps, self.batch = call.network, call.steps, call.batch
        self.pool = self.network.pool
        self.memory = self.pool.take_tape()
        memset(&self.t, 0, sizeof(self.t))
        self.t.dropout.probability, self.t.dropout.key = dropout, key
        self.t.segments.every = checkpoint_every
        cdef bint with_state = call.state is not None
        cdef arena place = arena(NULL, 0)
        _capi.cylstm_tape_place(&self.t, &self.network.net, self.steps, self.batch, call.rows, with_state, &place)
        self.nbytes = place.used
        place = arena(self.memory.reserve(place.used), 0)
        _capi.cylstm_tape_place(&self.t, &self.network.net, self.steps, self.batch, call.rows, with_state, &place)
        _capi.cylstm_tape_fill(&self.t, call.lengths_pointer, call.call.plan.chunk_rows)
        return 0

    def __dealloc__(self):
        # The next tape takes this one's memory. Not in __del__: what the garbage collector has finalised may still be
        # looked at, and even live on.
        if self.memory is not None:
            self.pool.give_tape(self.memory)

    def view(self, int64_t layer, int direction, str what):
        """Read-only float32 (T, B, H): a gate of `GATES`, "cell_state" or "hidden"; zeros where padded.

        A view of the tape where all sequences are equally long, else put together from it.
        """
        cdef _capi.layout *l = &self.network.net.layout
        if not (0 <= layer < l.config.num_layers and 0 <= direction < l.directions):
            raise IndexError(f"layer {layer}, direction {direction}: not in this network")
        cdef int64_t rows = self.t.sequences.rows, stack = layer * l.directions + direction
        if what == "hidden":
            return self._by_time(self.t.hidden + layer * rows * l.width + direction * l.config.hidden_size, l.width)
        if self.t.segments.every > 0:
            raise ValueError(f"{what}: not on a tape recorded with checkpoint_every, which backward computes again")
        if what == "cell_state" and self.t.cell != NULL:
            return self._by_time(self.t.cell + stack * rows * l.units, l.units)
        if what in GATES and l.gates == len(GATES):
            return self._by_time(self.t.gates + stack * rows * l.gate_row + <int> GATES.index(what) * l.units,
                                 l.gate_row)
        raise KeyError(what)

    cdef cnp.ndarray _by_time(self, float *data, int64_t distance):
        """Packed rows, `distance` floats apart, as (T, B, H)."""
        cdef _capi.sequences *s = &self.t.sequences
        cdef int64_t hidden = self.network.net.layout.config.hidden_size
        packed = _array(self, data, s.rows, hidden, distance, False)
        if s.rows == self.steps * self.batch:
            return packed.reshape(self.steps, self.batch, hidden)
        by_time = np.zeros((self.steps, self.batch, hidden), np.float32)
        cdef int64_t t
        packed = packed.reshape(s.rows, hidden)
        order = [s.order[rank] for rank in range(self.batch)]
        for t in range(s.longest):
            by_time[t, order[:s.offsets[t + 1] - s.offsets[t]]] = packed[s.offsets[t]:s.offsets[t + 1]]
        by_time.flags.writeable = False
        return by_time


cdef class Stream:
    """B sequences, one step at a time, in memory that is placed once. For one thread at a time."""

    cdef readonly Network network
    cdef readonly int64_t batch
    cdef _capi.forward_call call
    cdef _capi.sequences sequences
    cdef Memory memory
    cdef tuple _state
    cdef cnp.ndarray _carried, _tokens
    cdef atomic_int _busy

    def __cinit__(self, Network network, int64_t batch_size):
        cdef _capi.layout *l = &network.net.layout
        if l.directions != 1:
            raise ValueError("stream: a bidirectional network needs the whole sequence; it cannot stream")
        self.network, self.batch = network, batch_size
        memset(&self.call, 0, sizeof(self.call))
        self.call.network, self.call.compute.kernels = &network.net, network.net.kernels
        self.call.sequences = &self.sequences
        self._state = _new_states(l, batch_size, self.call.final)
        for part in self._state:
            part.fill(0.0)
        _state_pointers(self._state, self.call.initial, l, batch_size, "state")
        if l.config.pooling in (_capi.CYLSTM_POOL_MEAN, _capi.CYLSTM_POOL_MAX):
            self._carried = np.zeros((batch_size, l.width + 1), np.float32)
            self.call.carried = FLOATS(self._carried)
        if l.config.vocab_size > 0:
            self._tokens = np.zeros(batch_size, np.int32)
            self.call.tokens.data, self.call.tokens.row = <const int32_t *> cnp.PyArray_DATA(self._tokens), 1
        self._plan()
        self.memory = Memory()
        cdef arena place = arena(NULL, 0)
        self._place(&place)
        place = arena(self.memory.reserve(place.used), 0)
        self._place(&place)
        _capi.cylstm_sequences_fill(&self.sequences, NULL)

    cdef void _plan(self) noexcept:
        """On as many threads as are allowed now; how many does not change the memory that was placed."""
        self.call.plan = _capi.cylstm_plan(&self.network.net.layout, self.batch, self.batch,
                                           _capi.cylstm_thread_budget())

    cdef int _place(self, arena *place) except -1:
        _capi.cylstm_sequences_place(&self.sequences, place, 1, self.batch)
        _capi.cylstm_forward_place(&self.call, 1, self.batch, self.batch, place)
        return 0

    def try_step(self, x_t):
        """Like `step` where x_t is as that takes it, else None: a step can cost less than looking at its input."""
        cdef _capi.layout *l = &self.network.net.layout
        cdef cnp.ndarray array
        if type(x_t) is not np.ndarray:
            return None
        array = x_t
        if (l.config.vocab_size > 0 or not _is_float32(array) or array.ndim != 2 or array.shape[0] != self.batch
                or array.shape[1] != l.config.input_size or not cnp.PyArray_ISCARRAY_RO(array)):
            return None
        return self.step(array)

    cpdef step(self, cnp.ndarray x_t, cnp.ndarray out=None):
        """x_t float32 (B, I) or int32 (B,) -> y (B, H), or (B, O) with a head: pooled, of the sequence so far."""
        cdef _capi.layout *l = &self.network.net.layout
        cdef int64_t width = l.config.output_size or l.width
        if out is None:
            out = _new(2, 0, self.batch, width)
        self._enter()
        try:
            self.call.y = _view(out, 0, self.batch, width, "out")
            self._read(x_t)
            self._step()
        finally:
            self._busy = 0
        return out

    cdef int _enter(self) except -1:
        if atomic_exchange(&self._busy, 1):
            raise RuntimeError("stream: another thread is using it; give each thread a stream of its own")
        return 0

    cdef int _read(self, cnp.ndarray x_t) except -1:
        if self.network.net.layout.config.vocab_size == 0:
            self.call.x = _view(x_t, 0, self.batch, self.network.net.layout.config.input_size, "x_t")
            return 0
        if x_t.dtype != np.int32 or (<object> x_t).shape != (self.batch,):
            raise ValueError(f"x_t: int32 tokens of shape ({self.batch},) expected")
        self._tokens[:] = x_t  # what is checked is what is used
        cdef int64_t step, sequence
        if _capi.cylstm_find_bad_token(&self.network.net, &self.sequences, &self.call.tokens, &step, &sequence):
            raise ValueError(f"x_t: token {self._tokens[sequence]} of sequence {sequence} "
                             f"is not in 0..{self.network.net.layout.config.vocab_size - 1}")
        return 0

    cdef int _step(self) except -1:
        self._plan()
        _enter(&self.network.guard, READ)
        try:
            self.network._pack(self.call.plan.threads)
            with nogil:
                _capi.cylstm_network_forward(&self.call)
            self.call.descending = not self.call.descending
        finally:
            _capi.cylstm_guard_leave(&self.network.guard, READ)
        return 0

    @property
    def state(self):
        """Copies: (h,) or (h, c), each (L, B, H); with mean or max pooling also (B, H+1): sums or maxima, count."""
        self._enter()
        try:
            return tuple([part.copy() for part in self._parts()])
        finally:
            self._busy = 0

    @state.setter
    def state(self, new):
        parts = self._parts()
        if len(new) != len(parts):
            raise ValueError(f"state: {len(parts)} arrays expected, not {len(new)}")
        for i, (part, value) in enumerate(zip(parts, new)):
            if np.shape(value) != part.shape:
                raise ValueError(f"state[{i}]: shape {part.shape} expected, not {np.shape(value)}")
        self._enter()
        try:
            for part, value in zip(parts, new):
                part[...] = value
        finally:
            self._busy = 0

    def reset(self):
        """Start anew: state zero."""
        self.state = [np.zeros_like(part) for part in self._parts()]

    cdef tuple _parts(self):
        return self._state if self._carried is None else (*self._state, self._carried)


# ---- losses and optimisers ----

LOSSES = {
    "cross_entropy": _capi.LOSS_CROSS_ENTROPY,
    "binary_cross_entropy": _capi.LOSS_BINARY_CROSS_ENTROPY,
    "mse": _capi.LOSS_SQUARED_ERROR,
}


def loss(str kind, cnp.ndarray scores, cnp.ndarray targets, mask=None, Scratch scratch=None):
    """Mean loss over the rows that count, and its gradient by the scores.

    Parameters
    ----------
    kind : {"cross_entropy", "binary_cross_entropy", "mse"}
    scores : float32 (..., O)
    targets : int64 (...) classes, or float32 (..., O)
    mask : bool (...), optional
        False where a row is padding.
    scratch : Scratch, optional
        Where the gradient is put.

    Returns
    -------
    float, ndarray
        The loss and its gradient, of scores' shape, zero where masked.
    """
    cdef _capi.loss_call call
    memset(&call, 0, sizeof(call))
    scores = np.ascontiguousarray(scores, np.float32)
    rows_shape = (<object> scores).shape[:-1]
    call.kind, call.kernels, call.threads = LOSSES[kind], _kernels, 1
    call.outputs, call.rows = scores.shape[scores.ndim - 1], math.prod(rows_shape)
    classes = kind == "cross_entropy"
    if classes:  # copies, of these and the mask: what is checked is what is used, whoever writes into the caller's
        targets = np.array(targets, np.int64, order="C")
    else:
        targets = np.ascontiguousarray(targets, np.float32)
    if (<object> targets).shape != (rows_shape if classes else (<object> scores).shape):
        raise ValueError(f"targets: shape {(<object> targets).shape} does not go with scores of "
                         f"{(<object> scores).shape}")
    cdef cnp.ndarray counts = None if mask is None else np.array(mask, np.bool_, order="C")
    if counts is not None:
        if (<object> counts).shape != rows_shape:
            raise ValueError(f"mask: shape {rows_shape} expected, not {(<object> counts).shape}")
        call.mask = <const uint8_t *> cnp.PyArray_DATA(counts)
    if classes:
        counted = targets if counts is None else targets[counts]
        if counted.size and (counted.min() < 0 or counted.max() >= call.outputs):
            raise ValueError(f"targets: classes 0..{call.outputs - 1} expected, not {counted.min()}..{counted.max()}")
        call.classes = <const int64_t *> cnp.PyArray_DATA(targets)
    else:
        call.values = FLOATS(targets)
    scratch = Scratch() if scratch is None else scratch
    cdef cnp.ndarray dscores = scratch.dscores_of((<object> scores).shape)
    call.scores, call.dscores, call.row_losses = FLOATS(scores), FLOATS(dscores), scratch.row_losses_of(call.rows)
    if call.rows * call.outputs >= 50000:  # some 100 us of exponentials
        call.threads = _capi.cylstm_thread_budget()
    cdef double mean
    with nogil:
        mean = _capi.cylstm_loss(&call)
    return mean, dscores


def global_norm(cnp.ndarray vector, int threads=1):
    """sqrt of the sum of squares of a flat float32 array, summed in double, on up to so many threads."""
    vector = np.ascontiguousarray(vector, np.float32)
    cdef cnp.ndarray sums = np.empty(_capi.cylstm_norm_blocks(vector.shape[0]), np.float64)
    cdef double norm
    with nogil:
        norm = _capi.cylstm_global_norm(FLOATS(vector), vector.shape[0], threads,
                                        <double *> cnp.PyArray_DATA(sums))
    return norm


ctypedef void (*update)(_capi.optimizer_step *) noexcept nogil


cdef int _update(Network network, list slots, int slot_count, _capi.optimizer_step *step, update run) except -1:
    cdef cnp.ndarray slot
    cdef int64_t count = network.net.layout.parameter_count
    if len(slots) != slot_count:
        raise ValueError(f"slots: {slot_count} arrays expected, not {len(slots)}")
    for i in range(slot_count):
        slot = slots[i]
        if (slot.dtype != np.float32 or (<object> slot).shape != (count,) or not slot.flags.c_contiguous
                or not slot.flags.writeable):
            raise ValueError(f"slots[{i}]: writable contiguous float32 of shape ({count},) expected")
        step.slots[i] = FLOATS(slot)
    step.kernels, step.count, step.threads = network.net.kernels, count, network._training_threads
    step.parameters, step.gradients = FLOATS(network._vector), FLOATS(network.grad_vector)
    _start_writing(&network.guard)
    with nogil:
        run(step)
    network._version += 1
    _stop_writing(&network.guard)
    return 0


def sgd(Network network, list slots, *, double learning_rate, double grad_scale, int64_t step, double momentum,
        bint nesterov, double weight_decay):
    """One step of stochastic gradient descent; slots: [velocity]."""
    cdef _capi.optimizer_step s
    memset(&s, 0, sizeof(s))
    s.learning_rate, s.grad_scale, s.step, s.weight_decay = learning_rate, grad_scale, step, weight_decay
    s.momentum, s.nesterov = momentum, nesterov
    _update(network, slots, 1, &s, _capi.cylstm_sgd)


def rmsprop(Network network, list slots, *, double learning_rate, double grad_scale, int64_t step, double alpha,
            double eps, double momentum, double weight_decay):
    """One step of RMSprop; slots: [square average, velocity]."""
    cdef _capi.optimizer_step s
    memset(&s, 0, sizeof(s))
    s.learning_rate, s.grad_scale, s.step, s.weight_decay = learning_rate, grad_scale, step, weight_decay
    s.alpha, s.eps, s.momentum = alpha, eps, momentum
    _update(network, slots, 2, &s, _capi.cylstm_rmsprop)


def adam(Network network, list slots, *, double learning_rate, double grad_scale, int64_t step, double beta1,
         double beta2, double eps, double weight_decay, bint decoupled):
    """One step of Adam, or of AdamW where the decay is decoupled; slots: [first moment, second moment]."""
    cdef _capi.optimizer_step s
    memset(&s, 0, sizeof(s))
    s.learning_rate, s.grad_scale, s.step, s.weight_decay = learning_rate, grad_scale, step, weight_decay
    s.beta1, s.beta2, s.eps, s.decoupled = beta1, beta2, eps, decoupled
    _update(network, slots, 2, &s, _capi.cylstm_adam)
