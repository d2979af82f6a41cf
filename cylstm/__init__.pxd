"""cylstm.h for Cython: what it says of each name holds here.

    cimport cylstm
    cylstm.cylstm_import()

The second line stands once in every module, before its first call: it gets the functions from the installed cylstm
(cylstm_import.h), so there is no library to link with. Headers are in cylstm.get_include().
"""

from libc.stdint cimport int32_t, int64_t


cdef extern from "cylstm_import.h":
    int cylstm_import() except -1


cdef extern from "cylstm_import.h" nogil:
    const int CYLSTM_VERSION_MAJOR, CYLSTM_VERSION_MINOR, CYLSTM_VERSION_PATCH
    const char *CYLSTM_VERSION

    ctypedef enum cylstm_status:
        CYLSTM_OK
        CYLSTM_INVALID_ARGUMENT
        CYLSTM_TOO_LARGE
        CYLSTM_OUT_OF_MEMORY
        CYLSTM_CANNOT_READ
        CYLSTM_BAD_FILE
        CYLSTM_UNSUPPORTED
    ctypedef enum cylstm_cell:
        CYLSTM_LSTM
        CYLSTM_RNN_TANH
        CYLSTM_RNN_RELU
    ctypedef enum cylstm_pooling:
        CYLSTM_POOL_NONE
        CYLSTM_POOL_LAST
        CYLSTM_POOL_MEAN
        CYLSTM_POOL_MAX
    ctypedef enum cylstm_task:
        CYLSTM_TASK_NONE
        CYLSTM_TASK_CLASSIFICATION
        CYLSTM_TASK_REGRESSION
        CYLSTM_TASK_LANGUAGE

    ctypedef struct cylstm_model:
        pass
    ctypedef struct cylstm_state:
        pass
    ctypedef struct cylstm_config:
        size_t struct_size
        int32_t cell, pooling, bidirectional, bias
        int64_t vocab_size, input_size, hidden_size, num_layers, output_size
    ctypedef struct cylstm_allocator:
        void *(*allocate)(void *context, size_t size) noexcept nogil
        void (*release)(void *context, void *memory) noexcept nogil
        void *context
    ctypedef void (*cylstm_sgemm)(void *context, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k,
                                  float alpha, const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                                  float *c, int64_t ldc) noexcept nogil
    ctypedef struct cylstm_load_options:
        size_t struct_size
        cylstm_allocator allocator
        const char *kernels
        cylstm_sgemm sgemm
        void *sgemm_context
        int32_t borrow
        void (*log)(void *context, const char *message) noexcept nogil
        void *log_context
    ctypedef struct cylstm_state_options:
        size_t struct_size
        int64_t batch, max_steps
        int32_t max_threads
        cylstm_allocator allocator
    ctypedef struct cylstm_call:
        size_t struct_size
        int64_t steps
        const float *x
        const int32_t *tokens
        const int64_t *lengths
        float *y
        int32_t threads
        char *message
        size_t message_size
        const double *doubles

    const char *cylstm_status_name "cylstm_api->status_name"(cylstm_status status)
    const char *cylstm_version "cylstm_api->version"()

    cylstm_status cylstm_load "cylstm_api->load"(const char *path, const cylstm_load_options *options,
                                                 cylstm_model **model, char *message, size_t message_size)
    cylstm_status cylstm_load_memory "cylstm_api->load_memory"(const void *data, size_t size,
                                                               const cylstm_load_options *options,
                                                               cylstm_model **model, char *message,
                                                               size_t message_size)
    void cylstm_model_free "cylstm_api->model_free"(cylstm_model *model)
    int64_t cylstm_input_width "cylstm_api->input_width"(const cylstm_model *model)
    int64_t cylstm_output_width "cylstm_api->output_width"(const cylstm_model *model)
    cylstm_status cylstm_state_new "cylstm_api->state_new"(const cylstm_model *model,
                                                           const cylstm_state_options *options, cylstm_state **state)
    void cylstm_state_free "cylstm_api->state_free"(cylstm_state *state)
    cylstm_status cylstm_step "cylstm_api->step"(cylstm_state *state, const float *x, float *y)
    cylstm_status cylstm_step_doubles "cylstm_api->step_doubles"(cylstm_state *state, const double *x, float *y)
    cylstm_status cylstm_step_tokens "cylstm_api->step_tokens"(cylstm_state *state, const int32_t *tokens, float *y)
    cylstm_status cylstm_run "cylstm_api->run"(cylstm_state *state, int64_t steps, const float *x, float *y)
    cylstm_status cylstm_run_doubles "cylstm_api->run_doubles"(cylstm_state *state, int64_t steps, const double *x,
                                                               float *y)
    cylstm_status cylstm_run_tokens "cylstm_api->run_tokens"(cylstm_state *state, int64_t steps,
                                                             const int32_t *tokens, float *y)
    void cylstm_state_reset "cylstm_api->state_reset"(cylstm_state *state)

    const cylstm_config *cylstm_model_config "cylstm_api->model_config"(const cylstm_model *model)
    cylstm_task cylstm_model_task "cylstm_api->model_task"(const cylstm_model *model)
    const char *cylstm_model_kernels "cylstm_api->model_kernels"(const cylstm_model *model)
    int64_t cylstm_model_bytes "cylstm_api->model_bytes"(const cylstm_model *model)
    void cylstm_values "cylstm_api->values"(const cylstm_model *model, int64_t rows, const float *scores,
                                            float *values)
    void cylstm_values_doubles "cylstm_api->values_doubles"(const cylstm_model *model, int64_t rows,
                                                            const float *scores, double *values)
    int64_t cylstm_state_count "cylstm_api->state_count"(const cylstm_state *state)
    void cylstm_state_get "cylstm_api->state_get"(const cylstm_state *state, float *values)
    void cylstm_state_set "cylstm_api->state_set"(cylstm_state *state, const float *values)
    cylstm_status cylstm_state_read "cylstm_api->state_read"(const cylstm_state *state, int64_t count, float *values)
    cylstm_status cylstm_state_write "cylstm_api->state_write"(cylstm_state *state, int64_t count,
                                                               const float *values)
    cylstm_status cylstm_state_copy "cylstm_api->state_copy"(cylstm_state *to, const cylstm_state *origin)

    int64_t cylstm_state_bytes "cylstm_api->state_bytes"(const cylstm_model *model,
                                                         const cylstm_state_options *options)
    cylstm_status cylstm_state_place "cylstm_api->state_place"(const cylstm_model *model,
                                                               const cylstm_state_options *options, void *memory,
                                                               size_t size, cylstm_state **state)
    cylstm_status cylstm_call_run "cylstm_api->call_run"(cylstm_state *state, const cylstm_call *call)
