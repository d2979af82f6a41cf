#if defined(__linux__)
#define _GNU_SOURCE
#endif

#include "parallel.h"

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if !defined(_WIN32)
#include <pthread.h>
#endif

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

/* ---- floating-point mode ---- */

/* Sets round-to-nearest, denormals kept, exceptions masked; returns what was set before. */
static uint64_t set_ieee_mode(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    const unsigned before = _mm_getcsr();
    _mm_setcsr(0x1F80);
    return before;
#elif defined(__aarch64__)
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return before;
#else
    return 0;
#endif
}

static void restore_mode(uint64_t before)
{
#if defined(__x86_64__) || defined(_M_X64)
    _mm_setcsr((unsigned)before);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before));
#else
    (void)before;
#endif
}

/* ---- fork ---- */

static atomic_int fork_generation, busy_threads, thread_budget = 1;

int cylstm_fork_generation(void)
{
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

#if !defined(_WIN32)
static void after_fork_in_child(void)
{
    atomic_fetch_add(&fork_generation, 1);
    atomic_store(&busy_threads, 0); /* the calls that held them did not come along */
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, after_fork_in_child);
}
#endif

/* ---- the budget of cores ---- */

void cylstm_set_thread_budget(int threads)
{
    atomic_store(&thread_budget, threads);
}

int cylstm_thread_budget(void)
{
    return atomic_load(&thread_budget);
}

/* Takes up to `wanted` of the cores no other call holds; at least one, so that nobody waits. */
static int take_threads(int wanted)
{
    const int budget = wanted > cylstm_thread_budget() ? wanted : cylstm_thread_budget();
    int busy = atomic_load(&busy_threads), taken;
    do {
        const int free_threads = budget - busy;
        taken = wanted < free_threads ? wanted : free_threads;
        if (taken < 1) taken = 1;
    } while (!atomic_compare_exchange_weak(&busy_threads, &busy, busy + taken));
    return taken;
}

static void give_threads_back(int taken, int generation)
{
    if (generation == cylstm_fork_generation()) atomic_fetch_sub(&busy_threads, taken);
}

/* ---- sleeping and waking ---- */

static void pause_briefly(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Sleeps while *word is `value`; may wake early. */
static void sleep_while(atomic_int *word, int value)
{
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
    (void)word, (void)value;
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
#endif
}

static void wake_all(atomic_int *word)
{
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#else
    (void)word;
#endif
}

static int64_t nanoseconds(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- barrier ---- */

enum {
    SPINS = 4000,         /* pauses before sleeping: some 50 us, several steps' worth of waiting */
    TOO_LATE_NS = 400000, /* equal shares of a step differ by far less; a scheduler's time slice is far longer */
};

struct team {
    _Alignas(64) atomic_int arrived;
    atomic_int late;
    _Alignas(64) atomic_int phase; /* bumped when all have arrived; the word that sleepers watch */
    atomic_int sleepers;
    atomic_int shrunk;
};

/* Waits for the phase to end: spins, then sleeps. Returns whether somebody was far too late. */
static int wait_for_phase(team *t, int phase)
{
    for (int i = 0; i < SPINS; i++) {
        if (atomic_load_explicit(&t->phase, memory_order_acquire) != phase) return 0;
        pause_briefly();
    }
    const int64_t start = nanoseconds();
    atomic_fetch_add(&t->sleepers, 1);
    while (atomic_load(&t->phase) == phase) sleep_while(&t->phase, phase);
    atomic_fetch_sub(&t->sleepers, 1);
    return nanoseconds() - start > TOO_LATE_NS;
}

static void arrive(team *t, int size, int equal_shares)
{
    const int phase = atomic_load_explicit(&t->phase, memory_order_relaxed);
    if (atomic_fetch_add(&t->arrived, 1) + 1 == size) {
        atomic_store(&t->arrived, 0);
        /* Decided by the last to arrive, before anyone goes on, so that all agree. */
        if (atomic_load(&t->late)) atomic_store(&t->shrunk, 1);
        atomic_fetch_add(&t->phase, 1);
        if (atomic_load(&t->sleepers) > 0) wake_all(&t->phase);
    } else if (wait_for_phase(t, phase) && equal_shares) {
        atomic_store(&t->late, 1); /* takes effect at the next barrier */
    }
}

static void meet(worker *w, int equal_shares)
{
    if (w->team == NULL) return;
    arrive(w->team, w->size, equal_shares);
    if (atomic_load_explicit(&w->team->shrunk, memory_order_relaxed)) {
        /* The first thread has everything from here on; the others fall through what is left of the body. */
        w->rank = w->rank == 0 ? 0 : -1;
        w->size = 1;
        w->team = NULL;
    }
}

void cylstm_barrier(worker *w)
{
    meet(w, 0);
}

void cylstm_step_barrier(worker *w)
{
    meet(w, 1);
}

/* ---- the region ---- */

static void run_alone(parallel_body body, void *context)
{
    worker w = {.team = NULL, .rank = 0, .size = 1};
    const uint64_t mode = set_ieee_mode();
    body(&w, context);
    restore_mode(mode);
}

#ifdef _OPENMP

static void run_team(int threads, parallel_body body, void *context)
{
    team t = {0};
#pragma omp parallel num_threads(threads)
    {
        const int size = omp_get_num_threads(); /* may be fewer than asked for */
        worker w = {.team = size > 1 ? &t : NULL, .rank = omp_get_thread_num(), .size = size};
        const uint64_t mode = set_ieee_mode();
        body(&w, context);
        restore_mode(mode);
    }
}

static int threads_available(int wanted)
{
    /* OpenMP's pool does not survive fork: a team in the child would wait for threads that are gone. */
    if (cylstm_fork_generation() > 0 || omp_in_parallel()) return 1;
    return wanted < omp_get_thread_limit() ? wanted : omp_get_thread_limit();
}

const char *cylstm_parallel_name(void)
{
    static char name[32];
    snprintf(name, sizeof name, "OpenMP %d", _OPENMP);
    return name;
}

#else

static void run_team(int threads, parallel_body body, void *context)
{
    (void)threads;
    run_alone(body, context);
}

static int threads_available(int wanted)
{
    (void)wanted;
    return 1;
}

const char *cylstm_parallel_name(void)
{
    return "none";
}

#endif

void cylstm_parallel_run(int threads, parallel_body body, void *context)
{
    const int generation = cylstm_fork_generation();
    const int taken = take_threads(threads > 1 ? threads_available(threads) : 1);
    if (taken > 1) {
        run_team(taken, body, context);
    } else {
        run_alone(body, context);
    }
    give_threads_back(taken, generation);
}
