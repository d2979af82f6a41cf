/*
 * The life of a team: every size, barriers, a member that is not let run, the shared budget, nesting, fork, and the
 * floating-point mode.
 *
 *     cc -std=c11 -fopenmp -Isrc tests/c/test_parallel.c libcylstm.a -lm -o test_parallel && ./test_parallel
 */
#include "check.h"

#include <omp.h>
#include <pthread.h>

#include "system.h"

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { MOST_THREADS = 8 };

static void note_size(worker *w, void *context)
{
    if (cylstm_is_first(w)) *(int *)context = w->size;
}

static int size_of_team(int threads)
{
    int size = 0;
    cylstm_parallel_run(threads, note_size, &size);
    return size;
}

/* Of a team that no crowd is remembered for. */
static int calm_size(int threads)
{
    cylstm_forget_crowd();
    return size_of_team(threads);
}

/* ---- a team of every size ---- */

enum { PHASES = 100, ITEMS = 60 };

typedef struct counting {
    atomic_int members;
    int count[ITEMS]; /* not atomic: the barrier alone makes it visible */
} counting;

/* Where the machine has fewer cores the team shrinks on the way: then too everything is done once. */
static void count_phases(worker *w, void *context)
{
    counting *c = context;
    atomic_fetch_add(&c->members, 1);
    for (int phase = 1; phase <= PHASES; phase++) {
        const range mine = cylstm_share(w, ITEMS);
        for (int64_t i = mine.begin; i < mine.end; i++) c->count[i]++;
        cylstm_barrier(w);
        for (int i = 0; i < ITEMS && w->rank >= 0; i++) {
            CHECK(c->count[i] == phase, "item %d is in phase %d of %d, team of %d", i, c->count[i], phase, w->size);
        }
        cylstm_barrier(w);
    }
}

static void test_barriers_keep_phases_apart(void)
{
    for (int size = 1; size <= MOST_THREADS; size++) {
        for (int trial = 0; trial < 4; trial++) {
            counting c = {0};
            cylstm_forget_crowd();
            cylstm_parallel_run(size, count_phases, &c);
            CHECK(atomic_load(&c.members) == size, "%d members of %d", atomic_load(&c.members), size);
        }
    }
}

static void test_what_it_is_compiled_with_has_a_name(void)
{
    char expected[32];
    snprintf(expected, sizeof expected, "OpenMP %d", _OPENMP);
    CHECK(strcmp(cylstm_parallel_name(), expected) == 0, "%s", cylstm_parallel_name());
    CHECK(cylstm_parallel_address() != 0, "no address");
}

static void test_no_number_of_threads_is_one_thread(void)
{
    CHECK(calm_size(0) == 1 && calm_size(-3) == 1, "%d, %d", calm_size(0), calm_size(-3));
}

/* ---- a member that is not let run ---- */

enum { STEPS = 40, LATE_STEP = 5 };

typedef struct walk {
    int late_rank; /* who sleeps before one of the steps: it computes nothing meanwhile, as when others have the core */
    int late_ms;
    atomic_int done[STEPS * ITEMS], left, alone;
} walk;

static void walk_steps(worker *w, void *context)
{
    walk *all = context;
    for (int step = 0; step < STEPS; step++) {
        if (w->rank == all->late_rank && step == LATE_STEP) sleep_ms(all->late_ms);
        const range mine = cylstm_share(w, ITEMS);
        for (int64_t i = mine.begin; i < mine.end; i++) atomic_fetch_add(&all->done[step * ITEMS + i], 1);
        cylstm_barrier(w);
    }
    atomic_fetch_add(&all->left, w->rank < 0);
    atomic_fetch_add(&all->alone, w->rank == 0 && w->size == 1);
}

static void check_all_done_once(const walk *all)
{
    for (int i = 0; i < STEPS * ITEMS; i++) {
        const int times = atomic_load(&all->done[i]);
        CHECK(times == 1, "item %d of step %d, %d times", i % ITEMS, i / ITEMS, times);
    }
}

/* Windows does not: there a team meets a late member only if it was late from the beginning. */
static int system_says_what_a_thread_computed(void)
{
    const int64_t before = cylstm_thread_clock();
    sleep_ms(20);
    return cylstm_thread_clock() - before < 10000000;
}

/* The first thread does the rest of the call alone, and everything is still done, once. */
static void test_a_late_member_ends_the_team(void)
{
    const int must_end = system_says_what_a_thread_computed();
    for (int size = 2; size <= 4; size++) {
        for (int late_rank = 0; late_rank < size; late_rank++) {
            walk all = {.late_rank = late_rank, .late_ms = 50};
            cylstm_forget_crowd();
            cylstm_parallel_run(size, walk_steps, &all);
            const int ended = atomic_load(&all.alone), left = atomic_load(&all.left);
            CHECK(left == ended * (size - 1) && (ended || !must_end), "%d of %d left", left, size);
            check_all_done_once(&all);
        }
    }
}

/* So do the next calls, for 10 ms at least after the team met who was late. Who that was is not sure on a loud machine,
 * nor when: at any time since the start, so that only a call within 10 ms of that must do without a team. */
static void check_next_call_is_alone(double start, const char *after)
{
    const int size = size_of_team(2);
    CHECK(size == 1 || seconds() - start > 0.010, "a team of %d after %s", size, after);
}

static void test_calls_after_a_late_member_do_without_a_team(void)
{
    walk all = {.late_rank = 1, .late_ms = 3};
    cylstm_forget_crowd();
    const double start = seconds();
    cylstm_parallel_run(2, walk_steps, &all);
    const int shrunk = atomic_load(&all.left) > 0; /* not where the other thread did not get to wait for the late one */
    if (shrunk) check_next_call_is_alone(start, "a team that shrank");
}

static void sleep_first(worker *w, void *context)
{
    const walk *all = context;
    if (w->rank == all->late_rank) sleep_ms(all->late_ms);
}

/* Nor does a team without barriers keep it to itself. */
static void test_a_late_member_is_seen_where_nobody_waits_for_it(void)
{
    if (!system_says_what_a_thread_computed()) return;
    for (int late_rank = 0; late_rank < 2; late_rank++) {
        walk all = {.late_rank = late_rank, .late_ms = 3};
        cylstm_forget_crowd();
        const double start = seconds();
        cylstm_parallel_run(2, sleep_first, &all);
        check_next_call_is_alone(start, late_rank == 0 ? "rank 0 slept" : "rank 1 slept");
    }
}

/* ---- groups ---- */

enum { MOST_STRANDS = 4 };

typedef struct grouping {
    int strands, late_rank;
    atomic_int members[MOST_STRANDS], done[STEPS][MOST_STRANDS][ITEMS];
} grouping;

/* Each strand's group goes through its items by itself, a step more for each strand, and then waits for the others. */
static void walk_strands(worker *w, void *context)
{
    grouping *all = context;
    for (int step = 0; step < STEPS; step++) {
        if (w->rank == all->late_rank && step == LATE_STEP) sleep_ms(50);
        group g = cylstm_group(w, all->strands);
        for (int64_t strand = g.strands.begin; strand < g.strands.end; strand++) {
            if (step == 0) atomic_fetch_add(&all->members[strand], 1);
            for (int64_t times = 0; times <= strand; times++) {
                const range mine = cylstm_share(&g.worker, ITEMS);
                for (int64_t i = mine.begin; i < mine.end; i++) atomic_fetch_add(&all->done[step][strand][i], 1);
                cylstm_barrier(&g.worker);
                for (int i = 0; i < ITEMS && g.worker.rank >= 0; i++) {
                    const int seen = atomic_load(&all->done[step][strand][i]);
                    CHECK(seen == times + 1, "item %d of strand %d is at %d of %d", i, (int)strand, seen,
                          (int)times + 1);
                }
                cylstm_barrier(&g.worker);
            }
        }
        cylstm_barrier(w);
        for (int strand = 0; strand < all->strands && w->rank >= 0; strand++) {
            const int seen = atomic_load(&all->done[step][strand][ITEMS - 1]);
            CHECK(seen == strand + 1, "strand %d is at %d when the team meets", strand, seen);
        }
    }
}

static void check_groups(int strands, int size, int late_rank)
{
    static grouping all;
    memset(&all, 0, sizeof all);
    all.strands = strands;
    all.late_rank = late_rank;
    cylstm_forget_crowd();
    cylstm_parallel_run(size, walk_strands, &all);
    const int least = size / strands > 0 ? size / strands : 1;
    for (int s = 0; s < strands; s++) {
        const int members = atomic_load(&all.members[s]);
        CHECK(members >= least && members <= least + 1, "%d of %d members have strand %d of %d", members, size, s,
              strands);
    }
}

static void test_groups_share_the_strands(void)
{
    for (int strands = 1; strands <= MOST_STRANDS; strands++) {
        for (int size = 1; size <= 5; size++) check_groups(strands, size, -1);
    }
    for (int late_rank = 0; late_rank < 4; late_rank++) check_groups(2, 4, late_rank);
}

/* ---- the budget of cores ---- */

typedef struct holder {
    int threads;
    atomic_int size, release;
    pthread_t thread;
} holder;

static void hold_until_released(worker *w, void *context)
{
    holder *h = context;
    if (!cylstm_is_first(w)) return;
    atomic_store(&h->size, w->size);
    while (!atomic_load(&h->release)) sleep_ms(1);
}

static void *run_holder(void *context)
{
    holder *h = context;
    cylstm_parallel_run(h->threads, hold_until_released, h);
    return NULL;
}

/* A call on a thread of its own that holds its cores until released; returns how many it got. */
static int start(holder *h, int threads)
{
    *h = (holder){.threads = threads};
    cylstm_forget_crowd();
    if (pthread_create(&h->thread, NULL, run_holder, h) != 0) abort();
    while (atomic_load(&h->size) == 0) sleep_ms(1);
    return atomic_load(&h->size);
}

static void stop(holder *h)
{
    atomic_store(&h->release, 1);
    pthread_join(h->thread, NULL);
}

static void test_concurrent_calls_share_the_budget(void)
{
    holder a, b, c;
    cylstm_set_thread_budget(4);
    CHECK(start(&a, 3) == 3, "the first of 4 cores");
    CHECK(start(&b, 4) == 1, "one core is left, %d taken", atomic_load(&b.size));
    CHECK(start(&c, 4) == 1, "no core is left, %d taken", atomic_load(&c.size));
    CHECK(calm_size(2) == 1, "no core is left");
    stop(&a);
    CHECK(calm_size(4) == 2, "two of 4 cores are free, %d taken", calm_size(4));
    stop(&b);
    stop(&c);
    CHECK(calm_size(4) == 4 && calm_size(2) == 2, "all cores are free");
}

static void test_a_call_may_ask_for_more_than_the_budget(void)
{
    cylstm_forget_crowd();
    cylstm_set_thread_budget(1);
    CHECK(calm_size(3) == 3, "%d of 3", calm_size(3));
}

/* Eight callers at once: never more threads in teams than the budget has. */
static atomic_int in_teams, most_in_teams;

static void count_in_teams(worker *w, void *context)
{
    (void)context;
    const int in_team = w->size > 1;
    const int now = atomic_fetch_add(&in_teams, in_team) + in_team;
    int most = atomic_load(&most_in_teams);
    while (now > most && !atomic_compare_exchange_weak(&most_in_teams, &most, now)) {
    }
    sleep_ms(1);
    atomic_fetch_sub(&in_teams, in_team);
}

static void *call_often(void *context)
{
    for (int i = 0; i < 50; i++) cylstm_parallel_run(3, count_in_teams, context);
    return NULL;
}

static void test_eight_callers_never_oversubscribe(void)
{
    pthread_t callers[8];
    cylstm_forget_crowd();
    cylstm_set_thread_budget(3);
    for (int i = 0; i < 8; i++) {
        if (pthread_create(&callers[i], NULL, call_often, NULL) != 0) abort();
    }
    for (int i = 0; i < 8; i++) pthread_join(callers[i], NULL);
    CHECK(atomic_load(&most_in_teams) > 1, "no team at all");
    CHECK(atomic_load(&most_in_teams) <= 3, "%d threads in teams on a budget of 3", atomic_load(&most_in_teams));
    CHECK(calm_size(3) == 3, "cores were not given back: %d", calm_size(3));
}

/* ---- inside another parallel region ---- */

static void test_a_nested_call_runs_on_one_thread(void)
{
    const int levels = omp_get_max_active_levels();
    cylstm_forget_crowd();
    omp_set_max_active_levels(levels + 3); /* OpenMP itself would let it have a team */
#pragma omp parallel num_threads(2)
    {
        walk all = {.late_rank = -1};
        cylstm_parallel_run(4, walk_steps, &all);
        check_all_done_once(&all);
        CHECK(calm_size(4) == 1, "a team of %d", calm_size(4));
    }
    omp_set_max_active_levels(levels);
}

/* ---- fork ---- */

#if defined(_WIN32)

static void test_a_forked_child_runs_on_one_thread(void)
{
    CHECK(cylstm_fork_generation() == 0, "nobody forks here");
}

#else

/* In a forked child, where OpenMP's threads are gone: one thread; and in its child. Returns 0 where it is so. */
static int child_finds(int generations)
{
    const int before = cylstm_fork_generation();
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        int wrong = cylstm_fork_generation() != before + 1 || calm_size(2) != 1;
        if (generations > 1) wrong |= child_finds(generations - 1);
        _exit(wrong);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void test_a_forked_child_runs_on_one_thread(void)
{
    holder busy;
    cylstm_forget_crowd();
    CHECK(child_finds(2) == 0, "in a child of a child");
    start(&busy, 3);
    CHECK(child_finds(1) == 0, "in a child of a busy parent");
    stop(&busy);
    CHECK(calm_size(2) == 2 && cylstm_fork_generation() == 0, "the parent goes on");
}

#endif

/* ---- the floating-point mode ---- */

#if defined(__x86_64__)

static atomic_uint modes[MOST_THREADS];

static void note_mode(worker *w, void *context)
{
    (void)context;
    atomic_store(&modes[w->rank], _mm_getcsr());
}

static void test_the_floating_point_mode_is_set_and_put_back(void)
{
    enum { CONTROL = 0xFFC0, FLUSH_AND_ROUND_UP = 0x8040 | 0x4000, IEEE = 0x1F80 };
    const unsigned before = _mm_getcsr(), odd = IEEE | FLUSH_AND_ROUND_UP;
    cylstm_forget_crowd();
    for (int threads = 1; threads <= 3; threads += 2) {
        _mm_setcsr(odd);
        const unsigned found = _mm_getcsr(); /* under valgrind only the rounding can be set */
        cylstm_parallel_run(threads, note_mode, NULL);
        const unsigned after = _mm_getcsr();
        _mm_setcsr(before);
        CHECK(after == found && found != IEEE, "%04x left of %04x", after, found);
        for (int i = 0; i < threads; i++)
            CHECK((atomic_load(&modes[i]) & CONTROL) == IEEE, "%04x inside", atomic_load(&modes[i]));
    }
}

#else

static void test_the_floating_point_mode_is_set_and_put_back(void)
{
}

#endif

int main(void)
{
    cylstm_set_thread_budget(MOST_THREADS);
    test_barriers_keep_phases_apart();
    test_what_it_is_compiled_with_has_a_name();
    test_no_number_of_threads_is_one_thread();
    test_a_late_member_ends_the_team();
    test_calls_after_a_late_member_do_without_a_team();
    test_a_late_member_is_seen_where_nobody_waits_for_it();
    test_groups_share_the_strands();
    test_concurrent_calls_share_the_budget();
    test_a_call_may_ask_for_more_than_the_budget();
    test_eight_callers_never_oversubscribe();
    test_a_nested_call_runs_on_one_thread();
    test_a_forked_child_runs_on_one_thread();
    test_the_floating_point_mode_is_set_and_put_back();
    return report("parallel");
}
