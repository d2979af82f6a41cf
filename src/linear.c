#include "linear.h"

#include <string.h>

/* ---- packing ---- */

static int64_t panel_width(const kernels *isa)
{
    return (int64_t)CYLSTM_PANEL_VECTORS * isa->lanes;
}

/* `width` columns of a panel for k_count k: the first `valid` of them, zero in the others. Either the columns or, of a
 * vector's width, the k lie side by side in the source. */
static void pack_columns(const kernels *isa, float *to, int64_t k_count, const float *from, int64_t k_stride,
                         int64_t column_stride, int64_t valid, int64_t width)
{
    const int64_t to_k = panel_width(isa);
    if (k_stride == 1) {
        isa->pack_transposed(valid, k_count, from, column_stride, to, to_k);
    } else {
        for (int64_t k = 0; k < k_count; k++) memcpy(to + k * to_k, from + k * k_stride, (size_t)valid * sizeof(float));
    }
    for (int64_t k = 0; k < k_count; k++) {
        for (int64_t i = valid; i < width; i++) to[k * to_k + i] = 0.0f;
    }
}

/* How many of the `width` places from `column` on exist in the source, and where the first lies there. The padding of an
 * axis is whole vectors, so that none straddles two segments. */
static int64_t source_columns(axis columns, int64_t column, int64_t width, int64_t *first)
{
    const int64_t segment = column / columns.padded, left = columns.valid - column % columns.padded;
    *first = segment * columns.valid + column % columns.padded;
    if (segment >= columns.segments || left < 0) return 0;
    return left < width ? left : width;
}

/* How many columns of a panel lie side by side in the source, too: all of a plain one's, or a vector's. */
static int64_t packed_at_once(const kernels *isa, const panels *p, axis columns, int64_t k_stride)
{
    const int plain = p->vector_stride == isa->lanes && columns.segments == 1 && k_stride != 1;
    return plain ? panel_width(isa) : isa->lanes;
}

void cylstm_pack(const kernels *isa, const panels *p, range which, const float *source, int64_t k_stride, axis columns,
                 int64_t column_stride)
{
    const int64_t to_k = panel_width(isa), k_count = cylstm_panels_k(p);
    const int64_t width = packed_at_once(isa, p, columns, k_stride);
    for (int64_t panel = which.begin; panel < which.end; panel++) {
        for (int64_t at = 0; at < to_k; at += width) {
            const int64_t place = panel * p->panel_stride + at / isa->lanes * p->vector_stride;
            int64_t column;
            const int64_t valid = source_columns(columns, place, width, &column);
            pack_columns(isa, p->data + panel * k_count * to_k + at, k_count, source + column * column_stride, k_stride,
                         column_stride, valid, width);
        }
    }
}

/* The same of rows in memory, of plain panels: k from which.begin to which.end, all panels. */
static void pack_rows(const kernels *isa, const panels *p, range which, const float *rows, int64_t row, int64_t columns)
{
    const int64_t width = panel_width(isa);
    for (int64_t panel = 0; panel < p->count; panel++) {
        const int64_t first = panel * width, valid = columns - first < width ? columns - first : width;
        pack_columns(isa, p->data + (panel * p->k.valid + which.begin) * width, which.end - which.begin,
                     rows + which.begin * row + first, row, 1, valid, width);
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

/* y = b, or zero, in these columns. */
static void start_from(const float *bias, range rows, range columns, float *y, int64_t y_row)
{
    for (int64_t r = rows.begin; r < rows.end; r++) {
        for (int64_t n = columns.begin; n < columns.end; n++) y[r * y_row + n] = bias == NULL ? 0.0f : bias[n];
    }
}

static void forward_by_blas(worker *w, const blas *b, const linear *l, int64_t rows, const float *x, int64_t x_row,
                            float *y, int64_t y_row)
{
    const axis outputs = cylstm_axis_merged(l->outputs);
    const tiling t = cylstm_plan_tiles(outputs.segments, rows, outputs.valid);
    range mine = cylstm_share(w, cylstm_tile_count(&t));
    for (tile i; next_tile(&mine, &t, &i);) {
        const int64_t first = i.segment * outputs.padded + i.columns.begin, end = first + length(i.columns);
        if (l->bias != NULL) start_from(l->bias, i.rows, (range){first, end}, y, y_row);
        if (i.columns.end == outputs.valid) /* what follows is padding */
            start_from(NULL, i.rows, (range){end, (i.segment + 1) * outputs.padded}, y, y_row);
        b->sgemm(b->context, 0, 1, length(i.rows), length(i.columns), l->inputs, 1.0f, x + i.rows.begin * x_row, x_row,
                 l->weight + (i.segment * outputs.valid + i.columns.begin) * l->inputs, l->inputs,
                 l->bias == NULL ? 0.0f : 1.0f, y + i.rows.begin * y_row + first, y_row);
    }
}

int cylstm_linear_uses_blas(const compute *c, const linear *l, int64_t rows)
{
    const axis outputs = cylstm_axis_merged(l->outputs);
    return cylstm_plan_blas(c, outputs.segments, rows, outputs.valid, l->inputs);
}

void cylstm_linear_forward(worker *w, const compute *c, const linear *l, int64_t rows, const float *x, int64_t x_row,
                           float *y, int64_t y_row)
{
    if (cylstm_linear_uses_blas(c, l, rows)) {
        forward_by_blas(w, c->blas, l, rows, x, x_row, y, y_row);
        return;
    }
    product_args args = {.b = &l->forward,
                         .a = x,
                         .a_row = x_row,
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

/* ---- gradients of weights: rows are what is summed over ---- */

int64_t cylstm_weight_scratch(int64_t output_width, int64_t inputs, int64_t other_inputs, int64_t rows, int lanes)
{
    const panels x = cylstm_layout_plain_panels(inputs, cylstm_axis_of(rows), lanes);
    const panels h = cylstm_layout_plain_panels(other_inputs, cylstm_axis_of(rows), lanes);
    const int64_t packed = cylstm_sum(cylstm_panels_size(&x, lanes), cylstm_panels_size(&h, lanes));
    return cylstm_sum(cylstm_product(output_width, rows), packed);
}

/* A worker's part of the n rows of packed tiles, and of the panels where there are few rows. */
static void share_tiles(const worker *w, int64_t n, int tile_rows, int64_t panel_count, range *rows, range *panels)
{
    const int64_t tiles = n / tile_rows > 1 ? n / tile_rows - 1 : 1; /* the last is up to two, and shares them evenly */
    *rows = (range){0, n};
    *panels = (range){0, panel_count};
    if (tiles < 2 * (int64_t)w->size && panel_count > 1) {
        *panels = cylstm_share(w, panel_count);
        return;
    }
    const range mine = cylstm_share(w, tiles);
    *rows = (range){mine.begin * tile_rows, mine.end == tiles ? n : mine.end * tile_rows};
    if (mine.begin == mine.end) *rows = (range){0, 0};
}

static void weight_by_kernel(const worker *w, const compute *c, axis outputs, const panels *x, const float *dy,
                             const weight_gradient *g)
{
    for (int64_t s = 0; s < outputs.segments; s++) {
        float *to = g->dweight + s * outputs.valid * g->inputs;
        product_args args = {.b = x,
                             .a = dy + s * outputs.valid * x->k.valid,
                             .a_tiled = 1,
                             .init = to,
                             .init_row = g->inputs,
                             .c = to,
                             .c_row = g->inputs,
                             .columns = g->inputs};
        share_tiles(w, outputs.valid, c->kernels->tile_rows, x->count, &args.rows, &args.panels);
        c->kernels->product(&args);
    }
}

/* Packs dy and every x, both by rows' shares, then multiplies. */
static void weights_by_kernel(worker *w, const compute *c, axis outputs, int64_t rows, const float *dy, int64_t dy_row,
                              const weight_gradient *gradients, int count, float *scratch)
{
    const int lanes = c->kernels->lanes;
    const range mine = cylstm_share(w, rows);
    panels packed[2];
    float *place = scratch + cylstm_axis_width(outputs) * rows;
    for (int64_t s = 0; s < outputs.segments; s++) {
        c->kernels->pack_tiles(mine, outputs.valid, rows, dy + s * outputs.padded, dy_row,
                               scratch + s * outputs.valid * rows);
    }
    for (int i = 0; i < count; i++) {
        packed[i] = cylstm_layout_plain_panels(gradients[i].inputs, cylstm_axis_of(rows), lanes);
        packed[i].data = place;
        place += cylstm_panels_size(&packed[i], lanes);
        pack_rows(c->kernels, &packed[i], mine, gradients[i].x, gradients[i].x_row, gradients[i].inputs);
    }
    cylstm_barrier(w);
    for (int i = 0; i < count; i++) weight_by_kernel(w, c, outputs, &packed[i], scratch, &gradients[i]);
    cylstm_barrier(w); /* scratch may be packed again */
}

static void weight_by_blas(worker *w, const blas *b, axis outputs, int64_t rows, const float *dy, int64_t dy_row,
                           const weight_gradient *g)
{
    const tiling t = cylstm_plan_tiles(outputs.segments, outputs.valid, g->inputs);
    range mine = cylstm_share(w, cylstm_tile_count(&t));
    for (tile i; next_tile(&mine, &t, &i);) {
        b->sgemm(b->context, 1, 0, length(i.rows), length(i.columns), rows, 1.0f,
                 dy + i.segment * outputs.padded + i.rows.begin, dy_row, g->x + i.columns.begin, g->x_row, 1.0f,
                 g->dweight + (i.segment * outputs.valid + i.rows.begin) * g->inputs + i.columns.begin, g->inputs);
    }
}

void cylstm_linear_backward_weights(worker *w, const compute *c, axis outputs, int64_t rows, const float *dy,
                                    int64_t dy_row, const weight_gradient *gradients, int count, float *scratch)
{
    const axis merged = cylstm_axis_merged(outputs);
    weight_gradient by_kernel[2];
    int left = 0;
    for (int i = 0; i < count; i++) {
        if (cylstm_plan_blas(c, merged.segments, merged.valid, gradients[i].inputs, rows)) {
            weight_by_blas(w, c->blas, merged, rows, dy, dy_row, &gradients[i]);
        } else {
            by_kernel[left++] = gradients[i];
        }
    }
    if (left > 0) weights_by_kernel(w, c, merged, rows, dy, dy_row, by_kernel, left, scratch);
}

void cylstm_linear_backward_bias(worker *w, axis outputs, int64_t rows, const float *dy, int64_t dy_row, float *db,
                                 float *other_db)
{
    enum { BLOCK = 64 };
    const range mine = cylstm_share(w, outputs.valid);
    for (int64_t s = 0; s < outputs.segments; s++) {
        for (int64_t first = mine.begin; first < mine.end; first += BLOCK) {
            const int64_t count = mine.end - first < BLOCK ? mine.end - first : BLOCK;
            const float *from = dy + s * outputs.padded + first;
            float sums[BLOCK] = {0};
            for (int64_t r = 0; r < rows; r++) {
                for (int64_t n = 0; n < count; n++) sums[n] += from[r * dy_row + n];
            }
            for (int64_t n = 0; n < count; n++) {
                db[s * outputs.valid + first + n] += sums[n];
                if (other_db != NULL) other_db[s * outputs.valid + first + n] += sums[n];
            }
        }
    }
}
