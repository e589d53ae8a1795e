#include "folding.h"

#include "model/input_group.h"
#include "quant/scheme.h"

#include <stdlib.h>
#include <string.h>

static const char *name_of(const struct folding *f, int tensor)
{
    return f->model->tensors[tensor].name;
}

/* The divisors of a tensor, at first all 1. */
static float *divisors(struct folding *f, int tensor, struct error *error)
{
    const struct tensor *t = &f->model->tensors[tensor];
    size_t n = roles[t->role].vector ? t->stored.cols : t->stored.rows;
    float *d = f->divisor[tensor];
    if (d)
        return d;
    f->divisor[tensor] = d = malloc((n + 1) * sizeof *d);
    for (size_t i = 0; d && i < n; i++)
        d[i] = 1;
    if (!d)
        error_set(error, "not enough memory");
    return d;
}

/* One divisor for each element of a norm, or of some rows of a matrix and of its bias. */
static bool divide(struct folding *f, enum role role, int block, size_t first, const float *scale, size_t n,
                   struct error *error)
{
    int tensor = model_find(f->model, role, block);
    if (tensor < 0)
        return true;
    float *d = divisors(f, tensor, error);
    for (size_t i = 0; d && i < n; i++)
        d[first + i] *= scale[i];
    return d != NULL;
}

/* ---- before each input group ----------------------------------------------------------------- */

/* What stands before a linear layer: the step that wrote its input. */
struct source {
    struct folding *f;
    const struct layer *layer;
    int block, tensor;       /* of a layer with that input, for errors */
    size_t at;               /* the step that reads the input */
    const float *scale;      /* of the input */
};

static bool refuse(const struct source *s, const char *why, struct error *error)
{
    return error_set(error, "%s: its input scale cannot be folded: %s; expected a scheme without an input scale there",
                     name_of(s->f, s->tensor), why);
}

static bool into_norm(struct folding *f, enum role norm, int block, const float *scale, struct error *error)
{
    size_t n = f->model->tensors[model_find(f->model, norm, block)].stored.cols;
    enum role bias = role_bias(norm);
    return divide(f, norm, block, 0, scale, n, error) &&
           (bias == ROLE_NONE || divide(f, bias, block, 0, scale, n, error));
}

/* Into the rows of the matrix, and of its bias, that wrote a register: all of them, or those that a split took. */
static bool into_rows(const struct source *s, size_t at, enum reg reg, const float *scale, size_t n, struct error *error)
{
    int writer = layer_writer(s->layer, at, reg);
    const struct step *step = writer < 0 ? NULL : &s->layer->steps[writer];
    size_t first = 0;
    if (step && step->op == STEP_SPLIT) {
        first = step->first;
        writer = layer_writer(s->layer, (size_t)writer, step->in);
        step = writer < 0 ? NULL : &s->layer->steps[writer];
    }
    if (!step || step->op != STEP_LINEAR)
        return refuse(s, "no matrix comes before it", error);
    enum role bias = role_bias(step->role);
    return divide(s->f, step->role, s->block, first, scale, n, error) &&
           (bias == ROLE_NONE || divide(s->f, bias, s->block, first, scale, n, error));
}

/* The values' rows, which some heads of queries share. */
static bool into_values(const struct source *s, size_t attend, struct error *error)
{
    const struct layer *l = s->layer;
    size_t shared = l->heads / l->kv_heads, rows = l->kv_heads * l->head_size;
    float *of_rows = malloc((rows + 1) * sizeof *of_rows);
    if (!of_rows)
        return error_set(error, "not enough memory");
    bool same = true;
    for (size_t c = 0; c < l->heads * l->head_size; c++) {
        size_t head = c / l->head_size, row = head / shared * l->head_size + c % l->head_size;
        if (head % shared == 0)
            of_rows[row] = s->scale[c];
        same = same && of_rows[row] == s->scale[c];
    }
    bool ok = same || error_set(error, "%s: its input scale cannot be folded into the values: %zu heads share "
                                       "each of them and have scales of their own; expected a scheme without "
                                       "an input scale there", name_of(s->f, s->tensor), shared);
    ok = ok && into_rows(s, attend, REG_V, of_rows, rows, error);
    free(of_rows);
    return ok;
}

static bool into_up(const struct source *s, size_t activate, struct error *error)
{
    const struct step *step = &s->layer->steps[activate];
    if (step->with == REG_NONE || s->f->model->hyper.activation == ACTIVATION_SWIGLU_CLAMPED) /* clamps it, too */
        return refuse(s, "the activation function comes before it", error);
    return into_rows(s, activate, step->with, s->scale, layer_width(s->f->model, s->layer, step->with), error);
}

/* Whether a norm has a weight for every element of a register, not for those of a head. */
static bool is_whole(const struct source *s, enum role norm, enum reg reg)
{
    const struct model *m = s->f->model;
    return norm != ROLE_NONE && m->tensors[s->layer->tensor[norm]].stored.cols == layer_width(m, s->layer, reg);
}

static bool fold_into_step(const struct source *s, struct error *error)
{
    enum reg in = s->layer->steps[s->at].in;
    int writer = layer_writer(s->layer, s->at, in);
    const struct step *step = writer < 0 ? NULL : &s->layer->steps[writer];
    if (step && step->op == STEP_NORM && is_whole(s, step->role, in))
        return into_norm(s->f, step->role, s->block, s->scale, error);
    if (step && step->op == STEP_ATTEND && s->layer->kv_from == (size_t)s->block)
        return into_values(s, (size_t)writer, error);
    if (step && step->op == STEP_ACTIVATE && in == REG_GATE)
        return into_up(s, (size_t)writer, error);
    return refuse(s, "nothing that comes before it can take it", error);
}

static bool fold(struct folding *f, size_t input_group, int tensor, const float *scale, struct error *error)
{
    const struct model *m = f->model;
    const struct input_group *g = &m->input_groups[input_group];
    struct source s = {f, g->block < 0 ? NULL : &m->layers[g->block], g->block, tensor, (size_t)g->step, scale};
    if (g->block < 0)
        return m->tied                                        ? refuse(&s, "the table is the embedding, too", error)
               : model_find(m, ROLE_OUTPUT_NORM, -1) < 0 ? refuse(&s, "the norm before it has no weights", error)
                                                              : into_norm(f, ROLE_OUTPUT_NORM, -1, scale, error);
    return fold_into_step(&s, error);
}

/* ---- all ------------------------------------------------------------------------------------- */

/* All layers that take the same input: of every group with the source. Returns how many; the caller frees. */
static int *takers_of(const struct model *m, size_t source, size_t *count)
{
    int *tensors = NULL;
    size_t n = 0;
    for (size_t g = source; g < m->input_group_count && m->input_groups[g].block == m->input_groups[source].block; g++) {
        if (input_group_source(m, g) != source)
            continue;
        int *more = realloc(tensors, (n + INPUT_GROUP_TENSORS) * sizeof *more);
        if (!more) {
            free(tensors);
            return NULL;
        }
        tensors = more;
        n += input_group_tensors(m, g, tensors + n);
    }
    *count = n;
    return tensors;
}

/* scales: of each tensor its input scale, or null. */
static bool fold_takers(struct folding *f, const float *const *scales, size_t input_group, const int *tensors, size_t n,
                        struct error *error)
{
    size_t scaled = n;
    for (size_t i = n; i > 0; i--)
        scaled = scales[tensors[i - 1]] ? i - 1 : scaled;
    if (scaled == n)
        return true;
    const float *scale = scales[tensors[scaled]];
    size_t bytes = f->model->tensors[tensors[scaled]].stored.cols * sizeof *scale;
    for (size_t i = 0; i < n; i++) {
        const float *other = scales[tensors[i]];
        if (!other || memcmp(other, scale, bytes) != 0)
            return error_set(error, "%s: its input scale cannot be folded: %s takes the same input and has %s; "
                                    "expected the same scheme for both", name_of(f, tensors[scaled]),
                             name_of(f, tensors[i]), other ? "another one" : "none");
    }
    return fold(f, input_group, tensors[scaled], scale, error);
}

static bool fold_site(struct folding *f, const float *const *scales, size_t input_group, struct error *error)
{
    size_t n = 0;
    if (input_group_source(f->model, input_group) != input_group)
        return true; /* done with the first of them */
    int *tensors = takers_of(f->model, input_group, &n);
    bool ok = tensors ? fold_takers(f, scales, input_group, tensors, n, error)
                      : error_set(error, "not enough memory");
    free(tensors);
    return ok;
}

static bool fold_all(struct folding *f, const struct model *m, const float *const *scales, struct error *error)
{
    *f = (struct folding){m, calloc(m->tensor_count + 1, sizeof *f->divisor)};
    bool ok = f->divisor ? true : error_set(error, "not enough memory");
    for (size_t input_group = 0; ok && input_group < m->input_group_count; input_group++)
        ok = fold_site(f, scales, input_group, error);
    if (!ok)
        folding_close(f);
    return ok;
}

bool folding_open(struct folding *f, const struct model *m, const struct weights *set, struct error *error)
{
    const float **scales = calloc(m->tensor_count + 1, sizeof *scales);
    for (size_t i = 0; scales && i < m->tensor_count; i++)
        scales[i] = set->layer[i]->matrix.input_transform ? set->layer[i]->matrix.input_transform->scale : NULL;
    *f = (struct folding){0};
    bool ok = scales ? fold_all(f, m, scales, error) : error_set(error, "not enough memory");
    free(scales);
    return ok;
}

/* Numbers that are all different, from which every scheme of a input group gets its own run. */
static float *make_ramp(const struct model *m)
{
    size_t widest = 0;
    for (size_t i = 0; i < m->tensor_count; i++)
        widest = m->tensors[i].stored.cols > widest ? m->tensors[i].stored.cols : widest;
    float *ramp = malloc((widest + INPUT_GROUP_TENSORS) * sizeof *ramp);
    for (size_t i = 0; ramp && i < widest + INPUT_GROUP_TENSORS; i++)
        ramp[i] = 1 + (float)i;
    return ramp;
}

static void give_runs(const struct model *m, size_t input_group, const struct scheme *schemes, const float *ramp,
                      const float **scales)
{
    int tensors[INPUT_GROUP_TENSORS];
    size_t n = input_group_tensors(m, input_group, tensors);
    for (size_t i = 0; i < n; i++) {
        size_t first = 0;
        while (!scheme_equal(&schemes[tensors[first]], &schemes[tensors[i]]))
            first++;
        if (scheme_scales_inputs(&schemes[tensors[i]]))
            scales[tensors[i]] = ramp + first;
    }
}

bool folding_foresee(const struct model *m, const struct scheme *schemes, struct error *error)
{
    const float **scales = calloc(m->tensor_count + 1, sizeof *scales);
    float *ramp = make_ramp(m);
    struct folding f = {0};
    for (size_t input_group = 0; scales && ramp && input_group < m->input_group_count; input_group++)
        give_runs(m, input_group, schemes, ramp, scales);
    bool ok = scales && ramp ? fold_all(&f, m, scales, error) : error_set(error, "not enough memory");
    folding_close(&f);
    free(scales);
    free(ramp);
    return ok;
}

void folding_close(struct folding *f)
{
    for (size_t i = 0; f->divisor && i < f->model->tensor_count; i++)
        free(f->divisor[i]);
    free(f->divisor);
    *f = (struct folding){0};
}

float folding_divisor(const struct folding *f, int tensor, size_t r, size_t c)
{
    const float *d = f->divisor[tensor];
    if (!d)
        return 1;
    return roles[f->model->tensors[tensor].role].vector ? d[c] : d[r];
}
