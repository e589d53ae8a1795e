#include "log.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>

static void say(struct lab *lab, bool is_error, const char *format, va_list args)
{
    struct status *s = &lab->status;
    vsnprintf(s->text, sizeof s->text, format, args);
    s->is_error = is_error;
    s->serial++;
    lab->status_published = false;
    log_add(lab, is_error, s->text);
}

void lab_say(struct lab *lab, bool is_error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(lab, is_error, format, args);
    va_end(args);
    lab->status_holds = NULL;
}

void lab_say_while(struct lab *lab, bool (*holds)(const struct lab *), bool is_error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(lab, is_error, format, args);
    va_end(args);
    lab->status_holds = holds;
}

void lab_use(struct lab *lab, struct weights *set)
{
    struct weights *stored = lab->session->stored;
    /* The same matrices become the same set, so that comparing pointers is enough. */
    if (set->kv == stored->kv && weights_same_layers(set, stored)) {
        weights_unref(set);
        set = weights_ref(stored);
    }
    weights_unref(lab->set);
    lab->set = set;
    lab->set_serial++;
    lab->changed_at = clock_seconds();
}

bool tensor_pending(const struct lab *lab, int tensor)
{
    if (tensor == lab_kv(lab))
        return lab->target[tensor].format.weight != lab->set->kv;
    return !qtensor_has_scheme(lab->set->layer[tensor], &lab->target[tensor]);
}

size_t lab_tensors(const struct lab *lab)
{
    return lab->session->model->tensor_count;
}

int lab_kv(const struct lab *lab)
{
    return kv_index(lab->session->model);
}

void lab_know_quality(struct lab *lab, const struct quality_result *result)
{
    lab->quality = (struct quality_frame){.valid = true, .result = *result, .set_serial = lab->set_serial,
                                          .text_serial = lab->text_serial};
}

bool lab_quality_is_known(const struct lab *lab)
{
    const struct quality_frame *q = &lab->quality;
    return q->valid && !q->running && q->set_serial == lab->set_serial && q->text_serial == lab->text_serial &&
           quality_is_complete(&q->result);
}

double lab_quiet(const struct lab *lab)
{
    return clock_seconds() - lab->changed_at;
}

bool lab_pending(const struct lab *lab)
{
    bool any = false;
    for (int t = 0; t <= lab_kv(lab); t++)
        any |= tensor_pending(lab, t);
    return any;
}

bool lab_settled(const struct lab *lab)
{
    return meter_has_reading(&lab->meter) && lab_quiet(lab) >= SETTLE_SECONDS / 2;
}
