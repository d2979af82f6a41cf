#include "plan.h"

#include <stdatomic.h>

enum {
    /* Below this many multiply-adds a second thread costs more (some 5 us to wake it) than it brings. */
    WORK_PER_THREAD = 1000000,
    /* Values whose copying, packing or update takes as long as waking a thread. */
    VALUES_PER_THREAD = 200000,
    /* A sgemm tile: large enough that OpenBLAS's packing of its operands pays, small enough to share out. */
    TILE_ROWS_TARGET = 512,
    TILE_COLUMNS_TARGET = 512,
    /* OpenBLAS's bits for a row depend on the tile's height below this: such products stay with our own kernels. */
    TILE_ROWS_LEAST = 8,
    /* Rows whose gates (1024 units: 4 MB) still lie in the cache when they are stepped through. */
    CHUNK_ROWS = 512,
    /* Recurrent weights of a direction, or a layer, for each thread that the call has. */
    STRAND_WEIGHTS = 100000,
    /* A wave's chunks in a call, and the least steps of one. */
    WAVE_CHUNKS = 16,
    WAVE_STEPS_LEAST = 4,
    /* Below this many multiply-adds of a product our own kernels beat sgemm by more than a few per cent: their weights
     * are packed already. */
    BLAS_WORK = 1000000000,
};

/* The most strands on that many threads into which so many layers go without rest. */
static int whole_strands(int64_t layers, int threads)
{
    int strands = layers < threads ? (int)layers : threads;
    while (layers % strands != 0) strands--;
    return strands;
}

/* Layers as a wave: chunks short enough that filling and emptying it costs little, long enough to project at once. Not
 * where sgemm might project: its bits depend on the chunks. */
static void plan_wave(plan *p, const layout *l, int64_t rows, int64_t batch)
{
    const int64_t short_enough = rows / batch / WAVE_CHUNKS, most = CHUNK_ROWS / batch;
    const int64_t steps = short_enough < most ? short_enough : most;
    if (steps < WAVE_STEPS_LEAST || cylstm_plan_wants_blas(l, rows, batch, 0)) return;
    p->strands = whole_strands(l->config.num_layers, p->threads);
    if (p->strands > 1) p->wave_steps = steps;
}

/* Directions, or layers, side by side: threads of a smaller group wait less for each other, as long as the weights of its
 * strand stay in their caches. */
static void plan_strands(plan *p, const layout *l, int64_t rows, int64_t batch)
{
    const int64_t weights = cylstm_product(l->gate_width, l->recurrent_width);
    p->strands = 1;
    if (p->threads == 1 || p->split_rows || rows <= batch) return;
    if (weights > cylstm_product(STRAND_WEIGHTS, p->threads)) return;
    if (l->directions > 1) {
        p->strands = l->directions;
    } else {
        plan_wave(p, l, rows, batch);
    }
}

int64_t cylstm_plan_work(const layout *l, int64_t rows)
{
    const int64_t layers = l->config.num_layers;
    const int64_t widths = l->config.input_size + (layers - 1) * l->width + layers * l->recurrent_width;
    return cylstm_product(rows, cylstm_product(l->directions * l->gate_width, widths));
}

plan cylstm_plan(const layout *l, int64_t rows, int64_t batch, int max_threads)
{
    const int64_t worthwhile = cylstm_plan_work(l, rows) / WORK_PER_THREAD;
    plan p = {.threads = max_threads, .chunk_rows = CHUNK_ROWS};
    if (worthwhile < p.threads) p.threads = worthwhile > 1 ? (int)worthwhile : 1;
    p.split_rows = batch >= (int64_t)8 * p.threads;
    p.fused = rows <= batch || batch >= (int64_t)4 * p.threads;
    plan_strands(&p, l, rows, batch);
    return p;
}

int cylstm_plan_copy_threads(int64_t count, int max_threads)
{
    const int64_t worthwhile = count / VALUES_PER_THREAD;
    if (worthwhile >= max_threads) return max_threads;
    return worthwhile > 1 ? (int)worthwhile : 1;
}

static _Atomic int64_t blas_work = BLAS_WORK;

void cylstm_set_blas_work(int64_t work)
{
    atomic_store(&blas_work, work > 0 ? work : BLAS_WORK);
}

int cylstm_plan_blas(const compute *c, int64_t segments, int64_t m, int64_t n, int64_t k)
{
    if (c->blas == NULL || m < TILE_ROWS_LEAST || n < TILE_ROWS_LEAST) return 0;
    if (m > INT32_MAX || n > INT32_MAX || k > INT32_MAX) return 0;
    return cylstm_product(cylstm_product(cylstm_product(m, n), k), segments) >=
           atomic_load_explicit(&blas_work, memory_order_relaxed);
}

int cylstm_plan_wants_blas(const layout *l, int64_t rows, int64_t batch, int recording)
{
    static const blas any = {0};
    const compute c = {.blas = &any};
    const int64_t chunk_limit = batch > CHUNK_ROWS ? batch : CHUNK_ROWS;
    const int64_t chunk = rows < chunk_limit ? rows : chunk_limit;
    const axis gates = cylstm_axis_merged(cylstm_layout_gate_axis(l));
    const int64_t widest = l->config.num_layers > 1 && l->width > l->config.input_size ? l->width
                                                                                       : l->config.input_size;
    return cylstm_plan_blas(&c, gates.segments, chunk, gates.valid, widest) ||
           cylstm_plan_blas(&c, 1, rows, l->config.output_size, l->width) ||
           (recording && cylstm_plan_blas(&c, gates.segments, gates.valid, l->recurrent_width, chunk));
}

static int64_t tiles(int64_t n, int64_t target)
{
    const int64_t count = (n + target / 2) / target;
    return count > 1 ? count : 1;
}

tiling cylstm_plan_tiles(int64_t segments, int64_t m, int64_t n)
{
    return (tiling){.segments = segments,
                    .row_tiles = tiles(m, TILE_ROWS_TARGET),
                    .column_tiles = tiles(n, TILE_COLUMNS_TARGET),
                    .rows = m,
                    .columns = n};
}

/* Equal tiles in multiples of 16, the last one what is left: never fewer than half the target, so never below 8. */
range cylstm_tile_range(int64_t n, int64_t tiles_in_all, int64_t tile)
{
    const int64_t size = n / tiles_in_all / 16 * 16;
    const int64_t begin = tile * size;
    return (range){begin, tile + 1 == tiles_in_all ? n : begin + size};
}
