#include "memory.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The number after `key` in a file ("" for a file that is one number), or SIZE_MAX. */
static size_t number_in(const char *path, const char *key)
{
    FILE *f = fopen(path, "re");
    char line[256];
    size_t value = SIZE_MAX, length = strlen(key);
    while (f && value == SIZE_MAX && fgets(line, sizeof line, f))
        if (strncmp(line, key, length) == 0 && sscanf(line + length, "%zu", &value) != 1)
            value = SIZE_MAX;
    if (f)
        fclose(f);
    return value;
}

static size_t left(size_t limit, size_t used)
{
    return limit == SIZE_MAX || used == SIZE_MAX ? SIZE_MAX : limit > used ? limit - used : 0;
}

size_t memory_available(void)
{
    size_t kib = number_in("/proc/meminfo", "MemAvailable:");
    size_t least = kib == SIZE_MAX ? SIZE_MAX : kib * 1024;
    static const char *const cgroups[][2] = {
        {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"},
        {"/sys/fs/cgroup/memory/memory.limit_in_bytes",
         "/sys/fs/cgroup/memory/memory.usage_in_bytes"},
    };
    for (size_t i = 0; i < 2; i++) {
        size_t n = left(number_in(cgroups[i][0], ""), number_in(cgroups[i][1], ""));
        least = n < least ? n : least;
    }
    return least;
}

bool memory_check(const char *what, size_t bytes, struct error *error)
{
    size_t available = memory_available();
    if (bytes > available)
        return error_set(error, "%s needs %zu MiB; %zu MiB of memory are available", what, bytes >> 20,
                         available >> 20);
    return true;
}
