/*
 * Steps and blocks that may call nothing: in seccomp's strict mode the kernel kills a process at any system call but read,
 * write and exit, and malloc counts. Prints how long steps took.
 *
 *     cc -std=c11 -O2 -fopenmp -Isrc tests/c/sealed_steps.c libcylstm.a -lm -o sealed_steps
 *     ./sealed_steps model.safetensors 1000000          # for Linux and glibc
 */
#define _GNU_SOURCE /* syscall */

#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cylstm.h"

enum { BLOCK = 16, WIDEST = 1024, SEALED_STEPS = 1000, BUCKETS = 100000 }; /* of a nanosecond each */

static float x[BLOCK * WIDEST], y[BLOCK * WIDEST];

static long allocations;

extern void *__libc_malloc(size_t size);

void *malloc(size_t size)
{
    allocations++;
    return __libc_malloc(size);
}

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

/* Times steps, and says so. Before the process is sealed, since the seal takes the clock away too. */
static void time_steps(cylstm_state *state, long steps)
{
    static long counts[BUCKETS];
    long long worst = 0, last = now();
    for (long i = 0; i < steps; i++) {
        x[0] = (float)(i % 17) * 0.1f;
        if (cylstm_step(state, x, y) != CYLSTM_OK) exit(3);
        const long long then = last, took = (last = now()) - then;
        counts[took < BUCKETS ? took : BUCKETS - 1]++;
        worst = took > worst ? took : worst;
    }
    printf("%ld steps: median %lld ns, worst %lld ns\n", steps, median(counts, steps), worst);
    fflush(stdout);
}

/* Steps and a block that the kernel would kill; exit by the call that the seal lets through. */
static void run_sealed(cylstm_state *state)
{
    const long before = allocations;
    int status = before == 0 ? 4 : 0; /* malloc is not counted */
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0) exit(5);
    for (long i = 0; i < SEALED_STEPS; i++) {
        if (cylstm_step(state, x, y) != CYLSTM_OK) status = 6;
    }
    if (cylstm_run(state, BLOCK, x, y) != CYLSTM_OK) status = 7;
    if (allocations != before) status = 8;
    syscall(SYS_exit, status);
}

int main(int argc, char **argv)
{
    const cylstm_state_options options = {.struct_size = sizeof options, .max_steps = BLOCK};
    cylstm_model *model;
    cylstm_state *state;
    if (argc != 3 || cylstm_load(argv[1], NULL, &model, NULL, 0) != CYLSTM_OK) return 2;
    if (cylstm_input_width(model) > WIDEST || cylstm_output_width(model) > WIDEST) return 2;
    if (cylstm_state_new(model, &options, &state) != CYLSTM_OK) return 2;
    time_steps(state, atol(argv[2]));
    run_sealed(state);
}
