#include "events.h"

#include "base/edit_distance.h"
#include "events_internal.h"

#include <ctype.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- libpfm4 --------------------------------------------------------------------------------- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool started;

static void start(void)
{
    started = pfm_initialize() == PFM_SUCCESS;
}

bool events_ready(void)
{
    pthread_once(&once, start);
    return started;
}

bool events_pmu(int number, pfm_pmu_info_t *info)
{
    memset(info, 0, sizeof *info);
    info->size = sizeof *info;
    return events_ready() && pfm_get_pmu_info((pfm_pmu_t)number, info) == PFM_SUCCESS;
}

/* ---- listing --------------------------------------------------------------------------------- */

struct listing {
    const char *pattern;
    event_fn *see;
    void *arg;
    size_t count;
};

static void lower(char *out, size_t size, const char *text)
{
    size_t n = 0;
    for (; text[n] && n + 1 < size; n++)
        out[n] = (char)tolower((unsigned char)text[n]);
    out[n] = 0;
}

static bool contains(const char *text, const char *pattern)
{
    size_t n = strlen(pattern);
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && tolower((unsigned char)text[i]) == tolower((unsigned char)pattern[i]))
            i++;
        if (i == n)
            return true;
    }
    return n == 0;
}

static void show(struct listing *l, const char *pmu, const char *name, const char *description)
{
    if (l->pattern && !contains(name, l->pattern) && !contains(description, l->pattern))
        return;
    l->count++;
    l->see(&(struct event_info){pmu, name, description}, l->arg);
}

static void list_event(struct listing *l, const pfm_pmu_info_t *pmu, int event)
{
    char name[2 * EVENT_NAME];
    pfm_event_info_t info = {.size = sizeof info};
    if (pfm_get_event_info(event, PFM_OS_NONE, &info) != PFM_SUCCESS)
        return;
    bool masks = false;
    for (int a = 0; a < info.nattrs; a++) {
        pfm_event_attr_info_t attr = {.size = sizeof attr};
        if (pfm_get_event_attr_info(event, a, PFM_OS_NONE, &attr) != PFM_SUCCESS ||
            attr.type != PFM_ATTR_UMASK)
            continue;
        masks = true;
        snprintf(name, sizeof name, "%s::%s:%s", pmu->name, info.name, attr.name);
        show(l, pmu->name, name, attr.desc ? attr.desc : "");
    }
    snprintf(name, sizeof name, "%s::%s", pmu->name, info.name);
    if (!masks)
        show(l, pmu->name, name, info.desc ? info.desc : "");
}

size_t events_list(const char *pmu, const char *pattern, event_fn *see, void *arg)
{
    struct listing l = {pattern, see, arg, 0};
    for (int p = 0; p < PFM_PMU_MAX; p++) {
        pfm_pmu_info_t info;
        if (!events_pmu(p, &info) || (pmu ? strcmp(pmu, info.name) != 0 : !info.is_present))
            continue;
        for (int e = info.first_event; e >= 0; e = pfm_get_event_next(e))
            list_event(&l, &info, e);
    }
    return l.count;
}

/* ---- the nearest names ----------------------------------------------------------------------- */

enum { NEAREST = 3 };

struct nearest {
    const char *name; /* in small letters, without what precedes :: */
    struct candidate {
        char name[EVENT_NAME];
        size_t distance;
    } best[NEAREST];
    size_t count;
};

static const char *without_pmu(const char *name)
{
    const char *colons = strstr(name, "::");
    return colons ? colons + 2 : name;
}

static void consider(struct nearest *n, const char *name)
{
    struct candidate c;
    char small[EVENT_NAME];
    lower(small, sizeof small, without_pmu(name));
    c.distance = edit_distance(n->name, small);
    if (!strchr(n->name, ':') && strchr(small, ':')) { /* asked for without a unit mask */
        *strchr(small, ':') = 0;
        size_t bare = edit_distance(n->name, small);
        c.distance = bare < c.distance ? bare : c.distance;
    }
    snprintf(c.name, sizeof c.name, "%s", name);
    if (c.distance > strlen(n->name) / 2 + 1) /* nothing in common */
        return;
    size_t at = n->count < NEAREST ? n->count++ : NEAREST;
    for (; at > 0 && n->best[at - 1].distance > c.distance; at--)
        if (at < NEAREST)
            n->best[at] = n->best[at - 1];
    if (at < NEAREST)
        n->best[at] = c;
}

static void consider_listed(const struct event_info *info, void *arg)
{
    consider(arg, info->name);
}

void events_nearest(const char *name, char *out, size_t size)
{
    char small[EVENT_NAME];
    struct nearest n = {.name = small};
    lower(small, sizeof small, without_pmu(name));
    for (size_t i = 0; i < DEFAULT_EVENTS; i++)
        consider(&n, default_events[i].name);
    events_list(NULL, NULL, consider_listed, &n);
    size_t used = 0;
    *out = 0;
    for (size_t i = 0; i < n.count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? ", " : "", n.best[i].name);
}

/* ---- libpfm4's own encoding ------------------------------------------------------------------ */

bool event_raw(const char *name, uint64_t values[EVENT_RAW], size_t *count, struct error *error)
{
    pfm_pmu_encode_arg_t arg = {.size = sizeof arg};
    *count = 0;
    if (!events_ready())
        return error_set(error, "libpfm4 does not start on this machine");
    pfm_err_t failure = pfm_get_os_event_encoding(name, PFM_PLM0 | PFM_PLM3, PFM_OS_NONE, &arg);
    if (failure == PFM_SUCCESS)
        for (int i = 0; i < arg.count && i < EVENT_RAW; i++)
            values[(*count)++] = arg.codes[i];
    free(arg.codes);
    return failure == PFM_SUCCESS || error_set(error, "event '%.100s': %s", name, pfm_strerror(failure));
}
