/* Where sequences stand, and their calls: a step, which is placed once, and blocks, placed anew in the same memory. */
#include <string.h>

#include "memory.h"
#include "model.h"

struct cylstm_state {
    const cylstm_model *model;
    int64_t batch, max_steps;
    int max_threads;
    float *values; /* h (L * D, B, H), c likewise, what pooling carries (B, D * H + 1) */
    int64_t count;
    float *parts[CYLSTM_MAX_STATES], *carried;
    int has_ended; /* the sequences of a bidirectional model, which have been read from both ends: none can go on */
    sequences one; /* step of all B sequences */
    forward_call step;
    char *work; /* of a call */
    int64_t work_size;
    cylstm_allocator allocator;
    void *block; /* NULL: the caller's */
};

/* ---- memory ---- */

/* What options say, with what they leave out. */
static int read_options(const cylstm_state_options *given, cylstm_state_options *o)
{
    if (!cylstm_read_struct(o, sizeof *o, given)) return 0;
    if (o->batch == 0) o->batch = 1;
    if (o->max_steps == 0) o->max_steps = 1;
    if (o->max_threads == 0) o->max_threads = 1;
    return o->batch > 0 && o->max_steps > 0 && o->max_threads > 0 && o->max_threads <= CYLSTM_MAX_TEAM;
}

static int carries(const layout *l)
{
    return l->config.pooling == CYLSTM_POOL_MEAN || l->config.pooling == CYLSTM_POOL_MAX;
}

static void place_values(cylstm_state *s, const layout *l, arena *a)
{
    const int64_t part = cylstm_product(l->config.num_layers * l->directions,
                                        cylstm_product(s->batch, l->config.hidden_size));
    const int64_t carried = carries(l) ? cylstm_product(s->batch, l->width + 1) : 0;
    s->count = cylstm_sum(cylstm_product(l->states, part), carried);
    s->values = cylstm_arena_floats(a, s->count);
    if (s->values == NULL) return;
    for (int i = 0; i < l->states; i++) s->parts[i] = s->values + i * part;
    if (carried > 0) s->carried = s->values + l->states * part;
}

/* A call over `rows` rows, on so many threads, without what it reads and writes. */
static forward_call new_call(const cylstm_state *s, int64_t rows, int threads)
{
    const network *n = &s->model->net;
    forward_call f = {.network = n,
                      .compute.kernels = n->kernels,
                      .plan = cylstm_plan(&n->layout, rows, s->batch, threads),
                      .carried = s->carried};
    for (int i = 0; i < n->layout.states; i++) f.initial[i] = f.final[i] = s->parts[i];
    return f;
}

/* The most that a block takes: with as many strands as any plan has. */
static int64_t block_size(const cylstm_state *s)
{
    const layout *l = &s->model->net.layout;
    const int64_t rows = cylstm_product(s->max_steps, s->batch);
    forward_call f = new_call(s, rows, s->max_threads);
    sequences tables;
    arena a = {NULL, 0};
    if (s->max_threads > 1) f.plan.strands = cylstm_plan_most_strands(l, s->max_threads);
    cylstm_sequences_place(&tables, &a, s->max_steps, s->batch);
    cylstm_forward_place(&f, s->max_steps, s->batch, rows, &a);
    return a.used;
}

/* Places what a state has beside itself, or counts. */
static void place_state(cylstm_state *s, arena *a)
{
    arena step = {NULL, 0};
    place_values(s, &s->model->net.layout, a);
    cylstm_sequences_place(&s->one, a, 1, s->batch);
    s->step = new_call(s, s->batch, 1);
    cylstm_forward_place(&s->step, 1, s->batch, s->batch, &step);
    s->work_size = block_size(s);
    if (s->work_size < step.used) s->work_size = step.used;
    s->work = cylstm_arena_take(a, s->work_size, 1);
    if (s->work == NULL) return;
    step = (arena){s->work, 0};
    cylstm_forward_place(&s->step, 1, s->batch, s->batch, &step);
    cylstm_sequences_fill(&s->one, NULL);
    s->step.sequences = &s->one;
    cylstm_state_reset(s);
}

/* How many bytes it takes; what it will be, but for memory. */
static int64_t count_state(const cylstm_model *model, const cylstm_state_options *o, cylstm_state *counted)
{
    arena a = {NULL, 0};
    *counted = (cylstm_state){
        .model = model, .batch = o->batch, .max_steps = o->max_steps, .max_threads = o->max_threads};
    (void)cylstm_arena_take(&a, 1, sizeof *counted);
    place_state(counted, &a);
    return a.used;
}

static cylstm_state *begin_state(const cylstm_state *counted, void *memory)
{
    arena a = {memory, 0};
    cylstm_state *s = cylstm_arena_take(&a, 1, sizeof *s);
    *s = *counted;
    place_state(s, &a);
    return s;
}

int64_t cylstm_state_bytes(const cylstm_model *model, const cylstm_state_options *options)
{
    cylstm_state_options o;
    cylstm_state counted;
    return read_options(options, &o) ? count_state(model, &o, &counted) : -1;
}

cylstm_status cylstm_state_place(const cylstm_model *model, const cylstm_state_options *options, void *memory,
                                 size_t size, cylstm_state **state)
{
    cylstm_state_options o;
    cylstm_state counted;
    *state = NULL;
    if (!read_options(options, &o) || (uintptr_t)memory % CYLSTM_ALIGNMENT != 0) return CYLSTM_INVALID_ARGUMENT;
    const int64_t bytes = count_state(model, &o, &counted);
    if (bytes == INT64_MAX || (uint64_t)bytes > size) return CYLSTM_INVALID_ARGUMENT;
    *state = begin_state(&counted, memory);
    return CYLSTM_OK;
}

cylstm_status cylstm_state_new(const cylstm_model *model, const cylstm_state_options *options, cylstm_state **state)
{
    cylstm_state_options o;
    cylstm_state counted;
    *state = NULL;
    if (!read_options(options, &o)) return CYLSTM_INVALID_ARGUMENT;
    const int64_t bytes = count_state(model, &o, &counted), to_allocate = cylstm_memory_to_allocate(bytes);
    if (to_allocate == INT64_MAX || (uint64_t)to_allocate > SIZE_MAX) return CYLSTM_TOO_LARGE;
    counted.allocator = cylstm_allocator_or_default(&o.allocator);
    counted.block = counted.allocator.allocate(counted.allocator.context, (size_t)to_allocate);
    if (counted.block == NULL) return CYLSTM_OUT_OF_MEMORY;
    *state = begin_state(&counted, cylstm_memory_begin(counted.block, bytes));
    return CYLSTM_OK;
}

void cylstm_state_free(cylstm_state *state)
{
    if (state == NULL || state->block == NULL) return;
    const cylstm_allocator a = state->allocator;
    a.release(a.context, state->block);
}

/* ---- its numbers ---- */

void cylstm_state_reset(cylstm_state *state)
{
    for (int64_t i = 0; i < state->count; i++) state->values[i] = 0.0f;
    state->has_ended = 0;
}

int64_t cylstm_state_count(const cylstm_state *state)
{
    return state->count;
}

void cylstm_state_get(const cylstm_state *state, float *values)
{
    memcpy(values, state->values, (size_t)state->count * sizeof(float));
}

void cylstm_state_set(cylstm_state *state, const float *values)
{
    memcpy(state->values, values, (size_t)state->count * sizeof(float));
    state->has_ended = 0;
}

cylstm_status cylstm_state_read(const cylstm_state *state, int64_t count, float *values)
{
    if (count != state->count) return CYLSTM_INVALID_ARGUMENT;
    cylstm_state_get(state, values);
    return CYLSTM_OK;
}

cylstm_status cylstm_state_write(cylstm_state *state, int64_t count, const float *values)
{
    if (count != state->count) return CYLSTM_INVALID_ARGUMENT;
    cylstm_state_set(state, values);
    return CYLSTM_OK;
}

cylstm_status cylstm_state_copy(cylstm_state *to, const cylstm_state *from)
{
    if (to->model != from->model || to->batch != from->batch) return CYLSTM_INVALID_ARGUMENT;
    memmove(to->values, from->values, (size_t)to->count * sizeof(float));
    to->has_ended = from->has_ended;
    return CYLSTM_OK;
}

/* ---- a step ---- */

static cylstm_status run_step(cylstm_state *s, const float *x, const double *doubles, const int32_t *tokens, float *y)
{
    forward_call *f = &s->step;
    const layout *l = &f->network->layout;
    const int64_t width = cylstm_output_width(s->model);
    int64_t step, sequence;
    if (l->directions > 1 || (l->config.vocab_size > 0) != (tokens != NULL)) return CYLSTM_UNSUPPORTED;
    f->x = (view){.data = (float *)x, .step = s->batch * l->config.input_size, .row = l->config.input_size};
    f->doubles = doubles;
    f->tokens = (token_view){.data = tokens, .step = s->batch, .row = 1};
    f->y = (view){.data = y, .step = s->batch * width, .row = width};
    if (tokens != NULL && cylstm_find_bad_token(f->network, &s->one, &f->tokens, &step, &sequence))
        return CYLSTM_INVALID_ARGUMENT;
    cylstm_network_forward(f);
    f->descending = !f->descending;
    return CYLSTM_OK;
}

cylstm_status cylstm_step(cylstm_state *state, const float *x, float *y)
{
    return run_step(state, x, NULL, NULL, y);
}

cylstm_status cylstm_step_doubles(cylstm_state *state, const double *x, float *y)
{
    return run_step(state, NULL, x, NULL, y);
}

cylstm_status cylstm_step_tokens(cylstm_state *state, const int32_t *tokens, float *y)
{
    return run_step(state, NULL, NULL, tokens, y);
}

/* ---- a block ---- */

static cylstm_status check_lengths(const cylstm_state *s, const cylstm_call *c, message m, int64_t *rows)
{
    *rows = c->steps * s->batch;
    if (c->lengths == NULL) return CYLSTM_OK;
    *rows = 0;
    for (int64_t b = 0; b < s->batch; b++) {
        if (c->lengths[b] < 0 || c->lengths[b] > c->steps) {
            return cylstm_fail(m, CYLSTM_INVALID_ARGUMENT, "lengths[%lld]: expected 0 .. %lld, got %lld", (long long)b,
                               (long long)c->steps, (long long)c->lengths[b]);
        }
        *rows += c->lengths[b];
    }
    return CYLSTM_OK;
}

static cylstm_status check_call(const cylstm_state *s, const cylstm_call *c, message m)
{
    const int takes_tokens = s->model->net.layout.config.vocab_size > 0;
    if (c->steps < 1) {
        return cylstm_fail(m, CYLSTM_INVALID_ARGUMENT, "steps: expected 1 or more, got %lld", (long long)c->steps);
    }
    if (c->steps > s->max_steps) {
        return cylstm_fail(m, CYLSTM_TOO_LARGE, "steps: expected at most the announced %lld, got %lld",
                           (long long)s->max_steps, (long long)c->steps);
    }
    if (c->threads < 0) {
        return cylstm_fail(m, CYLSTM_INVALID_ARGUMENT, "threads: expected 0 or more, got %d", (int)c->threads);
    }
    if (c->threads > s->max_threads) {
        return cylstm_fail(m, CYLSTM_TOO_LARGE, "threads: expected at most the announced %d, got %d", s->max_threads,
                           (int)c->threads);
    }
    if (c->y == NULL) return cylstm_fail(m, CYLSTM_INVALID_ARGUMENT, "y: expected an array, got NULL");
    if (takes_tokens != (c->tokens != NULL) || (c->x != NULL) + (c->doubles != NULL) + (c->tokens != NULL) != 1) {
        return cylstm_fail(m, CYLSTM_INVALID_ARGUMENT, "x, doubles, tokens: expected %s alone",
                           takes_tokens ? "tokens" : "x or doubles");
    }
    if (s->has_ended) {
        return cylstm_fail(m, CYLSTM_INVALID_ARGUMENT,
                           "state: its sequences have ended, as the model is bidirectional; reset it");
    }
    return CYLSTM_OK;
}

static cylstm_status run_block(cylstm_state *s, const cylstm_call *c, int64_t rows, message m)
{
    const network *n = &s->model->net;
    const layout *l = &n->layout;
    const int64_t width = cylstm_output_width(s->model), inputs = l->config.input_size, batch = s->batch;
    forward_call f = new_call(s, rows, c->threads > 0 ? c->threads : 1);
    sequences tables;
    arena a = {s->work, 0};
    int64_t step, sequence;
    cylstm_sequences_place(&tables, &a, c->steps, batch);
    cylstm_sequences_fill(&tables, c->lengths);
    f.sequences = &tables;
    f.x = (view){.data = (float *)c->x, .step = batch * inputs, .row = inputs};
    f.doubles = c->doubles;
    f.tokens = (token_view){.data = c->tokens, .step = batch, .row = 1};
    f.y = (view){.data = c->y, .step = l->config.pooling ? 0 : batch * width, .row = width};
    cylstm_forward_place(&f, c->steps, batch, rows, &a);
    if (c->tokens != NULL && cylstm_find_bad_token(n, &tables, &f.tokens, &step, &sequence)) {
        return cylstm_fail(m, CYLSTM_INVALID_ARGUMENT,
                           "tokens: expected 0 .. %lld, got %d at step %lld of sequence %lld",
                           (long long)l->config.vocab_size - 1, (int)c->tokens[step * batch + sequence],
                           (long long)step, (long long)sequence);
    }
    if (s->model->blas.sgemm != NULL && cylstm_plan_wants_blas(l, rows, batch, 0)) f.compute.blas = &s->model->blas;
    cylstm_network_forward(&f);
    s->has_ended = l->directions > 1;
    return CYLSTM_OK;
}

cylstm_status cylstm_call_run(cylstm_state *state, const cylstm_call *call)
{
    cylstm_call c;
    int64_t rows;
    const int is_ours = cylstm_read_struct(&c, sizeof c, call);
    const message m = {c.message, c.message_size};
    if (m.text != NULL && m.size > 0) m.text[0] = '\0';
    if (!is_ours)
        return cylstm_fail(m, CYLSTM_INVALID_ARGUMENT, "call: expected no member that only a later version has");
    cylstm_status status = check_call(state, &c, m);
    if (status == CYLSTM_OK) status = check_lengths(state, &c, m, &rows);
    return status == CYLSTM_OK ? run_block(state, &c, rows, m) : status;
}

cylstm_status cylstm_run(cylstm_state *state, int64_t steps, const float *x, float *y)
{
    return cylstm_call_run(state, &(cylstm_call){.struct_size = sizeof(cylstm_call), .steps = steps, .x = x, .y = y});
}

cylstm_status cylstm_run_doubles(cylstm_state *state, int64_t steps, const double *x, float *y)
{
    return cylstm_call_run(state,
                           &(cylstm_call){.struct_size = sizeof(cylstm_call), .steps = steps, .doubles = x, .y = y});
}

cylstm_status cylstm_run_tokens(cylstm_state *state, int64_t steps, const int32_t *tokens, float *y)
{
    return cylstm_call_run(
        state, &(cylstm_call){.struct_size = sizeof(cylstm_call), .steps = steps, .tokens = tokens, .y = y});
}
