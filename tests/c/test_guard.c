/*
 * The guard: readers together, writers alone, each in its turn; nothing held by threads that a fork left behind.
 *
 *     cc $FLAGS -Isrc tests/c/test_guard.c libcylstm.a -lm -lpthread -o test_guard && ./test_guard
 */
#include "check.h"

#include <pthread.h>
#include <sched.h>

#include "guard.h"

#if !defined(_WIN32)
#include <sys/wait.h>
#include <unistd.h>
#endif

enum { READ = 0, WRITE = 1, SECOND = 1000000000 };

static void enter(guard *g, int to_write)
{
    if (cylstm_guard_try(g, to_write)) return;
    cylstm_guard_queue(g, to_write);
    while (!cylstm_guard_try_queued(g, to_write)) cylstm_guard_sleep(g, to_write, SECOND);
}

/* ---- many threads ---- */

enum { THREADS = 6, TURNS = 20000 };

typedef struct shared {
    guard g;
    int first, second; /* equal, but while a writer is inside */
    atomic_int arrived, given_up;
} shared;

static void read_once(shared *s)
{
    enter(&s->g, READ);
    CHECK(s->first == s->second, "%d and %d", s->first, s->second);
    cylstm_guard_leave(&s->g, READ);
}

static void write_once(shared *s)
{
    enter(&s->g, WRITE);
    s->first++;
    if (s->first % 64 == 0) sched_yield(); /* where others find it inside */
    s->second++;
    cylstm_guard_leave(&s->g, WRITE);
}

/* As where a signal handler raises an exception. */
static void give_up(shared *s, int to_write)
{
    if (cylstm_guard_try(&s->g, to_write)) {
        cylstm_guard_leave(&s->g, to_write);
        return;
    }
    cylstm_guard_queue(&s->g, to_write);
    cylstm_guard_sleep(&s->g, to_write, 1000);
    cylstm_guard_dequeue(&s->g, to_write);
    atomic_fetch_add(&s->given_up, 1);
}

static void *use(void *context)
{
    shared *s = context;
    atomic_fetch_add(&s->arrived, 1);
    while (atomic_load(&s->arrived) < THREADS) cylstm_pause();
    for (int turn = 0; turn < TURNS; turn++) {
        read_once(s);
        write_once(s);
        give_up(s, turn % 2 ? READ : WRITE);
    }
    return NULL;
}

static void test_many_threads(void)
{
    static shared s;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, use, &s);
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    CHECK(s.first == THREADS * TURNS, "%d of %d writes", s.first, THREADS * TURNS);
    CHECK(cylstm_guard_try(&s.g, WRITE), "somebody is still inside");
    cylstm_guard_leave(&s.g, WRITE);
    CHECK(s.g.state == 0, "state %llx after all have left", (unsigned long long)s.g.state);
    CHECK(atomic_load(&s.given_up) > 0, "nobody ever had to wait");
}

/* ---- turns, by one thread that plays all parts ---- */

static void test_who_is_inside(void)
{
    guard g = {0};
    CHECK(cylstm_guard_try(&g, READ) && cylstm_guard_try(&g, READ), "two readers");
    CHECK(!cylstm_guard_try(&g, WRITE), "a writer beside readers");
    cylstm_guard_leave(&g, READ);
    CHECK(!cylstm_guard_try(&g, WRITE), "a writer beside a reader");
    cylstm_guard_leave(&g, READ);
    CHECK(cylstm_guard_try(&g, WRITE), "a writer alone");
    CHECK(!cylstm_guard_try(&g, READ) && !cylstm_guard_try(&g, WRITE), "others beside a writer");
    cylstm_guard_leave(&g, WRITE);
    CHECK(cylstm_guard_try(&g, READ), "a reader after a writer");
}

static void test_a_waiting_writer_goes_before_readers_that_come_later(void)
{
    guard g = {0};
    cylstm_guard_try(&g, READ);
    cylstm_guard_queue(&g, WRITE);
    CHECK(!cylstm_guard_try(&g, READ), "a reader past a waiting writer");
    cylstm_guard_queue(&g, READ);
    CHECK(!cylstm_guard_try_queued(&g, READ), "a waiting reader past a waiting writer");
    cylstm_guard_leave(&g, READ);
    CHECK(cylstm_guard_try_queued(&g, WRITE), "the writer's turn");
}

static void test_readers_that_waited_for_a_writer_go_before_the_next(void)
{
    guard g = {0};
    cylstm_guard_try(&g, WRITE);
    cylstm_guard_queue(&g, READ);
    cylstm_guard_queue(&g, WRITE);
    cylstm_guard_leave(&g, WRITE);
    CHECK(!cylstm_guard_try_queued(&g, WRITE), "a writer after a writer, past a waiting reader");
    CHECK(cylstm_guard_try_queued(&g, READ), "the reader's turn");
    CHECK(!cylstm_guard_try(&g, READ), "a late reader past the waiting writer");
    cylstm_guard_leave(&g, READ);
    CHECK(cylstm_guard_try_queued(&g, WRITE), "the writer's turn");
}

static void test_who_gives_up_keeps_nobody(void)
{
    guard g = {0};
    cylstm_guard_try(&g, READ);
    cylstm_guard_queue(&g, WRITE);
    cylstm_guard_dequeue(&g, WRITE);
    CHECK(cylstm_guard_try(&g, READ), "a reader after a writer gave up");

    guard h = {0};
    cylstm_guard_try(&h, WRITE);
    cylstm_guard_queue(&h, READ);
    cylstm_guard_queue(&h, WRITE);
    cylstm_guard_leave(&h, WRITE);
    cylstm_guard_dequeue(&h, READ);
    CHECK(cylstm_guard_try_queued(&h, WRITE), "a writer after the reader whose turn it was gave up");
}

static void test_sleep_ends_by_itself(void)
{
    guard g = {0};
    cylstm_guard_try(&g, WRITE);
    cylstm_guard_queue(&g, READ);
    cylstm_guard_sleep(&g, READ, SECOND / 100); /* or this program would never end */
    CHECK(!cylstm_guard_try_queued(&g, READ), "the writer is inside");
}

/* ---- forks ---- */

static void *is_held_here(void *held)
{
    *(int *)held = cylstm_fork_gate_held();
    return NULL;
}

static void test_each_thread_holds_the_gate_for_itself(void)
{
    int by_another = -1;
    pthread_t other;
    CHECK(!cylstm_fork_gate_held(), "nobody has entered");
    cylstm_fork_gate_count(2);
    cylstm_fork_gate_count(-1);
    CHECK(cylstm_fork_gate_held(), "entered twice, left once");
    pthread_create(&other, NULL, is_held_here, &by_another);
    pthread_join(other, NULL);
    CHECK(by_another == 0, "another thread has not entered");
    cylstm_fork_gate_count(-1);
    CHECK(!cylstm_fork_gate_held(), "left twice");
}

#if !defined(_WIN32)

/* What this returns in a forked child. */
static int in_child(int (*check)(guard *), guard *g)
{
    int status = -1;
    const pid_t child = fork();
    if (child == 0) _exit(check(g));
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int nobody_is_inside(guard *g)
{
    if (!cylstm_guard_try(g, WRITE)) return 1;
    cylstm_guard_leave(g, WRITE);
    return 0;
}

static int leaving_what_the_parent_entered_does_nothing(guard *g)
{
    cylstm_guard_leave(g, WRITE);
    return nobody_is_inside(g);
}

static void test_a_child_has_nobody_inside(void)
{
    guard g = {0};
    cylstm_guard_try(&g, WRITE);
    cylstm_guard_queue(&g, READ);
    CHECK(in_child(nobody_is_inside, &g) == 0, "who was inside in the parent");
    CHECK(in_child(leaving_what_the_parent_entered_does_nothing, &g) == 0, "who was inside in the parent and leaves");
    CHECK(!cylstm_guard_try(&g, READ), "in the parent the writer is inside still");
}

#else

static void test_a_child_has_nobody_inside(void)
{
}

#endif

int main(void)
{
    test_who_is_inside();
    test_a_waiting_writer_goes_before_readers_that_come_later();
    test_readers_that_waited_for_a_writer_go_before_the_next();
    test_who_gives_up_keeps_nobody();
    test_sleep_ends_by_itself();
    test_each_thread_holds_the_gate_for_itself();
    test_many_threads(); /* before any child: a forked process with a sanitizer makes no threads */
    test_a_child_has_nobody_inside();
    return report("guard");
}
