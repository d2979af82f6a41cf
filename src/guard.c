#include "guard.h"

#include "compiler.h"
#include "system.h"

/* The state in one word, so that every change of it is whole:
 *
 *     bits  0-15   readers inside, or WRITER
 *          16-31   readers that wait
 *          32-46   writers that wait
 *             47   the readers that wait go before a writer
 *          48-63   the number of forks when this was written; of another one, it says nothing any more */
enum { WAITING_READERS = 16, WAITING_WRITERS = 32, FORKS = 48 };

#define FIELD UINT64_C(0xffff)
#define WRITER FIELD
#define WRITERS UINT64_C(0x7fff)
#define READERS_FIRST (UINT64_C(1) << 47)

static uint64_t one(int shift)
{
    return UINT64_C(1) << shift;
}

static uint64_t inside(uint64_t state)
{
    return state & FIELD;
}

static uint64_t waiting_readers(uint64_t state)
{
    return state >> WAITING_READERS & FIELD;
}

static uint64_t waiting_writers(uint64_t state)
{
    return state >> WAITING_WRITERS & WRITERS;
}

/* The state as this process has it. */
static uint64_t current(uint64_t state)
{
    const uint64_t forks = (uint64_t)cylstm_fork_generation() & FIELD;
    return state >> FORKS == forks ? state : forks << FORKS;
}

/* Without the turn of readers once none of them waits. */
static uint64_t settled(uint64_t state)
{
    return waiting_readers(state) == 0 ? state & ~READERS_FIRST : state;
}

static int may_read(uint64_t state)
{
    return inside(state) != WRITER && (waiting_writers(state) == 0 || (state & READERS_FIRST) != 0);
}

static int may_write(uint64_t state)
{
    return inside(state) == 0 && (state & READERS_FIRST) == 0;
}

static uint64_t entered(uint64_t state, int to_write)
{
    return to_write ? state | WRITER : state + 1;
}

static uint64_t dequeued(uint64_t state, int to_write)
{
    return settled(state - one(to_write ? WAITING_WRITERS : WAITING_READERS));
}

static int enter(guard *g, int to_write, int queued)
{
    uint64_t seen = atomic_load(&g->state);
    for (;;) {
        const uint64_t state = current(seen);
        if (!(to_write ? may_write(state) : may_read(state))) return 0;
        const uint64_t next = entered(queued ? dequeued(state, to_write) : state, to_write);
        if (atomic_compare_exchange_weak(&g->state, &seen, next)) return 1;
    }
}

int cylstm_guard_try(guard *g, int to_write)
{
    return enter(g, to_write, 0);
}

int cylstm_guard_try_queued(guard *g, int to_write)
{
    return enter(g, to_write, 1);
}

static void wake(guard *g, uint64_t state)
{
    if (waiting_readers(state) == 0 && waiting_writers(state) == 0) return;
    atomic_fetch_add(&g->changes, 1);
    cylstm_wake_all(&g->changes);
}

void cylstm_guard_queue(guard *g, int to_write)
{
    uint64_t seen = atomic_load(&g->state), next;
    do {
        next = current(seen) + one(to_write ? WAITING_WRITERS : WAITING_READERS);
    } while (!atomic_compare_exchange_weak(&g->state, &seen, next));
}

void cylstm_guard_dequeue(guard *g, int to_write)
{
    uint64_t seen = atomic_load(&g->state), next;
    do {
        next = dequeued(current(seen), to_write);
    } while (!atomic_compare_exchange_weak(&g->state, &seen, next));
    wake(g, next); /* readers may have waited for this writer alone, a writer for these readers */
}

void cylstm_guard_sleep(guard *g, int to_write, int64_t most)
{
    const int seen = atomic_load(&g->changes);
    const uint64_t state = current(atomic_load(&g->state));
    if (to_write ? may_write(state) : may_read(state)) return; /* who left before this look wakes nobody any more */
    cylstm_sleep_while_for(&g->changes, seen, most);
}

void cylstm_guard_leave(guard *g, int to_write)
{
    uint64_t seen = atomic_load(&g->state), next;
    do {
        const uint64_t state = current(seen);
        if (inside(state) == 0) return; /* entered before a fork, in the parent */
        next = to_write ? state & ~FIELD : state - 1;
        if (to_write && waiting_readers(next) > 0) next |= READERS_FIRST;
    } while (!atomic_compare_exchange_weak(&g->state, &seen, next));
    wake(g, next);
}

/* ---- forks ---- */

guard cylstm_fork_gate;

static THREAD_LOCAL int held;

int cylstm_fork_gate_held(void)
{
    return held > 0;
}

void cylstm_fork_gate_count(int more)
{
    held += more;
}
