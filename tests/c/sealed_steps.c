/*
 * Steps and blocks that may call nothing: in seccomp's strict mode the kernel kills a thread at any system call but read, write
 * and exit, and malloc counts. Another thread meanwhile steps with the same model. Prints how long steps took.
 *
 *     cc -std=c11 -O2 -fopenmp -Isrc tests/c/sealed_steps.c libcylstm.a -lm -lpthread -o sealed_steps
 *     ./sealed_steps model.safetensors 1000000          # for Linux and glibc
 */
#define _GNU_SOURCE /* syscall */

#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cylstm.h"

enum { BATCH = 2, BLOCK = 16, WIDEST = 1024, MOST_VALUES = 1 << 16, SEALED_STEPS = 1000 };
enum { BUCKETS = 100000 }; /* of a nanosecond each */

static float x[BLOCK * BATCH * WIDEST], y[BLOCK * BATCH * WIDEST], values[MOST_VALUES];
static double doubles[BLOCK * BATCH * WIDEST];
static int32_t tokens[BLOCK * BATCH]; /* all of them 0 */

static _Thread_local long allocations;

extern void *__libc_malloc(size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

static int takes_tokens(const cylstm_model *model)
{
    return cylstm_model_config(model)->vocab_size > 0;
}

/* ---- how long steps take: before the process is sealed, since the seal takes the clock away too ---- */

static long long now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); /* by the vDSO: no system call */
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static long long median(const long *counts, long steps)
{
    long before = 0;
    long long ns = 0;
    while (ns < BUCKETS - 1 && (before += counts[ns]) * 2 < steps) ns++;
    return ns;
}

static int step(const cylstm_model *model, cylstm_state *s, float *to)
{
    return takes_tokens(model) ? cylstm_step_tokens(s, tokens, to) : cylstm_step(s, x, to);
}

static void time_steps(const cylstm_model *model, long steps)
{
    static long counts[BUCKETS];
    cylstm_state *s;
    if (cylstm_state_new(model, NULL, &s) != CYLSTM_OK) exit(2);
    long long worst = 0, last = now();
    for (long i = 0; i < steps; i++) {
        x[0] = (float)(i % 17) * 0.1f;
        if (step(model, s, y) != CYLSTM_OK) exit(3);
        const long long then = last, took = (last = now()) - then;
        counts[took < BUCKETS ? took : BUCKETS - 1]++;
        worst = took > worst ? took : worst;
    }
    printf("%ld steps: median %lld ns, worst %lld ns\n", steps, median(counts, steps), worst);
    fflush(stdout);
    cylstm_state_free(s);
}

/* ---- what the kernel would kill ---- */

/* Each call of the library that is said to allocate nothing. */
static int call_all(const cylstm_model *model, cylstm_state *s, cylstm_state *other)
{
    const int64_t lengths[BATCH] = {BLOCK - 3, BLOCK};
    const cylstm_call block = {.struct_size = sizeof block,
                               .steps = BLOCK,
                               .x = takes_tokens(model) ? NULL : x,
                               .tokens = takes_tokens(model) ? tokens : NULL,
                               .y = y};
    cylstm_call ragged = block;
    ragged.lengths = lengths;
    const int steps_too = !cylstm_model_config(model)->bidirectional;
    for (long i = 0; steps_too && i < SEALED_STEPS; i++) {
        if (step(model, i % 2 ? s : other, y) != CYLSTM_OK) return 6;
    }
    if (cylstm_call_run(s, &block) != CYLSTM_OK || cylstm_call_run(other, &ragged) != CYLSTM_OK) return 7;
    cylstm_state_get(s, values);
    cylstm_state_set(other, values);
    cylstm_state_reset(s);
    if (cylstm_state_copy(s, other) != CYLSTM_OK) return 8;
    cylstm_values(model, BATCH, y, y);
    cylstm_values_doubles(model, BATCH, y, doubles);
    if (takes_tokens(model)) return 0;
    if (steps_too && cylstm_step_doubles(s, doubles, y) != CYLSTM_OK) return 11;
    cylstm_state_reset(s);
    return cylstm_run_doubles(s, BLOCK, doubles, y) == CYLSTM_OK ? 0 : 12;
}

typedef struct sealed {
    const cylstm_model *model;
    cylstm_state *s, *other;
    int status;
} sealed;

/* Seals its thread, which ends by the call that the seal lets through, or by the kernel. */
static void *run_sealed(void *context)
{
    sealed *r = context;
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) == 0) {
        const int status = call_all(r->model, r->s, r->other);
        r->status = allocations > 0 ? 9 : status;
    }
    syscall(SYS_exit, 0);
    return NULL;
}

static int run_beside(const cylstm_model *model, cylstm_state *s, cylstm_state *other)
{
    static float own_y[WIDEST];
    sealed r = {model, s, other, .status = 10}; /* sealed in vain, or killed */
    cylstm_state *mine;
    pthread_t thread;
    if (allocations == 0) return 4; /* malloc is not counted */
    if (cylstm_state_new(model, NULL, &mine) != CYLSTM_OK) return 2;
    if (pthread_create(&thread, NULL, run_sealed, &r) != 0) return 2;
    for (long i = 0; i < SEALED_STEPS; i++) (void)step(model, mine, own_y);
    pthread_join(thread, NULL);
    cylstm_state_free(mine);
    return r.status;
}

int main(int argc, char **argv)
{
    const cylstm_state_options options = {.struct_size = sizeof options, .batch = BATCH, .max_steps = BLOCK};
    cylstm_model *model;
    cylstm_state *s, *other;
    if (argc != 3 || cylstm_load(argv[1], NULL, &model, NULL, 0) != CYLSTM_OK) return 2;
    if (cylstm_input_width(model) > WIDEST || cylstm_output_width(model) > WIDEST) return 2;
    if (cylstm_state_new(model, &options, &s) != CYLSTM_OK) return 2;
    if (cylstm_state_new(model, &options, &other) != CYLSTM_OK || cylstm_state_count(s) > MOST_VALUES) return 2;
    if (atol(argv[2]) > 0) time_steps(model, atol(argv[2]));
    return run_beside(model, s, other);
}
