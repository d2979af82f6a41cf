/* The one door to BLAS: whoever embeds the core supplies sgemm; the core links none. */
#ifndef CYLSTM_BLAS_H
#define CYLSTM_BLAS_H

#include <stdint.h>

/*
 * C (m, n) = alpha op(A) (m, k) op(B) (k, n) + beta C, row-major, op(X) = X or its transpose.
 * Must run on the calling thread alone, whatever its own thread setting, and be safe to call from several threads.
 */
typedef struct blas {
    void (*sgemm)(void *context, int transpose_a, int transpose_b, int64_t m, int64_t n, int64_t k, float alpha,
                  const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
    void *context;
} blas;

#endif
