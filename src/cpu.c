#include "cpu.h"

#include <string.h>

#include "compiler.h"

#if defined(CYLSTM_X86_64)
#include <immintrin.h>
#endif

/* ---- what it can run ---- */

/* CYLSTM_GENERIC_ONLY: without the other kernels, for a small build. */
#if defined(CYLSTM_X86_64) && !defined(CYLSTM_GENERIC_ONLY)

#if defined(_MSC_VER)

/* Whether all these bits of CPUID's registers EBX (1) or ECX (2) are set. */
static int has(int leaf, int which, int bits)
{
    int registers[4];
    __cpuid(registers, 0);
    if (registers[0] < leaf) return 0;
    __cpuidex(registers, leaf, 0);
    return (registers[which] & bits) == bits;
}

/* Whether the system saves all these registers when it changes threads. */
static int saves(unsigned registers)
{
    return has(1, 2, 1 << 27) && (_xgetbv(0) & registers) == registers;
}

static int has_avx2(void)
{
    return has(1, 2, 1 << 12) && has(7, 1, 1 << 5) && saves(0x06);
}

static int has_avx512(void)
{
    return has_avx2() && has(7, 1, 1 << 16) && saves(0xE6);
}

#else

static int has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") != 0;
}

#endif

static int runs(const kernels *k)
{
    if (k == &cylstm_kernels_avx512) return has_avx512();
    return k != &cylstm_kernels_avx2 || has_avx2();
}

static const kernels *const tables[] = {&cylstm_kernels_avx512, &cylstm_kernels_avx2, &cylstm_kernels_generic};

#else

static int runs(const kernels *k)
{
    (void)k;
    return 1;
}

#if defined(CYLSTM_AARCH64) && !defined(CYLSTM_GENERIC_ONLY)
static const kernels *const tables[] = {&cylstm_kernels_neon, &cylstm_kernels_generic};
#else
static const kernels *const tables[] = {&cylstm_kernels_generic};
#endif

#endif

enum { TABLES = sizeof tables / sizeof *tables };

const kernels *cylstm_kernels_best(void)
{
    int i = 0;
    while (i < TABLES - 1 && !runs(tables[i])) i++;
    return tables[i];
}

const kernels *cylstm_kernels_named(const char *name)
{
    for (int i = 0; i < TABLES; i++) {
        if (strcmp(tables[i]->name, name) == 0) return runs(tables[i]) ? tables[i] : NULL;
    }
    return NULL;
}

/* ---- how it computes ---- */

#if defined(CYLSTM_X86_64)

uint64_t cylstm_set_ieee_mode(void)
{
    const unsigned before = _mm_getcsr();
    _mm_setcsr(0x1F80);
    return before;
}

void cylstm_restore_mode(uint64_t before)
{
    _mm_setcsr((unsigned)before);
}

void cylstm_pause(void)
{
    _mm_pause();
}

#elif defined(CYLSTM_AARCH64) && defined(_MSC_VER)

uint64_t cylstm_set_ieee_mode(void)
{
    const uint64_t before = (uint64_t)_ReadStatusReg(ARM64_FPCR);
    _WriteStatusReg(ARM64_FPCR, 0);
    return before;
}

void cylstm_restore_mode(uint64_t before)
{
    _WriteStatusReg(ARM64_FPCR, (__int64)before);
}

void cylstm_pause(void)
{
    __yield();
}

#elif defined(CYLSTM_AARCH64)

uint64_t cylstm_set_ieee_mode(void)
{
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return before;
}

void cylstm_restore_mode(uint64_t before)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
}

void cylstm_pause(void)
{
    __asm__ volatile("yield");
}

#else

uint64_t cylstm_set_ieee_mode(void)
{
    return 0;
}

void cylstm_restore_mode(uint64_t before)
{
    (void)before;
}

void cylstm_pause(void)
{
}

#endif
