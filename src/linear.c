#include "linear.h"

/* ---- packing ---- */

/* Where place i of an axis lies in the source, and how many of the `count` places from it on exist there. */
static int64_t source_index(axis a, int64_t i, int64_t count, int64_t *valid)
{
    const int64_t segment = i / a.padded, place = i % a.padded;
    const int64_t left = segment < a.segments ? a.valid - place : 0;
    *valid = left < 0 ? 0 : left < count ? left : count;
    return segment * a.valid + place;
}

void cylstm_pack(const panels *p, range which, int lanes, const float *source, axis k_axis, int64_t k_stride,
                 axis columns, int64_t column_stride)
{
    float *packed = p->data + which.begin * p->k * CYLSTM_PANEL_VECTORS * lanes;
    for (int64_t panel = which.begin; panel < which.end; panel++) {
        for (int64_t v = 0; v < CYLSTM_PANEL_VECTORS; v++) {
            int64_t valid, k_valid; /* the padding of an axis is whole vectors: none straddles two segments */
            const int64_t column = source_index(columns, panel * p->panel_stride + v * p->vector_stride, lanes, &valid);
            for (int64_t k = 0; k < p->k; k++) {
                const int64_t from = source_index(k_axis, k, 1, &k_valid) * k_stride + column * column_stride;
                float *to = packed + (k * CYLSTM_PANEL_VECTORS + v) * lanes;
                for (int64_t i = 0; i < lanes; i++)
                    to[i] = i < valid && k_valid ? source[from + i * column_stride] : 0.0f;
            }
        }
        packed += p->k * CYLSTM_PANEL_VECTORS * lanes;
    }
}

/* ---- products by our own kernels: split by panels, or by rows where there are more of them ---- */

static void run_product(worker *w, const compute *c, product_args *args, int64_t rows)
{
    args->rows = (range){0, rows};
    args->panels = (range){0, args->b->count};
    if (args->b->count >= 2 * (int64_t)w->size) {
        args->panels = cylstm_share(w, args->b->count);
    } else {
        args->rows = cylstm_share(w, rows);
    }
    c->kernels->product(args);
}

/* ---- products by sgemm: tiles that follow from the shapes, shared out among the team ---- */

typedef struct tile {
    int64_t segment;
    range rows, columns; /* within the segment */
} tile;

/* The next tile this worker has to do; 0 when it has done its share. */
static int next_tile(range *mine, const tiling *t, tile *next)
{
    if (mine->begin >= mine->end) return 0;
    const int64_t per_segment = t->row_tiles * t->column_tiles, at = mine->begin % per_segment;
    next->segment = mine->begin / per_segment;
    next->rows = cylstm_tile_range(t->rows, t->row_tiles, at / t->column_tiles);
    next->columns = cylstm_tile_range(t->columns, t->column_tiles, at % t->column_tiles);
    mine->begin++;
    return 1;
}

static int64_t length(range r)
{
    return r.end - r.begin;
}

/* ---- forward ---- */

static void start_from_bias(const linear *l, range rows, range columns, float *y, int64_t y_row)
{
    for (int64_t r = rows.begin; r < rows.end; r++) {
        for (int64_t n = columns.begin; n < columns.end; n++) y[r * y_row + n] = l->bias == NULL ? 0.0f : l->bias[n];
    }
}

static void forward_by_blas(worker *w, const blas *b, const linear *l, int64_t rows, const float *x, int64_t x_row,
                            float *y, int64_t y_row)
{
    const axis outputs = cylstm_axis_merged(l->outputs);
    const tiling t = cylstm_plan_tiles(outputs.segments, rows, outputs.valid);
    range mine = cylstm_share(w, cylstm_tile_count(&t));
    for (tile i; next_tile(&mine, &t, &i);) {
        const int64_t first = i.segment * outputs.padded + i.columns.begin;
        const int64_t padding = i.columns.end == outputs.valid ? outputs.padded - outputs.valid : 0;
        start_from_bias(l, i.rows, (range){first, first + length(i.columns) + padding}, y, y_row);
        b->sgemm(b->context, 0, 1, length(i.rows), length(i.columns), l->inputs, 1.0f, x + i.rows.begin * x_row, x_row,
                 l->weight + (i.segment * outputs.valid + i.columns.begin) * l->inputs, l->inputs, 1.0f,
                 y + i.rows.begin * y_row + first, y_row);
    }
}

void cylstm_linear_forward(worker *w, const compute *c, const linear *l, int64_t rows, const float *x, int64_t x_row,
                           float *y, int64_t y_row)
{
    const axis outputs = cylstm_axis_merged(l->outputs);
    if (cylstm_plan_blas(c, outputs.segments, rows, outputs.valid, l->inputs)) {
        forward_by_blas(w, c->blas, l, rows, x, x_row, y, y_row);
        return;
    }
    product_args args = {.b = &l->forward,
                         .a = x,
                         .a_row = x_row,
                         .a_k = 1,
                         .init = l->bias,
                         .c = y,
                         .c_row = y_row,
                         .columns = cylstm_axis_width(l->outputs)};
    run_product(w, c, &args, rows);
}

/* ---- backward ---- */

void cylstm_linear_backward_input(worker *w, const compute *c, const linear *l, int64_t rows, const float *dy,
                                  int64_t dy_row, float *dx, int64_t dx_row, int accumulate)
{
    const axis outputs = cylstm_axis_merged(l->outputs);
    if (!cylstm_plan_blas(c, outputs.segments, rows, l->inputs, outputs.valid)) {
        product_args args = {.b = &l->backward,
                             .a = dy,
                             .a_row = dy_row,
                             .a_k = 1,
                             .init = accumulate ? dx : NULL,
                             .init_row = dx_row,
                             .c = dx,
                             .c_row = dx_row,
                             .columns = l->inputs};
        run_product(w, c, &args, rows);
        return;
    }
    const tiling t = cylstm_plan_tiles(1, rows, l->inputs);
    range mine = cylstm_share(w, cylstm_tile_count(&t));
    for (tile i; next_tile(&mine, &t, &i);) {
        for (int64_t s = 0; s < outputs.segments; s++) {
            c->blas->sgemm(c->blas->context, 0, 0, length(i.rows), length(i.columns), outputs.valid, 1.0f,
                           dy + i.rows.begin * dy_row + s * outputs.padded, dy_row,
                           l->weight + s * outputs.valid * l->inputs + i.columns.begin, l->inputs,
                           accumulate || s > 0 ? 1.0f : 0.0f, dx + i.rows.begin * dx_row + i.columns.begin, dx_row);
        }
    }
}

int64_t cylstm_linear_scratch(int64_t inputs, int64_t rows, int lanes)
{
    const panels p = cylstm_layout_plain_panels(inputs, rows, lanes);
    return cylstm_panels_size(&p, lanes);
}

static void weight_by_kernel(worker *w, const compute *c, const linear *l, int64_t rows, const float *dy,
                             int64_t dy_row, const float *x, int64_t x_row, float *dweight, float *scratch)
{
    const int lanes = c->kernels->lanes;
    panels packed = cylstm_layout_plain_panels(l->inputs, rows, lanes);
    const axis k = {.segments = 1, .padded = rows, .valid = rows};
    packed.data = scratch;
    cylstm_pack(&packed, cylstm_share(w, packed.count), lanes, x, k, x_row, cylstm_layout_plain_axis(l->inputs, lanes),
                1);
    cylstm_barrier(w);
    const range outputs = cylstm_share(w, l->outputs.valid);
    for (int64_t s = 0; s < l->outputs.segments; s++) {
        float *to = dweight + s * l->outputs.valid * l->inputs;
        const product_args args = {.rows = outputs,
                                   .panels = {0, packed.count},
                                   .b = &packed,
                                   .a = dy + s * l->outputs.padded,
                                   .a_row = 1,
                                   .a_k = dy_row,
                                   .init = to,
                                   .init_row = l->inputs,
                                   .c = to,
                                   .c_row = l->inputs,
                                   .columns = l->inputs};
        c->kernels->product(&args);
    }
    cylstm_barrier(w); /* scratch may be packed again */
}

void cylstm_linear_backward_weight(worker *w, const compute *c, const linear *l, int64_t rows, const float *dy,
                                   int64_t dy_row, const float *x, int64_t x_row, float *dweight, float *scratch)
{
    const axis outputs = cylstm_axis_merged(l->outputs);
    if (!cylstm_plan_blas(c, outputs.segments, outputs.valid, l->inputs, rows)) {
        weight_by_kernel(w, c, l, rows, dy, dy_row, x, x_row, dweight, scratch);
        return;
    }
    const tiling t = cylstm_plan_tiles(outputs.segments, outputs.valid, l->inputs);
    range mine = cylstm_share(w, cylstm_tile_count(&t));
    for (tile i; next_tile(&mine, &t, &i);) {
        c->blas->sgemm(c->blas->context, 1, 0, length(i.rows), length(i.columns), rows, 1.0f,
                       dy + i.segment * outputs.padded + i.rows.begin, dy_row, x + i.columns.begin, x_row, 1.0f,
                       dweight + (i.segment * outputs.valid + i.rows.begin) * l->inputs + i.columns.begin, l->inputs);
    }
}

void cylstm_linear_backward_bias(worker *w, axis outputs, int64_t rows, const float *dy, int64_t dy_row, float *db)
{
    const range mine = cylstm_share(w, outputs.valid);
    for (int64_t s = 0; s < outputs.segments; s++) {
        for (int64_t r = 0; r < rows; r++) {
            const float *row = dy + r * dy_row + s * outputs.padded;
            for (int64_t n = mine.begin; n < mine.end; n++) db[s * outputs.valid + n] += row[n];
        }
    }
}
