/* What the stages of the job share: the set that grows, and notes about its tensors. */
#include "quantization_internal.h"

#include <stdio.h>
#include <stdlib.h>

void quantization_say(struct quantization *q, int tensor, const char *text)
{
    char(*notes)[NOTE] = realloc(q->notes, (q->note_count + 1) * sizeof *notes);
    if (!notes)
        return;
    q->notes = notes;
    snprintf(q->notes[q->note_count++], NOTE, "%s: %.150s", q->plan.model->tensors[tensor].name, text);
}

const char *quantization_note(const struct quantization *q, size_t i)
{
    return i < q->note_count ? q->notes[i] : NULL;
}

bool quantization_pending(const struct quantization_plan *p, int tensor)
{
    return !qtensor_has_scheme(p->from->layer[tensor], &p->schemes[tensor]);
}

/* ---- what a tensor is packed with -------------------------------------------------------------- */

void quantization_forget(struct quantization *q)
{
    free(q->calibrated.importance);
    free(q->calibrated.outliers);
    q->calibrated = (struct calibrated){0};
}

/* The importance matrix weighs the columns of a scheme that asks for it. */
static bool weighs_by_imatrix(const struct quantization *q, int tensor)
{
    return q->plan.importance && methods_take_importance(&q->plan.schemes[tensor].methods);
}

bool quantization_prepare(struct quantization *q, int tensor, const struct input_stats *stats, struct error *error)
{
    const struct scheme *s = &q->plan.schemes[tensor];
    struct calibration_inputs in = {.cols = q->plan.model->tensors[tensor].stored.cols,
                                    .stats = stats,
                                    .input_scale = q->calibrated.input_scale,
                                    .factor = q->factor.cols ? &q->factor : NULL,
                                    .from_imatrix = weighs_by_imatrix(q, tensor)};
    bool ok = true;
    if (in.from_imatrix && !(in.importance = importance_of(q->plan.importance, tensor))) {
        char text[NOTE];
        snprintf(text, sizeof text, "%s: unweighted", importance_lack(q->plan.importance, tensor));
        quantization_say(q, tensor, text);
    }
    for (size_t i = 0; ok && method_table[i]; i++) {
        const struct method *m = method_table[i];
        if (methods_have(&s->methods, m) && m->prepare)
            ok = m->prepare(&in, methods_values_of(&s->methods, m), &q->calibrated, error);
    }
    if (*q->calibrated.note)
        quantization_say(q, tensor, q->calibrated.note);
    return ok;
}

void quantization_record(struct quantization *q, int tensor)
{
    struct calibration_info *found = &q->job.out->calibration;
    const struct calibrated *c = &q->calibrated;
    found->alpha = c->input_scale ? q->alpha : 0;
    found->damp = c->factor ? c->factor->damp : 0;
    found->outliers = c->outlier_count;
    found->weighed_by = !c->importance                 ? WEIGHED_BY_NOTHING
                        : weighs_by_imatrix(q, tensor) ? WEIGHED_BY_IMATRIX
                                                       : WEIGHED_BY_TEXT;
}

/* ---- the set ------------------------------------------------------------------------------------- */

/* The set with p in its place; takes over p. */
static bool put(struct quantization *q, struct qtensor *p, struct error *error)
{
    struct weights *next = weights_replace(q->set, p);
    q->weights_done += p->matrix.rows * p->matrix.cols;
    q->pending[p->tensor] = false;
    qtensor_unref(p);
    if (!next)
        return error_set(error, "not enough memory");
    weights_unref(q->set);
    q->set = next;
    return true;
}

/* A slice of packing; *done when the matrix is in the set. */
bool quantization_pack(struct quantization *q, double seconds, bool *done, struct error *error)
{
    *done = requant_step(&q->job, q->plan.pool, seconds);
    if (!*done)
        return true;
    q->job.out->calibration.rounded = requant_rounded(&q->job);
    struct qtensor *p = requant_take(&q->job);
    requant_end(&q->job);
    q->packing = false;
    return put(q, p, error);
}
