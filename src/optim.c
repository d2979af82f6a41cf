#include "optim.h"

#include <math.h>

#include "plan.h"

/* g = grad_scale * gradient + weight_decay * p */
static inline float gradient_of(const optimizer_step *s, int64_t i, float scale, float decay)
{
    return s->gradients[i] * scale + s->parameters[i] * decay;
}

/* Sutskever et al., ICML 2013: b = momentum b + g (b = g at first), p -= lr b, or lr (g + momentum b) with Nesterov. */
static void sgd_body(worker *w, void *context)
{
    const optimizer_step *s = context;
    const float scale = (float)s->grad_scale, decay = (float)s->weight_decay, rate = (float)s->learning_rate;
    const float momentum = (float)s->momentum, keep = s->step > 1 ? momentum : 0.0f;
    float *velocity = s->slots[0];
    const range mine = cylstm_share(w, s->count);
    for (int64_t i = mine.begin; i < mine.end; i++) {
        float g = gradient_of(s, i, scale, decay);
        if (momentum != 0.0f) {
            velocity[i] = keep * velocity[i] + g;
            g = s->nesterov ? g + momentum * velocity[i] : velocity[i];
        }
        s->parameters[i] -= rate * g;
    }
}

/* Hinton's lecture 6e: v = alpha v + (1 - alpha) g^2, p -= lr g / (sqrt(v) + eps); with momentum the ratio is gathered. */
static void rmsprop_body(worker *w, void *context)
{
    const optimizer_step *s = context;
    const float scale = (float)s->grad_scale, decay = (float)s->weight_decay, rate = (float)s->learning_rate;
    const float alpha = (float)s->alpha, rest = (float)(1.0 - s->alpha), eps = (float)s->eps,
                momentum = (float)s->momentum;
    float *square = s->slots[0], *velocity = s->slots[1];
    const range mine = cylstm_share(w, s->count);
    for (int64_t i = mine.begin; i < mine.end; i++) {
        const float g = gradient_of(s, i, scale, decay);
        square[i] = alpha * square[i] + rest * g * g;
        float update = g / (sqrtf(square[i]) + eps);
        if (momentum != 0.0f) update = velocity[i] = momentum * velocity[i] + update;
        s->parameters[i] -= rate * update;
    }
}

static void adam_body(worker *w, void *context)
{
    const optimizer_step *s = context;
    const adam_args args = {
        .parameters = s->parameters,
        .gradients = s->gradients,
        .first = s->slots[0],
        .second = s->slots[1],
        .scale = (float)s->grad_scale,
        .decay = s->decoupled ? 0.0f : (float)s->weight_decay,
        .shrink = s->decoupled ? (float)(1.0 - s->learning_rate * s->weight_decay) : 1.0f,
        .rest1 = (float)(1.0 - s->beta1),
        .beta2 = (float)s->beta2,
        .rest2 = (float)(1.0 - s->beta2),
        .rate = (float)(s->learning_rate / (1.0 - pow(s->beta1, (double)s->step))),
        .correction = (float)sqrt(1.0 - pow(s->beta2, (double)s->step)),
        .eps = (float)s->eps,
    };
    s->kernels->adam(cylstm_share(w, s->count), &args);
}

void cylstm_sgd(optimizer_step *s)
{
    cylstm_parallel_run(cylstm_plan_copy_threads(s->count, s->threads), sgd_body, s);
}

void cylstm_rmsprop(optimizer_step *s)
{
    cylstm_parallel_run(cylstm_plan_copy_threads(s->count, s->threads), rmsprop_body, s);
}

void cylstm_adam(optimizer_step *s)
{
    cylstm_parallel_run(cylstm_plan_copy_threads(s->count, s->threads), adam_body, s);
}

/* ---- gradients ---- */

typedef struct clearing {
    float *values;
    int64_t count;
} clearing;

static void clear_body(worker *w, void *context)
{
    const clearing *c = context;
    const range mine = cylstm_share(w, c->count);
    for (int64_t i = mine.begin; i < mine.end; i++) c->values[i] = 0.0f;
}

void cylstm_clear(float *values, int64_t count, int threads)
{
    clearing c = {values, count};
    cylstm_parallel_run(cylstm_plan_copy_threads(count, threads), clear_body, &c);
}

/* ---- the norm: sums of blocks, each in an order of its own, then those ascending ---- */

enum { NORM_BLOCK = 1 << 13 };

int64_t cylstm_norm_blocks(int64_t count)
{
    return (count + NORM_BLOCK - 1) / NORM_BLOCK;
}

/* Eight sums side by side, so that a compiler may use vectors. */
static double sum_of_squares(const float *values, int64_t count)
{
    double sums[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) {
        for (int j = 0; j < 8; j++) sums[j] += (double)values[i + j] * values[i + j];
    }
    for (; i < count; i++) sums[0] += (double)values[i] * values[i];
    return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

typedef struct norm {
    const float *values;
    int64_t count;
    double *sums;
} norm;

static void norm_body(worker *w, void *context)
{
    const norm *n = context;
    const range mine = cylstm_share(w, cylstm_norm_blocks(n->count));
    for (int64_t block = mine.begin; block < mine.end; block++) {
        const int64_t first = block * NORM_BLOCK, left = n->count - first;
        n->sums[block] = sum_of_squares(n->values + first, left < NORM_BLOCK ? left : NORM_BLOCK);
    }
}

double cylstm_global_norm(const float *values, int64_t count, int threads, double *sums)
{
    norm n = {values, count, sums};
    double sum = 0.0;
    cylstm_parallel_run(cylstm_plan_copy_threads(count, threads), norm_body, &n);
    for (int64_t block = 0; block < cylstm_norm_blocks(count); block++) sum += sums[block];
    return sqrt(sum);
}
