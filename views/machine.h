/* machine.h - the description of this machine that `qtop machine` and the Machine screen show. */
#ifndef QTOP_VIEWS_MACHINE_H
#define QTOP_VIEWS_MACHINE_H

#include "sys/pool.h"
#include "measure/roofs_cache.h"
#include "sys/topology.h"

enum { MAX_COUNTERS = 32 };

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
    const struct roofs *roofs;      /* or null, for roofs_reason */
    bool roofs_cached;
    struct error roofs_reason;
    struct counter_state counters[MAX_COUNTERS];
    size_t counter_count;
};

/* Fills in all but roofs and counters. */
void machine_look(struct machine *machine, struct pool *pool);

/* "2026-11-25T18:27:44Z" of seconds since 1970. */
void format_time(char out[32], long long seconds);

/* Why an instruction set has no peak of some kind. */
const char *peak_reason(const struct isa *isa);

/* Calls line for every line of text, first to last; `strong` marks the heads of tables. */
typedef void machine_line_fn(void *arg, bool strong, const char *text);
void machine_lines(const struct machine *machine, machine_line_fn *line, void *arg);

#endif
