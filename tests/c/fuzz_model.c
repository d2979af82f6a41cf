/*
 * Any bytes as a model file: loaded, and run if it is one. For libFuzzer:
 *
 *     clang -std=c11 -O1 -g -fsanitize=fuzzer,address,undefined -ffp-contract=off -Isrc tests/c/fuzz_model.c src/[!k]*.c \
 *         src/kernels_generic.c -DCYLSTM_GENERIC_ONLY -lm -o fuzz_model
 *     ./fuzz_model -max_len=20000 seeds/
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cylstm.h"

/* Padding to whole vectors makes at most 64 numbers of one; tables and alignment add some. */
enum { MOST_TIMES = 128, MOST_BESIDE = 1 << 16, BATCH = 2, STEPS = 3 };

typedef struct meter {
    size_t used, most;
} meter;

static void *metered(void *context, size_t size)
{
    meter *m = context;
    m->used += size;
    if (m->used > m->most) {
        fprintf(stderr, "%zu bytes, where the file justifies %zu\n", m->used, m->most);
        abort();
    }
    return malloc(size);
}

static void release(void *context, void *memory)
{
    (void)context;
    free(memory);
}

static void run(const cylstm_model *model)
{
    const cylstm_config *c = cylstm_model_config(model);
    const int64_t length = STEPS * BATCH;
    float *x = calloc((size_t)(length * c->input_size), sizeof *x);
    float *y = calloc((size_t)(length * cylstm_output_width(model)), sizeof *y);
    int32_t *tokens = calloc((size_t)length, sizeof *tokens);
    const int64_t lengths[BATCH] = {2, 0};
    const cylstm_state_options options = {.struct_size = sizeof options, .batch = BATCH, .max_steps = STEPS};
    const cylstm_call call = {.struct_size = sizeof call,
                              .steps = STEPS,
                              .x = c->vocab_size > 0 ? NULL : x,
                              .tokens = c->vocab_size > 0 ? tokens : NULL,
                              .lengths = lengths,
                              .y = y};
    cylstm_state *state;
    if (x == NULL || y == NULL || tokens == NULL || cylstm_state_new(model, &options, &state) != CYLSTM_OK) abort();
    if (cylstm_call_run(state, &call) != CYLSTM_OK) abort();
    cylstm_state_free(state);
    free(x);
    free(y);
    free(tokens);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    meter m = {0, MOST_TIMES * size + MOST_BESIDE};
    const cylstm_load_options options = {
        .struct_size = sizeof options, .allocator = {metered, release, &m}, .kernels = "generic"};
    cylstm_model *model;
    char message[100];
    if (cylstm_load_memory(data, size, &options, &model, message, sizeof message) != CYLSTM_OK) return 0;
    run(model);
    cylstm_model_free(model);
    return 0;
}

/* ---- what to try next ---- */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most); /* libFuzzer's own */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

enum { LENGTH = 8 };

/* Mostly another header alone, whose length is then put in front of it: of other files nearly all are refused for that. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    uint64_t length = 0;
    if (size >= LENGTH) memcpy(&length, data, LENGTH);
    if (seed % 4 == 0 || length == 0 || length > size - LENGTH || most <= size)
        return LLVMFuzzerMutate(data, size, most);
    const size_t tensors = size - LENGTH - (size_t)length, room = most - LENGTH - tensors;
    uint8_t *header = malloc(room);
    if (header == NULL) abort();
    memcpy(header, data + LENGTH, (size_t)length);
    const uint64_t changed = LLVMFuzzerMutate(header, (size_t)length, room);
    memmove(data + LENGTH + changed, data + LENGTH + length, tensors);
    memcpy(data + LENGTH, header, (size_t)changed);
    memcpy(data, &changed, LENGTH);
    free(header);
    return LENGTH + (size_t)changed + tensors;
}
