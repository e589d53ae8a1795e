#include "imatrix_collect.h"

#include "calibration.h"
#include "engine/layerwise.h"

#include <stdlib.h>
#include <string.h>

/* Tokens that run through the layers together: what they leave between two layers lies in memory. */
enum { PASS_TOKENS = 8192 };

enum { NO_ENTRY = -1 };

struct imatrix_collect {
    struct imatrix_collect_plan plan;
    struct weights *weights;
    struct imatrix matrix;       /* the entries are not sorted before all is done */
    int *entry;                  /* of each tensor, or NO_ENTRY */
    size_t last_group;           /* behind which no tensor has an entry */
    struct layerwise_pass *pass; /* of tokens `begin` to `end`; null: the next is to be opened */
    size_t begin, end;
    size_t nonfinite;
};

/* ---- what is to be collected --------------------------------------------------------------------- */

/* As llama-imatrix has it: matrices inside blocks, and the head where that is asked for. */
static bool is_collected(const struct imatrix_collect *c, int tensor)
{
    const struct tensor *t = &c->plan.model->tensors[tensor];
    return !roles[t->role].vector && input_group_of(c->plan.model, tensor) >= 0 && (t->block >= 0 || c->plan.output);
}

/* The entry of a tensor: of experts the one that the first of them made. */
static bool add_entry(struct imatrix_collect *c, int tensor)
{
    const struct model *m = c->plan.model;
    const struct tensor *t = &m->tensors[tensor];
    size_t group = (size_t)input_group_of(m, tensor);
    char name[IMPORTANCE_NAME];
    c->last_group = group > c->last_group ? group : c->last_group;
    importance_name(m, tensor, name);
    if (t->expert > 0) {
        c->entry[tensor] = c->entry[tensor - t->expert];
        return true;
    }
    c->entry[tensor] = (int)c->matrix.count;
    return imatrix_add(&c->matrix, name, strlen(name), importance_rows(m, tensor), t->stored.cols);
}

static bool add_entries(struct imatrix_collect *c)
{
    const struct model *m = c->plan.model;
    bool ok = true;
    for (int t = 0; ok && t < (int)m->tensor_count; t++) {
        c->entry[t] = NO_ENTRY;
        ok = !is_collected(c, t) || add_entry(c, t);
    }
    return ok;
}

struct imatrix_collect *imatrix_collect_open(const struct imatrix_collect_plan *plan, struct error *error)
{
    struct imatrix_collect *c = calloc(1, sizeof *c);
    bool ok = c;
    if (c) {
        *c = (struct imatrix_collect){.plan = *plan, .weights = weights_ref(plan->weights)};
        c->entry = calloc(plan->model->tensor_count, sizeof *c->entry);
        c->matrix.dataset = strdup(plan->dataset);
        ok = c->entry && c->matrix.dataset && add_entries(c);
    }
    if (ok && c->matrix.count > 0)
        return c;
    error_set(error, ok ? "the model has no matrices inside blocks" : "not enough memory for an importance matrix");
    imatrix_collect_close(c);
    return NULL;
}

void imatrix_collect_close(struct imatrix_collect *c)
{
    if (!c)
        return;
    layerwise_close(c->pass);
    weights_unref(c->weights);
    imatrix_free(&c->matrix);
    free(c->entry);
    free(c);
}

/* ---- collecting ---------------------------------------------------------------------------------- */

/* Whole windows, as many as fit in a pass and at least one. */
static bool begin_pass(struct imatrix_collect *c, struct error *error)
{
    const struct calibration_text *text = c->plan.text;
    size_t most = PASS_TOKENS / text->window * text->window, left = text->count - c->begin;
    most = most > 0 ? most : text->window;
    c->end = c->begin + (left < most ? left : most);
    c->pass =
        layerwise_open(c->plan.model, c->plan.pool, text->tokens + c->begin, c->end - c->begin, text->window, error);
    return c->pass;
}

static void add_stats(struct imatrix_collect *c, int tensor, const struct input_stats *s)
{
    const struct tensor *t = &c->plan.model->tensors[tensor];
    struct imatrix_entry *e = &c->matrix.entries[c->entry[tensor]];
    size_t row = t->expert >= 0 ? (size_t)t->expert : 0;
    e->counts[row] += (float)s->tokens;
    for (size_t i = 0; i < s->cols; i++)
        e->sums[row * s->cols + i] += (float)s->sum_squares[i];
}

/* The tensors of the group that is reached; siblings have the same sums. */
static bool observe(struct imatrix_collect *c, struct error *error)
{
    const struct model *m = c->plan.model;
    int tensors[INPUT_GROUP_TENSORS];
    size_t count = input_group_tensors(m, layerwise_group(c->pass), tensors), wanted = 0;
    struct layerwise_input in = layerwise_input(c->pass);
    struct input_stats stats = {0};
    for (size_t i = 0; i < count; i++)
        wanted += c->entry[tensors[i]] != NO_ENTRY;
    if (wanted == 0 || in.count == 0)
        return true;
    bool ok =
        input_stats_make(&stats, c->plan.pool, in.rows, in.stride, m->tensors[tensors[0]].stored.cols, in.count, error);
    for (size_t i = 0; ok && i < count; i++)
        if (c->entry[tensors[i]] != NO_ENTRY)
            add_stats(c, tensors[i], &stats);
    c->nonfinite = stats.nonfinite_tokens > c->nonfinite ? stats.nonfinite_tokens : c->nonfinite;
    input_stats_free(&stats);
    return ok;
}

static void finish(struct imatrix_collect *c)
{
    const char *twice;
    const struct calibration_text *text = c->plan.text;
    c->matrix.chunk_size = text->window;
    c->matrix.chunk_count = text->count / text->window > 0 ? text->count / text->window : 1;
    imatrix_sort(&c->matrix, &twice);
}

/* A slice of a pass; leads on to the next one behind the last group. */
static bool pass_step(struct imatrix_collect *c, double seconds, struct error *error)
{
    bool arrived;
    if (!c->pass && !begin_pass(c, error))
        return false;
    if (!layerwise_step(c->pass, c->weights, seconds, &arrived, error))
        return false;
    if (!arrived)
        return true;
    size_t group = layerwise_group(c->pass);
    if (!observe(c, error))
        return false;
    if (group < c->last_group)
        return true;
    layerwise_close(c->pass);
    c->pass = NULL;
    c->begin = c->end;
    return true;
}

static bool step_job(void *job, double seconds, bool *done, struct error *error)
{
    struct imatrix_collect *c = job;
    if (c->begin < c->plan.text->count && !pass_step(c, seconds, error))
        return false;
    *done = c->begin == c->plan.text->count;
    if (*done)
        finish(c);
    return true;
}

static double job_fraction(const void *job)
{
    const struct imatrix_collect *c = job;
    double here = 0, all = (double)c->plan.text->count;
    if (c->pass)
        here = ((double)layerwise_group(c->pass) + layerwise_fraction(c->pass)) / (double)(c->last_group + 1);
    return ((double)c->begin + here * (double)(c->end - c->begin)) / all;
}

static void close_job(void *job)
{
    imatrix_collect_close(job);
}

size_t imatrix_collect_nonfinite(const struct imatrix_collect *c)
{
    return c->nonfinite;
}

void imatrix_collect_take(struct imatrix_collect *c, struct imatrix *out)
{
    *out = c->matrix;
    c->matrix = (struct imatrix){0};
}

const struct job_class imatrix_collect_class = {
    .name = "computing an importance matrix",
    .step = step_job,
    .fraction = job_fraction,
    .close = close_job,
};
