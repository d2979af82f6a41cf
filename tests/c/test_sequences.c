/*
 * Packed rows: whatever the lengths, each step of each sequence has one row, and chunks walk all rows once.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_sequences.c libcylstm.a -lm -o test_sequences && ./test_sequences
 */
#include "check.h"

#include "sequences.h"

typedef struct drawn {
    sequences s;
    int64_t lengths[12];
    char *memory;
} drawn;

static int64_t draw_length(int64_t steps)
{
    return random_integer(0, 4) == 0 ? 0 : random_integer(0, steps);
}

/* Up to 12 sequences of up to 15 steps, one time in four all of the same length. */
static drawn draw(void)
{
    drawn d;
    const int64_t steps = random_integer(1, 15), batch = random_integer(1, 12);
    const int full = random_integer(0, 3) == 0;
    for (int64_t b = 0; b < batch; b++) d.lengths[b] = full ? steps : draw_length(steps);
    arena a = {NULL, 0};
    cylstm_sequences_place(&d.s, &a, steps, batch);
    d.memory = allocate((size_t)a.used);
    a = (arena){d.memory, 0};
    cylstm_sequences_place(&d.s, &a, steps, batch);
    cylstm_sequences_fill(&d.s, full && random_integer(0, 1) ? NULL : d.lengths);
    return d;
}

/* Longest first, equal lengths in the caller's order. */
static void check_ranks(const drawn *d)
{
    const sequences *s = &d->s;
    int seen[12] = {0};
    for (int64_t rank = 0; rank < s->batch; rank++) {
        const int64_t b = s->order[rank];
        CHECK(b >= 0 && b < s->batch && seen[b]++ == 0, "sequence %lld at rank %lld", (long long)b, (long long)rank);
        CHECK(s->lengths[rank] == d->lengths[b], "rank %lld has another length", (long long)rank);
        if (rank == 0) continue;
        const int64_t longer = s->lengths[rank - 1];
        CHECK(longer > s->lengths[rank] || (longer == s->lengths[rank] && s->order[rank - 1] < b), "rank %lld",
              (long long)rank);
    }
}

/* Rows follow each other time after time, one for each sequence that is still running. */
static void check_rows(const drawn *d)
{
    const sequences *s = &d->s;
    int64_t row = 0, longest = 0;
    for (int64_t t = 0; t < s->steps; t++) {
        int64_t running = 0;
        for (int64_t b = 0; b < s->batch; b++) running += d->lengths[b] > t;
        CHECK(cylstm_active(s, t) == running, "%lld of %lld run at %lld", (long long)cylstm_active(s, t),
              (long long)running, (long long)t);
        if (running > 0) {
            longest = t + 1;
            CHECK(s->offsets[t] == row && s->lengths[running - 1] > t, "step %lld", (long long)t);
        }
        row += running;
    }
    CHECK(s->rows == row && s->longest == longest && s->offsets[longest] == row, "%lld rows", (long long)s->rows);
    CHECK(cylstm_active(s, -1) == 0 && cylstm_active(s, s->longest) == 0, "steps outside have rows");
}

/* Chunks cover all steps once, and are the same from either end: their steps begin in the same rows of `rows`. */
static void check_chunks(const sequences *s, int64_t rows, int backward)
{
    chunk at, previous, *before = NULL;
    int64_t next = backward ? s->longest : 0;
    const int64_t bound = cylstm_max_chunk_rows(s->steps, s->batch, rows);
    while (cylstm_next_chunk(s, rows, backward, before, &at)) {
        const int64_t place = s->offsets[at.begin] / rows, own = cylstm_chunk_rows(s, &at);
        CHECK(at.begin < at.end && (backward ? at.end : at.begin) == next, "%lld to %lld", (long long)at.begin,
              (long long)at.end);
        CHECK(s->offsets[at.end - 1] / rows == place, "%lld to %lld: too long", (long long)at.begin, (long long)at.end);
        CHECK(at.begin == 0 || s->offsets[at.begin - 1] / rows < place, "%lld: too late", (long long)at.begin);
        CHECK(at.end == s->longest || s->offsets[at.end] / rows > place, "%lld: too early", (long long)at.end);
        CHECK(own <= bound, "%lld rows in buffers of %lld", (long long)own, (long long)bound);
        next = backward ? at.begin : at.end;
        previous = at;
        before = &previous;
    }
    CHECK(next == (backward ? 0 : s->longest), "the chunks end at %lld of %lld", (long long)next,
          (long long)s->longest);
}

/* Where this says so, the network takes row t * B + b of the caller for row (t, rank). */
static void check_full(const sequences *s)
{
    if (!cylstm_sequences_are_full(s) || s->batch == 1) return;
    for (int64_t rank = 0; rank < s->batch; rank++) CHECK(s->order[rank] == rank, "rank %lld", (long long)rank);
    for (int64_t t = 0; t < s->longest; t++) CHECK(s->offsets[t] == t * s->batch, "step %lld", (long long)t);
}

int main(void)
{
    for (int trial = 0; trial < 5000; trial++) {
        drawn d = draw();
        check_ranks(&d);
        check_rows(&d);
        check_full(&d.s);
        for (int backward = 0; backward < 2; backward++) check_chunks(&d.s, random_integer(1, 40), backward);
        free(d.memory);
    }
    return report("sequences");
}
