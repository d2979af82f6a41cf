/*
 * How much stack loading, making a state, a step and a run of one thread take: threads for sound, and of embedded systems,
 * have little. Each runs in a thread whose stack is painted before; what no longer has the paint was used.
 *
 * tests/test_c_library.py builds it and says with which model, and how many bytes each may take.
 */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cylstm.h"

enum { STACK = 1 << 20, PAINT = 0xA5, STEPS = 4, MOST_NUMBERS = 4096 };

static const char *path;
static cylstm_model *model;
static cylstm_state *state;
static cylstm_status status;
static float x[STEPS * MOST_NUMBERS], y[STEPS * MOST_NUMBERS];

static void load(void)
{
    status = cylstm_load(path, NULL, &model, NULL, 0);
}

static void new_state(void)
{
    const cylstm_state_options options = {.struct_size = sizeof options, .max_steps = STEPS};
    status = cylstm_state_new(model, &options, &state);
}

static void step(void)
{
    status = cylstm_step(state, x, y);
}

static void run(void)
{
    status = cylstm_run(state, STEPS, x, y);
}

static void nothing(void)
{
    status = CYLSTM_OK;
}

static void *call(void *what)
{
    (*(void (**)(void))what)();
    return NULL;
}

/* Bytes that the stack grew by; it grows downwards. */
static size_t stack_of(void (*what)(void))
{
    unsigned char *stack = NULL;
    pthread_attr_t attributes;
    pthread_t thread;
    size_t untouched = 0;
    if (posix_memalign((void **)&stack, 4096, STACK) != 0) abort();
    memset(stack, PAINT, STACK);
    if (pthread_attr_init(&attributes) != 0 || pthread_attr_setstack(&attributes, stack, STACK) != 0) abort();
    if (pthread_create(&thread, &attributes, call, &what) != 0 || pthread_join(thread, NULL) != 0) abort();
    while (untouched < STACK && stack[untouched] == PAINT) untouched++;
    free(stack);
    if (status != CYLSTM_OK) abort();
    return STACK - untouched;
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        void (*what)(void);
    } calls[] = {{"load", load}, {"state", new_state}, {"step", step}, {"run", run}};
    int failures = 0;
    if (count < 6) return 2;
    path = arguments[1];
    const size_t thread = stack_of(nothing); /* what the system puts there for every thread */
    for (int i = 0; i < 4; i++) {
        const long used = (long)(stack_of(calls[i].what) - thread), most = atol(arguments[2 + i]);
        printf("%s %ld\n", calls[i].name, used);
        failures += used > most;
    }
    cylstm_state_free(state);
    cylstm_model_free(model);
    return failures > 0;
}
