/* The kernels for any processor: plain C. */
#define CYLSTM_ISA_GENERIC
#include "kernels_impl.h"

const kernels cylstm_kernels_generic = CYLSTM_KERNEL_TABLE("generic");
