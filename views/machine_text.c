/* The description of this machine as lines of text. */
#include "machine.h"

#include "sys/memory.h"

#include "base/pages.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BAR = 24 };

/* A line being written, and where it goes. */
struct out {
    char text[512];
    size_t used;
    machine_line_fn *line;
    void *arg;
};

static void add(struct out *o, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct out *o, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(o->text + o->used, sizeof o->text - o->used, format, args);
    va_end(args);
    if (n > 0)
        o->used = o->used + (size_t)n < sizeof o->text ? o->used + (size_t)n : sizeof o->text - 1;
}

static void end(struct out *o, bool strong)
{
    o->line(o->arg, strong, o->text);
    o->used = 0;
    o->text[0] = 0;
}

void machine_look(struct machine *m, struct pool *pool)
{
    *m = (struct machine){.topology = topology(), .pool = pool};
    if (!memory_huge_pages("", m->huge_pages, &m->huge_pages_reason))
        m->huge_pages[0] = 0;
    pool_binding(pool, m->binding, sizeof m->binding);
}

const char *peak_reason(const struct isa *isa)
{
    return isa->peak_fp32 ? "no such dot product in this instruction set"
                          : "not measured for portable C";
}

void format_time(char out[32], long long seconds)
{
    time_t at = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&at, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(out, 32, "at an unknown time");
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

/* ---- what it is ------------------------------------------------------------------------------ */

/* Sizes of caches are powers of two. */
static const char *cache_size(char out[24], size_t bytes)
{
    if (bytes >= 1 << 20 && bytes % (1 << 18) == 0)
        snprintf(out, 24, "%.4g MiB", (double)bytes / (1 << 20));
    else
        snprintf(out, 24, "%.4g KiB", (double)bytes / (1 << 10));
    return out;
}

static void say_topology(struct out *o, const struct topology *t)
{
    char size[24];
    add(o, "processor  %s", t->processor[0] ? t->processor : "n/a: not reported by the system");
    end(o, false);
    if (topology_simulated()) {
        add(o, "           simulated: packages, nodes, cores and caches are not this machine's");
        end(o, false);
    }
    add(o, "usable     %d package%s, %d NUMA node%s, %d core%s, %d of %d hardware threads", t->packages,
        plural(t->packages), t->nodes, plural(t->nodes), t->cores, plural(t->cores), t->processors, t->present);
    end(o, false);
    for (size_t i = 0; i < t->core_kinds; i++) {
        add(o, "           kind %zu%s%s: %d hardware thread%s", i, t->kinds[i].name[0] ? " " : "",
            t->kinds[i].name, t->kinds[i].processors, plural(t->kinds[i].processors));
        end(o, false);
    }
    add(o, "caches    ");
    for (size_t i = 0; i < t->cache_kinds; i++)
        add(o, "%s L%d %d x %s", i ? "," : "", t->caches[i].level, t->caches[i].count,
            cache_size(size, t->caches[i].size));
    add(o, "%s", t->cache_kinds ? "" : " n/a: not reported by the system");
    end(o, false);
}

static void say_running(struct out *o, const struct machine *m)
{
    const struct topology *t = m->topology;
    if (t->quota > 0)
        add(o, "quota      %.4g processors' worth of time", t->quota);
    else
        add(o, "quota      no limit on processor time");
    end(o, false);
    add(o, "threads    %d; %s", pool_threads(m->pool), m->binding);
    end(o, false);
    if (m->huge_pages[0])
        add(o, "huge pages %s, %d MiB", m->huge_pages, PAGES_HUGE >> 20);
    else
        add(o, "huge pages n/a: %s", m->huge_pages_reason.text);
    end(o, false);
    add(o, "kernels   ");
    for (size_t i = 0; isa_at(i); i++)
        add(o, "%s %s%s", i ? "," : "", isa_at(i)->name,
            isa_at(i) == isa_current() ? " (in use)"
            : isa_at(i)->available()   ? " (available)"
                                       : " (not on this machine)");
    end(o, false);
}

/* ---- the tree, with the threads at their places ---------------------------------------------- */

static bool is_at(const struct topology_line *line, struct place p)
{
    return p.core >= 0 ? line->core == p.core : line->node >= 0 && line->node == p.node;
}

/* "<- thread 3", "<- threads 0 to 15, 32": runs of neighbours. */
static void add_threads(struct out *o, const struct topology_line *line, int threads)
{
    int shown = 0;
    for (int first = 0, next; first < threads; first = next) {
        next = first + 1;
        if (!is_at(line, topology_place(first, threads)))
            continue;
        while (next < threads && is_at(line, topology_place(next, threads)))
            next++;
        add(o, "%s%d", shown++ ? ", " : "  <- thread ", first);
        if (next - first > 1)
            add(o, " to %d", next - 1);
    }
}

static void say_tree(struct out *o, const struct machine *m)
{
    size_t n = topology_tree(NULL, 0);
    struct topology_line *lines = calloc(n + 1, sizeof *lines);
    if (!lines)
        return;
    topology_tree(lines, n);
    for (size_t i = 0; i < n; i++) {
        add(o, "%-11s%*s%s", i ? "" : "tree", 2 * lines[i].depth, "", lines[i].text);
        if (!m->topology->unbound[0])
            add_threads(o, &lines[i], pool_threads(m->pool));
        end(o, false);
    }
    free(lines);
}

/* ---- roofs ----------------------------------------------------------------------------------- */

/* The bar is the median's share of the best roof of its kind. */
static void say_roof(struct out *o, const struct roof *roof, double max, const char *reason)
{
    if (roof->samples > 0) {
        int full = max > 0 ? (int)(roof->rate.median / max * BAR + 0.5) : 0;
        add(o, "%9.2f %9.2f %9.2f %8zu  %.*s%s", roof->rate.median / 1e9, roof->rate.max / 1e9,
            roof->rate.min / 1e9, roof->samples, full < BAR ? full : BAR, "||||||||||||||||||||||||",
            roof_was_disturbed(roof) ? " ?" : "");
    } else {
        add(o, "n/a: %s", reason);
    }
    end(o, false);
}

static void say_reads(struct out *o, const struct roofs *r)
{
    double max = 0;
    for (size_t i = 0; i < r->read_count; i++)
        max = r->reads[i].roof.samples && r->reads[i].roof.rate.median > max ? r->reads[i].roof.rate.median
                                                                               : max;
    add(o, "           %-16s %9s %9s %9s %8s", "READ GB/s", "MEDIAN", "MAX", "MIN", "SAMPLES");
    end(o, true);
    for (size_t i = 0; i < r->read_count; i++) {
        add(o, "           %3d thread%-6s ", r->reads[i].threads, plural(r->reads[i].threads));
        say_roof(o, &r->reads[i].roof, max, r->reads[i].reason.text);
    }
}

static void say_peaks(struct out *o, const struct roofs *r)
{
    double max = 0;
    for (size_t i = 0; i < r->set_count * PEAK_COUNT; i++) {
        const struct roof *roof = &r->sets[i / PEAK_COUNT].of[i % PEAK_COUNT];
        max = roof->samples && roof->rate.median > max ? roof->rate.median : max;
    }
    add(o, "           %-16s %9s %9s %9s %8s", "GMAC/s", "MEDIAN", "MAX", "MIN", "SAMPLES");
    end(o, true);
    for (size_t i = 0; i < r->set_count * PEAK_COUNT; i++) {
        const struct peak_roof *set = &r->sets[i / PEAK_COUNT];
        add(o, "           %-8s %-6s%c ", set->isa->name, peaks[i % PEAK_COUNT].name,
            set->isa == isa_current() ? '*' : ' ');
        say_roof(o, &set->of[i % PEAK_COUNT], max, peak_reason(set->isa));
    }
    add(o, "           * in use; arithmetic on %d thread%s", r->threads, plural(r->threads));
    end(o, false);
}

static void say_roofs(struct out *o, const struct machine *m)
{
    char when[32];
    if (!m->roofs) {
        add(o, "roofs      n/a: %s", m->roofs_reason.text);
        end(o, false);
        return;
    }
    format_time(when, m->roofs->measured);
    add(o, "roofs      measured %s in %.1f s%s", when, m->roofs->seconds,
        m->roofs_cached ? ", cached (--fresh or R measures again)" : "");
    end(o, false);
    if (roofs_were_disturbed(m->roofs)) {
        add(o, "           %s: they may be too low (--fresh or R measures again)",
            m->roofs->exceeded ? "something has run faster than they allow"
                               : "the machine was busy when they were measured");
        end(o, false);
    }
    say_reads(o, m->roofs);
    say_peaks(o, m->roofs);
}

void machine_lines(const struct machine *m, machine_line_fn *line, void *arg)
{
    struct out o = {.line = line, .arg = arg};
    say_topology(&o, m->topology);
    say_running(&o, m);
    say_tree(&o, m);
    say_roofs(&o, m);
    for (size_t i = 0; i < m->counter_count; i++) {
        const struct counter_state *state = &m->counters[i];
        add(&o, "%-10s %-20s %s%s", i ? "" : "counters", state->name,
            *state->reason.text ? "n/a: " : state->summary, state->reason.text);
        end(&o, false);
    }
}
