/* Files of tokenizers: what is wrong with them is said in one line that names the place. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/escape.h"
#include "tokenizer/vocabulary.h"
#include "gguffile.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder, *inner; /* of this program's files; of one tokenizer and what lies beside it */

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    inner = path_in(folder, "inner");
    return mkdir(inner, 0700);
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    free(inner);
    return 0;
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void check_error(const struct error *error, const char *const *needles)
{
    size_t n = strlen(error->text), length;
    assert_true(n > 0);
    for (size_t i = 0; i < n; i += length) {
        uint32_t c;
        bool cut;
        length = utf8_read(error->text + i, n - i, &c, &cut);
        if (length == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
            fail_msg("not one clean line: '%s'", error->text);
    }
    for (; *needles; needles++)
        if (!strstr(error->text, *needles))
            fail_msg("'%s' does not say '%s'", error->text, *needles);
}

static struct tokenizer *open_file(const char *name, const void *data, size_t size, struct error *error)
{
    char *path = path_in(inner, name);
    *error = (struct error){""};
    write_file(path, data, size);
    struct tokenizer *t = tokenizer_open(path, error);
    free(path);
    return t;
}

static struct tokenizer *must_open(const char *name, const void *data, size_t size)
{
    struct error error;
    struct tokenizer *t = open_file(name, data, size, &error);
    if (!t)
        fail_msg("%s", error.text);
    return t;
}

static void refuse_file(const char *name, const void *data, size_t size, const char *const *needles)
{
    struct error error;
    struct tokenizer *t = open_file(name, data, size, &error);
    if (t)
        fail_msg("accepted, though '%s' was expected", *needles);
    check_error(&error, needles);
}

static void check_ids(const struct tokenizer *t, const char *text, const int32_t *ids, size_t count)
{
    struct error error = {""};
    struct tokens tokens = {0};
    assert_true(tokenizer_encode(t, text, strlen(text), &tokens, &error));
    assert_int_equal(tokens.count, count);
    if (count)
        assert_memory_equal(tokens.ids, ids, count * sizeof *ids);
    free(tokens.ids);
}
#define CHECK_IDS(t, text, ...) \
    check_ids(t, text, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

/* ---- tokenizer.json -------------------------------------------------------------------------- */

/* A file with parts that a test may replace; null: the usual. */
struct parts {
    const char *added, *normalizer, *pre, *post, *model, *vocab, *merges, *more; /* of the model */
    const char *decoder, *options;
};

static char *json_of(struct parts p)
{
    char *out, *model;
    if (asprintf(&model, "{\"type\":\"BPE\",\"vocab\":%s,\"merges\":%s%s}",
                 p.vocab ? p.vocab : "{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3}", p.merges ? p.merges : "[\"a b\"]",
                 p.more ? p.more : "") < 0 ||
        asprintf(&out, "{\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":%s,"
                       "\"decoder\":%s,\"model\":%s%s}",
                 p.added ? p.added : "[{\"id\":4,\"content\":\"<s>\",\"special\":true}]",
                 p.normalizer ? p.normalizer : "null",
                 p.pre ? p.pre : "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}", p.post ? p.post : "null",
                 p.decoder ? p.decoder : "null", p.model ? p.model : model, p.options ? p.options : "") < 0)
        abort();
    free(model);
    return out;
}

static struct tokenizer *open_json(struct parts p)
{
    char *text = json_of(p);
    struct tokenizer *t = must_open("tokenizer.json", text, strlen(text));
    free(text);
    return t;
}

static void refuse_json(struct parts p, const char *const *needles)
{
    char *text = json_of(p);
    refuse_file("tokenizer.json", text, strlen(text), needles);
    free(text);
}
#define REFUSE_JSON(part, ...) refuse_json((struct parts){part}, WORDS("tokenizer.json", __VA_ARGS__))

static void test_json_syntax(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {{"{", "line 1"}, {"{} x", "line 1"}, {"{\"a\":1,\"a\":2}", "duplicate"}, {"{\"a\":\"\\ud800\"}", "line 1"},
                 {"{\"a\":\"\\u0000\"}", "line 1"}, {"{\"a\":\"\xff\"}", "line 1"}, {"{\"a\":1e400}", "line 1"},
                 {"{\"a\":\n\n x}", "line 3"}, {"[]", "expected an object"}, {"{}", "model is missing"},
                 {"{\"model\":3}", "model is an integer"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse_file("tokenizer.json", cases[i].text, strlen(cases[i].text), WORDS("tokenizer.json", cases[i].says));
}

static void test_json_nested_deep(void **state)
{
    (void)state;
    enum { DEEP = 100000 };
    char *text = malloc(2 * DEEP);
    assert_non_null(text);
    memset(text, '[', DEEP);
    memset(text + DEEP, ']', DEEP);
    refuse_file("tokenizer.json", text, 2 * DEEP, WORDS("tokenizer.json", "nested"));
    for (size_t i = 0; i < DEEP; i++)
        memcpy(text + 5 * i % (2 * DEEP - 5), "{\"a\":", 5);
    refuse_file("tokenizer.json", text, 2 * DEEP, WORDS("tokenizer.json", "nested"));
    free(text);
}

/* Of so many empty lists and values a parser would make gigabytes. */
static void test_json_of_nothing_much(void **state)
{
    (void)state;
    enum { MANY = 200000 };
    static const char *const what[] = {"{},", "0,", "[],"};
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(what[i]);
        char *text = malloc(MANY * n + 3);
        assert_non_null(text);
        text[0] = '[';
        for (size_t k = 0; k < MANY; k++)
            memcpy(text + 1 + k * n, what[i], n);
        memcpy(text + MANY * n + 1, "0]", 2);
        refuse_file("tokenizer.json", text, MANY * n + 3, WORDS("tokenizer.json", "expected fewer"));
        free(text);
    }
}

static void test_json_truncated_at_every_byte(void **state)
{
    (void)state;
    char *text = json_of((struct parts){0});
    for (size_t n = 1; n < strlen(text); n++)
        refuse_file("tokenizer.json", text, n, WORDS("tokenizer.json", "line"));
    free(text);
}

static void test_json_models(void **state)
{
    (void)state;
    REFUSE_JSON(.model = "{\"type\":\"Unigram\",\"vocab\":[]}", "model.type", "Unigram", "BPE");
    REFUSE_JSON(.model = "{\"type\":\"WordPiece\",\"vocab\":{}}", "model.type", "WordPiece");
    REFUSE_JSON(.model = "{\"vocab\":{}}", "model.type is missing");
    REFUSE_JSON(.model = "{\"type\":7}", "model.type is an integer");
    REFUSE_JSON(.model = "{\"type\":\"BPE\",\"merges\":[]}", "model.vocab is missing");
    REFUSE_JSON(.vocab = "[]", "model.vocab is an array");
    REFUSE_JSON(.merges = "{}", "model.merges is an object");
    REFUSE_JSON(.more = ",\"continuing_subword_prefix\":\"##\"", "continuing_subword_prefix", "##");
    REFUSE_JSON(.more = ",\"end_of_word_suffix\":\"</w>\"", "end_of_word_suffix", "</w>");
    REFUSE_JSON(.more = ",\"unk_token\":\"<unk>\"", "unk_token", "<unk>");
    REFUSE_JSON(.added = "{}", "added_tokens is an object");
}

static void test_json_ids(void **state)
{
    (void)state;
    REFUSE_JSON(.vocab = "{\"a\":0,\"b\":0,\"ab\":1}", "model.vocab", "'a' and 'b'", "id 0");
    refuse_json((struct parts){.vocab = "{\"a\":0,\"b\":1,\"ab\":3}", .added = "[{\"id\":0,\"content\":\"a\"}]"},
                WORDS("model.vocab", "no token has id 2"));
    REFUSE_JSON(.vocab = "{\"a\":0,\"b\":1,\"ab\":2147483648}", "model.vocab", "'ab'", "2147483648");
    REFUSE_JSON(.vocab = "{\"a\":0,\"b\":-1,\"ab\":2}", "model.vocab", "'b'", "-1");
    REFUSE_JSON(.vocab = "{\"a\":0,\"b\":1.5,\"ab\":2}", "model.vocab", "'b'", "a number");
    REFUSE_JSON(.vocab = "{\"a\":0,\"b\":\"1\",\"ab\":2}", "model.vocab", "'b'", "a string");
    REFUSE_JSON(.added = "[{\"id\":2,\"content\":\"<s>\"}]", "added_tokens[0]", "'ab' and '<s>'");
    REFUSE_JSON(.added = "[{\"id\":9,\"content\":\"<s>\"}]", "added_tokens[0]", "'<s>'", "9");
    REFUSE_JSON(.added = "[{\"id\":4,\"content\":\"<s>\"},{\"id\":4,\"content\":\"</s>\"}]", "added_tokens[1]", "id 4");
    REFUSE_JSON(.added = "[{\"id\":4}]", "added_tokens[0].content is missing");
    REFUSE_JSON(.added = "[7]", "added_tokens[0].content");
    REFUSE_JSON(.added = "[{\"content\":\"<s>\"}]", "added_tokens[0]", "missing");
}

static void test_json_merges(void **state)
{
    (void)state;
    REFUSE_JSON(.merges = "[\"a b\",\"a x\"]", "merge 1", "'a x'", "not a token");
    REFUSE_JSON(.merges = "[\"b a\"]", "merge 0", "'b a'", "what it makes");
    REFUSE_JSON(.merges = "[\"ab\"]", "model.merges[0]", "a string");
    REFUSE_JSON(.merges = "[\"a \"]", "model.merges[0]");
    REFUSE_JSON(.merges = "[\" b\"]", "model.merges[0]");
    REFUSE_JSON(.merges = "[\"a b c\"]", "model.merges[0]");
    REFUSE_JSON(.merges = "[\"a b\",[\"a\"]]", "model.merges[1]", "an array");
    REFUSE_JSON(.merges = "[[\"a\",\"b\",\"c\"]]", "model.merges[0]");
    REFUSE_JSON(.merges = "[[\"a\",1]]", "model.merges[0]");
    REFUSE_JSON(.merges = "[null]", "model.merges[0]", "null");
}

static void test_json_steps(void **state)
{
    (void)state;
    REFUSE_JSON(.pre = "{\"type\":\"BertPreTokenizer\"}", "pre_tokenizer.type", "BertPreTokenizer");
    REFUSE_JSON(.pre = "7", "pre_tokenizer.type");
    REFUSE_JSON(.pre = "{\"type\":\"Sequence\"}", "pre_tokenizer.pretokenizers");
    REFUSE_JSON(.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"X\"}]}", "pre_tokenizer.pretokenizers[0].type", "X");
    REFUSE_JSON(.pre = "{\"type\":\"Split\",\"behavior\":\"Isolated\"}", "pre_tokenizer.pattern");
    REFUSE_JSON(.pre = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Odd\"}", "pre_tokenizer.behavior", "Odd");
    REFUSE_JSON(.pre = "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a\"},\"behavior\":\"Isolated\"}", "expression 1", "'(a'");
    REFUSE_JSON(.pre = "{\"type\":\"Metaspace\",\"replacement\":\"_\"}", "pre_tokenizer.replacement", "_");
    REFUSE_JSON(.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"},{\"type\":\"ByteLevel\"}]}",
                "pretokenizers[1].add_prefix_space");
    REFUSE_JSON(.normalizer = "{\"type\":\"Lowercase\"}", "normalizer.type", "Lowercase");
    REFUSE_JSON(.normalizer = "{\"type\":\"Prepend\"}", "normalizer.prepend");
    REFUSE_JSON(.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"q\"},\"content\":\"x\"}",
                "normalizer.pattern", "q");
    REFUSE_JSON(.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"x\"}",
                "normalizer.pattern");
    REFUSE_JSON(.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"q\"}}", "normalizer.content");
    static const char *const unknown[] = {"BertNormalizer", "StripAccents", "Strip", "Lowercase", "Nmt", "Precompiled",
                                          "ByteLevel"};
    static const char *const cutters[] = {"UnicodeScripts", "CharDelimiterSplit", "FixedLength", "BertPreTokenizer"};
    static const char *const decoders[] = {"WordPiece", "BPEDecoder", "CTC"};
    char text[80];
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        snprintf(text, sizeof text, "{\"type\":\"%s\"}", unknown[i]);
        REFUSE_JSON(.normalizer = text, "normalizer.type", unknown[i]);
    }
    for (size_t i = 0; i < sizeof cutters / sizeof *cutters; i++) {
        snprintf(text, sizeof text, "{\"type\":\"%s\"}", cutters[i]);
        REFUSE_JSON(.pre = text, "pre_tokenizer.type", cutters[i]);
    }
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) {
        snprintf(text, sizeof text, "{\"type\":\"%s\"}", decoders[i]);
        REFUSE_JSON(.decoder = text, "decoder.type", decoders[i]);
    }
}

static void test_json_many_steps(void **state)
{
    (void)state;
    char pre[4096] = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"}";
    for (int i = 0; i < 40; i++)
        strcat(pre, ",{\"type\":\"Digits\"}");
    strcat(pre, "]}");
    REFUSE_JSON(.pre = pre, "pre_tokenizer.pretokenizers[32]", "more than 32");
}

#define TEMPLATE(before, ids) \
    "{\"type\":\"TemplateProcessing\",\"single\":[" before "{\"Sequence\":{\"id\":\"A\"}}],\"special_tokens\":" \
    "{\"<s>\":{\"id\":\"<s>\",\"ids\":" ids "}}}"
#define BOS "{\"SpecialToken\":{\"id\":\"<s>\"}},"

static void test_json_templates(void **state)
{
    (void)state;
    struct tokenizer *t = open_json((struct parts){.post = TEMPLATE(BOS, "[4]")});
    assert_true(tokenizer_adds_bos(t) && tokenizer_bos(t) == 4 && !tokenizer_adds_eos(t));
    tokenizer_close(t);
    t = open_json((struct parts){.post = TEMPLATE("", "[4]")});
    assert_false(tokenizer_adds_bos(t));
    assert_int_equal(tokenizer_bos(t), 4); /* there is one, by its name */
    tokenizer_close(t);
    t = open_json((struct parts){.post = "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"}," TEMPLATE(BOS, "[4]")
                                         "]}"});
    assert_true(tokenizer_adds_bos(t));
    tokenizer_close(t);
    REFUSE_JSON(.post = TEMPLATE(BOS, "[5]"), "post_processor.special_tokens", "'<s>'", "5");
    REFUSE_JSON(.post = TEMPLATE(BOS, "[-1]"), "post_processor.special_tokens", "-1");
    REFUSE_JSON(.post = TEMPLATE(BOS, "[1,2]"), "post_processor");
    REFUSE_JSON(.post = TEMPLATE("7,", "[4]"), "post_processor");
    REFUSE_JSON(.post = "{\"type\":\"TemplateProcessing\"}", "post_processor", "single");
    REFUSE_JSON(.post = "[]", "post_processor");
    t = open_json((struct parts){.post = "{\"type\":\"RobertaProcessing\"}"});
    assert_non_null(strstr(tokenizer_note(t), "RobertaProcessing"));
    tokenizer_close(t);
}

static void write_config(const char *text)
{
    char *path = path_in(inner, "tokenizer_config.json");
    write_file(path, text, strlen(text));
    free(path);
}

static void test_json_config(void **state)
{
    (void)state;
    char *path = path_in(inner, "tokenizer_config.json");
    write_config("{\"add_bos_token\":false,\"bos_token\":null,\"eos_token\":{\"content\":\"<s>\"}}");
    struct tokenizer *t = open_json((struct parts){.post = TEMPLATE(BOS, "[4]")});
    assert_false(tokenizer_adds_bos(t));
    assert_int_equal(tokenizer_eos(t), 4);
    tokenizer_close(t);
    write_config("{\"add_bos_token\":true,\"add_eos_token\":true,\"bos_token\":\"<s>\",\"eos_token\":\"a\"}");
    t = open_json((struct parts){0});
    assert_true(tokenizer_adds_bos(t) && tokenizer_adds_eos(t));
    assert_true(tokenizer_bos(t) == 4 && tokenizer_eos(t) == 0 && tokenizer_ends_text(t, 0));
    tokenizer_close(t);
    write_config("{\"add_bos_token\":true,\"bos_token\":null}");
    t = open_json((struct parts){0});
    assert_non_null(strstr(tokenizer_note(t), "asks for BOS and names none"));
    tokenizer_close(t);
    write_config("{\"add_bos_token\":\"true\"}");
    refuse_json((struct parts){0}, WORDS("tokenizer_config.json.add_bos_token is a string"));
    write_config("{\"eos_token\":\"nowhere\"}");
    refuse_json((struct parts){0}, WORDS("tokenizer_config.json", "eos_token", "nowhere"));
    write_config("{\"eos_token\":");
    refuse_json((struct parts){0}, WORDS("tokenizer_config.json", "line 1"));
    unlink(path);
    free(path);
}

static void test_json_added_tokens(void **state)
{
    (void)state;
    struct tokenizer *t = open_json((struct parts){
        .added = "[{\"id\":4,\"content\":\"<s>\",\"special\":true},{\"id\":5,\"content\":\"ab ab\"},{\"id\":6,\"content\":\"ab \"},"
                 "{\"id\":7,\"content\":\"<|im_end|>\",\"special\":true}]"});
    CHECK_IDS(t, "abab", 2, 2);
    CHECK_IDS(t, "ab abab", 5, 2);
    CHECK_IDS(t, "bab ba", 1, 6, 1, 0);
    CHECK_IDS(t, "a<s>b", 0, 1); /* a control token is only text, and this vocabulary has no such bytes */
    assert_true(tokenizer_ends_text(t, 7));
    tokenizer_close(t);
}

/* Characters, with spaces written as U+2581 by a normalizer or a pre-tokenizer, in front or not. */
static void test_json_spaces(void **state)
{
    (void)state;
    static const char vocab[] = "{\"a\":0,\"b\":1,\"\\u2581\":2,\"\\u2581a\":3}", merges[] = "[[\"\\u2581\",\"a\"]]";
#define METASPACE(more) "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\"," more "}"
    static const struct {
        const char *pre, *normalizer;
        int32_t first; /* what "a" becomes */
    } cases[] = {{"{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"MergedWithPrevious\"}",
                  "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}", 0},
                 {METASPACE("\"prepend_scheme\":\"never\",\"add_prefix_space\":true"), "null", 0},
                 {METASPACE("\"prepend_scheme\":\"first\",\"add_prefix_space\":true"), "null", 3},
                 {METASPACE("\"add_prefix_space\":false"), "null", 0},
                 {METASPACE("\"split\":false"), "null", 3},
                 {"null", "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},"
                          "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}]}", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tokenizer *t = open_json((struct parts){.vocab = vocab, .merges = merges, .pre = cases[i].pre,
                                                       .normalizer = cases[i].normalizer});
        CHECK_IDS(t, "a a", cases[i].first, 3);
        tokenizer_close(t);
    }
    REFUSE_JSON(.pre = METASPACE("\"prepend_scheme\":\"first\",\"add_prefix_space\":false"), "prepend_scheme",
                "first", "never");
    REFUSE_JSON(.pre = METASPACE("\"prepend_scheme\":\"last\""), "prepend_scheme", "last", "always, first or never");
    REFUSE_JSON(.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"},"
                       METASPACE("\"split\":false") "]}", "pretokenizers[1] is Metaspace behind another step");
}

/* Steps behind ByteLevel see its characters: that of byte 0xb2, as in U+00F2, is U+00B2, a number. */
static void test_json_steps_behind_byte_level(void **state)
{
    (void)state;
    static const char vocab[] = "{\"a\":0,\"\u00c3\":1,\"\u00b2\":2,\"\u00c3\u00b2\":3,"
                                "\"1\":4,\"a1\":5,\"\u0120\":6,\"\u0120a\":7}";
    static const char merges[] = "[\"\u00c3 \u00b2\",\"a 1\",\"\u0120 a\"]", digits[] = "{\"type\":\"Digits\"}",
                      bytes[] = "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}";
    for (int behind = 0; behind < 2; behind++) {
        char pre[300];
        snprintf(pre, sizeof pre, "{\"type\":\"Sequence\",\"pretokenizers\":[%s,%s]}", behind ? bytes : digits,
                 behind ? digits : bytes);
        struct tokenizer *t = open_json((struct parts){.vocab = vocab, .merges = merges, .pre = pre, .added = "[]"});
        CHECK_IDS(t, "a1 a", 0, 4, 7);
        if (behind)
            CHECK_IDS(t, "\xc3\xb2", 1, 2);
        else
            CHECK_IDS(t, "\xc3\xb2", 3);
        tokenizer_close(t);
    }
}

/* Switches are booleans: text that looks like one is not taken for false. */
static void test_json_switches(void **state)
{
    (void)state;
    REFUSE_JSON(.more = ",\"byte_fallback\":\"true\"", "model.byte_fallback is a string", "true or false");
    REFUSE_JSON(.more = ",\"fuse_unk\":1", "model.fuse_unk is an integer");
    REFUSE_JSON(.more = ",\"ignore_merges\":[]", "model.ignore_merges is an array");
    REFUSE_JSON(.more = ",\"dropout\":0.1", "model.dropout = 0.1", "at random");
    static const char *const keys[] = {"lstrip", "rstrip", "single_word", "normalized", "special"};
    for (size_t i = 0; i < 5; i++) {
        char added[100];
        snprintf(added, sizeof added, "[{\"id\":4,\"content\":\"<s>\",\"%s\":\"yes\"}]", keys[i]);
        REFUSE_JSON(.added = added, "added_tokens[0]", keys[i], "a string");
    }
    REFUSE_JSON(.pre = "{\"type\":\"ByteLevel\",\"add_prefix_space\":0}",
                "pre_tokenizer.add_prefix_space is an integer");
    REFUSE_JSON(.pre = "{\"type\":\"ByteLevel\",\"use_regex\":0}", "pre_tokenizer.use_regex");
    REFUSE_JSON(.pre = "{\"type\":\"Digits\",\"individual_digits\":\"no\"}", "pre_tokenizer.individual_digits");
    REFUSE_JSON(.pre = "{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},\"behavior\":\"Isolated\",\"invert\":1}",
                "pre_tokenizer.invert");
    struct tokenizer *t = open_json((struct parts){.more = ",\"dropout\":0.0,\"fuse_unk\":null"});
    CHECK_IDS(t, "ab", 2);
    tokenizer_close(t);
}

/* What two places say differently of one token. */
static void test_json_contradictions(void **state)
{
    (void)state;
    REFUSE_JSON(.added = "[{\"id\":4,\"content\":\"a\"}]", "added_tokens[0]", "'a' has id 4, and id 0 before");
    REFUSE_JSON(.added = "[{\"id\":4,\"content\":\"x\"},{\"id\":5,\"content\":\"x\"}]", "added_tokens[1]",
                "'x' has id 5, and id 4 before");
    refuse_json((struct parts){.pre = "null", .decoder = "{\"type\":\"ByteLevel\"}"},
                WORDS("decoder is ByteLevel, but pre_tokenizer is not"));
    struct tokenizer *t =
        open_json((struct parts){.added = "[{\"id\":4,\"content\":\"x\"},{\"id\":4,\"content\":\"x\"}]"});
    CHECK_IDS(t, "x", 4);
    tokenizer_close(t);
    t = open_json((struct parts){.vocab = "{\"a\":0,\"b\":1,\"ab\":2,\"ba\":3,\"aba\":4}", .added = "[]",
                                 .merges = "[\"a b\",\"b a\",\"a b\"]"});
    CHECK_IDS(t, "aba", 0, 3); /* of equal merges the last counts */
    tokenizer_close(t);
}

/* Steps that double a text again and again end with an error, soon. */
static void test_json_steps_that_grow(void **state)
{
    (void)state;
#define DOUBLE "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"aa\"}"
#define FOUR DOUBLE "," DOUBLE "," DOUBLE "," DOUBLE
    struct tokenizer *t = open_json((struct parts){
        .normalizer = "{\"type\":\"Sequence\",\"normalizers\":[" FOUR "," FOUR "," FOUR "," FOUR "," FOUR "," FOUR ","
                      FOUR "," FOUR "]}"});
    struct error error = {""};
    struct tokens tokens = {0};
    assert_true(tokenizer_encode(t, "b", 1, &tokens, &error));
    assert_false(tokenizer_encode(t, "ba", 2, &tokens, &error));
    assert_int_equal(tokens.count, 1);
    check_error(&error, WORDS("normalizing a text of 2 bytes", "64"));
    free(tokens.ids);
    tokenizer_close(t);
}

/* A file's wishes that are not granted are all in the note. */
static void test_json_notes(void **state)
{
    (void)state;
    struct tokenizer *t = open_json((struct parts){
        .post = "{\"type\":\"BertProcessing\"}",
        .options = ",\"truncation\":{\"max_length\":8},\"padding\":{\"pad_id\":0}"});
    static const char *const said[] = {"BertProcessing", "truncation", "padding"};
    for (size_t i = 0; i < 3; i++)
        assert_non_null(strstr(tokenizer_note(t), said[i]));
    tokenizer_close(t);
    t = open_json((struct parts){.post = TEMPLATE(BOS BOS, "[4]")});
    assert_non_null(strstr(tokenizer_note(t), "1 of the tokens that the post_processor puts around a text"));
    tokenizer_close(t);
}

/* Unicode's forms (UAX 15): letters with marks, ligatures, Hangul; bytes that are no UTF-8 stay. */
static void test_json_unicode_forms(void **state)
{
    (void)state;
    static const struct {
        const char *form, *text;
        int32_t ids[4];
        size_t count;
    } cases[] = {{"NFC", "e\xcc\x81", {0}, 1}, {"NFC", "\xc3\xa9", {0}, 1}, {"NFD", "\xc3\xa9", {1, 2}, 2},
                 {"NFC", "\xef\xac\x81", {3}, 1}, {"NFKC", "\xef\xac\x81", {4, 5}, 2},
                 {"NFKD", "\xef\xac\x81\xc3\xa9", {4, 5, 1, 2}, 4},
                 {"NFKC", "\xef\xac\x81" "e\xcc\x81", {4, 5, 0}, 3}, {"NFC", "e\xff\xcc\x81", {1, 2}, 2},
                 {"NFD", "e", {1}, 1},
                 {"NFC", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", {6}, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char normalizer[40];
        snprintf(normalizer, sizeof normalizer, "{\"type\":\"%s\"}", cases[i].form);
        struct tokenizer *t = open_json((struct parts){
            .vocab = "{\"\u00e9\":0,\"e\":1,\"\u0301\":2,\"\ufb01\":3,\"f\":4,\"i\":5,\"\ud55c\":6}", .merges = "[]",
            .added = "[]", .pre = "null", .normalizer = normalizer});
        assert_null(tokenizer_note(t));
        check_ids(t, cases[i].text, cases[i].ids, cases[i].count);
        tokenizer_close(t);
    }
}

/* ---- tokenizer.model ------------------------------------------------------------------------- */

struct proto {
    uint8_t data[4096];
    size_t size;
};

static void put_varint(struct proto *p, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        p->data[p->size++] = (uint8_t)(value | 0x80);
    p->data[p->size++] = (uint8_t)value;
}

static void put_number(struct proto *p, unsigned field, uint64_t value)
{
    put_varint(p, field << 3);
    put_varint(p, value);
}

static void put_bytes(struct proto *p, unsigned field, const void *bytes, size_t n)
{
    put_varint(p, field << 3 | 2);
    put_varint(p, n);
    if (n)
        memcpy(p->data + p->size, bytes, n);
    p->size += n;
}

static void put_piece(struct proto *p, const char *text, float score, unsigned type)
{
    struct proto piece = {.size = 0};
    put_bytes(&piece, 1, text, strlen(text));
    put_varint(&piece, 2 << 3 | 5);
    memcpy(piece.data + piece.size, &score, 4);
    piece.size += 4;
    put_number(&piece, 3, type);
    put_bytes(p, 1, piece.data, piece.size);
}

/* Fields of trainer_spec: model_type 3, byte_fallback 35, unk 40, bos 41, eos 42; of normalizer_spec: name 1,
 * dummy prefix 3, extra spaces 4. */
static struct proto usual_model(unsigned model_type)
{
    struct proto p = {.size = 0}, trainer = {.size = 0}, normalizer = {.size = 0};
    put_piece(&p, "<unk>", 0, 2);
    put_piece(&p, "<s>", 0, 3);
    put_piece(&p, "</s>", 0, 3);
    put_piece(&p, "\xe2\x96\x81", -3, 1);
    put_piece(&p, "a", -4, 1);
    put_piece(&p, "\xe2\x96\x81" "a", -1, 1);
    put_piece(&p, "<tag>", 0, 4);
    if (model_type)
        put_number(&trainer, 3, model_type);
    put_number(&trainer, 99, 7); /* a field that is not known */
    put_bytes(&p, 2, trainer.data, trainer.size);
    put_bytes(&normalizer, 1, "identity", 8);
    put_number(&normalizer, 4, 0);
    put_bytes(&p, 3, normalizer.data, normalizer.size);
    return p;
}

#define REFUSE_MODEL(p, ...) refuse_file("tokenizer.model", (p)->data, (p)->size, WORDS("tokenizer.model", __VA_ARGS__))

static void test_sentencepiece(void **state)
{
    (void)state;
    struct proto p = usual_model(2), trainer = {.size = 0};
    struct tokenizer *t = must_open("tokenizer.model", p.data, p.size);
    CHECK_IDS(t, "a a<tag>x", 5, 5, 6, 0);
    assert_int_equal(tokenizer_bos(t), 1);
    assert_int_equal(tokenizer_eos(t), 2);
    assert_null(tokenizer_note(t));
    tokenizer_close(t);
    put_number(&trainer, 41, UINT64_MAX); /* -1: none */
    put_bytes(&p, 2, trainer.data, trainer.size);
    t = must_open("tokenizer.model", p.data, p.size);
    assert_int_equal(tokenizer_bos(t), -1);
    assert_false(tokenizer_adds_bos(t));
    tokenizer_close(t);
}

static void test_sentencepiece_refused(void **state)
{
    (void)state;
    static const char *const types[] = {"Unigram", "Unigram", NULL, "Word", "Char", "unknown number"};
    struct proto p;
    for (unsigned type = 0; type < 6; type++)
        if (types[type]) {
            p = usual_model(type);
            REFUSE_MODEL(&p, "trainer_spec.model_type", types[type]);
        }
    p = usual_model(2);
    put_piece(&p, "x", 0, 7);
    REFUSE_MODEL(&p, "piece 7", "type 7");
    p = usual_model(2);
    put_piece(&p, "x", __builtin_nanf(""), 1);
    REFUSE_MODEL(&p, "token 7", "NaN");
    struct proto trainer = {.size = 0};
    p = usual_model(2);
    put_number(&trainer, 42, 1000);
    put_bytes(&p, 2, trainer.data, trainer.size);
    REFUSE_MODEL(&p, "EOS", "1000");
    p = usual_model(2);
    put_bytes(&p, 2, "\x18", 1); /* a tag without its value */
    REFUSE_MODEL(&p, "trainer_spec");
    p = usual_model(2);
    put_bytes(&p, 3, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11); /* a length of 2^64 - 1 */
    REFUSE_MODEL(&p, "normalizer_spec");
    p = usual_model(2);
    put_bytes(&p, 1, "\x0b", 1); /* a group, which proto2 gave up */
    REFUSE_MODEL(&p, "a piece");
}

/* Cut anywhere it is refused, or (between two fields) lacks what came behind. */
static void test_sentencepiece_truncated_at_every_byte(void **state)
{
    (void)state;
    struct proto p = usual_model(2);
    for (size_t n = 1; n < p.size; n++) {
        struct error error;
        struct tokenizer *t = open_file("tokenizer.model", p.data, n, &error);
        if (!t)
            check_error(&error, WORDS("tokenizer.model"));
        assert_true(!t || n < p.size - 1); /* the last field is one byte short */
        tokenizer_close(t);
    }
}

/* A field of a message that comes behind those of the usual model. */
static struct proto with_field(unsigned message, unsigned field, uint64_t value)
{
    struct proto p = usual_model(2), inner_message = {.size = 0};
    put_number(&inner_message, field, value);
    put_bytes(&p, message, inner_message.data, inner_message.size);
    return p;
}

static void test_sentencepiece_normalizes(void **state)
{
    (void)state;
    /* a trie of one text: 'b' becomes what is at offset 0. Units: the root, whose children are 0x20 away; 'b' at
     * 0x20 ^ 'b', whose value is 1 away; the value. */
    enum { B = 0x20 ^ 'b', UNITS = B + 2 };
    uint32_t units[UNITS + 1] = {UNITS * 4};
    units[1] = 0x20u << 10;
    units[1 + B] = 'b' | 1u << 8 | 1u << 10;
    units[1 + (B ^ 1)] = 1u << 31;
    uint8_t map[sizeof units + 3];
    memcpy(map, units, sizeof units);
    memcpy(map + sizeof units, " a", 3);
    struct proto p = with_field(3, 4, 1), normalizer = {.size = 0};
    struct tokenizer *t = must_open("tokenizer.model", p.data, p.size);
    CHECK_IDS(t, "  a   a ", 5, 5); /* extra spaces go */
    check_ids(t, "   ", NULL, 0);
    assert_null(tokenizer_note(t));
    tokenizer_close(t);
    put_bytes(&normalizer, 2, map, sizeof map);
    put_bytes(&p, 3, normalizer.data, normalizer.size);
    t = must_open("tokenizer.model", p.data, p.size);
    CHECK_IDS(t, "ba<tag>b", 5, 4, 6, 5);
    tokenizer_close(t);
    for (size_t i = 0; i < 3; i++) {
        uint32_t bad[] = {0, 3, sizeof map};
        memcpy(map, &bad[i], 4);
        normalizer.size = 0;
        p = usual_model(2);
        put_bytes(&normalizer, 2, map, sizeof map);
        put_bytes(&p, 3, normalizer.data, normalizer.size);
        REFUSE_MODEL(&p, "precompiled_charsmap", "malformed");
    }
}

static void test_sentencepiece_contradictions(void **state)
{
    (void)state;
    struct proto p = with_field(2, 24, 1);
    REFUSE_MODEL(&p, "treat_whitespace_as_suffix");
    p = with_field(3, 5, 0);
    REFUSE_MODEL(&p, "escape_whitespaces");
    p = with_field(2, 35, 1);
    REFUSE_MODEL(&p, "byte_fallback is true, with 0 pieces", "256");
    p = usual_model(2);
    put_piece(&p, "<0x41>", 0, 6);
    REFUSE_MODEL(&p, "byte_fallback is false, with 1 pieces", "none");
    p = usual_model(2);
    put_piece(&p, "<0x4>", 0, 6);
    REFUSE_MODEL(&p, "piece 7 is of type byte");
    p = usual_model(2);
    put_piece(&p, "a", 0, 1);
    REFUSE_MODEL(&p, "token 7 'a' is also token 4");
    p = usual_model(2);
    put_piece(&p, "", 0, 1);
    REFUSE_MODEL(&p, "piece 7 is empty");
    p = usual_model(2);
    put_piece(&p, "<unk2>", 0, 2);
    REFUSE_MODEL(&p, "2 pieces are of type unknown");
}

/* An unused piece is made in passing and taken apart again; one that is a character is unknown. */
static void test_sentencepiece_unused(void **state)
{
    (void)state;
    struct proto p = usual_model(2);
    put_piece(&p, "b", -5, 1);
    put_piece(&p, "ab", -0.5F, 5);
    put_piece(&p, "abb", -0.1F, 1);
    put_piece(&p, "c", -6, 5);
    struct tokenizer *t = must_open("tokenizer.model", p.data, p.size);
    CHECK_IDS(t, "ab", 3, 4, 7);
    CHECK_IDS(t, "abb", 3, 9);
    CHECK_IDS(t, "ac", 5, 0);
    tokenizer_close(t);
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

#define KEY(name) "tokenizer.ggml." name

/* The usual file of a model without one key, whose place a test may fill. */
static void begin_gguf(struct gguffile *f, const char *model, const char *without)
{
    static const char *const spm[] = {"<unk>", "<s>", "</s>", "\xe2\x96\x81", "a", "\xe2\x96\x81" "a"};
    static const char *const bpe[] = {"a", "b", "ab", "\xc4\xa0", "<|endoftext|>", "<|im_end|>"};
    static const int32_t spm_types[] = {2, 3, 3, 1, 1, 1}, bpe_types[] = {1, 1, 1, 1, 3, 3};
    static const float scores[] = {0, 0, 0, -3, -4, -1};
    bool is_spm = strcmp(model, "llama") == 0;
    gguffile_begin(f, 3);
#define UNLESS(key, call) \
    if (strcmp(without, key) != 0) \
    call
    UNLESS("model", gguffile_string(f, KEY("model"), model));
    UNLESS("tokens", gguffile_strings(f, KEY("tokens"), 6, is_spm ? spm : bpe));
    UNLESS("token_type", gguffile_array(f, KEY("token_type"), GGUF_INT32, 6, is_spm ? spm_types : bpe_types));
    if (is_spm)
        UNLESS("scores", gguffile_array(f, KEY("scores"), GGUF_FLOAT32, 6, scores));
    if (!is_spm)
        UNLESS("merges", gguffile_strings(f, KEY("merges"), 1, (const char *const[]){"a b"}));
    if (!is_spm)
        UNLESS("pre", gguffile_string(f, KEY("pre"), "gpt-2"));
}

static struct tokenizer *finish_gguf(struct gguffile *f)
{
    struct bytes b = gguffile_bytes(f);
    struct tokenizer *t = must_open("x.gguf", b.data, b.size);
    bytes_free(&b);
    gguffile_free(f);
    return t;
}

static void refuse_gguf(struct gguffile *f, const char *const *needles)
{
    struct bytes b = gguffile_bytes(f);
    refuse_file("x.gguf", b.data, b.size, needles);
    bytes_free(&b);
    gguffile_free(f);
}
#define REFUSE_GGUF(f, ...) refuse_gguf(f, WORDS("x.gguf", __VA_ARGS__))

static void test_gguf_llama(void **state)
{
    (void)state;
    struct gguffile f;
    begin_gguf(&f, "llama", "");
    struct tokenizer *t = finish_gguf(&f);
    CHECK_IDS(t, "a a", 5, 5);
    assert_true(tokenizer_bos(t) == 1 && tokenizer_eos(t) == 2 && tokenizer_adds_bos(t));
    tokenizer_close(t);
    begin_gguf(&f, "llama", "");
    gguffile_bool(&f, KEY("add_space_prefix"), false);
    gguffile_bool(&f, KEY("add_bos_token"), false);
    gguffile_bool(&f, KEY("add_eos_token"), true);
    gguffile_uint32(&f, KEY("bos_token_id"), 4);
    gguffile_uint32(&f, KEY("eos_token_id"), UINT32_MAX);
    gguffile_uint32(&f, KEY("eot_token_id"), 5);
    t = finish_gguf(&f);
    CHECK_IDS(t, "a a", 4, 5);
    assert_true(tokenizer_bos(t) == 4 && tokenizer_eos(t) == -1 && !tokenizer_adds_bos(t));
    assert_true(tokenizer_ends_text(t, 5) && !tokenizer_adds_eos(t));
    tokenizer_close(t);
}

static void test_gguf_gpt2(void **state)
{
    (void)state;
    struct gguffile f;
    begin_gguf(&f, "gpt2", "");
    gguffile_uint32(&f, KEY("eos_token_id"), 4);
    struct tokenizer *t = finish_gguf(&f);
    CHECK_IDS(t, "ab b", 2, 3, 1);
    assert_true(tokenizer_bos(t) == -1 && tokenizer_eos(t) == 4 && !tokenizer_adds_bos(t));
    assert_true(tokenizer_ends_text(t, 4) && tokenizer_ends_text(t, 5));
    assert_string_equal(tokenizer_note(t), "240 of the 256 byte values have no token: where a text has them, they are left out");
    tokenizer_close(t);
    begin_gguf(&f, "gpt2", "pre");
    t = finish_gguf(&f);
    assert_non_null(strstr(tokenizer_note(t), "tokenizer.ggml.pre"));
    assert_non_null(strstr(tokenizer_note(t), "default"));
    tokenizer_close(t);
}

static void test_gguf_refused(void **state)
{
    (void)state;
    struct gguffile f;
    static const char *const others[] = {"bert", "t5", "rwkv", "", "LLAMA"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        begin_gguf(&f, "gpt2", "model");
        gguffile_string(&f, KEY("model"), others[i]);
        REFUSE_GGUF(&f, KEY("model"), others[i], "expected llama or gpt2");
    }
    begin_gguf(&f, "llama", "model");
    REFUSE_GGUF(&f, KEY("model"), "missing");
    begin_gguf(&f, "llama", "tokens");
    REFUSE_GGUF(&f, KEY("tokens"), "missing");
    begin_gguf(&f, "llama", "scores");
    REFUSE_GGUF(&f, KEY("scores"), "missing");
    begin_gguf(&f, "llama", "scores");
    gguffile_array(&f, KEY("scores"), GGUF_FLOAT32, 2, (const float[]){0, 0});
    REFUSE_GGUF(&f, KEY("scores"), "2", "6");
    begin_gguf(&f, "llama", "token_type");
    gguffile_array(&f, KEY("token_type"), GGUF_INT32, 6, (const int32_t[]){1, 1, 1, 0, 1, 1});
    REFUSE_GGUF(&f, KEY("token_type") "[3]", "0");
    begin_gguf(&f, "llama", "token_type");
    gguffile_string(&f, KEY("token_type"), "x");
    REFUSE_GGUF(&f, KEY("token_type"));
    begin_gguf(&f, "gpt2", "pre");
    gguffile_string(&f, KEY("pre"), "no-such");
    REFUSE_GGUF(&f, "pre-tokenizer 'no-such'", "gpt-2");
    begin_gguf(&f, "gpt2", "merges");
    gguffile_strings(&f, KEY("merges"), 2, (const char *const[]){"a b", "ab"});
    REFUSE_GGUF(&f, KEY("merges") "[1]", "'ab'");
    begin_gguf(&f, "gpt2", "merges");
    gguffile_strings(&f, KEY("merges"), 1, (const char *const[]){"b a"});
    REFUSE_GGUF(&f, "merge 0", "'b a'");
    static const char *const ids[] = {KEY("bos_token_id"), KEY("eos_token_id"), KEY("eot_token_id"),
                                      KEY("unknown_token_id")};
    for (size_t i = 0; i < 4; i++) {
        begin_gguf(&f, "gpt2", "");
        gguffile_uint32(&f, ids[i], 6);
        REFUSE_GGUF(&f, ids[i], "6");
    }
    begin_gguf(&f, "gpt2", "");
    gguffile_uint32(&f, KEY("add_bos_token"), 1);
    REFUSE_GGUF(&f, KEY("add_bos_token"));
}

/* What is missing or said twice is refused; what llama.cpp mends is mended, with a line that says so. */
static void test_gguf_incomplete(void **state)
{
    (void)state;
    struct gguffile f;
    begin_gguf(&f, "gpt2", "merges");
    REFUSE_GGUF(&f, KEY("merges") " is missing", "gpt2");
    begin_gguf(&f, "gpt2", "merges");
    gguffile_strings(&f, KEY("merges"), 0, NULL);
    REFUSE_GGUF(&f, KEY("merges") " is empty", "gpt2");
    static const char *const twice[] = {"a", "b", "ab", "a", "", ""};
    begin_gguf(&f, "gpt2", "tokens");
    gguffile_strings(&f, KEY("tokens"), 6, twice);
    REFUSE_GGUF(&f, "token 3 'a' is also token 0");
    begin_gguf(&f, "gpt2", "token_type");
    gguffile_array(&f, KEY("token_type"), GGUF_INT32, 0, NULL);
    REFUSE_GGUF(&f, KEY("token_type") " has 0 values", "6");
    begin_gguf(&f, "gpt2", "token_type");
    gguffile_array(&f, KEY("token_type"), GGUF_INT32, 5, (const int32_t[]){1, 1, 1, 1, 1});
    REFUSE_GGUF(&f, KEY("token_type") " has 5 values", "6");
    begin_gguf(&f, "gpt2", "token_type");
    struct tokenizer *t = finish_gguf(&f);
    assert_non_null(strstr(tokenizer_note(t), KEY("token_type")));
    tokenizer_close(t);
    begin_gguf(&f, "gpt2", "");
    gguffile_bool(&f, KEY("add_bos_token"), true);
    gguffile_bool(&f, KEY("add_eos_token"), true);
    t = finish_gguf(&f);
    assert_non_null(strstr(tokenizer_note(t), "asks for BOS and names none"));
    assert_non_null(strstr(tokenizer_note(t), "asks for EOS and names none"));
    assert_false(tokenizer_adds_bos(t) || tokenizer_adds_eos(t));
    tokenizer_close(t);
}

/* A llama vocabulary of bytes and a few pieces, with or without one of a space. */
static struct tokenizer *bytes_gguf(bool space, bool prefix, const char *name)
{
    struct gguffile f;
    enum { FIRST = 3, LAST = FIRST + 256, COUNT = LAST + 5 };
    static char bytes[256][8];
    const char *tokens[COUNT] = {"<unk>", "<s>", "</s>", [LAST] = "a", "ab", "<t>", "b<t>x",
                                 space ? "\xe2\x96\x81" : "c"};
    int32_t types[COUNT] = {2, 3, 3, [LAST] = 1, 1, 4, 4, 1};
    float scores[COUNT] = {0};
    for (int i = 0; i < 256; i++) {
        snprintf(bytes[i], sizeof bytes[i], "<0x%02X>", i);
        tokens[FIRST + i] = bytes[i];
        types[FIRST + i] = 6;
    }
    gguffile_begin(&f, 3);
    gguffile_string(&f, "general.name", name);
    gguffile_string(&f, KEY("model"), "llama");
    gguffile_strings(&f, KEY("tokens"), COUNT, tokens);
    gguffile_array(&f, KEY("token_type"), GGUF_INT32, COUNT, types);
    gguffile_array(&f, KEY("scores"), GGUF_FLOAT32, COUNT, scores);
    gguffile_bool(&f, KEY("add_space_prefix"), prefix);
    return finish_gguf(&f);
}

/* Ids that llama.cpp gives. */
static void test_gguf_llama_like_llama_cpp(void **state)
{
    (void)state;
    enum { BYTE = 3, A = 259, AB, T, BTX, SPACE, E2 = BYTE + 0xe2, H96 = BYTE + 0x96, H81 = BYTE + 0x81 };
    struct tokenizer *t = bytes_gguf(false, true, "x");
    assert_null(tokenizer_note(t));
    CHECK_IDS(t, "a", E2, H96, H81, A); /* a space without a piece is its mark's bytes */
    CHECK_IDS(t, " a", E2, H96, H81, E2, H96, H81, A);
    tokenizer_close(t);
    t = bytes_gguf(false, false, "x");
    CHECK_IDS(t, "a a", A, E2, H96, H81, A);
    tokenizer_close(t);
    t = bytes_gguf(true, true, "x");
    CHECK_IDS(t, "a", SPACE, A);
    CHECK_IDS(t, "a<t>a", SPACE, A, T, SPACE, A);      /* one behind each added token */
    CHECK_IDS(t, "<t>", T);                            /* and none before one */
    CHECK_IDS(t, "ab<t>x", SPACE, A, BTX);             /* the longest anywhere first */
    CHECK_IDS(t, "<t> a", T, SPACE, SPACE, A);
    CHECK_IDS(t, "c", SPACE, BYTE + 'c');
    tokenizer_close(t);
    t = bytes_gguf(true, false, "My Phi-3 Mini"); /* whose added tokens take the white space behind them */
    CHECK_IDS(t, "a<t> \n a", A, T, A);
    tokenizer_close(t);
}

/* llama.cpp does not believe that texts may spell tokens of such names, unless a key says which token it is. */
static void test_gguf_controls_by_name(void **state)
{
    (void)state;
    static const char *const tokens[] = {"/", "s", "/s", "</s>", "<PRE>", "<tool>", "P"};
    for (int has_key = 0; has_key < 2; has_key++) {
        struct gguffile f;
        gguffile_begin(&f, 3);
        gguffile_string(&f, KEY("model"), "gpt2");
        gguffile_string(&f, KEY("pre"), "gpt-2");
        gguffile_strings(&f, KEY("tokens"), 7, tokens);
        gguffile_array(&f, KEY("token_type"), GGUF_INT32, 7, (const int32_t[]){1, 1, 1, 4, 4, 4, 1});
        gguffile_strings(&f, KEY("merges"), 1, (const char *const[]){"/ s"});
        if (has_key)
            gguffile_uint32(&f, KEY("fim_pre_token_id"), 4);
        struct tokenizer *t = finish_gguf(&f);
        CHECK_IDS(t, "</s>", 0, 1); /* </ is a word by itself */
        CHECK_IDS(t, "<tool>", 5);
        CHECK_IDS(t, "<PRE>", has_key ? 4 : 6);
        tokenizer_close(t);
    }
}

/* Ranks of merges over characters, spaces marked, newlines by themselves, bytes to fall back on. */
static void test_gguf_gemma4(void **state)
{
    (void)state;
    static const char *const tokens[] = {"a", "b", "ab", "\xe2\x96\x81", "\xe2\x96\x81" "a", "\n", "\n\n",
                                         "<0xC3>", "<0xA9>"};
    for (int by_model = 0; by_model < 2; by_model++) {
        struct gguffile f;
        gguffile_begin(&f, 3);
        gguffile_string(&f, KEY("model"), by_model ? "gemma4" : "gpt2");
        gguffile_strings(&f, KEY("tokens"), 9, tokens);
        gguffile_array(&f, KEY("token_type"), GGUF_INT32, 9, (const int32_t[]){1, 1, 1, 1, 1, 1, 1, 6, 6});
        gguffile_strings(&f, KEY("merges"), 2, (const char *const[]){"a b", "\xe2\x96\x81 a"});
        gguffile_uint32(&f, KEY("bos_token_id"), 0);
        gguffile_bool(&f, KEY("add_bos_token"), false); /* not believed */
        if (!by_model)
            gguffile_string(&f, KEY("pre"), "gemma4");
        struct tokenizer *t = finish_gguf(&f);
        CHECK_IDS(t, "a ab a", 0, 3, 2, 4);
        CHECK_IDS(t, "a\n\nb\n", 0, 6, 1, 5);
        CHECK_IDS(t, "\xc3\xa9", 7, 8);
        assert_true(tokenizer_adds_bos(t));
        tokenizer_close(t);
    }
}

/* Malformed byte tokens are the text that they are. */
static void test_gguf_misspelt_bytes(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "<0x4>", "<0x41>", "\xe2\x96\x81"};
    struct gguffile f;
    begin_gguf(&f, "llama", "tokens");
    gguffile_strings(&f, KEY("tokens"), 6, tokens);
    struct bytes b = gguffile_bytes(&f);
    memcpy(b.data + gguffile_place(&f, KEY("token_type"), FIELD_ARRAY) + 12, (const int32_t[]){6, 6}, 8);
    struct tokenizer *t = must_open("x.gguf", b.data, b.size);
    char buffer[1];
    size_t n;
    assert_memory_equal(tokenizer_piece(t, -1, 3, &n, buffer), "<0x4>", 5);
    assert_memory_equal(tokenizer_piece(t, -1, 4, &n, buffer), "A", 1);
    assert_int_equal(n, 1);
    tokenizer_close(t);
    bytes_free(&b);
    gguffile_free(&f);
}

/* ---- which file counts ----------------------------------------------------------------------- */

static void check_found(const char *model, size_t vocab, const char *expected)
{
    struct error error = {""};
    struct tokenizer *t = tokenizer_beside(model, vocab, &error);
    if (!t)
        fail_msg("%s", error.text);
    assert_string_equal(tokenizer_path(t), expected);
    tokenizer_close(t);
}

static void test_what_lies_beside_a_model(void **state)
{
    (void)state;
    char *place = path_in(folder, "beside"), *model = path_in(place, "weights.bin"), *gguf = path_in(place, "m.gguf");
    char *names[] = {path_in(place, "tokenizer.model"), path_in(place, "tokenizer.json"), path_in(place, "tok4.bin"),
                     path_in(place, "tokenizer.bin")};
    char *json = json_of((struct parts){0});
    struct vocabulary_spec v = vocabulary_usual(400);
    struct bytes old = vocabulary_bytes(&v), b;
    struct proto p = usual_model(2);
    struct error error = {""};
    struct gguffile f;
    assert_int_equal(mkdir(place, 0700), 0);
    assert_null(tokenizer_beside(model, 0, &error));
    check_error(&error, WORDS("tokenizer.json", "tokenizer.model", "-z"));
    write_file(names[0], p.data, p.size);
    check_found(model, 0, names[0]);
    write_file(names[1], json, strlen(json));
    check_found(model, 0, names[1]);
    check_found(place, 0, names[1]); /* a folder is a model too */
    write_file(names[2], old.data, old.size);
    write_file(names[3], old.data, old.size);
    check_found(model, 0, names[3]);
    check_found(model, 400, names[3]);
    check_found(model, 402, names[1]); /* padded: a llama2.c file is never for such a model */
    check_found(model, 6, names[1]);
    assert_null(tokenizer_beside(model, 4, &error));
    begin_gguf(&f, "gpt2", "");
    b = gguffile_bytes(&f);
    write_file(gguf, b.data, b.size);
    assert_true(tokenizer_is_inside(gguf) && !tokenizer_is_inside(model) && !tokenizer_is_inside(place));
    check_found(gguf, 0, gguf);
    bytes_free(&b);
    gguffile_free(&f);
    begin_gguf(&f, "bert", "");
    b = gguffile_bytes(&f);
    write_file(gguf, b.data, b.size);
    check_found(gguf, 400, names[3]);
    bytes_free(&b);
    gguffile_free(&f);
    bytes_free(&old);
    vocabulary_free(&v);
    for (int i = 0; i < 4; i++)
        free(names[i]);
    free(json), free(place), free(model), free(gguf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_syntax),
        cmocka_unit_test(test_json_nested_deep),
        cmocka_unit_test(test_json_of_nothing_much),
        cmocka_unit_test(test_json_truncated_at_every_byte),
        cmocka_unit_test(test_json_models),
        cmocka_unit_test(test_json_ids),
        cmocka_unit_test(test_json_merges),
        cmocka_unit_test(test_json_steps),
        cmocka_unit_test(test_json_many_steps),
        cmocka_unit_test(test_json_templates),
        cmocka_unit_test(test_json_config),
        cmocka_unit_test(test_json_added_tokens),
        cmocka_unit_test(test_json_spaces),
        cmocka_unit_test(test_json_steps_behind_byte_level),
        cmocka_unit_test(test_json_switches),
        cmocka_unit_test(test_json_contradictions),
        cmocka_unit_test(test_json_steps_that_grow),
        cmocka_unit_test(test_json_notes),
        cmocka_unit_test(test_json_unicode_forms),
        cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_sentencepiece_refused),
        cmocka_unit_test(test_sentencepiece_truncated_at_every_byte),
        cmocka_unit_test(test_sentencepiece_normalizes),
        cmocka_unit_test(test_sentencepiece_contradictions),
        cmocka_unit_test(test_sentencepiece_unused),
        cmocka_unit_test(test_gguf_llama),
        cmocka_unit_test(test_gguf_gpt2),
        cmocka_unit_test(test_gguf_refused),
        cmocka_unit_test(test_gguf_incomplete),
        cmocka_unit_test(test_gguf_llama_like_llama_cpp),
        cmocka_unit_test(test_gguf_gemma4),
        cmocka_unit_test(test_gguf_controls_by_name),
        cmocka_unit_test(test_gguf_misspelt_bytes),
        cmocka_unit_test(test_what_lies_beside_a_model),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
