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
