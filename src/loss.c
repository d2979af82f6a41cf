#include "loss.h"

#include <math.h>
#include <string.h>

#include "compiler.h"
#include "parallel.h"

/* -log p[y], p = softmax(s); gradient: p - onehot(y). Near p[y] = 1 both from 1 - p[y], the sum of the others, which
 * keeps its digits where p[y] has none left. */
static double cross_entropy(const loss_call *c, int64_t row, float *ds)
{
    const float *s = c->scores + row * c->outputs;
    const int64_t y = c->classes[row];
    float largest;
    const float log_sum = c->kernels->softmax(s, c->outputs, ds, &largest);
    if (!(ds[y] > 0.5f)) {
        ds[y] -= 1.0f;
        return (double)log_sum + largest - s[y];
    }
    double others = 0.0;
    ds[y] = 0.0f;
    for (int64_t n = 0; n < c->outputs; n++) others += ds[n];
    ds[y] = (float)-others;
    return -log1p(-others);
}

/* -y log p - (1 - y) log(1 - p), p = sigmoid(s): max(s, 0) - s y + log(1 + e^-|s|); gradient: p - y */
static double binary_cross_entropy(const loss_call *c, int64_t row, float *ds)
{
    const float *s = c->scores + row * c->outputs, *y = c->values + row * c->outputs;
    double sum = 0.0;
    for (int64_t n = 0; n < c->outputs; n++) {
        const float e = expf(-fabsf(s[n])), positive = s[n] > 0.0f ? s[n] : 0.0f;
        const float p = (s[n] >= 0.0f ? 1.0f : e) / (1.0f + e);
        sum += (double)(positive - s[n] * y[n]) + log1pf(e) + (isnan(s[n]) ? s[n] : 0.0f);
        ds[n] = p - y[n];
    }
    return sum;
}

/* (s - y)^2; gradient: 2 (s - y). */
ALWAYS_INLINE void square_errors(const float *s, const float *y, float *ds, const int64_t count, double *sums)
{
    for (int64_t i = 0; i < count; i++) {
        const float difference = s[i] - y[i];
        sums[i] += (double)difference * difference;
        ds[i] = 2.0f * difference;
    }
}

/* In eight sums side by side, none of which waits for its last addition, and in whole vectors. */
static double squared_error(const loss_call *c, int64_t row, float *ds)
{
    enum { SUMS = 8 };
    const float *s = c->scores + row * c->outputs, *y = c->values + row * c->outputs;
    double sums[SUMS] = {0.0}, sum = 0.0;
    int64_t n = 0;
    for (; n + SUMS <= c->outputs; n += SUMS) square_errors(s + n, y + n, ds + n, SUMS, sums);
    square_errors(s + n, y + n, ds + n, c->outputs - n, sums);
    for (int i = 0; i < SUMS; i++) sum += sums[i];
    return sum;
}

/* Terms the mean is over: rows, or rows * outputs. */
static int64_t terms(const loss_call *c)
{
    return c->kind == LOSS_CROSS_ENTROPY ? c->counted : c->counted * c->outputs;
}

/* Rows ascending: the same bits on any number of threads. */
static double sum_rows(const loss_call *c)
{
    double sum = 0.0;
    for (int64_t row = 0; row < c->rows; row++) sum += c->row_losses[row];
    return sum;
}

static void loss_body(worker *w, void *context)
{
    loss_call *c = context;
    const float weight = 1.0f / (float)terms(c);
    const range mine = cylstm_share(w, c->rows);
    for (int64_t row = mine.begin; row < mine.end; row++) {
        float *ds = c->dscores + row * c->outputs;
        if (c->mask != NULL && !c->mask[row]) {
            memset(ds, 0, (size_t)c->outputs * sizeof(float));
            c->row_losses[row] = 0.0;
            continue;
        }
        switch (c->kind) {
        case LOSS_CROSS_ENTROPY: c->row_losses[row] = cross_entropy(c, row, ds); break;
        case LOSS_BINARY_CROSS_ENTROPY: c->row_losses[row] = binary_cross_entropy(c, row, ds); break;
        case LOSS_SQUARED_ERROR: c->row_losses[row] = squared_error(c, row, ds); break;
        }
        for (int64_t n = 0; n < c->outputs; n++) ds[n] *= weight;
    }
    cylstm_barrier(w);
    if (cylstm_is_first(w)) c->sum = sum_rows(c);
}

double cylstm_loss(loss_call *call)
{
    call->counted = 0;
    for (int64_t row = 0; row < call->rows; row++) call->counted += call->mask == NULL || call->mask[row];
    cylstm_parallel_run(call->threads, loss_body, call);
    return call->counted > 0 ? call->sum / (double)terms(call) : 0.0;
}
