#include "rows.h"

#include <string.h>

int64_t cylstm_row_distance(const sequences *s, int64_t step, int64_t row)
{
    if (!cylstm_sequences_are_full(s)) return 0;
    if (s->longest == 1) return row;
    if (s->batch == 1) return step;
    return step == s->batch * row ? row : 0;
}

void cylstm_gather(const worker *w, const sequences *s, view from, int64_t width, float *to, int64_t to_row)
{
    const range steps = cylstm_share(w, s->longest);
    for (int64_t t = steps.begin; t < steps.end; t++) {
        for (int64_t row = s->offsets[t]; row < s->offsets[t + 1]; row++) {
            const int64_t b = s->order[row - s->offsets[t]];
            memcpy(to + row * to_row, from.data + t * from.step + b * from.row, (size_t)width * sizeof(float));
        }
    }
}

void cylstm_scatter(const worker *w, const sequences *s, const float *from, int64_t from_row, int64_t width, view to)
{
    const range steps = cylstm_share(w, s->longest);
    for (int64_t t = steps.begin; t < steps.end; t++) {
        for (int64_t row = s->offsets[t]; row < s->offsets[t + 1]; row++) {
            const int64_t b = s->order[row - s->offsets[t]];
            memcpy(to.data + t * to.step + b * to.row, from + row * from_row, (size_t)width * sizeof(float));
        }
    }
}

void cylstm_clear_padding(const worker *w, const sequences *s, int64_t width, view to)
{
    const range ranks = cylstm_share(w, s->batch);
    for (int64_t rank = ranks.begin; rank < ranks.end; rank++) {
        for (int64_t t = s->lengths[rank]; t < s->steps; t++) {
            memset(to.data + t * to.step + s->order[rank] * to.row, 0, (size_t)width * sizeof(float));
        }
    }
}

void cylstm_scatter_by_rank(const worker *w, const sequences *s, const float *from, int64_t from_row, int64_t width,
                            view to)
{
    const range ranks = cylstm_share(w, s->batch);
    for (int64_t rank = ranks.begin; rank < ranks.end; rank++) {
        memcpy(to.data + s->order[rank] * to.row, from + rank * from_row, (size_t)width * sizeof(float));
    }
}

void cylstm_gather_by_rank(const worker *w, const sequences *s, view from, int64_t width, float *to, int64_t to_row)
{
    const range ranks = cylstm_share(w, s->batch);
    for (int64_t rank = ranks.begin; rank < ranks.end; rank++) {
        memcpy(to + rank * to_row, from.data + s->order[rank] * from.row, (size_t)width * sizeof(float));
    }
}
