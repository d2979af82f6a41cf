#include "network.h"

#include <string.h>

cylstm_status cylstm_network_init(network *n, const cylstm_config *config, const kernels *k)
{
    *n = (network){.kernels = k};
    return cylstm_layout_init(&n->layout, config, k->lanes);
}

/* ---- memory ---- */

static int has_head(const network *n)
{
    return n->layout.config.output_size > 0;
}

static int is_pooled(const network *n)
{
    return n->layout.config.pooling != CYLSTM_POOL_NONE;
}

/* Rows the head works on. */
static int64_t head_rows(const network *n, int64_t batch, int64_t rows)
{
    return is_pooled(n) ? batch : rows;
}

/* The bounds and the states of as many segments as so many steps can make. */
static void place_segments(tape *t, const layout *l, int64_t steps, int64_t batch, arena *a)
{
    const int64_t most = steps / t->segments.every + 1;
    const int64_t state = cylstm_product(cylstm_product(batch, l->units), l->states);
    const int64_t all = cylstm_product(most, l->config.num_layers * l->directions);
    t->segments.bounds = cylstm_arena_take(a, most + 1, sizeof(int64_t));
    t->states = cylstm_arena_floats(a, cylstm_product(all, state));
}

/* The most rows of a segment: one step less than enough, and a chunk. */
static int64_t segment_rows(const tape *t, int64_t rows, int64_t chunk)
{
    const int64_t most = cylstm_sum(cylstm_product(t->segments.every - 1, t->sequences.batch), chunk);
    return rows < most ? rows : most;
}

void cylstm_tape_fill(tape *t, const int64_t *lengths, int64_t chunk_rows)
{
    segments *s = &t->segments;
    chunk at, previous, *before = NULL;
    cylstm_sequences_fill(&t->sequences, lengths);
    if (s->every == 0) return;
    s->count = 0;
    s->bounds[0] = 0;
    while (cylstm_next_chunk(&t->sequences, chunk_rows, 0, before, &at)) {
        if (at.end - s->bounds[s->count] >= s->every || at.end == t->sequences.longest) s->bounds[++s->count] = at.end;
        previous = at;
        before = &previous;
    }
}

void cylstm_tape_place(tape *t, const network *n, int64_t steps, int64_t batch, int64_t rows, int with_state, arena *a)
{
    const layout *l = &n->layout;
    const int64_t stacks = l->config.num_layers * l->directions;
    const int64_t state_size = cylstm_product(cylstm_product(stacks, batch), l->config.hidden_size);
    cylstm_sequences_place(&t->sequences, a, steps, batch);
    t->input = cylstm_arena_floats(a, cylstm_product(rows, l->config.input_size));
    t->hidden = cylstm_arena_floats(a, cylstm_product(cylstm_product(rows, l->config.num_layers), l->width));
    if (t->segments.every > 0) {
        place_segments(t, l, steps, batch, a);
    } else {
        const int64_t all = cylstm_product(rows, stacks);
        t->gates = cylstm_arena_floats(a, cylstm_product(all, l->gate_row));
        if (l->states > 1) t->cell = cylstm_arena_floats(a, cylstm_product(all, l->units));
    }
    for (int i = 0; with_state && i < l->states; i++) t->initial[i] = cylstm_arena_floats(a, state_size);
    if (l->config.vocab_size > 0) t->tokens = cylstm_arena_take(a, rows, sizeof(int32_t));
    if (is_pooled(n)) t->pooled = cylstm_arena_floats(a, cylstm_product(batch, l->width));
    if (l->config.pooling == CYLSTM_POOL_MAX)
        t->chosen = cylstm_arena_take(a, cylstm_product(batch, l->width), sizeof(int32_t));
}

/* Whether a call records, and backward will not recompute. */
static int keeps_gates(const tape *t)
{
    return t != NULL && t->segments.every == 0;
}

/* Floats of a chunk's pre-activations. */
static int64_t chunk_gates(const forward_call *f, int64_t steps, int64_t batch)
{
    const int64_t rows = cylstm_max_chunk_rows(steps, batch, f->plan.chunk_rows);
    return cylstm_product(rows, f->network->layout.gate_row);
}

void cylstm_forward_place(forward_call *f, int64_t steps, int64_t batch, int64_t rows, arena *a)
{
    const network *n = f->network;
    const layout *l = &n->layout;
    const int64_t stacks = l->config.num_layers * l->directions;
    const int64_t states = cylstm_product(stacks, cylstm_product(batch, l->units));
    const int64_t hidden = cylstm_product(rows, l->width);
    for (int i = 0; i < 2; i++) f->h[i] = cylstm_arena_floats(a, states);
    f->c = cylstm_arena_floats(a, states);
    if (has_head(n)) f->scores = cylstm_arena_floats(a, cylstm_product(head_rows(n, batch, rows), l->head_width));
    if (!keeps_gates(f->tape))
        f->gates = cylstm_arena_floats(a, cylstm_product(f->plan.strands, chunk_gates(f, steps, batch)));
    if (f->tape != NULL) {
        if (f->tape->dropout.probability > 0.0f) f->dropped = cylstm_arena_floats(a, hidden);
        return;
    }
    f->packed_input = cylstm_arena_floats(a, cylstm_product(rows, l->config.input_size));
    for (int i = 0; i < 2; i++) f->hidden[i] = cylstm_arena_floats(a, hidden);
    if (is_pooled(n)) f->pooled = cylstm_arena_floats(a, cylstm_product(batch, l->width));
}

void cylstm_backward_place(backward_call *b, int64_t steps, int64_t batch, int64_t rows, arena *a)
{
    const network *n = b->network;
    const layout *l = &n->layout;
    const int64_t chunk = cylstm_max_chunk_rows(steps, batch, b->plan.chunk_rows);
    const int64_t head = head_rows(n, batch, rows), hidden = cylstm_product(rows, l->width);
    const int64_t state = cylstm_product(batch, l->units);
    const int64_t widest = l->width > l->config.input_size ? l->width : l->config.input_size;
    const int64_t for_layers = cylstm_weight_scratch(l->gate_width, widest, l->recurrent_width, chunk, l->lanes);
    const int64_t for_head = cylstm_weight_scratch(l->head_width, l->width, 0, head, l->lanes);
    for (int i = 0; i < 2; i++) b->dhidden[i] = cylstm_arena_floats(a, hidden);
    b->dgates = cylstm_arena_floats(a, cylstm_product(chunk, l->gate_row));
    b->h_before = cylstm_arena_floats(a, cylstm_product(chunk, l->recurrent_width));
    b->dh = cylstm_arena_floats(a, state);
    b->dc = cylstm_arena_floats(a, state);
    b->c_initial = cylstm_arena_floats(a, state);
    b->dinput = cylstm_arena_floats(a, cylstm_product(rows, l->config.input_size));
    if (!keeps_gates(b->tape)) {
        const int64_t again = segment_rows(b->tape, rows, chunk);
        b->gates = cylstm_arena_floats(a, cylstm_product(again, l->gate_row));
        b->cell = cylstm_arena_floats(a, cylstm_product(again, l->units));
        for (int i = 0; i < 2; i++) b->h[i] = cylstm_arena_floats(a, state);
        b->c = cylstm_arena_floats(a, state);
    }
    b->scratch = cylstm_arena_floats(a, for_layers > for_head ? for_layers : for_head);
    if (b->tape->dropout.probability > 0.0f) b->dropped = cylstm_arena_floats(a, hidden);
    if (has_head(n)) b->dscores = cylstm_arena_floats(a, cylstm_product(head, l->head_width));
    if (is_pooled(n)) b->dpooled = cylstm_arena_floats(a, cylstm_product(batch, l->width));
}

/* ---- input ---- */

int cylstm_find_bad_token(const network *n, const sequences *s, const token_view *tokens, int64_t *step,
                          int64_t *sequence)
{
    for (int64_t rank = 0; rank < s->batch; rank++) {
        for (int64_t t = 0; t < s->lengths[rank]; t++) {
            const int32_t token = tokens->data[t * tokens->step + s->order[rank] * tokens->row];
            if (token >= 0 && token < n->layout.config.vocab_size) continue;
            *step = t;
            *sequence = s->order[rank];
            return 1;
        }
    }
    return 0;
}

/* Row (t, rank) = embedding[token] */
static void embed(const worker *w, const forward_call *f, float *to)
{
    const sequences *s = f->sequences;
    const int64_t width = f->network->layout.config.input_size;
    const float *table = f->network->weights.embedding;
    const range steps = cylstm_share(w, s->longest);
    for (int64_t t = steps.begin; t < steps.end; t++) {
        for (int64_t row = s->offsets[t]; row < s->offsets[t + 1]; row++) {
            const int64_t b = s->order[row - s->offsets[t]];
            const int32_t token = f->tokens.data[t * f->tokens.step + b * f->tokens.row];
            memcpy(to + row * width, table + token * width, (size_t)width * sizeof(float));
            if (f->tape != NULL && f->tape->tokens != NULL) f->tape->tokens[row] = token;
        }
    }
}

/* x = (x - mean) / std, in the rows this worker has just gathered */
static void scale(const worker *w, const forward_call *f, float *rows)
{
    const sequences *s = f->sequences;
    const int64_t width = f->network->layout.config.input_size;
    const float *mean = f->network->input_mean, *std = f->network->input_std;
    const range steps = cylstm_share(w, s->longest);
    if (mean == NULL || steps.begin == steps.end) return;
    for (int64_t row = s->offsets[steps.begin]; row < s->offsets[steps.end]; row++) {
        for (int64_t i = 0; i < width; i++) rows[row * width + i] = (rows[row * width + i] - mean[i]) / std[i];
    }
}

/* to = (x - mean) / std, in doubles, or x, rounded after that: a row at this place of the caller's array */
static void round_row(const forward_call *f, int64_t at, float *to)
{
    const network *n = f->network;
    for (int64_t i = 0; i < n->layout.config.input_size; i++) {
        const double x = f->doubles != NULL ? f->doubles[at + i] : (double)f->x.data[at + i];
        to[i] = (float)(n->wide_mean != NULL ? (x - n->wide_mean[i]) / n->wide_std[i] : x);
    }
}

/* Like cylstm_gather, where numbers are doubles or their scale is. */
static void gather_doubles(const worker *w, const forward_call *f, float *to)
{
    const sequences *s = f->sequences;
    const range steps = cylstm_share(w, s->longest);
    for (int64_t t = steps.begin; t < steps.end; t++) {
        for (int64_t row = s->offsets[t]; row < s->offsets[t + 1]; row++) {
            const int64_t b = s->order[row - s->offsets[t]];
            round_row(f, t * f->x.step + b * f->x.row, to + row * f->network->layout.config.input_size);
        }
    }
}

/* What the first layer reads: the caller's own rows where they can be used as they lie, a packed copy otherwise. */
static rows first_input(worker *w, const forward_call *f)
{
    const int64_t width = f->network->layout.config.input_size;
    const int64_t distance = cylstm_row_distance(f->sequences, f->x.step, f->x.row);
    const int has_doubles = f->doubles != NULL || f->network->wide_mean != NULL;
    const int as_it_lies = f->tokens.data == NULL && f->tape == NULL && f->network->input_mean == NULL &&
                           !has_doubles && distance >= width;
    if (as_it_lies) return (rows){f->x.data, distance};
    float *to = f->tape != NULL ? f->tape->input : f->packed_input;
    if (f->tokens.data != NULL) {
        embed(w, f, to);
    } else {
        if (has_doubles) {
            gather_doubles(w, f, to);
        } else {
            cylstm_gather(w, f->sequences, f->x, width, to, width);
        }
        scale(w, f, to);
    }
    cylstm_barrier(w);
    return (rows){to, width};
}

/* ---- forward ---- */

/* Where a layer's output goes: the tape, the caller's array if it is packed already, or working memory. */
static rows layer_output(const forward_call *f, int64_t layer)
{
    const layout *l = &f->network->layout;
    if (f->tape != NULL) return (rows){f->tape->hidden + layer * f->sequences->rows * l->width, l->width};
    const int64_t distance = cylstm_row_distance(f->sequences, f->y.step, f->y.row);
    const int last = layer + 1 == l->config.num_layers;
    if (last && !has_head(f->network) && distance >= l->width) return (rows){f->y.data, distance};
    return (rows){f->hidden[layer % 2], l->width};
}

static float *state_of(float *states, const layout *l, int64_t stack, int64_t batch)
{
    return states == NULL ? NULL : states + stack * batch * l->config.hidden_size;
}

/* What of a walk is on the tape: its gates and cells, or the states of its segments. */
static void set_recorded(recurrent_pass *p, const tape *t, int64_t stack)
{
    const layout *l = p->layout;
    if (keeps_gates(t)) {
        p->gates = t->gates + stack * t->sequences.rows * l->gate_row;
        if (t->cell != NULL) p->cell = t->cell + stack * t->sequences.rows * l->units;
    } else if (t != NULL) {
        p->segments = &t->segments;
        p->states = t->states + stack * t->segments.count * l->states * t->sequences.batch * l->units;
    }
}

/* One layer in one direction, as one of the strands that may run at once. Written where it is used: a copy of so many
 * narrow fields stalls, for as long as the step of a small network takes. */
static void set_forward_walk(recurrent_forward *r, const forward_call *f, int64_t layer, int direction, int64_t strand,
                             rows input)
{
    const layout *l = &f->network->layout;
    const int64_t stack = layer * l->directions + direction, batch = f->sequences->batch;
    const int64_t own = stack * batch * l->units;
    const rows output = layer_output(f, layer);
    recurrent_pass *p = &r->pass;
    memset(r, 0, sizeof *r);
    p->layout = l;
    p->weights = &f->network->weights.layers[stack];
    p->sequences = f->sequences;
    p->plan = &f->plan;
    p->compute = &f->compute;
    p->reverse = direction;
    p->input = input.data;
    p->input_row = input.row;
    p->output = output.data + direction * l->recurrent_width;
    p->output_row = output.row;
    p->gates = f->gates;
    r->recording = keeps_gates(f->tape);
    r->descending = f->descending;
    for (int i = 0; i < 2; i++) r->h[i] = f->h[i] + own;
    r->c = f->c + own;
    if (strand > 0 && !r->recording) p->gates += strand * chunk_gates(f, f->sequences->steps, batch);
    set_recorded(p, f->tape, stack);
    for (int i = 0; i < l->states; i++) {
        p->initial[i] = state_of((float *)f->initial[i], l, stack, batch);
        r->final[i] = state_of(f->final[i], l, stack, batch);
    }
}

/* A layer's directions: one after the other, or each a strand. */
static void forward_layer(worker *w, const forward_call *f, int64_t layer, rows input)
{
    const int directions = f->network->layout.directions;
    const int strands = f->plan.wave_steps > 0 ? 1 : f->plan.strands, each = directions / strands;
    group g = cylstm_group(w, strands);
    for (int64_t d = g.strands.begin * each; d < g.strands.end * each; d++) {
        recurrent_forward r;
        set_forward_walk(&r, f, layer, (int)d, d / each, input);
        cylstm_recurrent_forward(&g.worker, &r);
    }
    cylstm_barrier(w);
}

/* Layers as a wave: each strand has layers of its own, and is a chunk behind the strand below. */
static void forward_wave(worker *w, const forward_call *f, rows input)
{
    const int64_t steps = f->plan.wave_steps, longest = f->sequences->longest, strands = f->plan.strands;
    const int64_t each = f->network->layout.config.num_layers / strands, chunks = (longest + steps - 1) / steps;
    for (int64_t tick = 0; tick < chunks + strands - 1; tick++) {
        group g = cylstm_group(w, (int)strands);
        for (int64_t strand = g.strands.begin; strand < g.strands.end; strand++) {
            const int64_t begin = (tick - strand) * steps;
            if (begin < 0 || begin >= longest) continue;
            const chunk at = {begin, begin + steps < longest ? begin + steps : longest};
            for (int64_t layer = strand * each; layer < (strand + 1) * each; layer++) {
                const rows below = layer == 0 ? input : layer_output(f, layer - 1);
                recurrent_forward r;
                set_forward_walk(&r, f, layer, 0, strand, below);
                if (begin == 0) cylstm_recurrent_begin(&g.worker, &r);
                cylstm_recurrent_chunk(&g.worker, &r, &at);
            }
        }
        cylstm_barrier(w);
    }
}

/* A step of a stream on one thread needs no chunks, shares and barriers, which cost as much as a small network. */
static int is_lone_step(const forward_call *f)
{
    const sequences *s = f->sequences;
    return f->plan.threads == 1 && s->longest == 1 && s->rows == s->batch && f->tape == NULL &&
           f->network->layout.directions == 1 && f->compute.blas == NULL;
}

static void forward_lone_step(const forward_call *f, rows input)
{
    for (int64_t layer = 0; layer < f->network->layout.config.num_layers; layer++) {
        recurrent_forward r;
        set_forward_walk(&r, f, layer, 0, 0, input);
        cylstm_recurrent_step(&r);
        input = layer_output(f, layer);
    }
}

/* All layers, each before the next or as a wave; what the last one put out. */
static rows forward_layers(worker *w, const forward_call *f, rows input)
{
    const layout *l = &f->network->layout;
    const int dropping = f->tape != NULL && f->tape->dropout.probability > 0.0f;
    const int64_t last = l->config.num_layers - 1;
    if (is_lone_step(f)) {
        forward_lone_step(f, input);
        return layer_output(f, last);
    }
    if (f->plan.wave_steps > 0 && !dropping && (f->tape == NULL || keeps_gates(f->tape))) {
        forward_wave(w, f, input);
        return layer_output(f, last);
    }
    for (int64_t layer = 0; layer <= last; layer++) {
        if (layer > 0 && dropping) {
            cylstm_dropout(w, &f->tape->dropout, f->sequences, layer, l->width, input.data, f->dropped);
            cylstm_barrier(w);
            input.data = f->dropped;
        }
        forward_layer(w, f, layer, input);
        input = layer_output(f, layer);
    }
    return input;
}

static pooling pooling_of(const network *n, const sequences *s, const float *initial)
{
    const layout *l = &n->layout;
    const int64_t last_layer = (l->config.num_layers - 1) * l->directions;
    return (pooling){.kind = (cylstm_pooling)l->config.pooling,
                     .layout = l,
                     .sequences = s,
                     .initial = state_of((float *)initial, l, last_layer, s->batch)};
}

/* scores = head(features), brought to the caller's order */
static void forward_head(worker *w, const forward_call *f, rows hidden)
{
    const network *n = f->network;
    const layout *l = &n->layout;
    const sequences *s = f->sequences;
    int64_t count = s->rows;
    if (is_pooled(n)) {
        pooling p = pooling_of(n, s, f->initial[0]);
        p.carried = f->carried;
        p.pooled = f->tape != NULL ? f->tape->pooled : f->pooled;
        p.chosen = f->tape != NULL ? f->tape->chosen : NULL;
        cylstm_pool(w, &p, hidden.data, hidden.row);
        cylstm_barrier(w);
        hidden = (rows){p.pooled, l->width};
        count = s->batch;
    }
    cylstm_linear_forward(w, &f->compute, &n->weights.head, count, hidden.data, hidden.row, f->scores, l->head_width);
    cylstm_barrier(w);
    if (is_pooled(n)) {
        cylstm_scatter_by_rank(w, s, f->scores, l->head_width, l->config.output_size, f->y);
    } else {
        cylstm_scatter(w, s, f->scores, l->head_width, l->config.output_size, f->y);
        cylstm_clear_padding(w, s, l->config.output_size, f->y);
    }
}

static void forward_body(worker *w, void *context)
{
    const forward_call *f = context;
    const int64_t width = f->network->layout.width;
    const rows hidden = forward_layers(w, f, first_input(w, f));
    if (has_head(f->network)) {
        forward_head(w, f, hidden);
        return;
    }
    if (hidden.data != f->y.data) cylstm_scatter(w, f->sequences, hidden.data, hidden.row, width, f->y);
    cylstm_clear_padding(w, f->sequences, width, f->y);
}

void cylstm_network_forward(forward_call *f)
{
    const layout *l = &f->network->layout;
    const int64_t size = l->config.num_layers * l->directions * f->sequences->batch * l->config.hidden_size;
    for (int i = 0; f->tape != NULL && i < l->states; i++) {
        if (f->initial[i] != NULL) memcpy(f->tape->initial[i], f->initial[i], (size_t)size * sizeof(float));
    }
    cylstm_parallel_run(f->plan.threads, forward_body, f);
}

/* ---- backward ---- */

/* dL/dscores by packed rows (or ranks); the head's gradients; what it hands down. */
static void backward_head(worker *w, const backward_call *b, float *dhidden)
{
    const network *n = b->network;
    const layout *l = &n->layout;
    const sequences *s = &b->tape->sequences;
    const int64_t outputs = l->config.output_size, count = head_rows(n, s->batch, s->rows);
    const float *features = is_pooled(n) ? b->tape->pooled
                                         : b->tape->hidden + (l->config.num_layers - 1) * s->rows * l->width;
    if (is_pooled(n)) {
        cylstm_gather_by_rank(w, s, b->dy, outputs, b->dscores, l->head_width);
    } else {
        cylstm_gather(w, s, b->dy, outputs, b->dscores, l->head_width);
    }
    cylstm_barrier(w);
    float *dweight = b->dparameters + cylstm_layout_head(l);
    const weight_gradient gradient = {features, l->width, l->width, dweight};
    cylstm_linear_backward_weights(w, &b->compute, n->weights.head.outputs, count, b->dscores, l->head_width, &gradient,
                                   1, b->scratch);
    cylstm_linear_backward_bias(w, n->weights.head.outputs, count, b->dscores, l->head_width,
                                dweight + outputs * l->width, NULL);
    cylstm_linear_backward_input(w, &b->compute, &n->weights.head, count, b->dscores, l->head_width,
                                 is_pooled(n) ? b->dpooled : dhidden, l->width, 0);
    cylstm_barrier(w);
    if (!is_pooled(n)) return;
    pooling p = pooling_of(n, s, NULL);
    p.chosen = b->tape->chosen;
    cylstm_pool_backward(w, &p, b->dpooled, dhidden);
    cylstm_barrier(w);
}

static recurrent_pass backward_pass(const backward_call *b, int64_t layer, int direction, const float *input,
                                    int64_t input_row)
{
    const layout *l = &b->network->layout;
    const tape *t = b->tape;
    const int64_t stack = layer * l->directions + direction, count = t->sequences.rows;
    recurrent_pass p = {
        .layout = l,
        .weights = &b->network->weights.layers[stack],
        .sequences = &t->sequences,
        .plan = &b->plan,
        .compute = &b->compute,
        .reverse = direction,
        .input = input,
        .input_row = input_row,
        .output = t->hidden + layer * count * l->width + direction * l->recurrent_width,
        .output_row = l->width,
        .gates = b->gates,
        .cell = b->cell,
    };
    set_recorded(&p, t, stack);
    for (int i = 0; i < l->states; i++) p.initial[i] = state_of(t->initial[i], l, stack, t->sequences.batch);
    return p;
}

/* dinput (rows, input_row) NULL: nobody below wants it */
static void backward_layer(worker *w, const backward_call *b, int64_t layer, const float *input, int64_t input_row,
                           const float *doutput, float *dinput)
{
    const layout *l = &b->network->layout;
    for (int direction = 0; direction < l->directions; direction++) {
        const int64_t stack = layer * l->directions + direction;
        recurrent_backward r = {
            .pass = backward_pass(b, layer, direction, input, input_row),
            .doutput = doutput + direction * l->recurrent_width,
            .doutput_row = l->width,
            .dinput = dinput,
            .dinput_row = input_row,
            .dinput_accumulate = direction > 0,
            .dparameters = b->dparameters,
            .dgates = b->dgates,
            .h_before = b->h_before,
            .dh = b->dh,
            .dc = b->dc,
            .c_initial = b->c_initial,
            .scratch = b->scratch,
            .h = {b->h[0], b->h[1]},
            .c = b->c,
            .segment_step = -1,
        };
        for (int i = 0; i < l->states; i++) {
            r.dfinal[i] = state_of((float *)b->dfinal[i], l, stack, b->tape->sequences.batch);
            r.dinitial[i] = state_of(b->dinitial[i], l, stack, b->tape->sequences.batch);
        }
        cylstm_recurrent_backward(w, &r);
        cylstm_barrier(w);
    }
}

/* The embedding's rows collect the gradients of their tokens, rows ascending; workers own columns. */
static void backward_embedding(const worker *w, const backward_call *b)
{
    const int64_t width = b->network->layout.config.input_size;
    float *dtable = b->dparameters + cylstm_layout_embedding(&b->network->layout);
    const range mine = cylstm_share(w, width);
    for (int64_t row = 0; row < b->tape->sequences.rows; row++) {
        float *to = dtable + b->tape->tokens[row] * width;
        for (int64_t i = mine.begin; i < mine.end; i++) to[i] += b->dinput[row * width + i];
    }
}

/* dx of the caller's own units: through (x - mean) / std */
static void unscale(const worker *w, const backward_call *b)
{
    const sequences *s = &b->tape->sequences;
    const int64_t width = b->network->layout.config.input_size;
    const float *std = b->network->input_std;
    const range mine = cylstm_share(w, s->rows);
    for (int64_t row = mine.begin; std != NULL && row < mine.end; row++) {
        for (int64_t i = 0; i < width; i++) b->dinput[row * width + i] /= std[i];
    }
}

/* "last" of an empty sequence is its initial state: the gradient goes there. */
static void backward_empty(const worker *w, const backward_call *b)
{
    const layout *l = &b->network->layout;
    const sequences *s = &b->tape->sequences;
    if (l->config.pooling != CYLSTM_POOL_LAST || b->dinitial[0] == NULL || !cylstm_is_first(w)) return;
    for (int64_t rank = cylstm_active(s, 0); rank < s->batch; rank++) {
        for (int d = 0; d < l->directions; d++) {
            const int64_t stack = (l->config.num_layers - 1) * l->directions + d;
            float *to = state_of(b->dinitial[0], l, stack, s->batch) + s->order[rank] * l->config.hidden_size;
            const float *from = b->dpooled + rank * l->width + d * l->recurrent_width;
            for (int64_t u = 0; u < l->recurrent_width; u++) to[u] += from[u];
        }
    }
}

static void backward_body(worker *w, void *context)
{
    const backward_call *b = context;
    const layout *l = &b->network->layout;
    const tape *t = b->tape;
    const sequences *s = &t->sequences;
    const int wants_input = b->dx.data != NULL || l->config.vocab_size > 0;
    if (has_head(b->network)) {
        backward_head(w, b, b->dhidden[0]);
    } else {
        cylstm_gather(w, s, b->dy, l->width, b->dhidden[0], l->width);
        cylstm_barrier(w);
    }
    int current = 0;
    for (int64_t layer = l->config.num_layers - 1; layer > 0; layer--, current = 1 - current) {
        const float *input = t->hidden + (layer - 1) * s->rows * l->width;
        const int dropping = t->dropout.probability > 0.0f;
        if (dropping) {
            cylstm_dropout(w, &t->dropout, s, layer, l->width, input, b->dropped);
            cylstm_barrier(w);
            input = b->dropped;
        }
        backward_layer(w, b, layer, input, l->width, b->dhidden[current], b->dhidden[1 - current]);
        if (dropping) {
            cylstm_dropout(w, &t->dropout, s, layer, l->width, b->dhidden[1 - current], b->dhidden[1 - current]);
            cylstm_barrier(w);
        }
    }
    backward_layer(w, b, 0, t->input, l->config.input_size, b->dhidden[current], wants_input ? b->dinput : NULL);
    backward_empty(w, b);
    if (l->config.vocab_size > 0) backward_embedding(w, b);
    if (b->dx.data == NULL) return;
    unscale(w, b);
    cylstm_barrier(w);
    cylstm_scatter(w, s, b->dinput, l->config.input_size, l->config.input_size, b->dx);
    cylstm_clear_padding(w, s, l->config.input_size, b->dx);
}

void cylstm_network_backward(backward_call *b)
{
    cylstm_parallel_run(b->plan.threads, backward_body, b);
}
