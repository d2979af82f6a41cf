/* Dropout between recurrent layers: Srivastava et al., JMLR 15 (2014), scaled at training time. */
#ifndef CYLSTM_DROPOUT_H
#define CYLSTM_DROPOUT_H

#include "parallel.h"
#include "sequences.h"

typedef struct dropout {
    float probability; /* 0: off */
    uint64_t key;      /* of this call: the same key gives the same masks */
} dropout;

/*
 * out = in * mask / (1 - probability), packed rows; out may be in. The mask of an element follows from the key, the
 * layer, and the element's sequence, step and unit, so padding and threads do not change it, and the same call applied
 * to gradients is the backward pass.
 */
void cylstm_dropout(const worker *w, const dropout *d, const sequences *s, int64_t layer, int64_t width,
                    const float *in, float *out);

#endif
