#include "sampled_steps.h"

#include "base/clock.h"
#include "measure/output_error.h"
#include "model/on_demand.h"
#include "pins.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What output_error has, without the histogram. */
struct output_sums {
    double sum_y2, sum_e2;
    size_t tokens;
};

struct sampled_steps {
    double *seconds;               /* schemes_count: sums over steps, one a tensor and attention's */
    double *of_step;               /* schemes_count: of one step */
    size_t count;                  /* steps */
    size_t skipped;                /* steps since the last sampled one */
    double at;                     /* clock_seconds of that */
    bool follows;                  /* the selected layer multiplies, and what it is compared with is in memory */
    struct output_error output;    /* of the selected layer */
    struct output_sums *outputs;   /* of every layer (tensors) */
    float *output_scratch;
    struct columns *columns;       /* of the selected layer's inputs */
    struct columns *columns_frame; /* a copy of it; null when that is old */
};

bool sampled_steps_open(struct lab *lab, struct error *error)
{
    size_t n = schemes_count(lab->session->model);
    struct sampled_steps *s = lab->sampled = calloc(1, sizeof *s);
    if (!s)
        return error_set(error, "not enough memory");
    s->seconds = calloc(n, sizeof *s->seconds);
    s->of_step = calloc(n, sizeof *s->of_step);
    s->outputs = calloc(lab_tensors(lab), sizeof *s->outputs);
    s->output_scratch = output_error_scratch(lab->session->model);
    return (s->seconds && s->of_step && s->outputs && s->output_scratch) || error_set(error, "not enough memory");
}

void sampled_steps_close(struct lab *lab)
{
    struct sampled_steps *s = lab->sampled;
    if (!s)
        return;
    free(s->seconds);
    free(s->of_step);
    free(s->outputs);
    free(s->output_scratch);
    columns_unref(s->columns);
    columns_unref(s->columns_frame);
    free(s);
}

bool sampled_steps_due(struct sampled_steps *s)
{
    double now = clock_seconds();
    if (++s->skipped < SAMPLE_EVERY || now - s->at < SAMPLE_SECONDS)
        return false;
    s->skipped = 0;
    s->at = now;
    return true;
}

/* The inputs of the selected layer in the set in use. */
static void see_columns(struct lab *lab, int tensor, const float *x, size_t tokens)
{
    struct sampled_steps *s = lab->sampled;
    struct qtensor *w = lab->set->layer[tensor];
    if (!s->columns || s->columns->q != w) {
        columns_unref(s->columns);
        s->columns = columns_new(w);
    }
    if (s->columns)
        columns_add(s->columns, x, tokens);
    columns_unref(s->columns_frame);
    s->columns_frame = NULL;
}

/* What is generated when it is needed is not compared: a layer would take as long as many tokens. */
static void add_to_sums(struct lab *lab, const struct qtensor *w, const float *x, const float *y, size_t tokens)
{
    struct output_sums *sums = &lab->sampled->outputs[w->tensor];
    const struct model *reference = model_weights_reference(lab->session->model);
    struct output_error e = {0};
    if (output_is_exact(lab->session->model, &w->matrix))
        e.tokens = tokens;
    else if (!model_on_demand(reference, w->tensor))
        output_error_add(&e, lab->session->pool, &reference->tensors[w->tensor].stored, x, y, tokens,
                         lab->sampled->output_scratch);
    sums->sum_y2 += e.sum_y2;
    sums->sum_e2 += e.sum_e2;
    sums->tokens += e.tokens;
}

static void see_output(void *arg, const struct qtensor *w, const float *x, const float *y, size_t tokens)
{
    struct lab *lab = arg;
    struct sampled_steps *s = lab->sampled;
    const struct tensor *reference = &model_weights_reference(lab->session->model)->tensors[w->tensor];
    bool compares = !*lab->session->model->reference_reason;
    bool selected = s->follows && w->tensor == lab->selection.tensor;
    if (compares && lab->watches_outputs)
        add_to_sums(lab, w, x, y, tokens);
    if (selected)
        see_columns(lab, w->tensor, x, tokens);
    if (selected && compares)
        output_error_add(&s->output, lab->session->pool, &reference->stored, x, y, tokens, s->output_scratch);
}

void sampled_steps_add(struct lab *lab, struct generation *g)
{
    struct sampled_steps *s = lab->sampled;
    const struct model *m = lab->session->model;
    int tensor = lab->selection.tensor;
    size_t n = schemes_count(m);
    memset(s->of_step, 0, n * sizeof *s->of_step);
    g->context->tensor_seconds = s->of_step;
    generation_decode(g, lab->set);
    g->context->tensor_seconds = NULL;
    s->count++;
    for (size_t i = 0; i < n; i++)
        s->seconds[i] += s->of_step[i];
    s->follows = tensor_multiplies(m, tensor) && pins_compared(lab);
    if (lab->watches_outputs || s->follows) {
        g->context->hook = (struct hook){lab->watches_outputs ? HOOK_ALL : tensor, see_output, lab};
        generation_decode(g, lab->set);
        g->context->hook.tensor = HOOK_NONE;
    }
    lab->meter.skip_next = true;
}

void sampled_steps_reset_output(struct lab *lab)
{
    lab->sampled->output = (struct output_error){0};
}

void sampled_steps_reset(struct lab *lab)
{
    struct sampled_steps *s = lab->sampled;
    s->count = 0;
    memset(s->seconds, 0, schemes_count(lab->session->model) * sizeof *s->seconds);
    memset(s->outputs, 0, lab_tensors(lab) * sizeof *s->outputs);
    sampled_steps_reset_output(lab);
    columns_unref(s->columns); /* what comes into a layer depends on those before it */
    columns_unref(s->columns_frame);
    s->columns = s->columns_frame = NULL;
}

/* ---- frames ---------------------------------------------------------------------------------- */

static void publish_output(const struct lab *lab, struct output_frame *out)
{
    const struct output_error *e = &lab->sampled->output;
    double db = output_error_sqnr_db(e);
    out->q = e->tokens > 0 ? lab->set->layer[lab->selection.tensor] : NULL;
    bool compares = !*lab->session->model->reference_reason;
    out->sqnr_db = !compares   ? metric_absent("the reference is of another shape")
                   : isnan(db) ? metric_absent("no token has been compared yet")
                               : metric_value(db);
    out->tokens = e->tokens;
    out->errors = e->errors;
}

static struct metric seconds_of(const struct sampled_steps *s, size_t layer)
{
    if (s->count == 0)
        return metric_absent("not measured yet");
    if (!(s->seconds[layer] > 0))
        return metric_absent("not a matrix product (lookup or norm)");
    return metric_value(s->seconds[layer] / (double)s->count);
}

static struct metric output_of(const struct lab *lab, size_t tensor)
{
    const struct output_sums *sums = &lab->sampled->outputs[tensor];
    const struct output_error e = {.sum_y2 = sums->sum_y2, .sum_e2 = sums->sum_e2, .tokens = sums->tokens};
    double db = output_error_sqnr_db(&e);
    return isnan(db) ? metric_absent("no token has been compared yet") : metric_value(db);
}

void sampled_steps_publish(struct lab *lab, struct frame *f)
{
    struct sampled_steps *s = lab->sampled;
    for (size_t i = 0; i < lab_tensors(lab); i++)
        f->layers[i].output_sqnr_db = output_of(lab, i);
    for (size_t i = 0; i < schemes_count(lab->session->model); i++)
        f->layers[i].seconds = seconds_of(s, i);
    if (s->columns && s->columns->q == lab->set->layer[lab->selection.tensor]) {
        if (!s->columns_frame)
            s->columns_frame = columns_copy(s->columns);
        f->columns = columns_ref(s->columns_frame);
    }
    publish_output(lab, &f->output);
}
