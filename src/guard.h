/*
 * A guard of the weights: many calls may read them at once, or one may change them. And the gate of forks: a fork waits
 * until no thread holds what its child would find half done.
 *
 * Nothing here runs Python, so no signal handler can throw an exception between taking a guard and giving it back.
 */
#ifndef CYLSTM_GUARD_H
#define CYLSTM_GUARD_H

#include <stdatomic.h>
#include <stdint.h>

/* All zeros: nobody is inside. In a forked child nobody is either, since the other threads did not come along. */
typedef struct guard {
    _Atomic uint64_t state; /* who is inside and who waits, and after how many forks: guard.c */
    atomic_int changes;     /* what those who wait sleep on */
} guard;

/* 1 if the caller is inside now, at once or never waiting; 0 if it has to wait. */
int cylstm_guard_try(guard *g, int to_write);

/* For one that has to wait: queue once, then sleep and try by turns until cylstm_guard_try_queued says 1, or dequeue to
 * give up. Writers go before readers that come after them; after a writer, the readers that waited for it go first. */
void cylstm_guard_queue(guard *g, int to_write);
int cylstm_guard_try_queued(guard *g, int to_write);
void cylstm_guard_dequeue(guard *g, int to_write);

/* Sleeps until somebody leaves or gives up, at most so many nanoseconds; may wake early. */
void cylstm_guard_sleep(guard *g, int to_write, int64_t most);

void cylstm_guard_leave(guard *g, int to_write);

/* ---- forks ---- */

/* What a fork waits for: those who change weights, or hold a lock of BLAS, are readers of this gate; who forks, its
 * writer. A thread that is inside itself forks at once. */
extern guard cylstm_fork_gate;
int cylstm_fork_gate_held(void); /* by this thread */
void cylstm_fork_gate_count(int more);

#endif
