#include "dropout.h"

#include "random.h"

static void dropout_row(const dropout *d, random_block counter, int64_t width, const float *in, float *out)
{
    const uint32_t threshold = (uint32_t)((double)d->probability * 4294967295.0);
    const float scale = d->probability < 1.0f ? 1.0f / (1.0f - d->probability) : 0.0f;
    for (int64_t u = 0; u < width; u += 4) {
        counter.word[0] = (uint32_t)(u / 4);
        const random_block bits = cylstm_philox(counter, d->key);
        for (int64_t i = 0; i < 4 && u + i < width; i++) {
            out[u + i] = bits.word[i] < threshold || scale == 0.0f ? 0.0f : in[u + i] * scale;
        }
    }
}

void cylstm_dropout(const worker *w, const dropout *d, const sequences *s, int64_t layer, int64_t width,
                    const float *in, float *out)
{
    const range steps = cylstm_share(w, s->longest);
    for (int64_t t = steps.begin; t < steps.end; t++) {
        for (int64_t row = s->offsets[t]; row < s->offsets[t + 1]; row++) {
            const int64_t sequence = s->order[row - s->offsets[t]];
            const random_block counter = {{0, (uint32_t)sequence, (uint32_t)t, (uint32_t)layer}};
            dropout_row(d, counter, width, in + row * width, out + row * width);
        }
    }
}
