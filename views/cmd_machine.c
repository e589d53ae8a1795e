/* qtop machine: what this machine is, what bounds speed on it, and what can be counted. */
#include "batch.h"

#include "../src/engine/memory.h"
#include "../src/measure/counters.h"
#include "../src/measure/roofs_cache.h"
#include "../src/measure/topology.h"
#include "../src/measure/uncore.h"

#include "../kernels/pages.h"

#include <math.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MOST_COUNTERS = 32 };

/* An event, and why it cannot be counted here; empty where it can. */
struct counter_state {
    const char *name, *summary;
    struct error reason;
};

struct machine {
    const struct topology *topology;
    struct pool *pool;
    char binding[256];
    char huge_pages[16];
    struct error huge_pages_reason; /* where huge_pages is "" */
    struct roofs roofs;             /* threads 0: none, for roofs_reason */
    struct roofs_source source;
    struct error roofs_reason;
    struct counter_state counters[MOST_COUNTERS];
    size_t counter_count;
};

/* ---- looking --------------------------------------------------------------------------------- */

/* What can be counted here, for this thread: the usual events. */
static void look_at_events(struct machine *m)
{
    static struct perf_event usual[MOST_COUNTERS - 1];
    const pid_t self = gettid();
    size_t n = events_usual("", usual, MOST_COUNTERS - 1);
    struct counters *c = counters_open(usual, n, &self, 1, &perf_system);
    for (size_t i = 0; i < n; i++) {
        struct counter_state *state = &m->counters[m->counter_count++];
        const char *reason = c ? counters_reason(c, i) : "not enough memory";
        state->name = usual[i].name;
        state->summary = usual[i].description;
        if (reason)
            error_set(&state->reason, "%s", reason);
    }
    counters_close(c);
}

/* And what the memory controllers count, for the whole machine. */
static void look_at_memory(struct machine *m)
{
    struct counter_state *state = &m->counters[m->counter_count++];
    struct uncore *u = uncore_open("", &perf_system);
    state->name = "memory-traffic";
    state->summary = "bytes that memory controllers move, system-wide";
    if (!u || uncore_reason(u))
        error_set(&state->reason, "%s", u ? uncore_detail(u) : "not enough memory");
    uncore_close(u);
}

static bool look(struct machine *m, const struct options *o, struct error *error)
{
    *m = (struct machine){.topology = topology()};
    look_at_events(m);
    look_at_memory(m);
    m->pool = pool_create(o->threads ? (int)o->threads : m->topology->threads, error);
    if (!m->pool)
        return false;
    pool_bind_caller(m->pool);
    if (!memory_huge_pages("", m->huge_pages, &m->huge_pages_reason))
        m->huge_pages[0] = 0;
    (void)roofs_here(m->pool, o->fresh, &m->roofs, &m->source, &m->roofs_reason);
    pool_binding(m->pool, m->binding, sizeof m->binding);
    return true;
}

static const char *peak_reason(const struct isa *isa)
{
    return isa->peak_fp32 ? "the instruction set has no such dot product"
                          : "portable C promises no instruction";
}

static void format_time(char out[32], long long seconds)
{
    time_t at = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&at, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, 32, "at an unknown time");
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* A text, or null beside its reason where it is empty. */
static void add_text(json_t *object, const char *key, const char *text, const char *reason)
{
    if (*text)
        json_object_set_new(object, key, json_text(text));
    else
        json_add(object, key, NAN, reason);
}

static json_t *caches_json(const struct topology *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->cache_kinds; i++) {
        const struct cache_kind *c = &t->caches[i];
        json_t *j = json_object();
        json_add(j, "level", c->level, NULL);
        json_add(j, "bytes", (double)c->size, NULL);
        json_add(j, "line_bytes", c->line, c->line > 0 ? NULL : "the system does not say");
        json_add(j, "count", c->count, NULL);
        json_add(j, "hardware_threads", c->processors, NULL);
        json_array_append_new(list, j);
    }
    return list;
}

static json_t *core_kinds_json(const struct topology *t)
{
    json_t *list = json_array();
    for (size_t i = 0; i < t->core_kinds; i++) {
        json_t *j = json_object();
        add_text(j, "name", t->kinds[i].name, "the system does not say");
        json_add(j, "hardware_threads", t->kinds[i].processors, NULL);
        json_add(j, "efficiency", t->kinds[i].efficiency,
                 t->kinds[i].efficiency >= 0 ? NULL : "the system does not say");
        json_array_append_new(list, j);
    }
    return list;
}

static json_t *places_json(const struct machine *m)
{
    json_t *list = json_array();
    for (int i = 0; i < pool_threads(m->pool); i++) {
        struct place p = topology_place(i, pool_threads(m->pool));
        json_t *j = json_object();
        json_add(j, "thread", i, NULL);
        json_add(j, "node", p.node, NULL);
        json_add(j, "core", p.core, p.core >= 0 ? NULL : "any core of the node");
        json_add(j, "hardware_thread", p.processor, p.processor >= 0 ? NULL : "any of the core or node");
        json_array_append_new(list, j);
    }
    return list;
}

static json_t *sets_json(void)
{
    json_t *list = json_array();
    for (size_t i = 0; isa_at(i); i++) {
        json_t *j = json_object();
        json_object_set_new(j, "name", json_string(isa_at(i)->name));
        json_object_set_new(j, "description", json_string(isa_at(i)->description));
        json_object_set_new(j, "available", json_boolean(isa_at(i)->available()));
        json_object_set_new(j, "in_use", json_boolean(isa_at(i) == isa_current()));
        json_array_append_new(list, j);
    }
    return list;
}

/* The figures of a roof, called after its unit: "bytes_per_second". */
static void add_roof(json_t *j, const char *unit, const struct roof *roof, const char *reason)
{
    char key[64];
    const char *why = roof->samples > 0 ? NULL : reason;
    json_add(j, unit, roof->rate.median, why);
    snprintf(key, sizeof key, "best_%s", unit);
    json_add(j, key, roof->rate.most, why);
    snprintf(key, sizeof key, "least_%s", unit);
    json_add(j, key, roof->rate.least, why);
    json_add(j, "samples", (double)roof->samples, NULL);
}

static json_t *reads_json(const struct roofs *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->read_count; i++) {
        json_t *j = json_object();
        json_add(j, "threads", r->reads[i].threads, NULL);
        json_add(j, "buffer_bytes", (double)r->reads[i].buffer, NULL);
        add_roof(j, "bytes_per_second", &r->reads[i].roof, r->reads[i].reason.text);
        json_array_append_new(list, j);
    }
    return list;
}

static json_t *peaks_json(const struct roofs *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->set_count * PEAK_COUNT; i++) {
        const struct peak_roof *set = &r->sets[i / PEAK_COUNT];
        json_t *j = json_object();
        json_object_set_new(j, "isa", json_string(set->isa->name));
        json_object_set_new(j, "datatype", json_string(peaks[i % PEAK_COUNT].name));
        json_object_set_new(j, "in_use", json_boolean(set->isa == isa_current()));
        json_add(j, "threads", r->threads, NULL);
        add_roof(j, "macs_per_second", &set->of[i % PEAK_COUNT], peak_reason(set->isa));
        json_array_append_new(list, j);
    }
    return list;
}

static void add_roofs(json_t *j, const struct machine *m)
{
    const char *reason = m->roofs.threads ? NULL : m->roofs_reason.text;
    char when[32];
    if (reason) {
        json_add(j, "read_roofs", NAN, reason);
        json_add(j, "arithmetic_roofs", NAN, reason);
        return;
    }
    format_time(when, m->roofs.measured);
    json_object_set_new(j, "roofs_cached", json_boolean(m->source.cached));
    json_object_set_new(j, "roofs_measured", json_string(when));
    json_add(j, "roofs_seconds", m->roofs.seconds, NULL);
    json_object_set_new(j, "read_roofs", reads_json(&m->roofs));
    json_object_set_new(j, "arithmetic_roofs", peaks_json(&m->roofs));
}

static json_t *counters_json(const struct machine *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->counter_count; i++) {
        const struct counter_state *state = &m->counters[i];
        json_t *j = json_object();
        json_object_set_new(j, "name", json_string(state->name));
        json_object_set_new(j, "description", json_string(state->summary));
        json_object_set_new(j, "available", json_boolean(!*state->reason.text));
        if (*state->reason.text)
            json_object_set_new(j, "reason", json_text(state->reason.text));
        json_array_append_new(list, j);
    }
    return list;
}

static void report_json(const struct machine *m)
{
    const struct topology *t = m->topology;
    json_t *j = json_object();
    json_object_set_new(j, "version", json_string(PACKAGE_VERSION));
    add_text(j, "processor", t->processor, "the system does not say");
    json_object_set_new(j, "simulated", json_boolean(topology_simulated()));
    json_add(j, "packages", t->packages, NULL);
    json_add(j, "numa_nodes", t->nodes, NULL);
    json_add(j, "cores", t->cores, NULL);
    json_add(j, "hardware_threads", t->processors, NULL);
    json_add(j, "hardware_threads_present", t->present, NULL);
    json_object_set_new(j, "core_kinds", core_kinds_json(t));
    json_object_set_new(j, "caches", caches_json(t));
    json_add(j, "cpu_quota", t->quota, t->quota > 0 ? NULL : "no limit");
    json_add(j, "threads", pool_threads(m->pool), NULL);
    json_object_set_new(j, "binding", json_text(m->binding));
    if (t->unbound[0])
        json_add(j, "places", NAN, t->unbound);
    else
        json_object_set_new(j, "places", places_json(m));
    add_text(j, "huge_pages", m->huge_pages, m->huge_pages_reason.text);
    json_object_set_new(j, "isa", json_string(isa_current()->name));
    json_object_set_new(j, "instruction_sets", sets_json());
    add_roofs(j, m);
    json_object_set_new(j, "counters", counters_json(m));
    print_json(j);
}

/* ---- text ------------------------------------------------------------------------------------ */

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

/* Sizes of caches are powers of two. */
static const char *cache_size(char out[24], size_t bytes)
{
    if (bytes >= 1 << 20 && bytes % (1 << 18) == 0)
        snprintf(out, 24, "%.4g MiB", (double)bytes / (1 << 20));
    else
        snprintf(out, 24, "%.4g KiB", (double)bytes / (1 << 10));
    return out;
}

static void print_topology(const struct topology *t)
{
    char size[24];
    printf("processor  %s\n", t->processor[0] ? t->processor : "n/a: the system does not say");
    if (topology_simulated())
        printf("           simulated: what is said of packages, nodes, cores and caches is not this "
               "machine's\n");
    printf("may use    %d package%s, %d NUMA node%s, %d core%s, %d of %d hardware threads\n", t->packages,
           plural(t->packages), t->nodes, plural(t->nodes), t->cores, plural(t->cores), t->processors,
           t->present);
    for (size_t i = 0; i < t->core_kinds; i++)
        printf("           kind %zu%s%s: %d hardware thread%s\n", i, t->kinds[i].name[0] ? " " : "",
               t->kinds[i].name, t->kinds[i].processors, plural(t->kinds[i].processors));
    printf("caches    ");
    for (size_t i = 0; i < t->cache_kinds; i++)
        printf("%s L%d %d x %s", i ? "," : "", t->caches[i].level, t->caches[i].count,
               cache_size(size, t->caches[i].size));
    puts(t->cache_kinds ? "" : " n/a: the system does not say");
}

/* Neighbours at the same place share a line. */
static void print_places(const struct machine *m)
{
    int threads = pool_threads(m->pool);
    for (int first = 0, next; first < threads; first = next) {
        struct place p = topology_place(first, threads);
        for (next = first + 1; next < threads; next++) {
            struct place q = topology_place(next, threads);
            if (q.node != p.node || q.core != p.core || q.processor != p.processor)
                break;
        }
        printf("           thread %d", first);
        if (next - first > 1)
            printf(" to %d", next - 1);
        printf(": node %d", p.node);
        if (p.core >= 0)
            printf(", core %d", p.core);
        if (p.processor >= 0)
            printf(", hardware thread %d", p.processor);
        putchar('\n');
    }
}

static void print_running(const struct machine *m)
{
    const struct topology *t = m->topology;
    if (t->quota > 0)
        printf("quota      %.4g processors' worth of time\n", t->quota);
    else
        printf("quota      no limit of processor time\n");
    printf("threads    %d; %s\n", pool_threads(m->pool), m->binding);
    if (!t->unbound[0])
        print_places(m);
    if (m->huge_pages[0])
        printf("huge pages %s, %d MiB\n", m->huge_pages, PAGES_HUGE >> 20);
    else
        printf("huge pages n/a: %s\n", m->huge_pages_reason.text);
    printf("kernels   ");
    for (size_t i = 0; isa_at(i); i++)
        printf("%s %s%s", i ? "," : "", isa_at(i)->name,
               isa_at(i) == isa_current()  ? " (in use)"
               : isa_at(i)->available() ? " (available)" : " (not on this machine)");
    putchar('\n');
}

static void print_roof(const struct roof *roof, const char *reason)
{
    if (roof->samples > 0)
        printf("%9.2f %9.2f %9.2f %8zu\n", roof->rate.median / 1e9, roof->rate.most / 1e9,
               roof->rate.least / 1e9, roof->samples);
    else
        printf("n/a: %s\n", reason);
}

static void print_roofs(const struct machine *m)
{
    const struct roofs *r = &m->roofs;
    char when[32];
    if (r->threads == 0) {
        printf("roofs      n/a: %s\n", m->roofs_reason.text);
        return;
    }
    format_time(when, r->measured);
    printf("roofs      measured %s in %.1f s%s\n", when, r->seconds,
           m->source.cached ? " and kept since (--fresh measures again)" : "");
    printf("           %-16s %9s %9s %9s %8s\n", "READ GB/s", "MEDIAN", "BEST", "LEAST", "SAMPLES");
    for (size_t i = 0; i < r->read_count; i++) {
        printf("           %3d thread%-6s ", r->reads[i].threads, plural(r->reads[i].threads));
        print_roof(&r->reads[i].roof, r->reads[i].reason.text);
    }
    printf("           %-16s %9s %9s %9s %8s\n", "GMAC/s", "MEDIAN", "BEST", "LEAST", "SAMPLES");
    for (size_t i = 0; i < r->set_count * PEAK_COUNT; i++) {
        const struct peak_roof *set = &r->sets[i / PEAK_COUNT];
        printf("           %-8s %-6s%c ", set->isa->name, peaks[i % PEAK_COUNT].name,
               set->isa == isa_current() ? '*' : ' ');
        print_roof(&set->of[i % PEAK_COUNT], peak_reason(set->isa));
    }
    printf("           * in use; arithmetic on %d thread%s\n", r->threads, plural(r->threads));
}

static void report_text(const struct machine *m)
{
    print_topology(m->topology);
    print_running(m);
    print_roofs(m);
    for (size_t i = 0; i < m->counter_count; i++) {
        const struct counter_state *state = &m->counters[i];
        printf("%-10s %-20s %s%s\n", i ? "" : "counters", state->name,
               *state->reason.text ? "n/a: " : state->summary, state->reason.text);
    }
}

int run_machine(const struct options *o)
{
    struct machine m;
    struct error error;
    if (o->model) {
        error_set(&error, "'%.40s': qtop machine takes no MODEL", o->model);
        return complain(&error, EXIT_USAGE);
    }
    if (!check_kernels(o, &error))
        return complain(&error, EXIT_USAGE);
    if (!look(&m, o, &error))
        return complain(&error, EXIT_FAILED);
    if (m.source.load.text[0])
        note(m.source.load.text);
    if (m.source.save.text[0])
        note(m.source.save.text);
    (o->json ? report_json : report_text)(&m);
    pool_destroy(m.pool);
    return EXIT_DONE;
}
