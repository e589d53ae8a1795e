#include "report_frame.h"

#include "base/clock.h"
#include "report/fill.h"

#include <math.h>
#include <stdio.h>

static const double ERRORS_SECONDS = 1; /* that errors are counted, at most */

static struct metric with_reason(struct report *r, struct metric m)
{
    m.reason = m.valid ? NULL : report_text(r, m.reason);
    return m;
}

/* ---- schemes ----------------------------------------------------------------------------------- */

static void take_quality(struct report *r, struct report_scheme *row, const struct quality_frame *q,
                         const char *incomparable)
{
    static const enum report_figure figures[] = {FIGURE_KL, FIGURE_TOP1, FIGURE_PERPLEXITY};
    if (q->valid)
        fill_quality(row, &q->result);
    for (size_t i = 0; !q->valid && i < sizeof figures / sizeof *figures; i++)
        row->figure[figures[i]] = metric_absent(report_text(r, q->reason ? q->reason : "not evaluated"));
    row->partial |= q->running;
    row->stale = q->stale ? "measured on an earlier set of weights" : report_text(r, incomparable);
}

static void add_size(struct report_scheme *row, const struct frame *f, size_t size, const struct file_sizes *file)
{
    row->figure[FIGURE_SIZE] = metric_value((double)size);
    row->figure[FIGURE_FILE] = file ? metric_value((double)file->size)
                                    : metric_absent("known for schemes that a search or Advise chose for files");
    if (f->model->parameters > 0)
        row->figure[FIGURE_BITS] = metric_value(8 * (double)size / (double)f->model->parameters);
}

static void add_snapshot(struct report *r, const struct frame *f, const struct snapshot *s)
{
    struct report_scheme *row = report_add_scheme(r);
    row->name = *s->name ? report_textf(r, "%s: %s", s->name, s->summary) : report_text(r, s->summary);
    row->mark = report_textf(r, "%c", s->label);
    add_size(row, f, s->size, s->file);
    row->figure[FIGURE_DECODE] = with_reason(r, snapshot_decode(s));
    row->figure[FIGURE_PREFILL] = with_reason(r, s->prefill);
    take_quality(r, row, &s->quality, frame_incomparable(f, 0, s));
}

/* What the figures are of: the first that there is, of a complete evaluation before others. */
static const struct quality_result *basis_of(const struct frame *f)
{
    const struct quality_result *q = frame_basis(f, 0);
    for (size_t i = 0; !q && f->advise && i < f->advise->count; i++)
        if (f->advise->of[i].state == ADVISE_MEASURED)
            q = &f->advise->of[i].quality;
    return q || !f->quality.valid ? q : &f->quality.result;
}

/* What is in use and no snapshot. */
static void add_set(struct report *r, const struct frame *f)
{
    struct report_scheme *row = report_add_scheme(r);
    row->name = "in use, not kept";
    row->mark = "*";
    add_size(row, f, f->size, frame_file(f));
    row->figure[FIGURE_DECODE] = with_reason(r, f->speed.decode);
    row->figure[FIGURE_PREFILL] = with_reason(r, f->speed.prefill);
    row->disturbed = f->speed.is_rough;
    const struct quality_result *basis = basis_of(f);
    take_quality(r, row, &f->quality, basis && f->quality.valid ? quality_differs(&f->quality.result, basis) : NULL);
}

/* Beside snapshots that were evaluated on another text, those of Advise do not compare. */
static void add_advised(struct report *r, const struct frame *f, const struct session *s, enum advise_goal goal)
{
    const struct quality_result *basis = frame_basis(f, 0);
    size_t first = r->scheme_count;
    if (!f->advise)
        return;
    fill_advice(r, s, f->advise->of, f->advise->count, f->advise->pick[goal], goal);
    for (size_t i = 0; basis && first + i < r->scheme_count; i++)
        if (f->advise->of[i].state == ADVISE_MEASURED)
            r->schemes[first + i].stale = report_text(r, quality_differs(&f->advise->of[i].quality, basis));
}

static void add_basis(struct report *r, const struct frame *f)
{
    const struct quality_result *q = basis_of(f);
    if (q)
        fill_basis(r, &q->basis);
}

/* ---- under the roofs ----------------------------------------------------------------------------- */

static struct work timed(struct work w, double tokens, struct metric rate)
{
    w.seconds = rate.valid && rate.value > 0 ? tokens / rate.value : 0;
    return w;
}

static void add_set_points(struct report *r, const struct frame *f)
{
    struct work step = timed(work_of_step(f->model, f->set, 1, f->position), 1, f->speed.decode);
    fill_point(r, "in use", POINT_DECODE, &step);
    if (f->speed.prefill_tokens == 0)
        return;
    struct work pass = timed(work_of_prompt(f->model, f->set, f->speed.prefill_tokens), (double)f->speed.prefill_tokens,
                             f->speed.prefill);
    fill_point(r, "in use", POINT_PREFILL, &pass);
}

/* A snapshot's multiply-adds are those of the set in use: the same model. */
static void add_snapshot_points(struct report *r, const struct frame *f, const struct snapshot *s)
{
    char name[SCHEME_TEXT + 8];
    snprintf(name, sizeof name, "%c %s", s->label, s->summary);
    struct work step = timed(work_of_step(f->model, f->set, 1, s->position), 1, s->decode);
    step.bytes = (double)(s->bytes_per_token + s->position * s->kv_bytes);
    fill_point(r, name, POINT_DECODE, &step);
    if (s->prefill_tokens == 0)
        return;
    struct work pass =
        timed(work_of_prompt(f->model, f->set, s->prefill_tokens), (double)s->prefill_tokens, s->prefill);
    pass.bytes = (double)(s->bytes_per_token + s->prefill_tokens * s->kv_bytes);
    fill_point(r, name, POINT_PREFILL, &pass);
}

static void add_points(struct report *r, const struct frame *f)
{
    add_set_points(r, f);
    for (size_t i = 0; i < f->snapshot_count; i++)
        add_snapshot_points(r, f, &f->snapshots[i]);
    for (int t = 0; t < (int)f->model->tensor_count; t++) {
        struct work w = work_of_tensor(f->model, f->set->layer[t], f->layers[t].seconds.value);
        if (f->layers[t].seconds.valid)
            fill_point(r, f->model->tensors[t].name, POINT_LAYER, &w);
    }
}

/* ---- layer by layer ------------------------------------------------------------------------------ */

static void add_sensitivity(struct report *r, const struct frame *f)
{
    for (int t = 0; t < (int)f->model->tensor_count; t++) {
        const struct layer_frame *l = &f->layers[t];
        if (l->sensitivity.valid)
            fill_layer(r, f->model, t, l->sensitivity.value, l->sensitivity_stderr, l->sensitivity_partial);
    }
    r->missing[PART_SENSITIVITY] = "not measured: the key E measures it";
    r->basis[PART_SENSITIVITY] = "Of the schemes in use.";
}

static void add_errors(struct report *r, const struct frame *f)
{
    double end = clock_seconds() + ERRORS_SECONDS;
    struct error error;
    bool done = false;
    if (*f->model->reference_reason) {
        r->missing[PART_ERRORS] = report_text(r, f->model->reference_reason);
        return;
    }
    struct error_kinds *job = error_kinds_open(f->model, f->set, &error);
    while (job && !done && clock_seconds() < end)
        error_kinds_class.step(job, 0.1, &done, &error);
    if (job)
        fill_errors(r, job);
    r->basis[PART_ERRORS] = done ? "Of the set in use; some rows of each layer are counted."
                                 : "Of the set in use; some rows of the first layers are counted.";
    error_kinds_close(job);
}

static void add_depth(struct report *r, const struct frame *f)
{
    r->missing[PART_DEPTH] = "measured after an evaluation (e)";
    r->basis[PART_DEPTH] = "Of the set in use.";
    if (f->depth)
        fill_depth(r, f->depth);
}

struct report *report_of_frame(const struct frame *f, const struct session *s, const char *model_name,
                               enum advise_goal goal)
{
    struct report *r = report_create();
    if (!r)
        return NULL;
    fill_model(r, f->model, model_name);
    fill_machine(r, pool_threads(s->pool));
    fill_roofs(r, f->roofs ? &f->roofs->roofs : NULL, f->roofs_reason);
    add_basis(r, f);
    for (size_t i = 0; i < f->snapshot_count; i++)
        add_snapshot(r, f, &f->snapshots[i]);
    if (f->current_snapshot < 0)
        add_set(r, f);
    add_advised(r, f, s, goal);
    add_points(r, f);
    add_sensitivity(r, f);
    add_errors(r, f);
    add_depth(r, f);
    r->missing[PART_FRONT] =
        "fewer than two schemes have been evaluated: s keeps them, or A measures those worth considering";
    r->missing[PART_ROOFLINE] = r->missing[PART_ROOFLINE] ? r->missing[PART_ROOFLINE] : "nothing has been timed yet";
    return r;
}
