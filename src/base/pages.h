/* pages.h - memory for what is large and swept: weights, caches of keys and values, probe buffers. */
#ifndef QTOP_PAGES_H
#define QTOP_PAGES_H

#include <stddef.h>

/* Bytes of a huge page, and the size from which pages_alloc asks for them. */
enum { PAGES_HUGE = 1 << 21 };

/* size bytes, not initialised and not yet touched: the thread that first writes a page decides which
 * NUMA node holds it. Begins on a cache line; from a page's size on at a page, so that copies of one matrix lie
 * alike in the caches (elsewhere in a page, equal schemes differed by up to 4 % in speed); from PAGES_HUGE bytes on
 * at a huge page, for which the system is then asked. Null when memory is short; size 0 gives memory too. Free with
 * pages_free. */
void *pages_alloc(size_t size);
void pages_free(void *memory);

/* Asks for huge pages where memory .. memory + size holds whole ones, of memory that came from
 * elsewhere. Advisory: only speed changes. */
void memory_advise_huge(void *memory, size_t size);

#endif
