#include "perf_sampler.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

struct perf_sampler {
    struct perf_event events[MAX_EVENTS];
    size_t event_count;
    struct counts *before, *after; /* of the interval under way */
    struct counts *zero, *sum;     /* of all intervals since the last frame */
    size_t tokens;                 /* decoded in them */
    double seconds;                /* that they took */
    bool running;                  /* an interval is under way */
    size_t steps;                  /* decode steps of it */
    double started;                /* clock_seconds when it began */
    double cost;                   /* seconds of one reading */
    double next;                   /* clock_seconds when the next interval may begin */
    struct uncore *uncore;         /* or null */
    struct uncore_counts *traffic_before, *traffic_after; /* of the memory controllers */
    double traffic_at, framed_at;  /* clock_seconds of the last reading and of the last frame */
    struct counters_frame *frame;  /* the last one, or null */
    struct event_list *list;       /* of what could be counted, once it was asked for */
};

static const double FRAME_SECONDS = 0.5; /* between two frames of counters */
static const double COST_SHARE = 0.004;  /* of the time, that reading counters may take */

/* ---- opening --------------------------------------------------------------------------------- */

static void forget(struct perf_sampler *t)
{
    free(t->before);
    free(t->after);
    free(t->sum);
    free(t->zero);
    t->before = t->after = t->sum = t->zero = NULL;
}

static void start_over(struct perf_sampler *t)
{
    counts_clear(t->sum);
    counts_clear(t->zero);
    t->tokens = 0;
    t->seconds = 0;
    t->running = false;
}

/* Opens the chosen events, for the thread that runs the model and the pool's other ones. */
static void open_events(struct lab *lab)
{
    struct perf_sampler *t = lab->sampler;
    forget(t);
    session_count(lab->session, t->events, t->event_count);
    const struct counters *c = lab->session->counters;
    t->before = counts_new(c);
    t->after = counts_new(c);
    t->sum = counts_new(c);
    t->zero = counts_new(c);
    t->cost = 0;
    start_over(t);
}

bool perf_sampler_open(struct lab *lab, struct error *error)
{
    lab->sampler = calloc(1, sizeof *lab->sampler);
    return lab->sampler || error_set(error, "not enough memory");
}

void perf_sampler_begin(struct lab *lab)
{
    struct perf_sampler *t = lab->sampler;
    t->event_count = events_default("", t->events, MAX_EVENTS);
    t->event_count = t->event_count < MAX_EVENTS ? t->event_count : MAX_EVENTS;
    t->uncore = uncore_open(lab->session->system_root, lab->session->perf);
    t->traffic_before = t->uncore ? uncore_counts_new(t->uncore) : NULL;
    t->traffic_after = t->uncore ? uncore_counts_new(t->uncore) : NULL;
    if (t->traffic_before && t->traffic_after)
        uncore_read(t->uncore, t->traffic_before);
    t->traffic_at = clock_seconds();
    open_events(lab);
}

void perf_sampler_close(struct lab *lab)
{
    struct perf_sampler *t = lab->sampler;
    if (!t)
        return;
    forget(t);
    free(t->traffic_before);
    free(t->traffic_after);
    uncore_close(t->uncore);
    counters_frame_unref(t->frame);
    event_list_unref(t->list);
    free(t);
}

/* ---- choosing -------------------------------------------------------------------------------- */

static bool is_chosen(const struct perf_sampler *t, const char *name, size_t *at)
{
    for (*at = 0; *at < t->event_count; ++*at)
        if (strcasecmp(t->events[*at].name, name) == 0)
            return true;
    return false;
}

void perf_sampler_toggle(struct lab *lab, const char *name)
{
    struct perf_sampler *t = lab->sampler;
    struct error error;
    struct perf_event event;
    size_t at;
    if (is_chosen(t, name, &at)) {
        memmove(t->events + at, t->events + at + 1, (--t->event_count - at) * sizeof *t->events);
        lab_say(lab, false, "stopped counting %s", name);
    } else if (t->event_count == MAX_EVENTS) {
        lab_say(lab, true, "%d events are counted, the maximum: remove one first", MAX_EVENTS);
        return;
    } else if (!event_find("", name, &event, &error)) {
        lab_say(lab, true, "%s", error.text);
        return;
    } else {
        t->events[t->event_count++] = event;
        lab_say(lab, false, "counting %s", event.name);
    }
    open_events(lab);
}

/* ---- the list of what could be counted ------------------------------------------------------- */

struct collecting {
    struct event_list *list;
    size_t room;
    bool short_of_memory;
};

static void collect(const struct event_info *info, void *arg)
{
    struct collecting *c = arg;
    struct event_list *l = c->list;
    if (l->count == c->room) {
        size_t room = c->room ? 2 * c->room : 64;
        struct event_line *more = realloc(l->line, room * sizeof *more);
        if (!more) {
            c->short_of_memory = true;
            return;
        }
        l->line = more;
        c->room = room;
    }
    struct event_line *line = &l->line[l->count];
    line->name = strdup(info->name);
    line->description = strdup(info->description ? info->description : "");
    l->count++; /* what was copied is freed with the rest */
    c->short_of_memory |= !line->name || !line->description;
}

/* Those that are counted from the start, by the names that they can be chosen by again. */
static void collect_default(struct collecting *c)
{
    struct perf_event usual[MAX_EVENTS];
    size_t n = events_default("", usual, MAX_EVENTS);
    for (size_t i = 0; i < n && i < MAX_EVENTS; i++)
        collect(&(struct event_info){.name = usual[i].name, .description = usual[i].description}, c);
}

void perf_sampler_list(struct lab *lab)
{
    struct perf_sampler *t = lab->sampler;
    if (t->list)
        return;
    struct collecting c = {.list = calloc(1, sizeof *c.list)};
    if (!c.list)
        return;
    atomic_init(&c.list->refs, 1);
    collect_default(&c);
    events_list(NULL, NULL, collect, &c);
    if (c.short_of_memory) {
        event_list_unref(c.list);
        lab_say(lab, true, "not enough memory for the list of events");
        return;
    }
    t->list = c.list;
}

/* ---- counting -------------------------------------------------------------------------------- */

void perf_sampler_reset(struct lab *lab)
{
    struct perf_sampler *t = lab->sampler;
    start_over(t);
    counters_frame_unref(t->frame);
    t->frame = NULL;
}

/* Reading costs a system call for every group and thread: pauses between intervals keep it below its share. */
void perf_sampler_start(struct lab *lab)
{
    struct perf_sampler *t = lab->sampler;
    double now = clock_seconds();
    if (t->running || !t->after || now < t->next)
        return;
    counters_read(lab->session->counters, t->before);
    t->started = clock_seconds();
    t->cost = t->started - now;
    t->steps = 0;
    t->running = true;
}

void perf_sampler_step(struct lab *lab)
{
    lab->sampler->steps++;
}

void perf_sampler_stop(struct lab *lab)
{
    struct perf_sampler *t = lab->sampler;
    if (!t->running)
        return;
    t->running = false;
    if (t->steps == 0)
        return;
    double now = clock_seconds();
    counters_read(lab->session->counters, t->after);
    counts_add(t->sum, t->before, t->after);
    t->tokens += t->steps;
    t->seconds += now - t->started;
    t->next = t->started + 2 * t->cost / COST_SHARE;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static struct counters_frame *frame_new(size_t events, size_t threads)
{
    struct counters_frame *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    atomic_init(&f->refs, 1);
    f->event = calloc(events + 1, sizeof *f->event);
    f->by_thread = calloc(events * threads + 1, sizeof *f->by_thread);
    f->events = events;
    f->threads = threads;
    if (f->event && f->by_thread)
        return f;
    counters_frame_unref(f);
    return NULL;
}

static void fill_events(struct lab *lab, struct counters_frame *f)
{
    const struct perf_sampler *t = lab->sampler;
    const struct counters *c = lab->session->counters;
    for (size_t e = 0; e < f->events; e++) {
        struct event_frame *x = &f->event[e];
        memcpy(x->name, t->events[e].name, sizeof x->name);
        x->description = t->events[e].description;
        x->reason = counters_reason(c, e);
        x->total = counters_between(c, t->zero, t->sum, e, COUNTERS_ALL);
        for (size_t i = 0; i < f->threads; i++)
            f->by_thread[e * f->threads + i] = counters_between(c, t->zero, t->sum, e, (int)i);
    }
}

static void fill_derived(struct lab *lab, struct counters_frame *f)
{
    const struct perf_sampler *t = lab->sampler;
    const struct counters *c = lab->session->counters;
    struct metric bytes = counters_memory_bytes(c, t->zero, t->sum, COUNTERS_ALL, counters_line_bytes());
    struct metric misses = counters_between(c, t->zero, t->sum, counters_find(c, "cache-misses"), COUNTERS_ALL).value;
    f->ipc = counters_ipc(c, t->zero, t->sum, COUNTERS_ALL);
    f->bytes_per_token = counters_per_token(bytes, t->tokens);
    f->cache_misses_per_token = counters_per_token(misses, t->tokens);
}

/* The memory controllers count for the whole machine: over all of the time, whoever used it. */
static void fill_traffic(struct lab *lab, struct counters_frame *f)
{
    struct perf_sampler *t = lab->sampler;
    const char *reason = t->uncore ? uncore_reason(t->uncore) : "not enough memory";
    double now = clock_seconds(), seconds = now - t->traffic_at;
    if (!reason && (!t->traffic_before || !t->traffic_after))
        reason = "not enough memory";
    snprintf(f->traffic_label, sizeof f->traffic_label, "%s", reason ? "" : uncore_label(t->uncore));
    snprintf(f->traffic_detail, sizeof f->traffic_detail, "%s",
             !reason ? "" : t->uncore ? uncore_detail(t->uncore) : reason);
    for (int k = TRAFFIC_READ; k <= TRAFFIC_ALL; k++)
        f->traffic[k] = metric_absent(reason);
    if (reason)
        return;
    uncore_read(t->uncore, t->traffic_after);
    for (int k = TRAFFIC_READ; k <= TRAFFIC_ALL; k++) {
        struct metric bytes = uncore_bytes(t->uncore, t->traffic_before, t->traffic_after, (enum traffic)k);
        f->traffic[k] = bytes.valid ? metric_value(bytes.value / seconds) : bytes;
    }
    struct uncore_counts *newest = t->traffic_after;
    t->traffic_after = t->traffic_before;
    t->traffic_before = newest;
    t->traffic_at = now;
}

struct counters_frame *perf_sampler_frame(struct lab *lab)
{
    struct perf_sampler *t = lab->sampler;
    double now = clock_seconds();
    bool due = t->tokens > 0 && !t->running && now - t->framed_at >= FRAME_SECONDS;
    bool stale = t->frame && t->frame->events != t->event_count;
    if ((due || stale || !t->frame) && t->sum) {
        struct counters_frame *f = frame_new(t->event_count, counters_threads(lab->session->counters));
        if (f) {
            f->tokens = t->tokens;
            f->seconds = t->seconds;
            fill_events(lab, f);
            fill_derived(lab, f);
            fill_traffic(lab, f);
            counters_frame_unref(t->frame);
            t->frame = f;
            t->framed_at = now;
            start_over(t);
        }
    }
    return counters_frame_ref(t->frame);
}

struct event_list *perf_sampler_events(const struct lab *lab)
{
    return event_list_ref(lab->sampler->list);
}
