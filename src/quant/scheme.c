#include "scheme.h"

#include "engine/weights.h"
#include "kernels/encode.h"
#include "scheme_parse.h"

#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name, *meaning;
} aliases[] = {
    {"w8a8", "int8/int8"},
    {"w8a16", "int8/bf16"},
    {"w4a16", "int4/bf16"},
    {"w4a8", "int4/int8"},
};
enum { ALIASES = sizeof aliases / sizeof *aliases };

const char *scheme_alias(size_t i)
{
    return i < ALIASES ? aliases[i].name : NULL;
}

#define SUFFIX_EXPECTED                                                                            \
    "after int8 or fp8 .static, .percentile, .mse or .kl, and after int8 .asym as the last"

static const char *const act_ranges[ACT_RANGES] = {
    [ACT_MINMAX] = "", [ACT_PERCENTILE] = ".percentile", [ACT_MSE] = ".mse", [ACT_KL] = ".kl"};

/* The field that begins at `at` and ends before the next colon. */
static struct field field_at(const char *at)
{
    return (struct field){at, strcspn(at, ":")};
}

struct scheme scheme_default(enum dtype weight)
{
    return (struct scheme){.format = qformat_default(weight)};
}

/* ---- parsing ------------------------------------------------------------------------------- */

/* Takes a suffix away from the front of *f where it stands there whole. */
static bool take_suffix(struct field *f, const char *suffix)
{
    size_t n = strlen(suffix);
    if (n == 0 || f->n < n || memcmp(f->at, suffix, n) != 0 || (f->n > n && f->at[n] != '.'))
        return false;
    f->at += n;
    f->n -= n;
    return true;
}

/* [.static[.RANGE]][.asym] */
static bool parse_suffixes(const struct parser *p, struct field f, struct scheme *s)
{
    enum dtype_kind kind = dtypes[s->format.act].kind;
    if (kind != DTYPE_KIND_FLOAT && take_suffix(&f, ".static")) {
        s->act_range = ACT_MINMAX;
        for (int r = ACT_MINMAX; r < ACT_RANGES; r++)
            if (take_suffix(&f, act_ranges[r])) {
                s->act_range = (enum act_range)r;
                break;
            }
    }
    if (kind == DTYPE_KIND_INTEGER && take_suffix(&f, ".asym"))
        s->format.act_asym = true;
    return f.n == 0 || refuse(p, f, "unknown activation suffix", SUFFIX_EXPECTED);
}

static bool parse_act(const struct parser *p, struct field f, struct scheme *s)
{
    const char *dot = memchr(f.at, '.', f.n);
    struct field name = {f.at, dot ? (size_t)(dot - f.at) : f.n};
    s->format.act = dtype_by_name(name.at, name.n);
    if (s->format.act == DTYPE_COUNT || s->format.act == DTYPE_INT4)
        return refuse(p, name, "unknown activation datatype", ACTS_EXPECTED);
    return !dot || parse_suffixes(p, (struct field){dot, f.n - name.n}, s);
}

static bool parse_weight(const struct parser *p, struct field f, struct scheme *s)
{
    const char *slash = memchr(f.at, '/', f.n);
    struct field weight = {f.at, slash ? (size_t)(slash - f.at) : f.n};
    enum dtype type = dtype_by_name(weight.at, weight.n), blocks = dtype_stored_by_name(weight.at, weight.n);
    if (blocks != DTYPE_ALL && !can_encode(blocks))
        return refuse(p, weight, "a file type that weights cannot be quantized to:",
                      WEIGHTS_EXPECTED);
    if (type == DTYPE_COUNT && blocks == DTYPE_ALL)
        return refuse(p, weight, "unknown weight datatype", WEIGHTS_EXPECTED);
    *s = scheme_default(type == DTYPE_COUNT ? blocks : type);
    if (!slash)
        return true;
    return parse_act(p, (struct field){slash + 1, f.n - weight.n - 1}, s);
}

static bool parse_granularity(const struct parser *p, struct field f, struct scheme *s, bool *is)
{
    *is = true;
    if (field_is(f, "tensor")) {
        s->format.granularity = GRANULARITY_TENSOR;
        s->format.group = 0;
    } else if (field_is(f, "channel")) {
        s->format.granularity = GRANULARITY_CHANNEL;
        s->format.group = 0;
    } else if (f.n > 1 && f.at[0] == 'g' && f.at[1] >= '0' && f.at[1] <= '9') {
        char *end;
        unsigned long n = f.n < 10 ? strtoul(f.at + 1, &end, 10) : 0;
        if (f.n >= 10 || end != f.at + f.n || n < GROUP_MIN)
            return refuse(p, f, "bad group size", "gN with N from 16, such as g128");
        s->format.granularity = GRANULARITY_GROUP;
        s->format.group = (uint32_t)n;
    } else {
        return *is = false, true;
    }
    if (dtypes[s->format.weight].kind == DTYPE_KIND_BLOCK)
        return refuse(p, f, "granularity of a type whose blocks have their own scales:", "no granularity");
    if (!dtype_takes_granularity(s->format.weight))
        return refuse(p, f, "granularity of a datatype without scales to share:", "int8, int4 or fp8 before it");
    return true;
}

static bool parse_symmetry(const struct parser *p, struct field f, struct scheme *s, bool *is)
{
    *is = field_is(f, "sym") || field_is(f, "asym");
    if (!*is)
        return true;
    s->format.asym = f.at[0] == 'a';
    if (dtypes[s->format.weight].kind != DTYPE_KIND_INTEGER)
        return refuse(p, f, "symmetry of a datatype without zero points:", "int8 or int4 before it");
    return true;
}

/* The fields after the datatypes, in the order that the grammar fixes. */
static const struct {
    const char *expected; /* what may still stand here or later, before methods */
    bool (*parse)(const struct parser *, struct field, struct scheme *, bool *is);
} tail[] = {
    {"tensor, channel, gN, sym, asym, ", parse_granularity},
    {"sym, asym, ", parse_symmetry},
    {"", parse_methods},
};
enum { TAIL = sizeof tail / sizeof *tail };

static bool refuse_field(const struct parser *p, struct field f, size_t next)
{
    char methods[EXPECTED_TEXT], expected[EXPECTED_TEXT] = "nothing more";
    if (next < TAIL)
        snprintf(expected, sizeof expected, "%s%s", tail[next].expected, methods_expected(methods, 240));
    return refuse(p, f, f.n ? "unknown or misplaced field" : "empty field", expected);
}

static bool parse_tail(const struct parser *p, const char *rest, struct scheme *s)
{
    size_t next = 0;
    while (*rest == ':') {
        struct field f = field_at(rest + 1);
        size_t here = next;
        bool is = false;
        for (; next < TAIL && !is; next++)
            if (!tail[next].parse(p, f, s, &is))
                return false;
        if (!is)
            return refuse_field(p, f, here);
        rest = f.at + f.n;
    }
    return true;
}

/* stored[/ACT] */
static bool parse_stored(const struct parser *p, struct field f, struct scheme *out)
{
    struct scheme s = {.format.stored = true};
    const char *rest = f.at + f.n;
    struct error why;
    if (*rest)
        return refuse(p, (struct field){rest, strlen(rest)}, "fields after 'stored'", "nothing more, or stored/int8");
    if (f.n > strlen("stored") && !parse_act(p, (struct field){f.at + strlen("stored/"), f.n - strlen("stored/")}, &s))
        return false;
    if (!scheme_check(&s, &why))
        return error_set(p->error, "scheme '%.64s', position 1: %.300s", p->text, why.text);
    *out = s;
    return true;
}

bool scheme_parse(const char *text, struct scheme *out, struct error *error)
{
    struct parser p = {text, error};
    struct field first = field_at(text);
    const char *rest = text + first.n;
    if (field_is(first, "stored") || (first.n > 7 && memcmp(first.at, "stored/", 7) == 0))
        return parse_stored(&p, first, out);
    struct field weight = first;
    for (size_t i = 0; i < ALIASES; i++)
        if (field_is(first, aliases[i].name))
            weight = field_at(aliases[i].meaning);
    struct scheme s = {0};
    struct error why;
    if (!parse_weight(&p, weight, &s) || !parse_tail(&p, rest, &s))
        return false;
    if (!scheme_check(&s, &why))
        return error_set(error, "scheme '%.64s', position 1: %.300s", text, why.text);
    *out = s;
    return true;
}

/* ---- printing ------------------------------------------------------------------------------ */

char *scheme_print_act(const struct scheme *s, char buffer[SCHEME_TEXT])
{
    bool fixed = s->act_range != ACT_DYNAMIC;
    snprintf(buffer, SCHEME_TEXT, "%s%s%s%s", dtypes[s->format.act].name, fixed ? ".static" : "",
             fixed ? act_ranges[s->act_range] : "", s->format.act_asym ? ".asym" : "");
    return buffer;
}

char *scheme_print_granularity(const struct scheme *s, char buffer[SCHEME_TEXT])
{
    const struct dtype_info *type = &dtypes[s->format.weight];
    if (type->kind == DTYPE_KIND_FLOAT)
        snprintf(buffer, SCHEME_TEXT, "-");
    else if (dtype_nested(type))
        snprintf(buffer, SCHEME_TEXT, "g%zu/%zu", type->scale_columns, type->block);
    else if (type->kind == DTYPE_KIND_BLOCK)
        snprintf(buffer, SCHEME_TEXT, "g%zu", type->scale_columns);
    else if (s->format.granularity == GRANULARITY_GROUP)
        snprintf(buffer, SCHEME_TEXT, "g%u", s->format.group);
    else
        snprintf(buffer, SCHEME_TEXT, s->format.granularity == GRANULARITY_TENSOR ? "tensor" : "channel");
    return buffer;
}

const char *scheme_symmetry(const struct scheme *s)
{
    static const char *const grids[] = {
        [BLOCK_SYMMETRIC] = "sym", [BLOCK_ASYMMETRIC] = "asym", [BLOCK_TABLE] = "table"};
    const struct dtype_info *type = &dtypes[s->format.weight];
    if (type->kind == DTYPE_KIND_BLOCK)
        return grids[type->grid];
    return type->kind != DTYPE_KIND_INTEGER ? "-" : s->format.asym ? "asym" : "sym";
}

char *scheme_print(const struct scheme *s, char buffer[SCHEME_TEXT])
{
    if (s->format.stored) {
        snprintf(buffer, SCHEME_TEXT, "stored%s%s", s->format.act == DTYPE_FP32 ? "" : "/",
                 s->format.act == DTYPE_FP32 ? "" : dtypes[s->format.act].name);
        return buffer;
    }
    struct qformat defaults = qformat_default(s->format.weight);
    char part[SCHEME_TEXT];
    int n = snprintf(buffer, SCHEME_TEXT, "%s", dtypes[s->format.weight].name);
    if (s->format.act != DTYPE_FP32)
        n += snprintf(buffer + n, SCHEME_TEXT - (size_t)n, "/%s", scheme_print_act(s, part));
    if (s->format.granularity != defaults.granularity || s->format.group != defaults.group)
        n += snprintf(buffer + n, SCHEME_TEXT - (size_t)n, ":%s", scheme_print_granularity(s, part));
    if (s->format.asym)
        n += snprintf(buffer + n, SCHEME_TEXT - (size_t)n, ":asym");
    if (s->methods.set)
        snprintf(buffer + n, SCHEME_TEXT - (size_t)n, ":%s",
                 methods_print(&s->methods, part, sizeof part));
    return buffer;
}

/* ---- questions ----------------------------------------------------------------------------- */

static bool check_parameters(const struct method *method, const float *values, struct error *error)
{
    for (size_t i = 0; i < method->parameter_count; i++) {
        const struct parameter *p = &method->parameters[i];
        if (!parameter_allows(p, values[i]))
            return error_set(error, "%s: %s is %g; expected %g to %g", method->name, p->name, (double)values[i],
                             (double)p->min, (double)p->max);
    }
    return true;
}

/* What a method needs of the datatypes. */
static bool check_weights(const struct scheme *s, const struct method *method, struct error *error)
{
    const struct qformat *f = &s->format;
    const char *type = dtypes[f->weight].name;
    bool w8a8 = f->weight == DTYPE_INT8 && f->act == DTYPE_INT8 && !s->act_range &&
                f->granularity == GRANULARITY_CHANNEL;
    switch (method->needs.weights) {
    case WEIGHTS_INTEGER:
        return dtypes[f->weight].kind == DTYPE_KIND_INTEGER ||
               error_set(error, "%s is for int8 and int4 weights, not %s", method->name, type);
    case WEIGHTS_SCALED:
        return dtype_takes_granularity(f->weight) ||
               error_set(error, "%s is for int8, int4 and fp8 weights, not %s", method->name, type);
    case WEIGHTS_SEARCHED:
        return dtypes[f->weight].kind == DTYPE_KIND_INTEGER || dtypes[f->weight].kind == DTYPE_KIND_BLOCK ||
               error_set(error, "%s is for int8, int4 and block types, not %s", method->name, type);
    case WEIGHTS_W8A8:
        return w8a8 || error_set(error, "%s is for int8 weights a channel with int8 activations a token (w8a8:%s)",
                                 method->name, method->name);
    case WEIGHTS_ANY:
        break;
    }
    return true;
}

static bool check_method(const struct scheme *s, const struct method *method, struct error *error)
{
    const float *values = methods_values_of(&s->methods, method);
    return check_parameters(method, values, error) && check_weights(s, method, error) &&
           (!method->check || method->check(s, values, error));
}

static bool check_methods(const struct scheme *s, struct error *error)
{
    const struct method *a, *b;
    if (methods_clash(&s->methods, &a, &b))
        return error_set(error, "%s and %s do not compose", a->name, b->name);
    for (size_t i = 0; method_table[i]; i++)
        if (methods_have(&s->methods, method_table[i]) && !check_method(s, method_table[i], error))
            return false;
    return true;
}

bool scheme_check(const struct scheme *s, struct error *error)
{
    bool blocks = s->format.stored || dtypes[s->format.weight].kind == DTYPE_KIND_BLOCK;
    if (!qformat_check(&s->format, error))
        return false;
    if (s->act_range && blocks)
        return error_set(error, "int8 activations of blocks have a scale for every 32 or 256 columns: none to calibrate");
    if (s->format.stored)
        return true;
    if (s->act_range && dtypes[s->format.act].kind == DTYPE_KIND_FLOAT)
        return error_set(error, "%s activations have no scale to calibrate", dtypes[s->format.act].name);
    return check_methods(s, error);
}

bool scheme_equal(const struct scheme *a, const struct scheme *b)
{
    if (a->format.stored || b->format.stored)
        return qformat_equal(&a->format, &b->format);
    return qformat_equal(&a->format, &b->format) && a->act_range == b->act_range &&
           methods_equal(&a->methods, &b->methods);
}

struct scheme scheme_stored(const struct qmatrix *stored)
{
    return (struct scheme){.format = stored->format};
}

struct scheme qtensor_scheme(const struct qtensor *p)
{
    return p->scheme ? *p->scheme : scheme_stored(&p->matrix);
}

bool qtensor_has_scheme(const struct qtensor *p, const struct scheme *scheme)
{
    struct scheme own = qtensor_scheme(p);
    return scheme_equal(&own, scheme);
}

char *qtensor_print_scheme(const struct qtensor *p, char buffer[SCHEME_TEXT])
{
    struct scheme own = qtensor_scheme(p);
    return scheme_print(&own, buffer);
}

bool qtensor_set_scheme(struct qtensor *p, const struct scheme *scheme)
{
    struct scheme *copy = malloc(sizeof *copy);
    if (copy)
        *copy = *scheme;
    p->scheme = copy;
    return copy;
}

const struct method *scheme_method(const struct scheme *s, enum method_phase phase)
{
    return s->format.stored ? NULL : methods_of_phase(&s->methods, phase);
}

bool scheme_needs_calibration(const struct scheme *s)
{
    return !s->format.stored && (s->act_range || methods_need_activations(&s->methods));
}

bool scheme_trains(const struct scheme *s)
{
    return scheme_method(s, PHASE_TRAINING);
}

bool scheme_splits_columns(const struct scheme *s)
{
    return scheme_method(s, PHASE_SPLIT);
}

bool scheme_scales_inputs(const struct scheme *s)
{
    return scheme_method(s, PHASE_INPUT_SCALE);
}

/* What calibration adds to a matrix. */
static size_t calibrated_bytes(const struct scheme *s, size_t cols)
{
    size_t act = s->act_range ? sizeof(float) + s->format.act_asym : 0;
    return act + (scheme_scales_inputs(s) ? cols * sizeof(float) : 0);
}

bool scheme_bytes(const struct scheme *s, size_t rows, size_t cols, size_t *bytes)
{
    struct qmatrix_layout layout;
    if (!qmatrix_layout(&s->format, rows, cols, &layout))
        return false;
    *bytes = layout.codes + layout.scales + layout.zeros + calibrated_bytes(s, cols);
    return true;
}
