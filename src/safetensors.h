/*
 * A safetensors file in memory, read without trust: eight bytes with the header's length, the header (a JSON object of
 * tensors and of one object of words, "__metadata__"), then the tensors' bytes.
 *
 * Nothing is allocated and nothing copied: the header is walked, and each entry handed to the caller. Format:
 * https://github.com/huggingface/safetensors
 */
#ifndef CYLSTM_SAFETENSORS_H
#define CYLSTM_SAFETENSORS_H

#include "message.h"

enum { CYLSTM_WORD_SIZE = 64, CYLSTM_MAX_RANK = 2 };

/* A string without its escapes, cut to what fits. */
typedef struct word {
    char text[CYLSTM_WORD_SIZE];
    int whole; /* it was not cut */
} word;

/* What the header says of one tensor. */
typedef struct entry {
    word name, dtype;
    int rank; /* of more than CYLSTM_MAX_RANK, only the first sizes are kept; -1: not said */
    int64_t shape[CYLSTM_MAX_RANK];
    int64_t begin, end; /* in data; -1: not said */
} entry;

typedef struct safetensors {
    const char *header;
    int64_t header_size;
    const char *data;
    int64_t data_size;
} safetensors;

/* Told of each entry in the header's order; NULL: not wanted. A status that is not OK ends the walk. */
typedef struct visitor {
    cylstm_status (*word)(void *context, const word *key, const word *value);
    cylstm_status (*tensor)(void *context, const entry *e);
    void *context;
} visitor;

/* Bytes from the beginning of a file of `size` bytes to the end of its header, told from its first 8 bytes (fewer: `there`);
 * no more than these where the file cannot be one. `cylstm_safetensors_open` and a walk read no byte after them. */
size_t cylstm_safetensors_header_end(const unsigned char *first, size_t there, size_t size);

/* From the beginning of the file to that of its tensors' bytes. */
int64_t cylstm_safetensors_data_begin(const safetensors *file);

cylstm_status cylstm_safetensors_open(safetensors *file, const void *data, size_t size, message m);
cylstm_status cylstm_safetensors_visit(const safetensors *file, const visitor *v, message m);

#endif
