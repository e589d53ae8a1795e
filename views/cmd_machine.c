/* qtop machine: what this machine is, what bounds speed on it, and what can be counted. */
#include "batch.h"
#include "machine.h"

#include "sys/counters.h"
#include "sys/uncore.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* ---- looking --------------------------------------------------------------------------------- */

/* What can be counted here, for this thread: the default events. */
static void look_at_events(struct machine *m)
{
    static struct perf_event events[MAX_COUNTERS - 1];
    const pid_t self = gettid();
    size_t n = events_default("", events, MAX_COUNTERS - 1);
    struct counters *c = counters_open(events, n, &self, 1, &perf_system);
    for (size_t i = 0; i < n; i++) {
        struct counter_state *state = &m->counters[m->counter_count++];
        const char *reason = c ? counters_reason(c, i) : "not enough memory";
        state->name = events[i].name;
        state->summary = events[i].description;
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
        json_add(j, "line_bytes", c->line, c->line > 0 ? NULL : "not reported by the system");
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
        add_text(j, "name", t->kinds[i].name, "not reported by the system");
        json_add(j, "hardware_threads", t->kinds[i].processors, NULL);
        json_add(j, "efficiency", t->kinds[i].efficiency,
                 t->kinds[i].efficiency >= 0 ? NULL : "not reported by the system");
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
    json_add(j, key, roof->rate.max, why);
    snprintf(key, sizeof key, "least_%s", unit);
    json_add(j, key, roof->rate.min, why);
    json_add(j, "samples", (double)roof->samples, NULL);
    json_object_set_new(j, "disturbed", json_boolean(roof_was_disturbed(roof)));
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
    const char *reason = m->roofs ? NULL : m->roofs_reason.text;
    char when[32];
    if (reason) {
        json_add(j, "read_roofs", NAN, reason);
        json_add(j, "arithmetic_roofs", NAN, reason);
        return;
    }
    format_time(when, m->roofs->measured);
    json_object_set_new(j, "roofs_cached", json_boolean(m->roofs_cached));
    json_object_set_new(j, "roofs_measured", json_string(when));
    json_add(j, "roofs_seconds", m->roofs->seconds, NULL);
    json_object_set_new(j, "read_roofs", reads_json(m->roofs));
    json_object_set_new(j, "arithmetic_roofs", peaks_json(m->roofs));
    json_object_set_new(j, "roofs_disturbed", json_boolean(roofs_were_disturbed(m->roofs)));
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

static void report_json(const struct machine *m, const struct options *o)
{
    const struct topology *t = m->topology;
    json_t *j = json_object();
    json_object_set_new(j, "version", json_string(PACKAGE_VERSION));
    add_text(j, "processor", t->processor, "not reported by the system");
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
    print_record(j, o, true);
}

/* ---- the command ----------------------------------------------------------------------------- */

static void print_line(void *arg, bool strong, const char *text)
{
    (void)arg;
    (void)strong;
    char line[SHOWN_TEXT];
    puts(shown(line, text)); /* a topology of a file has names of its own */
}

/* Roofs from the cache or measured; what went wrong with the cache is noted. */
static void find_roofs(struct machine *m, struct pool *pool, bool fresh, struct roofs *roofs)
{
    struct roofs_source source;
    if (!roofs_here(pool, fresh, roofs, &source, &m->roofs_reason))
        return;
    m->roofs = roofs;
    m->roofs_cached = source.cached;
    if (source.load.text[0])
        note(source.load.text);
    if (source.save.text[0])
        note(source.save.text);
}

int run_machine(const struct options *o)
{
    struct machine m;
    struct roofs roofs;
    struct error error;
    if (o->model) {
        error_set(&error, "'%.40s': qtop machine takes no MODEL", o->model);
        return complain(&error, EXIT_USAGE);
    }
    if (!check_kernels(o, &error))
        return complain(&error, EXIT_USAGE);
    struct pool *pool = pool_create(o->threads ? (int)o->threads : topology()->threads, &error);
    if (!pool)
        return complain(&error, EXIT_FAILED);
    pool_bind_caller(pool);
    machine_look(&m, pool);
    look_at_events(&m);
    look_at_memory(&m);
    find_roofs(&m, pool, o->fresh, &roofs);
    if (o->json)
        report_json(&m, o);
    else
        machine_lines(&m, print_line, NULL);
    pool_destroy(pool);
    return EXIT_DONE;
}
