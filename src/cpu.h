/* What this processor can run, as tables of kernels. */
#ifndef CYLSTM_CPU_H
#define CYLSTM_CPU_H

#include "kernels.h"

/* The fastest kernels this processor runs, or those named; NULL for a name that is unknown or that it cannot run. */
const kernels *cylstm_kernels_best(void);
const kernels *cylstm_kernels_named(const char *name);

#endif
