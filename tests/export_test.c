/* Exports to GGUF: what is read back is the set of weights that was written, with its tokenizer; what the format
 * does not hold is refused by name; and a file is there whole or not at all. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/gguf_internal.h"
#include "exporting.h"
#include "modelfile.h"
#include "support.h"
#include "weightcheck.h"

#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define BUILTIN SRCDIR "/data/stories.bin"

static char *folder, *target; /* of this program's files; what most tests write */

static int begin(void **state)
{
    (void)state;
    folder = folder_make();
    target = path_in(folder, "out.gguf");
    return 0;
}

static int end(void **state)
{
    (void)state;
    folder_remove(folder);
    free(target);
    return 0;
}

static void must_export(const struct subject *s, const char *path, const char *what)
{
    struct error error;
    if (!subject_export(s, path, NULL, &error))
        fail_msg("%s: %s", what, error.text);
}

/* Files in the folder. */
static size_t files(void)
{
    DIR *d = opendir(folder);
    size_t n = 0;
    for (const struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* ---- round trips ----------------------------------------------------------------------------- */

/* The fp16 minimum of a Q4_1 block is off by at most 2^-11 of itself, which is no more than twice the largest
 * weight. */
static const double MINIMUM = 1.0 / 1024;

static const struct {
    const char *scheme, *type;
    bool rounded;
} held[] = {
    {NULL, NULL, false},          {"fp32", "F32", false},       {"fp16", "F16", false},
    {"bf16", "BF16", false},      {"int8:g32", "Q8_0", false},  {"int4:g32", "Q4_0", false},
    {"int4:g32:clip", "Q4_0", false}, {"int4:g32:asym", "Q4_1", true},
};
enum { HELD = sizeof held / sizeof *held };

/* The types that ggml has for the linear matrices in blocks, if their columns fill blocks. */
static void check_types(const struct subject *back, const char *type, const char *what)
{
    const struct model *m = back->session.model;
    for (size_t t = 0; type && t < m->tensor_count; t++) {
        const struct tensor *tensor = &m->tensors[t];
        if (!roles[tensor->role].linear || tensor->block < 0)
            continue;
        bool blocks = strchr(type, '_');
        enum dtype expected = blocks && tensor->stored.cols % 32 != 0 ? DTYPE_FP32
                              : strcmp(type, "F32") == 0              ? DTYPE_FP32
                              : strcmp(type, "F16") == 0              ? DTYPE_FP16
                              : strcmp(type, "BF16") == 0             ? DTYPE_BF16
                                                                      : dtype_stored_by_name(type, strlen(type));
        if (tensor->stored.format.weight != expected)
            fail_msg("%s: %s is %s", what, tensor->name, dtypes[tensor->stored.format.weight].name);
    }
}

static void round_trip(const char *model, const char *tokenizer, size_t i)
{
    char what[400];
    snprintf(what, sizeof what, "%s as %s", model, held[i].scheme ? held[i].scheme : "stored");
    struct subject s = subject_open(model, tokenizer, held[i].scheme);
    must_export(&s, target, what);
    struct subject back = subject_open(target, NULL, NULL);
    check_weights(&s, &back, held[i].rounded ? "blk.*" : NULL, MINIMUM, what);
    check_types(&back, held[i].type, what);
    check_logits(&s, &back, held[i].rounded ? 1e-2 : 1e-4, what);
    assert_int_equal(s.session.model->hyper.trained_context, back.session.model->hyper.trained_context);
    assert_int_equal(session_bos(&s.session), session_bos(&back.session));
    assert_int_equal(files(), 1);
    subject_close(&back);
    subject_close(&s);
    assert_int_equal(unlink(target), 0);
}

static void test_architectures(void **state)
{
    (void)state;
    static const char *const names[] = {"llama", "llama3", "llama-linear", "mistral", "qwen2", "qwen3",
                                        "phi3", "phi3-long", "gemma", "gemma2", "gpt2"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        for (size_t i = 0; i < HELD; i++) {
            char *hf = arch_folder(names[k]), *gguf = arch_gguf(names[k]);
            round_trip(hf, NULL, i);
            if (access(gguf, F_OK) == 0)
                round_trip(gguf, NULL, i);
            free(hf);
            free(gguf);
        }
}

static void test_builtin(void **state)
{
    (void)state;
    for (size_t i = 0; i < HELD; i++)
        round_trip(BUILTIN, NULL, i);
}

static void test_stories(void **state)
{
    (void)state;
    static const char *const names[] = {"models/stories260K.bin", "models/stories260K-v1.bin",
                                        "models/stories260K.gguf", "models/stories260K-F16.gguf",
                                        "models/stories260K-BF16.gguf"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char *path = shared_path(names[k]);
        if (!path) {
            fprintf(stderr, "skipped: %s is not here (QTOP_SHARED names its folder)\n", names[k]);
            continue;
        }
        for (size_t i = 0; i < HELD; i++)
            round_trip(path, NULL, i);
        free(path);
    }
}

/* Blocks of the file are copied byte for byte, whatever their type. */
static void test_stored_blocks(void **state)
{
    (void)state;
    char *again = path_in(folder, "again.gguf");
    static const char *const schemes[] = {"int8:g32", "int4:g32", "int4:g32:asym"};
    for (size_t i = 0; i < 3; i++) {
        struct subject s = subject_open(BUILTIN, NULL, schemes[i]);
        must_export(&s, target, schemes[i]);
        subject_close(&s);
        struct subject first = subject_open(target, NULL, NULL);
        must_export(&first, again, schemes[i]);
        struct subject second = subject_open(again, NULL, NULL);
        for (size_t t = 0; t < first.set->count; t++) {
            const struct qmatrix *a = &first.set->layer[t]->matrix, *b = &second.set->layer[t]->matrix;
            assert_int_equal(a->bytes, b->bytes);
            assert_memory_equal(a->codes, b->codes, a->bytes);
        }
        subject_close(&first);
        subject_close(&second);
        unlink(again);
        unlink(target);
    }
    free(again);
}

/* Blocks that were made are written as they lie; other formats refuse them by name. */
static void test_made_blocks(void **state)
{
    static const char *const types[] = {"q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "iq4_nl", "mxfp4"};
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        struct subject s = subject_open(BUILTIN, NULL, types[i]);
        must_export(&s, target, types[i]);
        struct subject back = subject_open(target, NULL, NULL);
        check_types(&back, types[i], types[i]);
        for (size_t t = 0; t < s.set->count; t++) {
            const struct qmatrix *a = &s.set->layer[t]->matrix;
            const int at = model_find_name(back.session.model, s.session.model->tensors[t].name);
            const struct qmatrix *b = at < 0 ? NULL : &back.set->layer[at]->matrix;
            if (a->format.stored || !b)
                continue;
            for (size_t r = 0; r < a->rows; r++) /* rows of queries and keys are in another order */
                for (size_t c = 0; c < a->cols; c++) {
                    float x[1], y[1];
                    qmatrix_decode(a, r, c, 1, x);
                    qmatrix_decode(b, r, c, 1, y);
                    assert_true(*x == *y || strstr(s.session.model->tensors[t].name, "attn_q") ||
                                strstr(s.session.model->tensors[t].name, "attn_k"));
                }
        }
        check_logits(&s, &back, 1e-4, types[i]);
        subject_close(&back);
        subject_close(&s);
        unlink(target);
    }
}

/* w = d q + m with m rounded to fp16, to the bit. */
static void test_minimum(void **state)
{
    (void)state;
    struct subject s = subject_open(BUILTIN, NULL, "int4:g32:asym");
    must_export(&s, target, "int4:g32:asym");
    struct subject back = subject_open(target, NULL, NULL);
    size_t checked = 0;
    for (size_t t = 0; t < s.set->count; t++) {
        const struct qmatrix *m = &s.set->layer[t]->matrix;
        for (size_t i = 0; m->format.asym && i < m->rows * m->cols; i++, checked++) {
            size_t r = i / m->cols, c = i % m->cols;
            float d = qmatrix_scale(m, r, c / 32), there;
            float least = fp16_decode(fp16_encode(-d * (float)qmatrix_zero(m, r, c / 32)));
            float expected = d * (float)qmatrix_code(m, r, c) + least;
            qmatrix_decode(&back.set->layer[t]->matrix, r, c, 1, &there);
            if (there != expected)
                fail_msg("%s[%zu][%zu] is %.9g; expected %.9g", s.session.model->tensors[t].name, r, c,
                         (double)there, (double)expected);
        }
    }
    assert_true(checked > 100000);
    subject_close(&back);
    subject_close(&s);
    unlink(target);
}

/* A minimum beyond fp16 is found while the file is being written, of which nothing is left. */
static void test_beyond_fp16(void **state)
{
    (void)state;
    struct model_spec spec = spec_usual(1, true);
    struct tensor_place place = model_place(&spec, "blk.1.ffn_gate");
    struct bytes b = model_bytes(&spec);
    struct error error;
    char *path = path_in(folder, "model.bin");
    assert_int_equal(place.cols % 32, 0);
    for (size_t c = 0; c < 32; c++)
        put_float(&b, place.offset + 4 * c, c % 2 ? -900000.0f : -1.0f);
    write_file(path, b.data, b.size);
    bytes_free(&b);
    struct subject s = subject_open(path, NULL, "int4:g32:asym");
    assert_false(subject_export(&s, target, NULL, &error));
    check_line(&error, "blk.1.ffn_gate: 1 number overflows Q4_1 (1 in all layers); expected a type with a wider "
                       "range, or qtop export --allow-overflow");
    assert_int_equal(files(), 1);
    subject_close(&s);
    unlink(path);
    free(path);
}

/* ---- input scales ---------------------------------------------------------------------------- */

/* The built-in model has as many values as heads, so that all scales can be folded. */
static void test_folding(void **state)
{
    (void)state;
    static const char *const schemes[] = {"int8:g32:smoothquant(alpha=0.5)", "int4:g32:awq(alpha=0.5)",
                                          "int4:g32:asym:awq"};
    const char *spared = "blk.*.attn_output int8:g32\n";
    for (size_t i = 0; i < 3; i++) {
        struct subject s = subject_open_with(BUILTIN, NULL, schemes[i], spared);
        bool scaled = false;
        for (size_t t = 0; t < s.set->count; t++)
            scaled = scaled || s.set->layer[t]->matrix.input_transform;
        assert_true(scaled);
        must_export(&s, target, schemes[i]);
        struct subject back = subject_open(target, NULL, NULL);
        /* up's scales are rounded to fp16 once more: 2^-11 */
        check_logits(&s, &back, 3e-3, schemes[i]);
        subject_close(&back);
        subject_close(&s);
        unlink(target);
    }
}

/* ---- tokenizers and metadata ----------------------------------------------------------------- */

static struct tokens encode(const struct session *s, const char *text)
{
    struct tokens tokens = {0};
    struct error error;
    assert_non_null(s->tokenizer);
    assert_true(tokenizer_encode(s->tokenizer, text, strlen(text), &tokens, &error));
    return tokens;
}

static void check_tokens(const struct subject *a, const struct subject *b)
{
    static const char *const texts[] = {"Once upon a time, there was a little girl named Lily.", " two  spaces ",
                                        "line\nbreak\ttab", "na\xc3\xafve \xe6\xbc\xa2\xe5\xad\x97 \xf0\x9f\x98\x80", ""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct tokens x = encode(&a->session, texts[i]), y = encode(&b->session, texts[i]);
        assert_int_equal(x.count, y.count);
        if (x.count > 0)
            assert_memory_equal(x.ids, y.ids, x.count * sizeof *x.ids);
        free(x.ids);
        free(y.ids);
    }
    const struct tokenizer *t = a->session.tokenizer, *u = b->session.tokenizer;
    assert_int_equal(tokenizer_bos(t), tokenizer_bos(u));
    assert_int_equal(tokenizer_eos(t), tokenizer_eos(u));
    assert_int_equal(tokenizer_adds_bos(t), tokenizer_adds_bos(u));
    for (int32_t id = 0; id < (int32_t)tokenizer_vocab(t); id++) {
        char buffer[2][1];
        size_t n[2];
        const char *p = tokenizer_piece(t, TOKEN_ALONE, id, &n[0], buffer[0]);
        const char *q = tokenizer_piece(u, TOKEN_ALONE, id, &n[1], buffer[1]);
        if (n[0] != n[1] || memcmp(p, q, n[0]) != 0)
            fail_msg("token %d is '%.*s', was '%.*s'", id, (int)n[1], q, (int)n[0], p);
    }
}

static void test_llama2c_tokenizer(void **state)
{
    (void)state;
    struct subject s = subject_open(BUILTIN, NULL, "int8:g32");
    must_export(&s, target, "built-in");
    struct subject back = subject_open(target, NULL, NULL);
    check_tokens(&s, &back);
    subject_close(&back);
    subject_close(&s);
    unlink(target);
}

/* Keys of a GGUF file come over as they are, but for those that describe the file. */
static void check_keys(const char *from, const char *to, size_t file_type)
{
    struct error error = {""};
    struct catalog a = {0}, b = {0};
    struct gguf *x = gguf_read(&a, from, &error), *y = gguf_read(&b, to, &error);
    if (!x || !y)
        fail_msg("%s", error.text);
    for (size_t i = 0; i < x->pair_count; i++) {
        const struct gguf_pair *p = &x->pairs[i];
        char key[200];
        snprintf(key, sizeof key, "%.*s", (int)p->key.size, p->key.data);
        const struct gguf_pair *q = gguf_find(y, key);
        if (strcmp(key, "general.file_type") == 0 || strcmp(key, "general.quantization_version") == 0)
            continue;
        if (!q || q->type != p->type || q->count != p->count || q->element != p->element)
            fail_msg("key %s was lost or changed", key);
        if (p->type == GGUF_STRING)
            assert_memory_equal(p->text.data, q->text.data, p->text.size);
        else if (p->type != GGUF_ARRAY || p->element != GGUF_STRING)
            assert_memory_equal(p->data, q->data,
                                p->count * gguf_types[p->type == GGUF_ARRAY ? p->element : p->type].bytes);
    }
    size_t value;
    assert_true(gguf_size(y, "general.file_type", 0, 100, 99, &value, &error));
    assert_int_equal(value, file_type);
    gguf_close(x);
    gguf_close(y);
    catalog_close(&a);
    catalog_close(&b);
}

static void test_metadata_of_gguf(void **state)
{
    (void)state;
    static const struct {
        const char *model, *recipe;
        size_t file_type;
    } cases[] = {{"llama", "* fp32", 0},         {"qwen2", "* fp16", 1},   {"gpt2", "* int8:g32", 7},
                 {"gemma", "* int4:g32", 2},     {"phi3", "* int4:g32:asym", 3}, {"qwen3", "* bf16", 32},
                 {"mistral", "blk.* int8:g32", 7}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = arch_gguf(cases[i].model);
        struct subject s = subject_open_with(path, NULL, NULL, cases[i].recipe);
        must_export(&s, target, path);
        struct subject back = subject_open(target, NULL, NULL);
        check_tokens(&s, &back);
        check_keys(path, target, cases[i].file_type);
        subject_close(&back);
        subject_close(&s);
        unlink(target);
        free(path);
    }
}

/* ---- a reader that others wrote -------------------------------------------------------------- */

static int run_python(const char *arguments)
{
    const char *python = getenv("QTOP_PYTHON");
    char *command;
    if (asprintf(&command, "%s %s", python ? python : "python3", arguments) < 0)
        abort();
    int status = system(command);
    free(command);
    return status;
}

/* read_gguf.py opens exports of models of every architecture. QTOP_PYTHON names a Python that has gguf. */
static void test_package_gguf(void **state)
{
    (void)state;
    static const struct {
        const char *model, *scheme, *type;
    } cases[] = {
        {BUILTIN, "int8:g32", "Q8_0"},  {BUILTIN, "int4:g32", "Q4_0"}, {BUILTIN, "int4:g32:asym", "Q4_1"},
        {BUILTIN, "fp16", "F16"},       {BUILTIN, "bf16", "BF16"},     {BUILTIN, "fp32", "F32"},
        {"llama", "int8:g32", "Q8_0"},  {"llama3", "fp16", "F16"},     {"llama-linear", "fp16", "F16"},
        {"mistral", "bf16", "BF16"},    {"qwen2", "int4:g32", "Q4_0"}, {"qwen3", "int8:g32", "Q8_0"},
        {"gemma", "int8:g32", "Q8_0"},  {"gemma2", "fp16", "F16"},
        {"gpt2", "int8:g32", NULL},     {"phi3", "int8:g32", NULL},    {"phi3-long", "fp16", NULL},
    };
    if (run_python("-c 'import gguf' 2>/dev/null") != 0) {
        fprintf(stderr, "skipped: Python has no package gguf (QTOP_PYTHON names another)\n");
        skip();
    }
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = *cases[i].model == '/' ? strdup(cases[i].model) : arch_folder(cases[i].model), *line;
        struct subject s = subject_open(path, NULL, cases[i].scheme);
        must_export(&s, target, path);
        if (asprintf(&line, "%s/tests/read_gguf.py %s %s%s", SRCDIR, target,
                     cases[i].type ? "blk.1.attn_q.weight=" : "", cases[i].type ? cases[i].type : "") < 0)
            abort();
        if (run_python(line) != 0)
            fail_msg("%s as %s", path, cases[i].scheme);
        free(line);
        free(path);
        subject_close(&s);
        unlink(target);
    }
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void refuse(const char *model, const char *scheme, const char *recipe, const char *path,
                   const char *format, const char *says)
{
    struct error error;
    size_t before = files();
    struct subject s = subject_open_with(model, NULL, scheme, recipe);
    if (subject_export(&s, path, format, &error))
        fail_msg("%s was accepted; expected a refusal that says '%s'", scheme ? scheme : path, says);
    check_line(&error, says);
    assert_int_equal(files(), before);
    subject_close(&s);
}

static void test_schemes_not_held(void **state)
{
    (void)state;
    static const struct {
        const char *scheme, *says;
    } cases[] = {
        {"int8", "blk.0.attn_q: GGUF cannot store int8; the nearest that it can is int8:g32"},
        {"int8:tensor", "int8:g32"},
        {"int8:g64", "int8:g32"},
        {"int8:g32:asym", "GGUF cannot store int8:g32:asym; the nearest that it can is int8:g32"},
        {"int4", "the nearest that it can is int4:g32"},
        {"int4:g128:asym", "the nearest that it can is int4:g32:asym"},
        {"int4:g16", "int4:g32"},
        {"int4:channel", "int4:g32"},
        {"nf4", "blk.0.attn_q: GGUF cannot store nf4; the nearest that it can is iq4_nl"},
        {"fp8", "GGUF cannot store fp8e4m3; the nearest that it can is int8:g32"},
        {"w8a8", "int8/int8:g32"},
        {"w8a8:llmint8(threshold=0.5)", "int8/int8:g32"},
        {"int4:g128:clip", "int4:g32:clip"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(BUILTIN, cases[i].scheme, NULL, target, NULL, cases[i].says);
    refuse(BUILTIN, NULL, "blk.1.ffn_up int4:g128", target, NULL, "blk.1.ffn_up: GGUF cannot store int4");
    refuse(BUILTIN, NULL, "token_embd fp8", target, NULL, "token_embd: GGUF cannot store fp8");
}

static void test_scales_not_folded(void **state)
{
    (void)state;
    refuse(BUILTIN, NULL, "blk.0.attn_q int4:g32:awq(alpha=0.5)", target, NULL,
           "blk.0.attn_q: its input scale cannot be folded: blk.0.attn_k");
    refuse(BUILTIN, NULL, "token_embd int8:g32:awq(alpha=0.5)", target, NULL, "token_embd: its input scale");
    char *gpt2 = arch_folder("gpt2"), *llama = arch_folder("llama");
    refuse(gpt2, NULL, "blk.0.ffn_down int4:g32:awq(alpha=0.5)", target, NULL,
           "blk.0.ffn_down: its input scale cannot be folded: the activation function");
    refuse(llama, NULL, "blk.0.attn_output int4:g32:awq(alpha=0.5)", target, NULL,
           "blk.0.attn_output: its input scale cannot be folded into the values: 2 heads");
    free(gpt2);
    free(llama);
}

static void test_paths(void **state)
{
    (void)state;
    char *copy = path_in(folder, "model.gguf"), *missing = path_in(folder, "no/such/out.gguf");
    char *nameless = path_in(folder, "out.bin");
    refuse(BUILTIN, NULL, NULL, nameless, NULL, "expected one that ends in .gguf or .safetensors");
    refuse(BUILTIN, NULL, NULL, target, "onnx", "format 'onnx' is unknown; expected gguf, safetensors or gptq");
    refuse(BUILTIN, NULL, NULL, folder, "gguf", "is a folder");
    refuse(BUILTIN, NULL, NULL, missing, NULL, "cannot be written: No such file");
    refuse(BUILTIN, NULL, NULL, "/dev/full", "gguf", "cannot be written: No space left");
    refuse(BUILTIN, NULL, NULL, "/proc/out.gguf", NULL, "cannot be written");
    struct subject s = subject_open(BUILTIN, NULL, NULL);
    must_export(&s, copy, "a copy");
    subject_close(&s);
    refuse(copy, NULL, NULL, copy, NULL, "is a file that is being read");
    unlink(copy);
    free(copy);
    free(missing);
    free(nameless);
}

/* ---- whole or not at all --------------------------------------------------------------------- */

static struct export *open_job(const struct subject *s)
{
    struct error error = {""};
    char *path = strdup(target); /* need not outlive the call */
    struct export_plan plan = {.model = s->session.model, .weights = s->set, .path = path,
                               .tokenizer_path = tokenizer_path(s->session.tokenizer)};
    struct export *job = export_open(&plan, &error);
    memset(path, '!', strlen(path));
    free(path);
    if (!job)
        fail_msg("%s", error.text);
    return job;
}

/* Given up after every step there is; what was there before stays. */
static void test_given_up(void **state)
{
    (void)state;
    struct subject s = subject_open(BUILTIN, NULL, "int4:g32");
    struct error error;
    size_t steps = 0;
    write_file(target, "before", 6);
    for (bool done = false; !done; steps++) {
        struct export *job = open_job(&s);
        for (size_t i = 0; i < steps && !done; i++)
            assert_true(export_step(job, 0, &done, &error));
        export_close(job);
        struct bytes b = read_file(target);
        if (!done)
            assert_string_equal((const char *)b.data, "before");
        bytes_free(&b);
        assert_int_equal(files(), 1);
    }
    assert_true(steps > s.set->count);
    subject_close(&s);
    unlink(target);
}

/* The disk is full at every size, which a limit on files stands for. */
static void test_disk_full(void **state)
{
    (void)state;
    struct subject s = subject_open(BUILTIN, NULL, "int4:g32");
    struct rlimit before;
    struct export *job = open_job(&s);
    size_t bytes = export_bytes(job);
    export_close(job);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    for (size_t i = 0; i <= 16; i++) {
        struct error error;
        struct rlimit limit = {bytes * i / 16 - (i == 16), before.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
        bool ok = subject_export(&s, target, NULL, &error);
        setrlimit(RLIMIT_FSIZE, &before);
        if (ok)
            fail_msg("%zu of %zu bytes were enough", (size_t)limit.rlim_cur, bytes);
        check_line(&error, "cannot be written: File too large");
        assert_int_equal(files(), 0);
    }
    subject_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_architectures),     cmocka_unit_test(test_builtin),
        cmocka_unit_test(test_stories),           cmocka_unit_test(test_stored_blocks),
        cmocka_unit_test(test_made_blocks),
        cmocka_unit_test(test_minimum),           cmocka_unit_test(test_beyond_fp16),
        cmocka_unit_test(test_folding),           cmocka_unit_test(test_llama2c_tokenizer),
        cmocka_unit_test(test_metadata_of_gguf),  cmocka_unit_test(test_package_gguf),
        cmocka_unit_test(test_schemes_not_held),
        cmocka_unit_test(test_scales_not_folded), cmocka_unit_test(test_paths),
        cmocka_unit_test(test_given_up),          cmocka_unit_test(test_disk_full),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
