#include "weights.h"

static void place_panels(panels *p, int lanes, arena *a)
{
    p->data = cylstm_arena_floats(a, cylstm_panels_size(p, lanes));
}

static linear gate_linear(const layout *l, int64_t inputs, arena *forward, arena *backward)
{
    linear m = {.outputs = cylstm_layout_gate_axis(l), .inputs = inputs};
    m.forward = cylstm_layout_gate_panels(l, inputs);
    m.backward = cylstm_layout_plain_panels(inputs, m.outputs, l->lanes);
    place_panels(&m.forward, l->lanes, forward);
    if (backward != NULL) place_panels(&m.backward, l->lanes, backward);
    return m;
}

static void place_layer(recurrent_weights *r, const layout *l, arena *forward, arena *backward)
{
    r->input = gate_linear(l, r->offsets.input_size, forward, backward);
    r->recurrent = gate_linear(l, l->recurrent_width, forward, backward);
    r->bias = cylstm_arena_floats(forward, l->gate_width);
    r->input.bias = r->bias;
}

static void place_head(weights *w, const layout *l, arena *forward, arena *backward)
{
    const int64_t outputs = l->config.output_size;
    if (outputs == 0) return;
    w->head = (linear){.outputs = cylstm_layout_plain_axis(outputs, l->lanes), .inputs = l->width};
    w->head.forward = cylstm_layout_plain_panels(outputs, cylstm_axis_of(l->width), l->lanes);
    w->head.backward = cylstm_layout_plain_panels(l->width, w->head.outputs, l->lanes);
    place_panels(&w->head.forward, l->lanes, forward);
    if (backward != NULL) place_panels(&w->head.backward, l->lanes, backward);
    w->padded_head_bias = cylstm_arena_floats(forward, l->head_width);
    w->head.bias = w->padded_head_bias;
}

void cylstm_weights_place(weights *w, const layout *l, arena *forward, arena *backward)
{
    const int64_t count = l->config.num_layers * l->directions;
    *w = (weights){.layers = cylstm_arena_take(forward, count, sizeof(recurrent_weights))};
    for (int64_t i = 0; i < count; i++) {
        recurrent_weights counted, *r = w->layers == NULL ? &counted : &w->layers[i];
        *r = (recurrent_weights){.offsets = cylstm_layout_layer(l, i / l->directions, (int)(i % l->directions))};
        place_layer(r, l, forward, backward);
    }
    place_head(w, l, forward, backward);
}

enum { EMBEDDING, INPUT_WEIGHT, RECURRENT_WEIGHT, INPUT_BIAS, RECURRENT_BIAS, HEAD_WEIGHT, HEAD_BIAS };

/* What the tensor of an index is: the embedding, a tensor of a layer in one direction, or of the head. */
typedef struct role {
    int kind;
    int64_t layer; /* layer * D + direction */
} role;

static role role_of(const layout *l, int64_t index)
{
    const int64_t embeddings = l->config.vocab_size > 0, each = l->config.bias ? 4 : 2;
    const int64_t layers = l->config.num_layers * l->directions, after = index - embeddings;
    if (index < embeddings) return (role){EMBEDDING, 0};
    if (after < layers * each) return (role){INPUT_WEIGHT + (int)(after % each), after / each};
    return (role){after == layers * each ? HEAD_WEIGHT : HEAD_BIAS, 0};
}

void cylstm_weights_set(weights *w, const layout *l, int64_t index, const float *tensor)
{
    const role is = role_of(l, index);
    recurrent_weights *r = w->layers + is.layer;
    switch (is.kind) {
    case EMBEDDING: w->embedding = tensor; break;
    case INPUT_WEIGHT: r->input.weight = tensor; break;
    case RECURRENT_WEIGHT: r->recurrent.weight = tensor; break;
    case INPUT_BIAS: r->bias_ih = tensor; break;
    case RECURRENT_BIAS: r->bias_hh = tensor; break;
    case HEAD_WEIGHT: w->head.weight = tensor; break;
    default: w->head_bias = tensor; /* HEAD_BIAS */
    }
}

void cylstm_weights_set_all(weights *w, const layout *l, const float *parameters)
{
    for (int64_t i = 0; i < cylstm_layout_tensor_count(l); i++) {
        cylstm_weights_set(w, l, i, parameters + cylstm_layout_tensor(l, i).offset);
    }
}

/* Columns of the panels are outputs, k the inputs: W^T of the row-major W (outputs, inputs). */
static void pack_panels_forward(range which, const kernels *isa, const linear *m)
{
    cylstm_pack(isa, &m->forward, which, m->weight, 1, m->outputs, m->inputs);
}

static void pack_forward(const worker *w, const kernels *isa, const linear *m)
{
    pack_panels_forward(cylstm_share(w, m->forward.count), isa, m);
}

/* Columns of the panels are inputs, k the outputs. */
static void pack_backward(const worker *w, const kernels *isa, const linear *m)
{
    cylstm_pack(isa, &m->backward, cylstm_share(w, m->backward.count), m->weight, m->inputs,
                cylstm_layout_plain_axis(m->inputs, isa->lanes), 1);
}

/* The recurrent layers' two biases enter one sum: b_ih + b_hh, gate after gate, padded. Without bias it is zero. */
static void begin_bias(const recurrent_weights *r, const layout *l)
{
    const axis a = r->input.outputs;
    for (int64_t i = 0; i < l->gate_width; i++) r->bias[i] = 0.0f;
    if (r->bias_ih == NULL) return;
    for (int64_t s = 0; s < a.segments; s++) {
        for (int64_t u = 0; u < a.valid; u++) r->bias[s * a.padded + u] = r->bias_ih[s * a.valid + u];
    }
}

static void complete_bias(const recurrent_weights *r)
{
    const axis a = r->input.outputs;
    if (r->bias_hh == NULL) return;
    for (int64_t s = 0; s < a.segments; s++) {
        for (int64_t u = 0; u < a.valid; u++) r->bias[s * a.padded + u] += r->bias_hh[s * a.valid + u];
    }
}

static void pack_bias(const recurrent_weights *r, const layout *l)
{
    begin_bias(r, l);
    complete_bias(r);
}

static void pack_head_bias(const weights *w, const layout *l)
{
    for (int64_t n = 0; n < l->head_width; n++)
        w->padded_head_bias[n] = n < l->config.output_size ? w->head_bias[n] : 0.0f;
}

static void pack_whole(const kernels *isa, const linear *m)
{
    pack_panels_forward((range){0, m->forward.count}, isa, m);
}

void cylstm_weights_pack_tensor(const weights *w, const layout *l, const kernels *isa, int64_t index)
{
    const role is = role_of(l, index);
    const recurrent_weights *r = w->layers + is.layer;
    switch (is.kind) {
    case EMBEDDING: break; /* is read as it is */
    case INPUT_WEIGHT:
        pack_whole(isa, &r->input);
        begin_bias(r, l);
        break;
    case RECURRENT_WEIGHT: pack_whole(isa, &r->recurrent); break;
    case INPUT_BIAS: begin_bias(r, l); break;
    case RECURRENT_BIAS: complete_bias(r); break;
    case HEAD_WEIGHT: pack_whole(isa, &w->head); break;
    default: pack_head_bias(w, l); /* HEAD_BIAS */
    }
}

typedef struct packing {
    const kernels *kernels;
    const weights *weights;
    const layout *layout;
} packing;

static void pack_forward_body(worker *w, void *context)
{
    const kernels *isa = ((packing *)context)->kernels;
    const weights *from = ((packing *)context)->weights;
    const layout *l = ((packing *)context)->layout;
    for (int64_t i = 0; i < l->config.num_layers * l->directions; i++) {
        pack_forward(w, isa, &from->layers[i].recurrent);
        pack_forward(w, isa, &from->layers[i].input); /* last: a network's only projection finds it in the cache */
        if (cylstm_is_first(w)) pack_bias(&from->layers[i], l);
    }
    if (l->config.output_size == 0) return;
    pack_forward(w, isa, &from->head);
    if (cylstm_is_first(w)) pack_head_bias(from, l);
}

static void pack_backward_body(worker *w, void *context)
{
    const kernels *isa = ((packing *)context)->kernels;
    const weights *from = ((packing *)context)->weights;
    const layout *l = ((packing *)context)->layout;
    for (int64_t i = 0; i < l->config.num_layers * l->directions; i++) {
        if (i >= l->directions) pack_backward(w, isa, &from->layers[i].input);
        pack_backward(w, isa, &from->layers[i].recurrent);
    }
    if (l->config.output_size > 0) pack_backward(w, isa, &from->head);
}

static void pack_for_dx_body(worker *w, void *context)
{
    const packing *p = context;
    for (int d = 0; d < p->layout->directions; d++) pack_backward(w, p->kernels, &p->weights->layers[d].input);
}

void cylstm_weights_pack_forward(const weights *w, const layout *l, const kernels *isa, int threads)
{
    packing context = {isa, w, l};
    cylstm_parallel_run(cylstm_plan_copy_threads(l->parameter_count, threads), pack_forward_body, &context);
}

void cylstm_weights_pack_backward(const weights *w, const layout *l, const kernels *isa, int threads)
{
    packing context = {isa, w, l};
    cylstm_parallel_run(cylstm_plan_copy_threads(l->parameter_count, threads), pack_backward_body, &context);
}

void cylstm_weights_pack_for_dx(const weights *w, const layout *l, const kernels *isa, int threads)
{
    packing context = {isa, w, l};
    cylstm_parallel_run(cylstm_plan_copy_threads(l->parameter_count, threads), pack_for_dx_body, &context);
}

static int64_t packed_bytes(const panels *p, const layout *l)
{
    return cylstm_panels_size(p, l->lanes) * (int64_t)sizeof(float);
}

packed_sizes cylstm_weights_packed_sizes(const weights *w, const layout *l)
{
    packed_sizes sizes = {0};
    for (int64_t i = 0; i < l->config.num_layers * l->directions; i++) {
        const recurrent_weights *r = &w->layers[i];
        const int64_t bias = l->gate_width * (int64_t)sizeof(float);
        sizes.forward += packed_bytes(&r->input.forward, l) + packed_bytes(&r->recurrent.forward, l) + bias;
        sizes.backward += packed_bytes(&r->recurrent.backward, l);
        *(i < l->directions ? &sizes.for_dx : &sizes.backward) += packed_bytes(&r->input.backward, l);
    }
    if (l->config.output_size == 0) return sizes;
    sizes.forward += packed_bytes(&w->head.forward, l) + l->head_width * (int64_t)sizeof(float);
    sizes.backward += packed_bytes(&w->head.backward, l);
    return sizes;
}
