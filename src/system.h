/*
 * What operating systems do in ways of their own: the one place that asks which one this is. Windows is in system.c
 * apart; of the others Linux has more to offer.
 */
#ifndef CYLSTM_SYSTEM_H
#define CYLSTM_SYSTEM_H

#include <stdint.h>
#include <stdio.h>

/* Nanoseconds that have passed, never backwards; that this thread has computed, or, where the system does not say, that
 * have passed. */
int64_t cylstm_wall_clock(void);
int64_t cylstm_thread_clock(void);

/* Sleeps while *word, an atomic_int, is `value`, for at most so many nanoseconds in the second form; may wake early. */
void cylstm_sleep_while(void *word, int value);
void cylstm_sleep_while_for(void *word, int value, int64_t most);
void cylstm_wake_all(void *word);

/* How many times this process has been forked from one that had loaded the library: objects compare it to notice. */
int cylstm_fork_generation(void);

/* Has `prepare` called by each thread that forks, before it does; 0: done, or the system has no fork. */
int cylstm_call_before_fork(void (*prepare)(void));

/* Whether this process was forked, and has not started a program since, while the library of that function was loaded
 * already and this one was not: nobody can tell then in what state the fork has left it. Linux; elsewhere 0. */
int cylstm_was_loaded_before_fork(uintptr_t function);

/* Asks for huge pages. */
void cylstm_prefer_huge_pages(void *begin, int64_t size);

/* For reading; on Windows the path is UTF-8. NULL: it cannot be opened. */
FILE *cylstm_open(const char *path);

/* Bytes of a file, where it then stands at its end; -1: not known. */
int64_t cylstm_file_size(FILE *file);

/* Goes to this byte of a file, counted from its beginning; 0: it cannot. */
int cylstm_seek(FILE *file, int64_t to);

#endif
