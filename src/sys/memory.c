#include "memory.h"

#include "cgroup.h"

#include <limits.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The number after `key` in folder/name ("" for a file that is one number), or SIZE_MAX. */
static size_t number_in(const char *folder, const char *name, const char *key)
{
    char path[PATH_MAX];
    int written = snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = written > 0 && (size_t)written < sizeof path ? fopen(path, "re") : NULL;
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

/* The names of a version: limit, use, and the lines of memory.stat that count pages of files, which
 * the kernel drops when memory is wanted (a mapped model is made of them). */
static const struct {
    const char *limit, *use, *file_pages[2];
} cgroup_names[] = {
    {"memory.limit_in_bytes", "memory.usage_in_bytes",
     {"total_inactive_file ", "total_active_file "}},
    {"memory.max", "memory.current", {"inactive_file ", "active_file "}},
};

static void see_limit(const char *folder, int version, void *arg)
{
    size_t *smallest = arg, limit = number_in(folder, cgroup_names[version - 1].limit, "");
    size_t used = number_in(folder, cgroup_names[version - 1].use, "");
    for (size_t i = 0; i < 2 && used != SIZE_MAX; i++) {
        size_t pages = number_in(folder, "memory.stat", cgroup_names[version - 1].file_pages[i]);
        used -= pages == SIZE_MAX ? 0 : pages < used ? pages : used;
    }
    size_t n = left(limit, used);
    *smallest = n < *smallest ? n : *smallest;
}

size_t memory_available_in(const char *root)
{
    size_t kib = number_in(root, "proc/meminfo", "MemAvailable:");
    size_t smallest = kib > SIZE_MAX / 1024 ? SIZE_MAX : kib * 1024;
    cgroup_each(root, "memory", see_limit, &smallest);
    return smallest;
}

size_t memory_available(void)
{
    return memory_available_in("");
}

bool memory_check(const char *what, size_t bytes, struct error *error)
{
    size_t available = memory_available();
    if (bytes > available)
        return error_set(error, "%s needs %zu MiB; %zu MiB of memory are available", what, bytes >> 20,
                         available >> 20);
    return true;
}

/* The file lists every mode with the one in force in brackets. */
bool memory_huge_pages(const char *root, char mode[16], struct error *error)
{
    static const char file[] = "sys/kernel/mm/transparent_hugepage/enabled";
    char path[PATH_MAX], line[256] = "";
    int written = snprintf(path, sizeof path, "%s/%s", root, file);
    FILE *f = written > 0 && (size_t)written < sizeof path ? fopen(path, "re") : NULL;
    bool found = f && fgets(line, sizeof line, f);
    if (f)
        fclose(f);
    const char *open = found ? strchr(line, '[') : NULL;
    if (!open || sscanf(open + 1, "%15[a-z]]", mode) != 1)
        return error_set(error, "/%s %s", file, found ? "names no mode" : "cannot be read");
    return true;
}

void memory_give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
