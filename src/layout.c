#include "layout.h"

#include <stdio.h>
#include <string.h>

const char *cylstm_status_name(cylstm_status status)
{
    switch (status) {
    case CYLSTM_OK: return "ok";
    case CYLSTM_INVALID_ARGUMENT: return "invalid argument";
    case CYLSTM_TOO_LARGE: return "too large";
    case CYLSTM_OUT_OF_MEMORY: return "out of memory";
    case CYLSTM_CANNOT_READ: return "cannot read";
    case CYLSTM_BAD_FILE: return "bad file";
    case CYLSTM_UNSUPPORTED: return "unsupported";
    }
    return "unknown status";
}

int64_t cylstm_product(int64_t a, int64_t b)
{
    return b != 0 && a > INT64_MAX / b ? INT64_MAX : a * b;
}

int64_t cylstm_sum(int64_t a, int64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

int64_t cylstm_round_up(int64_t n, int64_t multiple)
{
    int64_t rest = n % multiple;
    return rest == 0 ? n : cylstm_sum(n, multiple - rest);
}

void *cylstm_arena_take(arena *a, int64_t count, int64_t item_size)
{
    void *place = a->base == NULL ? NULL : a->base + a->used;
    int64_t bytes = cylstm_round_up(cylstm_product(count, item_size), CYLSTM_ALIGNMENT);
    a->used = cylstm_sum(a->used, bytes);
    return place;
}

float *cylstm_arena_floats(arena *a, int64_t count)
{
    return cylstm_arena_take(a, count, sizeof(float));
}

/* No dimension beyond 2^31 - 1: products of two then fit an int64, larger ones saturate in cylstm_product. */
static int in_range(int64_t n, int64_t least)
{
    return n >= least && n <= INT32_MAX;
}

static int config_is_valid(const cylstm_config *c)
{
    return c->struct_size == sizeof *c && c->cell >= CYLSTM_LSTM && c->cell <= CYLSTM_RNN_RELU &&
           c->pooling >= CYLSTM_POOL_NONE && c->pooling <= CYLSTM_POOL_MAX && in_range(c->vocab_size, 0) &&
           in_range(c->input_size, 1) && in_range(c->hidden_size, 1) && in_range(c->num_layers, 1) &&
           in_range(c->output_size, 0) && (c->pooling == CYLSTM_POOL_NONE || c->output_size > 0);
}

axis cylstm_axis_of(int64_t places)
{
    return (axis){.segments = 1, .padded = places, .valid = places};
}

axis cylstm_axis_merged(axis a)
{
    if (a.padded != a.valid) return a;
    return (axis){.segments = 1, .padded = a.segments * a.padded, .valid = a.segments * a.valid};
}

axis cylstm_layout_gate_axis(const layout *l)
{
    return (axis){.segments = l->gates, .padded = l->units, .valid = l->config.hidden_size};
}

axis cylstm_layout_plain_axis(int64_t valid, int lanes)
{
    return (axis){
        .segments = 1, .padded = cylstm_round_up(valid, (int64_t)CYLSTM_PANEL_VECTORS * lanes), .valid = valid};
}

panels cylstm_layout_plain_panels(int64_t columns, axis k, int lanes)
{
    int64_t panel = (int64_t)CYLSTM_PANEL_VECTORS * lanes;
    return (panels){.count = cylstm_round_up(columns, panel) / panel,
                    .k = cylstm_axis_merged(k),
                    .panel_stride = panel,
                    .vector_stride = lanes};
}

panels cylstm_layout_gate_panels(const layout *l, int64_t k)
{
    const axis inputs = cylstm_axis_of(k);
    if (l->gates == 1) return cylstm_layout_plain_panels(l->units, inputs, l->lanes);
    return (panels){.count = l->units / l->lanes, .k = inputs, .panel_stride = l->lanes, .vector_stride = l->units};
}

int64_t cylstm_panels_size(const panels *p, int lanes)
{
    return cylstm_product(cylstm_product(p->count, cylstm_panels_k(p)), (int64_t)CYLSTM_PANEL_VECTORS * lanes);
}

static layer_offsets place_layer(const layout *l, int64_t input_size, int64_t start)
{
    const int64_t rows = l->gates * l->config.hidden_size;
    layer_offsets o = {.input_size = input_size, .weight_ih = start, .bias_ih = -1, .bias_hh = -1};
    o.weight_hh = cylstm_sum(o.weight_ih, cylstm_product(rows, input_size));
    o.end = cylstm_sum(o.weight_hh, cylstm_product(rows, l->recurrent_width));
    if (l->config.bias) {
        o.bias_ih = o.end;
        o.bias_hh = cylstm_sum(o.end, rows);
        o.end = cylstm_sum(o.bias_hh, rows);
    }
    return o;
}

int64_t cylstm_layout_embedding(const layout *l)
{
    (void)l;
    return 0;
}

static int64_t embedding_size(const layout *l)
{
    return cylstm_product(l->config.vocab_size, l->config.input_size);
}

layer_offsets cylstm_layout_layer(const layout *l, int64_t layer, int direction)
{
    int64_t start = embedding_size(l);
    layer_offsets first = place_layer(l, l->config.input_size, start);
    if (layer == 0)
        return place_layer(l, l->config.input_size, cylstm_sum(start, cylstm_product(first.end - start, direction)));
    start = cylstm_sum(start, cylstm_product(first.end - start, l->directions));
    layer_offsets next = place_layer(l, l->width, start);
    int64_t before = cylstm_sum(cylstm_product(layer - 1, l->directions), direction);
    return place_layer(l, l->width, cylstm_sum(start, cylstm_product(next.end - start, before)));
}

int64_t cylstm_layout_head(const layout *l)
{
    return cylstm_layout_layer(l, l->config.num_layers - 1, l->directions - 1).end;
}

/* Rows that lie a multiple of 2 KB apart share few sets of the first cache, and a tile's rows would drive each other out:
 * a line more, and B16 T50 H500 trains in 0.98 of the time. */
static int64_t row_of(int64_t width)
{
    enum { LINE = 16, DISTANCE = 512 }; /* floats */
    return width % DISTANCE == 0 ? width + LINE : width;
}

cylstm_status cylstm_layout_init(layout *l, const cylstm_config *config, int lanes)
{
    if (!config_is_valid(config)) return CYLSTM_INVALID_ARGUMENT;
    const int64_t panel = (int64_t)CYLSTM_PANEL_VECTORS * lanes;
    memset(l, 0, sizeof *l);
    l->config = *config;
    l->lanes = lanes;
    l->gates = config->cell == CYLSTM_LSTM ? 4 : 1;
    l->states = config->cell == CYLSTM_LSTM ? 2 : 1;
    l->directions = config->bidirectional ? 2 : 1;
    l->recurrent_width = config->hidden_size;
    l->width = l->directions * l->recurrent_width;
    l->units = cylstm_round_up(config->hidden_size, l->gates == 1 ? panel : lanes);
    l->gate_width = l->gates * l->units;
    l->gate_row = row_of(l->gate_width);
    l->head_width = cylstm_round_up(config->output_size, panel);
    int64_t head = cylstm_layout_head(l);
    int64_t head_size = cylstm_product(config->output_size, l->width + 1);
    l->parameter_count = cylstm_sum(head, head_size);
    /* Room for the packed copies, a gradient and two optimiser slots of every parameter, in bytes. */
    return l->parameter_count > INT64_MAX / 256 ? CYLSTM_TOO_LARGE : CYLSTM_OK;
}

static int per_layer_tensors(const layout *l)
{
    return l->config.bias ? 4 : 2;
}

int64_t cylstm_layout_tensor_count(const layout *l)
{
    int64_t recurrent = l->config.num_layers * l->directions * per_layer_tensors(l);
    return (l->config.vocab_size > 0) + recurrent + (l->config.output_size > 0 ? 2 : 0);
}

static tensor recurrent_tensor(const layout *l, int64_t index)
{
    static const char *const kinds[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
    const int per_layer = per_layer_tensors(l), kind = (int)(index % per_layer);
    const int64_t layer = index / per_layer / l->directions;
    const int direction = (int)(index / per_layer % l->directions);
    const layer_offsets o = cylstm_layout_layer(l, layer, direction);
    const int64_t offsets[] = {o.weight_ih, o.weight_hh, o.bias_ih, o.bias_hh};
    const int64_t columns[] = {o.input_size, l->recurrent_width, 0, 0};
    tensor t = {.offset = offsets[kind], .rows = l->gates * l->config.hidden_size, .columns = columns[kind]};
    snprintf(t.name, sizeof t.name, "recurrent.%s_l%lld%s", kinds[kind], (long long)layer, direction ? "_reverse" : "");
    return t;
}

tensor cylstm_layout_tensor(const layout *l, int64_t index)
{
    const cylstm_config *c = &l->config;
    const int64_t recurrent = c->num_layers * l->directions * per_layer_tensors(l);
    if (c->vocab_size > 0) {
        if (index == 0) return (tensor){"embedding.weight", cylstm_layout_embedding(l), c->vocab_size, c->input_size};
        index--;
    }
    if (index < recurrent) return recurrent_tensor(l, index);
    const int64_t head = cylstm_layout_head(l);
    if (index == recurrent) return (tensor){"head.weight", head, c->output_size, l->width};
    return (tensor){"head.bias", head + c->output_size * l->width, c->output_size, 0};
}

/* The layer of a name such as "recurrent.bias_hh_l12_reverse"; -1: none. */
static int64_t layer_in(const char *name)
{
    const char *digits = strstr(name, "_l");
    int64_t layer = 0;
    if (digits == NULL) return -1;
    for (digits += 2; *digits >= '0' && *digits <= '9' && layer < INT32_MAX; digits++)
        layer = 10 * layer + (*digits - '0');
    return layer;
}

/* The name says where its tensor can only be; whether it is there, the names of the few that could be tell. */
int64_t cylstm_layout_find(const layout *l, const char *name)
{
    const int64_t count = cylstm_layout_tensor_count(l), layer = layer_in(name);
    const int64_t each = (int64_t)l->directions * per_layer_tensors(l);
    const int64_t first = (l->config.vocab_size > 0) + layer * each;
    for (int64_t i = first; layer >= 0 && i < first + each && i < count; i++) {
        if (strcmp(cylstm_layout_tensor(l, i).name, name) == 0) return i;
    }
    const int64_t others[] = {0, count - 2, count - 1};
    for (int i = 0; layer < 0 && i < 3; i++) {
        if (strcmp(cylstm_layout_tensor(l, others[i]).name, name) == 0) return others[i];
    }
    return -1;
}
