/* cylstm's streaming step as a C program calls it: memory placed once, then one call a step. */
#include <stdlib.h>

#include "cpu.h"
#include "network.h"

typedef struct stream {
    network net;
    forward_call call;
    sequences sequences;
    char *copies, *memory;
    float *state; /* h, then c */
} stream;

static char *allocate(int64_t size)
{
    return aligned_alloc(CYLSTM_ALIGNMENT, (size_t)cylstm_round_up(size, CYLSTM_ALIGNMENT));
}

static void pack(stream *s, const float *parameters)
{
    const layout *l = &s->net.layout;
    arena place = {NULL, 0};
    cylstm_weights_place(&s->net.weights, l, &place, NULL);
    place = (arena){s->copies = allocate(place.used), 0};
    cylstm_weights_place(&s->net.weights, l, &place, NULL);
    cylstm_weights_set_all(&s->net.weights, l, parameters);
    cylstm_weights_pack_forward(&s->net.weights, l, s->net.kernels, 1);
}

static void place_call(stream *s, arena *a)
{
    cylstm_sequences_place(&s->sequences, a, 1, 1);
    cylstm_forward_place(&s->call, 1, 1, 1, a);
}

/* A stream of one sequence by the named kernels. Parameters, which must outlive it: W_ih, W_hh, b_ih, b_hh as PyTorch
 * has them. */
void *core_make(int64_t inputs, int64_t hidden, const float *parameters, const char *isa)
{
    const cylstm_config config = {.struct_size = sizeof config,
                                  .cell = CYLSTM_LSTM,
                                  .bias = 1,
                                  .input_size = inputs,
                                  .hidden_size = hidden,
                                  .num_layers = 1};
    const kernels *isa_kernels = cylstm_kernels_named(isa);
    stream *s = calloc(1, sizeof *s);
    if (s == NULL || isa_kernels == NULL) abort();
    cylstm_network_init(&s->net, &config, isa_kernels);
    pack(s, parameters);
    s->state = calloc((size_t)(2 * hidden), sizeof(float));
    s->call = (forward_call){.network = &s->net,
                             .compute = {isa_kernels, NULL},
                             .plan = cylstm_plan(&s->net.layout, 1, 1, 1),
                             .sequences = &s->sequences,
                             .initial = {s->state, s->state + hidden},
                             .final = {s->state, s->state + hidden}};
    arena place = {NULL, 0};
    place_call(s, &place);
    place = (arena){s->memory = allocate(place.used), 0};
    place_call(s, &place);
    cylstm_sequences_fill(&s->sequences, NULL);
    return s;
}

/* x (steps, I) -> y (steps, H), one call a step. */
void core_run(void *made, const float *x, int64_t steps, float *y)
{
    stream *s = made;
    const cylstm_config *c = &s->net.layout.config;
    for (int64_t t = 0; t < steps; t++) {
        s->call.x = (view){.data = (float *)x + t * c->input_size, .row = c->input_size};
        s->call.y = (view){.data = y + t * c->hidden_size, .row = c->hidden_size};
        cylstm_network_forward(&s->call);
        s->call.descending ^= 1;
    }
}

void core_free(void *made)
{
    stream *s = made;
    free(s->copies);
    free(s->memory);
    free(s->state);
    free(s);
}
