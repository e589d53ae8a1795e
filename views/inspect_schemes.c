/* qtop inspect --no-run: the scheme of every layer and what it takes, of which nothing is made. */
#include "inspect_schemes.h"

#include "quant/recipe.h"

#include <math.h>
#include <string.h>

#define NOT_RUN "not run (--no-run)"

/* As it will be; a stored one as it is. False where the size overflows. */
static bool layer_bytes(const struct batch *b, int tensor, size_t *bytes, struct error *error)
{
    const struct tensor *t = &b->session.model->tensors[tensor];
    const struct scheme *s = &b->schemes[tensor];
    *bytes = t->stored.bytes;
    return s->format.stored || scheme_bytes(s, t->stored.rows, t->stored.cols, bytes) ||
           error_set(error, "%s: the size overflows", t->name);
}

static double bits(const struct tensor *t, size_t bytes)
{
    return 8.0 * (double)bytes / ((double)t->stored.rows * (double)t->stored.cols);
}

static void report_json(const struct batch *b, const struct recipe *recipe, int tensor, size_t bytes,
                        const struct options *o)
{
    static const char *const measured[] = {"sqnr_db", "output_sqnr_db", "max_abs_error"};
    const struct tensor *t = &b->session.model->tensors[tensor];
    const struct scheme *s = &b->schemes[tensor];
    char text[SCHEME_TEXT];
    json_t *j = json_object();
    json_object_set_new(j, "name", json_string(t->name));
    json_add(j, "rows", (double)t->stored.rows, NULL);
    json_add(j, "cols", (double)t->stored.cols, NULL);
    json_object_set_new(j, "scheme", json_string(scheme_print(s, text)));
    json_object_set_new(j, "weight", json_string(dtypes[s->format.weight].name));
    json_add(j, "bytes", (double)bytes, NULL);
    json_add(j, "bits_per_weight", bits(t, bytes), NULL);
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++)
        json_add(j, measured[i], NAN, NOT_RUN);
    add_rule(j, recipe, b->session.model, tensor);
    print_record(j, o, tensor == 0);
}

/* The scheme; of stored blocks their type, too. */
static const char *scheme_text(const struct batch *b, int tensor, char out[SCHEME_TEXT])
{
    const struct scheme *s = &b->schemes[tensor];
    enum dtype stored = b->session.model->tensors[tensor].stored.format.weight;
    if (!s->format.stored || dtypes[stored].kind != DTYPE_KIND_BLOCK)
        return scheme_print(s, out);
    scheme_print(s, out);
    size_t n = strlen(out);
    snprintf(out + n, SCHEME_TEXT - n, " %s", dtypes[stored].name);
    return out;
}

static void report_text(const struct batch *b, const struct recipe *recipe, int tensor, size_t bytes, int width)
{
    const struct tensor *t = &b->session.model->tensors[tensor];
    char scheme[SCHEME_TEXT], size[16], shape[48], rule[RULE_TEXT] = "";
    snprintf(shape, sizeof shape, "%zux%zu", t->stored.rows, t->stored.cols);
    rule_text(recipe, b->session.model, tensor, rule);
    printf("%-*s %13s %6s %5.2f %s%s%s\n", width, t->name, shape, format_bytes(size, (double)bytes), bits(t, bytes),
           scheme_text(b, tensor, scheme), *rule ? "  " : "", rule);
}

static bool report_totals(const struct batch *b, struct error *error)
{
    const struct model *m = b->session.model;
    struct weights_totals totals;
    char size[16];
    if (!schemes_totals(m, b->schemes, 0, &totals))
        return error_set(error, "the size of the model overflows");
    printf("%s: %zu parameters, %s, %.3f bits/weight linear, %.3f all; nothing was quantized\n", m->format, m->parameters,
           format_bytes(size, (double)totals.size), totals.bits_per_weight, totals.bits_per_weight_all);
    return true;
}

bool inspect_schemes(const struct batch *b, const struct recipe *recipe, const struct options *o, struct error *error)
{
    const struct model *m = b->session.model;
    int width = 5;
    bool ok = true;
    for (size_t i = 0; i < m->tensor_count; i++)
        width = (int)strlen(m->tensors[i].name) > width ? (int)strlen(m->tensors[i].name) : width;
    if (!wants_records(o))
        printf("%-*s %13s %6s %5s %s\n", width, "LAYER", "SHAPE", "BYTES", "BITS", "SCHEME");
    for (int i = 0; ok && i < (int)m->tensor_count; i++) {
        size_t bytes;
        ok = layer_bytes(b, i, &bytes, error);
        if (ok && wants_records(o))
            report_json(b, recipe, i, bytes, o);
        else if (ok)
            report_text(b, recipe, i, bytes, width);
    }
    return ok && (wants_records(o) || report_totals(b, error));
}

bool rule_text(const struct recipe *recipe, const struct model *model, int tensor, char out[RULE_TEXT])
{
    const struct rule *rule = recipe_rule(recipe, model, tensor);
    char scheme[SCHEME_TEXT];
    if (rule && rule->choice.mix)
        snprintf(out, RULE_TEXT, "line %d: %.200s", rule->line, rule->pattern);
    else if (rule)
        snprintf(out, RULE_TEXT, "line %d: %.100s %s", rule->line, rule->pattern,
                 scheme_print(&rule->choice.scheme, scheme));
    return rule != NULL;
}

void add_rule(json_t *j, const struct recipe *recipe, const struct model *model, int tensor)
{
    char text[RULE_TEXT];
    if (rule_text(recipe, model, tensor, text))
        json_object_set_new(j, "rule", json_text(text));
    else
        json_add(j, "rule", NAN, recipe->count ? "no rule matches" : "no recipe was given");
}
