/* What training makes small, and its gradient by the scores. Means over the rows that count, as PyTorch's "mean". */
#ifndef CYLSTM_LOSS_H
#define CYLSTM_LOSS_H

#include "kernels.h"

typedef enum loss_kind { LOSS_CROSS_ENTROPY, LOSS_BINARY_CROSS_ENTROPY, LOSS_SQUARED_ERROR } loss_kind;

typedef struct loss_call {
    loss_kind kind;
    const kernels *kernels;
    int threads;
    int64_t rows, outputs;
    const float *scores;     /* (rows, outputs) */
    const int64_t *classes;  /* (rows), cross-entropy: 0 .. outputs-1 where the row counts */
    const float *values;     /* (rows, outputs), the others */
    const uint8_t *mask;     /* (rows): 0 where a row is padding; NULL: all count */
    float *dscores;          /* (rows, outputs): gradient of the mean */
    double *row_losses;      /* (rows) */
    int64_t counted;         /* rows that count; set by the call, as is */
    double sum;              /* the sum of row_losses */
} loss_call;

/* The mean loss; 0 when no row counts. */
double cylstm_loss(loss_call *call);

#endif
