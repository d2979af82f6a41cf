/*
 * Networks forward and backward, with inputs that are the same wherever this runs: names the bits of all that a caller
 * sees, for each instruction set with FMA. They must be the same, here and in what this prints on another processor.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_bits.c libcylstm.a -lm -o test_bits && ./test_bits
 */
#include "model.h"

#include "random.h"

enum { PARTS = 7 };

typedef struct problem {
    const char *name;
    int32_t cell, bias, bidirectional, pooling;
    int64_t vocabulary, inputs, hidden, layers, outputs, steps, batch;
} problem;

/* Widths of part of a vector and of several panels; batches of part of a tile and of several; one with more rows than a
 * chunk has (the tokens). */
static const problem problems[] = {
    {"lstm", CYLSTM_LSTM, 1, 0, CYLSTM_POOL_NONE, 0, 7, 16, 1, 0, 9, 3},
    {"lstm-one-sequence", CYLSTM_LSTM, 1, 0, CYLSTM_POOL_NONE, 0, 33, 65, 2, 0, 20, 1},
    {"lstm-deep", CYLSTM_LSTM, 1, 1, CYLSTM_POOL_NONE, 0, 17, 19, 3, 5, 12, 14},
    {"lstm-wide", CYLSTM_LSTM, 0, 1, CYLSTM_POOL_NONE, 0, 40, 130, 1, 70, 7, 31},
    {"lstm-tokens", CYLSTM_LSTM, 1, 0, CYLSTM_POOL_NONE, 50, 12, 24, 1, 50, 60, 20},
    {"lstm-last", CYLSTM_LSTM, 1, 1, CYLSTM_POOL_LAST, 0, 3, 31, 1, 4, 11, 9},
    {"lstm-mean", CYLSTM_LSTM, 1, 1, CYLSTM_POOL_MEAN, 0, 3, 31, 1, 4, 11, 9},
    {"lstm-max", CYLSTM_LSTM, 1, 1, CYLSTM_POOL_MAX, 0, 3, 31, 1, 4, 11, 9},
    {"rnn-tanh", CYLSTM_RNN_TANH, 1, 1, CYLSTM_POOL_NONE, 0, 65, 66, 2, 0, 15, 18},
    {"rnn-relu", CYLSTM_RNN_RELU, 0, 1, CYLSTM_POOL_NONE, 0, 9, 33, 2, 3, 10, 12},
    {"rnn-zeros", CYLSTM_RNN_RELU, 1, 1, CYLSTM_POOL_NONE, 0, 1, 1, 1, 0, 7, 31}, /* all weights -0: so are some sums */
};

static cylstm_config config_of(const problem *p)
{
    return (cylstm_config){.cell = p->cell,
                           .pooling = p->pooling,
                           .bidirectional = p->bidirectional,
                           .bias = p->bias,
                           .vocab_size = p->vocabulary,
                           .input_size = p->inputs,
                           .hidden_size = p->hidden,
                           .num_layers = p->layers,
                           .output_size = p->outputs};
}

/* ---- inputs that follow from their place alone ---- */

static uint32_t word_at(int64_t place, uint64_t key)
{
    return cylstm_philox((random_block){{(uint32_t)place}}, key).word[0];
}

/* In -size .. size; each operation is exact but for the last product. */
static void draw(float *values, int64_t count, float size, uint64_t key)
{
    for (int64_t i = 0; i < count; i++) values[i] = size * ((float)(word_at(i, key) >> 8) / 8388608.0f - 1.0f);
}

/* The first sequence has all steps, the second none. */
static void draw_lengths(data *d)
{
    d->rows = 0;
    for (int64_t b = 0; b < d->batch; b++) {
        d->lengths[b] = b == 0 ? d->steps : b == 1 ? 0 : word_at(b, 1) % (uint32_t)(d->steps + 1);
        d->rows += d->lengths[b];
    }
}

static void draw_parameters(const problem *p, model *m)
{
    const int64_t count = m->net.layout.parameter_count;
    draw(m->parameters, count, 0.3f, 2);
    if (strcmp(p->name, "rnn-zeros") == 0) {
        for (int64_t i = 0; i < count; i++) m->parameters[i] = -0.0f;
    }
    pack_model(m);
}

static void draw_data(const layout *l, data *d)
{
    draw_lengths(d);
    draw(d->x, d->x_size, 2.0f, 3);
    draw(d->dy, d->y_size, 1.0f, 4);
    for (uint64_t i = 0; i < 2; i++) {
        draw(d->state[i], d->state_size, 1.0f, 5 + i);
        draw(d->dstate[i], d->state_size, 1.0f, 7 + i);
    }
    if (l->config.vocab_size == 0) return;
    for (int64_t i = 0; i < d->steps * d->batch; i++)
        d->tokens[i] = (int32_t)(word_at(i, 9) % (uint32_t)l->config.vocab_size);
}

/* ---- what comes out ---- */

typedef struct part {
    const char *name;
    const float *values;
    int64_t count;
} part;

/* What a network does not have is of no size. */
static void list_parts(const model *m, const data *d, const results *r, part parts[PARTS])
{
    const layout *l = &m->net.layout;
    const int64_t second = l->states > 1 ? d->state_size : 0, dx = l->config.vocab_size == 0 ? d->x_size : 0;
    const part all[PARTS] = {
        {"y", r->y, d->y_size},
        {"h", r->state[0], d->state_size},
        {"c", r->state[1], second},
        {"dx", r->dx, dx},
        {"dh", r->dstate[0], d->state_size},
        {"dc", r->dstate[1], second},
        {"dparameters", r->dparameters, l->parameter_count},
    };
    memcpy(parts, all, sizeof all);
}

static void name_bits(const problem *p, const kernels *isa, uint64_t bits[PARTS])
{
    model m = new_model(config_of(p), isa);
    data d = new_data(&m.net.layout, p->steps, p->batch, 0);
    draw_parameters(p, &m);
    draw_data(&m.net.layout, &d);
    const how h = {.plan = cylstm_plan(&m.net.layout, d.rows, d.batch, 1), .recording = 1};
    results r = new_results(&m, &d);
    run_forward(&m, &d, &h, &r);
    run_backward(&m, &d, &h, &r);
    part parts[PARTS];
    list_parts(&m, &d, &r, parts);
    for (int i = 0; i < PARTS; i++) {
        bits[i] = digest(0, parts[i].values, parts[i].count);
        for (int64_t n = 0; n < parts[i].count; n++)
            CHECK(isfinite(parts[i].values[n]), "%s of %s at %d: a NaN hides bits", parts[i].name, p->name, (int)n);
        if (parts[i].count > 0) print_bits(isa->name, p->name, parts[i].name, bits[i]);
    }
    free_results(&r);
    free_data(&d);
    free_model(&m);
}

int main(void)
{
    const kernels *isas[MOST_ISAS];
    const int count = find_isas(isas);
    for (size_t p = 0; p < sizeof problems / sizeof *problems; p++) {
        uint64_t bits[PARTS] = {0}, before[PARTS];
        for (int i = 0; i < count; i++) {
            if (!has_fma(isas[i])) continue;
            memcpy(before, bits, sizeof bits);
            name_bits(&problems[p], isas[i], bits);
            if (i > 0 && has_fma(isas[i - 1]))
                CHECK(memcmp(bits, before, sizeof bits) == 0, "%s: not the same on %s and %s", problems[p].name,
                      isas[i - 1]->name, isas[i]->name);
        }
    }
    return report("bits");
}
