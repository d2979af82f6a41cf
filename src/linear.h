/*
 * y = W x + b for many rows at once, and its gradients: the input and recurrent projections and the head.
 *
 * Outputs lie along an axis (segments x padded) of which W has the valid places: an LSTM's four gates, each padded to
 * whole vectors, or the head. Every function is called by all members of a team; none ends with a barrier.
 */
#ifndef CYLSTM_LINEAR_H
#define CYLSTM_LINEAR_H

#include "plan.h"

typedef struct linear {
    axis outputs;
    int64_t inputs;
    const float *weight; /* (segments * valid, inputs), as in the parameter vector */
    const float *bias;   /* (segments * padded); NULL: none */
    panels forward;      /* W^T: k = inputs, columns = outputs */
    panels backward;     /* W: k = outputs, columns = inputs */
} linear;

static inline int64_t cylstm_axis_width(axis a)
{
    return a.segments * a.padded;
}

/* Whether sgemm computes y of so many rows. */
int cylstm_linear_uses_blas(const compute *c, const linear *l, int64_t rows);

/* y (rows, outputs) = x (rows, inputs) W^T + b */
void cylstm_linear_forward(worker *w, const compute *c, const linear *l, int64_t rows, const float *x, int64_t x_row,
                           float *y, int64_t y_row);

/* dx (rows, inputs) = dy W, or += with `accumulate` */
void cylstm_linear_backward_input(worker *w, const compute *c, const linear *l, int64_t rows, const float *dy,
                                  int64_t dy_row, float *dx, int64_t dx_row, int accumulate);

/* One W of the gradients of y = W x + U h + ...: its inputs, and where dW (segments * valid, inputs) is added up. */
typedef struct weight_gradient {
    const float *x; /* (rows, inputs) */
    int64_t x_row, inputs;
    float *dweight;
} weight_gradient;

/* dW += dy^T x, for `count` (at most 2) matrices with the same dy. scratch: cylstm_weight_scratch floats. */
void cylstm_linear_backward_weights(worker *w, const compute *c, axis outputs, int64_t rows, const float *dy,
                                    int64_t dy_row, const weight_gradient *gradients, int count, float *scratch);
int64_t cylstm_weight_scratch(int64_t output_width, int64_t inputs, int64_t other_inputs, int64_t rows, int lanes);

/* db (segments * valid) += the column sums of dy, rows ascending; for a second bias too, unless it is NULL */
void cylstm_linear_backward_bias(worker *w, axis outputs, int64_t rows, const float *dy, int64_t dy_row, float *db,
                                 float *other_db);

/*
 * Packs a matrix for the kernels: element (k, column) of the panels is source[k * k_stride + column' * column_stride],
 * column' the place's position in the source; one of the strides is 1. Padding is zero.
 */
void cylstm_pack(const kernels *isa, const panels *p, range which, const float *source, int64_t k_stride, axis columns,
                 int64_t column_stride);

#endif
