#include "plan.h"

#include <stdatomic.h>

enum {
    /* A sgemm tile: large enough that OpenBLAS's packing of its operands pays, small enough to share out. */
    TILE_ROWS_TARGET = 512,
    TILE_COLUMNS_TARGET = 512,
    /* OpenBLAS's bits for a row depend on the tile's height below this: such products stay with our own kernels. */
    TILE_ROWS_LEAST = 8,
    /* The least steps of a wave's chunk: their inputs are projected at once. */
    WAVE_STEPS_LEAST = 4,
};

/* ---- thresholds ---- */

enum threshold {
    WORK_PER_THREAD,
    VALUES_PER_THREAD,
    SPLIT_SEQUENCES,
    SPLIT_WEIGHTS,
    FUSED_SEQUENCES,
    FUSED_WEIGHTS,
    STRAND_WEIGHTS,
    WAVE_CHUNKS,
    CHUNK_ROWS,
    BLAS_WORK,
    THRESHOLDS
};

/* With what set them, measured on two cores of a Zen 4 with AVX-512; `python -m benchmarks plan` measures them again. */
static const struct {
    const char *name;
    int64_t value;
} planned[THRESHOLDS] = {
    /* Multiply-adds for each thread of a call (one sequence, 64 units): two threads take 0.89 of one's time at this size,
     * 1.07 after a pause, which has put the second to sleep; a quarter of the work: 1.06 and 1.08. */
    [WORK_PER_THREAD] = {"work_per_thread", 250000},
    /* Values that are updated, packed or copied, likewise (Adam): 0.86 and 0.96; with a quarter of them 1.18 and 2.8. */
    [VALUES_PER_THREAD] = {"values_per_thread", 16000},
    /* Sequences for each thread from which on threads take sequences, not units: 4 to 16 make no difference beyond noise. */
    [SPLIT_SEQUENCES] = {"split_sequences", 8},
    /* Weights that a step reads for each sequence of a thread up to which they do: each thread then reads all of them, and
     * where they leave its own cache it waits. Two cores of an Emerald Rapids: units take 0.98 of the time at 33,000 (16
     * sequences of 256 units each), 0.95 at 44,000, 0.93 at 131,000; training 1.02, and 0.98 at 131,000. */
    [SPLIT_WEIGHTS] = {"split_weights", 36000},
    /* Sequences for each thread from which on a step projects its own inputs: 0.90 of the time with 2, 0.99 with 1. */
    [FUSED_SEQUENCES] = {"fused_sequences", 2},
    /* Weights that a thread then reads in each step, of the input too, up to which it does: beyond they leave the core's
     * own cache, and those of the input are read once for many steps by a projection of its own. Cores with 2 MB: of 4
     * to 32 sequences fusing takes 0.93 to 1.01 of the time at 340,000, 0.95 to 1.13 at 410,000, 1.02 to 1.48 at 590,000.
     * Threads that take sequences of their own have enough of them for such weights (SPLIT_WEIGHTS). */
    [FUSED_WEIGHTS] = {"fused_weights", 450000},
    /* Recurrent weights of a direction or a layer, for each thread of the call, up to which strands go side by side: 0.95 of
     * the time at 74,000, 1.15 (directions) at 131,000, where they leave the core's own cache. */
    [STRAND_WEIGHTS] = {"strand_weights", 100000},
    /* A wave's chunks in a call, of which one is spent on filling and emptying: 8 take 1.08 of the time, 32 and 64 0.98 to
     * 1.00. */
    [WAVE_CHUNKS] = {"wave_chunks", 16},
    /* Rows whose gates (256 units: 2 MB) still lie in the cache when they are stepped through: 1024 take 1.06 of the time,
     * 64 to 256 the same as 512. */
    [CHUNK_ROWS] = {"chunk_rows", 512},
    /* Multiply-adds of a product that sgemm does. Our own kernels, whose weights are packed already, take 0.96 of its time
     * from 1.3e8 to 2.1e9: what is given to sgemm is what a BLAS of another machine may do better. */
    [BLAS_WORK] = {"blas_work", 1000000000},
};

static _Atomic int64_t chosen[THRESHOLDS]; /* 0: as planned */

static int64_t threshold(enum threshold which)
{
    const int64_t value = atomic_load_explicit(&chosen[which], memory_order_relaxed);
    return value > 0 ? value : planned[which].value;
}

const char *cylstm_threshold_name(int which)
{
    return which < THRESHOLDS ? planned[which].name : NULL;
}

int64_t cylstm_threshold(int which)
{
    return threshold((enum threshold)which);
}

void cylstm_set_threshold(int which, int64_t value)
{
    atomic_store(&chosen[which], value);
}

/* ---- a call ---- */

/* The most strands on that many threads into which so many layers go without rest. */
static int whole_strands(int64_t layers, int threads)
{
    int strands = layers < threads ? (int)layers : threads;
    while (layers % strands != 0) strands--;
    return strands;
}

int cylstm_plan_most_strands(const layout *l, int threads)
{
    return l->directions > 1 ? l->directions : whole_strands(l->config.num_layers, threads);
}

/* Layers as a wave: chunks short enough that filling and emptying it costs little, long enough to project at once. Not
 * where sgemm might project: its bits depend on the chunks. */
static void plan_wave(plan *p, const layout *l, int64_t rows, int64_t batch)
{
    const int64_t short_enough = rows / batch / threshold(WAVE_CHUNKS), most = threshold(CHUNK_ROWS) / batch;
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
    if (weights > cylstm_product(threshold(STRAND_WEIGHTS), p->threads)) return;
    if (l->directions > 1) {
        p->strands = l->directions;
    } else {
        plan_wave(p, l, rows, batch);
    }
}

/* Of any layer. */
static int64_t widest_input(const layout *l)
{
    return l->config.num_layers > 1 && l->width > l->config.input_size ? l->width : l->config.input_size;
}

int64_t cylstm_plan_work(const layout *l, int64_t rows)
{
    const int64_t layers = l->config.num_layers;
    const int64_t widths = l->config.input_size + (layers - 1) * l->width + layers * l->recurrent_width;
    return cylstm_product(rows, cylstm_product(l->directions * l->gate_width, widths));
}

/* Of a direction, for its input and its state. */
static int64_t step_weights(const layout *l)
{
    return cylstm_product(l->gate_width, l->recurrent_width + widest_input(l));
}

/* Sequences to threads: enough of them for each, and for the weights that each thread then reads by itself. */
static int splits_rows(const layout *l, int64_t batch, int threads)
{
    return batch >= cylstm_product(threshold(SPLIT_SEQUENCES), threads) &&
           cylstm_product(batch, threshold(SPLIT_WEIGHTS)) >= cylstm_product(step_weights(l), threads);
}

/* Inputs projected by the steps: always of one step; of more where the weights that this takes serve enough sequences. */
static int fuses(const plan *p, const layout *l, int64_t rows, int64_t batch)
{
    if (rows <= batch || p->split_rows) return 1;
    return batch >= cylstm_product(threshold(FUSED_SEQUENCES), p->threads) &&
           step_weights(l) <= cylstm_product(threshold(FUSED_WEIGHTS), p->threads);
}

plan cylstm_plan(const layout *l, int64_t rows, int64_t batch, int max_threads)
{
    const int64_t worthwhile = cylstm_plan_work(l, rows) / threshold(WORK_PER_THREAD);
    plan p = {.threads = max_threads, .chunk_rows = threshold(CHUNK_ROWS)};
    if (worthwhile < p.threads) p.threads = worthwhile > 1 ? (int)worthwhile : 1;
    p.split_rows = splits_rows(l, batch, p.threads);
    p.fused = fuses(&p, l, rows, batch);
    plan_strands(&p, l, rows, batch);
    return p;
}

int cylstm_plan_copy_threads(int64_t count, int max_threads)
{
    const int64_t worthwhile = count / threshold(VALUES_PER_THREAD);
    if (worthwhile >= max_threads) return max_threads;
    return worthwhile > 1 ? (int)worthwhile : 1;
}

int cylstm_plan_blas(const compute *c, int64_t segments, int64_t m, int64_t n, int64_t k)
{
    if (c->blas == NULL || m < TILE_ROWS_LEAST || n < TILE_ROWS_LEAST) return 0;
    if (m > INT32_MAX || n > INT32_MAX || k > INT32_MAX) return 0;
    return cylstm_product(cylstm_product(cylstm_product(m, n), k), segments) >= threshold(BLAS_WORK);
}

/* To ask what sgemm would do, were there one. */
static const blas any_blas;
static const compute with_blas = {.blas = &any_blas};

/* Whether it would do y = W x of so many rows or, recording, one of the gradients dW and dx. */
static int linear_wants_blas(int64_t segments, int64_t rows, int64_t outputs, int64_t inputs, int recording)
{
    return cylstm_plan_blas(&with_blas, segments, rows, outputs, inputs) ||
           (recording && (cylstm_plan_blas(&with_blas, segments, outputs, inputs, rows) ||
                          cylstm_plan_blas(&with_blas, segments, rows, inputs, outputs)));
}

int cylstm_plan_wants_blas(const layout *l, int64_t rows, int64_t batch, int recording)
{
    const int64_t most = cylstm_sum(threshold(CHUNK_ROWS), batch - 1), chunk = rows < most ? rows : most;
    const axis gates = cylstm_axis_merged(cylstm_layout_gate_axis(l));
    const int64_t scored = l->config.pooling == CYLSTM_POOL_NONE ? rows : batch;
    /* Last of all dW_hh, the one product of recurrent weights that is not part of a step. */
    return linear_wants_blas(gates.segments, chunk, gates.valid, widest_input(l), recording) ||
           linear_wants_blas(1, scored, l->config.output_size, l->width, recording) ||
           (recording && cylstm_plan_blas(&with_blas, gates.segments, gates.valid, l->recurrent_width, chunk));
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
