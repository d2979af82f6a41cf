/* A sentence on what was wrong, in a buffer of the caller's. */
#ifndef CYLSTM_MESSAGE_H
#define CYLSTM_MESSAGE_H

#include "compiler.h"
#include "cylstm.h"

typedef struct message {
    char *text; /* NULL: nobody wants to know */
    size_t size;
} message;

/* Writes the sentence, cut to what fits; returns the status, so that a function may end with it. */
PRINTF_LIKE(3, 4)
cylstm_status cylstm_fail(message m, cylstm_status status, const char *format, ...);

#endif
