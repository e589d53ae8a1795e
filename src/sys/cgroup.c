#include "cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A line of /proc/self/cgroup: NUMBER:CONTROLLERS:PATH, version 2 with number 0 and no controllers. */
struct membership {
    int version;
    const char *controllers; /* separated by commas */
    char *path;
};

static bool parse_line(char *line, struct membership *out)
{
    line[strcspn(line, "\n")] = 0;
    char *first = strchr(line, ':'), *second = first ? strchr(first + 1, ':') : NULL;
    if (!second || second[1] != '/')
        return false;
    *first = *second = 0;
    bool two = strcmp(line, "0") == 0 && first[1] == 0;
    *out = (struct membership){two ? 2 : 1, first + 1, second + 1};
    /* Above what this namespace shows: only the mounted root can be looked at. */
    if (strncmp(out->path, "/..", 3) == 0)
        out->path[1] = 0;
    return true;
}

static bool names(const char *controllers, const char *controller)
{
    size_t length = strlen(controller);
    for (const char *at = controllers; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, controller, length) == 0 && (at[length] == ',' || at[length] == 0))
            return true;
    }
    return false;
}

/* The folder of a group below a mount, then each one above it. */
static void climb(const char *root, const char *mount, const struct membership *m, cgroup_fn *see,
                  void *arg)
{
    char folder[PATH_MAX];
    int base = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup%s%s", root, *mount ? "/" : "", mount);
    if (base < 0 || (size_t)base + strlen(m->path) >= sizeof folder)
        return;
    strcpy(folder + base, m->path);
    for (size_t end = strlen(folder); end > (size_t)base;) {
        if (folder[end - 1] != '/')
            see(folder, m->version, arg);
        while (end > (size_t)base && folder[end - 1] != '/')
            end--;
        while (end > (size_t)base && folder[end - 1] == '/')
            end--;
        folder[end] = 0;
    }
    see(folder, m->version, arg);
}

void cgroup_each(const char *root, const char *controller, cgroup_fn *see, void *arg)
{
    char name[PATH_MAX], line[PATH_MAX];
    int length = snprintf(name, sizeof name, "%s/proc/self/cgroup", root);
    FILE *f = length > 0 && (size_t)length < sizeof name ? fopen(name, "re") : NULL;
    while (f && fgets(line, sizeof line, f)) {
        struct membership m;
        if (!parse_line(line, &m))
            continue;
        if (m.version == 2) {
            climb(root, "", &m, see, arg);
            climb(root, "unified", &m, see, arg);
        } else if (names(m.controllers, controller)) {
            climb(root, controller, &m, see, arg);
            if (strcmp(m.controllers, controller) != 0)
                climb(root, m.controllers, &m, see, arg);
        }
    }
    if (f)
        fclose(f);
}

/* ---- processor time -------------------------------------------------------------------------- */

/* The numbers a file begins with; how many there are. */
static int numbers_in(const char *folder, const char *file, double *first, double *second)
{
    char name[PATH_MAX];
    int length = snprintf(name, sizeof name, "%s/%s", folder, file);
    FILE *f = length > 0 && (size_t)length < sizeof name ? fopen(name, "re") : NULL;
    int found = f ? fscanf(f, "%lf %lf", first, second) : 0;
    if (f)
        fclose(f);
    return found;
}

static void see_quota(const char *folder, int version, void *arg)
{
    double *smallest = arg, quota = 0, period = 0, unused;
    /* Microseconds of work a period; "max" or -1 is no limit. */
    bool known = version == 2 ? numbers_in(folder, "cpu.max", &quota, &period) == 2
                              : numbers_in(folder, "cpu.cfs_quota_us", &quota, &unused) == 1 &&
                                    numbers_in(folder, "cpu.cfs_period_us", &period, &unused) == 1;
    if (known && quota > 0 && period > 0 && (*smallest == 0 || quota / period < *smallest))
        *smallest = quota / period;
}

double cgroup_cpu_quota(const char *root)
{
    double smallest = 0;
    cgroup_each(root, "cpu", see_quota, &smallest);
    return smallest;
}
