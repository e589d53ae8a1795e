/* array.h - arrays that grow by one element at a time. */
#ifndef QTOP_ARRAY_H
#define QTOP_ARRAY_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* An array with room for one more than the `count` elements that it has, or null (the old one then stays valid):
 * it doubles as elements really come, whatever a header promised. */
static inline void *array_grow(void *array, size_t count, size_t element)
{
    if (count & (count - 1)) /* neither 0 nor a power of two: there is room */
        return array;
    size_t room = count ? 2 * count : 1;
    return room <= SIZE_MAX / element ? realloc(array, room * element) : NULL;
}

#endif
