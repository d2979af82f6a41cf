#include "pooling.h"

#include <math.h>
#include <string.h>

static const float *row_of(const pooling *p, const float *hidden, int64_t hidden_row, int64_t t, int64_t rank)
{
    return hidden + (p->sequences->offsets[t] + rank) * hidden_row;
}

/* The state each direction ends in: the forward one at the sequence's last step, the reverse one at its first. */
static void pool_last(const pooling *p, const float *hidden, int64_t hidden_row, int64_t rank, float *to)
{
    const int64_t size = p->layout->recurrent_width, length = p->sequences->lengths[rank];
    for (int d = 0; d < p->layout->directions; d++, to += size) {
        if (length > 0) {
            memcpy(to, row_of(p, hidden, hidden_row, d == 0 ? length - 1 : 0, rank) + d * size,
                   (size_t)size * sizeof(float));
        } else if (p->initial != NULL) {
            memcpy(to, p->initial + (d * p->sequences->batch + p->sequences->order[rank]) * size,
                   (size_t)size * sizeof(float));
        } else {
            memset(to, 0, (size_t)size * sizeof(float));
        }
    }
}

/* The sum over steps, in ascending order whether they come at once or one by one. */
static void pool_mean(const pooling *p, const float *hidden, int64_t hidden_row, int64_t rank, float *to,
                      float *carried)
{
    const int64_t width = p->layout->width, length = p->sequences->lengths[rank];
    float count = (float)length;
    for (int64_t u = 0; u < width; u++) to[u] = carried == NULL ? 0.0f : carried[u];
    for (int64_t t = 0; t < length; t++) {
        const float *row = row_of(p, hidden, hidden_row, t, rank);
        for (int64_t u = 0; u < width; u++) to[u] += row[u];
    }
    if (carried != NULL) {
        memcpy(carried, to, (size_t)width * sizeof(float));
        count = carried[width] += count;
    }
    for (int64_t u = 0; u < width && count > 0.0f; u++) to[u] /= count;
}

static void pool_max(const pooling *p, const float *hidden, int64_t hidden_row, int64_t rank, float *to, float *carried)
{
    const int64_t width = p->layout->width, length = p->sequences->lengths[rank];
    int32_t *chosen = p->chosen == NULL ? NULL : p->chosen + rank * width;
    const int started = carried != NULL && carried[width] > 0.0f;
    for (int64_t u = 0; u < width; u++) {
        to[u] = started ? carried[u] : 0.0f;
        if (chosen != NULL) chosen[u] = -1;
    }
    for (int64_t t = 0; t < length; t++) {
        const float *row = row_of(p, hidden, hidden_row, t, rank);
        for (int64_t u = 0; u < width; u++) {
            if ((t > 0 || started) && !(row[u] > to[u] || isnan(row[u]))) continue;
            to[u] = row[u];
            if (chosen != NULL) chosen[u] = (int32_t)t;
        }
    }
    if (carried == NULL) return;
    memcpy(carried, to, (size_t)width * sizeof(float));
    carried[width] += (float)length;
}

void cylstm_pool(const worker *w, const pooling *p, const float *hidden, int64_t hidden_row)
{
    const int64_t width = p->layout->width;
    const range ranks = cylstm_share(w, p->sequences->batch);
    for (int64_t rank = ranks.begin; rank < ranks.end; rank++) {
        float *to = p->pooled + rank * width;
        float *carried = p->carried == NULL ? NULL : p->carried + p->sequences->order[rank] * (width + 1);
        if (p->kind == CYLSTM_POOL_LAST) pool_last(p, hidden, hidden_row, rank, to);
        if (p->kind == CYLSTM_POOL_MEAN) pool_mean(p, hidden, hidden_row, rank, to, carried);
        if (p->kind == CYLSTM_POOL_MAX) pool_max(p, hidden, hidden_row, rank, to, carried);
    }
}

void cylstm_pool_backward(const worker *w, const pooling *p, const float *dpooled, float *dhidden)
{
    const sequences *s = p->sequences;
    const int64_t width = p->layout->width, size = p->layout->recurrent_width;
    const range steps = cylstm_share(w, s->longest);
    for (int64_t t = steps.begin; t < steps.end; t++) {
        for (int64_t rank = 0; rank < cylstm_active(s, t); rank++) {
            const float *from = dpooled + rank * width;
            float *to = dhidden + (s->offsets[t] + rank) * width;
            const int64_t last = s->lengths[rank] - 1;
            for (int64_t u = 0; u < width; u++) {
                switch (p->kind) {
                case CYLSTM_POOL_LAST: to[u] = t == (u < size ? last : 0) ? from[u] : 0.0f; break;
                case CYLSTM_POOL_MEAN: to[u] = from[u] / (float)s->lengths[rank]; break;
                default: to[u] = p->chosen[rank * width + u] == t ? from[u] : 0.0f; break;
                }
            }
        }
    }
}
