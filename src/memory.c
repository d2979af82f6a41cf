#include "memory.h"

#include "layout.h"
#include "system.h"

enum { HUGE_PAGE = 2 << 20, LEAST_HUGE_PAGES = 2 };

static int64_t alignment_of(int64_t size)
{
    return size >= (int64_t)LEAST_HUGE_PAGES * HUGE_PAGE ? HUGE_PAGE : CYLSTM_ALIGNMENT;
}

int64_t cylstm_memory_to_allocate(int64_t size)
{
    return cylstm_sum(size, alignment_of(size));
}

char *cylstm_memory_begin(void *block, int64_t size)
{
    const uintptr_t alignment = (uintptr_t)alignment_of(size);
    char *begin = (char *)block + (alignment - (uintptr_t)block % alignment) % alignment;
    if (alignment == HUGE_PAGE) cylstm_prefer_huge_pages(begin, size / HUGE_PAGE * HUGE_PAGE);
    return begin;
}
