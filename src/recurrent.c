#include "recurrent.h"

#include <string.h>

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- shares: a block of ranks times a block of panels ---- */

typedef struct share {
    int rank, size; /* of the worker it was made for */
    range rows, panels;
} share;

/* Consecutive ranks that hold about an equal part of all time steps. */
static range balanced_rows(const worker *w, const sequences *s)
{
    range mine = {s->batch, s->batch};
    int64_t before = 0;
    if (w->rank < 0) return mine;
    for (int64_t rank = 0; rank < s->batch; rank++) {
        const int64_t owner = s->rows > 0 ? smaller(before * w->size / s->rows, w->size - 1) : 0;
        if (owner >= w->rank && mine.begin == s->batch) mine.begin = rank;
        if (owner > w->rank) {
            mine.end = rank;
            break;
        }
        before += s->lengths[rank];
    }
    return mine;
}

/* The share of a worker, made anew only when the team has changed. */
static void update_share(share *s, const worker *w, const recurrent_pass *p, int64_t panel_count)
{
    if (s->rank == w->rank && s->size == w->size) return;
    *s = (share){.rank = w->rank, .size = w->size, .rows = {0, p->sequences->batch}, .panels = {0, panel_count}};
    if (p->plan->split_rows) {
        s->rows = balanced_rows(w, p->sequences);
    } else {
        s->panels = cylstm_share(w, panel_count);
    }
}

static share new_share(const worker *w, const recurrent_pass *p, int64_t panel_count)
{
    share s = {.size = 0};
    update_share(&s, w, p, panel_count);
    return s;
}

static range clip(range r, int64_t begin, int64_t end)
{
    range c = {r.begin > begin ? r.begin : begin, r.end < end ? r.end : end};
    if (c.end < c.begin) c.end = c.begin;
    return c;
}

static range share_units(const share *s, const panels *p, int64_t units)
{
    return clip((range){s->panels.begin * p->panel_stride, s->panels.end * p->panel_stride}, 0, units);
}

/* After a step shared out by units, everyone needs everyone's part; shared out by sequences, nobody does. */
static void end_step(worker *w, const recurrent_pass *p)
{
    if (!p->plan->split_rows) cylstm_barrier(w);
}

/* ---- states between the caller's (B, H) arrays and ranked, padded rows ---- */

static void load_state(const recurrent_pass *p, range ranks, range units, const float *state, float *rows)
{
    const int64_t hidden = p->layout->config.hidden_size, width = p->layout->units;
    const range real = state == NULL ? (range){0, 0} : clip(units, 0, hidden);
    for (int64_t rank = ranks.begin; rank < ranks.end; rank++) {
        float *to = rows + rank * width;
        if (real.begin < real.end) {
            memcpy(to + real.begin, state + p->sequences->order[rank] * hidden + real.begin,
                   (size_t)(real.end - real.begin) * sizeof(float));
        }
        for (int64_t u = real.begin < real.end ? real.end : units.begin; u < units.end; u++) to[u] = 0.0f;
    }
}

static void store_state(const recurrent_pass *p, range ranks, range units, const float *rows, float *state)
{
    const int64_t hidden = p->layout->config.hidden_size, width = p->layout->units;
    const range real = clip(units, 0, hidden);
    if (state == NULL || real.begin == real.end) return;
    for (int64_t rank = ranks.begin; rank < ranks.end; rank++) {
        memcpy(state + p->sequences->order[rank] * hidden + real.begin, rows + rank * width + real.begin,
               (size_t)(real.end - real.begin) * sizeof(float));
    }
}

/* The step before t and after it in the order of this direction. */
static int64_t step_before(const recurrent_pass *p, int64_t t)
{
    return p->reverse ? t + 1 : t - 1;
}

static int64_t step_after(const recurrent_pass *p, int64_t t)
{
    return p->reverse ? t - 1 : t + 1;
}

static int has_cell(const recurrent_pass *p)
{
    return p->layout->states > 1;
}

/* Which of the two h is the last one before the step at this place in the order of the direction. */
static int parity_at(const recurrent_pass *p, const chunk *c)
{
    return (int)((p->reverse ? p->sequences->longest - c->end : c->begin) % 2);
}

/* ---- segments: what backward computes again ---- */

/* The segment that has the chunk at its beginning, or with at_end at its end, in time; -1: none has. */
static int64_t segment_with(const segments *s, const chunk *c, int at_end)
{
    for (int64_t i = 0; s != NULL && i < s->count; i++) {
        if (at_end ? s->bounds[i + 1] == c->end : s->bounds[i] == c->begin) return i;
    }
    return -1;
}

static float *segment_state(const recurrent_pass *p, int64_t segment, int state)
{
    const layout *l = p->layout;
    return p->states + (segment * l->states + state) * p->sequences->batch * l->units;
}

/* A share of (B, units) rows. */
static void copy_rows(const layout *l, range ranks, range units, const float *from, float *to)
{
    for (int64_t rank = ranks.begin; rank < ranks.end; rank++) {
        memcpy(to + rank * l->units + units.begin, from + rank * l->units + units.begin,
               (size_t)(units.end - units.begin) * sizeof(float));
    }
}

/* Where a segment begins, in the order of this direction, its state is kept. */
static void save_state(const recurrent_forward *f, const share *s, const chunk *c)
{
    const recurrent_pass *p = &f->pass;
    const int64_t segment = segment_with(p->segments, c, p->reverse);
    if (segment < 0) return;
    const range units = share_units(s, &p->weights->recurrent.forward, p->layout->units);
    copy_rows(p->layout, s->rows, units, f->h[parity_at(p, c)], segment_state(p, segment, 0));
    if (has_cell(p)) copy_rows(p->layout, s->rows, units, f->c, segment_state(p, segment, 1));
}

static void restore_state(const recurrent_forward *f, const share *s, const chunk *c, int64_t segment)
{
    const recurrent_pass *p = &f->pass;
    const range units = share_units(s, &p->weights->recurrent.forward, p->layout->units);
    copy_rows(p->layout, s->rows, units, segment_state(p, segment, 0), f->h[parity_at(p, c)]);
    if (has_cell(p)) copy_rows(p->layout, s->rows, units, segment_state(p, segment, 1), f->c);
}

/* ---- forward ---- */

/* Ranks that start now take their initial state. */
static void enter(const recurrent_forward *f, range ranks, range units, float *h)
{
    load_state(&f->pass, ranks, units, f->pass.initial[0], h);
    if (has_cell(&f->pass)) load_state(&f->pass, ranks, units, f->pass.initial[1], f->c);
}

/* Ranks that have ended leave their final state. */
static void leave(const recurrent_forward *f, range ranks, range units, const float *h)
{
    store_state(&f->pass, ranks, units, h, f->final[0]);
    if (has_cell(&f->pass)) store_state(&f->pass, ranks, units, f->c, f->final[1]);
}

projection cylstm_projection(const plan *p, const compute *c, const linear *input, int64_t rows)
{
    if (cylstm_linear_uses_blas(c, input, rows)) return PROJECT_BY_BLAS;
    return p->fused ? PROJECT_IN_STEPS : PROJECT_BY_KERNEL;
}

static void step(const recurrent_forward *f, const share *s, projection how, int64_t t, float *gates,
                 const float *h_previous, float *h_next, int descending)
{
    const recurrent_pass *p = &f->pass;
    const int64_t row = p->sequences->offsets[t];
    const step_args args = {
        .rows = clip(s->rows, 0, cylstm_active(p->sequences, t)),
        .panels = s->panels,
        .descending = descending,
        .weights = &p->weights->recurrent.forward,
        .input_weights = how == PROJECT_IN_STEPS ? &p->weights->input.forward : NULL,
        .bias = how == PROJECT_BY_KERNEL ? NULL : p->weights->bias,
        .x = p->input + row * p->input_row,
        .x_row = p->input_row,
        .hidden = p->layout->config.hidden_size,
        .units = p->layout->units,
        .gates = gates,
        .gates_row = p->layout->gate_row,
        .h_previous = h_previous,
        .h_next = h_next,
        .c = f->c,
        .out = p->output == NULL ? h_next : p->output + row * p->output_row,
        .out_row = p->output == NULL ? p->layout->units : p->output_row,
        .cell = f->recording && has_cell(p) ? p->cell + (row - p->first_row) * p->layout->units : NULL,
        .recording = f->recording,
    };
    p->compute->kernels->step[p->layout->config.cell](&args);
}

/* The steps of a chunk, whose pre-activations lie in `gates`. */
static void walk_chunk(worker *w, const recurrent_forward *f, share *s, projection how, const chunk *c, float *gates)
{
    const recurrent_pass *p = &f->pass;
    const panels *weights = &p->weights->recurrent.forward;
    int parity = parity_at(p, c);
    for (int64_t i = 0; i < c->end - c->begin; i++, parity = 1 - parity) {
        const int64_t t = p->reverse ? c->end - 1 - i : c->begin + i;
        const int64_t active = cylstm_active(p->sequences, t), next = cylstm_active(p->sequences, step_after(p, t));
        const range units = share_units(s, weights, p->layout->units);
        float *h_next = f->h[1 - parity];
        step(f, s, how, t, gates + (p->sequences->offsets[t] - p->sequences->offsets[c->begin]) * p->layout->gate_row,
             f->h[parity], h_next, parity ^ f->descending);
        leave(f, clip(s->rows, next, active), units, h_next);
        enter(f, clip(s->rows, active, next), units, h_next);
        end_step(w, p);
        update_share(s, w, p, weights->count);
    }
}

void cylstm_recurrent_begin(worker *w, const recurrent_forward *f)
{
    const recurrent_pass *p = &f->pass;
    const sequences *seq = p->sequences;
    const panels *weights = &p->weights->recurrent.forward;
    const share s = new_share(w, p, weights->count);
    const range units = share_units(&s, weights, p->layout->units);
    const int64_t starting = cylstm_active(seq, p->reverse ? seq->longest - 1 : 0);
    enter(f, clip(s.rows, 0, starting), units, f->h[0]);
    /* Sequences without a step pass their state on; cylstm_active(seq, 0) counts all others. */
    const range empty = clip(s.rows, cylstm_active(seq, 0), seq->batch);
    enter(f, empty, units, f->h[1]);
    leave(f, empty, units, f->h[1]);
}

void cylstm_recurrent_chunk(worker *w, const recurrent_forward *f, const chunk *c)
{
    const recurrent_pass *p = &f->pass;
    const int64_t first = p->sequences->offsets[c->begin], rows = cylstm_chunk_rows(p->sequences, c);
    float *gates = p->gates + (f->recording ? first - p->first_row : 0) * p->layout->gate_row;
    const projection how = cylstm_projection(p->plan, p->compute, &p->weights->input, rows);
    share s = new_share(w, p, p->weights->recurrent.forward.count);
    if (!f->recording) save_state(f, &s, c);
    if (how != PROJECT_IN_STEPS) {
        linear input = p->weights->input;
        if (how == PROJECT_BY_BLAS) input.bias = NULL;
        cylstm_linear_forward(w, p->compute, &input, rows, p->input + first * p->input_row, p->input_row, gates,
                              p->layout->gate_row);
    }
    /* Steps read what others have projected and, of the state, loaded; sequences that project their own read nothing of
     * the others. */
    const int alone = how == PROJECT_IN_STEPS && p->plan->split_rows;
    if (!alone) cylstm_barrier(w);
    update_share(&s, w, p, p->weights->recurrent.forward.count);
    walk_chunk(w, f, &s, how, c, gates);
    if (!alone) cylstm_barrier(w); /* gates may be written again */
}

void cylstm_recurrent_forward(worker *w, const recurrent_forward *f)
{
    const recurrent_pass *p = &f->pass;
    chunk at, previous, *before = NULL;
    cylstm_recurrent_begin(w, f);
    while (cylstm_next_chunk(p->sequences, p->plan->chunk_rows, p->reverse, before, &at)) {
        cylstm_recurrent_chunk(w, f, &at);
        previous = at;
        before = &previous;
    }
}

void cylstm_recurrent_step(const recurrent_forward *f)
{
    const recurrent_pass *p = &f->pass;
    const share all = {.rows = {0, p->sequences->batch}, .panels = {0, p->weights->recurrent.forward.count}};
    const range units = {0, p->layout->units};
    enter(f, all.rows, units, f->h[0]);
    step(f, &all, PROJECT_IN_STEPS, 0, NULL, f->h[0], f->h[1], f->descending);
    leave(f, all.rows, units, f->h[1]);
}

/* ---- backward ---- */

/* c_{t-1} by rank: of the segment's beginning, the sequence's, or the tape. */
static const float *cell_before(const recurrent_backward *b, int64_t t, int initial)
{
    const recurrent_pass *p = &b->pass;
    if (!has_cell(p)) return NULL;
    if (t == b->segment_step) return b->segment_cell;
    if (initial) return b->c_initial;
    return p->cell + (p->sequences->offsets[step_before(p, t)] - p->first_row) * p->layout->units;
}

/* One step for the ranks in `rows`, all of which have the same neighbours: dgates of the step processed before this
 * one (or NULL: their gradient waits in dh), and the cell state of the step before in time (or the initial one). */
static void step_backward(const recurrent_backward *b, const share *s, range rows, int64_t t, int64_t chunk_first,
                          int entering, int initial)
{
    const recurrent_pass *p = &b->pass;
    const layout *l = p->layout;
    const int64_t *offsets = p->sequences->offsets;
    const int64_t row = offsets[t];
    const range mine = clip(s->rows, rows.begin, rows.end);
    if (mine.begin == mine.end) return; /* such ranks may have neighbours before the first step or after the last */
    const step_backward_args args = {
        .rows = mine,
        .panels = s->panels,
        .descending = (int)(t % 2),
        .weights = &p->weights->recurrent.backward,
        .hidden = l->config.hidden_size,
        .units = l->units,
        .gates_row = l->gate_row,
        .dgates_next = entering ? NULL : b->dgates + (offsets[step_after(p, t)] - chunk_first) * l->gate_row,
        .dh_next = b->dh,
        .dout = b->doutput + row * b->doutput_row,
        .dout_row = b->doutput_row,
        .gates = p->gates + (row - p->first_row) * l->gate_row,
        .cell = has_cell(p) ? p->cell + (row - p->first_row) * l->units : NULL,
        .cell_previous = cell_before(b, t, initial),
        .dc = b->dc,
        .dgates = b->dgates + (row - chunk_first) * l->gate_row,
    };
    p->compute->kernels->step_backward[l->config.cell](&args);
}

/* Ranks whose chain ends here, or goes on in another chunk: dh = W_hh^T dgates, what the step before them will see. */
static void leave_backward(const recurrent_backward *b, const share *s, range ranks, const float *dgates)
{
    const recurrent_pass *p = &b->pass;
    const product_args args = {
        .rows = clip(s->rows, ranks.begin, ranks.end),
        .panels = s->panels,
        .b = &p->weights->recurrent.backward,
        .a = dgates,
        .a_row = p->layout->gate_row,
        .c = b->dh,
        .c_row = p->layout->units,
        .columns = p->layout->recurrent_width,
    };
    p->compute->kernels->product(&args);
}

static void walk_chunk_backward(worker *w, const recurrent_backward *b, share *s, const chunk *c)
{
    const recurrent_pass *p = &b->pass;
    const sequences *seq = p->sequences;
    const int64_t chunk_first = seq->offsets[c->begin], count = c->end - c->begin;
    for (int64_t i = 0; i < count; i++) {
        const int64_t t = p->reverse ? c->begin + i : c->end - 1 - i;
        const int64_t active = cylstm_active(seq, t);
        /* Ranks below `going` were in the step processed before this one; those below `preceded` have one before in time. */
        const int64_t going = i == 0 ? 0 : smaller(active, cylstm_active(seq, step_after(p, t)));
        const int64_t preceded = smaller(active, cylstm_active(seq, step_before(p, t)));
        const int64_t lower = smaller(going, preceded), upper = going + preceded - lower;
        step_backward(b, s, (range){0, lower}, t, chunk_first, 0, 0);
        step_backward(b, s, (range){lower, upper}, t, chunk_first, going == lower, preceded == lower);
        step_backward(b, s, (range){upper, active}, t, chunk_first, 1, 1);
        end_step(w, p);
        update_share(s, w, p, p->weights->recurrent.backward.count);
        const int64_t next = i + 1 < count ? cylstm_active(seq, step_before(p, t)) : 0;
        leave_backward(b, s, (range){smaller(next, active), active},
                       b->dgates + (seq->offsets[t] - chunk_first) * p->layout->gate_row);
    }
}

/* h_before (chunk rows, R): for each row of the chunk, h of the step before in time or the initial one. */
static void gather_h_before(const worker *w, const recurrent_backward *b, const chunk *c)
{
    const recurrent_pass *p = &b->pass;
    const sequences *seq = p->sequences;
    const int64_t width = p->layout->recurrent_width;
    const range steps = cylstm_share(w, c->end - c->begin);
    for (int64_t t = c->begin + steps.begin; t < c->begin + steps.end; t++) {
        float *to = b->h_before + (seq->offsets[t] - seq->offsets[c->begin]) * width;
        const int64_t active = cylstm_active(seq, t), before = step_before(p, t);
        const int64_t preceded = smaller(active, cylstm_active(seq, before));
        for (int64_t rank = 0; rank < active; rank++, to += width) {
            if (rank < preceded) {
                memcpy(to, p->output + (seq->offsets[before] + rank) * p->output_row, (size_t)width * sizeof(float));
            } else if (p->initial[0] != NULL) {
                memcpy(to, p->initial[0] + seq->order[rank] * width, (size_t)width * sizeof(float));
            } else {
                memset(to, 0, (size_t)width * sizeof(float));
            }
        }
    }
}

/* The gradients of a chunk's weights and inputs, from dgates of all its rows at once. */
static void chunk_gradients(worker *w, const recurrent_backward *b, const chunk *c)
{
    const recurrent_pass *p = &b->pass;
    const recurrent_weights *m = p->weights;
    const int64_t first = p->sequences->offsets[c->begin], rows = cylstm_chunk_rows(p->sequences, c);
    const int64_t dgates_row = p->layout->gate_row, width = p->layout->recurrent_width;
    const weight_gradient gradients[] = {
        {p->input + first * p->input_row, p->input_row, m->input.inputs, b->dparameters + m->offsets.weight_ih},
        {b->h_before, width, width, b->dparameters + m->offsets.weight_hh},
    };
    cylstm_linear_backward_weights(w, p->compute, m->input.outputs, rows, b->dgates, dgates_row, gradients, 2,
                                   b->scratch);
    if (m->offsets.bias_ih >= 0) {
        cylstm_linear_backward_bias(w, m->input.outputs, rows, b->dgates, dgates_row,
                                    b->dparameters + m->offsets.bias_ih, b->dparameters + m->offsets.bias_hh);
    }
    if (b->dinput != NULL) {
        cylstm_linear_backward_input(w, p->compute, &m->input, rows, b->dgates, dgates_row,
                                     b->dinput + first * b->dinput_row, b->dinput_row, b->dinput_accumulate);
    }
}

/* Gates and cell states of a segment, from the state it begins with, as forward had them. */
static void recompute(worker *w, recurrent_backward *b, int64_t segment)
{
    recurrent_pass *p = &b->pass;
    const sequences *seq = p->sequences;
    const int64_t begin = p->segments->bounds[segment], end = p->segments->bounds[segment + 1];
    p->first_row = seq->offsets[begin];
    b->segment_step = p->reverse ? end - 1 : begin;
    b->segment_cell = has_cell(p) ? segment_state(p, segment, 1) : NULL;
    recurrent_forward f = {.pass = *p, .recording = 1, .h = {b->h[0], b->h[1]}, .c = b->c};
    f.pass.output = NULL;
    const share s = new_share(w, p, p->weights->recurrent.forward.count);
    chunk at = {.begin = end, .end = begin}, previous;
    for (int first = 1; p->reverse ? at.begin > begin : at.end < end; first = 0) {
        previous = at;
        cylstm_next_chunk(seq, p->plan->chunk_rows, p->reverse, &previous, &at);
        if (first) restore_state(&f, &s, &at, segment);
        cylstm_recurrent_chunk(w, &f, &at);
    }
}

void cylstm_recurrent_backward(worker *w, const recurrent_backward *call)
{
    recurrent_backward own = *call, *b = &own; /* each member follows the segments by itself */
    const recurrent_pass *p = &b->pass;
    const sequences *seq = p->sequences;
    const panels *weights = &p->weights->recurrent.backward;
    share s = new_share(w, p, weights->count);
    range units = share_units(&s, weights, p->layout->units);
    load_state(p, s.rows, units, b->dfinal[0], b->dh);
    if (has_cell(p)) {
        load_state(p, s.rows, units, b->dfinal[1], b->dc);
        load_state(p, s.rows, units, p->initial[1], b->c_initial);
    }
    chunk at, previous, *before = NULL;
    while (cylstm_next_chunk(seq, p->plan->chunk_rows, !p->reverse, before, &at)) {
        const int64_t segment = segment_with(p->segments, &at, !p->reverse);
        if (segment >= 0) {
            recompute(w, b, segment);
            update_share(&s, w, p, weights->count);
        }
        gather_h_before(w, b, &at);
        walk_chunk_backward(w, b, &s, &at);
        cylstm_barrier(w);
        chunk_gradients(w, b, &at);
        cylstm_barrier(w);
        update_share(&s, w, p, weights->count);
        previous = at;
        before = &previous;
    }
    units = share_units(&s, weights, p->layout->units);
    store_state(p, s.rows, units, b->dh, b->dinitial[0]);
    if (has_cell(p)) store_state(p, s.rows, units, b->dc, b->dinitial[1]);
}
