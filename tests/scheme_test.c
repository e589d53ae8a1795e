/* Schemes in writing: what parses, what is printed, what is refused and how, what it weighs. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/matrix.h"
#include "quant/scheme.h"
#include "support.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

static const uint32_t groups[] = {16, 17, 32, 64, 127, 128, 256, 4096, 99999999};
enum { GROUPS = sizeof groups / sizeof *groups };

static struct scheme parsed(const char *text)
{
    struct scheme s;
    struct error error = {""};
    if (!scheme_parse(text, &s, &error))
        fail_msg("'%s' does not parse: %s", text, error.text);
    return s;
}

/* ---- round trip ------------------------------------------------------------------------------ */

/* Every field written out, defaults too. */
static void print_in_full(const struct scheme *s, char *out, size_t size)
{
    char act[SCHEME_TEXT], granularity[SCHEME_TEXT];
    int n = snprintf(out, size, "%s/%s", dtypes[s->format.weight].name, scheme_print_act(s, act));
    if (dtypes[s->format.weight].kind != DTYPE_KIND_FLOAT)
        n += snprintf(out + n, size - (size_t)n, ":%s", scheme_print_granularity(s, granularity));
    if (dtypes[s->format.weight].kind == DTYPE_KIND_INTEGER)
        n += snprintf(out + n, size - (size_t)n, ":%s", s->format.asym ? "asym" : "sym");
    snprintf(out + n, size - (size_t)n, ":rtn");
}

/* A canonical form says nothing that could be left out: without any one field it is another scheme
 * or none. */
static void check_nothing_spare(const char *text, const struct scheme *s)
{
    for (const char *at = strpbrk(text, "/:"); at; at = strpbrk(at + 1, "/:")) {
        char shorter[SCHEME_TEXT];
        size_t n = 1 + strcspn(at + 1, "/:");
        snprintf(shorter, sizeof shorter, "%.*s%s", (int)(at - text), text, at + n);
        struct scheme other;
        if (scheme_parse(shorter, &other, NULL) && scheme_equal(&other, s))
            fail_msg("'%s' is the same as '%s'", text, shorter);
    }
}

static void check_round_trip(const struct scheme *s, void *seen)
{
    char text[SCHEME_TEXT], full[2 * SCHEME_TEXT], again[SCHEME_TEXT];
    if (!scheme_check(s, NULL))
        return;
    assert_ptr_equal(scheme_print(s, text), text);
    struct scheme back = parsed(text);
    if (!scheme_equal(s, &back))
        fail_msg("'%s' parses to '%s'", text, scheme_print(&back, again));
    print_in_full(s, full, sizeof full);
    back = parsed(full);
    if (!s->methods.set)
        assert_string_equal(scheme_print(&back, again), text);
    check_nothing_spare(text, s);
    if (seen)
        ++*(size_t *)seen;
}

static void test_round_trip(void **state)
{
    (void)state;
    size_t seen = 0;
    each_scheme(groups, GROUPS, check_round_trip, &seen);
    assert_true(seen > 300);
    struct scheme stored = parsed("stored");
    char text[SCHEME_TEXT];
    assert_true(stored.format.stored);
    assert_string_equal(scheme_print(&stored, text), "stored");
}

static void test_canonical_forms(void **state)
{
    (void)state;
    static const char *const forms[][2] = {
        {"fp32", "fp32"},
        {"fp32/fp32:rtn", "fp32"},
        {"fp16:rtn", "fp16"},
        {"bf16/bf16", "bf16/bf16"},
        {"int8/fp32:channel:sym:rtn", "int8"},
        {"int8:sym", "int8"},
        {"int8:tensor", "int8:tensor"},
        {"int8:asym:rtn", "int8:asym"},
        {"int8:g128", "int8:g128"},
        {"int4:g128", "int4"},
        {"int4:channel", "int4:channel"},
        {"int4/int8.asym:tensor:asym", "int4/int8.asym:tensor:asym"},
        {"int4:g0064:sym", "int4:g64"},
        {"fp8", "fp8e4m3"},
        {"fp8/fp8", "fp8e4m3/fp8e4m3"},
        {"fp8e5m2/fp8:g32", "fp8e5m2/fp8e4m3:g32"},
        {"w8a8", "int8/int8"},
        {"w8a16", "int8/bf16"},
        {"w4a16", "int4/bf16"},
        {"w4a8", "int4/int8"},
        {"w8a8:channel:sym", "int8/int8"},
        {"w4a16:g32:rtn", "int4/bf16:g32"},
        {"w4a8:channel:asym", "int4/int8:channel:asym"},
        {"w8a16:asym:rtn", "int8/bf16:asym"},
        {"int4:gptq", "int4:gptq"},
        {"w4a16:g32:gptq(damp=0.010)", "int4/bf16:g32:gptq"},
        {"int4:gptq(actorder=0,damp=0.05)", "int4:gptq(damp=0.05,actorder=0)"},
        {"int4:channel:asym:gptq+awq(alpha=search)", "int4:channel:asym:awq+gptq"},
        {"w8a8:smoothquant(alpha=.5)", "int8/int8:smoothquant"},
        {"int4:gptq+clip(least=0.7)+smoothquant(alpha=search)",
         "int4:smoothquant(alpha=search)+clip(least=0.7)+gptq"},
        {"fp32:awq(alpha=0.5)", "fp32:awq(alpha=0.5)"},
        {"w8a8:llmint8(threshold=inf)", "int8/int8:llmint8(threshold=inf)"},
        {"w8a8:llmint8(threshold=0)", "int8/int8:llmint8(threshold=0)"},
        {"int8/int8.static", "int8/int8.static"},
        {"int8/int8.static.asym:smoothquant", "int8/int8.static.asym:smoothquant"},
        {"int8/int8.static.kl.asym", "int8/int8.static.kl.asym"},
        {"fp8/fp8.static.mse:tensor", "fp8e4m3/fp8e4m3.static.mse:tensor"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct scheme s = parsed(forms[i][0]);
        char text[SCHEME_TEXT];
        assert_string_equal(scheme_print(&s, text), forms[i][1]);
    }
    struct scheme w8a8 = parsed("w8a8"), int4 = parsed("int4");
    assert_false(w8a8.format.asym || w8a8.format.act_asym || w8a8.format.stored);
    assert_int_equal(w8a8.format.granularity, GRANULARITY_CHANNEL);
    assert_int_equal(w8a8.format.group, 0);
    assert_int_equal(int4.format.granularity, GRANULARITY_GROUP);
    assert_int_equal(int4.format.group, GROUP_DEFAULT);
    assert_int_equal(int4.format.act, DTYPE_FP32);
}

/* ---- refusals -------------------------------------------------------------------------------- */

/* Each names the position and, after it, what stands there and what was expected. */
static const struct {
    const char *text;
    int position;
    const char *words[3];
} bad[] = {
    {"", 1, {"unknown weight datatype", "''", "int4"}},
    {":", 1, {"unknown weight datatype", "''"}},
    {"q1_0", 1, {"weights cannot be quantized to", "'q1_0'", "stored, fp32"}},
    {"Q6_K:sym", 6, {"symmetry of a datatype without zero points", "'sym'"}},
    {"q4_k:clip", 1, {"clip is for int8 and int4 weights, not q4_k"}},
    {"q4_k:qat", 1, {"qat is for int8, int4 and fp8 weights, not q4_k"}},
    {"q4_k_m", 1, {"unknown weight datatype", "'q4_k_m'"}},
    {"int8/q8_0", 6, {"unknown activation datatype", "'q8_0'"}},
    {"int8:", 6, {"empty field", "tensor", "channel"}},
    {"int8::sym", 6, {"empty field"}},
    {"int8:sym:", 10, {"empty field", "rtn"}},
    {"int9", 1, {"unknown weight datatype", "'int9'", "fp8e4m3"}},
    {"INT8", 1, {"unknown weight datatype", "'INT8'"}},
    {" int8", 1, {"unknown weight datatype"}},
    {"int8 ", 1, {"unknown weight datatype", "'int8 '"}},
    {"int88:sym", 1, {"unknown weight datatype", "'int88'"}},
    {"int8/", 6, {"unknown activation datatype", "''", "int8.asym"}},
    {"int8/foo:sym", 6, {"unknown activation datatype", "'foo'", "bf16"}},
    {"int4/int4", 6, {"unknown activation datatype", "'int4'"}},
    {"int8/int8/int8", 6, {"unknown activation datatype"}},
    {"w8a8/int8", 1, {"unknown weight datatype", "'w8a8'"}},
    {"int8/bf16.static", 10, {"unknown activation suffix", "'.static'", ".static"}},
    {"int8/int8.static.max", 17, {"unknown activation suffix", "'.max'", ".percentile"}},
    {"int8/int8.statical", 10, {"unknown activation suffix", "'.statical'"}},
    {"int8/int8.asym.static", 15, {"unknown activation suffix", "'.static'", ".asym as the last"}},
    {"fp8/fp8.static.asym", 15, {"unknown activation suffix", "'.asym'"}},
    {"int8/int8.static.", 17, {"unknown activation suffix", "'.'"}},
    {"int8/int8.", 10, {"unknown activation suffix", "'.'", ".asym"}},
    {"int8/bf16.asym", 10, {"unknown activation suffix", "'.asym'"}},
    {"int8/int8.asymm", 10, {"unknown activation suffix", "'.asymm'"}},
    {"int8:sym:channel", 10, {"misplaced", "'channel'", "rtn"}},
    {"int8:rtn:sym", 10, {"misplaced", "'sym'", "nothing more"}},
    {"int8:asym:tensor", 11, {"misplaced", "'tensor'", "rtn"}},
    {"int8:tensor:channel", 13, {"misplaced", "'channel'", "sym"}},
    {"int8:sym:asym", 10, {"misplaced", "'asym'", "rtn"}},
    {"int8:rtn:rtn", 10, {"misplaced", "'rtn'", "nothing more"}},
    {"int8:magic", 6, {"'magic'", "gN", "rtn"}},
    {"int8:gptq(damp=0.01", 20, {"parentheses without an end", "')'"}},
    {"int8:gptq()", 11, {"unknown parameter", "''", "damp or actorder or sequence"}},
    {"int8:gptq(alpha=1)", 11, {"unknown parameter", "'alpha'", "damp"}},
    {"int8:gptq(damp)", 15, {"no value", "''", "= and a value"}},
    {"int8:gptq(damp=)", 16, {"bad value", "''", "1e-06 to 1"}},
    {"int8:gptq(damp=nan)", 16, {"bad value", "'nan'", "a number from"}},
    {"int8:gptq(damp=0)", 16, {"bad value", "'0'"}},
    {"int8:gptq(damp= 1)", 16, {"bad value", "' 1'"}},
    {"int8:gptq(damp=1x)", 16, {"bad value", "'1x'"}},
    {"int8:gptq(damp=search)", 16, {"bad value", "'search'"}},
    {"int8:gptq(actorder=0.5)", 20, {"bad value", "'0.5'", "a whole number"}},
    {"int8:gptq(damp=1,damp=1)", 18, {"a second", "'damp'"}},
    {"int8:gptq(damp=1,)", 18, {"unknown parameter", "''"}},
    {"int8:gptq(damp=1)x", 18, {"unexpected", "'x'", "+ and a method"}},
    {"int8:gptq+", 11, {"unknown method", "''", "smoothquant"}},
    {"int8:gptq+rtn", 11, {"unknown method", "'rtn'"}},
    {"int8:rtn+gptq", 6, {"rtn takes nothing along", "'rtn+gptq'", "rtn alone"}},
    {"int8:gptq+gptq", 11, {"a second", "'gptq'"}},
    {"int8:awq+smoothquant", 10, {"do not compose", "'smoothquant'", "awq or smoothquant, not both"}},
    {"w8a8:llmint8+gptq", 14, {"do not compose", "'gptq'"}},
    {"int4:awq(alpha=1.5)", 16, {"bad value", "'1.5'", "from 0 to 1, or search"}},
    {"int4:awq(alpha=-1)", 16, {"bad value", "'-1'"}},
    {"fp16:gptq", 1, {"gptq is for int8, int4 and block types", "fp16"}},
    {"fp8:clip", 1, {"clip is for int8 and int4 weights", "fp8e4m3"}},
    {"int4:llmint8", 1, {"llmint8 is for int8 weights", "w8a8:llmint8"}},
    {"int8/int8.static:llmint8", 1, {"llmint8 is for int8 weights", "activations a token"}},
    {"int8:gptq:sym", 11, {"misplaced", "'sym'", "nothing more"}},
    {"int4:g15", 6, {"bad group size", "'g15'", "16"}},
    {"int4:g0", 6, {"bad group size", "'g0'", "16"}},
    {"int4:g99999999999", 6, {"bad group size", "g99999999999", "gN"}},
    {"int4:g18446744073709551632", 6, {"bad group size"}},
    {"int4:g4294967312", 6, {"bad group size"}},
    {"int4:g64x", 6, {"bad group size", "'g64x'"}},
    {"int4:g", 6, {"'g'", "gN"}},
    {"int4:g-64", 6, {"'g-64'", "gN"}},
    {"int4:g 64", 6, {"'g 64'", "gN"}},
    {"fp16:channel", 6, {"granularity", "'channel'", "without scales"}},
    {"bf16:g64", 6, {"granularity", "'g64'", "without scales"}},
    {"fp16:asym", 6, {"symmetry", "'asym'", "without zero points"}},
    {"fp32:sym", 6, {"symmetry", "'sym'"}},
    {"fp8:asym", 5, {"symmetry", "'asym'", "int8 or int4"}},
    {"fp8e5m2:tensor:asym", 16, {"symmetry", "'asym'"}},
    {"fp16/int8", 1, {"int8 activations need int8 or int4 weights", "fp16"}},
    {"fp8/int8", 1, {"int8 activations need", "fp8e4m3"}},
    {"int8/fp8", 1, {"fp8 activations need fp8 weights", "int8"}},
    {"fp32/fp8e5m2", 1, {"fp8 activations need fp8 weights", "fp32"}},
    {"int8\x1b[31m:sym", 1, {"unknown weight datatype"}},
    {"int8:\n", 6, {"unknown or misplaced"}},
    {"int8:\xff\xfe", 6, {"unknown or misplaced"}},
};

static void check_refused(const char *text, int position, const char *const *words, size_t count)
{
    struct scheme before, s;
    memset(&before, 0xa5, sizeof before);
    memcpy(&s, &before, sizeof s);
    struct error error = {""};
    if (scheme_parse(text, &s, &error))
        fail_msg("'%s' parses", text);
    assert_memory_equal(&s, &before, sizeof s);
    char where[32];
    snprintf(where, sizeof where, "position %d: ", position);
    const char *found = strstr(error.text, where);
    if (!found)
        fail_msg("'%s': expected %s in: %s", text, where, error.text);
    for (size_t i = 0; i < count && words[i]; i++)
        if (!strstr(found, words[i]))
            fail_msg("'%s': expected %s in: %s", text, words[i], found);
    assert_false(scheme_parse(text, &s, NULL)); /* nobody has to listen */
}

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        check_refused(bad[i].text, bad[i].position, bad[i].words, 3);
}

/* `stored` takes no fields; the error shows the one that is too many. */
static void test_fields_after_stored(void **state)
{
    (void)state;
    static const char *const words[] = {"stored", "g64", "nothing more"};
    struct error error;
    struct scheme s;
    assert_false(scheme_parse("stored:g64", &s, &error));
    check_refused("stored:g64", strstr(error.text, "position 8") ? 8 : 7, words, 3);
    assert_false(scheme_parse("stored:", &s, NULL));
    assert_false(scheme_parse("stored/int8:g64", &s, NULL));
    assert_false(scheme_parse("stored/", &s, NULL));
    assert_false(scheme_parse("storedx", &s, NULL));
}

/* Blocks, stored or made, multiply activations as they are or in int8 with scales of their own. */
static void test_activations_of_blocks(void **state)
{
    (void)state;
    static const struct {
        const char *scheme, *why;
    } refused[] = {{"stored/fp16", "stored weights multiply fp32 or int8 activations, not fp16"},
                   {"q4_k/bf16", "q4_k weights multiply fp32 or int8 activations, not bf16"},
                   {"q4_0/fp8", "q4_0 weights multiply fp32 or int8 activations, not fp8e4m3"},
                   {"stored/int8.asym", "int8 activations of stored weights have no zero point"},
                   {"q6_k/int8.asym", "int8 activations of q6_k weights have no zero point"},
                   {"q4_k/int8.static", "none to calibrate"},
                   {"stored/int8.static.mse", "none to calibrate"},
                   {"stored/int4", "unknown activation datatype"}};
    static const char *const taken[] = {"stored/int8", "q4_k/int8", "q8_0/int8", "mxfp4/int8", "q4_k/int8:gptq"};
    struct scheme plain = parsed("stored"), s;
    struct error error;
    char text[SCHEME_TEXT];
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        assert_false(scheme_parse(refused[i].scheme, &s, &error));
        if (!strstr(error.text, refused[i].why))
            fail_msg("'%s': expected %s in: %s", refused[i].scheme, refused[i].why, error.text);
    }
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        s = parsed(taken[i]);
        assert_string_equal(scheme_print(&s, text), taken[i]);
        assert_string_equal(scheme_print_act(&s, text), "int8");
        assert_false(scheme_equal(&s, &plain));
    }
    s = parsed("stored/fp32");
    assert_true(scheme_equal(&s, &plain));
}

static void test_very_long_text(void **state)
{
    (void)state;
    enum { LONG = 100000 };
    static const char *const begin[] = {"", "int8/", "int8/int8.", "int8:", "int8:g1", "int8:sym:"};
    static const int position[] = {1, 6, 10, 6, 6, 10};
    char *text = make(LONG + 1);
    for (size_t i = 0; i < sizeof begin / sizeof *begin; i++) {
        memset(text, '1', LONG);
        memcpy(text, begin[i], strlen(begin[i]));
        text[LONG] = 0;
        check_refused(text, position[i], NULL, 0);
        struct error error;
        struct scheme s;
        assert_false(scheme_parse(text, &s, &error));
        assert_true(strlen(error.text) < 400); /* the text is shown in part */
        assert_non_null(strstr(error.text, "expected"));
    }
    for (size_t n = 5; n + 4 < LONG; n += 4) /* any number of fields */
        memcpy(text + n, ":sym", 4);
    text[LONG - 3] = 0;
    struct scheme s;
    assert_false(scheme_parse(text, &s, NULL));
    free(text);
}

/* Whatever is typed: an error of one line with a position inside the text, or a scheme whose
 * canonical form means the same. */
static void check_any_text(const char *text)
{
    struct scheme s, back;
    struct error error = {""};
    char canonical[SCHEME_TEXT];
    if (scheme_parse(text, &s, &error)) {
        back = parsed(scheme_print(&s, canonical));
        assert_true(scheme_equal(&s, &back));
        assert_true(scheme_check(&s, NULL));
        return;
    }
    const char *at = strstr(error.text, "position ");
    assert_non_null(at);
    unsigned long position = strtoul(at + 9, NULL, 10);
    assert_true(position >= 1 && position <= strlen(text) + 1);
    for (const char *p = error.text; *p; p++)
        assert_true(isprint((unsigned char)*p));
}

static void test_pieces_in_any_order(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        "int8", "int4", "fp16", "fp8", "stored", "w8a8", "w4a16", "fp8e5m2", "/", ":", ":", ".asym",
        ".static", "tensor", "channel", "g64", "g15", "sym", "asym", "rtn", "g", "9", "",
        "int8/int8", "awq", "smoothquant", "clip", "gptq", "llmint8", "+", "+", "(", ")", "alpha", "=",
        "damp", "threshold", ",", "0.5", "search", ".kl", "gptq(damp=0.5)", "clip(least=",
    };
    uint64_t seed = 17;
    for (int n = 0; n < 50000; n++) {
        char text[128] = "";
        for (size_t k = random_below(&seed, 9); k > 0; k--)
            strcat(text, pieces[random_below(&seed, sizeof pieces / sizeof *pieces)]);
        check_any_text(text);
    }
}

/* ---- which combinations there are ------------------------------------------------------------ */

static void check_combination(const struct scheme *s, void *arg)
{
    enum dtype_kind weight = dtypes[s->format.weight].kind, act = dtypes[s->format.act].kind;
    bool expected = act == DTYPE_KIND_FLOAT || act == weight;
    struct error error = {""};
    (void)arg;
    assert_int_equal(scheme_check(s, &error), expected);
    assert_int_equal(error.text[0] == 0, expected);
}

static void test_check(void **state)
{
    (void)state;
    each_scheme(groups, GROUPS, check_combination, NULL);
}

/* What the grammar cannot say has no kernel either. */
static void test_check_refuses_what_has_no_spelling(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, 15, 16, 64};
    for (int weight = 0; weight < DTYPE_COUNT; weight++)
        for (int act = 0; act < DTYPE_COUNT; act++)
            for (int granularity = 0; granularity <= GRANULARITY_GROUP; granularity++)
                for (int i = 0; i < 5 * 4; i++) {
                    struct scheme s = {.format.weight = (enum dtype)weight, .format.act = (enum dtype)act,
                                       .format.granularity = (enum granularity)granularity,
                                       .format.group = sizes[i / 4], .format.asym = i & 1, .format.act_asym = i & 2};
                    if (!spellable(&s) && scheme_check(&s, NULL))
                        fail_msg("%s/%s granularity %d group %u asym %d act_asym %d passes",
                                 dtypes[weight].name, dtypes[act].name, granularity, s.format.group,
                                 s.format.asym, s.format.act_asym);
                }
}

static void test_equal(void **state)
{
    (void)state;
    static const char *const different[] = {
        "stored", "fp32",     "int8",       "int8:tensor", "int8:g64",      "int8:g128",
        "int4",   "int8/int8", "int8:asym", "int8/int8.asym", "int4:channel", "fp8", "fp8e5m2",
        "int4:gptq", "int4:gptq(damp=0.02)", "int4:gptq(actorder=0)", "int4:awq", "int4:awq+gptq",
        "int4:smoothquant(alpha=search)", "int4:clip", "int8/int8.static", "int8/int8.static.mse",
    };
    enum { N = sizeof different / sizeof *different };
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < N; k++) {
            struct scheme a = parsed(different[i]), b = parsed(different[k]);
            assert_int_equal(scheme_equal(&a, &b), i == k);
        }
    struct scheme a = parsed("int8"), b = parsed("int4"); /* `stored` hides what is behind it */
    a.format.stored = b.format.stored = true;
    assert_true(scheme_equal(&a, &b));
}

/* ---- sizes ----------------------------------------------------------------------------------- */

/* Worked out by hand: codes + scales + zero points. */
static const struct {
    const char *scheme;
    size_t rows, cols, bytes;
} sizes[] = {
    {"fp32", 3, 5, 60},
    {"fp16", 3, 5, 30},
    {"bf16/bf16", 3, 5, 30},
    {"int8", 3, 5, 15 + 3 * 4},
    {"int8/int8.asym", 3, 5, 15 + 3 * 4},
    {"int8:tensor", 3, 5, 15 + 4},
    {"int8:tensor:asym", 3, 5, 15 + 4 + 1},
    {"int8:asym", 3, 5, 15 + 3 * 4 + 3},
    {"int8:g16", 2, 40, 80 + 2 * 3 * 2},
    {"int8:g16:asym", 2, 40, 80 + 2 * 3 * 2 + 2 * 3},
    {"int4:channel", 3, 5, 3 * 3 + 3 * 4},
    {"int4:channel:asym", 3, 5, 3 * 3 + 3 * 4 + 3},
    {"int4:tensor:asym", 3, 5, 3 * 3 + 4 + 1},
    {"int4", 64, 172, 64 * 86 + 64 * 2 * 2},          /* 128 + 44 columns */
    {"int4:asym", 64, 172, 64 * 86 + 64 * 2 * 2 + 64}, /* two nibbles a row */
    {"int4:g64", 64, 172, 64 * 86 + 64 * 3 * 2},       /* 64 + 64 + 44 */
    {"int4:g64:asym", 64, 172, 64 * 86 + 64 * 3 * 2 + 64 * 2}, /* three nibbles: two bytes */
    {"int8:g64", 64, 172, 64 * 172 + 64 * 3 * 2},
    {"int8:g64:asym", 64, 172, 64 * 172 + 64 * 3 * 2 + 64 * 3},
    {"int4:g17", 1, 35, 18 + 3 * 2},
    {"int4", 4, 64, 4 * 32 + 4 * 2}, /* a group longer than the row is one group */
    {"int4", 1, 1, 1 + 2},
    {"fp8", 3, 5, 15 + 3 * 4},
    {"fp8:tensor", 3, 5, 15 + 4},
    {"fp8e5m2:g16", 2, 40, 80 + 2 * 3 * 2},
    {"fp32", 1 << 20, 1 << 20, (size_t)1 << 42},
    {"int8:smoothquant", 3, 5, 15 + 3 * 4 + 5 * 4},
    {"int8/int8.static.asym:awq+gptq", 3, 5, 15 + 3 * 4 + 5 * 4 + 4 + 1},
};

static const struct {
    const char *scheme;
    size_t rows, cols;
} too_large[] = {
    {"fp32", SIZE_MAX, 1},
    {"fp32", 1, SIZE_MAX},
    {"fp32", (size_t)1 << 31, (size_t)1 << 31},
    {"fp16", (size_t)1 << 40, (size_t)1 << 40},
    {"int8", SIZE_MAX, 2},
    {"int8", (size_t)1 << 32, (size_t)1 << 31}, /* fits, and padding would not */
    {"int8:g16:asym", (size_t)1 << 33, (size_t)1 << 33},
    {"int4", 1, SIZE_MAX},
    {"int4:g16", SIZE_MAX / 4, 17},
    {"int4:tensor:asym", SIZE_MAX, SIZE_MAX},
    {"int8:g16", SIZE_MAX / 2 + 2, 32}, /* twice as many scales wrap to a small number */
};

static float random_value(const struct parameter *p, uint64_t *seed)
{
    double max = isinf(p->max) ? 100 : (double)p->max;
    double value = (double)p->min + random_uniform(seed) * (max - (double)p->min);
    if (random_below(seed, 3) == 0)
        return p->default_value;
    return (float)(p->whole ? floor(value + 0.5) : value);
}

static struct methods random_methods(uint64_t *seed)
{
    struct methods m = {0};
    for (size_t i = 0; method_table[i]; i++) {
        const struct method *method = method_table[i];
        if (random_below(seed, 2))
            methods_add(&m, method);
        for (size_t p = 0; p < method->parameter_count; p++) {
            float value = random_value(&method->parameters[p], seed);
            methods_values(&m, method)[p] = value;
            assert_true(parameter_allows(&method->parameters[p], value));
        }
    }
    return m;
}

static bool allows(const char *method, const char *parameter, float value)
{
    const struct method *m = method_find(method, strlen(method));
    size_t p = 0;
    while (strcmp(m->parameters[p].name, parameter) != 0)
        p++;
    return parameter_allows(&m->parameters[p], value);
}

/* Any selection of methods, with parameters as they come: what composes prints and parses back. */
static void test_methods_round_trip(void **state)
{
    (void)state;
    static const char *const fields[] = {"int4", "int8:asym", "int8/int8", "int4/int8:g32", "fp16", "fp8"};
    uint64_t seed = 23;
    size_t seen = 0;
    for (int n = 0; n < 20000; n++) {
        struct scheme s = parsed(fields[random_below(&seed, sizeof fields / sizeof *fields)]);
        s.methods = random_methods(&seed);
        check_round_trip(&s, NULL);
        seen += scheme_check(&s, NULL);
    }
    assert_true(seen > 1000);
    assert_false(allows("gptq", "damp", NAN) || allows("gptq", "damp", -1) || allows("smoothquant", "alpha", 1.01f) ||
                 allows("gptq", "actorder", 0.5f));
}

/* The longest spelling fits. */
static void test_longest(void **state)
{
    (void)state;
    struct scheme s = parsed("int4/int8.static.percentile.asym:g99999999:asym:"
                             "smoothquant(alpha=0.100000001)+clip(least=0.123456791)+"
                             "gptq(damp=1.17549435e-06,actorder=0,sequence=0)");
    s.format.group = UINT32_MAX;
    char text[2 * SCHEME_TEXT];
    memset(text, 'x', sizeof text);
    scheme_print(&s, text);
    assert_true(strlen(text) + 40 < SCHEME_TEXT);
    assert_non_null(strstr(text, ",sequence=0)"));
}

static void test_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct scheme s = parsed(sizes[i].scheme);
        size_t bytes = 0;
        assert_true(scheme_bytes(&s, sizes[i].rows, sizes[i].cols, &bytes));
        if (bytes != sizes[i].bytes)
            fail_msg("%s, %zu x %zu: %zu bytes; expected %zu", sizes[i].scheme, sizes[i].rows,
                     sizes[i].cols, bytes, sizes[i].bytes);
    }
    for (size_t i = 0; i < sizeof too_large / sizeof *too_large; i++) {
        struct scheme s = parsed(too_large[i].scheme);
        size_t bytes;
        struct qmatrix m;
        struct error error = {""};
        if (scheme_bytes(&s, too_large[i].rows, too_large[i].cols, &bytes))
            fail_msg("%s, %zu x %zu fits?", too_large[i].scheme, too_large[i].rows,
                     too_large[i].cols);
        assert_false(qmatrix_init(&m, &s.format, too_large[i].rows, too_large[i].cols, &error));
        assert_non_null(strstr(error.text, "too large"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_canonical_forms),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_fields_after_stored),
        cmocka_unit_test(test_activations_of_blocks),
        cmocka_unit_test(test_very_long_text),
        cmocka_unit_test(test_pieces_in_any_order),
        cmocka_unit_test(test_check),
        cmocka_unit_test(test_check_refuses_what_has_no_spelling),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_methods_round_trip),
        cmocka_unit_test(test_longest),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
