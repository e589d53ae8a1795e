#include "recipe.h"

#include "formats/mapped.h"
#include "base/edit_distance.h"
#include "base/output.h"
#include "base/escape.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECIPE_LINE = 512, RECIPE_RULES = 100000 };

/* ---- reading --------------------------------------------------------------------------------- */

static bool add_rule(struct recipe *r, const char *pattern, const struct scheme_choice *choice, int line)
{
    if ((r->count & (r->count - 1)) == 0) { /* 0 or a power of two: the room is full */
        struct rule *rules = realloc(r->rules, (r->count ? 2 * r->count : 1) * sizeof *rules);
        if (!rules)
            return false;
        r->rules = rules;
    }
    r->rules[r->count] = (struct rule){strdup(pattern), *choice, line};
    return r->rules[r->count].pattern ? (r->count++, true) : false;
}

/* What a line says, of which `text` is null: a mix that stands alone. */
static bool parse_choice(const char *pattern, const char *text, struct scheme_choice *out, struct error *error)
{
    *out = (struct scheme_choice){0};
    return text ? scheme_parse(text, &out->scheme, error) : scheme_choice_parse(pattern, out, error);
}

/* One line without its comment: nothing, a mix, or a pattern and a scheme. */
static bool parse_line(struct recipe *recipe, const char *name, char *text, int line,
                       struct error *error)
{
    char *save, *pattern = strtok_r(text, " \t\r", &save);
    if (!pattern)
        return true;
    char *scheme = strtok_r(NULL, " \t\r", &save);
    if (!scheme && *pattern != '@')
        return error_set(error, "%s, line %d: '%.48s' has no scheme; expected PATTERN SCHEME, or a mix such as @q4_k_m", name,
                         line, pattern);
    if (scheme && *pattern == '@')
        return error_set(error, "%s, line %d: '%.48s' after a mix; expected the line's end", name, line, scheme);
    char *more = scheme ? strtok_r(NULL, " \t\r", &save) : NULL;
    if (more)
        return error_set(error, "%s, line %d: '%.48s' after the scheme; expected the line's end",
                         name, line, more);
    struct scheme_choice choice;
    struct error why;
    if (!parse_choice(pattern, scheme, &choice, &why))
        return error_set(error, "%s, line %d: %.380s", name, line, why.text);
    return add_rule(recipe, pattern, &choice, line) || error_set(error, "not enough memory");
}

bool recipe_parse(struct recipe *recipe, const char *name, const char *text, size_t n,
                  struct error *error)
{
    *recipe = (struct recipe){.name = strdup(name)};
    if (!recipe->name)
        return error_set(error, "%.200s: not enough memory", name);
    int line = 1;
    for (size_t at = 0; at < n; line++) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end ? (size_t)(end - text) - at : n - at;
        char raw[RECIPE_LINE], shown[RECIPE_LINE];
        bool ok = length < sizeof raw && recipe->count < RECIPE_RULES;
        if (length >= sizeof raw)
            error_set(error, "%s, line %d: %zu bytes; expected fewer than %d", name, line, length,
                      RECIPE_LINE);
        else if (!ok)
            error_set(error, "%s, line %d: more than %d rules", name, line, RECIPE_RULES);
        if (ok) {
            memcpy(raw, text + at, length);
            raw[length] = 0;
            for (size_t i = 0; i < length; i++) /* tabs separate; the rest is shown escaped */
                if (raw[i] == '\t' || raw[i] == '\r')
                    raw[i] = ' ';
            escape_text(shown, sizeof shown, raw, length);
            shown[strcspn(shown, "#")] = 0;
            ok = parse_line(recipe, name, shown, line, error);
        }
        if (!ok) {
            recipe_free(recipe);
            return false;
        }
        at += length + 1;
    }
    return true;
}

bool recipe_read(struct recipe *recipe, const char *path, struct error *error)
{
    struct mapped_file file;
    *recipe = (struct recipe){0};
    if (!mapped_file_open(&file, path, error))
        return false;
    char shown[200];
    escape_text(shown, sizeof shown, path, strlen(path));
    bool ok = recipe_parse(recipe, shown, (const char *)file.data, file.size, error);
    mapped_file_close(&file);
    return ok;
}

void recipe_free(struct recipe *r)
{
    free(r->name);
    for (size_t i = 0; i < r->count; i++)
        free(r->rules[i].pattern);
    free(r->rules);
    *r = (struct recipe){0};
}

/* ---- applying -------------------------------------------------------------------------------- */

/* A pattern without an expert's number is for all of them. */
static bool matches_experts(const char *pattern, const struct tensor *t)
{
    char all[sizeof t->name];
    snprintf(all, sizeof all, "%.*s", (int)(strrchr(t->name, '.') - t->name), t->name);
    return fnmatch(pattern, all, 0) == 0;
}

static bool rule_matches(const struct rule *rule, const struct model *m, int tensor)
{
    if (rule->choice.mix)
        return mix_has(m, tensor);
    if (tensor == kv_index(m))
        return strcmp(rule->pattern, KV_NAME) == 0;
    const struct tensor *t = &m->tensors[tensor];
    bool head = m->tied && t->role == ROLE_EMBEDDING && strcmp(rule->pattern, roles[ROLE_OUTPUT].name) == 0;
    if (head || strcmp(rule->pattern, t->name) == 0)
        return true;
    if (roles[t->role].vector)
        return false;
    return fnmatch(rule->pattern, t->name, 0) == 0 || (t->expert >= 0 && matches_experts(rule->pattern, t));
}

static const char *nearest_name(const struct model *m, const char *pattern)
{
    size_t best = 0, min = SIZE_MAX;
    for (size_t i = 0; i < m->tensor_count; i++) {
        size_t d = edit_distance(pattern, m->tensors[i].name);
        if (d < min) {
            min = d;
            best = i;
        }
    }
    return edit_distance(pattern, KV_NAME) < min ? KV_NAME : m->tensors[best].name;
}

/* Whether the rule applies to anything, and all that it applies to can have what it says. */
static bool check_rule(const struct recipe *recipe, const struct rule *rule, const struct model *m,
                       struct error *error)
{
    struct error why;
    bool any = false;
    for (int t = 0; t < (int)schemes_count(m); t++) {
        if (!rule_matches(rule, m, t))
            continue;
        any = true;
        if (!rule->choice.mix && !scheme_fits(m, t, &rule->choice.scheme, &why))
            return error_set(error, "%.200s, line %d: %.300s", recipe->name, rule->line, why.text);
    }
    return any || error_set(error, "%.200s, line %d: '%.48s' matches no tensor; the nearest name is %s", recipe->name,
                            rule->line, rule->pattern, nearest_name(m, rule->pattern));
}

static bool apply_rule(const struct recipe *recipe, const struct rule *rule, const struct model *m,
                       struct scheme *schemes, struct error *error)
{
    struct error why;
    if (rule->choice.mix)
        return mix_apply(m, &rule->choice, schemes, &why) ||
               error_set(error, "%.200s, line %d: %.300s", recipe->name, rule->line, why.text);
    for (int t = 0; t < (int)schemes_count(m); t++)
        if (rule_matches(rule, m, t))
            schemes[t] = scheme_for_tensor(m, t, rule->choice.scheme);
    return true;
}

bool recipe_apply(const struct recipe *recipe, const struct model *m, struct scheme *schemes,
                  struct error *error)
{
    size_t bytes = schemes_count(m) * sizeof *schemes;
    struct scheme *next = malloc(bytes);
    bool ok = next || error_set(error, "not enough memory");
    if (ok)
        memcpy(next, schemes, bytes);
    for (size_t i = 0; ok && i < recipe->count; i++)
        ok = check_rule(recipe, &recipe->rules[i], m, error);
    for (size_t i = 0; ok && i < recipe->count; i++)
        ok = apply_rule(recipe, &recipe->rules[i], m, next, error);
    if (ok)
        memcpy(schemes, next, bytes);
    free(next);
    return ok;
}

const struct rule *recipe_rule(const struct recipe *recipe, const struct model *m, int tensor)
{
    for (size_t i = recipe->count; i > 0; i--)
        if (rule_matches(&recipe->rules[i - 1], m, tensor))
            return &recipe->rules[i - 1];
    return NULL;
}

void schemes_set_linear(const struct model *m, struct scheme scheme, struct scheme *schemes)
{
    for (int t = 0; t < (int)m->tensor_count; t++) {
        if (role_takes_schemes(m->tensors[t].role))
            schemes[t] = scheme_for_tensor(m, t, scheme);
    }
}

/* A scheme of stored weights that no matrix can have is a mistake. */
static bool any_takes(const struct model *m, const struct scheme *s, struct error *error)
{
    const char *type = "fp32";
    for (int t = 0; t < (int)m->tensor_count && s->format.stored; t++)
        if (role_takes_schemes(m->tensors[t].role)) {
            type = dtypes[m->tensors[t].stored.format.weight].name;
            if (stored_takes_act(m, t, s->format.act))
                return true;
        }
    if (!s->format.stored)
        return true;
    return error_set(error,
                     "stored/%s: activations of 8 bits multiply blocks, and this model's matrices are stored as %s; "
                     "expected a scheme such as q4_k/int8 or w8a8",
                     dtypes[s->format.act].name, type);
}

bool schemes_choose(const struct model *m, const struct scheme_choice *c, struct scheme *schemes, struct error *error)
{
    if (c->mix)
        return mix_apply(m, c, schemes, error);
    for (int t = 0; t < (int)m->tensor_count; t++)
        if (role_takes_schemes(m->tensors[t].role) && !scheme_fits(m, t, &c->scheme, error))
            return false;
    schemes_set_linear(m, c->scheme, schemes);
    return any_takes(m, &c->scheme, error);
}

bool scheme_is_as_stored(const struct model *m, int tensor, const struct scheme *s)
{
    const struct qformat *stored = &m->tensors[tensor].stored.format, *f = &s->format;
    bool plain = dtypes[f->weight].kind == DTYPE_KIND_FLOAT && !s->methods.set;
    return qformat_as_stored(f) || (!f->stored && plain && f->weight == stored->weight && f->act == stored->act);
}

bool schemes_same(const struct model *m, const struct scheme *a, const struct scheme *b)
{
    for (int t = 0; t < (int)m->tensor_count; t++)
        if (!scheme_equal(&a[t], &b[t]) && !(scheme_is_as_stored(m, t, &a[t]) && scheme_is_as_stored(m, t, &b[t])))
            return false;
    return scheme_equal(&a[kv_index(m)], &b[kv_index(m)]);
}

bool schemes_totals(const struct model *m, const struct scheme *schemes, size_t position, struct weights_totals *out)
{
    size_t *bytes = calloc(m->tensor_count, sizeof *bytes);
    bool ok = bytes != NULL;
    for (size_t i = 0; ok && i < m->tensor_count; i++) {
        const struct qmatrix *stored = &m->tensors[i].stored;
        bytes[i] = stored->bytes;
        ok = schemes[i].format.stored || scheme_bytes(&schemes[i], stored->rows, stored->cols, &bytes[i]);
    }
    if (ok)
        *out = totals_of_bytes(m, bytes, schemes[kv_index(m)].format.weight, position);
    free(bytes);
    return ok;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void write_rules(FILE *f, const struct model *m, const struct scheme *schemes)
{
    char text[SCHEME_TEXT];
    fprintf(f, "# %zu tensors; those without a line are as stored\n", m->tensor_count);
    for (size_t i = 0; i < m->tensor_count; i++)
        if (!qformat_as_stored(&schemes[i].format))
            fprintf(f, "%-20s %s\n", m->tensors[i].name, scheme_print(&schemes[i], text));
    if (schemes[kv_index(m)].format.weight != DTYPE_FP32)
        fprintf(f, "%-20s %s\n", KV_NAME, scheme_print(&schemes[kv_index(m)], text));
}

bool recipe_write(const char *path, const struct model *m, const struct scheme *schemes,
                  struct error *error)
{
    struct output out;
    if (!output_open(&out, path, error))
        return false;
    write_rules(out.file, m, schemes);
    return output_close(&out, true, error);
}
