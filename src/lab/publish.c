#include "publish.h"

#include "history.h"
#include "jobs.h"
#include "log.h"
#include "kernels/dispatch.h"
#include "base/stats.h"
#include "measure/roofline.h"
#include "perf_sampler.h"
#include "sampled_steps.h"
#include "snapshots.h"
#include "study.h"
#include "sys/topology.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

static void fill_layers(const struct lab *lab, struct frame *f)
{
    for (int t = 0; t < (int)schemes_count(lab->session->model); t++) {
        struct layer_frame *l = &f->layers[t];
        l->wanted = lab->target[t];
        l->pending = tensor_pending(lab, t);
        l->progress = -1;
        f->pending += l->pending;
    }
}

static void fill_speed(struct lab *lab, struct frame *f)
{
    const struct model *m = lab->session->model;
    const struct meter *meter = &lab->meter;
    const char *reason = lab->paused ? "paused" : lab->idle ? "asleep" : lab->pins.ready ? "measuring" : "the weights are not ready yet";
    bool known = meter->rate > 0 && !lab->paused && !lab->idle;
    f->speed.is_rough = known && meter->is_rough;
    f->speed.decode = known ? metric_value(meter->rate) : metric_absent(reason);
    f->speed.prefill = lab->prefill.set_serial == lab->set_serial ? lab->prefill.rate
                                                                  : metric_absent("not measured yet");
    f->speed.prefill_tokens = lab->prefill.tokens;
    f->speed.disturbed = lab->activity.name != NULL;
    f->speed.history_count = meter->history_count;
    memcpy(f->speed.history, meter->history, sizeof f->speed.history);
    struct weights_totals totals = weights_totals(m, lab->set, f->position);
    f->speed.bytes_per_token = totals.bytes_per_token;
    f->size = totals.size;
    f->stored_size = weights_size(lab->session->stored);
    f->bits_per_weight = totals.bits_per_weight;
    f->bits_per_weight_all = totals.bits_per_weight_all;
    f->speed.bandwidth = known ? metric_value((double)f->speed.bytes_per_token * meter->rate) : metric_absent(reason);
    f->speed.peak_read = lab->peak_read;
    f->speed.peak = roofline_peak_of_set(isa_current(), m, lab->set);
    f->speed.in_cache = f->speed.bytes_per_token < topology()->last_level_cache;
}

static void fill_counters(struct lab *lab, struct frame *f)
{
    f->counters = perf_sampler_frame(lab);
    f->speed.cache_misses = f->counters ? f->counters->cache_misses_per_token : metric_absent("not measured yet");
    f->events = perf_sampler_events(lab);
}

/* What was said of something that is over is not said any more. */
static void end_status(struct lab *lab)
{
    if (lab->status_published && lab->status_holds && !lab->status_holds(lab))
        lab->status.text[0] = 0;
    lab->status_published = true;
}

static void fill_status(struct lab *lab, struct frame *f)
{
    end_status(lab);
    if (lab->activity.name) {
        snprintf(f->activity_name, sizeof f->activity_name, "%s", lab->activity.name);
        f->activity.name = f->activity_name;
    }
    f->activity.fraction = lab->activity.fraction;
    memcpy(f->status.text, lab->status.text, sizeof f->status.text);
    f->status.serial = lab->status.serial;
    f->status.is_error = lab->status.is_error;
    f->paused = lab->paused;
    f->idle = lab->idle;
    f->sleeps = lab->sleeps;
    f->commands_applied = lab->commands_applied;
    f->log = log_publish(lab);
    f->session_named = lab->autosave.named;
}

static struct frame *frame_new(void)
{
    struct frame *f = calloc(1, sizeof *f);
    if (f)
        atomic_init(&f->refs, 1);
    return f;
}

static struct frame *make_frame(struct lab *lab)
{
    const struct selection *s = &lab->selection;
    struct frame *f = frame_new();
    if (!f || !(f->layers = calloc(schemes_count(lab->session->model), sizeof *f->layers))) {
        free(f);
        return NULL;
    }
    f->serial = ++lab->frame_serial;
    f->model = lab->session->model;
    f->set = weights_ref(lab->set);
    f->set_serial = lab->set_serial;
    f->weight = weight_view(f->model, lab->set->layer[s->tensor], s->row, s->col);
    fill_layers(lab, f);
    sampled_steps_publish(lab, f);
    text_publish(lab, f);
    fill_speed(lab, f);
    fill_counters(lab, f);
    jobs_publish(lab, f);
    f->study = study_frame_ref(study_frame_of(lab));
    fill_status(lab, f);
    snapshots_publish(lab, f); /* with what the others have filled */
    history_publish(lab, f);
    return f;
}

void lab_publish(struct lab *lab)
{
    struct frame *f = make_frame(lab);
    if (f)
        mailbox_put(&lab->mailbox, f);
}
