#include "weights.h"

static void place_panels(panels *p, int lanes, arena *a)
{
    p->data = cylstm_arena_floats(a, cylstm_panels_size(p, lanes));
}

static linear gate_linear(const layout *l, int64_t inputs, arena *forward, arena *backward)
{
    linear m = {.outputs = cylstm_layout_gate_axis(l), .inputs = inputs};
    m.forward = cylstm_layout_gate_panels(l, inputs);
    m.backward = cylstm_layout_plain_panels(inputs, l->gate_width, l->lanes);
    place_panels(&m.forward, l->lanes, forward);
    if (backward != NULL) place_panels(&m.backward, l->lanes, backward);
    return m;
}

static void place_layer(recurrent_weights *r, const layout *l, const float *parameters, arena *forward, arena *backward)
{
    r->input = gate_linear(l, r->offsets.input_size, forward, backward);
    r->recurrent = gate_linear(l, l->recurrent_width, forward, backward);
    r->bias = cylstm_arena_floats(forward, l->gate_width);
    if (parameters == NULL) return;
    r->input.bias = r->bias;
    r->input.weight = parameters + r->offsets.weight_ih;
    r->recurrent.weight = parameters + r->offsets.weight_hh;
}

static void place_head(weights *w, const layout *l, const float *parameters, arena *forward, arena *backward)
{
    const int64_t outputs = l->config.output_size;
    if (outputs == 0) return;
    w->head = (linear){.outputs = cylstm_layout_plain_axis(outputs, l->lanes), .inputs = l->width};
    w->head.forward = cylstm_layout_plain_panels(outputs, l->width, l->lanes);
    w->head.backward = cylstm_layout_plain_panels(l->width, l->head_width, l->lanes);
    place_panels(&w->head.forward, l->lanes, forward);
    if (backward != NULL) place_panels(&w->head.backward, l->lanes, backward);
    w->head_bias = cylstm_arena_floats(forward, l->head_width);
    if (parameters == NULL) return;
    w->head.bias = w->head_bias;
    w->head.weight = parameters + cylstm_layout_head(l);
}

void cylstm_weights_place(weights *w, const layout *l, const float *parameters, arena *forward, arena *backward)
{
    const int64_t count = l->config.num_layers * l->directions;
    *w = (weights){.parameters = parameters};
    w->layers = cylstm_arena_take(forward, count, sizeof(recurrent_weights));
    for (int64_t i = 0; i < count; i++) {
        recurrent_weights counted, *r = w->layers == NULL ? &counted : &w->layers[i];
        *r = (recurrent_weights){.offsets = cylstm_layout_layer(l, i / l->directions, (int)(i % l->directions))};
        place_layer(r, l, parameters, forward, backward);
    }
    place_head(w, l, parameters, forward, backward);
}

/* Columns of the panels are outputs, k the inputs: W^T of the row-major W (outputs, inputs). */
static void pack_forward(const worker *w, const kernels *isa, const linear *m)
{
    const axis inputs = {.segments = 1, .padded = m->inputs, .valid = m->inputs};
    cylstm_pack(isa, &m->forward, cylstm_share(w, m->forward.count), m->weight, inputs, 1, m->outputs, m->inputs);
}

/* Columns of the panels are inputs, k the outputs. */
static void pack_backward(const worker *w, const kernels *isa, const linear *m)
{
    cylstm_pack(isa, &m->backward, cylstm_share(w, m->backward.count), m->weight, m->outputs, m->inputs,
                cylstm_layout_plain_axis(m->inputs, isa->lanes), 1);
}

/* The recurrent layers' two biases enter one sum: b_ih + b_hh, gate after gate, padded. */
static void pack_bias(const recurrent_weights *r, const layout *l, const float *parameters)
{
    const axis a = r->input.outputs;
    for (int64_t i = 0; i < l->gate_width; i++) r->bias[i] = 0.0f;
    if (r->offsets.bias_ih < 0) return;
    for (int64_t s = 0; s < a.segments; s++) {
        const float *ih = parameters + r->offsets.bias_ih + s * a.valid;
        const float *hh = parameters + r->offsets.bias_hh + s * a.valid;
        for (int64_t u = 0; u < a.valid; u++) r->bias[s * a.padded + u] = ih[u] + hh[u];
    }
}

static void pack_head_bias(const weights *w, const layout *l)
{
    const float *bias = w->head.weight + l->config.output_size * l->width;
    for (int64_t n = 0; n < l->head_width; n++) w->head_bias[n] = n < l->config.output_size ? bias[n] : 0.0f;
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
        pack_forward(w, isa, &from->layers[i].input);
        pack_forward(w, isa, &from->layers[i].recurrent);
        if (cylstm_is_first(w)) pack_bias(&from->layers[i], l, from->parameters);
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
