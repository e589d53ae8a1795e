/* qtop inspect: every layer's shape, scheme, bytes and errors. */
#include "batch.h"
#include "inspect_schemes.h"
#include "report_against.h"

#include "measure/output_error.h"
#include "measure/sensitivity.h"
#include "measure/weight_stats.h"
#include "quant/recipe.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { OUTPUT_TOKENS = 64 }; /* of the text, on which output errors are measured */

static const char *reason_without_sqnr(double db, bool compared)
{
    if (!compared)
        return "not a matrix product (lookup or norm)";
    return isinf(db) ? "exact" : isnan(db) ? "a weight or an activation is not finite" : NULL;
}

/* Without a finite error, either every weight is the reference's or one that is not finite became another. */
static double weight_sqnr_db(const struct weight_error *e)
{
    return e->sum_e2 == 0 && !e->exact ? NAN : weight_error_sqnr_db(e);
}

/* What is measured of a model's layers: arrays of tensor_count. */
struct measured {
    struct output_error *outputs;
    struct weight_stats *weights; /* for records only */
    struct sensitivity *sensitivity;    /* with --alone only */
    double *kl_alone;             /* of those that it measured; else NaN. With --alone only */
    struct recipe recipe;         /* of -r; without one no rules */
    struct quality_basis text;    /* of output errors; without tokens: all are as stored, and none was needed */
    struct quality_basis alone;   /* of sensitivities */
};

static void add_sensitivity(json_t *j, const struct measured *m, int tensor)
{
    const struct sensitivity *s = m->sensitivity ? &m->sensitivity[tensor] : NULL;
    const char *why = !s ? "measured with --alone only" : s->scored == 0 ? "as stored" : NULL;
    json_add(j, "kl_alone", s ? s->kl : NAN, why);
    json_add(j, "kl_alone_stderr", s ? s->kl_stderr : NAN, why);
    json_add(j, "kl_alone_tokens", (double)m->alone.tokens, why);
}

/* Where the largest error sits. */
static void add_place(json_t *j, const struct weight_error *e, const char *shape)
{
    const char *why = shape ? shape : e->max_abs > 0 ? NULL : e->exact ? "exact" : "no weight is finite";
    json_add(j, "max_abs_error_row", (double)e->max_row, why);
    json_add(j, "max_abs_error_col", (double)e->max_col, why);
}

/* `shape`: why the reference's weights do not compare, or null. */
static void add_stats(json_t *j, const struct qtensor *q, const struct weight_stats *s, const char *shape)
{
    const struct qmatrix *m = &q->matrix;
    const char *none = shape ? shape : s->weights == 0 ? "no weight is finite" : NULL;
    bool blocks = dtypes[m->format.weight].kind == DTYPE_KIND_BLOCK;
    const char *no_scale = !isnan(s->scale_mean) ? NULL
                           : blocks              ? "each block holds its own scales"
                                                 : "it has no scales";
    json_add(j, "mse", s->mse, none);
    json_add(j, "cosine", s->cosine, none            ? none
                                     : isnan(s->cosine) ? "all weights of one side are 0"
                                                        : NULL);
    json_add(j, "clipped", s->clipped, none             ? none
                                       : isnan(s->clipped) && blocks ? "the grids of a stored block are its own"
                                       : isnan(s->clipped) ? "clipping applies to integer types only"
                                                           : NULL);
    json_add(j, "overflowed", (double)q->error.overflowed, NULL);
    json_add(j, "scale_min", s->scale_min, no_scale);
    json_add(j, "scale_max", s->scale_max, no_scale);
    json_add(j, "scale_mean", s->scale_mean, no_scale);
}

/* By what the columns were weighed. */
static void add_importance(json_t *j, const struct qtensor *p, const struct scheme *s)
{
    static const char *const names[] = {[WEIGHED_BY_TEXT] = "text", [WEIGHED_BY_IMATRIX] = "imatrix",
                                        [WEIGHED_BY_NOTHING] = NULL};
    bool asked = !s->format.stored && methods_take_importance(&s->methods);
    const char *name = asked ? names[p->calibration.weighed_by] : NULL;
    json_object_set_new(j, "importance", name ? json_string(name) : json_null());
    if (!name)
        json_object_set_new(j, "importance_reason",
                            json_string(asked ? "no activations of it are known: unweighted" : "no method imatrix"));
}

/* What the methods found on the calibration text. */
static void add_calibration(json_t *j, const struct qtensor *p)
{
    struct scheme s = qtensor_scheme(p);
    const struct calibration_info *f = &p->calibration;
    const struct input_transform *in = p->matrix.input_transform;
    bool solved = scheme_method(&s, PHASE_CODES), split = scheme_splits_columns(&s);
    json_add(j, "alpha", f->alpha, in && in->scale ? NULL : "no input scale");
    json_add(j, "damp", f->damp, solved && f->damp > 0 ? NULL : "no Hessian");
    json_add(j, "rounded_rows", (double)f->rounded, solved ? NULL : "no GPTQ");
    add_importance(j, p, &s);
    json_add(j, "outlier_columns", (double)f->outliers, split ? NULL : "no LLM.int8()");
}

/* The texts that errors were measured on; null where none was needed. */
static void add_texts(json_t *j, const struct measured *m)
{
    if (m->text.tokens > 0) {
        json_add_text(j, m->text.text, m->text.tokens);
        return;
    }
    json_add(j, "text_name", NAN, "all layers are as stored");
    json_add(j, "text_tokens", NAN, "all layers are as stored");
}

/* Columns that share a scale, those of a block whose scales are scaled together, and whether there are zero points or
 * minima. */
static void add_grid(json_t *j, const struct qtensor *p)
{
    struct scheme s = qtensor_scheme(p);
    const struct dtype_info *type = &dtypes[s.format.weight];
    bool block = type->kind == DTYPE_KIND_BLOCK, nested = dtype_nested(type);
    const char *symmetry = scheme_symmetry(&s);
    json_add(j, "group", (double)(block ? type->scale_columns : p->matrix.group),
             type->kind == DTYPE_KIND_FLOAT                                   ? "a float has no scale"
             : !block && s.format.granularity == GRANULARITY_TENSOR ? "one scale for the tensor"
                                                                    : NULL);
    json_add(j, "super_block", (double)type->block, nested ? NULL : "scales are not scaled again");
    json_object_set_new(j, "symmetry", strcmp(symmetry, "-") != 0 ? json_string(symmetry) : json_null());
    if (strcmp(symmetry, "-") == 0)
        json_object_set_new(j, "symmetry_reason", json_string("codes are floats"));
}

static void report_json(const struct batch *b, int tensor, const struct measured *measured,
                        const struct options *o)
{
    const struct tensor *t = &b->session.model->tensors[tensor];
    const struct qtensor *p = b->weights->layer[tensor];
    const struct output_error *e = &measured->outputs[tensor];
    const struct weight_stats *stats = &measured->weights[tensor];
    const char *guidance = guidance_name(tensor_advice(b->session.model, tensor, measured->kl_alone).guidance);
    const char *reference = o->reference;
    char scheme[SCHEME_TEXT];
    const struct qmatrix *m = &p->matrix;
    const char *shape = *b->session.model->reference_reason ? b->session.model->reference_reason : NULL;
    double sqnr = weight_sqnr_db(&p->error), output = output_error_sqnr_db(e);
    json_t *j = json_object();
    json_object_set_new(j, "name", json_string(t->name));
    json_add(j, "rows", (double)m->rows, NULL);
    json_add(j, "cols", (double)m->cols, NULL);
    json_object_set_new(j, "scheme", json_string(qtensor_print_scheme(p, scheme)));
    json_object_set_new(j, "weight", json_string(dtypes[m->format.weight].name));
    add_grid(j, p);
    json_add(j, "bytes", (double)m->bytes, NULL);
    json_add(j, "bits_per_weight", 8.0 * (double)m->bytes / ((double)m->rows * (double)m->cols), NULL);
    json_add(j, "sqnr_db", sqnr, shape ? shape : reason_without_sqnr(sqnr, true));
    json_add(j, "output_sqnr_db", output, shape ? shape : reason_without_sqnr(output, e->tokens > 0));
    json_add(j, "max_abs_error", p->error.max_abs, shape                 ? shape
                                                   : stats->weights == 0 ? "no weight is finite"
                                                                         : NULL);
    add_place(j, &p->error, shape);
    add_stats(j, p, stats, shape);
    add_calibration(j, p);
    json_object_set_new(j, "reference", reference ? json_text(reference) : json_null());
    if (!reference)
        json_object_set_new(j, "reference_reason", json_string(NO_REFERENCE));
    json_object_set_new(j, "guidance", json_string(guidance));
    add_rule(j, &measured->recipe, b->session.model, tensor);
    add_sensitivity(j, measured, tensor);
    add_texts(j, measured);
    print_record(j, o, tensor == 0);
}

static void format_error(char out[16], double error, bool compares)
{
    snprintf(out, 16, compares ? "%.3g" : "n/a", error);
}

static void format_db(char out[16], double db)
{
    if (isnan(db))
        snprintf(out, 16, "-");
    else if (isinf(db))
        snprintf(out, 16, "exact");
    else
        snprintf(out, 16, "%.2f", db);
}

/* The scheme; of a stored block type what it is, too: "stored q4_k g32/256 asym". */
static const char *format_scheme(char out[SCHEME_TEXT], const struct qtensor *p)
{
    char group[SCHEME_TEXT], scheme[SCHEME_TEXT];
    struct scheme s = qtensor_scheme(p);
    if (!s.format.stored || dtypes[s.format.weight].kind != DTYPE_KIND_BLOCK)
        return qtensor_print_scheme(p, out);
    snprintf(out, SCHEME_TEXT, "%.16s %s %.12s %s", scheme_print(&s, scheme), dtypes[s.format.weight].name, scheme_print_granularity(&s, group),
             scheme_symmetry(&s));
    return out;
}

/* Columns as wide as what stands in them: a line fits in 80 unless names or schemes are long. */
struct widths {
    int name, shape, scheme;
};

static void format_shape(char out[48], const struct qmatrix *m)
{
    snprintf(out, 48, "%zux%zu", m->rows, m->cols);
}

static void widen(int *width, const char *text)
{
    int n = (int)strlen(text);
    *width = n > *width ? n : *width;
}

static struct widths find_widths(const struct batch *b)
{
    struct widths w = {5, 5, 6}; /* of their titles */
    for (size_t i = 0; i < b->weights->count; i++) {
        char shape[48], scheme[SCHEME_TEXT];
        format_shape(shape, &b->weights->layer[i]->matrix);
        widen(&w.name, b->session.model->tensors[i].name);
        widen(&w.shape, shape);
        widen(&w.scheme, format_scheme(scheme, b->weights->layer[i]));
    }
    return w;
}

static void report_title(const struct widths *w, const struct measured *measured)
{
    printf("%-*s %*s %-*s %6s %5s %7s %6s %8s %s%s\n", w->name, "LAYER", w->shape, "SHAPE", w->scheme, "SCHEME",
           "BYTES", "BITS", "SQNR dB", "OUT dB", "MAX ERR", measured->sensitivity ? "    SENS " : "",
           measured->recipe.count ? "RULE" : "ADVICE");
}

static void report_text(const struct batch *b, int tensor, const struct measured *measured,
                        const struct widths *w)
{
    const struct model *model = b->session.model;
    const struct qtensor *p = b->weights->layer[tensor];
    const struct qmatrix *m = &p->matrix;
    char scheme[SCHEME_TEXT], shape[48], bytes[16], sqnr[16], output[16], error[16], last[RULE_TEXT], sensitivity[16] = "";
    format_shape(shape, m);
    bool compares = !*model->reference_reason;
    format_error(error, (double)p->error.max_abs, compares);
    format_db(sqnr, compares ? weight_sqnr_db(&p->error) : NAN);
    format_db(output, compares ? output_error_sqnr_db(&measured->outputs[tensor]) : NAN);
    if (measured->sensitivity && measured->sensitivity[tensor].scored > 0)
        snprintf(sensitivity, sizeof sensitivity, "%8.2g ", measured->sensitivity[tensor].kl);
    else if (measured->sensitivity)
        snprintf(sensitivity, sizeof sensitivity, "%8s ", "-");
    if (!rule_text(&measured->recipe, model, tensor, last))
        snprintf(last, sizeof last, "%s",
                 measured->recipe.count ? "-" : guidance_name(tensor_advice(model, tensor, measured->kl_alone).guidance));
    printf("%-*s %*s %-*s %6s %5.2f %7s %6s %8s %s%s\n", w->name, model->tensors[tensor].name, w->shape, shape,
           w->scheme, format_scheme(scheme, p), format_bytes(bytes, (double)m->bytes),
           8.0 * (double)m->bytes / ((double)m->rows * (double)m->cols), sqnr, output,
           error, sensitivity, last);
}

static void report_layers(const struct batch *b, const struct measured *measured,
                          const struct options *o)
{
    struct widths widths = find_widths(b);
    if (!wants_records(o))
        report_title(&widths, measured);
    for (int i = 0; i < (int)b->session.model->tensor_count; i++)
        if (wants_records(o))
            report_json(b, i, measured, o);
        else
            report_text(b, i, measured, &widths);
}

/* "N weights WHAT, most in LAYER". */
static void report_beyond(const struct batch *b, const char *what, size_t (*of)(const struct weight_error *))
{
    struct weights_counted c = weights_counted(b->weights, of);
    if (c.count > 0)
        printf("%zu weight%s %s, most in %s\n", c.count, c.count == 1 ? "" : "s", what,
               b->session.model->tensors[c.most].name);
}

static void report_totals(const struct batch *b, const struct measured *measured, const struct options *o)
{
    const struct model *m = b->session.model;
    char size[16], path[SHOWN_TEXT];
    size_t position = kv_bytes_per_position(m, b->weights->kv);
    struct weights_totals totals = weights_totals(m, b->weights, 0);
    printf("%s: %zu parameters, %s, %.3f bits/weight linear, %.3f all\n", m->format, m->parameters,
           format_bytes(size, (double)totals.size), totals.bits_per_weight, totals.bits_per_weight_all);
    if (outputs_are_exact(m, b->weights))
        printf("all layers as stored\n");
    else
        printf("output errors on %s, %zu tokens\n", measured->text.text, measured->text.tokens);
    if (measured->sensitivity)
        printf("sensitivity on %s, %zu tokens\n", measured->alone.text, measured->alone.tokens);
    report_beyond(b, "beyond the ends of their grid (clipped)", weight_error_clipped);
    report_beyond(b, "overflow their type", weight_error_overflowed);
    printf("%s: %s, %zu bytes a position, %s for %zu positions\n", KV_NAME,
           dtypes[b->weights->kv].name, position,
           format_bytes(size, (double)(position * b->session.context)), b->session.context);
    if (o->reference)
        printf("reference: %s\n", shown(path, o->reference));
    if (*m->reference_reason)
        printf("errors of layers n/a: %s\n", m->reference_reason);
}

static void report(const struct batch *b, const struct measured *measured, const struct options *o)
{
    report_layers(b, measured, o);
    if (!wants_records(o))
        report_totals(b, measured, o);
}

static struct quality_basis basis_of(const struct study_tokens *text)
{
    struct quality_basis basis = {.tokens = text->list.count};
    memcpy(basis.text, text->name, sizeof basis.text);
    return basis;
}

/* Output errors on some tokens of the text that quality is measured on. */
static bool measure_outputs(const struct batch *b, const struct options *o, struct measured *m, struct error *error)
{
    struct output_error *errors = m->outputs;
    const struct session *s = &b->session;
    size_t n = s->context < OUTPUT_TOKENS ? s->context : OUTPUT_TOKENS;
    if (outputs_are_exact(s->model, b->weights))
        return output_errors(s->model, s->pool, b->weights, NULL, n, errors, error);
    struct study_tokens text = {0};
    bool ok = quality_tokens(b, o, n, &text, error) &&
              output_errors(s->model, s->pool, b->weights, text.list.ids, text.list.count, errors, error);
    m->text = basis_of(&text);
    free(text.list.ids);
    return ok;
}

static bool measure_weights(const struct batch *b, struct weight_stats *stats, struct error *error)
{
    const struct session *s = &b->session;
    bool ok = true;
    for (size_t i = 0; ok && i < s->model->tensor_count; i++)
        ok = weight_stats_measure(s->model, b->weights->layer[i], s->pool, &stats[i], error);
    return ok;
}

/* On the text that quality is measured on. */
static bool measure_sensitivity(const struct batch *b, const struct options *o, struct measured *m, struct error *error)
{
    const struct session *s = &b->session;
    struct study_tokens text = {0};
    if (!quality_tokens(b, o, SENSITIVITY_TOKENS, &text, error))
        return false;
    struct sensitivity_plan plan = {text.list.ids, text.list.count, session_bos(s), s->context, NULL};
    struct sensitivity_job *job = sensitivity_open(s->model, s->pool, &plan, s->stored, b->weights, error);
    bool cancelled, ok = job && session_run(s, &sensitivity_class, job, &cancelled, error);
    for (int t = 0; ok && t < (int)s->model->tensor_count; t++) {
        m->sensitivity[t] = sensitivity_of(job, t);
        m->kl_alone[t] = m->sensitivity[t].scored > 0 ? m->sensitivity[t].kl : NAN;
    }
    sensitivity_close(job);
    m->alone = basis_of(&text);
    free(text.list.ids);
    return ok;
}

static bool measure(struct batch *b, const struct options *o, struct measured *m, struct error *error)
{
    size_t layers = b->session.model->tensor_count;
    m->outputs = calloc(layers, sizeof *m->outputs);
    m->weights = calloc(layers, sizeof *m->weights);
    m->sensitivity = o->alone ? calloc(layers, sizeof *m->sensitivity) : NULL;
    m->kl_alone = o->alone ? calloc(layers, sizeof *m->kl_alone) : NULL;
    if (!m->outputs || !m->weights || (o->alone && (!m->sensitivity || !m->kl_alone)))
        return error_set(error, "not enough memory");
    return batch_measure(b, error) && batch_pack(b, error) && measure_outputs(b, o, m, error) &&
           (!wants_records(o) || measure_weights(b, m->weights, error)) &&
           (!o->alone || measure_sensitivity(b, o, m, error));
}

int run_inspect(const struct options *o)
{
    struct batch batch;
    struct error error;
    struct measured measured = {0};
    int status;
    if (o->no_run && o->alone) {
        error_set(&error, "--no-run: nothing is measured; expected no --alone beside it");
        return complain(&error, EXIT_USAGE);
    }
    if (!batch_open(&batch, o, &status, &error))
        return complain(&error, status);
    bool ok = batch_check_output(&batch, o, &error) &&
              (!o->output || recipe_write(o->output, batch.session.model, batch.schemes, &error)) &&
              (!o->recipe || recipe_read(&measured.recipe, o->recipe, &error));
    if (ok && o->against) {
        ok = report_against(&batch, o, AGAINST_FACTS | (o->no_run ? 0 : AGAINST_WEIGHTS), &error);
    } else if (ok && o->no_run) {
        ok = inspect_schemes(&batch, &measured.recipe, o, &error);
    } else if (ok) {
        ok = measure(&batch, o, &measured, &error);
        if (ok)
            report(&batch, &measured, o);
    }
    free(measured.outputs);
    free(measured.weights);
    free(measured.sensitivity);
    free(measured.kl_alone);
    recipe_free(&measured.recipe);
    batch_close(&batch);
    return ok ? EXIT_DONE : complain(&error, EXIT_FAILED);
}
