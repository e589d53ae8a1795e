#include "snapshots.h"

#include "actions.h"
#include "quant/recipe.h"
#include "target.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void snapshots_close(struct lab *lab)
{
    for (size_t i = 0; i < lab->snapshots.count; i++) {
        kept_schemes_unref(lab->snapshots.of[i].schemes);
        file_sizes_unref(lab->snapshots.of[i].file);
    }
}

struct weights *snapshots_set(struct lab *lab, const struct snapshot *s)
{
    struct weights *set = weights_ref(lab->session->stored);
    for (int t = 0; set && t < (int)set->count; t++) {
        struct qtensor *p = target_find(lab, t, &s->schemes->of[t]);
        struct weights *next = p ? weights_replace(set, p) : NULL;
        qtensor_unref(p);
        weights_unref(set);
        set = next;
    }
    return weights_take_kv(set, s->schemes->of[lab_kv(lab)].format.weight);
}

/* ---- keeping ---------------------------------------------------------------------------------------- */

/* The tensors that are not as stored beside the linear matrices inside blocks: the name of one, else how many; "" for
 * none. `last` is one of them. */
static void append_others(const struct lab *lab, size_t count, size_t last, char out[SCHEME_TEXT])
{
    size_t n = strlen(out);
    if (count == 1)
        snprintf(out + n, SCHEME_TEXT - n, " + %s", lab->session->model->tensors[last].name);
    else if (count > 1)
        snprintf(out + n, SCHEME_TEXT - n, " + %zu outside blocks", count);
}

/* "int8/int8", or "3 schemes" for a mixture, over the linear matrices inside blocks; then other tensors that are not as
 * stored, and the KV cache where it is not fp32. */
static void summarize(const struct lab *lab, char out[SCHEME_TEXT])
{
    const struct model *m = lab->session->model;
    const struct scheme *seen[8];
    size_t kinds = 0, others = 0, other = 0;
    for (size_t i = 0; i < lab->set->count; i++) {
        bool is_new = role_takes_schemes(m->tensors[i].role);
        if (!is_new && !qformat_as_stored(&lab->target[i].format)) {
            others++;
            other = i;
        }
        for (size_t k = 0; k < kinds && is_new; k++)
            is_new = !scheme_equal(seen[k], &lab->target[i]);
        if (is_new && kinds < 8)
            seen[kinds++] = &lab->target[i];
    }
    if (kinds == 1)
        scheme_print(seen[0], out);
    else
        snprintf(out, SCHEME_TEXT, "%zu schemes", kinds);
    append_others(lab, others, other, out);
    enum dtype kv = lab->target[lab_kv(lab)].format.weight;
    size_t n = strlen(out);
    if (kv != DTYPE_FP32)
        snprintf(out + n, SCHEME_TEXT - n, " kv %s", dtypes[kv].name);
}

static struct kept_schemes *keep_target(const struct lab *lab)
{
    size_t n = schemes_count(lab->session->model);
    struct kept_schemes *k = kept_schemes_new(n);
    if (k)
        memcpy(k->of, lab->target, n * sizeof *k->of);
    return k;
}

int snapshots_current(const struct lab *lab)
{
    for (size_t i = 0; i < lab->snapshots.count; i++)
        if (schemes_same(lab->session->model, lab->snapshots.of[i].schemes->of, lab->target))
            return (int)i;
    return -1;
}

/* A model that was kept is not kept twice: two rows of one model would differ by noise alone. */
static bool is_kept(struct lab *lab)
{
    int same = snapshots_current(lab);
    if (same < 0)
        return false;
    lab_say(lab, false, "snapshot %c has these schemes: %s", lab->snapshots.of[same].label,
            lab->snapshots.of[same].summary);
    return true;
}

/* The first letter that no snapshot has. */
static char free_label(const struct lab *lab)
{
    char label = 'A';
    for (size_t i = 0; i < lab->snapshots.count;)
        if (lab->snapshots.of[i++].label == label) {
            label++;
            i = 0;
        }
    return label;
}

bool snapshots_keep(struct lab *lab)
{
    if (is_kept(lab))
        return true;
    if (lab->snapshots.count == SNAPSHOTS) {
        lab_say(lab, true, "at most %d snapshots can be kept", SNAPSHOTS);
        return false;
    }
    struct weights_totals totals;
    struct snapshot *s = &lab->snapshots.of[lab->snapshots.count];
    *s = (struct snapshot){.label = free_label(lab), .schemes = keep_target(lab)};
    if (!s->schemes || !schemes_totals(lab->session->model, lab->target, 0, &totals)) {
        kept_schemes_unref(s->schemes);
        lab_say(lab, true, "not enough memory");
        return false;
    }
    s->size = totals.size;
    s->bytes_per_token = totals.bytes_per_token;
    s->bits_per_weight = totals.bits_per_weight;
    s->kv_bytes = kv_bytes_per_position(lab->session->model,
                                        lab->target[lab_kv(lab)].format.weight);
    s->decode = s->prefill = s->sqnr_db = metric_absent("not measured yet");
    s->quality.reason = "not evaluated yet: press e";
    summarize(lab, s->summary);
    lab->snapshots.count++;
    lab_say(lab, false, "snapshot %c kept: %s (x swaps the last two, 5 compares)", s->label,
            s->summary);
    return true;
}

void snapshots_give_file(struct lab *lab, struct file_sizes *file)
{
    struct snapshot *s = &lab->snapshots.of[snapshots_current(lab)];
    file_sizes_unref(s->file);
    s->file = file;
}

void snapshots_written(struct lab *lab)
{
    for (size_t i = 0; i < lab->snapshots.count; i++) {
        struct snapshot *s = &lab->snapshots.of[i];
        bool same = true;
        for (size_t t = 0; t < schemes_count(lab->session->model); t++)
            same &= scheme_equal(&s->schemes->of[t], &lab->target[t]);
        s->written |= same;
    }
}

static void restore(struct lab *lab, int index)
{
    if (index < 0 || index >= (int)lab->snapshots.count) {
        lab_say(lab, true, "no such snapshot: s keeps one");
        return;
    }
    target_use(lab, lab->snapshots.of[index].schemes->of);
    lab_say(lab, false, "snapshot %c: %s", lab->snapshots.of[index].label,
            lab->snapshots.of[index].summary);
}

/* ---- commands --------------------------------------------------------------------------------------- */

void keep_snapshot(struct lab *lab, const struct command *c)
{
    (void)c;
    snapshots_keep(lab);
}

void restore_snapshot(struct lab *lab, const struct command *c)
{
    restore(lab, c->index);
}

void swap_snapshots(struct lab *lab, const struct command *c)
{
    (void)c;
    int last = (int)lab->snapshots.count - 1;
    if (last < 1)
        lab_say(lab, true, "needs two snapshots to swap: s keeps one");
    else
        restore(lab, snapshots_current(lab) == last ? last - 1 : last);
}

/* ---- figures ---------------------------------------------------------------------------------------- */

/* Every evaluation says what the reference reaches: where that is the stored weights, a snapshot of them need
 * not be in use. */
static void fill_stored_snapshots(struct lab *lab)
{
    const struct quality_frame *q = &lab->quality;
    if (lab->session->model->reference)
        return;
    for (size_t i = 0; i < lab->snapshots.count && q->valid && quality_is_complete(&q->result); i++) {
        struct snapshot *s = &lab->snapshots.of[i];
        bool stored = s->schemes->of[lab_kv(lab)].format.weight == DTYPE_FP32;
        for (size_t t = 0; t < lab->set->count; t++)
            stored &= qformat_as_stored(&s->schemes->of[t].format);
        if (!stored || (s->quality.valid && !quality_differs(&s->quality.result, &q->result)))
            continue;
        s->quality = *q;
        s->quality.stale = false;
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
    if (*lab->session->model->reference_reason)
        return metric_absent("the reference is of another shape");
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

/* Figures that arrive while a snapshot is in use become its own; of an evaluation only when it is complete. */
static void take_figures(const struct lab *lab, const struct frame *f, struct snapshot *s)
{
    s->peak = f->speed.peak;
    s->sqnr_db = sqnr_of(lab);
    if (f->speed.decode.valid && !f->speed.is_rough && !f->speed.disturbed) {
        s->decode = f->speed.decode;
        s->position = f->position;
    }
    if (f->speed.prefill.valid && lab->prefill.is_timed) {
        s->prefill = f->speed.prefill;
        s->prefill_tokens = f->speed.prefill_tokens;
    }
    if (f->quality.valid && !f->quality.stale && quality_is_complete(&f->quality.result))
        s->quality = f->quality;
}

void snapshots_publish(struct lab *lab, struct frame *f)
{
    struct snapshots *s = &lab->snapshots;
    int current = snapshots_current(lab);
    bool in_use = current >= 0 && f->pending == 0;
    if (in_use)
        take_figures(lab, f, &s->of[current]);
    fill_stored_snapshots(lab);
    memcpy(f->snapshots, s->of, sizeof f->snapshots);
    for (size_t i = 0; i < s->count; i++) {
        (void)kept_schemes_ref(f->snapshots[i].schemes);
        (void)file_sizes_ref(f->snapshots[i].file);
    }
    f->snapshot_count = s->count;
    f->current_snapshot = current;
    if (in_use && f->quality.running && !f->snapshots[current].quality.valid)
        f->snapshots[current].quality = f->quality; /* marked as running; not kept */
}
