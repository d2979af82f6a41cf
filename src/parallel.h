/*
 * Threads: one team per call. The only file beside parallel.c that knows there is OpenMP; without it, a team of one.
 *
 * Every member of a team runs the same body on its own share of each loop and meets the others at barriers. A team may
 * be smaller than asked for: in a nested region, where all cores are taken by other calls or, of late, by other
 * processes, in a forked child.
 */
#ifndef CYLSTM_PARALLEL_H
#define CYLSTM_PARALLEL_H

#include <stdint.h>

#include "kernels.h"

enum { CYLSTM_MAX_TEAM = 256 };

typedef struct team team;
typedef struct member member;

/* A thread's place among those it shares work with: the whole team, or a group of it. */
typedef struct worker {
    team *team; /* NULL: alone, barriers do nothing */
    int rank;   /* -1 once the others have been sent away: every share is empty */
    int size;
    int first; /* of the group's members, its rank in the team */
    int level; /* 0: the whole team; 1: a group */
    member *self;
} worker;

typedef void (*parallel_body)(worker *w, void *context);

/* Runs body on up to `threads` threads and returns when all have finished. Sets each thread's floating-point mode to
 * IEEE (round to nearest, denormals kept) meanwhile. */
void cylstm_parallel_run(int threads, parallel_body body, void *context);

/* Calls may have teams again at once, after one that met a member that was not let run. */
void cylstm_forget_crowd(void);

/* All members wait for each other; what one wrote before it, the others see after it. If the one they waited for had been
 * kept from running, by more threads than there are cores, the first member does the rest of the call alone. */
void cylstm_barrier(worker *w);

/* This worker's part of 0 .. n-1: contiguous, disjoint, together everything. */
static inline range cylstm_share(const worker *w, int64_t n)
{
    if (w->rank < 0) return (range){0, 0};
    const int64_t each = n / w->size, rest = n % w->size;
    const int64_t begin = w->rank * each + (w->rank < rest ? w->rank : rest);
    return (range){begin, begin + each + (w->rank < rest)};
}

static inline int cylstm_is_first(const worker *w)
{
    return w->rank == 0;
}

/* Strands of work that run side by side, numbered from 0: which are this worker's, and who shares them with it. */
typedef struct group {
    worker worker;
    range strands;
} group;

/* The group of this worker, of `strands` that the team shares out: always the same number in one call. A group's
 * barriers are its own; what one group wrote, another sees after a barrier of the team. */
group cylstm_group(const worker *w, int strands);

/* The cores all concurrent calls share: until it is set, all that this process may use. A call takes what is free, at
 * least one. */
void cylstm_set_thread_budget(int threads);
int cylstm_thread_budget(void);

/* Processors that OpenMP may use; 1 without it. */
int cylstm_processors(void);

/* "OpenMP 201511" or "none". */
const char *cylstm_parallel_name(void);

/* Where omp_get_max_threads stands, which tells several OpenMP runtimes of a process apart; 0 without OpenMP. */
uintptr_t cylstm_parallel_address(void);

#endif
