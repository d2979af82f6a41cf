/*
 * sigmoid and tanh on vectors: one polynomial, the same operations in the same order on every instruction set.
 */
#ifndef CYLSTM_ACTIVATION_H
#define CYLSTM_ACTIVATION_H

#include "simd.h"

/*
 * e^x = scale * (1 + q), scale = 2^n, n = round(x / ln 2), q = e^r - 1, r = x - n ln 2, |r| <= ln(2) / 2.
 * q = r + r^2 P(r), P the minimax polynomial of degree 5 for the relative error of q (2.7e-10 before rounding).
 * x must lie in [-87, 89] or be NaN (which q keeps). ln 2 is split in two so that n times its head is exact.
 */
ALWAYS_INLINE vec reduced_expm1(vec x, vec *scale)
{
    const vec shifter = vec_set1(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer, left in the low bits */
    vec shifted = vec_fma(x, vec_set1(0x1.715476p+0f), shifter);
    vec n = vec_sub(shifted, shifter);
    vec r = vec_fma(n, vec_set1(-0.693359375f), x);
    r = vec_fma(n, vec_set1(2.12194440e-4f), r);

    vec p = vec_set1(0x1.a2a3a8p-13f);
    p = vec_fma(p, r, vec_set1(0x1.6d839ap-10f));
    p = vec_fma(p, r, vec_set1(0x1.11101ep-7f));
    p = vec_fma(p, r, vec_set1(0x1.55549ep-5f));
    p = vec_fma(p, r, vec_set1(0x1.555556p-3f));
    p = vec_fma(p, r, vec_set1(0.5f));

    *scale = vec_add_bits(vec_shift_exponent(shifted), vec_set1(1.0f));
    return vec_fma(vec_mul(r, r), p, r);
}

/* sigmoid(x) = 1 / (1 + e^-x). From x = -88.4 on e^-x is Inf and the result 0. */
ALWAYS_INLINE vec vec_sigmoid(vec x)
{
    const vec one = vec_set1(1.0f);
    vec negated = vec_sub(vec_set1(0.0f), x);
    vec scale, q = reduced_expm1(vec_max(vec_set1(-87.0f), vec_min(vec_set1(89.0f), negated)), &scale);
    vec e = vec_mul(scale, vec_add(one, q));
    return vec_div(one, vec_add(one, e));
}

/* tanh|x| = m / (m + 2), m = e^2|x| - 1 = scale q + (scale - 1); the sign is put back. 1 from |x| = 10 on. */
ALWAYS_INLINE vec vec_tanh(vec x)
{
    const vec sign = vec_and_bits(x, vec_set1(-0.0f));
    vec doubled = vec_add(x, x);
    vec magnitude = vec_max(doubled, vec_sub(vec_set1(0.0f), doubled));
    vec scale, q = reduced_expm1(vec_min(vec_set1(20.0f), magnitude), &scale);
    vec m = vec_fma(scale, q, vec_sub(scale, vec_set1(1.0f)));
    vec t = vec_div(m, vec_add(m, vec_set1(2.0f)));
    return vec_or_bits(t, sign);
}

#endif
