/* An sgemm that is slow and plain, and counts its calls. */
#ifndef CYLSTM_TESTS_SGEMM_H
#define CYLSTM_TESTS_SGEMM_H

#include <stdatomic.h>
#include <stdint.h>

static atomic_int sgemm_calls;

static inline void plain_sgemm(void *context, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k,
                               float alpha, const float *a, int64_t lda, const float *b, int64_t ldb, float beta,
                               float *c, int64_t ldc)
{
    (void)context;
    atomic_fetch_add(&sgemm_calls, 1);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            float sum = 0.0f;
            for (int64_t p = 0; p < k; p++)
                sum += (transpose_a ? a[p * lda + i] : a[i * lda + p]) *
                       (transpose_b ? b[j * ldb + p] : b[p * ldb + j]);
            c[i * ldc + j] = alpha * sum + (beta == 0.0f ? 0.0f : beta * c[i * ldc + j]);
        }
    }
}

#endif
