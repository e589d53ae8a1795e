#include "uncore.h"

#include "events_internal.h"
#include "resctrl.h"
#include "sysfs.h"

#include <errno.h>
#include <perfmon/pfmlib_perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 8, MAX_CPUS = 1024, TRAFFICS = TRAFFIC_ALL + 1 };

/* The width of a transfer that controllers count, where the kernel states no scale. */
static const double LINE_BYTES = 64;
static const char no_memory[] = "not enough memory";

struct descriptor {
    int fd;
    enum traffic traffic; /* TRAFFIC_ALL: reads and writes in one count */
    double bytes;         /* a count */
};

struct uncore {
    const char *root;
    const struct perf_calls *calls;
    struct descriptor *descriptors;
    size_t count;
    bool resctrl;       /* instead of descriptors */
    const char *reason; /* static text; null where something counts */
    struct error why;   /* the same as a whole line */
    char label[192];
};

struct uncore_counts {
    struct metric resctrl;
    size_t count;
    struct uncore_reading {
        struct perf_reading reading;
        int failure; /* errno, 0 none */
    } readings[];
};

/* ---- the controllers that are known ---------------------------------------------------------- */

struct channel {
    const char *event;    /* name of its file in events/ */
    enum traffic traffic;
    const char *terms;    /* "event=0x4,umask=0x3", for kernels without that file; or null */
};

struct family {
    const char *device;   /* its name in sysfs, or what comes before the number */
    bool numbered;        /* a number follows */
    const char *event_format; /* what format/event must say for the terms to be valid; null: anything */
    struct channel channels[CHANNELS];
};

#define DF_CHANNEL(n, event)                                                                       \
    {"dram_channel_data_controller_" #n, TRAFFIC_ALL, "event=" #event ",umask=0x38"}

static const struct family families[] = {
    /* Intel's servers, then what counts there without being programmed, then its clients. */
    {"uncore_imc_", true, NULL,
     {{"cas_count_read", TRAFFIC_READ, NULL}, {"cas_count_write", TRAFFIC_WRITE, NULL}}},
    {"uncore_imc_free_running_", true, NULL,
     {{"data_read", TRAFFIC_READ, NULL}, {"data_write", TRAFFIC_WRITE, NULL}}},
    {"uncore_imc_free_running_", true, NULL,
     {{"read", TRAFFIC_READ, NULL}, {"write", TRAFFIC_WRITE, NULL}}},
    {"uncore_imc", false, NULL,
     {{"data_reads", TRAFFIC_READ, NULL}, {"data_writes", TRAFFIC_WRITE, NULL}}},
    {"amd_umc_", true, NULL,
     {{"umc_cas_cmd.rd", TRAFFIC_READ, "event=0x0a,rdwrmask=0x1"},
      {"umc_cas_cmd.wr", TRAFFIC_WRITE, "event=0x0a,rdwrmask=0x2"}}},
    /* Zen to Zen 3. Later ones have other events under these numbers, and a wider field for them. */
    {"amd_df", false, "config:0-7,32-35,59-60",
     {DF_CHANNEL(0, 0x07), DF_CHANNEL(1, 0x47), DF_CHANNEL(2, 0x87), DF_CHANNEL(3, 0xc7),
      DF_CHANNEL(4, 0x107), DF_CHANNEL(5, 0x147), DF_CHANNEL(6, 0x187), DF_CHANNEL(7, 0x1c7)}},
    {"arm_cmn_", true, NULL, {{"hnf_mc_reqs", TRAFFIC_ALL, NULL}}},
};

static bool is_of_family(const struct family *f, const char *name)
{
    size_t length = strlen(f->device);
    if (strncmp(name, f->device, length) != 0)
        return false;
    const char *rest = name + length;
    return f->numbered ? *rest && rest[strspn(rest, "0123456789")] == 0 : *rest == 0;
}

/* ---- opening --------------------------------------------------------------------------------- */

/* The first reason and its whole line stay: later sources only know less. */
static bool fail(struct uncore *u, const char *reason, const struct error *why)
{
    if (u->reason)
        return false;
    u->reason = reason;
    u->why = *why;
    return false;
}

static void close_all(struct uncore *u)
{
    for (size_t i = 0; i < u->count; i++)
        u->calls->close(u->descriptors[i].fd);
    free(u->descriptors);
    u->descriptors = NULL;
    u->count = 0;
}

static bool open_one(struct uncore *u, const char *folder, struct perf_event_attr *attr, int cpu,
                     enum traffic traffic, double bytes)
{
    bool user_only = false;
    struct error error;
    struct descriptor *more = realloc(u->descriptors, (u->count + 1) * sizeof *more);
    if (!more)
        return error_set(&error, "%s", no_memory), fail(u, no_memory, &error);
    u->descriptors = more;
    int fd = perf_open(u->calls, attr, -1, cpu, -1, &user_only);
    if (fd < 0) {
        const char *reason = perf_reason(errno, PERF_SYSTEM_WIDE);
        error_set(&error, "%s on CPU %d: %s", folder, cpu, reason);
        return fail(u, reason, &error);
    }
    u->descriptors[u->count++] = (struct descriptor){fd, traffic, bytes};
    return true;
}

/* On every CPU of the PMU's cpumask: one a socket, usually. */
static bool open_on_cpus(struct uncore *u, const char *folder, struct perf_event_attr *attr,
                         enum traffic traffic, double bytes)
{
    char list[SYSFS_TEXT];
    int cpus[MAX_CPUS];
    size_t count;
    struct error error;
    if (!sysfs_text(folder, "cpumask", list, sizeof list) ||
        !sysfs_cpus(list, cpus, MAX_CPUS, &count)) {
        error_set(&error, "%s/cpumask: missing or malformed; expected CPUs like 0,28", folder);
        return fail(u, "a memory controller's cpumask in sysfs is missing or malformed", &error);
    }
    attr->read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    for (size_t i = 0; i < count; i++)
        if (!open_one(u, folder, attr, cpus[i], traffic, bytes))
            return false;
    return true;
}

/* ---- the first source: sysfs ----------------------------------------------------------------- */

struct search {
    struct uncore *uncore;
    const struct family *family;
    bool failed;
};

/* The event's terms: the kernel's own, else the table's. False where the PMU has no such event. */
static bool find_terms(const char *folder, const struct channel *c, char *out, size_t size)
{
    char path[SYSFS_TEXT];
    snprintf(path, sizeof path, "events/%s", c->event);
    if (sysfs_text(folder, path, out, size))
        return true;
    if (!c->terms)
        return false;
    snprintf(out, size, "%s", c->terms);
    return true;
}

static bool open_channel(struct uncore *u, const char *folder, const struct channel *c,
                         const char *terms)
{
    struct perf_event_attr attr = {0};
    uint64_t config[SYSFS_CONFIGS];
    double bytes;
    struct error error;
    if (!sysfs_type(folder, &attr.type)) {
        error_set(&error, "%s/type: missing or no number", folder);
        return fail(u, "a memory controller's type in sysfs is missing or malformed", &error);
    }
    if (!sysfs_encode(folder, terms, config, &error))
        return fail(u, "a memory controller's event in sysfs is malformed", &error);
    if (!sysfs_bytes(folder, c->event, &bytes, &error))
        return fail(u, "a memory controller's scale or unit in sysfs is malformed", &error);
    attr.config = config[0];
    attr.config1 = config[1];
    attr.config2 = config[2];
    return open_on_cpus(u, folder, &attr, c->traffic, bytes > 0 ? bytes : LINE_BYTES);
}

/* A controller with only some of the events would make the sum too small. */
static bool has_channels(const char *folder, const struct family *f)
{
    char terms[SYSFS_TEXT];
    for (size_t i = 0; i < CHANNELS && f->channels[i].event; i++)
        if (!find_terms(folder, &f->channels[i], terms, sizeof terms))
            return false;
    return true;
}

static void see_device(const char *folder, void *arg)
{
    struct search *s = arg;
    char terms[SYSFS_TEXT], format[SYSFS_TEXT];
    const struct family *f = s->family;
    if (s->failed || !is_of_family(f, strrchr(folder, '/') + 1))
        return;
    if (f->event_format && (!sysfs_text(folder, "format/event", format, sizeof format) ||
                            strcmp(format, f->event_format) != 0))
        return;
    if (!has_channels(folder, f))
        return;
    for (size_t i = 0; i < CHANNELS && f->channels[i].event && !s->failed; i++) {
        find_terms(folder, &f->channels[i], terms, sizeof terms);
        s->failed = !open_channel(s->uncore, folder, &f->channels[i], terms);
    }
}

static void label_family(struct uncore *u, const struct family *f)
{
    int length = (int)strlen(f->device) - (f->device[strlen(f->device) - 1] == '_');
    const struct channel *c = f->channels;
    bool many = c[1].event && c[2].event;
    snprintf(u->label, sizeof u->label, "memory controllers (%.*s: %s%s%s), system-wide", length,
             f->device, c[0].event, c[1].event ? many ? "..." : ", " : "",
             c[1].event && !many ? c[1].event : "");
}

/* All or nothing: a controller that is left out would make the sum too small. */
static bool from_sysfs(struct uncore *u)
{
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        struct search s = {u, &families[i], false};
        sysfs_devices(u->root, see_device, &s);
        if (u->count > 0 && !s.failed) {
            label_family(u, &families[i]);
            return true;
        }
        close_all(u);
    }
    return false;
}

/* ---- the second: libpfm4 --------------------------------------------------------------------- */

struct of_type {
    uint32_t type;
    char folder[SYSFS_TEXT];
};

static void see_type(const char *folder, void *arg)
{
    struct of_type *o = arg;
    uint32_t type;
    if (sysfs_type(folder, &type) && type == o->type)
        snprintf(o->folder, sizeof o->folder, "%s", folder);
}

static bool open_pfm(struct uncore *u, const char *pmu, const char *mask, enum traffic traffic)
{
    char name[128];
    struct perf_event_attr attr = {.size = sizeof attr};
    pfm_perf_encode_arg_t arg = {.attr = &attr, .size = sizeof arg};
    snprintf(name, sizeof name, "%s::UNC_M_CAS_COUNT:%s", pmu, mask);
    if (pfm_get_os_event_encoding(name, PFM_PLM0 | PFM_PLM3, PFM_OS_PERF_EVENT, &arg) != PFM_SUCCESS)
        return false;
    struct of_type o = {.type = attr.type};
    sysfs_devices(u->root, see_type, &o);
    return *o.folder && open_on_cpus(u, o.folder, &attr, traffic, LINE_BYTES);
}

static bool from_libpfm(struct uncore *u)
{
    bool ok = true;
    for (int p = 0; p < PFM_PMU_MAX && *u->root == 0 && ok; p++) {
        pfm_pmu_info_t info;
        if (events_pmu(p, &info) && info.is_present && info.type == PFM_PMU_TYPE_UNCORE &&
            strstr(info.name, "_imc"))
            ok = open_pfm(u, info.name, "RD", TRAFFIC_READ) &&
                 open_pfm(u, info.name, "WR", TRAFFIC_WRITE);
    }
    if (ok && u->count > 0) {
        snprintf(u->label, sizeof u->label,
                 "memory controllers (libpfm4: UNC_M_CAS_COUNT:RD, UNC_M_CAS_COUNT:WR), system-wide");
        return true;
    }
    close_all(u);
    return false;
}

/* ---- the third: resctrl ---------------------------------------------------------------------- */

static bool from_resctrl(struct uncore *u)
{
    u->resctrl = resctrl_present(u->root);
    if (u->resctrl)
        snprintf(u->label, sizeof u->label, "resctrl (mbm_total_bytes), system-wide");
    return u->resctrl;
}

/* ---- opening and closing --------------------------------------------------------------------- */

struct uncore *uncore_open(const char *root, const struct perf_calls *calls)
{
    static const char none[] = "no memory controllers or resctrl in sysfs: a virtual machine?";
    static bool (*const sources[])(struct uncore *u) = {from_sysfs, from_libpfm, from_resctrl};
    struct uncore *u = calloc(1, sizeof *u);
    if (!u)
        return NULL;
    u->root = root;
    u->calls = calls;
    bool counts = false;
    for (size_t i = 0; i < sizeof sources / sizeof *sources && !counts; i++)
        counts = sources[i](u);
    struct error error = {""};
    if (!counts)
        error_set(&error, "%s", none), fail(u, none, &error);
    else
        u->reason = NULL, u->why = error;
    return u;
}

void uncore_close(struct uncore *u)
{
    if (u)
        close_all(u);
    free(u);
}

const char *uncore_reason(const struct uncore *u)
{
    return u ? u->reason : no_memory;
}

const char *uncore_detail(const struct uncore *u)
{
    return u ? u->why.text : no_memory;
}

const char *uncore_label(const struct uncore *u)
{
    return u ? u->label : "";
}

size_t uncore_descriptors(const struct uncore *u)
{
    return u ? u->count : 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct uncore_counts *uncore_counts_new(const struct uncore *u)
{
    size_t n = uncore_descriptors(u);
    struct uncore_counts *c = calloc(1, sizeof *c + n * sizeof *c->readings);
    if (!c)
        return NULL;
    c->count = n;
    c->resctrl = metric_absent("not read yet");
    for (size_t i = 0; i < n; i++)
        c->readings[i].failure = EAGAIN;
    return c;
}

void uncore_read(const struct uncore *u, struct uncore_counts *out)
{
    if (u && u->resctrl)
        out->resctrl = resctrl_bytes(u->root);
    for (size_t i = 0; i < out->count; i++) {
        struct uncore_reading *s = &out->readings[i];
        ssize_t got = u->calls->read(u->descriptors[i].fd, &s->reading, sizeof s->reading);
        s->failure = got == (ssize_t)sizeof s->reading ? 0 : got < 0 ? errno : EIO;
    }
}

static struct metric resctrl_difference(struct metric before, struct metric after)
{
    if (!before.valid || !after.valid)
        return before.valid ? after : before;
    return after.value < before.value ? metric_absent("the counter went backwards")
                                      : metric_value(after.value - before.value);
}

/* Adds what each descriptor counted. Null, or why there is no sum. */
static const char *add_up(const struct uncore *u, const struct uncore_counts *before,
                          const struct uncore_counts *after, double sum[TRAFFICS], bool known[TRAFFICS])
{
    for (size_t i = 0; i < u->count; i++) {
        const struct uncore_reading *a = &before->readings[i], *b = &after->readings[i];
        if (a->failure || b->failure)
            return perf_reason(a->failure ? a->failure : b->failure, PERF_SYSTEM_WIDE);
        struct metric m = perf_scale(perf_difference(a->reading, b->reading));
        if (!m.valid)
            return m.reason;
        sum[u->descriptors[i].traffic] += m.value * u->descriptors[i].bytes;
        known[u->descriptors[i].traffic] = true;
    }
    return NULL;
}

struct metric uncore_bytes(const struct uncore *u, const struct uncore_counts *before,
                           const struct uncore_counts *after, enum traffic traffic)
{
    double sum[TRAFFICS] = {0};
    bool known[TRAFFICS] = {false};
    const char *reason = uncore_reason(u);
    if (reason || !before || !after)
        return metric_absent(reason ? reason : no_memory);
    if (u->resctrl && traffic != TRAFFIC_ALL)
        return metric_absent("resctrl counts reads and writes together");
    if (u->resctrl)
        return resctrl_difference(before->resctrl, after->resctrl);
    reason = add_up(u, before, after, sum, known);
    if (reason)
        return metric_absent(reason);
    if (traffic == TRAFFIC_ALL)
        return metric_value(sum[TRAFFIC_READ] + sum[TRAFFIC_WRITE] + sum[TRAFFIC_ALL]);
    return known[traffic] ? metric_value(sum[traffic])
                          : metric_absent("these controllers count reads and writes together");
}
