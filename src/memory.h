/*
 * Where in a block of memory the core's data is to lie. The core does not allocate: whoever does asks here.
 */
#ifndef CYLSTM_MEMORY_H
#define CYLSTM_MEMORY_H

#include <stdint.h>

/* Bytes to allocate for `size` bytes of data. */
int64_t cylstm_memory_to_allocate(int64_t size);

/* Where they begin in a block of that many: on a cache line; if there are many, on a huge page, which the system is asked to
 * use. Weights and tapes of some megabytes are read from end to end, and a step of 1024 units, for one, waits a twentieth of its
 * time for the addresses of small pages. */
char *cylstm_memory_begin(void *block, int64_t size);

#endif
