/* Named mixes: the types that llama-quantize gives the tensors of models of many shapes (tests/data/mixes.txt, which
 * mixes.py makes), how mixes are written, and what becomes of rows that blocks do not divide. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/encode.h"
#include "model/arch.h"
#include "model/synthetic.h"
#include "quant/recipe.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SRCDIR
#define SRCDIR "."
#endif

enum { LINE = 4096, TENSORS = 60000 };

/* ---- models of the table ------------------------------------------------------------------------------- */

/* A model without weights: what rules ask. */
struct outline {
    struct model model;
    struct error error;
    enum dtype *types;
};

static enum role role_called(const char *name)
{
    for (int r = 0; r < ROLE_COUNT; r++)
        if (strcmp(roles[r].name, name) == 0)
            return (enum role)r;
    fail_msg("no role is called %s", name);
    return ROLE_NONE;
}

static void begin_model(struct outline *o, const char *line)
{
    char name[64], arch[64];
    struct hyper h = {0};
    size_t experts;
    assert_int_equal(
        sscanf(line, "model %63s %63s %zu %zu %zu %zu", name, arch, &h.layers, &h.heads, &h.kv_heads, &experts), 6);
    h.mixture.experts = experts;
    const struct arch *a = arch_by_gguf(arch, strlen(arch), &o->error);
    if (!a)
        fail_msg("%s: %s", arch, o->error.text);
    o->model.hyper = h;
    o->model.arch = a->name;
    o->model.tied = true; /* until the head comes */
    o->model.tensor_count = 0;
}

static void add_tensor(struct outline *o, const char *name, enum role role, int block, int expert, size_t rows,
                       size_t cols)
{
    struct tensor *t = &o->model.tensors[o->model.tensor_count++];
    assert_true(o->model.tensor_count <= TENSORS);
    *t = (struct tensor){.role = role, .block = block, .expert = expert};
    snprintf(t->name, sizeof t->name, "%.40s", name);
    t->stored.rows = rows;
    t->stored.cols = cols;
    o->model.tied = o->model.tied && role != ROLE_OUTPUT;
}

static void add_tensors(struct outline *o, const char *line)
{
    char name[64];
    int first, last;
    size_t rows, cols, experts;
    assert_int_equal(sscanf(line, "tensor %63s %d %d %zu %zu %zu", name, &first, &last, &rows, &cols, &experts), 6);
    for (int block = first; block <= last; block++)
        for (size_t e = 0; e < (experts ? experts : 1); e++)
            add_tensor(o, name, role_called(name), block, experts ? (int)e : -1, rows, cols);
}

/* As models have them: in the order of blocks, and in one of roles. */
static int by_place(const void *left, const void *right)
{
    const struct tensor *a = left, *b = right;
    if (a->block != b->block)
        return a->block < b->block ? -1 : 1;
    if (a->role != b->role)
        return a->role < b->role ? -1 : 1;
    return (a->expert > b->expert) - (a->expert < b->expert);
}

/* ---- expectations ------------------------------------------------------------------------------------------ */

static enum dtype type_called(const char *name)
{
    if (strcmp(name, "copy") == 0)
        return DTYPE_ALL;
    enum dtype type = strcmp(name, "f16") == 0 ? DTYPE_FP16 : dtype_stored_by_name(name, strlen(name));
    assert_true(type != DTYPE_ALL);
    return type;
}

/* Whether "0-3,6" has the block. */
static bool in_ranges(const char *ranges, int block)
{
    bool in = false;
    while (*ranges && !in) {
        char *end;
        long first = strtol(ranges, &end, 10), last = *end == '-' ? strtol(end + 1, &end, 10) : first;
        in = block >= first && block <= last;
        ranges = *end == ',' ? end + 1 : "";
    }
    return in;
}

/* What a line says of a tensor: "q4_k attn_v@0-3=q6_k output=q6_k", the first word of all others. */
static enum dtype expected_type(const char *words, const struct tensor *t)
{
    char copy[LINE], *save, *word;
    snprintf(copy, sizeof copy, "%s", words);
    word = strtok_r(copy, " \n", &save);
    enum dtype type = type_called(word);
    while ((word = strtok_r(NULL, " \n", &save))) {
        char *value = strchr(word, '='), *blocks;
        assert_non_null(value);
        *value++ = 0;
        if ((blocks = strchr(word, '@')))
            *blocks++ = 0;
        if (strcmp(word, t->name) == 0 && (!blocks || in_ranges(blocks, t->block)))
            type = type_called(value);
    }
    return type;
}

static const struct mix *mix_called(const char *name)
{
    char text[80];
    struct scheme_choice choice;
    struct error error;
    snprintf(text, sizeof text, "@%s", name);
    if (!scheme_choice_parse(text, &choice, &error))
        fail_msg("%s", error.text);
    return choice.mix;
}

/* Whether blocks of a type divide no rows of some tensor, and nothing takes its place. */
static bool is_refused(const struct outline *o)
{
    bool refused = false;
    for (size_t i = 0; i < o->model.tensor_count; i++)
        refused |= o->types[i] != DTYPE_ALL && block_fallback(o->types[i], o->model.tensors[i].stored.cols) == DTYPE_ALL;
    return refused;
}

static void check_types(struct outline *o, const char *line)
{
    char model[64], mix[64], when[64];
    int at;
    assert_int_equal(sscanf(line, "mix %63s %63s %63s %n", model, mix, when, &at), 3);
    for (int importance = strcmp(when, "with") == 0; importance <= (strcmp(when, "without") != 0); importance++) {
        mix_types(&o->model, mix_called(mix), importance, o->types);
        assert_int_equal(is_refused(o), strncmp(line + at, "refused", 7) == 0);
        if (is_refused(o))
            return;
        for (size_t i = 0; i < o->model.tensor_count; i++) {
            const struct tensor *t = &o->model.tensors[i];
            enum dtype type = o->types[i] == DTYPE_ALL ? DTYPE_ALL : block_fallback(o->types[i], t->stored.cols);
            enum dtype expected = t->expert > 0 ? o->types[i - 1] : expected_type(line + at, t);
            if (t->expert > 0 ? o->types[i] != expected : type != expected)
                fail_msg("%s, %s %s importance: %s of block %d is %s; expected %s", model, mix, when, t->name, t->block,
                         type == DTYPE_ALL ? "copied" : dtypes[type].name,
                         expected == DTYPE_ALL ? "copied" : dtypes[expected].name);
        }
    }
}

/* Every mix has lines for every model. */
static void test_types_are_llama_quantizes(void **state)
{
    (void)state;
    struct outline o = {.types = make(TENSORS * sizeof *o.types)};
    o.model.tensors = make(TENSORS * sizeof *o.model.tensors);
    FILE *f = fopen(SRCDIR "/tests/data/mixes.txt", "r");
    assert_non_null(f);
    char line[LINE];
    size_t models = 0, checked = 0;
    bool sorted = false;
    while (fgets(line, sizeof line, f)) {
        if (strncmp(line, "model ", 6) == 0) {
            begin_model(&o, line);
            models++;
            sorted = false;
        } else if (strncmp(line, "tensor ", 7) == 0) {
            add_tensors(&o, line);
        } else if (strncmp(line, "mix ", 4) == 0) {
            if (!sorted)
                qsort(o.model.tensors, o.model.tensor_count, sizeof *o.model.tensors, by_place);
            sorted = true;
            check_types(&o, line);
            checked++;
        }
    }
    size_t mixes = 0;
    while (mix_at(mixes))
        mixes++;
    assert_true(models > 10 && checked >= models * mixes);
    fclose(f);
    free(o.model.tensors);
    free(o.types);
}

/* ---- in writing ----------------------------------------------------------------------------------------------- */

static void test_names(void **state)
{
    static const char *const cases[][2] = {
        {"q4_k_m", "q4_k_m"},
        {"@q4_k_m", "q4_k_m"},
        {"@Q4_K_M:GPTQ", NULL},
        {"Q4_K_M", "q4_k_m"},
        {"q4_k_m:gptq", "q4_k_m:gptq"},
        {"@iq4_xs", "@iq4_xs"},
        {"@q4_k", "q4_k_m"},
        {"@q4_0:imatrix", "@q4_0:imatrix"},
        {"q2_k_s:imatrix+gptq", "q2_k_s:imatrix+gptq"},
        {"q4_k", "q4_k"},
        {"int4:g32", "int4:g32"},
        {"stored", "stored"},
        {"w8a8", "int8/int8"},
        {"q4_k_m:g32", NULL},
        {"q4_k_m:sym", NULL},
        {"@", NULL},
        {"@int4", NULL},
        {"@q4_k_x", NULL},
        {"q4_k_m:", NULL},
        {"q4_k_m:nothing", NULL},
        {"iq3_xx", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct scheme_choice choice, again;
        struct error error = {""};
        char text[SCHEME_TEXT];
        bool ok = scheme_choice_parse(cases[i][0], &choice, &error);
        if (ok != (cases[i][1] != NULL))
            fail_msg("%s: %s", cases[i][0], ok ? "accepted" : error.text);
        if (!ok)
            continue;
        assert_string_equal(scheme_choice_print(&choice, text), cases[i][1]);
        assert_true(scheme_choice_parse(text, &again, &error));
        assert_true(again.mix == choice.mix && scheme_equal(&again.scheme, &choice.scheme));
    }
}

/* A name that is a type's is the type's; every other mix needs no mark. */
static void test_types_come_first(void **state)
{
    struct scheme_choice choice;
    struct error error;
    (void)state;
    for (size_t i = 0; mix_at(i); i++) {
        const char *name = mix_name(mix_at(i));
        enum dtype type = dtype_stored_by_name(name, strlen(name));
        bool ok = scheme_choice_parse(name, &choice, &error);
        assert_int_equal(ok, type == DTYPE_ALL || can_encode(type));
        assert_true(!ok || (choice.mix == mix_at(i)) == (type == DTYPE_ALL));
        assert_ptr_equal(mix_called(name), mix_at(i));
    }
}

static void test_errors_name_the_nearest(void **state)
{
    struct scheme_choice choice;
    struct error error;
    (void)state;
    assert_false(scheme_choice_parse("q5_km", &choice, &error));
    assert_non_null(strstr(error.text, "the nearest mix is q5_k_m"));
    assert_false(scheme_choice_parse("@q4_k_n", &choice, &error));
    assert_non_null(strstr(error.text, "iq2_xxs"));
    assert_false(scheme_choice_parse("q4_k:foo", &choice, &error));
    assert_null(strstr(error.text, "mix"));
}

/* ---- recipes ------------------------------------------------------------------------------------------------------
 */

static struct model *open_model(const char *shape)
{
    struct error error;
    struct model *m = synthetic_open(shape_find(shape, &error), &error);
    if (!m)
        fail_msg("%s", error.text);
    return m;
}

static struct scheme *stored_schemes(const struct model *m)
{
    struct scheme *schemes = make(schemes_count(m) * sizeof *schemes);
    for (size_t t = 0; t < m->tensor_count; t++)
        schemes[t] = scheme_stored(&m->tensors[t].stored);
    schemes[kv_index(m)] = scheme_default(DTYPE_FP32);
    return schemes;
}

static bool apply_text(const struct model *m, const char *text, struct scheme *schemes, struct error *error)
{
    struct recipe recipe;
    bool ok = recipe_parse(&recipe, "recipe", text, strlen(text), error) && recipe_apply(&recipe, m, schemes, error);
    recipe_free(&recipe);
    return ok;
}

static void assert_scheme(const struct model *m, const struct scheme *schemes, const char *tensor, const char *expected)
{
    char text[SCHEME_TEXT];
    int t = strcmp(tensor, KV_NAME) == 0 ? kv_index(m) : model_find_name(m, tensor);
    assert_true(t >= 0);
    if (strcmp(scheme_print(&schemes[t], text), expected) != 0)
        fail_msg("%s is %s; expected %s", tensor, text, expected);
}

static void test_mix_in_a_recipe(void **state)
{
    (void)state;
    struct model *m = open_model("smollm2-135m");
    struct scheme *s = stored_schemes(m);
    struct error error = {""};
    if (!apply_text(m, "kv fp16\n@q4_k_m:imatrix # the base\nblk.1.ffn_up int8\n", s, &error))
        fail_msg("%s", error.text);
    assert_scheme(m, s, "blk.0.attn_q", "q5_0:imatrix"); /* 576 columns */
    assert_scheme(m, s, "blk.0.ffn_down", "q6_k:imatrix");
    assert_scheme(m, s, "blk.4.ffn_down", "q4_k:imatrix");
    assert_scheme(m, s, "blk.1.ffn_up", "int8");
    assert_scheme(m, s, "token_embd", "q8_0:imatrix");
    assert_scheme(m, s, "blk.0.attn_norm", "stored");
    assert_scheme(m, s, "kv", "fp16");
    assert_false(apply_text(m, "@q4_k_m q4_k\n", s, &error));
    assert_non_null(strstr(error.text, "line 1"));
    assert_false(apply_text(m, "* int8\nq4_k_m\n", s, &error));
    assert_non_null(strstr(error.text, "@q4_k_m"));
    assert_false(apply_text(m, "@q9\n", s, &error));
    free(s);
    model_close(m);
}

static void test_the_rule_that_decides(void **state)
{
    (void)state;
    struct model *m = open_model("smollm2-135m");
    struct recipe r;
    struct error error;
    static const char text[] = "@q4_k_m\nblk.0.attn_v int8\n";
    assert_true(recipe_parse(&r, "r", text, strlen(text), &error));
    assert_int_equal(recipe_rule(&r, m, model_find_name(m, "blk.0.attn_q"))->line, 1);
    assert_int_equal(recipe_rule(&r, m, model_find_name(m, "blk.0.attn_v"))->line, 2);
    assert_null(recipe_rule(&r, m, model_find_name(m, "output_norm")));
    assert_null(recipe_rule(&r, m, kv_index(m)));
    recipe_free(&r);
    model_close(m);
}

/* A mix becomes lines of its tensors, which can be edited. */
static void test_recipe_round_trip(void **state)
{
    (void)state;
    struct model *m = open_model("smollm2-135m");
    struct scheme *s = stored_schemes(m), *again = stored_schemes(m);
    struct recipe r;
    struct error error;
    char path[] = "/tmp/qtop-mixes-XXXXXX";
    close(mkstemp(path));
    assert_true(apply_text(m, "@q5_k_m\n", s, &error));
    assert_true(recipe_write(path, m, s, &error));
    assert_true(recipe_read(&r, path, &error) && recipe_apply(&r, m, again, &error));
    for (size_t i = 0; i < schemes_count(m); i++)
        assert_true(scheme_equal(&s[i], &again[i]));
    recipe_free(&r);
    unlink(path);
    free(s);
    free(again);
    model_close(m);
}

/* Schemes stay as they were where a type of the mix cannot be made. */
static void test_types_that_cannot_be_made(void **state)
{
    (void)state;
    struct model *m = open_model("smollm2-135m");
    struct error error;
    for (size_t i = 0; mix_at(i); i++) {
        struct scheme *s = stored_schemes(m);
        struct scheme_choice c = {mix_at(i), scheme_default(DTYPE_Q8_0)};
        enum dtype *types = make(m->tensor_count * sizeof *types);
        bool all = true, ok = schemes_choose(m, &c, s, &error);
        mix_types(m, c.mix, false, types);
        for (size_t t = 0; t < m->tensor_count; t++) {
            enum dtype type = types[t] == DTYPE_ALL ? DTYPE_FP16 : block_fallback(types[t], m->tensors[t].stored.cols);
            all = all && (type == DTYPE_FP16 || (type != DTYPE_ALL && can_encode(type)));
            assert_true(ok || s[t].format.stored);
        }
        assert_int_equal(ok, all);
        free(types);
        free(s);
    }
    model_close(m);
}

/* What is stored in the mix's type already is copied. */
static void test_same_type_is_copied(void **state)
{
    (void)state;
    struct model *m = open_model("smollm2-135m");
    struct scheme_choice c;
    struct error error;
    struct scheme *s = stored_schemes(m);
    int t = model_find_name(m, "blk.2.ffn_down");
    struct qmatrix stored = m->tensors[t].stored;
    m->tensors[t].stored.format.weight = DTYPE_Q6_K;
    assert_true(scheme_choice_parse("q4_k_m:gptq", &c, &error));
    assert_true(schemes_choose(m, &c, s, &error));
    assert_true(s[t].format.stored);
    assert_scheme(m, s, "blk.1.ffn_down", "q6_k:gptq");
    m->tensors[t].stored = stored;
    free(s);
    model_close(m);
}

/* ---- rows that blocks do not divide --------------------------------------------------------------------------------
 */

static void test_fallbacks(void **state)
{
    static const struct {
        enum dtype type;
        size_t cols;
        enum dtype to;
    } cases[] = {
        {DTYPE_Q4_K, 512, DTYPE_Q4_K}, {DTYPE_Q4_K, 576, DTYPE_Q5_0},    {DTYPE_Q4_K, 40, DTYPE_FP16},
        {DTYPE_Q5_K, 576, DTYPE_Q5_1}, {DTYPE_Q6_K, 576, DTYPE_Q8_0},    {DTYPE_Q2_K, 576, DTYPE_Q4_0},
        {DTYPE_Q3_K, 576, DTYPE_Q4_0}, {DTYPE_IQ1_S, 576, DTYPE_IQ4_NL}, {DTYPE_IQ4_XS, 64, DTYPE_IQ4_NL},
        {DTYPE_Q8_0, 40, DTYPE_FP16},  {DTYPE_MXFP4, 40, DTYPE_FP16},    {DTYPE_NVFP4, 96, DTYPE_ALL},
        {DTYPE_Q1_0, 192, DTYPE_ALL},  {DTYPE_INT4, 40, DTYPE_INT4},     {DTYPE_Q2_0, 96, DTYPE_Q4_0},
        {DTYPE_NF4, 128, DTYPE_NF4},   {DTYPE_NF4, 96, DTYPE_IQ4_NL},   {DTYPE_NF4, 40, DTYPE_FP16},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (block_fallback(cases[i].type, cases[i].cols) != cases[i].to)
            fail_msg("%s of %zu columns", dtypes[cases[i].type].name, cases[i].cols);
}

static void test_fallbacks_are_noted(void **state)
{
    (void)state;
    struct model *m = open_model("smollm2-135m");
    struct scheme *s = stored_schemes(m);
    struct error error;
    char note[320];
    assert_false(fallback_note(m, s, 0, note, sizeof note));
    assert_true(apply_text(m, "blk.*.ffn_up q4_k\n", s, &error));
    assert_true(fallback_note(m, s, 0, note, sizeof note));
    assert_string_equal(note,
                        "q5_0 instead of q4_k: its blocks of 256 do not divide the 576 columns of blk.0.ffn_up and "
                        "29 more");
    assert_false(fallback_note(m, s, 1, note, sizeof note));
    assert_true(
        apply_text(m, "blk.*.ffn_down q4_k\nblk.0.attn_v q6_k\n", s, &error)); /* 1536 columns are whole blocks */
    assert_true(fallback_note(m, s, 0, note, sizeof note));
    assert_string_equal(note, "q8_0 instead of q6_k: its blocks of 256 do not divide the 576 columns of blk.0.attn_v");
    assert_true(fallback_note(m, s, 1, note, sizeof note));
    assert_true(apply_text(m, "* stored\n", s, &error));
    assert_false(fallback_note(m, s, 0, note, sizeof note));
    free(s);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_are_llama_quantizes), cmocka_unit_test(test_names),
        cmocka_unit_test(test_types_come_first),          cmocka_unit_test(test_errors_name_the_nearest),
        cmocka_unit_test(test_mix_in_a_recipe),           cmocka_unit_test(test_the_rule_that_decides),
        cmocka_unit_test(test_recipe_round_trip),         cmocka_unit_test(test_types_that_cannot_be_made),
        cmocka_unit_test(test_same_type_is_copied),       cmocka_unit_test(test_fallbacks),
        cmocka_unit_test(test_fallbacks_are_noted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
