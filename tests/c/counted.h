/* Memory that is counted, and fails when told to. */
#ifndef CYLSTM_TESTS_COUNTED_H
#define CYLSTM_TESTS_COUNTED_H

#include "check.h"

typedef struct counter {
    int64_t held, allocations, bytes;
    int64_t fail_at; /* the allocation of this number, from 0, fails */
} counter;

static inline void *counted_allocate(void *context, size_t size)
{
    counter *c = context;
    if (c->allocations++ == c->fail_at) return NULL;
    c->held++;
    c->bytes += (int64_t)size;
    return allocate(size);
}

static inline void counted_release(void *context, void *memory)
{
    ((counter *)context)->held--;
    free(memory);
}

static inline cylstm_allocator counted(counter *c)
{
    return (cylstm_allocator){counted_allocate, counted_release, c};
}

#endif
