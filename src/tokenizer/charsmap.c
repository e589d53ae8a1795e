#include "charsmap.h"

#include <stdint.h>
#include <string.h>

static uint32_t unit_at(const char *units, size_t i)
{
    uint32_t unit;
    memcpy(&unit, units + 4 * i, sizeof unit);
    return unit;
}

/* A unit of the array: the distance to its children, its label, whether a value hangs below it. */
static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

static uint32_t label_of(uint32_t unit)
{
    return unit & (1u << 31 | 0xff);
}

bool charsmap_check(const char *map, size_t size)
{
    uint32_t trie = size >= 4 ? unit_at(map, 0) : 0;
    return trie >= 4 && trie % 4 == 0 && trie < size - 4 && map[size - 1] == 0;
}

size_t charsmap_find(const char *map, size_t size, const char *text, size_t n, const char **to, size_t *to_size)
{
    uint32_t trie = unit_at(map, 0);
    const char *units = map + 4, *texts = units + trie;
    size_t count = trie / 4, room = size - 4 - trie, found = 0, at = offset_of(unit_at(units, 0));
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)text[i];
        at ^= byte;
        uint32_t unit = at < count ? unit_at(units, at) : 0;
        if (at >= count || label_of(unit) != byte)
            break;
        at ^= offset_of(unit);
        size_t value = (unit >> 8 & 1) && at < count ? unit_at(units, at) & ~(1u << 31) : SIZE_MAX;
        if (value < room) {
            found = i + 1;
            *to = texts + value;
            *to_size = strlen(texts + value);
        }
    }
    return found;
}
