"""Scores of many series, one after the other and without the GIL, by the C functions of cylstm.

    pip install .
    python -c 'import series_scores; print(series_scores.Scorer("model.safetensors").scores(x))'
"""

import os

import numpy as np

cimport cylstm
from libc.stdint cimport int64_t
from libc.string cimport memset

cylstm.cylstm_import()


cdef class Scorer:
    """A model file, opened for series of up to `max_steps` steps.

    It has one state, in which the series are run: a thread needs a Scorer of its own.
    """

    cdef cylstm.cylstm_model *model
    cdef cylstm.cylstm_state *state
    cdef int64_t max_steps

    def __cinit__(self, path, int64_t max_steps=1000):
        cdef char message[200]
        cdef cylstm.cylstm_state_options options
        status = cylstm.cylstm_load(os.fsencode(path), NULL, &self.model, message, sizeof(message))
        if status != cylstm.CYLSTM_OK:
            raise ValueError(f"{path}: {message.decode(errors="replace")}")
        memset(&options, 0, sizeof(options))
        options.struct_size = sizeof(options)
        options.max_steps = max_steps
        check(cylstm.cylstm_state_new(self.model, &options, &self.state))
        self.max_steps = max_steps

    def __dealloc__(self):
        cylstm.cylstm_state_free(self.state)
        cylstm.cylstm_model_free(self.model)

    def scores(self, const float[:, :, ::1] x):
        """Outputs (N, T, W) of N series of T steps, x (N, T, I); (N, 1, W) of a model that pools them."""
        cdef int64_t n, count = x.shape[0], steps = x.shape[1], width = cylstm.cylstm_input_width(self.model)
        cdef cylstm.cylstm_status status = cylstm.CYLSTM_OK
        if x.shape[2] != width or not 1 <= steps <= self.max_steps:
            raise ValueError(f"x: expected (N, 1 .. {self.max_steps}, {width}), got {(count, steps, x.shape[2])}")
        pooled = cylstm.cylstm_model_config(self.model).pooling != cylstm.CYLSTM_POOL_NONE
        y = np.empty((count, 1 if pooled else steps, cylstm.cylstm_output_width(self.model)), np.float32)
        cdef float[:, :, ::1] out = y
        with nogil:
            for n in range(count):
                cylstm.cylstm_state_reset(self.state)
                status = cylstm.cylstm_run(self.state, steps, &x[n, 0, 0], &out[n, 0, 0])
                if status != cylstm.CYLSTM_OK:
                    break
        check(status)
        return y


cdef int check(cylstm.cylstm_status status) except -1:
    if status != cylstm.CYLSTM_OK:
        raise ValueError(cylstm.cylstm_status_name(status).decode())
    return 0
