#include "fill.h"

#include "base/units.h"
#include "kernels/dispatch.h"
#include "quant/recipe.h"
#include "sys/memory.h"
#include "sys/topology.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- model and machine ------------------------------------------------------------------------- */

/* The stored types that hold the most bytes, with their shares. */
static const char *stored_types(const struct model *m, char out[128])
{
    size_t bytes[DTYPE_ALL] = {0}, all = 0, used = 0;
    for (size_t t = 0; t < m->tensor_count; t++) {
        bytes[m->tensors[t].stored.format.weight] += m->tensors[t].stored.bytes;
        all += m->tensors[t].stored.bytes;
    }
    *out = 0;
    for (int turn = 0; turn < 4; turn++) {
        size_t most = 0;
        for (size_t d = 1; d < DTYPE_ALL; d++)
            most = bytes[d] > bytes[most] ? d : most;
        double share = all > 0 ? (double)bytes[most] / (double)all : 0;
        if (share < 0.005)
            break;
        used += (size_t)snprintf(out + used, 128 - used, "%s%s", used ? ", " : "", dtypes[most].name);
        if (share < 0.995)
            used += (size_t)snprintf(out + used, 128 - used, " %.0f %%", 100 * share);
        bytes[most] = 0;
    }
    return out;
}

static void add_number(struct report *r, enum report_subject subject, const char *label, const char *format,
                       double value)
{
    char text[64];
    snprintf(text, sizeof text, format, value);
    report_add_fact(r, subject, label, text, NULL);
}

void fill_model(struct report *r, const struct model *m, const char *name)
{
    char text[128], bytes[16];
    struct stat st;
    r->title = report_text(r, name);
    report_add_fact(r, SUBJECT_MODEL, "name", name, NULL);
    snprintf(text, sizeof text, "%.60s, %zu blocks, %zu wide", m->arch, m->hyper.layers, m->hyper.dim);
    report_add_fact(r, SUBJECT_MODEL, "architecture", text, NULL);
    snprintf(text, sizeof text, m->parameters < 1e9 ? "%.4g million" : "%.4g billion",
             (double)m->parameters / (m->parameters < 1e9 ? 1e6 : 1e9));
    report_add_fact(r, SUBJECT_MODEL, "parameters", text, NULL);
    bool file = m->path && stat(m->path, &st) == 0 && S_ISREG(st.st_mode);
    snprintf(text, sizeof text, "%s, %.40s", file ? format_bytes(bytes, (double)st.st_size) : "", m->format);
    report_add_fact(r, SUBJECT_MODEL, "file", file ? text : NULL,
                    m->path ? "it is a folder" : "it is not read from one");
    report_add_fact(r, SUBJECT_MODEL, "stored type", stored_types(m, text), NULL);
}

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

void fill_machine(struct report *r, int threads)
{
    const struct topology *t = topology();
    char text[160], bytes[16];
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    report_add_fact(r, SUBJECT_MACHINE, "processor", or_null(t->processor), "not reported by the system");
    snprintf(text, sizeof text, "%d (%d hardware threads)", t->cores, t->processors);
    report_add_fact(r, SUBJECT_MACHINE, "cores", text, NULL);
    snprintf(text, sizeof text, "%d", threads);
    report_add_fact(r, SUBJECT_MACHINE, "threads used", text, NULL);
    snprintf(text, sizeof text, "%s: %s", isa_current()->name, isa_current()->description);
    report_add_fact(r, SUBJECT_MACHINE, "instruction set", text, NULL);
    bool known = pages > 0 && page > 0;
    snprintf(text, sizeof text, "%s", known ? format_bytes(bytes, (double)pages * (double)page) : "");
    report_add_fact(r, SUBJECT_MACHINE, "memory", or_null(text), "not reported by the system");
}

/* Peaks are the best that was seen: whatever else ran can only have slowed them. */
static void add_peaks(struct report *r, const struct peak_roof *set)
{
    for (enum peak k = PEAK_FP32; k < PEAK_COUNT; k++) {
        if (set->of[k].samples == 0)
            continue;
        *report_add_roof(r) = (struct report_roof){peaks[k].name, set->of[k].rate.max};
        add_number(r, SUBJECT_MACHINE, peaks[k].name, "%.1f G multiply-adds/s", set->of[k].rate.max / 1e9);
    }
}

void fill_roofs(struct report *r, const struct roofs *roofs, const char *reason)
{
    const char *why = report_text(r, reason ? reason : "not measured");
    const struct roof *read = roofs && roofs->read_count > 0 ? &roofs->reads[roofs->read_count - 1].roof : NULL;
    bool known = read && read->samples > 0;
    if (!roofs)
        r->missing[PART_ROOFLINE] = report_textf(r, "there are no roofs: %s", why);
    r->read = known ? metric_value(read->rate.median) : metric_absent(why);
    if (known)
        add_number(r, SUBJECT_MACHINE, "memory reads", "%.1f GB/s", r->read.value / 1e9);
    else
        report_add_fact(r, SUBJECT_MACHINE, "memory reads", NULL, why);
    for (size_t i = 0; roofs && i < roofs->set_count; i++)
        if (roofs->sets[i].isa == isa_current())
            add_peaks(r, &roofs->sets[i]);
    if (roofs && roofs_were_disturbed(roofs))
        r->basis[PART_ROOFLINE] = "The machine was busy when the roofs were measured: they may be too low.";
}

/* ---- schemes ----------------------------------------------------------------------------------- */

void fill_basis(struct report *r, const struct quality_basis *b)
{
    report_add_fact(r, SUBJECT_MEASURED, "text", or_null(b->text), "it has no name");
    add_number(r, SUBJECT_MEASURED, "tokens", "%.0f", (double)b->tokens);
    report_add_fact(r, SUBJECT_MEASURED, "protocol", protocol_name(b->protocol), NULL);
    add_number(r, SUBJECT_MEASURED, "window", "%.0f tokens", (double)b->window);
}

static struct metric figure(double value)
{
    const char *why = quality_reason(value);
    return why ? metric_absent(why) : metric_value(value);
}

void fill_quality(struct report_scheme *row, const struct quality_result *q)
{
    row->figure[FIGURE_KL] = figure(q->kl);
    row->figure[FIGURE_KL_ERROR] = figure(q->kl_stderr);
    row->figure[FIGURE_TOP1] = figure(q->top1);
    row->figure[FIGURE_TOP1_ERROR] = figure(quality_top1_stderr(q));
    row->figure[FIGURE_PERPLEXITY] = figure(q->perplexity);
    row->figure[FIGURE_PERPLEXITY_REFERENCE] = figure(q->perplexity_reference);
    row->partial = !quality_is_complete(q);
}

static struct metric speed(double rate, const char *why)
{
    return isfinite(rate) && rate > 0 ? metric_value(rate) : metric_absent(why);
}

static void add_row(struct report *r, const struct advise_row *from, bool taken)
{
    struct report_scheme *row = report_add_scheme(r);
    bool left_out = from->state == ADVISE_LEFT_OUT, timed = advise_is_timed(from);
    const char *why = left_out ? report_text(r, from->reason.text) : "not measured yet, or interrupted before";
    row->name = report_text(r, from->scheme);
    row->exports = report_text(r, from->exports);
    row->verdict = *from->verdict ? report_text(r, from->verdict) : NULL;
    row->recommended = taken;
    for (size_t i = 0; i < FIGURE_COUNT; i++)
        row->figure[i] = metric_absent(why);
    row->figure[FIGURE_SIZE] = metric_value((double)from->size);
    row->figure[FIGURE_FILE] =
        from->file ? metric_value((double)from->file) : metric_absent("the format of files does not hold it");
    row->figure[FIGURE_BITS] = metric_value(from->bits_per_weight_all);
    row->figure[FIGURE_PREDICTED] = speed(from->predicted, "the read bandwidth is not known");
    if (timed) {
        row->figure[FIGURE_DECODE] = speed(from->decode.median, why);
        row->figure[FIGURE_DECODE_MIN] = speed(from->decode.min, why);
        row->figure[FIGURE_DECODE_MAX] = speed(from->decode.max, why);
        row->figure[FIGURE_PREFILL] = speed(from->prefill.median, why);
        row->disturbed = advise_disturbed(from);
    }
    if (from->state == ADVISE_MEASURED || (from->state == ADVISE_EVALUATING && from->quality.scored > 0))
        fill_quality(row, &from->quality);
}

enum { PROMPT = 64, POSITION = 68 }; /* where advise times: a prompt, and some tokens behind it */

/* The multiply-adds of any scheme are those of the stored weights. */
static void add_points(struct report *r, const struct session *s, const struct advise_row *row)
{
    struct weights_totals totals;
    size_t prompt = s->context / 2 < PROMPT ? s->context / 2 : PROMPT;
    if (!row->schemes || !advise_is_timed(row) || !schemes_totals(s->model, row->schemes, prompt, &totals))
        return;
    struct work step = work_of_step(s->model, s->stored, 1, s->context < POSITION ? s->context : POSITION);
    struct work pass = work_of_prompt(s->model, s->stored, prompt > 0 ? prompt : 1);
    step.bytes = pass.bytes = (double)totals.bytes_per_token;
    step.seconds = 1 / row->decode.median;
    pass.seconds = (double)prompt / row->prefill.median;
    fill_point(r, row->scheme, POINT_DECODE, &step);
    fill_point(r, row->scheme, POINT_PREFILL, &pass);
}

void fill_advice(struct report *r, const struct session *s, const struct advise_row *rows, size_t count, size_t taken,
                 enum advise_goal goal)
{
    for (size_t i = 0; i < count; i++) {
        add_row(r, &rows[i], i == taken);
        add_points(r, s, &rows[i]);
    }
    report_add_fact(r, SUBJECT_MEASURED, "counts most", advise_goal_name(goal), NULL);
    if (taken >= count)
        return;
    bool met = advise_goal_met(goal, &rows[taken]);
    r->advice = met ? report_textf(r, "it is the %s.", advise_goal_words(goal))
                    : report_textf(r, "none %s; it is the closest.", advise_goal_keeps(goal));
}

/* ---- under the roofs, and layer by layer --------------------------------------------------------- */

void fill_point(struct report *r, const char *name, enum report_point_kind kind, const struct work *w)
{
    double intensity = work_intensity(w), rate = w->seconds > 0 ? w->macs / w->seconds : NAN;
    if (isfinite(intensity) && intensity > 0 && isfinite(rate) && rate > 0)
        *report_add_point(r) = (struct report_point){report_text(r, name), kind, intensity, rate};
}

void fill_layer(struct report *r, const struct model *m, int tensor, double kl, double error, bool partial)
{
    const struct tensor *t = &m->tensors[tensor];
    struct report_layer *l = report_add_layer(r);
    l->name = report_text(r, t->name);
    l->kind = roles[t->role].name;
    l->block = t->block;
    l->kl = isnan(kl) ? metric_absent("not measured") : metric_value(kl);
    l->kl_error = error;
    l->partial = partial;
}

void fill_depth(struct report *r, const struct depth_profile *p)
{
    char name[DEPTH_NAME];
    bool finite = true;
    for (size_t i = 0; i < p->count; i++)
        finite &= isfinite(p->error[i]);
    if (!finite)
        r->missing[PART_DEPTH] = "a hidden state is not finite";
    for (size_t i = 0; finite && i < p->count; i++)
        *report_add_depth(r) = (struct report_depth){report_text(r, depth_name(p, i, name)), p->error[i]};
}

void fill_errors(struct report *r, const struct error_kinds *job)
{
    size_t count;
    const struct error_kind *kinds = error_kinds_result(job, &count);
    if (count == 0)
        r->missing[PART_ERRORS] = "every weight is as stored: there are no errors";
    r->error_unit = "error / RMS of the weights";
    for (size_t i = 0; i < count; i++)
        *report_add_histogram(r) = (struct report_histogram){
            roles[kinds[i].role].name, kinds[i].errors,
            metric_value(kinds[i].sum_e2 > 0 ? 10 * log10(kinds[i].sum_w2 / kinds[i].sum_e2) : INFINITY),
            (double)kinds[i].largest};
}
