/* A whole network with its data, run forward and backward in memory that is exactly as large as the core says. */
#ifndef CYLSTM_TESTS_MODEL_H
#define CYLSTM_TESTS_MODEL_H

#include "check.h"

#include "network.h"

/* ---- memory that the core's own count sizes, full of NaN ---- */

static inline arena new_arena(int64_t size)
{
    arena a = {allocate_aligned(CYLSTM_ALIGNMENT, (size_t)(size > 0 ? size : CYLSTM_ALIGNMENT)), 0};
    memset(a.base, 0xFF, (size_t)size);
    return a;
}

/* ---- a network of random parameters ---- */

static inline cylstm_config draw_config(void)
{
    cylstm_config c = {
        .input_size = random_integer(1, 20), .hidden_size = random_integer(1, 40), .num_layers = random_integer(1, 3)};
    c.cell = (int32_t)random_integer(CYLSTM_LSTM, CYLSTM_RNN_RELU);
    c.bidirectional = (int32_t)random_integer(0, 1);
    c.bias = (int32_t)random_integer(0, 1);
    c.vocab_size = random_integer(0, 2) == 0 ? random_integer(1, 30) : 0;
    c.output_size = random_integer(0, 1) * random_integer(1, 20);
    c.pooling = c.output_size > 0 ? (int32_t)random_integer(CYLSTM_POOL_NONE, CYLSTM_POOL_MAX) : CYLSTM_POOL_NONE;
    return c;
}

typedef struct model {
    network net;
    float *parameters;
    char *forward_copies, *backward_copies;
    int64_t forward_size, backward_size;
} model;

static inline void pack_model(model *m)
{
    cylstm_weights_pack_forward(&m->net.weights, &m->net.layout, m->net.kernels, 1);
    cylstm_weights_pack_backward(&m->net.weights, &m->net.layout, m->net.kernels, 1);
    cylstm_weights_pack_for_dx(&m->net.weights, &m->net.layout, m->net.kernels, 1);
}

static inline model new_unpacked_model(cylstm_config config, const kernels *isa)
{
    model m;
    config.struct_size = sizeof config;
    CHECK(cylstm_network_init(&m.net, &config, isa) == CYLSTM_OK, "no network");
    m.parameters = new_random(m.net.layout.parameter_count, 0.5f);
    arena forward = {NULL, 0}, backward = {NULL, 0};
    cylstm_weights_place(&m.net.weights, &m.net.layout, &forward, &backward);
    m.forward_size = forward.used;
    m.backward_size = backward.used;
    forward = new_arena(m.forward_size);
    backward = new_arena(m.backward_size);
    m.forward_copies = forward.base;
    m.backward_copies = backward.base;
    cylstm_weights_place(&m.net.weights, &m.net.layout, &forward, &backward);
    cylstm_weights_set_all(&m.net.weights, &m.net.layout, m.parameters);
    return m;
}

static inline model new_model(cylstm_config config, const kernels *isa)
{
    model m = new_unpacked_model(config, isa);
    pack_model(&m);
    return m;
}

static inline void free_model(model *m)
{
    free(m->parameters);
    free_aligned(m->forward_copies);
    free_aligned(m->backward_copies);
}

/* ---- what goes in, and the gradients of what comes out ---- */

enum { MOST_BATCH = 64 };

typedef struct data {
    int64_t steps, batch, rows;
    int64_t lengths[MOST_BATCH];
    int64_t x_size, y_size, state_size; /* floats */
    float *x;                           /* (T, B, I), or */
    int32_t *tokens;                    /* (T, B) */
    float *state[2];                    /* (L * D, B, H) each */
    float *dy, *dstate[2];
} data;

static inline int64_t output_width(const layout *l)
{
    return l->config.output_size > 0 ? l->config.output_size : l->width;
}

static inline data new_data(const layout *l, int64_t steps, int64_t batch, int ragged)
{
    data d = {.steps = steps, .batch = batch};
    for (int64_t b = 0; b < batch; b++) {
        d.lengths[b] = !ragged || b == 0 ? steps : b == 1 ? 0 : random_integer(0, steps);
        d.rows += d.lengths[b];
    }
    d.x_size = steps * batch * l->config.input_size;
    d.y_size = (l->config.pooling ? 1 : steps) * batch * output_width(l);
    d.state_size = l->config.num_layers * l->directions * batch * l->config.hidden_size;
    d.x = new_random(d.x_size, 1.0f);
    d.dy = new_random(d.y_size, 1.0f);
    d.tokens = allocate((size_t)(steps * batch) * sizeof(int32_t));
    for (int64_t i = 0; i < steps * batch; i++)
        d.tokens[i] = (int32_t)random_integer(0, l->config.vocab_size - (l->config.vocab_size > 0));
    for (int i = 0; i < 2; i++) {
        d.state[i] = new_random(d.state_size, 1.0f);
        d.dstate[i] = new_random(d.state_size, 1.0f);
    }
    return d;
}

static inline void free_data(data *d)
{
    float *all[] = {d->x, d->dy, d->state[0], d->state[1], d->dstate[0], d->dstate[1]};
    for (int i = 0; i < 6; i++) free(all[i]);
    free(d->tokens);
}

/* ---- a call ---- */

typedef struct how {
    plan plan;
    const blas *blas;
    dropout dropout;
    int recording;
    int64_t every; /* recording: steps of a segment at least; 0: no segments */
} how;

typedef struct results {
    float *y, *state[2], *dx, *dstate[2], *dparameters;
    tape tape;
    char *memory; /* the tape's, or the sequences' */
} results;

static inline results new_results(const model *m, const data *d)
{
    results r = {.y = new_floats(d->y_size),
                 .dx = new_floats(d->x_size),
                 .dparameters = new_zeros(m->net.layout.parameter_count)};
    for (int i = 0; i < 2; i++) {
        r.state[i] = new_floats(d->state_size);
        r.dstate[i] = new_floats(d->state_size);
    }
    return r;
}

static inline void free_results(results *r)
{
    float *all[] = {r->y, r->state[0], r->state[1], r->dx, r->dstate[0], r->dstate[1], r->dparameters};
    for (int i = 0; i < 7; i++) free(all[i]);
    free_aligned(r->memory);
}

/* The caller's (T, B, width), or (B, width) where pooled. */
static inline view view_of(const float *values, int64_t batch, int64_t width)
{
    return (view){.data = (float *)values, .step = batch * width, .row = width};
}

static inline void place_tape(const model *m, const data *d, const how *h, tape *t, arena *a)
{
    *t = (tape){.dropout = h->dropout, .segments.every = h->every};
    if (h->recording) {
        cylstm_tape_place(t, &m->net, d->steps, d->batch, d->rows, 1, a);
        if (a->base != NULL) cylstm_tape_fill(t, d->lengths, h->plan.chunk_rows);
    } else {
        cylstm_sequences_place(&t->sequences, a, d->steps, d->batch);
        if (a->base != NULL) cylstm_sequences_fill(&t->sequences, d->lengths);
    }
}

static inline void run_forward(const model *m, const data *d, const how *h, results *r)
{
    arena a = {NULL, 0};
    place_tape(m, d, h, &r->tape, &a);
    a = new_arena(a.used);
    free_aligned(r->memory);
    r->memory = a.base;
    place_tape(m, d, h, &r->tape, &a);
    const layout *l = &m->net.layout;
    forward_call f = {
        .network = &m->net,
        .compute = {m->net.kernels, h->blas},
        .plan = h->plan,
        .sequences = &r->tape.sequences,
        .tape = h->recording ? &r->tape : NULL,
        .x = view_of(d->x, d->batch, l->config.input_size),
        .initial = {d->state[0], d->state[1]},
        .final = {r->state[0], r->state[1]},
        .y = view_of(r->y, d->batch, output_width(l)),
    };
    if (l->config.vocab_size > 0) f.tokens = (token_view){d->tokens, d->batch, 1};
    arena work = {NULL, 0};
    cylstm_forward_place(&f, d->steps, d->batch, d->rows, &work);
    work = new_arena(work.used);
    cylstm_forward_place(&f, d->steps, d->batch, d->rows, &work);
    cylstm_network_forward(&f);
    free_aligned(work.base);
}

/* After run_forward with recording; adds into r->dparameters. */
static inline void run_backward(const model *m, const data *d, const how *h, results *r)
{
    const layout *l = &m->net.layout;
    backward_call b = {
        .network = &m->net,
        .compute = {m->net.kernels, h->blas},
        .plan = h->plan,
        .tape = &r->tape,
        .dy = view_of(d->dy, d->batch, output_width(l)),
        .dfinal = {d->dstate[0], d->dstate[1]},
        .dinitial = {r->dstate[0], r->dstate[1]},
        .dparameters = r->dparameters,
    };
    if (l->config.vocab_size == 0) b.dx = view_of(r->dx, d->batch, l->config.input_size);
    arena work = {NULL, 0};
    cylstm_backward_place(&b, d->steps, d->batch, d->rows, &work);
    work = new_arena(work.used);
    cylstm_backward_place(&b, d->steps, d->batch, d->rows, &work);
    cylstm_network_backward(&b);
    free_aligned(work.base);
}

#endif
