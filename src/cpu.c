#include "cpu.h"

#include <string.h>

/* CYLSTM_GENERIC_ONLY: without the other kernels, for a small build. */
#if defined(__x86_64__) && !defined(CYLSTM_GENERIC_ONLY)
static int runs(const kernels *k)
{
    __builtin_cpu_init();
    if (k == &cylstm_kernels_avx512) return __builtin_cpu_supports("avx512f");
    if (k == &cylstm_kernels_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return 1;
}

static const kernels *const tables[] = {&cylstm_kernels_avx512, &cylstm_kernels_avx2, &cylstm_kernels_generic};
#else
static int runs(const kernels *k)
{
    (void)k;
    return 1;
}

#if defined(__aarch64__) && !defined(CYLSTM_GENERIC_ONLY)
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
