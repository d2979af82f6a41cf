/*
 * How the sequences of one call lie in memory while it runs: packed rows.
 *
 * Sequences are ranked by length, longest first, so that those still running at step t are the ranks 0 .. active(t)-1.
 * Row (t, rank) is offsets[t] + rank: time after time, no row for padding. Both directions walk the same rows; the
 * reverse one meets each sequence first at that sequence's own last step.
 */
#ifndef CYLSTM_SEQUENCES_H
#define CYLSTM_SEQUENCES_H

#include "layout.h"

typedef struct sequences {
    int64_t batch;   /* B */
    int64_t steps;   /* T of the caller's arrays */
    int64_t longest; /* steps any sequence has: steps <= T to walk */
    int64_t rows;    /* sum of the lengths */
    int64_t *order;   /* (B) rank -> the caller's index */
    int64_t *lengths; /* (B) by rank, descending */
    int64_t *offsets; /* (longest + 1) first row of each step */
} sequences;

/* Steps walked together: their rows are projected at once, then stepped through. */
typedef struct chunk {
    int64_t begin, end; /* steps */
} chunk;

/* Places the tables of B sequences of up to T steps in the arena (counts only when its base is NULL). */
void cylstm_sequences_place(sequences *s, arena *a, int64_t steps, int64_t batch);

/* Fills the tables; lengths (B) in 0 .. T, or NULL where every sequence has T steps. */
void cylstm_sequences_fill(sequences *s, const int64_t *lengths);

static inline int64_t cylstm_active(const sequences *s, int64_t t)
{
    return t < 0 || t >= s->longest ? 0 : s->offsets[t + 1] - s->offsets[t];
}

/* Whether row (t, rank) of the caller's (T, B) array is row t * B + rank: nothing is padded or permuted. */
int cylstm_sequences_are_full(const sequences *s);

/* The chunk that follows `previous` (NULL: the first) in time order, or against it with `backward`: the same chunks either
 * way. A chunk's steps are those whose first row is in the same `rows` rows. Returns 0 when there is none left. */
int cylstm_next_chunk(const sequences *s, int64_t rows, int backward, const chunk *previous, chunk *next);

static inline int64_t cylstm_chunk_rows(const sequences *s, const chunk *c)
{
    return s->offsets[c->end] - s->offsets[c->begin];
}

/* The most rows a chunk can have: what its buffers are sized by. */
int64_t cylstm_max_chunk_rows(int64_t steps, int64_t batch, int64_t rows);

#endif
