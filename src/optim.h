/* Optimisers over the flat parameter vector; each equals PyTorch's update of the same name. */
#ifndef CYLSTM_OPTIM_H
#define CYLSTM_OPTIM_H

#include "kernels.h"

typedef struct optimizer_step {
    const kernels *kernels;
    int threads;
    int64_t count;
    float *parameters;
    const float *gradients;
    float *slots[2];   /* SGD: momentum; RMSprop: square average, momentum; Adam: first and second moment */
    double grad_scale; /* multiplies the gradient first: clipping */
    double learning_rate, weight_decay;
    double momentum;   /* SGD, RMSprop; 0: slots not used for it */
    double alpha;      /* RMSprop: decay of the square average */
    double beta1, beta2, eps;
    int64_t step;      /* from 1 */
    int nesterov;      /* SGD */
    int decoupled;     /* Adam: weight decay as in AdamW */
} optimizer_step;

void cylstm_sgd(optimizer_step *s);
void cylstm_rmsprop(optimizer_step *s);
void cylstm_adam(optimizer_step *s);

/* values = 0 */
void cylstm_clear(float *values, int64_t count, int threads);

/* sqrt(sum of squares), in double, in an order that does not depend on the threads; sums: room for cylstm_norm_blocks */
double cylstm_global_norm(const float *values, int64_t count, int threads, double *sums);
int64_t cylstm_norm_blocks(int64_t count);

#endif
