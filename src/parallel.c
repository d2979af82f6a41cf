#include "parallel.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "compiler.h"
#include "cpu.h"
#include "system.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- whether there are more threads than cores ---- */

static _Atomic int64_t crowded_until;
static atomic_int crowded_calls; /* in a row */

/* A team met a member that was not let run, which costs milliseconds: do without teams for a while, 10 ms at first and
 * twice as long whenever the next team meets the same, up to 1.3 s. */
static void remember_crowd(void)
{
    enum { FIRST = 10000000, DOUBLINGS = 7 };
    const int before = atomic_load(&crowded_calls);
    if (before < DOUBLINGS) atomic_store(&crowded_calls, before + 1);
    atomic_store(&crowded_until, cylstm_wall_clock() + ((int64_t)FIRST << before));
}

static int is_crowded(void)
{
    const int64_t until = atomic_load_explicit(&crowded_until, memory_order_relaxed);
    return until != 0 && cylstm_wall_clock() < until;
}

void cylstm_forget_crowd(void)
{
    atomic_store(&crowded_calls, 0);
    atomic_store(&crowded_until, 0);
}

/* ---- the budget of cores ---- */

static atomic_int busy_threads, thread_budget; /* 0: not set */

void cylstm_set_thread_budget(int threads)
{
    atomic_store(&thread_budget, threads);
}

#if _OPENMP >= 201511

/* With OMP_PROC_BIND or OMP_PLACES, the runtime binds the thread that loads it to one place, and the system then says
 * that there is one processor: the places say how many there are. */
int cylstm_processors(void)
{
    int count = 0;
    for (int place = 0; place < omp_get_num_places(); place++) count += omp_get_place_num_procs(place);
    return count > 0 && count < omp_get_num_procs() ? count : omp_get_num_procs();
}

#elif defined(_OPENMP)

int cylstm_processors(void)
{
    return omp_get_num_procs();
}

#else

int cylstm_processors(void)
{
    return 1;
}

#endif

int cylstm_thread_budget(void)
{
    const int set = atomic_load(&thread_budget);
    return set > 0 ? set : cylstm_processors();
}

/* Takes up to `wanted` of the cores no other call holds; at least one, so that nobody waits. */
static int take_threads(int wanted)
{
    if (wanted > 1 && is_crowded()) wanted = 1;
    const int allowed = wanted > 1 ? cylstm_thread_budget() : 1; /* one alone asks nobody: the system may be asked */
    const int budget = wanted > allowed ? wanted : allowed;
    int busy = atomic_load(&busy_threads), taken;
    do {
        const int free_threads = budget - busy;
        taken = wanted < free_threads ? wanted : free_threads;
        if (taken < 1) taken = 1;
    } while (!atomic_compare_exchange_weak(&busy_threads, &busy, busy + taken));
    return taken;
}

/* ---- barrier ---- */

enum { LEVELS = 2 }; /* barriers of the team, and of groups */

/* A member's last barrier, on a cache line of its own: one writes, the others read. */
typedef struct arrival {
    _Alignas(64) atomic_int phase;
    atomic_int shrunk_at; /* of a first member: the barrier from which on it is alone; 0: it is not */
} arrival;

struct team {
    int64_t start;         /* when the call began */
    _Atomic int64_t woken; /* when sleepers were last woken */
    atomic_int sleepers, shrunk;
    arrival arrivals[LEVELS][CYLSTM_MAX_TEAM];
};

struct member {
    int phase[LEVELS];       /* barriers passed */
    int64_t cpu_start, idle; /* CPU time at the start of the call, and time slept at barriers since, in ns */
};

static arrival *arrivals_of(const worker *w)
{
    return &w->team->arrivals[w->level][w->first];
}

static int has_arrived(const arrival *a, int phase)
{
    return atomic_load_explicit(&a->phase, memory_order_acquire) >= phase;
}

enum { TOO_LONG = 300000 }; /* ns: far longer than waking up takes */

/* How long this thread slept; not what passed since it was woken, if that is more than waking up takes. */
static int64_t slept_since(const team *t, int64_t start)
{
    const int64_t now = cylstm_wall_clock(), woken = atomic_load(&t->woken);
    return (woken > start && now - woken > TOO_LONG ? woken : now) - start;
}

/* Spins for some 50 us, several steps' worth of waiting, then sleeps. */
static void wait_for(worker *w, arrival *a, int phase)
{
    enum { SPINS = 4000 };
    for (int i = 0; i < SPINS; i++) {
        if (has_arrived(a, phase)) return;
        cylstm_pause();
    }
    const int64_t start = cylstm_wall_clock();
    atomic_fetch_add(&w->team->sleepers, 1);
    for (int seen = atomic_load(&a->phase); seen < phase; seen = atomic_load(&a->phase))
        cylstm_sleep_while(&a->phase, seen);
    atomic_fetch_sub(&w->team->sleepers, 1);
    w->self->idle += slept_since(w->team, start);
}

/* Whether this thread has been kept from running for that many ns, and for a good part of the call: a long one loses a
 * millisecond to the system now and then. Time that passed, less what it computed, less what it slept waiting for
 * others. */
static int was_descheduled(const team *t, const member *self, int64_t too_long)
{
    enum { PART = 4 };
    const int64_t passed = cylstm_wall_clock() - t->start;
    if (passed <= too_long) return 0; /* before the other clock, which is a system call */
    const int64_t lost = passed - (cylstm_thread_clock() - self->cpu_start) - self->idle;
    return lost > too_long && lost > passed / PART;
}

/* Once for a team. */
static void shrink(team *t)
{
    if (!atomic_exchange(&t->shrunk, 1)) remember_crowd();
}

/* Who arrives while others sleep is the one they wait for. If that is because it was not let run, there are more
 * threads than cores: said before it counts as arrived, so that all who pass this barrier know. */
static void arrive(worker *w, int phase)
{
    team *t = w->team;
    arrival *arrivals = arrivals_of(w);
    if (atomic_load(&t->sleepers) > 0 && was_descheduled(t, w->self, TOO_LONG)) {
        int never = 0; /* once: another member may still be on its way out of the barrier of the first time */
        atomic_compare_exchange_strong(&arrivals->shrunk_at, &never, phase);
        shrink(t);
    }
    atomic_store(&arrivals[w->rank].phase, phase);
    if (atomic_load(&t->sleepers) == 0) return;
    atomic_store(&t->woken, cylstm_wall_clock());
    cylstm_wake_all(&arrivals[w->rank].phase);
}

void cylstm_barrier(worker *w)
{
    if (w->team == NULL) return;
    arrival *arrivals = arrivals_of(w);
    const int phase = ++w->self->phase[w->level];
    arrive(w, phase);
    for (int i = 0; i < w->size; i++) {
        if (!has_arrived(&arrivals[i], phase)) wait_for(w, &arrivals[i], phase);
    }
    const int shrunk_at = atomic_load_explicit(&arrivals->shrunk_at, memory_order_relaxed);
    if (shrunk_at != 0 && shrunk_at <= phase) { /* later: by one who is ahead, for the barrier that comes */
        /* The first thread has everything from here on; the others fall through what is left of the body. */
        w->rank = w->rank == 0 ? 0 : -1;
        w->size = 1;
        w->team = NULL;
    }
}

/* ---- groups ---- */

group cylstm_group(const worker *w, int strands)
{
    if (strands == 1) return (group){*w, {0, 1}};
    if (w->size <= strands) { /* each member has some, alone */
        const worker alone = {.rank = w->rank < 0 ? -1 : 0, .size = 1};
        return (group){alone, cylstm_share(w, strands)};
    }
    const int strand = (int)((int64_t)w->rank * strands / w->size);
    const int first = (strand * w->size + strands - 1) / strands; /* the least rank that has this strand */
    const int end = ((strand + 1) * w->size + strands - 1) / strands;
    worker mine = *w;
    mine.rank = w->rank - first;
    mine.size = end - first;
    mine.first = first;
    mine.level = 1;
    if (mine.size == 1) mine.team = NULL;
    return (group){mine, {strand, strand + 1}};
}

/* ---- the region ---- */

static void run_alone(parallel_body body, void *context)
{
    worker w = {.team = NULL, .rank = 0, .size = 1};
    const uint64_t mode = cylstm_set_ieee_mode();
    body(&w, context);
    cylstm_restore_mode(mode);
}

#ifdef _OPENMP

static THREAD_LOCAL int made = 1; /* threads of this thread's pool */

/* OpenMP keeps a pool for each thread that opens regions, and making one takes milliseconds: not part of a call's time,
 * or its members would seem to have been kept from running. */
static void make_pool(int threads)
{
    if (threads <= made) return;
#pragma omp parallel num_threads(threads)
    cylstm_pause();
    made = threads;
}

static void run_team(int threads, parallel_body body, void *context)
{
    enum { SLICE = 1000000 }; /* systems give a thread a core for no less */
    team t;
    make_pool(threads);
    t.start = cylstm_wall_clock();
    atomic_init(&t.woken, 0);
    atomic_init(&t.sleepers, 0);
    atomic_init(&t.shrunk, 0);
    for (int i = 0; i < LEVELS * threads; i++) {
        arrival *a = &t.arrivals[i / threads][i % threads];
        atomic_init(&a->phase, 0);
        atomic_init(&a->shrunk_at, 0);
    }
#pragma omp parallel num_threads(threads)
    {
        const int size = omp_get_num_threads(); /* may be fewer than asked for */
        member self = {.cpu_start = cylstm_thread_clock()};
        worker w = {.team = size > 1 ? &t : NULL, .rank = omp_get_thread_num(), .size = size, .self = &self};
        const uint64_t mode = cylstm_set_ieee_mode();
        body(&w, context);
        cylstm_restore_mode(mode);
        /* Of few barriers or none: OpenMP's own, where the others wait for this thread now, tells nobody. */
        if (size > 1 && was_descheduled(&t, &self, SLICE)) shrink(&t);
    }
    if (!atomic_load(&t.shrunk)) atomic_store(&crowded_calls, 0);
}

/* cl.exe has OpenMP 2.0, which knows no limit. */
static int thread_limit(void)
{
#if _OPENMP >= 200805
    return omp_get_thread_limit();
#else
    return CYLSTM_MAX_TEAM;
#endif
}

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 9

#pragma weak omp_pause_resource_all /* an older libgomp may be there when the program runs */

/* A pool's threads do not come along into a child, and whoever asks them to work there waits for ever: other libraries on
 * the same runtime too. So the thread that forks does without its pool, and gets a new one when it next needs one. LLVM's
 * runtime sees to this itself. */
static void give_up_pool(void)
{
    if (omp_pause_resource_all == NULL || omp_in_parallel()) return;
    if (omp_pause_resource_all(omp_pause_soft) == 0) made = 1;
}

__attribute__((constructor)) static void watch_forks(void)
{
    cylstm_call_before_fork(give_up_pool);
}

#endif

/* A forked child is one of many as a rule, each with a core of its own. And where this library was loaded in the child,
 * by a runtime that was there before, its pool may be one whose threads are gone. */
static int is_child(void)
{
    static atomic_int known; /* 1: it is not, 2: it is */
    if (cylstm_fork_generation() > 0) return 1;
    if (atomic_load_explicit(&known, memory_order_relaxed) == 0)
        atomic_store(&known, 1 + cylstm_was_loaded_before_fork(cylstm_parallel_address()));
    return atomic_load_explicit(&known, memory_order_relaxed) == 2;
}

static int threads_available(int wanted)
{
    if (is_child() || omp_in_parallel()) return 1;
    const int limit = thread_limit() < CYLSTM_MAX_TEAM ? thread_limit() : CYLSTM_MAX_TEAM;
    return wanted < limit ? wanted : limit;
}

const char *cylstm_parallel_name(void)
{
    static char name[32];
    snprintf(name, sizeof name, "OpenMP %d", _OPENMP);
    return name;
}

uintptr_t cylstm_parallel_address(void)
{
    return (uintptr_t)omp_get_max_threads;
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

uintptr_t cylstm_parallel_address(void)
{
    return 0;
}

#endif

void cylstm_parallel_run(int threads, parallel_body body, void *context)
{
    const int taken = take_threads(threads > 1 ? threads_available(threads) : 1);
    if (taken > 1) {
        run_team(taken, body, context);
    } else {
        run_alone(body, context);
    }
    atomic_fetch_sub(&busy_threads, taken);
}
