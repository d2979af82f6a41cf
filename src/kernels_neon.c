/* The kernels for aarch64, which always has NEON. */
#define CYLSTM_ISA_NEON
#include "kernels_impl.h"

const kernels cylstm_kernels_neon = CYLSTM_KERNEL_TABLE("neon");
