/* Tokenizers that become part of a GGUF file: the same texts give the same tokens there. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporting.h"
#include "modelfile.h"
#include "support.h"
#include "weightcheck.h"

#include <stdlib.h>
#include <unistd.h>

static char *folder, *target; /* a model's folder, and what is written of it */

static void link_in(const char *model, const char *name)
{
    char *from, *to = path_in(folder, name);
    if (asprintf(&from, "%s/tests/data/arch/%s/%s", SRCDIR, model, name) < 0 || symlink(from, to) != 0)
        fail_msg("%s", to);
    free(from);
    free(to);
}

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    target = path_in(folder, "out.gguf");
    link_in("llama", "config.json");
    link_in("llama", "model.safetensors");
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    free(target);
    return 0;
}

static void put_file(const char *name, const void *data, size_t size)
{
    char *path = path_in(folder, name);
    write_file(path, data, size);
    free(path);
}

static void remove_file(const char *name)
{
    char *path = path_in(folder, name);
    unlink(path);
    free(path);
}

static const char *const texts[] = {"the cat", "a  cat sat\n", "cats12 345", "sat the", "xz \xc3\xa9", "<s> cat</s>",
                                    "it's tat", "\ttab", "the the cat."};

static struct tokens encode(const struct subject *s, const char *text)
{
    struct tokens tokens = {0};
    struct error error = {""};
    if (!s->session.tokenizer)
        fail_msg("%s", s->session.tokenizer_error.text);
    if (!tokenizer_encode(s->session.tokenizer, text, strlen(text), &tokens, &error))
        fail_msg("%s", error.text);
    return tokens;
}

static void check_text(const struct subject *a, const struct subject *b, const char *text)
{
    struct tokens x = encode(a, text), y = encode(b, text);
    char line[2][400] = {"", ""};
    for (size_t i = 0; i < x.count; i++)
        snprintf(line[0] + strlen(line[0]), 400 - strlen(line[0]), " %d", x.ids[i]);
    for (size_t i = 0; i < y.count; i++)
        snprintf(line[1] + strlen(line[1]), 400 - strlen(line[1]), " %d", y.ids[i]);
    if (strcmp(line[0], line[1]) != 0)
        fail_msg("'%s':%s became%s", text, line[0], line[1]);
    free(x.ids);
    free(y.ids);
}

/* The file's tokenizer against that of the export. */
static void check_tokenizer(const char *name, const void *data, size_t size)
{
    struct error error;
    put_file(name, data, size);
    struct subject s = subject_open(folder, NULL, NULL);
    if (!s.session.tokenizer)
        fail_msg("%s", s.session.tokenizer_error.text);
    if (!subject_export(&s, target, NULL, &error))
        fail_msg("%s", error.text);
    remove_file(name); /* so that the model of the export has its own only */
    struct subject back = subject_open(target, NULL, NULL);
    const struct tokenizer *t = s.session.tokenizer, *u = back.session.tokenizer;
    assert_non_null(u);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_text(&s, &back, texts[i]);
    assert_int_equal(tokenizer_bos(t), tokenizer_bos(u));
    assert_int_equal(tokenizer_eos(t), tokenizer_eos(u));
    assert_int_equal(tokenizer_adds_bos(t), tokenizer_adds_bos(u));
    assert_int_equal(tokenizer_adds_eos(t), tokenizer_adds_eos(u));
    assert_int_equal(tokenizer_vocab(u), s.session.model->hyper.vocab); /* padded */
    subject_close(&back);
    subject_close(&s);
    unlink(target);
}

/* ---- tokenizer.json -------------------------------------------------------------------------- */

static const char spm_json[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true},"
    "{\"id\":1,\"content\":\"<s>\",\"special\":true},{\"id\":2,\"content\":\"</s>\",\"special\":true}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}]},"
    "\"pre_tokenizer\":null,\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":"
    "[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
    "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}},"
    "\"decoder\":null,\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,"
    "\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,\"<s>\":1,\"</s>\":2,\"<0x0A>\":3,\"<0xC3>\":4,\"<0xA9>\":5,"
    "\"\\u2581\":6,\"t\":7,\"h\":8,\"e\":9,\"c\":10,\"a\":11,\"s\":12,\"he\":13,\"at\":14,\"the\":15,"
    "\"\\u2581the\":16,\"cat\":17,\"\\u2581cat\":18,\"sat\":19,\"\\u2581c\":20,\"th\":21,\"ta\":22},"
    "\"merges\":[\"a t\",\"h e\",\"t h\",\"\\u2581 c\",\"t he\",\"th e\",\"\\u2581 the\",\"c at\",\"\\u2581 cat\","
    "\"\\u2581c at\",\"s at\",\"t a\"]}}";

#define BPE_JSON(PRE)                                                                              \
    "{\"added_tokens\":[{\"id\":20,\"content\":\"<|end|>\",\"special\":true},"                         \
    "{\"id\":21,\"content\":\"cats\",\"special\":false}],\"normalizer\":null,\"pre_tokenizer\":" PRE   \
    ",\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\","       \
    "\"vocab\":{\"t\":0,\"h\":1,\"e\":2,\"c\":3,\"a\":4,\"s\":5,\"\\u0120\":6,\"1\":7,\"2\":8,\"3\":9,"  \
    "\"12\":10,\"34\":11,\"4\":12,\"he\":13,\"the\":14,\"at\":15,\"cat\":16,\"\\u0120the\":17,"        \
    "\"\\u010a\":18,\"\\u0120cat\":19},\"merges\":[\"h e\",\"t he\",\"a t\",\"c at\",[\"1\",\"2\"],"   \
    "\"3 4\",\"\\u0120 the\",\"\\u0120 cat\"]}}"

static void test_json_spm(void **state)
{
    (void)state;
    check_tokenizer("tokenizer.json", spm_json, sizeof spm_json - 1);
}

static void test_json_bpe(void **state)
{
    (void)state;
    static const char *const files[] = {
        BPE_JSON("{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"),
        BPE_JSON("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":true},"
                 "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}"),
        BPE_JSON("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":"
                 "\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+"
                 "[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false},"
                 "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]}"),
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_tokenizer("tokenizer.json", files[i], strlen(files[i]));
}

/* Words that are cut in a way without a name would be other tokens there. */
static void test_json_nameless(void **state)
{
    (void)state;
    static const char *const files[] = {
        BPE_JSON("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[aeiou]\"},"
                 "\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}"),
        BPE_JSON("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
                 "{\"type\":\"Digits\",\"individual_digits\":true}]}"),
        BPE_JSON("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Punctuation\"},"
                 "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}]}"),
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct error error;
        put_file("tokenizer.json", files[i], strlen(files[i]));
        struct subject s = subject_open(folder, NULL, NULL);
        assert_non_null(s.session.tokenizer);
        assert_false(subject_export(&s, target, NULL, &error));
        check_line(&error, "tokenizer.json: the tokenizer cuts texts into words in a way that GGUF has no name for");
        assert_int_not_equal(access(target, F_OK), 0);
        subject_close(&s);
        remove_file("tokenizer.json");
    }
}

/* A file of characters with parts of a test's: what GGUF has no key for is in the notes, or refused. */
static char *json_with(const char *added, const char *normalizer, const char *pre, const char *more, const char *merges)
{
    char *out;
    if (asprintf(&out, "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true}%s],\"normalizer\":%s,"
                       "\"pre_tokenizer\":%s,\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\"%s,"
                       "\"vocab\":{\"<unk>\":0,\"\u2581\":1,\"a\":2,\"t\":3,\"at\":4,\"\u2581a\":5,\"\u2581at\":6,"
                       "\"a\u2581\":7},\"merges\":%s}}",
                 added, normalizer, pre, more, merges) < 0)
        abort();
    return out;
}

#define PREPEND "{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"}"
#define MARK "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\\u2581\"}"
#define STEPS(list) "{\"type\":\"Sequence\",\"normalizers\":[" list "]}"
#define META(scheme, split) \
    "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"" scheme "\",\"split\":" split "}"
#define ADDED(content, flag) \
    ",{\"id\":8,\"content\":\"" content "\",\"special\":false,\"normalized\":false" flag "}"

static void test_what_gguf_loses(void **state)
{
    (void)state;
    static const char usual[] = STEPS(PREPEND "," MARK),
                      merges[] = "[\"a t\",\"\u2581 a\",\"a \u2581\",\"\u2581a t\",\"\u2581 at\"]";
    static const struct {
        const char *added, *normalizer, *pre, *more, *merges, *says; /* null: nothing but the bytes */
    } cases[] = {
        {"", usual, "null", "", merges, NULL},
        {ADDED("<x>", ""), usual, "null", "", merges, NULL},
        {ADDED("<x>", ",\"lstrip\":true"), usual, "null", "", merges, "lstrip, rstrip"},
        {ADDED("<x>", ",\"rstrip\":true"), usual, "null", "", merges, "lstrip, rstrip"},
        {ADDED("<x>", ",\"single_word\":true"), usual, "null", "", merges, "single_word"},
        {",{\"id\":8,\"content\":\"x\"}", usual, "null", "", merges, "(normalized)"},
        {ADDED("<x>", "") ",{\"id\":9,\"content\":\"x>xx\",\"normalized\":false}", usual, "null", "", merges,
         "the first is found"},
        {ADDED("<x>", "") ",{\"id\":9,\"content\":\"x\",\"normalized\":false}", usual, "null", "", merges, NULL},
        {ADDED(">", ""), usual, "null", "", merges, "the first is found"}, /* <unk> hides it */
        {ADDED("<x", "") ",{\"id\":9,\"content\":\"<x>\",\"normalized\":true}", MARK, META("always", "false"), "",
         merges, "the first is found"},
        {ADDED("</s>", ""), usual, "null", "", merges, "by its name"},
        {"", STEPS("{\"type\":\"NFC\"}," PREPEND "," MARK), "null", "", merges, "NFC, NFKC"},
        {"", STEPS(PREPEND "," MARK ",{\"type\":\"Replace\",\"pattern\":{\"String\":\"t\"},\"content\":\"a\"}"), "null",
         "", merges, "replaced by the normalizer"},
        {"", "null", "null", "", merges, "not written as U+2581"},
        {"", "null", META("always", "false"), "", merges, "a text that begins with none; GGUF's always does"},
        {ADDED("<x>", ""), "null", META("first", "false"), "", merges, "behind each added token"},
        {"", "null", META("never", "true"), "", merges, "a space inside span words"},
        {"", usual, "null", ",\"ignore_merges\":true", merges, "(ignore_merges)"},
        {"", usual, "null", "", "[\"a t\"]", "not in an order of scores"},
        {"", usual, "null", "", "[\"a t\",\"\u2581 a\",\"\u2581a t\",\"a \u2581\",\"\u2581 at\"]",
         "not in an order of scores"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *file = json_with(cases[i].added, cases[i].normalizer, cases[i].pre, cases[i].more, cases[i].merges);
        struct error error;
        put_file("tokenizer.json", file, strlen(file));
        struct subject s = subject_open(folder, NULL, NULL);
        if (!subject_export(&s, target, NULL, &error))
            fail_msg("%zu: %s", i, error.text);
        assert_non_null(strstr(subject_notes, "not all bytes have a token"));
        size_t said = 0;
        for (const char *at = subject_notes; (at = strstr(at, "tokenizer: ")); at++)
            said++;
        if (cases[i].says ? !strstr(subject_notes, cases[i].says) : said != 1)
            fail_msg("%zu: '%s'", i, subject_notes);
        subject_close(&s);
        unlink(target);
        remove_file("tokenizer.json");
        free(file);
    }
    char *file = json_with("", usual, "{\"type\":\"Digits\"}", "", merges);
    struct error error;
    put_file("tokenizer.json", file, strlen(file));
    struct subject s = subject_open(folder, NULL, NULL);
    assert_false(subject_export(&s, target, NULL, &error));
    check_line(&error, "tokenizer.json: the tokenizer cuts texts into words, which llama's in GGUF does not");
    subject_close(&s);
    remove_file("tokenizer.json");
    free(file);
}

/* Rows without a token get names that no token has. */
static void test_padding_of_a_taken_name(void **state)
{
    (void)state;
    char *file = json_with(ADDED("[PAD30]", ""), STEPS(PREPEND "," MARK), "null", "", "[\"a t\"]");
    struct error error;
    put_file("tokenizer.json", file, strlen(file));
    struct subject s = subject_open(folder, NULL, NULL);
    assert_true(subject_export(&s, target, NULL, &error));
    subject_close(&s);
    remove_file("tokenizer.json");
    struct subject back = subject_open(target, NULL, NULL);
    if (!back.session.tokenizer) /* which takes no token twice */
        fail_msg("%s", back.session.tokenizer_error.text);
    subject_close(&back);
    unlink(target);
    free(file);
}

/* ---- tokenizer.model ------------------------------------------------------------------------- */

struct proto {
    uint8_t bytes[4096];
    size_t size;
};

static void put_bytes(struct proto *p, unsigned field, const void *data, size_t n)
{
    p->bytes[p->size++] = (uint8_t)(field << 3 | 2);
    p->bytes[p->size++] = (uint8_t)n;
    memcpy(p->bytes + p->size, data, n);
    p->size += n;
}

static void put_piece(struct proto *p, const char *text, float score, uint8_t type)
{
    struct proto piece = {.size = 0};
    put_bytes(&piece, 1, text, strlen(text));
    piece.bytes[piece.size++] = 2 << 3 | 5;
    memcpy(piece.bytes + piece.size, &score, 4);
    piece.size += 4;
    piece.bytes[piece.size++] = 3 << 3;
    piece.bytes[piece.size++] = type;
    put_bytes(p, 1, piece.bytes, piece.size);
}

static void test_sentencepiece(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        float score;
        uint8_t type;
    } pieces[] = {{"<unk>", 0, 2}, {"<s>", 0, 3}, {"</s>", 0, 3}, {"at", -1, 1}, {"he", -2, 1}, {"th", -3, 1},
                  {"the", -5, 1},
                  {"\xe2\x96\x81the", -6, 1}, {"cat", -7, 1}, {"\xe2\x96\x81""cat", -8, 1}, {"\xe2\x96\x81", -20, 1},
                  {"t", -21, 1}, {"h", -22, 1}, {"e", -23, 1}, {"c", -24, 1}, {"a", -25, 1}, {"s", -26, 1}};
    struct proto p = {.size = 0};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        put_piece(&p, pieces[i].text, pieces[i].score, pieces[i].type);
    put_bytes(&p, 2, "\x18\x02", 2); /* model_type 2: BPE */
    put_bytes(&p, 3, "\x18\x01\x20\x00", 4);     /* add_dummy_prefix, extra spaces stay */
    check_tokenizer("tokenizer.model", p.bytes, p.size);
}

/* ---- others ---------------------------------------------------------------------------------- */

static void test_llama2c(void **state)
{
    (void)state;
    struct vocabulary_spec v = {0};
    vocabulary_begin(&v, false);
    static const char *const pieces[] = {" ", "t", "h", "e", "c", "a", "s", "he", "the", " the", "at", "cat"};
    for (size_t i = 0; i < 61; i++) {
        char name[16];
        snprintf(name, sizeof name, "piece%zu", i);
        vocabulary_add(&v, i < sizeof pieces / sizeof *pieces ? pieces[i] : name, -1, -(float)i);
    }
    struct bytes b = vocabulary_bytes(&v);
    vocabulary_free(&v);
    put_file("tokenizer.bin", b.data, b.size);
    bytes_free(&b);
    struct error error;
    struct subject s = subject_open(folder, NULL, NULL);
    if (!subject_export(&s, target, NULL, &error))
        fail_msg("%s", error.text);
    remove_file("tokenizer.bin");
    struct subject back = subject_open(target, NULL, NULL);
    check_text(&s, &back, "the cat");
    check_text(&s, &back, "sat the cat at");
    subject_close(&back);
    subject_close(&s);
    unlink(target);
}

/* -z names another file's vocabulary; without any the model says so. */
static void test_none(void **state)
{
    (void)state;
    struct error error;
    struct subject s = subject_open(folder, NULL, NULL);
    assert_true(subject_export(&s, target, NULL, &error));
    subject_close(&s);
    struct subject back = subject_open(target, NULL, NULL);
    assert_null(back.session.tokenizer);
    subject_close(&back);
    char *other = arch_gguf("llama");
    s = subject_open(folder, other, NULL);
    assert_true(subject_export(&s, target, NULL, &error));
    back = subject_open(target, NULL, NULL);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_text(&s, &back, texts[i]);
    subject_close(&s);
    subject_close(&back);
    free(other);
    unlink(target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_spm),      cmocka_unit_test(test_json_bpe),
        cmocka_unit_test(test_json_nameless), cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_what_gguf_loses), cmocka_unit_test(test_padding_of_a_taken_name),
        cmocka_unit_test(test_llama2c),       cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
