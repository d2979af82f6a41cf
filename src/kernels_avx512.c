/* The kernels for x86-64 with AVX-512F. */
#define CYLSTM_ISA_AVX512
#include "kernels_impl.h"

const kernels cylstm_kernels_avx512 = CYLSTM_KERNEL_TABLE("avx512");
