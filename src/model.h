/* A loaded network, as the calls of a state see it. */
#ifndef CYLSTM_MODEL_H
#define CYLSTM_MODEL_H

#include "message.h"
#include "network.h"

struct cylstm_model {
    network net;
    blas blas; /* sgemm NULL: none */
    cylstm_task task;
    const float *output_mean, *output_std; /* (O) each; NULL: values are scores */
    const double *wide_mean, *wide_std;    /* (O) each, in place of these */
    int64_t bytes;
    cylstm_allocator allocator;
    void *block; /* what the allocator gave, with all of this in it */
};

/* malloc and free, where `a` names no other. */
cylstm_allocator cylstm_allocator_or_default(const cylstm_allocator *a);

/* A structure of the caller's, of its version, as one of ours: what it does not have is zero. 0: its struct_size was not
 * set, and all is zero; or it asks for what only a later version has, and the rest was read. NULL from: all zero. */
int cylstm_read_struct(void *to, size_t to_size, const void *from);

#endif
