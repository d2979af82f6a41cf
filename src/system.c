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

void cylstm_sleep_while_for(void *word, int value, int64_t most)
{
    enum { MILLISECOND = 1000000 };
    WaitOnAddress(word, &value, sizeof value, (DWORD)(most / MILLISECOND + 1));
}

void cylstm_wake_all(void *word)
{
    WakeByAddressAll(word);
}

int cylstm_fork_generation(void)
{
    return 0;
}

int cylstm_call_before_fork(void (*prepare)(void))
{
    (void)prepare;
    return 0;
}

int cylstm_was_loaded_before_fork(uintptr_t function)
{
    (void)function;
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

int cylstm_seek(FILE *file, int64_t to)
{
    return _fseeki64(file, to, SEEK_SET) == 0;
}

#else

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#if defined(__linux__)
#include <limits.h>
#include <link.h>
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

#if defined(__linux__)

void cylstm_sleep_while(void *word, int value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void cylstm_sleep_while_for(void *word, int value, int64_t most)
{
    const struct timespec limit = {.tv_sec = (time_t)(most / NANOSECONDS), .tv_nsec = (long)(most % NANOSECONDS)};
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &limit, NULL, 0);
}

#else

void cylstm_sleep_while(void *word, int value)
{
    (void)word, (void)value;
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

void cylstm_sleep_while_for(void *word, int value, int64_t most)
{
    const int64_t end = cylstm_wall_clock() + most;
    while (atomic_load((atomic_int *)word) == value && cylstm_wall_clock() < end) cylstm_sleep_while(word, value);
}

#endif

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

int cylstm_call_before_fork(void (*prepare)(void))
{
    return pthread_atfork(prepare, NULL, NULL);
}

#if defined(__linux__)

/* Whether this process is a fork that has not started another program: PF_FORKNOEXEC among its flags, the ninth field of
 * its line. The second, its name, is in parentheses and may hold anything. */
static int is_forked(void)
{
    enum { FORKED = 0x40 };
    char line[512];
    unsigned flags = 0;
    FILE *file = fopen("/proc/self/stat", "r");
    if (file == NULL) return 0;
    const size_t length = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[length] = 0;
    const char *rest = strrchr(line, ')');
    return rest != NULL && sscanf(rest, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && (flags & FORKED) != 0;
}

/* The order in which libraries were loaded: which comes first, the one of this function or this one? */
typedef struct search {
    uintptr_t theirs, ours;
    int first; /* 1: theirs, -1: ours */
} search;

static int contains(const struct dl_phdr_info *library, uintptr_t address)
{
    for (int i = 0; i < library->dlpi_phnum; i++) {
        const uintptr_t begin = library->dlpi_addr + library->dlpi_phdr[i].p_vaddr;
        if (library->dlpi_phdr[i].p_type == PT_LOAD && address - begin < library->dlpi_phdr[i].p_memsz) return 1;
    }
    return 0;
}

static int look_at(struct dl_phdr_info *library, size_t size, void *context)
{
    search *s = context;
    (void)size;
    if (contains(library, s->ours)) {
        s->first = -1;
    } else if (contains(library, s->theirs)) {
        s->first = 1;
    }
    return s->first;
}

int cylstm_was_loaded_before_fork(uintptr_t function)
{
    search s = {.theirs = function, .ours = (uintptr_t)is_forked};
    if (!is_forked()) return 0;
    dl_iterate_phdr(look_at, &s);
    return s.first == 1;
}

#else

int cylstm_was_loaded_before_fork(uintptr_t function)
{
    (void)function;
    return 0;
}

#endif

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

int cylstm_seek(FILE *file, int64_t to)
{
    return fseeko(file, to, SEEK_SET) == 0;
}

#endif
