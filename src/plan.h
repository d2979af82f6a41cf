/*
 * How one call is done: on how many threads, split how, which product by BLAS. Every threshold lives in plan.c.
 *
 * What the bits depend on (which kernel, which tiles, which chunks) follows from the shapes alone. The number of threads
 * and the way work is split among them change the time and nothing else.
 */
#ifndef CYLSTM_PLAN_H
#define CYLSTM_PLAN_H

#include "blas.h"
#include "parallel.h"
#include "sequences.h"

/* What every part of a call computes with. */
typedef struct compute {
    const kernels *kernels;
    const blas *blas; /* NULL: the library's own kernels everywhere */
} compute;

typedef struct plan {
    int threads;        /* worth using for this much work, at most what was asked for */
    int split_rows;     /* a step is shared out by sequences (no barrier), else by units (a barrier per step) */
    int fused;          /* a step projects its own input, where sgemm does not */
    int strands; /* directions or layers that run side by side, each on a group of the threads; 1: all on one */
    int64_t wave_steps; /* the strands are layers, each so many steps behind the one below; 0: they are directions */
    int64_t chunk_rows; /* rows projected before they are stepped through */
} plan;

/* Multiply-adds of a forward pass over so many rows. */
int64_t cylstm_plan_work(const layout *l, int64_t rows);

/* A plan for `rows` time steps in all of B sequences through the layout's network, on at most max_threads threads. */
plan cylstm_plan(const layout *l, int64_t rows, int64_t batch, int max_threads);

/* The most strands that any plan of the layout has on that many threads: what memory is sized by. */
int cylstm_plan_most_strands(const layout *l, int threads);

/* Threads for a pass over `count` values that does little with each: copying, packing, an optimiser's update. */
int cylstm_plan_copy_threads(int64_t count, int max_threads);

/* Thresholds by number, from 0, for whoever measures them again: the name (NULL after the last), the value, and another value
 * (0: as planned), to be set while no call runs, since sums of gradients, and what sgemm does, depend on some. */
const char *cylstm_threshold_name(int which);
int64_t cylstm_threshold(int which);
void cylstm_set_threshold(int which, int64_t value);

/* Whether a product (m, k) (k, n) should go to sgemm, which does it in that many segments, each (m, n). */
int cylstm_plan_blas(const compute *c, int64_t segments, int64_t m, int64_t n, int64_t k);

/* Whether any product of a call over B sequences of T steps would go to sgemm, were there one: who holds BLAS at one
 * thread asks this first. */
int cylstm_plan_wants_blas(const layout *l, int64_t rows, int64_t batch, int recording);

/* The tiles of a sgemm product (m, n), once for each segment of the outputs. */
typedef struct tiling {
    int64_t segments, row_tiles, column_tiles;
    int64_t rows, columns; /* m, n */
} tiling;

tiling cylstm_plan_tiles(int64_t segments, int64_t m, int64_t n);
range cylstm_tile_range(int64_t n, int64_t tiles, int64_t tile);

static inline int64_t cylstm_tile_count(const tiling *t)
{
    return t->segments * t->row_tiles * t->column_tiles;
}

#endif
