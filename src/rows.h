/*
 * Between the caller's arrays over steps and sequences and packed rows (sequences.h). Called by all members of a team; none
 * ends with a barrier.
 */
#ifndef CYLSTM_ROWS_H
#define CYLSTM_ROWS_H

#include "parallel.h"
#include "sequences.h"

/* The caller's array over steps and sequences: (t, b) at data + t * step + b * row, its features contiguous. */
typedef struct view {
    float *data;
    int64_t step, row;
} view;

/* Packed rows, so many floats apart. */
typedef struct rows {
    float *data;
    int64_t row;
} rows;

/* Whether packed rows and the caller's rows are the same memory: returns the distance between rows, or 0. */
int64_t cylstm_row_distance(const sequences *s, int64_t step, int64_t row);

/* The caller's rows, gathered in packed order. */
void cylstm_gather(const worker *w, const sequences *s, view from, int64_t width, float *to, int64_t to_row);

/* Packed rows, put where the caller wants them. */
void cylstm_scatter(const worker *w, const sequences *s, const float *from, int64_t from_row, int64_t width, view to);

/* Zeros where the caller's array has steps that its sequences have not. */
void cylstm_clear_padding(const worker *w, const sequences *s, int64_t width, view to);

/* One row per sequence, from ranks to the caller's order and back. */
void cylstm_scatter_by_rank(const worker *w, const sequences *s, const float *from, int64_t from_row, int64_t width,
                            view to);

void cylstm_gather_by_rank(const worker *w, const sequences *s, view from, int64_t width, float *to, int64_t to_row);

#endif
