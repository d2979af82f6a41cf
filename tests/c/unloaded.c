/*
 * A program whose plugin computes with two threads and is unloaded. OpenMP's threads wait for more work then, in code that
 * must still be there.
 *
 *     cc -std=c11 -Isrc tests/c/unloaded.c -ldl -o unloaded && ./unloaded libcylstm.so model.safetensors
 */
#define _POSIX_C_SOURCE 200809L

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cylstm.h"

enum { STEPS = 100, BATCH = 16 };

/* Of a type that the caller knows: a pointer to data, as dlsym has it, is none to a function in C. */
static void find(void *plugin, const char *name, void *function)
{
    void *symbol = dlsym(plugin, name);
    if (symbol == NULL) abort();
    memcpy(function, &symbol, sizeof symbol);
}

/* Whether all went well. */
static int compute(void *plugin, const char *path)
{
    cylstm_status (*load)(const char *, const cylstm_load_options *, cylstm_model **, char *, size_t);
    cylstm_status (*state_new)(const cylstm_model *, const cylstm_state_options *, cylstm_state **);
    cylstm_status (*call_run)(cylstm_state *, const cylstm_call *);
    int64_t (*input_width)(const cylstm_model *), (*output_width)(const cylstm_model *);
    void (*state_free)(cylstm_state *), (*model_free)(cylstm_model *);
    find(plugin, "cylstm_load", &load);
    find(plugin, "cylstm_state_new", &state_new);
    find(plugin, "cylstm_call_run", &call_run);
    find(plugin, "cylstm_input_width", &input_width);
    find(plugin, "cylstm_output_width", &output_width);
    find(plugin, "cylstm_state_free", &state_free);
    find(plugin, "cylstm_model_free", &model_free);
    const cylstm_state_options options = {
        .struct_size = sizeof options, .batch = BATCH, .max_steps = STEPS, .max_threads = 2};
    cylstm_model *model;
    cylstm_state *state;
    if (load(path, NULL, &model, NULL, 0) != CYLSTM_OK || state_new(model, &options, &state) != CYLSTM_OK) return 0;
    float *x = calloc((size_t)(STEPS * BATCH * input_width(model)), sizeof(float));
    float *y = calloc((size_t)(STEPS * BATCH * output_width(model)), sizeof(float));
    const cylstm_call call = {.struct_size = sizeof call, .steps = STEPS, .x = x, .y = y, .threads = 2};
    const cylstm_status status = call_run(state, &call);
    state_free(state);
    model_free(model);
    free(x);
    free(y);
    return status == CYLSTM_OK;
}

int main(int count, char **arguments)
{
    if (count != 3) return 2;
    for (int i = 0; i < 20; i++) {
        void *plugin = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
        if (plugin == NULL || !compute(plugin, arguments[2]) || dlclose(plugin) != 0) return 1;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* waiting threads wake up, and go to sleep */
    }
    puts("still here");
    return 0;
}
