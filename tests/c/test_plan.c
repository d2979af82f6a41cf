/*
 * How work is divided: shares and sgemm tiles cover everything once, and tiles follow from the shapes alone.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_plan.c libcylstm.a -lm -o test_plan && ./test_plan
 */
#include "check.h"

#include "plan.h"

static void test_shares_cover_everything_once(void)
{
    for (int size = 1; size <= 9; size++) {
        for (int64_t n = 0; n < 50; n++) {
            int64_t end = 0;
            for (int rank = 0; rank < size; rank++) {
                const worker w = {.rank = rank, .size = size};
                const range r = cylstm_share(&w, n);
                CHECK(r.begin == end && r.end >= r.begin, "share %d of %d of %lld", rank, size, (long long)n);
                CHECK(r.end - r.begin <= n / size + 1, "share %d of %d of %lld is too large", rank, size, (long long)n);
                end = r.end;
            }
            CHECK(end == n, "%d shares end at %lld of %lld", size, (long long)end, (long long)n);
            const worker left_out = {.rank = -1, .size = size};
            const range none = cylstm_share(&left_out, n);
            CHECK(none.begin == none.end, "a worker that has left has a share");
        }
    }
}

/* OpenBLAS's bits depend on a tile's height below 8 rows. */
static void test_tiles_cover_everything_once_and_are_never_low(void)
{
    for (int64_t n = 8; n < 3000; n++) {
        const tiling t = cylstm_plan_tiles(1, n, n);
        CHECK(cylstm_tile_count(&t) == t.row_tiles * t.column_tiles, "tiles of %lld", (long long)n);
        int64_t end = 0;
        for (int64_t tile = 0; tile < t.row_tiles; tile++) {
            const range r = cylstm_tile_range(n, t.row_tiles, tile);
            CHECK(r.begin == end && r.begin % 16 == 0 && r.end - r.begin >= 8, "tile %lld of %lld: %lld rows from %lld",
                  (long long)tile, (long long)n, (long long)(r.end - r.begin), (long long)r.begin);
            end = r.end;
        }
        CHECK(end == n, "tiles of %lld end at %lld", (long long)n, (long long)end);
    }
}

static void test_sgemm_is_for_large_products_alone(void)
{
    const blas any = {0};
    const compute with = {.blas = &any}, without = {.blas = NULL};
    CHECK(cylstm_plan_blas(&with, 1, 1000, 1000, 1000), "a large product");
    CHECK(!cylstm_plan_blas(&without, 1, 1000, 1000, 1000), "a large product without BLAS");
    CHECK(!cylstm_plan_blas(&with, 1, 8, 8, 8), "a small product");
    CHECK(!cylstm_plan_blas(&with, 1, 7, 1000000, 1000), "few rows");
    CHECK(!cylstm_plan_blas(&with, 1, 1000000, 7, 1000), "few columns");
    CHECK(!cylstm_plan_blas(&with, 1, (int64_t)INT32_MAX + 1, 1000, 1000), "more rows than an int holds");
    CHECK(!cylstm_plan_blas(&with, 1, 1000, 1000, (int64_t)INT32_MAX + 1), "longer sums than an int holds");
}

static plan plan_for(int64_t rows, int64_t batch, int threads)
{
    layout l;
    const cylstm_config c = {.struct_size = sizeof c, .input_size = 64, .hidden_size = 64, .num_layers = 1};
    cylstm_layout_init(&l, &c, 16);
    return cylstm_plan(&l, rows, batch, threads);
}

static void test_threads_are_for_large_calls_alone(void)
{
    CHECK(plan_for(1, 1, 8).threads == 1, "%d threads for one step", plan_for(1, 1, 8).threads);
    CHECK(plan_for(0, 1, 8).threads == 1, "%d threads for nothing", plan_for(0, 1, 8).threads);
    CHECK(plan_for(100000, 1000, 8).threads == 8, "%d of 8 threads", plan_for(100000, 1000, 8).threads);
    CHECK(plan_for(100000, 1000, 1).threads == 1, "more threads than allowed");
    CHECK(plan_for(INT64_MAX, INT32_MAX, 8).threads == 8, "more rows than can be");
}

/* The chunks of a call, and with them its bits, are the same on any number of threads. */
static void test_chunks_follow_from_the_shapes_alone(void)
{
    for (int threads = 1; threads <= 8; threads++) {
        CHECK(plan_for(5000, 50, threads).chunk_rows == plan_for(5000, 50, 1).chunk_rows, "%d threads", threads);
    }
}

static void test_thresholds_can_be_set_and_put_back(void)
{
    for (int which = 0; cylstm_threshold_name(which) != NULL; which++) {
        const int64_t as_planned = cylstm_threshold(which);
        CHECK(as_planned > 0, "%s", cylstm_threshold_name(which));
        cylstm_set_threshold(which, 7);
        CHECK(cylstm_threshold(which) == 7, "%s is not set", cylstm_threshold_name(which));
        cylstm_set_threshold(which, 0);
        CHECK(cylstm_threshold(which) == as_planned, "%s is not put back", cylstm_threshold_name(which));
    }
}

int main(void)
{
    test_thresholds_can_be_set_and_put_back();
    test_shares_cover_everything_once();
    test_tiles_cover_everything_once_and_are_never_low();
    test_sgemm_is_for_large_products_alone();
    test_threads_are_for_large_calls_alone();
    test_chunks_follow_from_the_shapes_alone();
    return report("plan");
}
