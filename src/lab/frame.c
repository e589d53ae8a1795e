#include "frame.h"

#include <stdlib.h>
#include <string.h>

const struct detail *frame_detail(const struct frame *f, const struct qtensor *q)
{
    return f->detail && f->detail->q == q ? f->detail : NULL;
}

const struct columns *frame_columns(const struct frame *f, const struct qtensor *q)
{
    return f->columns && f->columns->q == q ? f->columns : NULL;
}

const struct output_frame *frame_output(const struct frame *f, const struct qtensor *q)
{
    return f->output.q == q ? &f->output : NULL;
}

const struct file_sizes *frame_file(const struct frame *f)
{
    return f->current_snapshot >= 0 && f->pending == 0 ? f->snapshots[f->current_snapshot].file : NULL;
}

bool frame_has_queue(const struct frame *f)
{
    bool works = false, waits = false;
    for (size_t i = 0; i < schemes_count(f->model); i++) {
        works |= f->layers[i].pending && f->layers[i].progress >= 0;
        waits |= f->layers[i].pending && f->layers[i].progress < 0;
    }
    return works && waits;
}

struct metric snapshot_decode(const struct snapshot *s)
{
    double rates[INTERLEAVED_ROUNDS];
    if (s->timed.rounds < LEAST_ROUNDS)
        return s->decode;
    memcpy(rates, s->timed.rate, sizeof rates);
    return metric_value(stats_of(rates, s->timed.rounds).median);
}

static bool is_evaluated(const struct snapshot *s)
{
    return s->quality.valid && !s->quality.running;
}

const struct quality_result *frame_basis(const struct frame *f, size_t base)
{
    if (base < f->snapshot_count && is_evaluated(&f->snapshots[base]))
        return &f->snapshots[base].quality.result;
    for (size_t i = 0; i < f->snapshot_count; i++)
        if (is_evaluated(&f->snapshots[i]))
            return &f->snapshots[i].quality.result;
    return NULL;
}

const char *frame_incomparable(const struct frame *f, size_t base, const struct snapshot *s)
{
    const struct quality_result *basis = frame_basis(f, base);
    return basis && is_evaluated(s) ? quality_differs(&s->quality.result, basis) : NULL;
}

struct frame *frame_ref(struct frame *f)
{
    atomic_fetch_add(&f->refs, 1);
    return f;
}

void frame_unref(struct frame *f)
{
    if (!f || atomic_fetch_sub(&f->refs, 1) > 1)
        return;
    weights_unref(f->set);
    for (size_t i = 0; i < f->snapshot_count; i++) {
        kept_schemes_unref(f->snapshots[i].schemes);
        file_sizes_unref(f->snapshots[i].file);
    }
    log_frame_unref(f->log);
    counters_frame_unref(f->counters);
    event_list_unref(f->events);
    roofs_frame_unref(f->roofs);
    depth_unref(f->depth);
    comparison_frame_unref(f->comparison);
    advise_frame_unref(f->advise);
    against_frame_unref(f->against);
    study_frame_unref(f->study);
    training_frame_unref(f->training);
    detail_unref(f->detail);
    columns_unref(f->columns);
    text_frame_unref(f->text);
    free(f->layers);
    free(f);
}

struct text_frame *text_frame_ref(struct text_frame *t)
{
    if (t)
        atomic_fetch_add(&t->refs, 1);
    return t;
}

void text_frame_unref(struct text_frame *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) > 1)
        return;
    free(t->text);
    free(t->reference);
    free(t);
}

struct counters_frame *counters_frame_ref(struct counters_frame *c)
{
    if (c)
        atomic_fetch_add(&c->refs, 1);
    return c;
}

void counters_frame_unref(struct counters_frame *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    free(c->event);
    free(c->by_thread);
    free(c);
}

size_t counters_frame_broken(const struct counters_frame *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->events; i++)
        n += c->event[i].reason != NULL;
    return n;
}

const char *counters_frame_reason(const struct counters_frame *c)
{
    const char *reason = NULL;
    for (size_t i = 0; i < c->events; i++) {
        const char *here = c->event[i].reason;
        if (here && reason && strcmp(here, reason) != 0)
            return NULL;
        reason = here ? here : reason;
    }
    return reason;
}

struct event_list *event_list_ref(struct event_list *l)
{
    if (l)
        atomic_fetch_add(&l->refs, 1);
    return l;
}

void event_list_unref(struct event_list *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) > 1)
        return;
    for (size_t i = 0; i < l->count; i++) {
        free(l->line[i].name);
        free(l->line[i].description);
    }
    free(l->line);
    free(l);
}

struct roofs_frame *roofs_frame_ref(struct roofs_frame *r)
{
    if (r)
        atomic_fetch_add(&r->refs, 1);
    return r;
}

void roofs_frame_unref(struct roofs_frame *r)
{
    if (r && atomic_fetch_sub(&r->refs, 1) == 1)
        free(r);
}

struct advise_frame *advise_frame_ref(struct advise_frame *a)
{
    if (a)
        atomic_fetch_add(&a->refs, 1);
    return a;
}

void advise_frame_unref(struct advise_frame *a)
{
    if (a && atomic_fetch_sub(&a->refs, 1) == 1)
        free(a);
}

struct against_frame *against_frame_ref(struct against_frame *a)
{
    if (a)
        atomic_fetch_add(&a->refs, 1);
    return a;
}

void against_frame_unref(struct against_frame *a)
{
    if (!a || atomic_fetch_sub(&a->refs, 1) > 1)
        return;
    against_facts_unref(a->facts);
    free(a);
}

struct study_frame *study_frame_ref(struct study_frame *s)
{
    if (s)
        atomic_fetch_add(&s->refs, 1);
    return s;
}

void study_frame_unref(struct study_frame *s)
{
    if (s && atomic_fetch_sub(&s->refs, 1) == 1)
        free(s);
}

struct comparison_frame *comparison_frame_ref(struct comparison_frame *c)
{
    if (c)
        atomic_fetch_add(&c->refs, 1);
    return c;
}

void comparison_frame_unref(struct comparison_frame *c)
{
    if (c && atomic_fetch_sub(&c->refs, 1) == 1)
        free(c);
}

struct log_frame *log_frame_ref(struct log_frame *l)
{
    if (l)
        atomic_fetch_add(&l->refs, 1);
    return l;
}

void log_frame_unref(struct log_frame *l)
{
    if (l && atomic_fetch_sub(&l->refs, 1) == 1)
        free(l);
}

struct training_frame *training_frame_ref(struct training_frame *l)
{
    if (l)
        atomic_fetch_add(&l->refs, 1);
    return l;
}

void training_frame_unref(struct training_frame *l)
{
    if (l && atomic_fetch_sub(&l->refs, 1) == 1)
        free(l);
}

struct kept_schemes *kept_schemes_new(size_t count)
{
    struct kept_schemes *k = malloc(sizeof *k + count * sizeof *k->of);
    if (k)
        atomic_init(&k->refs, 1);
    return k;
}

struct kept_schemes *kept_schemes_ref(struct kept_schemes *k)
{
    if (k)
        atomic_fetch_add(&k->refs, 1);
    return k;
}

void kept_schemes_unref(struct kept_schemes *k)
{
    if (k && atomic_fetch_sub(&k->refs, 1) == 1)
        free(k);
}

struct file_sizes *file_sizes_ref(struct file_sizes *s)
{
    if (s)
        atomic_fetch_add(&s->refs, 1);
    return s;
}

void file_sizes_unref(struct file_sizes *s)
{
    if (s && atomic_fetch_sub(&s->refs, 1) == 1)
        free(s);
}
