#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define _WIN32_WINNT 0x0602 /* Windows 8, the first to have WaitOnAddress */
#define _CRT_SECURE_NO_WARNINGS
#else
#define _GNU_SOURCE          /* Linux: syscall, madvise */
#define _FILE_OFFSET_BITS 64 /* files of 2 GB where a long has 32 bits */
#endif

#include "system.h"

enum { NANOSECONDS = 1000000000 };

#if defined(_WIN32)

#include <windows.h>

#if defined(_MSC_VER)
#pragma comment(lib, "synchronization.lib")
#endif

int64_t cylstm_wall_clock(void)
{
    LARGE_INTEGER now, rate; /* ticks; those of a second */
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&rate);
    const int64_t seconds = now.QuadPart / rate.QuadPart, rest = now.QuadPart % rate.QuadPart;
    return seconds * NANOSECONDS + rest * NANOSECONDS / rate.QuadPart;
}

/* GetThreadTimes is no help: it counts by 16 ms. */
int64_t cylstm_thread_clock(void)
{
    return cylstm_wall_clock();
}

void cylstm_sleep_while(void *word, int value)
{
    WaitOnAddress(word, &value, sizeof value, INFINITE);
}

void cylstm_wake_all(void *word)
{
    WakeByAddressAll(word);
}

int cylstm_fork_generation(void)
{
    return 0;
}

void cylstm_prefer_huge_pages(void *begin, int64_t size)
{
    (void)begin, (void)size;
}

FILE *cylstm_open(const char *path)
{
    enum { LONGEST = 1 << 15 };
    wchar_t wide[LONGEST];
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, LONGEST) == 0) return NULL;
    return _wfopen(wide, L"rb");
}

int64_t cylstm_file_size(FILE *file)
{
    return _fseeki64(file, 0, SEEK_END) == 0 ? _ftelli64(file) : -1;
}

#else

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#if defined(__linux__)
#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * NANOSECONDS + now.tv_nsec;
}

int64_t cylstm_wall_clock(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t cylstm_thread_clock(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

void cylstm_sleep_while(void *word, int value)
{
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
#else
    (void)word, (void)value;
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
#endif
}

void cylstm_wake_all(void *word)
{
#if defined(__linux__)
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#else
    (void)word; /* nobody sleeps for long */
#endif
}

static atomic_int fork_generation;

static void count_fork(void)
{
    atomic_fetch_add(&fork_generation, 1);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, count_fork);
}

int cylstm_fork_generation(void)
{
    return atomic_load_explicit(&fork_generation, memory_order_relaxed);
}

void cylstm_prefer_huge_pages(void *begin, int64_t size)
{
#if defined(MADV_HUGEPAGE)
    (void)madvise(begin, (size_t)size, MADV_HUGEPAGE);
#else
    (void)begin, (void)size;
#endif
}

FILE *cylstm_open(const char *path)
{
    return fopen(path, "rb");
}

int64_t cylstm_file_size(FILE *file)
{
    return fseeko(file, 0, SEEK_END) == 0 ? ftello(file) : -1;
}

#endif
