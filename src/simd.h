/*
 * A vector of LANES floats and its few operations, for the instruction set this file is compiled for. TILE_ROWS is how
 * many rows of PANEL_VECTORS accumulators its registers hold beside what feeds them, VEC_REGISTERS how many there are (0:
 * a vector is no register).
 *
 * The including file defines CYLSTM_ISA_AVX512, _AVX2, _NEON or _GENERIC. Each operation rounds once;
 * the sets with FMA give the same bits. The generic one multiplies, then adds.
 */
#ifndef CYLSTM_SIMD_H
#define CYLSTM_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "compiler.h"

/* The line at p will be wanted soon; p need not be valid. */
ALWAYS_INLINE void vec_prefetch(const float *p)
{
    PREFETCH(p);
}

#if defined(CYLSTM_ISA_AVX512)

#ifndef __AVX512F__
#error "compile this file with -mavx512f"
#endif
#include <immintrin.h>

#define LANES 16
#define TILE_ROWS 6
#define VEC_REGISTERS 32
typedef __m512 vec;

ALWAYS_INLINE vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
ALWAYS_INLINE void vec_store(float *p, vec a)
{
    _mm512_storeu_ps(p, a);
}
ALWAYS_INLINE vec vec_set1(float a)
{
    return _mm512_set1_ps(a);
}
ALWAYS_INLINE vec vec_add(vec a, vec b)
{
    return _mm512_add_ps(a, b);
}
ALWAYS_INLINE vec vec_sub(vec a, vec b)
{
    return _mm512_sub_ps(a, b);
}
ALWAYS_INLINE vec vec_mul(vec a, vec b)
{
    return _mm512_mul_ps(a, b);
}
ALWAYS_INLINE vec vec_div(vec a, vec b)
{
    return _mm512_div_ps(a, b);
}
ALWAYS_INLINE vec vec_sqrt(vec a)
{
    return _mm512_sqrt_ps(a);
}
ALWAYS_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
ALWAYS_INLINE vec vec_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
ALWAYS_INLINE vec vec_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
ALWAYS_INLINE vec vec_shift_exponent(vec a)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
}
ALWAYS_INLINE vec vec_add_bits(vec a, vec b)
{
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
ALWAYS_INLINE vec vec_and_bits(vec a, vec b)
{
    return _mm512_castsi512_ps(_mm512_and_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
ALWAYS_INLINE vec vec_or_bits(vec a, vec b)
{
    return _mm512_castsi512_ps(_mm512_or_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
ALWAYS_INLINE vec vec_where_positive(vec condition, vec a)
{
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(condition, _mm512_setzero_ps(), _CMP_GT_OQ), a);
}

#define VEC_HAS_PARTS
ALWAYS_INLINE __mmask16 first_lanes(int64_t count)
{
    return (__mmask16)((1u << count) - 1);
}
ALWAYS_INLINE vec vec_load_part(const float *p, int64_t count)
{
    return _mm512_maskz_loadu_ps(first_lanes(count), p);
}
ALWAYS_INLINE void vec_store_part(float *p, vec a, int64_t count)
{
    _mm512_mask_storeu_ps(p, first_lanes(count), a);
}

/* Row i becomes lane i of all: pairs, then fours within the 128-bit quarters, then the quarters. */
ALWAYS_INLINE void vec_transpose(vec rows[LANES])
{
    vec t[LANES];
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < LANES; i++) {
        const __m512d a = _mm512_castps_pd(t[i / 4 * 4 + i % 4 / 2]),
                      b = _mm512_castps_pd(t[i / 4 * 4 + i % 4 / 2 + 2]);
        rows[i] = _mm512_castpd_ps(i % 2 == 0 ? _mm512_unpacklo_pd(a, b) : _mm512_unpackhi_pd(a, b));
    }
    for (int c = 0; c < 4; c++) {
        const vec even = _mm512_shuffle_f32x4(rows[c], rows[4 + c], 0x88);
        const vec odd = _mm512_shuffle_f32x4(rows[c], rows[4 + c], 0xdd);
        const vec later_even = _mm512_shuffle_f32x4(rows[8 + c], rows[12 + c], 0x88);
        const vec later_odd = _mm512_shuffle_f32x4(rows[8 + c], rows[12 + c], 0xdd);
        rows[c] = _mm512_shuffle_f32x4(even, later_even, 0x88);
        rows[4 + c] = _mm512_shuffle_f32x4(odd, later_odd, 0x88);
        rows[8 + c] = _mm512_shuffle_f32x4(even, later_even, 0xdd);
        rows[12 + c] = _mm512_shuffle_f32x4(odd, later_odd, 0xdd);
    }
}

#elif defined(CYLSTM_ISA_AVX2)

#if !defined(__AVX2__) || !defined(CYLSTM_HAS_FMA)
#error "compile this file with -mavx2 -mfma"
#endif
#include <immintrin.h>

#define LANES 8
#define TILE_ROWS 3
#define VEC_REGISTERS 16
typedef __m256 vec;

ALWAYS_INLINE vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
ALWAYS_INLINE void vec_store(float *p, vec a)
{
    _mm256_storeu_ps(p, a);
}
ALWAYS_INLINE vec vec_set1(float a)
{
    return _mm256_set1_ps(a);
}
ALWAYS_INLINE vec vec_add(vec a, vec b)
{
    return _mm256_add_ps(a, b);
}
ALWAYS_INLINE vec vec_sub(vec a, vec b)
{
    return _mm256_sub_ps(a, b);
}
ALWAYS_INLINE vec vec_mul(vec a, vec b)
{
    return _mm256_mul_ps(a, b);
}
ALWAYS_INLINE vec vec_div(vec a, vec b)
{
    return _mm256_div_ps(a, b);
}
ALWAYS_INLINE vec vec_sqrt(vec a)
{
    return _mm256_sqrt_ps(a);
}
ALWAYS_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
ALWAYS_INLINE vec vec_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}
ALWAYS_INLINE vec vec_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}
ALWAYS_INLINE vec vec_shift_exponent(vec a)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
}
ALWAYS_INLINE vec vec_add_bits(vec a, vec b)
{
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
}
ALWAYS_INLINE vec vec_and_bits(vec a, vec b)
{
    return _mm256_and_ps(a, b);
}
ALWAYS_INLINE vec vec_or_bits(vec a, vec b)
{
    return _mm256_or_ps(a, b);
}
ALWAYS_INLINE vec vec_where_positive(vec condition, vec a)
{
    return _mm256_and_ps(_mm256_cmp_ps(condition, _mm256_setzero_ps(), _CMP_GT_OQ), a);
}

/* Row i becomes lane i of all: pairs, then fours within the 128-bit halves, then the halves. */
ALWAYS_INLINE void vec_transpose(vec rows[LANES])
{
    vec t[LANES];
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm256_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(rows[i], rows[i + 1]);
    }
    for (int i = 0; i < LANES; i++) {
        const __m256d a = _mm256_castps_pd(t[i / 4 * 4 + i % 4 / 2]),
                      b = _mm256_castps_pd(t[i / 4 * 4 + i % 4 / 2 + 2]);
        rows[i] = _mm256_castpd_ps(i % 2 == 0 ? _mm256_unpacklo_pd(a, b) : _mm256_unpackhi_pd(a, b));
    }
    for (int c = 0; c < 4; c++) {
        const vec low = rows[c], high = rows[4 + c];
        rows[c] = _mm256_permute2f128_ps(low, high, 0x20);
        rows[4 + c] = _mm256_permute2f128_ps(low, high, 0x31);
    }
}

#elif defined(CYLSTM_ISA_NEON)

#ifndef CYLSTM_AARCH64
#error "compile this file for aarch64"
#endif
#include <arm_neon.h>

#define LANES 4
#define TILE_ROWS 5
#define VEC_REGISTERS 32
typedef float32x4_t vec;

ALWAYS_INLINE vec vec_load(const float *p)
{
    return vld1q_f32(p);
}
ALWAYS_INLINE void vec_store(float *p, vec a)
{
    vst1q_f32(p, a);
}
ALWAYS_INLINE vec vec_set1(float a)
{
    return vdupq_n_f32(a);
}
ALWAYS_INLINE vec vec_add(vec a, vec b)
{
    return vaddq_f32(a, b);
}
ALWAYS_INLINE vec vec_sub(vec a, vec b)
{
    return vsubq_f32(a, b);
}
ALWAYS_INLINE vec vec_mul(vec a, vec b)
{
    return vmulq_f32(a, b);
}
ALWAYS_INLINE vec vec_div(vec a, vec b)
{
    return vdivq_f32(a, b);
}
ALWAYS_INLINE vec vec_sqrt(vec a)
{
    return vsqrtq_f32(a);
}
ALWAYS_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return vfmaq_f32(c, a, b);
}
/* By comparison, not vminq and vmaxq: the second operand where either is NaN, and of two zeros, as on x86. */
ALWAYS_INLINE vec vec_min(vec a, vec b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
ALWAYS_INLINE vec vec_max(vec a, vec b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
ALWAYS_INLINE vec vec_shift_exponent(vec a)
{
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(a), 23));
}
ALWAYS_INLINE vec vec_add_bits(vec a, vec b)
{
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}
ALWAYS_INLINE vec vec_and_bits(vec a, vec b)
{
    return vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}
ALWAYS_INLINE vec vec_or_bits(vec a, vec b)
{
    return vreinterpretq_f32_u32(vorrq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)));
}
ALWAYS_INLINE vec vec_where_positive(vec condition, vec a)
{
    return vreinterpretq_f32_u32(vandq_u32(vcgtq_f32(condition, vdupq_n_f32(0.0f)), vreinterpretq_u32_f32(a)));
}

/* Row i becomes lane i of all: pairs, then fours. */
ALWAYS_INLINE void vec_transpose(vec rows[LANES])
{
    const float64x2_t a = vreinterpretq_f64_f32(vtrn1q_f32(rows[0], rows[1]));
    const float64x2_t b = vreinterpretq_f64_f32(vtrn2q_f32(rows[0], rows[1]));
    const float64x2_t c = vreinterpretq_f64_f32(vtrn1q_f32(rows[2], rows[3]));
    const float64x2_t d = vreinterpretq_f64_f32(vtrn2q_f32(rows[2], rows[3]));
    rows[0] = vreinterpretq_f32_f64(vtrn1q_f64(a, c));
    rows[1] = vreinterpretq_f32_f64(vtrn1q_f64(b, d));
    rows[2] = vreinterpretq_f32_f64(vtrn2q_f64(a, c));
    rows[3] = vreinterpretq_f32_f64(vtrn2q_f64(b, d));
}

#elif defined(CYLSTM_ISA_GENERIC)

#define LANES 4
#define TILE_ROWS 2
#define VEC_REGISTERS 0
typedef struct vec {
    float v[LANES];
} vec;

#define EACH_LANE for (int i = 0; i < LANES; i++)

ALWAYS_INLINE vec vec_load(const float *p)
{
    vec a;
    memcpy(a.v, p, sizeof a.v);
    return a;
}
ALWAYS_INLINE void vec_store(float *p, vec a)
{
    memcpy(p, a.v, sizeof a.v);
}
ALWAYS_INLINE vec vec_set1(float a)
{
    vec r;
    EACH_LANE r.v[i] = a;
    return r;
}
ALWAYS_INLINE vec vec_add(vec a, vec b)
{
    EACH_LANE a.v[i] += b.v[i];
    return a;
}
ALWAYS_INLINE vec vec_sub(vec a, vec b)
{
    EACH_LANE a.v[i] -= b.v[i];
    return a;
}
ALWAYS_INLINE vec vec_mul(vec a, vec b)
{
    EACH_LANE a.v[i] *= b.v[i];
    return a;
}
ALWAYS_INLINE vec vec_div(vec a, vec b)
{
    EACH_LANE a.v[i] /= b.v[i];
    return a;
}
ALWAYS_INLINE vec vec_sqrt(vec a)
{
    EACH_LANE a.v[i] = sqrtf(a.v[i]);
    return a;
}
ALWAYS_INLINE vec vec_fma(vec a, vec b, vec c)
{
    return vec_add(vec_mul(a, b), c);
}
/* Like minps and maxps: the second operand where either is NaN. */
ALWAYS_INLINE vec vec_min(vec a, vec b)
{
    EACH_LANE a.v[i] = a.v[i] < b.v[i] ? a.v[i] : b.v[i];
    return a;
}
ALWAYS_INLINE vec vec_max(vec a, vec b)
{
    EACH_LANE a.v[i] = a.v[i] > b.v[i] ? a.v[i] : b.v[i];
    return a;
}

typedef struct bits {
    uint32_t v[LANES];
} bits;
ALWAYS_INLINE bits vec_to_bits(vec a)
{
    bits b;
    memcpy(&b, &a, sizeof b);
    return b;
}
ALWAYS_INLINE vec vec_from_bits(bits b)
{
    vec a;
    memcpy(&a, &b, sizeof a);
    return a;
}
ALWAYS_INLINE vec vec_shift_exponent(vec a)
{
    bits b = vec_to_bits(a);
    EACH_LANE b.v[i] <<= 23;
    return vec_from_bits(b);
}
ALWAYS_INLINE vec vec_add_bits(vec a, vec c)
{
    bits b = vec_to_bits(a), d = vec_to_bits(c);
    EACH_LANE b.v[i] += d.v[i];
    return vec_from_bits(b);
}
ALWAYS_INLINE vec vec_and_bits(vec a, vec c)
{
    bits b = vec_to_bits(a), d = vec_to_bits(c);
    EACH_LANE b.v[i] &= d.v[i];
    return vec_from_bits(b);
}
ALWAYS_INLINE vec vec_or_bits(vec a, vec c)
{
    bits b = vec_to_bits(a), d = vec_to_bits(c);
    EACH_LANE b.v[i] |= d.v[i];
    return vec_from_bits(b);
}
ALWAYS_INLINE vec vec_where_positive(vec condition, vec a)
{
    EACH_LANE a.v[i] = condition.v[i] > 0.0f ? a.v[i] : 0.0f;
    return a;
}
#undef EACH_LANE

/* Row i becomes lane i of all. */
ALWAYS_INLINE void vec_transpose(vec rows[LANES])
{
    vec t[LANES];
    for (int r = 0; r < LANES; r++) {
        for (int i = 0; i < LANES; i++) t[i].v[r] = rows[r].v[i];
    }
    for (int r = 0; r < LANES; r++) rows[r] = t[r];
}

#else
#error "define CYLSTM_ISA_AVX512, _AVX2, _NEON or _GENERIC before including simd.h"
#endif

/* Into a register, for several uses: gcc would read it from memory for each of them, which takes two rows of a product
 * 1.25 times as long, and three 1.5 times. */
ALWAYS_INLINE vec vec_load_shared(const float *p)
{
    vec a = vec_load(p);
#if defined(__GNUC__) && (defined(CYLSTM_ISA_AVX512) || defined(CYLSTM_ISA_AVX2))
    __asm__("" : "+v"(a));
#endif
    return a;
}

#ifndef VEC_HAS_PARTS
/* The first `count` of LANES floats: where a row ends inside a vector. */
ALWAYS_INLINE vec vec_load_part(const float *p, int64_t count)
{
    float lanes[LANES] = {0};
    memcpy(lanes, p, (size_t)count * sizeof(float));
    return vec_load(lanes);
}

ALWAYS_INLINE void vec_store_part(float *p, vec a, int64_t count)
{
    float lanes[LANES];
    vec_store(lanes, a);
    memcpy(p, lanes, (size_t)count * sizeof(float));
}
#endif

/* `count` floats remain in the row: all of a vector, part of one, or none. */
ALWAYS_INLINE vec vec_load_upto(const float *p, int64_t count)
{
    if (count >= LANES) return vec_load(p);
    return count > 0 ? vec_load_part(p, count) : vec_set1(0.0f);
}

ALWAYS_INLINE void vec_store_upto(float *p, vec a, int64_t count)
{
    if (count >= LANES) {
        vec_store(p, a);
    } else if (count > 0) {
        vec_store_part(p, a, count);
    }
}

#endif
