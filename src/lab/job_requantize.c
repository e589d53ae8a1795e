/* Quantizing the layers whose new scheme needs no calibration, one after the other. */
#include "jobs.h"
#include "quant/requant.h"

#include <stdlib.h>

struct requantizing {
    struct requant requant;
    struct pool *pool;
};

/* Whether a tensor waits for a scheme that needs no calibration. */
static bool is_plain(const struct lab *lab, int tensor)
{
    return tensor_pending(lab, tensor) && !scheme_needs_calibration(&lab->target[tensor]);
}

/* The selected tensor first: that is where the person looks. */
static int next_pending(const struct lab *lab)
{
    if (lab->selection.tensor != lab_kv(lab) && is_plain(lab, lab->selection.tensor))
        return lab->selection.tensor;
    for (int t = 0; t < (int)lab_tensors(lab); t++)
        if (is_plain(lab, t))
            return t;
    return -1;
}

/* The person may have changed their mind since the work began. */
static bool wanted(struct lab *lab, void *state, const void *running)
{
    (void)state;
    if (!running)
        return next_pending(lab) >= 0;
    const struct requant *r = &((const struct requantizing *)running)->requant;
    return qtensor_has_scheme(r->out, &lab->target[r->tensor]) && tensor_pending(lab, r->tensor);
}

/* What cannot be made stays as it is. */
static void give_up(struct lab *lab, int tensor)
{
    lab->target[tensor] = qtensor_scheme(lab->set->layer[tensor]);
}

static void *open_job(struct lab *lab, void *state, struct error *error)
{
    (void)state;
    int t = next_pending(lab);
    struct session *s = lab->session;
    struct requantizing *r = calloc(1, sizeof *r);
    if (r && requant_begin(&r->requant, s->model, t, &lab->target[t], s->pool, error)) {
        r->pool = s->pool;
        return r;
    }
    free(r);
    give_up(lab, t);
    return NULL;
}

static bool step(void *job, double seconds, bool *done, struct error *error)
{
    struct requantizing *r = job;
    (void)error;
    *done = requant_step(&r->requant, r->pool, seconds);
    return true;
}

static double fraction(const void *job)
{
    return requant_fraction(&((const struct requantizing *)job)->requant);
}

static void close_job(void *job)
{
    struct requantizing *r = job;
    if (r)
        requant_end(&r->requant);
    free(r);
}

static void finish(struct lab *lab, void *state, void *running)
{
    (void)state;
    struct requant *r = &((struct requantizing *)running)->requant;
    struct qtensor *p = requant_take(r);
    struct weights *set = weights_replace(lab->set, p);
    cache_add(&lab->cache, p);
    if (set) {
        lab_use(lab, set);
    } else {
        give_up(lab, p->tensor); /* else it would be made again and again */
        lab_say(lab, true, "%s: not enough memory", layer_name(lab->session->model, p->tensor));
    }
    qtensor_unref(p);
}

static void stop(struct lab *lab, void *state)
{
    (void)state;
    for (int t = 0; t < (int)lab_tensors(lab); t++)
        if (is_plain(lab, t))
            give_up(lab, t);
    job_cancel(lab, job_slot_of(lab, &requantize_job));
    lab_say(lab, false, "stopped: the layers that waited stay as they were");
}

static void publish(const struct lab *lab, const void *state, const void *running, struct frame *f)
{
    (void)lab, (void)state;
    if (running)
        f->layers[((const struct requantizing *)running)->requant.tensor].progress = (float)fraction(running);
}

static const struct job_class class = {
    .name = "quantizing", .step = step, .fraction = fraction, .close = close_job};

const struct job_type requantize_job = {
    .class = &class,
    .of_a_layer = true,
    .wanted = wanted,
    .open = open_job,
    .finish = finish,
    .stop = stop,
    .publish = publish,
};
