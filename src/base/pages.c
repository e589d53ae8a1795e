#include "pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { LINE = 64, PAGE = 4096 };

void memory_advise_huge(void *memory, size_t size)
{
#ifdef MADV_HUGEPAGE
    uintptr_t huge = PAGES_HUGE, from = (uintptr_t)memory;
    size_t skip = (huge - from % huge) % huge;
    size_t inner = size > skip ? (size - skip) / huge * huge : 0;
    if (inner > 0)
        (void)madvise((char *)memory + skip, inner, MADV_HUGEPAGE);
#else
    (void)memory;
    (void)size;
#endif
}

void *pages_alloc(size_t size)
{
    void *memory = NULL;
    size_t alignment = size >= PAGES_HUGE ? PAGES_HUGE : size >= PAGE ? PAGE : LINE;
    if (posix_memalign(&memory, alignment, size ? size : 1) != 0)
        return NULL;
    memory_advise_huge(memory, size);
    return memory;
}

void pages_free(void *memory)
{
    free(memory);
}
