"""Declarations of src/*.h. No logic."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t, uintptr_t


cdef extern from "cylstm.h" nogil:
    const char *CYLSTM_VERSION
    ctypedef enum cylstm_status:
        CYLSTM_OK
        CYLSTM_TOO_LARGE
    const char *cylstm_status_name(cylstm_status status)
    int CYLSTM_LSTM, CYLSTM_RNN_TANH, CYLSTM_RNN_RELU
    int CYLSTM_POOL_NONE, CYLSTM_POOL_LAST, CYLSTM_POOL_MEAN, CYLSTM_POOL_MAX
    ctypedef struct cylstm_config:
        size_t struct_size
        int32_t cell, pooling, bidirectional, bias
        int64_t vocab_size, input_size, hidden_size, num_layers, output_size

cdef extern from "layout.h" nogil:
    int CYLSTM_ALIGNMENT
    ctypedef struct layout:
        cylstm_config config
        int lanes, gates, states, directions
        int64_t width, units, gate_width, gate_row, head_width, parameter_count
    ctypedef struct tensor:
        char *name
        int64_t offset, rows, columns
    ctypedef struct arena:
        char *base
        int64_t used
    ctypedef struct axis:
        int64_t segments, padded, valid
    axis cylstm_axis_merged(axis a)
    axis cylstm_layout_gate_axis(const layout *l)
    int64_t cylstm_layout_tensor_count(const layout *l)
    tensor cylstm_layout_tensor(const layout *l, int64_t index)
    int64_t cylstm_product(int64_t a, int64_t b)

cdef extern from "memory.h" nogil:
    int64_t cylstm_memory_to_allocate(int64_t size)
    char *cylstm_memory_begin(void *block, int64_t size)

cdef extern from "sequences.h" nogil:
    ctypedef struct sequences:
        int64_t batch, steps, longest, rows
        int64_t *order
        int64_t *lengths
        int64_t *offsets
    void cylstm_sequences_place(sequences *s, arena *a, int64_t steps, int64_t batch)
    void cylstm_sequences_fill(sequences *s, const int64_t *lengths)

cdef extern from "kernels.h" nogil:
    ctypedef struct kernels:
        const char *name

cdef extern from "cpu.h" nogil:
    const kernels *cylstm_kernels_best()
    const kernels *cylstm_kernels_named(const char *name)

cdef extern from "blas.h" nogil:
    ctypedef struct blas:
        void (*sgemm)(void *context, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                      const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                      int64_t ldc) noexcept nogil
        void *context

cdef extern from "system.h" nogil:
    void cylstm_sleep_while_for(void *word, int value, int64_t most)

cdef extern from "guard.h" nogil:
    ctypedef struct guard:
        pass
    guard cylstm_fork_gate
    int cylstm_fork_gate_held()
    void cylstm_fork_gate_count(int more)
    bint cylstm_guard_try(guard *g, int to_write)
    bint cylstm_guard_try_queued(guard *g, int to_write)
    void cylstm_guard_queue(guard *g, int to_write)
    void cylstm_guard_dequeue(guard *g, int to_write)
    void cylstm_guard_sleep(guard *g, int to_write, int64_t most)
    void cylstm_guard_leave(guard *g, int to_write)

cdef extern from "parallel.h" nogil:
    int cylstm_processors()
    void cylstm_set_thread_budget(int threads)
    int cylstm_thread_budget()
    const char *cylstm_parallel_name()
    uintptr_t cylstm_parallel_address()

cdef extern from "plan.h" nogil:
    ctypedef struct compute:
        const kernels *kernels
        const blas *blas
    ctypedef struct plan:
        int threads
        bint split_rows
        bint fused
        int strands
        int64_t wave_steps, chunk_rows
    const char *cylstm_threshold_name(int which)
    int64_t cylstm_threshold(int which)
    void cylstm_set_threshold(int which, int64_t value)
    int64_t cylstm_plan_work(const layout *l, int64_t rows)
    plan cylstm_plan(const layout *l, int64_t rows, int64_t batch, int max_threads)
    bint cylstm_plan_blas(const compute *c, int64_t segments, int64_t m, int64_t n, int64_t k)
    bint cylstm_plan_wants_blas(const layout *l, int64_t rows, int64_t batch, bint recording)

cdef extern from "linear.h" nogil:
    ctypedef struct linear:
        pass

cdef extern from "weights.h" nogil:
    ctypedef struct recurrent_weights:
        linear input
    ctypedef struct weights:
        recurrent_weights *layers
    void cylstm_weights_place(weights *w, const layout *l, arena *forward, arena *backward)
    void cylstm_weights_set_all(weights *w, const layout *l, const float *parameters)
    void cylstm_weights_pack_forward(const weights *w, const layout *l, const kernels *isa, int threads)
    void cylstm_weights_pack_backward(const weights *w, const layout *l, const kernels *isa, int threads)
    void cylstm_weights_pack_for_dx(const weights *w, const layout *l, const kernels *isa, int threads)
    ctypedef struct packed_sizes:
        int64_t forward, backward, for_dx
    packed_sizes cylstm_weights_packed_sizes(const weights *w, const layout *l)

cdef extern from "dropout.h" nogil:
    ctypedef struct dropout:
        float probability
        uint64_t key

cdef extern from "recurrent.h" nogil:
    ctypedef enum projection:
        PROJECT_IN_STEPS
        PROJECT_BY_KERNEL
        PROJECT_BY_BLAS
    ctypedef struct segments:
        int64_t every
    projection cylstm_projection(const plan *p, const compute *c, const linear *input, int64_t rows)

cdef extern from "network.h" nogil:
    ctypedef struct network:
        layout layout
        const kernels *kernels
        weights weights
        const float *input_mean
        const float *input_std
    ctypedef struct view:
        float *data
        int64_t step, row
    ctypedef struct token_view:
        const int32_t *data
        int64_t step, row
    ctypedef struct tape:
        sequences sequences
        segments segments
        dropout dropout
        float *input
        float *initial[2]
        float *hidden
        float *gates
        float *cell
    ctypedef struct forward_call:
        const network *network
        compute compute
        plan plan
        const sequences *sequences
        tape *tape
        view x
        token_view tokens
        const float *initial[2]
        float *final[2]
        view y
        float *carried
        bint descending
    ctypedef struct backward_call:
        const network *network
        compute compute
        plan plan
        const tape *tape
        view dy
        const float *dfinal[2]
        float *dinitial[2]
        view dx
        float *dparameters
    cylstm_status cylstm_network_init(network *n, const cylstm_config *config, const kernels *k)
    void cylstm_tape_place(tape *t, const network *n, int64_t steps, int64_t batch, int64_t rows, bint with_state,
                           arena *a)
    void cylstm_tape_fill(tape *t, const int64_t *lengths, int64_t chunk_rows)
    void cylstm_forward_place(forward_call *f, int64_t steps, int64_t batch, int64_t rows, arena *a)
    void cylstm_backward_place(backward_call *b, int64_t steps, int64_t batch, int64_t rows, arena *a)
    bint cylstm_find_bad_token(const network *n, const sequences *s, const token_view *tokens, int64_t *step,
                               int64_t *sequence)
    void cylstm_network_forward(forward_call *f)
    void cylstm_network_backward(backward_call *b)

cdef extern from "loss.h" nogil:
    ctypedef enum loss_kind:
        LOSS_CROSS_ENTROPY
        LOSS_BINARY_CROSS_ENTROPY
        LOSS_SQUARED_ERROR
    ctypedef struct loss_call:
        loss_kind kind
        const kernels *kernels
        int threads
        int64_t rows, outputs
        const float *scores
        const int64_t *classes
        const float *values
        const uint8_t *mask
        float *dscores
        double *row_losses
        int64_t counted
    double cylstm_loss(loss_call *call)

cdef extern from "optim.h" nogil:
    ctypedef struct optimizer_step:
        const kernels *kernels
        int threads
        int64_t count
        float *parameters
        const float *gradients
        float *slots[2]
        double grad_scale, learning_rate, weight_decay, momentum, alpha, beta1, beta2, eps
        int64_t step
        bint nesterov, decoupled
    void cylstm_sgd(optimizer_step *s)
    void cylstm_rmsprop(optimizer_step *s)
    void cylstm_adam(optimizer_step *s)
    void cylstm_clear(float *values, int64_t count, int threads)
    double cylstm_global_norm(const float *values, int64_t count, int threads, double *sums)
    int64_t cylstm_norm_blocks(int64_t count)
