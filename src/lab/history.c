#include "history.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static size_t bytes(const struct lab *lab)
{
    return schemes_count(lab->session->model) * sizeof(struct scheme);
}

struct history_step *history_append(struct lab *lab)
{
    struct history *h = &lab->history;
    struct scheme *schemes = malloc(bytes(lab));
    if (!schemes)
        return NULL;
    memcpy(schemes, lab->target, bytes(lab));
    const struct metric absent = metric_absent("not measured yet");
    h->current = h->count;
    h->of[h->count] = (struct history_step){
        .schemes = schemes, .figures = {.serial = ++h->made, .decode = absent, .kl = absent, .top1 = absent}};
    h->described = false;
    return &h->of[h->count++];
}

bool history_open(struct lab *lab, struct error *error)
{
    lab->history.of = calloc(HISTORY_STEPS, sizeof *lab->history.of);
    return (lab->history.of && history_append(lab)) || error_set(error, "not enough memory");
}

void history_clear(struct lab *lab)
{
    struct history *h = &lab->history;
    while (h->count > 0)
        free(h->of[--h->count].schemes);
}

void history_close(struct lab *lab)
{
    history_clear(lab);
    free(lab->history.of);
}

/* What could not be made has become what it was: the step is what the target came to. */
static void keep(struct lab *lab)
{
    memcpy(lab->history.of[lab->history.current].schemes, lab->target, bytes(lab));
}

bool history_add(struct lab *lab)
{
    struct history *h = &lab->history;
    keep(lab);
    while (h->count > h->current + 1)
        free(h->of[--h->count].schemes);
    if (h->count == HISTORY_STEPS) {
        free(h->of[0].schemes);
        memmove(h->of, h->of + 1, --h->count * sizeof *h->of);
        h->current--;
    }
    return history_append(lab);
}

const struct scheme *history_go(struct lab *lab, size_t index)
{
    keep(lab);
    lab->history.current = index;
    return lab->history.of[index].schemes;
}

void history_take_quality(struct history_step *s)
{
    s->figures.kl = metric_value(s->quality.kl);
    s->figures.kl_stderr = s->quality.kl_stderr;
    s->figures.top1 = metric_value(s->quality.top1);
}

void history_recall(struct lab *lab)
{
    const struct history_step *s = &lab->history.of[lab->history.current];
    bool known = s->figures.kl.valid;
    for (int t = 0; known && t < (int)schemes_count(lab->session->model); t++)
        known = !tensor_pending(lab, t);
    if (known)
        lab_know_quality(lab, &s->quality);
}

void history_text_changed(struct lab *lab)
{
    const struct metric absent = metric_absent("measured on another text");
    for (size_t i = 0; i < lab->history.count; i++)
        lab->history.of[i].figures.kl = lab->history.of[i].figures.top1 = absent;
}

/* Figures of speed only from steps of decoding that no job disturbed, of quality when an evaluation is complete. */
static void take_figures(const struct frame *f, struct history_step *step)
{
    const struct quality_frame *q = &f->quality;
    struct step_frame *s = &step->figures;
    s->size = f->size;
    s->bits_per_weight_all = f->bits_per_weight_all;
    if (f->speed.decode.valid && !f->speed.is_rough && !f->speed.disturbed)
        s->decode = f->speed.decode;
    if (!q->valid || q->running || q->stale || !quality_is_complete(&q->result) || !isfinite(q->result.kl))
        return;
    step->quality = q->result;
    history_take_quality(step);
}

void history_publish(struct lab *lab, struct frame *f)
{
    struct history *h = &lab->history;
    if (f->pending == 0)
        take_figures(f, &h->of[h->current]);
    for (size_t i = 0; i < h->count; i++)
        f->steps[i] = h->of[i].figures;
    f->step_count = h->count;
    f->current_step = h->current;
}
