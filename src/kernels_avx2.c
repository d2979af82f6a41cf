/* The kernels for x86-64 with AVX2 and FMA. */
#define CYLSTM_ISA_AVX2
#include "kernels_impl.h"

const kernels cylstm_kernels_avx2 = CYLSTM_KERNEL_TABLE("avx2");
