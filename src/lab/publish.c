/* Making frames: a picture of the lab at one moment. */
#include "internal.h"

#include "kernels/dispatch.h"
#include "measure/bandwidth.h"
#include "sys/topology.h"

#include <math.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Valid as long as the layer has the scheme that was measured. */
static void fill_alone(const struct lab *lab, int tensor, struct layer_frame *l)
{
    bool kv = tensor == kv_index(lab->session->model);
    const struct alone *a = kv ? NULL : &lab->alone[tensor];
    l->sensitivity = metric_absent("not measured: E measures it");
    if (kv || a->figures.scored == 0 ||
        !qtensor_has_scheme(lab->set->layer[tensor], &a->scheme))
        return;
    l->sensitivity = metric_value(a->figures.kl);
    l->sensitivity_stderr = a->figures.kl_stderr;
}

static void fill_layers(const struct lab *lab, struct frame *f)
{
    for (int t = 0; t < (int)schemes_count(lab->session->model); t++) {
        struct layer_frame *l = &f->layers[t];
        l->wanted = lab->target[t];
        l->pending = tensor_pending(lab, t);
        f->pending += l->pending;
        bool working = lab->requantizing && lab->requant.tensor == t;
        bool kv = t == kv_index(lab->session->model);
        l->progress = working ? (float)requant_fraction(&lab->requant) : kv ? -1 : calibrating_progress(lab, t);
        double sum = lab->tensor_seconds[t];
        l->seconds = lab->sampled_tokens == 0 ? metric_absent("not measured yet")
                     : sum > 0                ? metric_value(sum / (double)lab->sampled_tokens)
                                              : metric_absent("it multiplies nothing");
        fill_alone(lab, t, l);
    }
}

static void fill_turns(const struct lab *lab, struct frame *f)
{
    f->vs_stored = metric_absent(lab->turns.reason ? lab->turns.reason : "not measured yet");
    if (!lab->turns.over || lab->turns.reason)
        return;
    double ratios[TURNS];
    memcpy(ratios, lab->turns.ratios, sizeof ratios);
    struct stats ratio = stats_of(ratios, lab->turns.count);
    f->vs_stored = metric_value(ratio.median);
    f->vs_stored_low = ratio.least;
    f->vs_stored_high = ratio.most;
}

static void fill_speed(struct lab *lab, struct frame *f)
{
    const struct model *m = lab->session->model;
    const char *reason = lab->paused ? "paused" : lab->ready ? "measuring"
                                                              : "the weights are not ready yet";
    size_t position = lab->text.tokens.count;
    f->position = position;
    f->capacity = lab->text.context->capacity;
    bool known = lab->meter.rate > 0 && !lab->paused;
    f->decode = known ? metric_value(lab->meter.rate) : metric_absent(reason);
    fill_turns(lab, f);
    f->prefill = lab->prefill;
    f->disturbed = lab->job != NULL;
    f->history_count = lab->meter.history_count;
    memcpy(f->history, lab->meter.history, sizeof f->history);
    f->bytes_per_token = weights_bytes_per_token(m, lab->set, position);
    f->size = weights_size(lab->set);
    f->stored_size = weights_size(lab->session->stored);
    f->bits_per_weight = weights_bits_per_weight(m, lab->set);
    f->bandwidth = known ? metric_value((double)f->bytes_per_token * lab->meter.rate)
                         : metric_absent(reason);
    f->peak_read = lab->peak_read;
    f->in_cache = f->bytes_per_token < topology()->last_level_cache;
    f->counters = counting_frame(lab);
    f->cache_misses = f->counters ? f->counters->cache_misses_per_token : metric_absent("not measured yet");
    f->events = event_list_ref(lab->tally.list);
}

static void fill_roofs(const struct lab *lab, struct frame *f)
{
    f->roofs = roofs_frame_ref(lab->roofs);
    f->roofs_reason = lab->roofs_reason;
    f->prefill_tokens = lab->prefill_tokens;
    memcpy(f->batch, lab->batch, sizeof f->batch);
    f->batch_wanted = lab->batch_wanted;
    f->peak = roofline_peak_of_set(isa_current(), lab->session->model, lab->set);
}

static void fill_selection(struct lab *lab, struct frame *f)
{
    const struct qtensor *p = lab->set->layer[lab->selected];
    if (lab->columns && lab->columns->packed == p) {
        if (!lab->columns_frame)
            lab->columns_frame = columns_copy(lab->columns);
        f->columns = columns_ref(lab->columns_frame);
    }
    if (lab->detail && lab->detail->packed == p) {
        f->detail = lab->detail;
        atomic_fetch_add(&f->detail->refs, 1);
    }
    f->weight = weight_view(lab->session->model, p, lab->row, lab->col);
    double db = output_error_sqnr_db(&lab->output);
    f->output.sqnr_db = isnan(db) ? metric_absent("no token has been compared yet")
                                  : metric_value(db);
    f->output.tokens = lab->output.tokens;
    f->output.errors = lab->output.errors;
}

/* Every evaluation says what the reference reaches: where that is the stored weights, a snapshot of them need
 * not be in use. */
static void fill_stored_snapshots(struct lab *lab)
{
    const struct quality_frame *q = &lab->quality_frame;
    if (lab->session->model->reference)
        return;
    for (size_t i = 0; i < lab->snapshot_count && q->valid && !q->running; i++) {
        struct snapshot *s = &lab->snapshots[i];
        bool stored = s->schemes->of[kv_index(lab->session->model)].format.weight == DTYPE_FP32;
        for (size_t t = 0; t < lab->set->count; t++)
            stored &= s->schemes->of[t].format.stored;
        if (!stored || s->quality.valid)
            continue;
        s->quality = *q;
        s->quality.result.perplexity = q->result.perplexity_reference;
        s->quality.result.kl = s->quality.result.kl_stderr = 0;
        s->quality.result.kl_median = s->quality.result.kl_p99 = s->quality.result.kl_max = 0;
        s->quality.result.top1 = 1;
    }
}

/* Of the linear matrices inside blocks that have errors, together. */
static struct metric sqnr_of(const struct lab *lab)
{
    double w2 = 0, e2 = 0;
    for (size_t t = 0; t < lab->set->count; t++) {
        const struct tensor *x = &lab->session->model->tensors[t];
        const struct weight_error *e = &lab->set->layer[t]->error;
        if (!roles[x->role].linear || x->block < 0)
            continue;
        e2 += e->sum_e2;
        w2 += e->sum_w2;
    }
    return metric_value(e2 == 0 ? INFINITY : 10 * log10(w2 / e2));
}

/* Figures that arrive while a snapshot is in use become its own. */
static void fill_snapshots(struct lab *lab, struct frame *f)
{
    if (lab->current_snapshot >= 0 && f->pending == 0) {
        struct snapshot *s = &lab->snapshots[lab->current_snapshot];
        s->peak = f->peak;
        s->sqnr_db = sqnr_of(lab);
        if (f->decode.valid && !f->disturbed) {
            s->decode = f->decode;
            s->position = f->position;
        }
        if (f->prefill.valid && lab->prefill_known) {
            s->prefill = f->prefill;
            s->prefill_tokens = f->prefill_tokens;
        }
        if (lab->quality_frame.valid && !lab->quality_frame.stale)
            s->quality = lab->quality_frame;
    }
    fill_stored_snapshots(lab);
    memcpy(f->snapshots, lab->snapshots, sizeof f->snapshots);
    for (size_t i = 0; i < lab->snapshot_count; i++)
        (void)kept_schemes_ref(f->snapshots[i].schemes);
    f->snapshot_count = lab->snapshot_count;
    f->current_snapshot = lab->current_snapshot;
}

static struct frame *make_frame(struct lab *lab)
{
    struct frame *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->layers = calloc(schemes_count(lab->session->model), sizeof *f->layers);
    if (!f->layers) {
        free(f);
        return NULL;
    }
    atomic_init(&f->refs, 1);
    f->serial = ++lab->serial;
    f->model = lab->session->model;
    f->set = weights_ref(lab->set);
    fill_layers(lab, f);
    fill_speed(lab, f);
    fill_roofs(lab, f);
    f->depth = depth_ref(lab->depth_profile);
    f->comparison = comparison_frame_ref(lab->comparison);
    f->learning = learning_frame_ref(lab->learning);
    fill_selection(lab, f);
    fill_snapshots(lab, f);
    f->quality = lab->quality_frame;
    if (lab->evaluation_reason)
        f->quality.reason = lab->evaluation_reason;
    f->text = texts_frame(lab);
    f->tuning = lab->tuning.asked;
    f->exporting = lab->exporting != NULL;
    f->job = lab->job;
    f->job_fraction = lab->job_fraction;
    memcpy(f->status, lab->status, sizeof f->status);
    f->status_serial = lab->status_serial;
    f->status_is_error = lab->status_is_error;
    f->paused = lab->paused;
    f->undo_depth = lab->undo_count;
    f->redo_depth = lab->redo_count;
    return f;
}

void lab_publish(struct lab *lab)
{
    struct frame *f = make_frame(lab);
    if (!f)
        return; /* the view keeps the last one */
    pthread_mutex_lock(&lab->lock);
    struct frame *old = lab->newest;
    lab->newest = f;
    pthread_mutex_unlock(&lab->lock);
    frame_unref(old);
    uint64_t one = 1;
    if (write(lab->wake, &one, sizeof one) < 0)
        return; /* it is readable already */
}

struct frame *lab_frame(struct lab *lab)
{
    uint64_t count;
    if (read(lab->wake, &count, sizeof count) < 0)
        count = 0; /* nothing new: the last one again */
    pthread_mutex_lock(&lab->lock);
    struct frame *f = lab->newest ? frame_ref(lab->newest) : NULL;
    pthread_mutex_unlock(&lab->lock);
    return f;
}

int lab_wake_descriptor(const struct lab *lab)
{
    return lab->wake;
}
