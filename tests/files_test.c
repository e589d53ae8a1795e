/* Model, tokenizer and recipe files that are wrong, cut short or hostile, opened in process. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "modelfile.h"
#include "support.h"

#include "kernels/dispatch.h"
#include "engine/context.h"
#include "engine/sampler.h"
#include "quant/recipe.h"
#include "quant/requant.h"
#include "session/session.h"
#include "base/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_WEIGHTS = 1 << 15 };

static char *folder;  /* of this program's files */
static char *scratch; /* a file in it that tests overwrite */
static struct pool *pool;

static int make_folder(void **state)
{
    (void)state;
    folder = folder_make();
    scratch = path_in(folder, "scratch.bin");
    pool = pool_create(1, NULL);
    return pool ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    pool_destroy(pool);
    free(scratch);
    folder_remove(folder);
    return 0;
}

/* ---- what is asserted of every error --------------------------------------------------------- */

static bool is_clean(const char *text)
{
    size_t n = strlen(text), length;
    for (size_t i = 0; i < n; i += length) {
        uint32_t c;
        bool cut;
        length = utf8_read(text + i, n - i, &c, &cut);
        if (length == 0 || c < 0x20 || (c >= 0x7f && c < 0xa0))
            return false;
    }
    return n > 0;
}

static void check_error(const struct error *error, const char *const *needles)
{
    if (!is_clean(error->text))
        fail_msg("not one clean line: '%s'", error->text);
    for (; needles && *needles; needles++)
        if (!strstr(error->text, *needles))
            fail_msg("'%s' does not say '%s'", error->text, *needles);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void refuse_path(const char *path, const char *const *needles)
{
    struct error error = {"(no message)"};
    struct model *m = model_open(path, &error);
    if (m) {
        model_close(m);
        fail_msg("'%s' was opened; expected a refusal", path);
    }
    check_error(&error, needles);
}

static void refuse_bytes(const void *data, size_t size, const char *const *needles)
{
    write_file(scratch, data, size);
    refuse_path(scratch, needles);
}

static struct model *open_bytes(const void *data, size_t size)
{
    struct error error = {"(no message)"};
    write_file(scratch, data, size);
    struct model *m = model_open(scratch, &error);
    if (!m)
        fail_msg("a valid file was refused: %s", error.text);
    return m;
}

static struct model *open_spec(const struct model_spec *spec)
{
    struct bytes b = model_bytes(spec);
    struct model *m = open_bytes(b.data, b.size);
    bytes_free(&b);
    return m;
}

/* Three tokens in a context of four; the last one's logits go to `logits`. */
static void run_forward(const struct model *m, struct weights *set, float *logits)
{
    struct error error = {"(no message)"};
    struct context *c = context_open(m, pool, 4, &error);
    if (!c)
        fail_msg("no context: %s", error.text);
    int32_t last = (int32_t)m->hyper.vocab - 1;
    const int32_t tokens[3] = {1, 2, last};
    context_run(c, set, tokens, 3, LOGITS_LAST, logits);
    context_close(c);
}

static void run_stored(const struct model *m, float *logits)
{
    struct weights *set = weights_stored(m);
    assert_non_null(set);
    run_forward(m, set, logits);
    weights_unref(set);
}

/* ---- valid files ----------------------------------------------------------------------------- */

static const struct {
    int version;
    bool tied;
} kinds[] = {{0, true}, {0, false}, {1, true}, {1, false}, {2, true}, {2, false}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static const struct tensor *tensor_called(const struct model *m, const char *name)
{
    int i = model_find_name(m, name);
    if (i < 0)
        fail_msg("no tensor '%s'", name);
    return &m->tensors[i];
}

static void check_values(const struct model *m, const struct model_spec *spec)
{
    struct tensor_place places[64];
    static float expected[MOST_WEIGHTS], row[MOST_WEIGHTS];
    size_t count = model_places(spec, places, 64);
    assert_int_equal(m->tensor_count, count);
    for (size_t i = 0; i < count; i++) {
        const struct qmatrix *w = &tensor_called(m, places[i].name)->stored;
        assert_int_equal(w->rows, places[i].rows);
        assert_int_equal(w->cols, places[i].cols);
        model_values(spec, &places[i], expected);
        for (size_t r = 0; r < w->rows; r++) {
            qmatrix_decode_row(w, r, row);
            if (memcmp(row, expected + r * w->cols, w->cols * sizeof *row) != 0)
                fail_msg("version %d, %s: row %zu differs", spec->version, places[i].name, r);
        }
    }
}

static void check_valid(struct model_spec spec)
{
    struct model *m = open_spec(&spec);
    const struct hyper *h = &m->hyper;
    const size_t found[] = {h->dim, h->hidden, h->layers, h->heads, h->kv_heads, h->vocab,
                            h->trained_context, h->head_size};
    const int32_t wanted[] = {spec.dim, spec.hidden, spec.layers, spec.heads, spec.kv_heads,
                              spec.vocab, spec.context, spec.dim / spec.heads};
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        assert_int_equal(found[i], wanted[i]);
    assert_int_equal(m->tied, spec.tied);
    assert_int_equal(m->non_finite, 0);
    assert_int_equal(model_find(m, ROLE_OUTPUT, -1), model_find_name(m, "output"));
    assert_int_equal(model_find_name(m, "output") == model_find_name(m, "token_embd"), spec.tied);
    check_values(m, &spec);
    static float logits[MOST_WEIGHTS];
    run_stored(m, logits);
    for (size_t i = 0; i < h->vocab; i++)
        assert_true(isfinite(logits[i]));
    model_close(m);
}

static void test_valid_files_open(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        check_valid(spec_tiny(kinds[i].version, kinds[i].tied));
        check_valid(spec_usual(kinds[i].version, kinds[i].tied));
    }
    check_valid((struct model_spec){1, true, 2, 1, 1, 1, 1, 3, 1, 1, 7});    /* the smallest */
    check_valid((struct model_spec){1, false, 12, 9, 3, 6, 3, 7, 5, 3, 7});
}

/* With these dimensions the codes of a tensor end between two floats. */
static void test_misaligned_scales_decode_exactly(void **state)
{
    (void)state;
    struct model_spec spec = {2, true, 6, 9, 2, 3, 1, 5, 8, 3, 3};
    struct tensor_place p = model_place(&spec, "token_embd");
    assert_int_not_equal((p.offset + p.rows * p.cols) % sizeof(float), 0);
    check_valid(spec);
    spec.tied = false;
    check_valid(spec);
}

/* Version 0 and version 1 of one model are the same function, bit for bit. */
static void test_versions_0_and_1_agree(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++) {
        float logits[2][400];
        for (int version = 0; version < 2; version++) {
            struct model_spec spec = spec_usual(version, tied);
            struct model *m = open_spec(&spec);
            run_stored(m, logits[version]);
            model_close(m);
        }
        assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    }
}

/* The product on int8 codes against the one on the same values in fp32: a version 1 file whose
 * weights are those that the version 2 file stands for. */
static void test_version_2_computes_what_it_stands_for(void **state)
{
    (void)state;
    struct model_spec coded = spec_usual(2, false), plain = spec_usual(1, false);
    struct bytes b = model_bytes(&plain);
    struct tensor_place places[64];
    static float values[MOST_WEIGHTS];
    float logits[400], expected[400];
    size_t count = model_places(&coded, places, 64);
    for (size_t i = 0; i < count; i++) {
        size_t n = places[i].rows * places[i].cols;
        model_values(&coded, &places[i], values);
        memcpy(b.data + model_place(&plain, places[i].name).offset, values, n * sizeof *values);
    }
    struct model *m = open_bytes(b.data, b.size);
    run_stored(m, expected);
    model_close(m);
    bytes_free(&b);
    m = open_spec(&coded);
    run_stored(m, logits);
    model_close(m);
    for (size_t i = 0; i < 400; i++)
        assert_true(fabsf(logits[i] - expected[i]) <= 1e-4f * (1 + fabsf(expected[i])));
}

/* ---- any file -------------------------------------------------------------------------------- */

static void test_paths_that_are_no_files(void **state)
{
    (void)state;
    char *fifo = path_in(folder, "fifo"), *loop = path_in(folder, "loop");
    char *missing = path_in(folder, "missing.bin"), *dangling = path_in(folder, "dangling");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(symlink("loop", loop), 0);
    assert_int_equal(symlink("missing.bin", dangling), 0);
    must_end(true);
    refuse_path(missing, WORDS(missing, "No such file"));
    refuse_path("", WORDS("No such file"));
    refuse_path(dangling, WORDS(dangling, "No such file"));
    refuse_path(folder, WORDS(folder, "directory", "model.safetensors"));
    refuse_path(fifo, WORDS(fifo, "FIFO", "regular file"));
    refuse_path("/dev/null", WORDS("/dev/null", "device", "regular file"));
    refuse_path("/dev/zero", WORDS("/dev/zero", "device"));
    refuse_path(loop, WORDS(loop, "ymbolic links"));
    must_end(false);
    free(fifo);
    free(loop);
    free(missing);
    free(dangling);
}

static void test_unreadable(void **state)
{
    (void)state;
    write_file(scratch, "x", 1);
    assert_int_equal(chmod(scratch, 0), 0);
    uid_t self = geteuid(); /* root may read everything, so it steps aside */
    assert_int_equal(chmod(folder, 0755) | (self == 0 ? seteuid(65534) : 0), 0);
    struct error error = {"(no message)"};
    struct model *m = model_open(scratch, &error);
    assert_int_equal(seteuid(self) | chmod(scratch, 0600), 0);
    assert_null(m);
    check_error(&error, WORDS(scratch, "Permission denied"));
}

static void test_files_without_a_model(void **state)
{
    (void)state;
    static const char text[] = "This is no model at all, but it is long enough for a header.";
    const uint8_t zeros[4096] = {0};
    refuse_bytes("", 0, WORDS(scratch, "empty"));
    refuse_bytes("\x32\x34\x6b\x61", 4, WORDS(scratch, "header", "4 bytes"));
    refuse_bytes("GGUF", 4, WORDS(scratch, "GGUF"));
    refuse_bytes(text, sizeof text, WORDS(scratch, "unknown", "This", "expected"));
    refuse_bytes("\x1b[2J\x1b[31m", 9, WORDS(scratch, "unknown"));
    refuse_bytes("\xff\xfe\x00\x80", 4, WORDS(scratch, "unknown"));
    refuse_bytes(zeros, sizeof zeros, WORDS(scratch, "unknown"));
}

/* Whatever a file is called, the message about it is one clean line. */
static void test_hostile_names(void **state)
{
    (void)state;
    static const char *const names[] = {"\x1b[31mred\x1b[0m", "two\nlines", "\xff\xfe\x80",
                                        "a\tb\r",
                                        "\xc2\x9b" "31m", "\x7f", "%s%n%d", "\xe2\x82"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = path_in(folder, names[i]);
        struct error error = {"(no message)"};
        refuse_path(path, NULL);
        write_file(path, "junk, which is no model", 23);
        refuse_path(path, NULL);
        assert_null(tokenizer_open(path, &error));
        check_error(&error, NULL);
        struct recipe recipe;
        assert_false(recipe_read(&recipe, path, &error));
        check_error(&error, NULL);
        free(path);
    }
}

/* The same for what a session says about a tokenizer that does not fit its model. */
static void test_hostile_tokenizer_names(void **state)
{
    (void)state;
    static const char *const names[] = {"tok\x1b[31m.bin", "tok\n.bin", "tok\xff.bin"};
    struct model_spec spec = spec_tiny(1, true);
    struct vocabulary_spec v = vocabulary_usual(400);
    struct bytes model = model_bytes(&spec), vocabulary = vocabulary_bytes(&v);
    write_file(scratch, model.data, model.size);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct session s;
        struct error error = {"(no message)"};
        char *path = path_in(folder, names[i]);
        write_file(path, vocabulary.data, vocabulary.size);
        struct session_options o = {.model_path = scratch, .tokenizer_path = path, .threads = 1};
        assert_false(session_open(&s, &o, &error));
        check_error(&error, WORDS("400", "5"));
        o.tokenizer_path = NULL;
        assert_true(session_open(&s, &o, &error));
        assert_null(s.tokenizer);
        error = s.tokenizer_error;
        session_close(&s);
        remove(path);
        free(path);
        check_error(&error, WORDS("400", "5"));
    }
    bytes_free(&model);
    bytes_free(&vocabulary);
    vocabulary_free(&v);
}

static void test_long_name(void **state)
{
    (void)state;
    char name[4000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    refuse_path(name, WORDS("nnnn"));
    for (size_t i = 0; i + 2 < sizeof name; i += 2)
        memcpy(name + i, "\xc3\xa9", 2);
    refuse_path(name, NULL);
}

/* ---- llama2.c -------------------------------------------------------------------------------- */

static void test_truncated_at_every_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct model_spec spec = spec_tiny(kinds[i].version, kinds[i].tied);
        struct bytes b = model_bytes(&spec);
        model_close(open_bytes(b.data, b.size));
        for (size_t size = b.size; size-- > 0;) {
            assert_int_equal(truncate(scratch, (off_t)size), 0);
            refuse_path(scratch, WORDS(scratch));
        }
        bytes_free(&b);
    }
}

static void test_payload_off_by_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < KINDS; i++) {
        struct model_spec spec = spec_tiny(kinds[i].version, kinds[i].tied);
        struct bytes b = model_bytes(&spec);
        char whole[24], shorter[24], longer[24];
        uint8_t *more = calloc(1, b.size + 1);
        assert_non_null(more);
        memcpy(more, b.data, b.size);
        snprintf(whole, sizeof whole, "%zu", b.size);
        snprintf(shorter, sizeof shorter, "%zu", b.size - 1);
        snprintf(longer, sizeof longer, "%zu", b.size + 1);
        refuse_bytes(more, b.size - 1, WORDS(scratch, shorter, whole));
        refuse_bytes(more, b.size + 1, WORDS(scratch, longer, whole));
        free(more);
        bytes_free(&b);
    }
}

/* A field with a value that is wrong, and the word that stands for it in the message. */
struct mutation {
    int field;
    int32_t value;
    const char *field_said, *value_said;
};

static void mutate_fields(const struct mutation *list, size_t count)
{
    for (size_t i = 0; i < KINDS; i++) {
        struct model_spec spec = spec_tiny(kinds[i].version, kinds[i].tied);
        size_t at = spec.version == 0 ? V0_FIELDS : V1_FIELDS;
        for (size_t k = 0; k < count; k++) {
            struct bytes b = model_bytes(&spec);
            put_int(&b, at + 4 * (size_t)list[k].field, list[k].value);
            refuse_bytes(b.data, b.size, WORDS(scratch, list[k].field_said, list[k].value_said));
            bytes_free(&b);
        }
    }
}

/* The tiny spec has dim 4, hidden_dim 6, 2 heads, 1 kv head and a vocabulary of 5. */
static void test_field_mutations(void **state)
{
    (void)state;
    static const struct mutation list[] = {
        {FIELD_DIM, 0, "dim", "0"},
        {FIELD_DIM, -4, "dim", "-4"},
        {FIELD_DIM, 5, "dim", "5"},                 /* 2 heads do not divide it */
        {FIELD_DIM, 6, "head", "3"},                /* an odd head size */
        {FIELD_HIDDEN, 0, "hidden_dim", "0"},
        {FIELD_HIDDEN, -6, "hidden_dim", "-6"},
        {FIELD_LAYERS, 0, "n_layers", "0"},
        {FIELD_LAYERS, -1, "n_layers", "-1"},
        {FIELD_HEADS, 0, "n_heads", "0"},
        {FIELD_HEADS, -2, "n_heads", "-2"},
        {FIELD_HEADS, 3, "n_heads", "3"},           /* does not divide dim */
        {FIELD_HEADS, 4, "head", "1"},              /* an odd head size */
        {FIELD_HEADS, 8, "n_heads", "8"},
        {FIELD_KV_HEADS, 0, "n_kv_heads", "0"},
        {FIELD_KV_HEADS, -1, "n_kv_heads", "-1"},
        {FIELD_KV_HEADS, 3, "n_kv_heads", "3"},     /* more than heads */
        {FIELD_VOCAB, 0, "vocab_size", "0"},
        {FIELD_VOCAB, 1, "vocab_size", "1"},
        {FIELD_VOCAB, 2, "vocab_size", "2"},        /* no room for unknown, BOS and EOS */
        {FIELD_CONTEXT, 0, "max_seq_len", "0"},
        {FIELD_CONTEXT, -1, "max_seq_len", "-1"},
    };
    mutate_fields(list, sizeof list / sizeof *list);
}

static void test_kv_heads_must_divide_heads(void **state)
{
    (void)state;
    struct model_spec spec = {1, true, 12, 6, 1, 6, 3, 5, 8, 2, 1};
    struct bytes b = model_bytes(&spec);
    put_int(&b, V1_FIELDS + 4 * FIELD_KV_HEADS, 4);
    refuse_bytes(b.data, b.size, WORDS(scratch, "n_kv_heads", "4", "n_heads", "6"));
    bytes_free(&b);
}

/* A negative vocabulary is how version 0 says that the head is separate; nothing else may be. */
static void test_negative_vocabulary(void **state)
{
    (void)state;
    struct model_spec spec = spec_tiny(0, false);
    struct bytes b = model_bytes(&spec);
    static const int32_t bad[] = {-1, -2, INT_MIN, INT_MIN + 1};
    for (size_t i = 0; i < 4; i++) {
        put_int(&b, V0_FIELDS + 4 * FIELD_VOCAB, bad[i]);
        refuse_bytes(b.data, b.size, WORDS(scratch, "vocab_size"));
    }
    bytes_free(&b);
    for (int version = 1; version <= 2; version++) {
        spec = spec_tiny(version, false);
        b = model_bytes(&spec);
        put_int(&b, V1_FIELDS + 4 * FIELD_VOCAB, -5);
        refuse_bytes(b.data, b.size, WORDS(scratch, "vocab_size", "-5"));
        bytes_free(&b);
    }
}

static void test_extreme_fields(void **state)
{
    (void)state;
    static const int32_t extremes[] = {INT_MIN, INT_MIN + 1, INT_MAX, INT_MAX - 1, 1 << 30, 1 << 28,
                                       65536};
    for (size_t i = 0; i < KINDS; i++)
        for (int field = 0; field < FIELD_CONTEXT; field++)
            for (size_t k = 0; k < sizeof extremes / sizeof *extremes; k++) {
                struct model_spec spec = spec_tiny(kinds[i].version, kinds[i].tied);
                struct bytes b = model_bytes(&spec);
                size_t at = spec.version == 0 ? V0_FIELDS : V1_FIELDS;
                put_int(&b, at + 4 * (size_t)field, extremes[k]);
                refuse_bytes(b.data, b.size, WORDS(scratch));
                bytes_free(&b);
            }
}

/* INT_MIN and INT_MAX are refused by name in every field. */
static void test_int_limits_are_named(void **state)
{
    (void)state;
    struct mutation list[2 * FIELD_COUNT];
    for (int i = 0; i < FIELD_COUNT; i++) {
        list[2 * i] = (struct mutation){i, INT_MAX, field_names[i], "2147483647"};
        list[2 * i + 1] = (struct mutation){i, INT_MIN, field_names[i], "-2147483648"};
    }
    mutate_fields(list, 2 * FIELD_COUNT);
}

/* Sizes whose products leave 64 bits, or wrap to the size that the file has. */
static void test_products_that_overflow(void **state)
{
    (void)state;
    static const int32_t huge[][FIELD_COUNT] = {
        {1 << 28, 1 << 28, 1 << 16, 1 << 20, 1 << 20, 1 << 28, 1 << 28},
        {1 << 28, 1 << 28, 1, 2, 2, 1 << 28, 1 << 28},
        {1 << 28, 1, 65536, 1, 1, 3, 1},
        {1 << 20, 1 << 20, 1 << 16, 1 << 10, 1, 1 << 20, 1 << 20},
        {1 << 27, 1 << 26, 1 << 10, 2, 1, 1 << 26, 1},
        {2, 1 << 28, 1 << 16, 1, 1, 3, 1},
    };
    for (size_t i = 0; i < KINDS; i++)
        for (size_t k = 0; k < sizeof huge / sizeof *huge; k++) {
            struct model_spec spec = spec_tiny(kinds[i].version, kinds[i].tied);
            struct bytes b = model_bytes(&spec);
            size_t at = spec.version == 0 ? V0_FIELDS : V1_FIELDS;
            for (size_t f = 0; f < FIELD_COUNT; f++)
                put_int(&b, at + 4 * f, huge[k][f]);
            refuse_bytes(b.data, b.size, WORDS(scratch));
            bytes_free(&b);
        }
}

static void test_version_shared_and_group(void **state)
{
    (void)state;
    static const int32_t versions[] = {0, 3, -1, INT_MIN, INT_MAX, 0x01000000};
    struct model_spec spec = spec_tiny(2, true);
    struct bytes b = model_bytes(&spec);
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", versions[i]);
        put_int(&b, 4, versions[i]);
        refuse_bytes(b.data, b.size, WORDS(scratch, "version", value));
    }
    put_int(&b, 4, 2);
    for (int version = 1; version <= 2; version++) {
        spec = spec_tiny(version, true);
        struct bytes s = model_bytes(&spec);
        s.data[V1_SHARED] = 2;
        refuse_bytes(s.data, s.size, WORDS(scratch, "shared_classifier", "2"));
        s.data[V1_SHARED] = 255;
        refuse_bytes(s.data, s.size, WORDS(scratch, "shared_classifier", "255"));
        bytes_free(&s);
    }
    static const int32_t groups[] = {0, -1, -2, 3, 4, 5, 64, INT_MIN, INT_MAX};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) { /* 2 divides dim 4 and hidden 6 */
        char value[16];
        snprintf(value, sizeof value, "%d", groups[i]);
        put_int(&b, V1_GROUP, groups[i]);
        refuse_bytes(b.data, b.size, WORDS(scratch, "group_size", value));
    }
    bytes_free(&b);
}

/* The shared flag flipped: the head's size is then missing or left over. */
static void test_flipped_shared_flag(void **state)
{
    (void)state;
    for (int version = 1; version <= 2; version++)
        for (int tied = 0; tied < 2; tied++) {
            struct model_spec spec = spec_tiny(version, tied);
            struct bytes b = model_bytes(&spec);
            b.data[V1_SHARED] = !tied;
            refuse_bytes(b.data, b.size, WORDS(scratch, "payload"));
            bytes_free(&b);
        }
}

/* ---- a cache larger than memory -------------------------------------------------------------- */

/* The context of versions 1 and 2 is backed by no byte of the file. */
static void test_cache_larger_than_memory(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(1, true);
    struct error error = {"(no message)"};
    struct rusage before, after;
    spec.context = 1 << 28;
    struct model *m = open_spec(&spec);
    assert_int_equal(m->hyper.trained_context, 1 << 28);
    getrusage(RUSAGE_SELF, &before);
    static const size_t capacities[] = {(size_t)1 << 40, SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / 4};
    for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
        struct context *c = context_open(m, pool, capacities[i], &error);
        assert_null(c);
        check_error(&error, WORDS("KV cache", i == 0 ? "available" : "too"));
    }
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_maxrss - before.ru_maxrss < 64 * 1024); /* KiB */
    model_close(m);
    /* and as a session asks for it */
    struct session s;
    struct session_options o = {.model_path = scratch, .threads = 1, .context = 1 << 28};
    assert_true(session_open(&s, &o, &error));
    assert_int_equal(s.context, 1 << 28);
    struct context *c = context_open(s.model, s.pool, (size_t)1 << 40, &error);
    session_close(&s);
    assert_null(c);
    o.context = 0;
    assert_true(session_open(&s, &o, &error));
    assert_int_equal(s.context, 4096);
    session_close(&s);
    o.context = ((size_t)1 << 28) + 1;
    assert_false(session_open(&s, &o, &error));
    check_error(&error, WORDS("268435457", "268435456"));
}

/* ---- tokenizer files ------------------------------------------------------------------------- */

static struct tokenizer *open_vocabulary(const struct bytes *b, struct error *error)
{
    write_file(scratch, b->data, b->size);
    return tokenizer_open(scratch, error);
}

static void refuse_vocabulary(const struct bytes *b, const char *const *needles)
{
    struct error error = {"(no message)"};
    struct tokenizer *t = open_vocabulary(b, &error);
    tokenizer_close(t);
    assert_null(t);
    check_error(&error, needles);
}

static struct tokenizer *must_open(const struct vocabulary_spec *v)
{
    struct error error = {"(no message)"};
    struct bytes b = vocabulary_bytes(v);
    struct tokenizer *t = open_vocabulary(&b, &error);
    bytes_free(&b);
    if (!t)
        fail_msg("a valid tokenizer was refused: %s", error.text);
    assert_int_equal(tokenizer_vocab(t), v->count);
    return t;
}

/* An entry is a score, a length and a text; the first begins after max_token_length. */
static void test_tokenizer_lengths(void **state)
{
    (void)state;
    static const int32_t bad[] = {-1, INT_MIN, INT_MAX, 8, 1000};
    struct vocabulary_spec v = {0};
    vocabulary_begin(&v, false);
    vocabulary_add(&v, "a", -1, -1);
    v.longest = 7;
    struct bytes b = vocabulary_bytes(&v);
    const size_t second = 4 + 8 + 5; /* after <unk> */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char value[16];
        snprintf(value, sizeof value, "%d", bad[i]);
        put_int(&b, second + 4, bad[i]);
        refuse_vocabulary(&b, WORDS(scratch, "token 1", value));
    }
    put_int(&b, second + 4, 5);
    static const int32_t bad_longest[] = {0, -1, 4, INT_MIN, INT_MAX, 1 << 20};
    for (size_t i = 0; i < sizeof bad_longest / sizeof *bad_longest; i++) {
        put_int(&b, 0, bad_longest[i]);
        refuse_vocabulary(&b, WORDS(scratch, "max_token_length"));
    }
    bytes_free(&b);
    vocabulary_free(&v);
}

static void test_tokenizer_truncated_at_every_byte(void **state)
{
    (void)state;
    struct vocabulary_spec v = {0};
    vocabulary_begin(&v, false);
    vocabulary_add(&v, "a", -1, -1);
    vocabulary_add(&v, "ab", -1, -2);
    struct bytes b = vocabulary_bytes(&v);
    size_t whole = b.size, ends[8], n = 0;
    for (size_t i = 0, at = 4; i < v.count; i++)
        ends[n++] = at += 8 + (size_t)v.pieces[i].length;
    for (b.size = 0; b.size < whole; b.size++) {
        bool between = false; /* a shorter vocabulary, which is valid from 3 tokens on */
        for (size_t i = 2; i < n; i++)
            between |= b.size == ends[i];
        if (!between) {
            refuse_vocabulary(&b, WORDS(scratch));
            continue;
        }
        struct error error;
        struct tokenizer *t = open_vocabulary(&b, &error);
        assert_non_null(t);
        tokenizer_close(t);
    }
    bytes_free(&b);
    vocabulary_free(&v);
}

static void test_tokenizer_scores(void **state)
{
    (void)state;
    struct vocabulary_spec v = vocabulary_usual(400);
    struct bytes b = vocabulary_bytes(&v);
    put_float(&b, 4, NAN);
    refuse_vocabulary(&b, WORDS(scratch, "token 0", "NaN"));
    put_float(&b, 4, -NAN);
    refuse_vocabulary(&b, WORDS(scratch, "token 0", "NaN"));
    bytes_free(&b);
    v.pieces[260].score = INFINITY;
    v.pieces[261].score = -INFINITY;
    struct tokenizer *t = must_open(&v);
    struct tokens out = {0};
    assert_true(tokenizer_encode(t, "the theatre there", 17, &out, NULL));
    free(out.ids);
    tokenizer_close(t);
    vocabulary_free(&v);
}

static void test_too_few_tokens(void **state)
{
    (void)state;
    struct vocabulary_spec v = {0};
    v.longest = 1;
    struct bytes b = vocabulary_bytes(&v);
    refuse_vocabulary(&b, WORDS(scratch, "0 tokens"));
    bytes_free(&b);
    v.longest = 0;
    vocabulary_add(&v, "<unk>", -1, 0);
    vocabulary_add(&v, "<s>", -1, 0);
    b = vocabulary_bytes(&v);
    refuse_vocabulary(&b, WORDS(scratch, "2 tokens"));
    bytes_free(&b);
    vocabulary_free(&v);
}

/* A named tokenizer that does not fit is an error; one that only lies there is passed over. */
static void test_vocabulary_of_another_size(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(1, true); /* 400 tokens */
    struct bytes model = model_bytes(&spec);
    char *inner = path_in(folder, "beside"), *path, *tokenizer;
    assert_int_equal(mkdir(inner, 0700), 0);
    path = path_in(inner, "model.bin");
    tokenizer = path_in(inner, "tokenizer.bin");
    write_file(path, model.data, model.size);
    for (size_t count = 399; count <= 401; count++) {
        struct vocabulary_spec v = vocabulary_usual(count);
        struct bytes b = vocabulary_bytes(&v);
        struct session s;
        struct error error = {"(no message)"};
        char value[8];
        snprintf(value, sizeof value, "%zu", count);
        write_file(tokenizer, b.data, b.size);
        bytes_free(&b);
        vocabulary_free(&v);
        struct session_options o = {.model_path = path, .tokenizer_path = tokenizer, .threads = 1};
        assert_int_equal(session_open(&s, &o, &error), count == 400);
        if (count == 400)
            session_close(&s);
        else
            check_error(&error, WORDS(tokenizer, value, "400"));
        o.tokenizer_path = NULL;
        assert_true(session_open(&s, &o, &error));
        assert_int_equal(s.tokenizer != NULL, count == 400);
        if (count != 400)
            check_error(&s.tokenizer_error, WORDS(value, "400"));
        session_close(&s);
    }
    bytes_free(&model);
    free(inner);
    free(path);
    free(tokenizer);
}

/* A FIFO, a directory and junk beside a model, all called like a tokenizer: the good one counts. */
static void test_odd_files_beside_a_model(void **state)
{
    (void)state;
    char *inner = path_in(folder, "odd"), *model = path_in(inner, "model.bin");
    char *fifo = path_in(inner, "tok0.bin"), *directory = path_in(inner, "tokenizer.bin");
    char *junk = path_in(inner, "tok1.bin"), *good = path_in(inner, "tok2.bin");
    struct vocabulary_spec v = vocabulary_usual(400);
    struct bytes b = vocabulary_bytes(&v);
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_int_equal(mkdir(directory, 0700), 0);
    write_file(junk, "\1\0\0\0junk", 8);
    struct error error = {"(no message)"};
    must_end(true);
    assert_null(tokenizer_beside(model, 400, &error));
    check_error(&error, NULL);
    write_file(good, b.data, b.size);
    struct tokenizer *t = tokenizer_beside(model, 400, &error);
    must_end(false);
    assert_non_null(t);
    assert_string_equal(tokenizer_path(t), good);
    tokenizer_close(t);
    bytes_free(&b);
    vocabulary_free(&v);
    free(inner);
    free(model);
    free(fifo);
    free(directory);
    free(junk);
    free(good);
}

/* ---- encoding -------------------------------------------------------------------------------- */

static void encode(const struct tokenizer *t, const char *text, size_t n, struct tokens *out)
{
    struct error error = {"(no message)"};
    *out = (struct tokens){0};
    if (!tokenizer_encode(t, text, n, out, &error))
        fail_msg("not tokenized: %s", error.text);
    for (size_t i = 0; i < out->count; i++)
        assert_in_range(out->ids[i], 0, tokenizer_vocab(t) - 1);
}

/* The text of the tokens after BOS; the caller frees. */
static char *decode(const struct tokenizer *t, const struct tokens *tokens, size_t *n)
{
    char *text = malloc(tokens->count * 96 + 1), byte;
    int32_t previous = tokenizer_bos(t);
    assert_non_null(text);
    *n = 0;
    for (size_t i = 0; i < tokens->count; i++) {
        size_t length;
        const char *piece = tokenizer_piece(t, previous, tokens->ids[i], &length, &byte);
        memcpy(text + *n, piece, length);
        *n += length;
        previous = tokens->ids[i];
    }
    return text;
}

static void check_round_trip(const struct tokenizer *t, const char *text, size_t n)
{
    struct tokens tokens;
    size_t length;
    encode(t, text, n, &tokens);
    char *back = decode(t, &tokens, &length);
    assert_int_equal(length, n);
    if (n)
        assert_memory_equal(back, text, n);
    free(back);
    free(tokens.ids);
}

static void test_any_bytes_come_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "  ",
        "the theatre\n",
        "\xc3\xa9t\xc3\xa9",
        "\xc3",
        "\xff",
        "\x80\x80\x80\x80\x80\x80",
        "\xf0\x9f\x98\x80",
        "\xf0\x9f\x98",
        "\xed\xa0\x80",
        "\xc0\xaf",
        "\xe2\x82",
        "\x1b[2J",
        "a\xcc\x81",
        "\xef\xbb\xbfthe",
    };
    struct vocabulary_spec v = vocabulary_usual(400);
    struct tokenizer *t = must_open(&v);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_round_trip(t, texts[i], strlen(texts[i]));
    char all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (char)i;
        check_round_trip(t, &all[i], 1);
    }
    check_round_trip(t, all, sizeof all);
    check_round_trip(t, "a\0b\0", 4);
    uint64_t random = 5;
    for (int i = 0; i < 300; i++) {
        char text[64];
        size_t n = random_next(&random) % sizeof text;
        for (size_t k = 0; k < n; k++)
            text[k] = (char)(random_next(&random) >> 33);
        check_round_trip(t, text, n);
    }
    tokenizer_close(t);
    vocabulary_free(&v);
}

static void test_empty_text_has_no_tokens(void **state)
{
    (void)state;
    struct vocabulary_spec v = vocabulary_usual(400);
    struct tokenizer *t = must_open(&v);
    struct tokens tokens;
    encode(t, "", 0, &tokens);
    assert_int_equal(tokens.count, 0);
    free(tokens.ids);
    tokenizer_close(t);
    vocabulary_free(&v);
}

/* The run must neither be quadratic nor lose a character: pieces cross its whole length. */
static void test_long_run_without_a_space(void **state)
{
    (void)state;
    enum { LENGTH = 2000000 };
    struct vocabulary_spec v = vocabulary_usual(380);
    char doubled[65];
    memset(doubled, 'a', sizeof doubled);
    for (int32_t n = 2; n <= 64; n *= 2)
        vocabulary_add(&v, doubled, n, -(float)n);
    struct tokenizer *t = must_open(&v);
    char *text = malloc(LENGTH);
    assert_non_null(text);
    memset(text, 'a', LENGTH);
    must_end(true);
    check_round_trip(t, text, LENGTH); /* 4e12 steps if quadratic */
    must_end(false);
    free(text);
    tokenizer_close(t);
    vocabulary_free(&v);
}

/* Without byte tokens what is no piece becomes the unknown token, byte for byte. */
static void test_no_byte_tokens(void **state)
{
    (void)state;
    struct vocabulary_spec v = {0};
    struct tokens tokens;
    vocabulary_begin(&v, false);
    vocabulary_add(&v, "a", -1, -1);
    struct tokenizer *t = must_open(&v);
    encode(t, "a\xff" "b\xc3\xa9", 5, &tokens);
    static const int32_t expected[] = {3, 0, 0, 0, 0};
    assert_int_equal(tokens.count, 5);
    assert_memory_equal(tokens.ids, expected, sizeof expected);
    free(tokens.ids);
    tokenizer_close(t);
    vocabulary_free(&v);
}

static void test_duplicate_pieces(void **state)
{
    (void)state;
    struct vocabulary_spec v = vocabulary_usual(380);
    for (int i = 0; i < 20; i++)
        vocabulary_add(&v, i % 2 ? " the" : "x", -1, (float)i);
    vocabulary_add(&v, "", 0, 100);
    vocabulary_add(&v, "", 0, 200);
    struct tokenizer *t = must_open(&v);
    check_round_trip(t, "the x thexx the", 15);
    tokenizer_close(t);
    vocabulary_free(&v);
}

static void test_hostile_pieces(void **state)
{
    (void)state;
    static const char *const pieces[] = {"\xff\xfe", "\xc3", "\x1b[2J",      "\x07",
                                         "\x9b",     "<0x",  "\xed\xa0\x80"};
    struct vocabulary_spec v = vocabulary_usual(380);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        vocabulary_add(&v, pieces[i], -1, (float)i);
    vocabulary_add(&v, "a\0b", 3, 50);
    struct tokenizer *t = must_open(&v);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        check_round_trip(t, pieces[i], strlen(pieces[i]));
    check_round_trip(t, "xa\0b\x1b[2J\xff\xfe\xc3", 12);
    tokenizer_close(t);
    vocabulary_free(&v);
}

/* Byte tokens that stand elsewhere, have no text or another one: still in bounds. */
static void test_byte_tokens_with_odd_texts(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct vocabulary_spec v = {0};
        vocabulary_begin(&v, false);
        for (int i = 0; i < 300; i++)
            vocabulary_add(&v, kind ? "<0xFF>" : "", -1, (float)i);
        struct tokenizer *t = must_open(&v);
        struct tokens tokens;
        encode(t, "abc \xff\x00 some text", 16, &tokens);
        size_t n;
        free(decode(t, &tokens, &n));
        free(tokens.ids);
        tokenizer_close(t);
        vocabulary_free(&v);
    }
}

/* Only <0xHH> is a byte; what merely looks like it is text. */
static void test_malformed_byte_tokens_are_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"<0xZZ>", "<0x1>>", "<0x+1>", "<0x-1>", "<0x 1>", "<0xG1>",
                                        "<0X41>", "<0x4G>", "<0x411", "<0x0x>"};
    struct vocabulary_spec v = vocabulary_usual(380);
    size_t first = v.count, count = sizeof texts / sizeof *texts;
    for (size_t i = 0; i < count; i++)
        vocabulary_add(&v, texts[i], -1, 0);
    vocabulary_add(&v, "<0x41>", -1, 0);
    vocabulary_add(&v, "<0xe9>", -1, 0);
    struct tokenizer *t = must_open(&v);
    for (size_t i = 0; i < count + 2; i++) {
        char byte;
        size_t n;
        const char *piece = tokenizer_piece(t, -1, (int32_t)(first + i), &n, &byte);
        if (i >= count) {
            assert_int_equal(n, 1);
            assert_int_equal((uint8_t)*piece, i == count ? 'A' : 0xe9);
        } else if (n != 6 || memcmp(piece, texts[i], 6) != 0) {
            fail_msg("'%s' is decoded as %zu bytes", texts[i], n);
        }
    }
    tokenizer_close(t);
    vocabulary_free(&v);
}

/* Text that spells a byte token or a control token stays text, whatever merges lie on the way. */
static void test_text_never_becomes_a_special_token(void **state)
{
    (void)state;
    static const char *const steps[] = {"<0", "<0x", "<0x4", "<0x41", "\n<", "\n<s", "\n<s>"};
    struct vocabulary_spec v = vocabulary_usual(380);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        vocabulary_add(&v, steps[i], -1, (float)i);
    struct tokenizer *t = must_open(&v);
    struct tokens tokens;
    encode(t, "a\n<s>\nb", 7, &tokens);
    for (size_t i = 0; i < tokens.count; i++)
        assert_true(tokens.ids[i] != tokenizer_bos(t) && tokens.ids[i] != tokenizer_eos(t));
    free(tokens.ids);
    check_round_trip(t, "<0x41>", 6);
    tokenizer_close(t);
    vocabulary_free(&v);
}

static void test_ids_out_of_range_have_no_text(void **state)
{
    (void)state;
    static const int32_t ids[] = {-1, INT_MIN, INT_MAX, 400};
    struct vocabulary_spec v = vocabulary_usual(400);
    struct tokenizer *t = must_open(&v);
    for (size_t i = 0; i < 4; i++) {
        char byte;
        size_t n = 99;
        assert_non_null(tokenizer_piece(t, 5, ids[i], &n, &byte));
        assert_int_equal(n, 0);
    }
    tokenizer_close(t);
    vocabulary_free(&v);
}

/* ---- merge order ----------------------------------------------------------------------------- */

static int32_t naive_find(const struct vocabulary_spec *v, const char *text, size_t n)
{
    for (size_t i = 0; i < v->count; i++)
        if ((size_t)v->pieces[i].length == n && memcmp(v->pieces[i].text, text, n) == 0)
            return (int32_t)i;
    return -1;
}

static int32_t naive_join(const struct vocabulary_spec *v, int32_t a, int32_t b)
{
    char text[2 * sizeof v->pieces->text];
    size_t an = (size_t)v->pieces[a].length, bn = (size_t)v->pieces[b].length;
    memcpy(text, v->pieces[a].text, an);
    memcpy(text + an, v->pieces[b].text, bn);
    return naive_find(v, text, an + bn);
}

/* Merge the adjacent pair with the best score, the leftmost of equals, until there is none. */
static size_t naive_merge(const struct vocabulary_spec *v, int32_t *ids, size_t n)
{
    for (;;) {
        size_t best = n;
        int32_t joined = -1;
        for (size_t i = 0; i + 1 < n; i++) {
            int32_t id = naive_join(v, ids[i], ids[i + 1]);
            if (id >= 0 && (joined < 0 || v->pieces[id].score > v->pieces[joined].score)) {
                best = i;
                joined = id;
            }
        }
        if (joined < 0)
            return n;
        ids[best] = joined;
        memmove(ids + best + 1, ids + best + 2, (n - best - 2) * sizeof *ids);
        n--;
    }
}

static size_t naive_encode(const struct vocabulary_spec *v, const char *text, size_t n,
                           int32_t *ids)
{
    static const char two[] = "\xc3\xa9";
    size_t count = 0;
    int32_t space = naive_find(v, " ", 1);
    if (n > 0 && space >= 0)
        ids[count++] = space;
    for (size_t i = 0, length; i < n; i += length) {
        length = i + 1 < n && memcmp(text + i, two, 2) == 0 ? 2 : 1;
        int32_t id = naive_find(v, text + i, length);
        for (size_t k = 0; id < 0 && k < length; k++)
            ids[count++] = v->count >= 259 ? 3 + (uint8_t)text[i + k] : 0;
        if (id >= 0)
            ids[count++] = id;
    }
    return naive_merge(v, ids, count);
}

/* A random word over three letters and a space, and sometimes a character of two bytes. */
static size_t random_word(uint64_t *random, size_t most, char *out)
{
    static const char *const letters[] = {"a", "b", "c", " ", "\xc3\xa9"};
    size_t n = 0, count = 1 + random_next(random) % most;
    for (size_t i = 0; i < count; i++) {
        uint64_t pick = random_next(random) % 16;
        const char *letter = letters[pick < 15 ? pick % 4 : 4];
        memcpy(out + n, letter, strlen(letter));
        n += strlen(letter);
    }
    return n;
}

static void check_merges(uint64_t *random)
{
    struct vocabulary_spec v = {0};
    char text[256];
    int32_t expected[256];
    vocabulary_begin(&v, random_next(random) % 2);
    for (char c = 'a'; c <= 'c'; c++) /* now and then a letter is missing */
        if (random_next(random) % 8)
            vocabulary_add(&v, &c, 1, -50);
    if (random_next(random) % 8)
        vocabulary_add(&v, " ", 1, -50);
    for (size_t i = 0; i < 60; i++) { /* few scores, so that many are equal; some pieces twice */
        size_t n = random_word(random, 2 + i / 10, text);
        vocabulary_add(&v, text, (int32_t)n, -(float)(random_next(random) % 6));
    }
    struct tokenizer *t = must_open(&v);
    for (int i = 0; i < 20; i++) {
        struct tokens tokens;
        size_t n = random_word(random, 100, text);
        encode(t, text, n, &tokens);
        size_t count = naive_encode(&v, text, n, expected);
        assert_int_equal(tokens.count, count);
        assert_memory_equal(tokens.ids, expected, count * sizeof *expected);
        free(tokens.ids);
    }
    tokenizer_close(t);
    vocabulary_free(&v);
}

static void test_merge_order_is_the_naive_one(void **state)
{
    (void)state;
    uint64_t random = 11;
    for (int i = 0; i < 60; i++)
        check_merges(&random);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static const float odd_values[] = {NAN,      INFINITY, -INFINITY, 1e-42f, -1e-45f,
                                   3.4e38f, -3.4e38f,  0.0f,      -0.0f,  65520.0f};
enum { ODD_VALUES = sizeof odd_values / sizeof *odd_values };

/* Which weights of every tensor become odd: one, a row, all of them, or every third. */
static bool is_hit(int how, size_t i, size_t cols)
{
    return how == 0 ? i == cols / 2 : how == 1 ? i < cols : how == 2 || i % 3 == 0;
}

static struct bytes odd_model(struct model_spec *spec, const char *name, float value, int how,
                              size_t *non_finite)
{
    struct tensor_place places[64];
    struct bytes b = model_bytes(spec);
    size_t count = model_places(spec, places, 64);
    *non_finite = 0;
    for (size_t i = 0; i < count; i++) {
        if (name && strcmp(name, places[i].name) != 0)
            continue;
        for (size_t k = 0; k < places[i].rows * places[i].cols; k++)
            if (is_hit(how, k, places[i].cols)) {
                put_float(&b, places[i].offset + 4 * k, value);
                *non_finite += isfinite(value) ? 0 : 1;
            }
    }
    return b;
}

static void check_sampling(float *logits, size_t vocab)
{
    int32_t order[16];
    float copy[16];
    static const float temperatures[] = {0, 1e-30f, 1, 100}, tops[] = {0, 0.5f, 1};
    assert_true(vocab <= 16);
    for (size_t t = 0; t < 4; t++)
        for (size_t p = 0; p < 3; p++) {
            struct sampler s = {temperatures[t], tops[p], 0};
            sampler_seed(&s, t * 3 + p);
            memcpy(copy, logits, vocab * sizeof *copy);
            assert_true(sampler_choose(&s, copy, vocab, order) < vocab);
        }
}

static void check_scheme(const struct model *m, const char *text)
{
    struct scheme scheme;
    struct error error = {"(no message)"};
    float logits[16];
    assert_true(scheme_parse(text, &scheme, &error));
    struct weights *set = weights_stored(m);
    for (int t = 0; set && t < (int)m->tensor_count; t++) {
        struct scheme own = scheme_for_tensor(m, t, scheme);
        struct qtensor *p = requantize(m, t, &own, pool, &error);
        assert_non_null(p);
        assert_true(p->error.max_abs >= 0);
        struct weights *next = weights_replace(set, p);
        qtensor_unref(p);
        weights_unref(set);
        set = next;
    }
    assert_non_null(set);
    run_forward(m, set, logits);
    check_sampling(logits, m->hyper.vocab);
    weights_unref(set);
}

static void check_odd_model(struct model_spec *spec, const char *name, float value, int how)
{
    static const char *const schemes[] = {
        "fp32",          "fp16",          "bf16",      "fp16/bf16",          "int8",
        "int8:tensor",   "int8:asym",     "int8:g16",  "int8:g16:asym",      "int8/int8",
        "int8/int8.asym:asym",            "int8:tensor:asym",                "int4:channel",
        "int4:g16",      "int4:g16:asym", "w4a8",      "w4a16",
        "int4/int8.asym:g16:asym",
        "fp8",           "fp8:tensor",    "fp8:g16",   "fp8/fp8",            "fp8e5m2/fp8e5m2",
        "fp8e5m2/fp8e4m3:g16",
    };
    size_t non_finite;
    float logits[16];
    struct bytes b = odd_model(spec, name, value, how, &non_finite);
    struct model *m = open_bytes(b.data, b.size);
    bytes_free(&b);
    assert_int_equal(m->non_finite, non_finite);
    run_stored(m, logits);
    check_sampling(logits, m->hyper.vocab);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++)
        check_scheme(m, schemes[i]);
    model_close(m);
}

static void test_odd_numbers_in_all_tensors(void **state)
{
    (void)state;
    struct model_spec spec = spec_tiny(1, false);
    for (size_t v = 0; v < ODD_VALUES; v++)
        for (int how = 0; how < 4; how++)
            check_odd_model(&spec, NULL, odd_values[v], how);
}

static void test_odd_numbers_in_one_tensor(void **state)
{
    (void)state;
    /* rows of more than one group */
    struct model_spec spec = {1, false, 32, 48, 1, 2, 1, 5, 8, 16, 1};
    struct tensor_place places[16];
    size_t count = model_places(&spec, places, 16);
    for (size_t i = 0; i < count; i++)
        for (size_t v = 0; v < 3; v++)
            check_odd_model(&spec, places[i].name, odd_values[v], 0);
}

/* NaN and infinite scales make NaN and infinite weights: a person must hear of them as well. */
static void test_odd_scales_are_counted(void **state)
{
    (void)state;
    struct model_spec spec = spec_tiny(2, true);
    struct tensor_place p = model_place(&spec, "blk.0.attn_q");
    float logits[16];
    for (size_t v = 0; v < 3; v++) {
        struct bytes b = model_bytes(&spec);
        put_float(&b, p.offset + p.rows * p.cols, odd_values[v]);
        struct model *m = open_bytes(b.data, b.size);
        bytes_free(&b);
        size_t counted = m->non_finite;
        run_stored(m, logits);
        check_sampling(logits, m->hyper.vocab);
        check_scheme(m, "int8");
        check_scheme(m, "int4:g16:asym");
        model_close(m);
        assert_true(counted > 0);
    }
}

/* A constant row, a zero row and one outlier, quantized and read back. */
static void test_degenerate_rows(void **state)
{
    (void)state;
    static const char *const schemes[] = {"int8", "int8:asym", "int4:g16", "int4:g16:asym", "fp8",
                                          "int8:tensor:asym", "fp8e5m2:g16"};
    struct model_spec spec = {1, true, 32, 48, 1, 2, 1, 5, 8, 16, 1};
    struct tensor_place p = model_place(&spec, "blk.0.attn_q");
    struct bytes b = model_bytes(&spec);
    for (size_t c = 0; c < 32; c++) {
        put_float(&b, p.offset + 4 * c, 0);
        put_float(&b, p.offset + 4 * (32 + c), -0.75f);
        put_float(&b, p.offset + 4 * (64 + c), c == 7 ? 1e30f : 1e-3f);
    }
    struct model *m = open_bytes(b.data, b.size);
    bytes_free(&b);
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct scheme scheme;
        float row[32];
        assert_true(scheme_parse(schemes[i], &scheme, NULL));
        struct qtensor *q = requantize(m, model_find_name(m, p.name), &scheme, pool, NULL);
        assert_non_null(q);
        for (size_t r = 0; r < 3; r++) {
            qmatrix_decode_row(&q->matrix, r, row);
            for (size_t c = 0; c < 32; c++)
                assert_true(isfinite(row[c]));
            if (r == 0)
                assert_true(row[0] == 0 && row[31] == 0);
            else if (r == 1 && scheme.format.granularity != GRANULARITY_TENSOR)
                assert_true(fabsf(row[5] + 0.75f) <= 0.05f);
        }
        qtensor_unref(q);
    }
    model_close(m);
}

/* ---- random mutations ------------------------------------------------------------------------ */

static struct bytes mutated(const struct bytes *base, uint64_t *random)
{
    size_t extra = random_next(random) % 4 == 0 ? random_next(random) % 16 : 0;
    struct bytes b = {calloc(1, base->size + extra + 1), base->size + extra};
    assert_non_null(b.data);
    memcpy(b.data, base->data, base->size);
    if (random_next(random) % 8 == 0)
        b.size = random_next(random) % (base->size + 1);
    size_t flips = random_next(random) % 6;
    for (size_t i = 0; i < flips && b.size; i++) {
        size_t span = random_next(random) % 2 && b.size > 48 ? 48 : b.size; /* mostly the header */
        b.data[random_next(random) % span] ^= (uint8_t)(1u << random_next(random) % 8);
    }
    return b;
}

static bool fuzz_model(const struct bytes *b)
{
    struct error error = {"(no message)"};
    write_file(scratch, b->data, b->size);
    struct model *m = model_open(scratch, &error);
    if (!m) {
        check_error(&error, WORDS(scratch));
        return false;
    }
    float *logits = calloc(m->hyper.vocab, sizeof *logits);
    assert_non_null(logits);
    run_stored(m, logits);
    free(logits);
    model_close(m);
    return true;
}

static bool fuzz_tokenizer(const struct bytes *b)
{
    struct error error = {"(no message)"};
    struct tokenizer *t = open_vocabulary(b, &error);
    if (!t) {
        check_error(&error, WORDS(scratch));
        return false;
    }
    struct tokens tokens;
    encode(t, "the theatre \xc3\xa9 \xff there", 21, &tokens);
    size_t n;
    if (tokenizer_vocab(t) < 1000)
        free(decode(t, &tokens, &n));
    free(tokens.ids);
    tokenizer_close(t);
    return true;
}

static void test_random_mutations(void **state)
{
    (void)state;
    enum { ROUNDS = 6000 };
    struct vocabulary_spec v = {0};
    vocabulary_begin(&v, false);
    for (char c = 'a'; c <= 'z'; c++)
        vocabulary_add(&v, &c, 1, -(float)c);
    vocabulary_add(&v, "th", -1, 0);
    vocabulary_add(&v, "the", -1, 1);
    struct bytes models[KINDS], vocabulary = vocabulary_bytes(&v);
    uint64_t random = 2;
    size_t opened[2] = {0, 0};
    for (size_t i = 0; i < KINDS; i++) {
        struct model_spec spec = spec_tiny(kinds[i].version, kinds[i].tied);
        models[i] = model_bytes(&spec);
    }
    for (size_t i = 0; i < ROUNDS / test_stride(); i++) {
        bool model = i % 3 != 0;
        struct bytes b = mutated(model ? &models[i % KINDS] : &vocabulary, &random);
        opened[model] += model ? fuzz_model(&b) : fuzz_tokenizer(&b);
        bytes_free(&b);
    }
    assert_true(opened[0] > 0 && opened[1] > 0); /* the mutations are not all trivial */
    for (size_t i = 0; i < KINDS; i++)
        bytes_free(&models[i]);
    bytes_free(&vocabulary);
    vocabulary_free(&v);
}

/* ---- recipes --------------------------------------------------------------------------------- */

static void refuse_recipe(const char *text, size_t n, const char *const *needles)
{
    struct recipe recipe;
    struct error error = {"(no message)"};
    write_file(scratch, text, n);
    assert_false(recipe_read(&recipe, scratch, &error));
    check_error(&error, needles);
}

static void accept_recipe(const char *text, size_t rules)
{
    struct recipe recipe;
    struct error error = {"(no message)"};
    write_file(scratch, text, strlen(text));
    if (!recipe_read(&recipe, scratch, &error))
        fail_msg("'%s' was refused: %s", text, error.text);
    assert_int_equal(recipe.count, rules);
    recipe_free(&recipe);
}

static void test_recipes_that_parse(void **state)
{
    (void)state;
    accept_recipe("* int8\n", 1);
    accept_recipe("* int8", 1);
    accept_recipe("* int8\r\nblk.* int4:g32\r\n", 2);
    accept_recipe("\t*\t int8 \t# all of it\n\n\n   \noutput fp16", 2);
    accept_recipe("# nothing\n", 0);
    accept_recipe("# nothing", 0);
    accept_recipe("\n\n", 0);
    accept_recipe("* int8 # caf\xc3\xa9 \x01\x02\n", 1);
}

static void test_recipes_that_do_not(void **state)
{
    (void)state;
    struct line {
        const char *text;
        const char *said[3];
    };
    static const struct line lines[] = {
        {"* int8\n*\n", {"line 2", "scheme"}},
        {"* int8\n\n\nblk.0.attn_q int8 more\n", {"line 4", "more"}},
        {"# one\n* int9\n", {"line 2", "int9", "position 1"}},
        {"* int8:g8\r\n", {"line 1", "position 6"}},
        {"* int8:\n", {"line 1", "empty"}},
        {"* int8/fp8", {"line 1"}},
        {"*\x01 \x1b[31m\n", {"line 1"}},
        {"\xff\xff \xff", {"line 1"}},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        refuse_recipe(lines[i].text, strlen(lines[i].text),
                      WORDS(scratch, lines[i].said[0], lines[i].said[1], lines[i].said[2]));
    refuse_recipe("", 0, WORDS(scratch));
    refuse_recipe("* int8\0 fp16\n", 13, WORDS(scratch, "line 1"));
}

static void test_binary_junk_is_no_recipe(void **state)
{
    (void)state;
    uint64_t random = 3;
    char junk[3000];
    for (int round = 0; round < 200; round++) {
        size_t n = 1 + random_next(&random) % sizeof junk;
        struct recipe recipe;
        struct error error = {"(no message)"};
        for (size_t i = 0; i < n; i++)
            junk[i] = (char)(random_next(&random) >> 40);
        if (recipe_parse(&recipe, "junk", junk, n, &error))
            recipe_free(&recipe); /* blank or a comment, by chance */
        else
            check_error(&error, WORDS("junk, line"));
    }
    memset(junk, 0, sizeof junk);
    refuse_recipe(junk, sizeof junk, WORDS("line 1"));
}

static void test_long_lines(void **state)
{
    (void)state;
    char line[10010];
    memset(line, 'x', sizeof line);
    refuse_recipe(line, 10000, WORDS("line 1", "10000"));
    memcpy(line, "* int8\n", 7);
    refuse_recipe(line, 10007, WORDS("line 2", "10000"));
    /* escaping makes a line longer than it is: the scheme behind must not get lost */
    struct recipe recipe;
    struct error error = {"(no message)"};
    memset(line, 1, 200);
    memcpy(line + 200, " int8 more", 10);
    assert_false(recipe_parse(&recipe, "long", line, 210, &error));
    check_error(&error, WORDS("long, line 1"));
}

/* Rules are bounded, and the message about too many does not speak of bytes. */
static void test_too_many_rules(void **state)
{
    (void)state;
    enum { RULES = 100002 };
    static const char rule[] = "* int8\n";
    size_t n = sizeof rule - 1;
    char *text = malloc(RULES * n);
    struct recipe recipe;
    struct error error = {"(no message)"};
    assert_non_null(text);
    for (size_t i = 0; i < RULES; i++)
        memcpy(text + i * n, rule, n);
    bool ok = recipe_parse(&recipe, "many", text, RULES * n, &error);
    free(text);
    if (ok)
        recipe_free(&recipe);
    assert_false(ok);
    check_error(&error, WORDS("line 100001", "rules"));
}

/* A pattern made to backtrack, against every name. */
static void test_slow_pattern(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(1, true);
    struct model *m = open_spec(&spec);
    struct scheme schemes[64];
    char text[500] = "";
    for (int i = 0; i < 80; i++)
        strcat(text, "*t?");
    strcat(text, "z int8\n");
    struct recipe recipe;
    struct error error = {"(no message)"};
    assert_true(recipe_parse(&recipe, "slow", text, strlen(text), &error));
    for (size_t i = 0; i < m->tensor_count; i++)
        schemes[i] = scheme_stored(&m->tensors[i].stored);
    must_end(true);
    assert_false(recipe_apply(&recipe, m, schemes, &error));
    must_end(false);
    check_error(&error, WORDS("line 1", "matches no tensor"));
    recipe_free(&recipe);
    model_close(m);
}

static void test_rule_without_a_match_gives_the_nearest_name(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(1, false);
    struct model *m = open_spec(&spec);
    struct scheme schemes[64], before[64];
    for (size_t i = 0; i < m->tensor_count; i++)
        before[i] = schemes[i] = scheme_stored(&m->tensors[i].stored);
    static const char text[] = "* int8\nblk.1.atn_q int4\n";
    struct recipe recipe;
    struct error error = {"(no message)"};
    assert_true(recipe_parse(&recipe, "r", text, sizeof text - 1, &error));
    assert_false(recipe_apply(&recipe, m, schemes, &error));
    check_error(&error, WORDS("line 2", "blk.1.atn_q", "blk.1.attn_q"));
    for (size_t i = 0; i < m->tensor_count; i++)
        assert_true(scheme_equal(&schemes[i], &before[i])); /* untouched */
    recipe_free(&recipe);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_valid_files_open),
        cmocka_unit_test(test_misaligned_scales_decode_exactly),
        cmocka_unit_test(test_versions_0_and_1_agree),
        cmocka_unit_test(test_version_2_computes_what_it_stands_for),
        cmocka_unit_test(test_paths_that_are_no_files),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_files_without_a_model),
        cmocka_unit_test(test_hostile_names),
        cmocka_unit_test(test_hostile_tokenizer_names),
        cmocka_unit_test(test_long_name),
        cmocka_unit_test(test_truncated_at_every_byte),
        cmocka_unit_test(test_payload_off_by_one),
        cmocka_unit_test(test_field_mutations),
        cmocka_unit_test(test_kv_heads_must_divide_heads),
        cmocka_unit_test(test_negative_vocabulary),
        cmocka_unit_test(test_extreme_fields),
        cmocka_unit_test(test_int_limits_are_named),
        cmocka_unit_test(test_products_that_overflow),
        cmocka_unit_test(test_version_shared_and_group),
        cmocka_unit_test(test_flipped_shared_flag),
        cmocka_unit_test(test_cache_larger_than_memory),
        cmocka_unit_test(test_tokenizer_lengths),
        cmocka_unit_test(test_tokenizer_truncated_at_every_byte),
        cmocka_unit_test(test_tokenizer_scores),
        cmocka_unit_test(test_too_few_tokens),
        cmocka_unit_test(test_vocabulary_of_another_size),
        cmocka_unit_test(test_odd_files_beside_a_model),
        cmocka_unit_test(test_any_bytes_come_back),
        cmocka_unit_test(test_empty_text_has_no_tokens),
        cmocka_unit_test(test_long_run_without_a_space),
        cmocka_unit_test(test_no_byte_tokens),
        cmocka_unit_test(test_duplicate_pieces),
        cmocka_unit_test(test_hostile_pieces),
        cmocka_unit_test(test_byte_tokens_with_odd_texts),
        cmocka_unit_test(test_malformed_byte_tokens_are_text),
        cmocka_unit_test(test_text_never_becomes_a_special_token),
        cmocka_unit_test(test_ids_out_of_range_have_no_text),
        cmocka_unit_test(test_merge_order_is_the_naive_one),
        cmocka_unit_test(test_odd_numbers_in_all_tensors),
        cmocka_unit_test(test_odd_numbers_in_one_tensor),
        cmocka_unit_test(test_odd_scales_are_counted),
        cmocka_unit_test(test_degenerate_rows),
        cmocka_unit_test(test_random_mutations),
        cmocka_unit_test(test_recipes_that_parse),
        cmocka_unit_test(test_recipes_that_do_not),
        cmocka_unit_test(test_binary_junk_is_no_recipe),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_too_many_rules),
        cmocka_unit_test(test_slow_pattern),
        cmocka_unit_test(test_rule_without_a_match_gives_the_nearest_name),
    };
    return cmocka_run_group_tests_name("files", tests, make_folder, remove_folder);
}
