/* A sequence's hidden states, pooled into one row: last, mean or max; forward beside backward. */
#ifndef CYLSTM_POOLING_H
#define CYLSTM_POOLING_H

#include "parallel.h"
#include "sequences.h"

typedef struct pooling {
    cylstm_pooling kind;
    const layout *layout;
    const sequences *sequences;
    const float
        *initial; /* h_0 of the last layer, (D, B, H) in the caller's order: "last" of an empty sequence; NULL: zeros */
    float *carried; /* streaming: (B, D*H + 1) in the caller's order, sums or maxima so far and a count; NULL: none */
    float *pooled; /* (B, D*H) by rank */
    int32_t *chosen; /* "max", recording: (B, D*H) the step each maximum came from, -1: none; NULL otherwise */
} pooling;

/* hidden: packed rows, hidden_row apart */
void cylstm_pool(const worker *w, const pooling *p, const float *hidden, int64_t hidden_row);

/* dhidden (rows, D*H) = the gradient of each row; rows that pooling does not look at get zeros. An empty
 * sequence under "last" has no row: its gradient goes to h_0, which is the caller's to see to. */
void cylstm_pool_backward(const worker *w, const pooling *p, const float *dpooled, float *dhidden);

#endif
