/* The processor: what it can run, as tables of kernels, and how it computes. */
#ifndef CYLSTM_CPU_H
#define CYLSTM_CPU_H

#include "kernels.h"

/* The fastest kernels this processor runs, or those named; NULL for a name that is unknown or that it cannot run. */
const kernels *cylstm_kernels_best(void);
const kernels *cylstm_kernels_named(const char *name);

/* Sets this thread's floating-point mode to IEEE (round to nearest, denormals kept, exceptions masked); returns what it
 * was before, to be restored. */
uint64_t cylstm_set_ieee_mode(void);
void cylstm_restore_mode(uint64_t before);

/* For loops that wait. */
void cylstm_pause(void);

#endif
