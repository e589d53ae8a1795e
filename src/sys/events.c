#include "events.h"

#include "events_internal.h"
#include "sysfs.h"

#include <dirent.h>
#include <perfmon/pfmlib_perf_event.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- hybrid CPUs ----------------------------------------------------------------------------- */

struct core_pmus {
    size_t count;
    uint32_t type[EVENT_CODES];
};

/* On a CPU with several kinds of cores, each kind has a PMU of its own, with the list of its CPUs. */
static void see_device(const char *folder, void *arg)
{
    struct core_pmus *pmus = arg;
    char text[SYSFS_TEXT];
    uint32_t type;
    if (!sysfs_text(folder, "cpus", text, sizeof text) || !sysfs_type(folder, &type))
        return;
    if (pmus->count < EVENT_CODES)
        pmus->type[pmus->count++] = type;
}

/* ---- encoding -------------------------------------------------------------------------------- */

static pfm_err_t encode(const char *spelling, struct event_code *code)
{
    struct perf_event_attr attr = {.size = sizeof attr};
    pfm_perf_encode_arg_t arg = {.attr = &attr, .size = sizeof arg};
    if (!events_ready())
        return PFM_ERR_NOINIT;
    pfm_err_t failure =
        pfm_get_os_event_encoding(spelling, PFM_PLM0 | PFM_PLM3, PFM_OS_PERF_EVENT, &arg);
    *code = (struct event_code){.type = attr.type, .config = attr.config, .config1 = attr.config1,
                                .config2 = attr.config2, .exclude_user = attr.exclude_user,
                                .exclude_kernel = attr.exclude_kernel, .pmu = attr.type};
    return failure;
}

static bool append(struct perf_event *e, struct event_code code)
{
    if (e->codes == EVENT_CODES)
        return false;
    e->code[e->codes++] = code;
    return true;
}

/* The generic events are one code a PMU on a hybrid CPU (Linux 5.13), else of the one PMU. */
static bool add(struct perf_event *e, const struct core_pmus *pmus, struct event_code code)
{
    bool generic = code.type == PERF_TYPE_HARDWARE || code.type == PERF_TYPE_HW_CACHE;
    if (generic && pmus->count > 1) {
        for (size_t i = 0; i < pmus->count; i++) {
            struct event_code one = code;
            one.config |= (uint64_t)pmus->type[i] << 32;
            one.pmu = pmus->type[i];
            if (!append(e, one))
                return false;
        }
        return true;
    }
    if (generic)
        code.pmu = PERF_TYPE_RAW;
    return append(e, code);
}

/* Where the spelling names no PMU: the same event in each core PMU, else wherever libpfm4 has it. */
static pfm_err_t add_spelling(struct perf_event *e, const struct core_pmus *pmus, const char *spelling,
                              unsigned part)
{
    char name[2 * EVENT_NAME];
    struct event_code code;
    size_t before = e->codes;
    for (int p = 0; p < PFM_PMU_MAX && !strstr(spelling, "::"); p++) {
        pfm_pmu_info_t info;
        if (!events_pmu(p, &info) || !info.is_present || info.type != PFM_PMU_TYPE_CORE)
            continue;
        snprintf(name, sizeof name, "%s::%s", info.name, spelling);
        if (encode(name, &code) == PFM_SUCCESS) {
            code.part = part;
            if (!add(e, pmus, code))
                return PFM_ERR_TOOMANY;
        }
    }
    if (e->codes > before)
        return PFM_SUCCESS;
    pfm_err_t failure = encode(spelling, &code);
    code.part = part;
    if (failure == PFM_SUCCESS && !add(e, pmus, code))
        return PFM_ERR_TOOMANY;
    return failure;
}

/* What the code says of the event. */
static void classify(struct perf_event *e)
{
    const struct event_code *c = e->code;
    e->software = e->codes > 0 && c->type == PERF_TYPE_SOFTWARE;
    e->in_kernel = e->software && (c->config == PERF_COUNT_SW_CONTEXT_SWITCHES ||
                                   c->config == PERF_COUNT_SW_CPU_MIGRATIONS ||
                                   c->config == PERF_COUNT_SW_CGROUP_SWITCHES);
}

/* ---- finding --------------------------------------------------------------------------------- */

static struct perf_event make_default(const struct default_event *d, const struct core_pmus *pmus)
{
    struct perf_event e = {.description = d->description, .absent = d->absent};
    snprintf(e.name, sizeof e.name, "%s", d->name);
    for (size_t s = 0; s < EVENT_SPELLINGS && d->spelling[s].part[0] && e.absent; s++) {
        pfm_err_t failure = PFM_SUCCESS;
        e.codes = 0;
        for (unsigned p = 0; p < EVENT_PARTS && d->spelling[s].part[p] && failure == PFM_SUCCESS; p++)
            failure = add_spelling(&e, pmus, d->spelling[s].part[p], p);
        if (failure == PFM_SUCCESS)
            e.absent = NULL;
    }
    if (e.absent)
        e.codes = 0;
    classify(&e);
    return e;
}

size_t events_default(const char *root, struct perf_event *out, size_t max)
{
    struct core_pmus pmus = {0};
    sysfs_devices(root, see_device, &pmus);
    for (size_t i = 0; i < DEFAULT_EVENTS && i < max; i++)
        out[i] = make_default(&default_events[i], &pmus);
    return DEFAULT_EVENTS;
}

static bool not_found(const char *name, pfm_err_t failure, struct error *error)
{
    char nearest[320];
    events_nearest(name, nearest, sizeof nearest);
    return error_set(error, "event '%.100s': %s%s%s", name, pfm_strerror(failure),
                     *nearest ? "; the nearest names are " : "", nearest);
}

bool event_find(const char *root, const char *name, struct perf_event *out, struct error *error)
{
    struct core_pmus pmus = {0};
    sysfs_devices(root, see_device, &pmus);
    *out = (struct perf_event){.description = ""};
    if (strlen(name) >= EVENT_NAME || !*name)
        return error_set(error, "event '%.60s': a name of 1 to %d characters is expected", name,
                         EVENT_NAME - 1);
    for (size_t i = 0; i < DEFAULT_EVENTS; i++) {
        if (strcasecmp(name, default_events[i].name) != 0)
            continue;
        *out = make_default(&default_events[i], &pmus);
        return !out->absent || error_set(error, "event '%s': %s", name, out->absent);
    }
    snprintf(out->name, sizeof out->name, "%s", name);
    pfm_err_t failure = add_spelling(out, &pmus, name, 0);
    classify(out);
    return failure == PFM_SUCCESS || not_found(name, failure, error);
}
