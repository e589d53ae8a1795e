/* What a file's types have no room for: counted, and refused unless it is allowed. */
#include "internal.h"

void export_count_overflow(const struct export *job, const struct export_item *item, size_t n)
{
    struct export_overflow *o = job->overflow;
    if (n > 0 && o->in_all == 0) {
        o->tensor = item->tensor;
        o->type = item->type->name;
    }
    o->in_all += n;
    o->in_first += item->tensor == o->tensor ? n : 0;
}

/* Refuses what was counted, or notes it. */
static bool judge(struct export *job, const struct export_overflow *o, struct error *error)
{
    const char *name = job->plan.model->tensors[o->tensor].name, *verb = o->in_first == 1 ? " overflows" : "s overflow";
    if (o->in_all == 0)
        return true;
    if (!job->plan.allow_overflow)
        return error_set(error, "%s: %zu number%s %s (%zu in all layers); expected a type with a wider range, or "
                                "qtop export --allow-overflow", name, o->in_first, verb, o->type, o->in_all);
    export_note_add(job, "%s: %zu number%s %s (%zu in all layers)", name, o->in_first, verb, o->type, o->in_all);
    return true;
}

/* Weights beyond the ends of their grids are what clipping and GPTQ choose; how many, a person should know. */
static void note_clipped(struct export *job)
{
    struct weights_counted c = weights_counted(job->plan.weights, weight_error_clipped);
    if (c.count > 0)
        export_note_add(job, "%zu of %zu weights of %zu layer%s lie beyond their grid's ends (clipped), most in %s",
                        c.count, c.weights, c.layers, c.layers == 1 ? "" : "s", job->plan.model->tensors[c.most].name);
}

bool export_check_set(struct export *job, struct error *error)
{
    struct export_overflow o = {0};
    for (size_t i = 0; i < job->plan.weights->count; i++) {
        const struct qtensor *q = job->plan.weights->layer[i];
        if (q->error.overflowed > 0 && o.in_all == 0)
            o = (struct export_overflow){0, q->error.overflowed, (int)i, dtypes[q->matrix.format.weight].name};
        o.in_all += q->error.overflowed;
    }
    note_clipped(job);
    return judge(job, &o, error);
}

bool export_check_written(struct export *job, struct error *error)
{
    return judge(job, job->overflow, error);
}
