/*
 * What the C tests share: checks that count, numbers that repeat, memory whose ends are watched.
 *
 * Without Python, from the root of the repository, the core becomes a library:
 *
 *     FLAGS='-std=c11 -O2 -ffp-contract=off -fopenmp'
 *     cc $FLAGS -c src/[!k]*.c src/kernels_generic.c
 *     cc $FLAGS -mavx2 -mfma -c src/kernels_avx2.c         # x86-64
 *     cc $FLAGS -mavx512f -mfma -c src/kernels_avx512.c    # x86-64
 *     cc $FLAGS -c src/kernels_neon.c                      # aarch64
 *     ar rcs libcylstm.a *.o
 *
 * and the command at the head of each test builds it and runs it. tests/test_c.py does the same, with sanitizers, and
 * for aarch64 with a cross compiler (-static) under qemu-aarch64.
 */
#ifndef CYLSTM_TESTS_CHECK_H
#define CYLSTM_TESTS_CHECK_H

#define _POSIX_C_SOURCE 200809L /* so this header comes first */

#include <math.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu.h"
#include "plan.h"

/* ---- checks: the condition, then what to print where it does not hold; from any thread ---- */

enum { SHOWN_FAILURES = 20 };

static atomic_int failures;

#define CHECK(condition, ...)                                                  \
    do {                                                                       \
        if (!(condition) && atomic_fetch_add(&failures, 1) < SHOWN_FAILURES) { \
            printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);             \
            printf(__VA_ARGS__);                                               \
            printf("\n");                                                      \
        }                                                                      \
    } while (0)

/* What main returns. */
static inline int report(const char *name)
{
    const int count = atomic_load(&failures);
    printf("%s: %d failures\n", name, count);
    return count > 0;
}

/* ---- numbers that repeat: xorshift ---- */

static inline uint32_t random_bits(void)
{
    static uint32_t state = 2463534242u;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

/* From least to most, both included. */
static inline int64_t random_integer(int64_t least, int64_t most)
{
    return least + random_bits() % (uint32_t)(most - least + 1);
}

/* Uniform in -size .. size. */
static inline float random_float(float size)
{
    return size * ((float)random_bits() / 2147483648.0f - 1.0f);
}

/* How many trials to make of these: a tenth where CYLSTM_FEW_TRIALS is in the environment, for valgrind, under which programs
 * run thirty times as long. */
static inline int trials(int all)
{
    return getenv("CYLSTM_FEW_TRIALS") == NULL ? all : (all + 9) / 10;
}

/* ---- memory: exactly as much as asked for, so that a sanitizer sees what is read or written past its end ---- */

static inline void *allocate(size_t size)
{
    void *block = malloc(size > 0 ? size : 1);
    if (block == NULL) abort();
    return block;
}

/* Aligned; freed by free_aligned. */
static inline void *allocate_aligned(size_t alignment, size_t size)
{
#if defined(_WIN32)
    void *block = _aligned_malloc(size, alignment);
#else
    void *block = aligned_alloc(alignment, size);
#endif
    if (block == NULL) abort();
    return block;
}

static inline void free_aligned(void *block)
{
#if defined(_WIN32)
    _aligned_free(block);
#else
    free(block);
#endif
}

/* Every number NaN: what is read before it is written shows. */
static inline float *new_floats(int64_t count)
{
    float *values = allocate((size_t)count * sizeof(float));
    for (int64_t i = 0; i < count; i++) values[i] = NAN;
    return values;
}

static inline float *new_random(int64_t count, float size)
{
    float *values = new_floats(count);
    for (int64_t i = 0; i < count; i++) values[i] = random_float(size);
    return values;
}

static inline float *new_zeros(int64_t count)
{
    float *values = new_floats(count);
    for (int64_t i = 0; i < count; i++) values[i] = 0.0f;
    return values;
}

static inline int same_bits(const float *a, const float *b, int64_t count)
{
    return memcmp(a, b, (size_t)count * sizeof(float)) == 0;
}

/* ---- the instruction sets that are built in and that this processor has ---- */

enum { MOST_ISAS = 4 };

static inline int find_isas(const kernels *found[MOST_ISAS])
{
    static const char *const names[MOST_ISAS] = {"generic", "avx2", "avx512", "neon"};
    int count = 0;
    for (int i = 0; i < MOST_ISAS; i++) {
        const kernels *k = cylstm_kernels_named(names[i]);
        if (k != NULL) found[count++] = k;
    }
    return count;
}

/* Whether sums are chains of fused multiply-adds. */
static inline int has_fma(const kernels *k)
{
    return strcmp(k->name, "generic") != 0;
}

/* ---- bits, by a name that programs for other processors can print too ---- */

/* Bits of values that follow those which `before` names; 0 at the start. One NaN is as good as another. */
static inline uint64_t digest(uint64_t before, const float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        const float value = isnan(values[i]) ? NAN : values[i];
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        before = (before ^ bits) * 0x9E3779B97F4A7C15u; /* odd, so that no difference is lost */
        before ^= before >> 32;
    }
    return before;
}

/* A line that tests/test_c.py compares between processors. */
static inline void print_bits(const char *isa, const char *what, const char *part, uint64_t named)
{
    printf("bits %s %s/%s %016llx\n", isa, what, part, (unsigned long long)named);
}

/* ---- the plan ---- */

/* Another value of one of the plan's thresholds; 0: as planned. */
static inline void set_threshold(const char *name, int64_t value)
{
    int which = 0;
    while (strcmp(cylstm_threshold_name(which), name) != 0) which++;
    cylstm_set_threshold(which, value);
}

/* ---- teams ---- */

static inline void sleep_ms(long ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL);
}

static inline double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

#endif
