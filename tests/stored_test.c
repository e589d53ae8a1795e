/* The stored types: what their blocks say against another implementation, products of every instruction
 * set against wider arithmetic. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/matrix.h"
#include "kernels/stored.h"
#include "isas.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_ROWS = 70, MOST_TOKENS = 70 };

/* ---- against another implementation ---------------------------------------------------------- */

/* The digests that stored_vectors.py prints, of gguf 0.19.0; nf4 is as bitsandbytes 0.50.2 has it. */
static const struct {
    enum dtype type;
    uint64_t digest;
} decoders[] = {
    {DTYPE_Q8_0, 0xd88667f0b5bd3e1eu},   {DTYPE_Q4_0, 0x0d7b32f28a5b86deu},
    {DTYPE_Q4_1, 0x31a304e1cc344cd9u},   {DTYPE_Q5_0, 0x670185816855b8cau},
    {DTYPE_Q5_1, 0x1cff7a42f49fba2eu},   {DTYPE_Q2_K, 0x2f8672788378c53fu},
    {DTYPE_Q3_K, 0xd35aef49fd323f57u},   {DTYPE_Q4_K, 0x7401fb686c14319du},
    {DTYPE_Q5_K, 0xff4df500c69f9986u},   {DTYPE_Q6_K, 0xbc37868a1c80c97cu},
    {DTYPE_IQ4_NL, 0xf7f1b7b57f61da0cu}, {DTYPE_IQ4_XS, 0x81664627bc53211cu},
    {DTYPE_MXFP4, 0xffabca7ac61f2665u},  {DTYPE_TQ2_0, 0x0a72028b3bfa9f71u},
    {DTYPE_TQ1_0, 0x46b8fae948170927u},  {DTYPE_IQ3_S, 0xf20102f4f26bcbccu},
    {DTYPE_IQ3_XXS, 0xe666522a8e551836u}, {DTYPE_IQ2_S, 0x2887d26d24a97797u},
    {DTYPE_IQ2_XS, 0xe2052bcb154ff1beu}, {DTYPE_IQ2_XXS, 0x8493281db62f32beu},
    {DTYPE_IQ1_S, 0xa92d074a42520851u},  {DTYPE_IQ1_M, 0x144134b243884786u},
    {DTYPE_NVFP4, 0xeb7d4eb087060b7bu},  {DTYPE_Q1_0, 0xc5e58105ec8093a5u},
    {DTYPE_Q2_0, 0x6018689d2a4dc83au},   {DTYPE_NF4, 0xbf70d3fe73304a44u},
};
enum { BLOCKS = 1024, SEED = 20240601 };

/* Of blocks as one row, by an instruction set's kernels; null: by the plain decoder. */
static uint64_t digest_of(const struct isa *isa, const struct qmatrix *m)
{
    const struct dtype_info *type = &dtypes[m->format.weight];
    float *row = make(m->cols * sizeof *row);
    if (isa)
        isa->decode_row(m, 0, row);
    for (size_t b = 0; b < m->cols / type->block && !isa; b++)
        type->decode_block(m->codes + b * type->block_bytes, row + b * type->block);
    uint64_t digest = fnv1a(FNV_START, row, m->cols * sizeof *row);
    free(row);
    return digest;
}

static void test_blocks_decode_as_gguf_does(void **state)
{
    (void)state;
    assert_int_equal(sizeof decoders / sizeof *decoders, DTYPE_ALL - DTYPE_COUNT);
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) {
        const struct dtype_info *type = &dtypes[decoders[i].type];
        uint8_t *blocks = make(BLOCKS * type->block_bytes);
        uint64_t seed = SEED;
        random_blocks(decoders[i].type, BLOCKS, &seed, blocks);
        struct qmatrix m = stored_matrix(decoders[i].type, 1, BLOCKS * type->block, blocks);
        uint64_t digest = digest_of(NULL, &m);
        if (digest != decoders[i].digest)
            fail_msg("%s: what blocks decode to has the digest 0x%016jx; gguf's has 0x%016jx",
                     type->name, (uintmax_t)digest, (uintmax_t)decoders[i].digest);
        for (size_t k = 0; tested_isa(k); k++)
            if (tested_isa(k)->available() && digest_of(tested_isa(k), &m) != digest)
                fail_msg("%s: %s decodes blocks to something else", type->name, tested_isa(k)->name);
        free(blocks);
    }
}

/* Every scale of a type without fp16, each with every code: rows of one block, in memory that is to be freed. `finite`
 * of the rows have finite weights. The digest is of stored_vectors.py. */
static uint8_t *every_mxfp4(void)
{
    struct block_mxfp4 *blocks = make(256 * sizeof *blocks);
    for (unsigned s = 0; s < 256; s++) {
        blocks[s].scale = (uint8_t)s;
        for (unsigned i = 0; i < sizeof blocks->codes; i++)
            blocks[s].codes[i] = (uint8_t)(i | (15 - i) << 4);
    }
    return (uint8_t *)blocks;
}

static uint8_t *every_nvfp4(void)
{
    struct block_nvfp4 *blocks = make(64 * sizeof *blocks);
    for (unsigned s = 0; s < 256; s++) {
        blocks[s / 4].scales[s % 4] = (uint8_t)s;
        for (unsigned i = 0; i < 8; i++)
            blocks[s / 4].codes[s % 4 * 8 + i] = (uint8_t)(i | (15 - i) << 4);
    }
    return (uint8_t *)blocks;
}

static const struct every {
    enum dtype type;
    size_t rows, finite;
    uint8_t *(*blocks)(void);
    uint64_t digest;
} every[] = {
    {DTYPE_MXFP4, 256, 253, every_mxfp4, 0xd88b58dbc6f418a5u},
    {DTYPE_NVFP4, 64, 64, every_nvfp4, 0x2be0250fae14665du},
};
enum { EVERY = sizeof every / sizeof *every };

static void test_every_scale_decodes_as_in_gguf(void **state)
{
    (void)state;
    for (size_t n = 0; n < EVERY; n++) {
        const struct every *e = &every[n];
        uint8_t *blocks = e->blocks();
        struct qmatrix m = stored_matrix(e->type, 1, e->rows * dtypes[e->type].block, blocks);
        uint64_t digest = digest_of(NULL, &m);
        if (digest != e->digest)
            fail_msg("%s: 0x%016jx; expected 0x%016jx", dtypes[e->type].name, (uintmax_t)digest, (uintmax_t)e->digest);
        for (size_t i = 0; tested_isa(i); i++)
            if (tested_isa(i)->available() && digest_of(tested_isa(i), &m) != digest)
                fail_msg("%s: %s decodes a scale to something else", dtypes[e->type].name, tested_isa(i)->name);
        free(blocks);
    }
}

/* Products with one column each. */
static void check_every_product(const struct every *e, const struct isa *isa, const struct qmatrix *m)
{
    void *scratch = aligned_alloc(64, padded_bytes(activations_scratch(m->cols, 1)));
    float x[BLOCK_MAX] = {0}, w[1], y[256];
    struct activations prepared;
    for (size_t c = 0; c < m->cols; c++) {
        x[c] = 1;
        activations_prepare(isa, m, x, 1, scratch, &prepared);
        isa->matmul(m, &prepared, 0, qmatrix_panels(m), y);
        x[c] = 0;
        for (size_t r = 0; r < m->rows; r++) {
            qmatrix_decode(m, r, c, 1, w);
            if (!(y[r] == w[0]))
                fail_msg("%s, %s: row %zu, column %zu: %a; expected %a", isa->name, dtypes[e->type].name, r, c,
                         (double)y[r], (double)w[0]);
        }
    }
    free(scratch);
}

static void test_products_of_every_scale(void **state)
{
    (void)state;
    for (size_t n = 0; n < EVERY; n++) {
        uint8_t *blocks = every[n].blocks();
        struct qmatrix m = stored_matrix(every[n].type, every[n].finite, dtypes[every[n].type].block, blocks);
        for (size_t i = 0; tested_isa(i); i++)
            if (tested_isa(i)->available())
                check_every_product(&every[n], tested_isa(i), &m);
        free(blocks);
    }
}

/* ---- files that another program wrote -------------------------------------------------------- */

/* As much of a GGUF reader as finding one tensor's bytes takes: the files are known to be sound. */
struct reader {
    const uint8_t *data, *at;
};

static uint64_t read_number(struct reader *r, size_t bytes)
{
    uint64_t n = 0;
    memcpy(&n, r->at, bytes);
    r->at += bytes;
    return n;
}

static void skip_value(struct reader *r, uint64_t kind)
{
    enum { STRING = 8, ARRAY = 9 };
    static const size_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (kind == STRING) {
        uint64_t n = read_number(r, 8);
        r->at += n;
    } else if (kind == ARRAY) {
        uint64_t of = read_number(r, 4), n = read_number(r, 8);
        for (uint64_t i = 0; i < n; i++)
            skip_value(r, of);
    } else {
        r->at += sizes[kind];
    }
}

static const uint8_t *find_tensor(const uint8_t *file, const char *name)
{
    struct reader r = {file, file + 8};
    uint64_t tensors = read_number(&r, 8), values = read_number(&r, 8), offset = UINT64_MAX;
    for (uint64_t i = 0; i < values; i++) {
        skip_value(&r, 8);
        uint64_t kind = read_number(&r, 4);
        skip_value(&r, kind);
    }
    for (uint64_t i = 0; i < tensors; i++) {
        size_t n = read_number(&r, 8);
        bool found = n == strlen(name) && memcmp(r.at, name, n) == 0;
        r.at += n;
        r.at += 8 * read_number(&r, 4) + 4;
        uint64_t at = read_number(&r, 8);
        offset = found ? at : offset;
    }
    assert_true(offset != UINT64_MAX);
    return file + ((size_t)(r.at - file) + 31) / 32 * 32 + offset;
}

static void check_file(enum dtype type, const char *path, const char *values_path)
{
    enum { ROWS = 32, COLS = 256 };
    size_t n;
    char *file = read_whole(path, &n), *values = read_whole(values_path, &n);
    assert_true(file && values && n == ROWS * COLS * sizeof(float));
    struct qmatrix m = stored_matrix(type, ROWS, COLS,
                                     find_tensor((uint8_t *)file, "blk.0.attn_q.weight"));
    float row[COLS], expected[COLS];
    for (size_t r = 0; r < ROWS; r++) {
        qmatrix_decode_row(&m, r, row);
        memcpy(expected, values + r * sizeof expected, sizeof expected);
        for (size_t c = 0; c < COLS; c++)
            if (!(fabsf(row[c] - expected[c]) <= 1e-6f))
                fail_msg("%s: row %zu, column %zu: %g; expected %g", path, r, c, (double)row[c],
                         (double)expected[c]);
    }
    free(file);
    free(values);
}

static void test_files(void **state)
{
    (void)state;
    static const struct {
        enum dtype type;
        const char *name;
    } files[] = {{DTYPE_Q8_0, "Q8_0"}, {DTYPE_Q4_0, "Q4_0"}, {DTYPE_Q5_1, "Q5_1"},
                 {DTYPE_Q4_K, "Q4_K"}, {DTYPE_Q6_K, "Q6_K"}, {DTYPE_IQ4_NL, "IQ4_NL"}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char name[128];
        snprintf(name, sizeof name, "reference/gguf/rand256-%s.gguf", files[i].name);
        char *path = shared_path(name);
        snprintf(name, sizeof name, "reference/gguf/rand256-%s.attn_q.rows0-31.f32", files[i].name);
        char *values = shared_path(name);
        if (!path || !values) {
            fprintf(stderr, "no %s in the reference folder (QTOP_SHARED names it)\n", name);
            skip();
        }
        check_file(files[i].type, path, values);
        free(path);
        free(values);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

static void test_table(void **state)
{
    (void)state;
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++) {
        const struct dtype_info *type = &dtypes[t];
        struct scheme s = scheme_default((enum dtype)t);
        struct qmatrix_layout layout;
        struct qmatrix m;
        struct error error;
        assert_int_equal(type->kind, DTYPE_KIND_BLOCK);
        assert_non_null(type->decode_block);
        assert_true(!type->decode && !type->decode_run && !type->unpack_run && !type->encode);
        double bits = 8.0 * (double)type->block_bytes / (double)type->block;
        assert_true(fabs(bits - type->bits) <= 0.5);
        assert_int_equal(dtype_by_name(type->name, strlen(type->name)), DTYPE_COUNT);
        assert_true(qmatrix_layout(&s.format, 3, 2 * type->block, &layout));
        assert_int_equal(layout.codes, 6 * type->block_bytes);
        assert_int_equal(layout.scales + layout.zeros, 0);
        assert_false(qmatrix_layout(&s.format, 3, 2 * type->block + 16, &layout));
        assert_false(qmatrix_init(&m, &s.format, 3, 2 * type->block + 16, &error));
        assert_non_null(strstr(error.text, type->name));
        assert_true(qmatrix_init(&m, &s.format, 3, 2 * type->block, &error));
        assert_int_equal(m.bytes, layout.codes);
        qmatrix_free(&m);
    }
}

/* ---- random matrices ------------------------------------------------------------------------- */

/* A matrix whose codes lie at an odd address, with not a byte to spare. */
struct random_matrix {
    struct qmatrix m;
    uint8_t *memory;
};

static struct random_matrix make_matrix(enum dtype type, uint64_t *seed, size_t rows, size_t cols)
{
    struct random_matrix out = {0};
    size_t blocks = rows * (cols / dtypes[type].block), skew = 1 + random_below(seed, 63);
    out.memory = make(blocks * dtypes[type].block_bytes + skew);
    random_blocks(type, blocks, seed, out.memory + skew);
    out.m = stored_matrix(type, rows, cols, out.memory + skew);
    return out;
}

/* Several numbers of blocks in a row: less than 256 columns, as many, and more. */
static size_t random_cols(enum dtype type, uint64_t *seed)
{
    static const size_t small[] = {1, 2, 3, 7, 8, 9, 15, 16, 17};
    if (dtypes[type].block < K_BLOCK)
        return dtypes[type].block * small[random_below(seed, sizeof small / sizeof *small)];
    return K_BLOCK * (1 + random_below(seed, 3));
}

static void test_decode_of_any_columns(void **state)
{
    (void)state;
    uint64_t seed = 3;
    for (int t = DTYPE_COUNT; t < DTYPE_ALL; t++)
        for (int n = 0; n < 200; n++) {
            size_t rows = 1 + random_below(&seed, 4), cols = random_cols((enum dtype)t, &seed);
            struct random_matrix r = make_matrix((enum dtype)t, &seed, rows, cols);
            size_t row = random_below(&seed, rows), first = random_below(&seed, cols + 1);
            size_t count = random_below(&seed, cols - first + 1), step = dtypes[t].block;
            float *part = make(count * sizeof *part), *all = make(cols * sizeof *all);
            const uint8_t *codes = r.m.codes + row * (cols / step) * dtypes[t].block_bytes;
            for (size_t b = 0; b < cols / step; b++)
                dtypes[t].decode_block(codes + b * dtypes[t].block_bytes, all + b * step);
            qmatrix_decode(&r.m, row, first, count, part);
            assert_memory_equal(part, all + first, count * sizeof *part);
            assert_int_equal(qmatrix_code(&r.m, row, cols - 1), 0);
            assert_true(qmatrix_scale(&r.m, row, 0) == 1);
            free(part);
            free(all);
            free(r.memory);
        }
}

/* ---- products -------------------------------------------------------------------------------- */

struct product {
    const struct isa *isa;
    struct qmatrix m;
    size_t tokens;
    float *x, *y;
    struct activations prepared;
};

static void fail_product(const struct product *p, const char *what)
{
    fail_msg("%s, %s, %zu x %zu, %zu tokens: %s", p->isa->name, dtypes[p->m.format.weight].name,
             p->m.rows, p->m.cols, p->tokens, what);
}

/* The bound of struct isa's matmul; w is what its block says. */
static void check_against_double(const struct product *p)
{
    const struct qmatrix *m = &p->m;
    double factor = ((double)m->cols + 1 + 16) * 0x1p-24;
    float *row = make(m->cols * sizeof *row);
    for (size_t r = 0; r < m->rows; r++) {
        qmatrix_decode_row(m, r, row);
        for (size_t t = 0; t < p->tokens; t++) {
            double sum = 0, magnitude = 0;
            for (size_t c = 0; c < m->cols; c++) {
                double term = (double)row[c] * (double)p->x[t * m->cols + c];
                sum += term;
                magnitude += fabs(term);
            }
            double error = fabs((double)p->y[t * m->rows + r] - sum);
            if (!(error <= factor * magnitude + 0x1p-149 * (double)m->cols))
                fail_product(p, "too far from the exact product");
        }
    }
    free(row);
}

/* Any split of the panels gives the same bits and writes no other row. */
static void check_split(const struct product *p, uint64_t *seed)
{
    size_t n = p->m.rows * p->tokens, panels = qmatrix_panels(&p->m);
    float *part = make(n * sizeof *part);
    const uint32_t untouched = 0x7fc12345;
    for (size_t i = 0; i < n; i++)
        part[i] = bits_float(untouched);
    for (size_t begin = 0, end; begin < panels; begin = end) {
        end = begin + 1 + random_below(seed, panels - begin);
        p->isa->matmul(&p->m, &p->prepared, begin, end, part);
        for (size_t t = 0; t < p->tokens; t++)
            for (size_t r = end * PANEL_ROWS; r < p->m.rows; r++)
                assert_int_equal(float_bits(part[t * p->m.rows + r]), untouched);
    }
    if (memcmp(part, p->y, n * sizeof *part) != 0)
        fail_product(p, "panels in parts differ from all at once");
    free(part);
}

static void check_rows(const struct product *p)
{
    float *row = make(2 * p->m.cols * sizeof *row), *plain = row + p->m.cols;
    for (size_t r = 0; r < p->m.rows; r++) {
        p->isa->decode_row(&p->m, r, row);
        qmatrix_decode_row(&p->m, r, plain);
        if (memcmp(row, plain, p->m.cols * sizeof *row) != 0)
            fail_product(p, "a row decodes differently");
    }
    free(row);
}

/* Kernels take activations that are not packed, too, with the same bits where no kernel packs them. */
static void check_unprepared(const struct product *p)
{
    struct activations bare = {.tokens = 1, .cols = p->m.cols, .values = p->x};
    struct product one = *p;
    one.tokens = 1;
    one.y = make(p->m.rows * sizeof *one.y);
    p->isa->matmul(&p->m, &bare, 0, qmatrix_panels(&p->m), one.y);
    check_against_double(&one);
    bool as_they_are = p->tokens == 1 && p->prepared.pack == PACK_NONE;
    if (as_they_are && memcmp(one.y, p->y, p->m.rows * sizeof *one.y) != 0)
        fail_product(p, "activations as they are give something else");
    free(one.y);
}

static void check_product(const struct isa *isa, enum dtype type, uint64_t *seed, size_t rows, size_t cols,
                          size_t tokens)
{
    size_t scratch_bytes = activations_scratch(cols, tokens);
    struct random_matrix r = make_matrix(type, seed, rows, cols);
    struct product p = {.isa = isa, .m = r.m, .tokens = tokens};
    void *scratch = aligned_alloc(64, (scratch_bytes + 63) / 64 * 64);
    assert_non_null(scratch);
    p.x = make(tokens * cols * sizeof *p.x);
    p.y = make(tokens * rows * sizeof *p.y);
    for (size_t i = 0; i < tokens * cols; i++)
        p.x[i] = (float)(random_normal(seed) + 0.25);
    activations_prepare(isa, &p.m, p.x, tokens, scratch, &p.prepared);
    isa->matmul(&p.m, &p.prepared, 0, qmatrix_panels(&p.m), p.y);
    check_against_double(&p);
    check_split(&p, seed);
    check_rows(&p);
    check_unprepared(&p);
    free(scratch);
    free(p.x);
    free(p.y);
    free(r.memory);
}

static void test_products(void **state)
{
    (void)state;
    static const size_t tokens[] = {1, 1, 2, 3, 4, 5, 6, 7, 23, 24, 25, MOST_TOKENS};
    enum { KINDS = sizeof tokens / sizeof *tokens };
    size_t stride = test_stride();
    uint64_t seed = 17;
    for (size_t i = 0; tested_isa(i); i++)
        for (int t = DTYPE_COUNT; t < DTYPE_ALL && tested_isa(i)->available(); t++)
            for (size_t n = (size_t)t % stride; n < 2 * KINDS; n += stride) {
                size_t count = n < KINDS ? tokens[n] : 1 + random_below(&seed, MOST_TOKENS);
                size_t rows = 1 + random_below(&seed, MOST_ROWS), cols = random_cols((enum dtype)t, &seed);
                check_product(tested_isa(i), (enum dtype)t, &seed, rows, cols, count);
            }
}

/* Rows that are longer than what is expanded at a time. */
static void test_products_of_long_rows(void **state)
{
    (void)state;
    uint64_t seed = 29;
    for (size_t i = 0; tested_isa(i); i++)
        for (int t = DTYPE_COUNT; t < DTYPE_ALL && tested_isa(i)->available(); t++) {
            size_t tokens = tested_isa(i)->mr + 1, cols = 2048 + 3 * dtypes[t].block;
            check_product(tested_isa(i), (enum dtype)t, &seed, 17, cols, 1);
            check_product(tested_isa(i), (enum dtype)t, &seed, 17, 2 * cols, tokens);
        }
}

/* All weights of a block but one are met by 0: the product is that weight, exactly. */
static void test_products_by_one(void **state)
{
    (void)state;
    enum { ROWS = 5 };
    uint64_t seed = 19;
    for (size_t i = 0; tested_isa(i); i++)
        for (int t = DTYPE_COUNT; t < DTYPE_ALL && tested_isa(i)->available(); t++) {
            size_t cols = K_BLOCK;
            const struct isa *isa = tested_isa(i);
            struct random_matrix r = make_matrix((enum dtype)t, &seed, ROWS, cols);
            struct activations prepared;
            float x[K_BLOCK] = {0}, row[K_BLOCK], y[ROWS];
            void *scratch = aligned_alloc(64, padded_bytes(activations_scratch(cols, 1)));
            for (size_t c = 0; c < cols; c++) {
                x[c] = 1;
                activations_prepare(isa, &r.m, x, 1, scratch, &prepared);
                isa->matmul(&r.m, &prepared, 0, 1, y);
                x[c] = 0;
                for (size_t k = 0; k < ROWS; k++) {
                    qmatrix_decode(&r.m, k, c, 1, row);
                    if (!(y[k] == row[0]))
                        fail_msg("%s, %s: row %zu, column %zu: %a; expected %a", isa->name,
                                 dtypes[t].name, k, c, (double)y[k], (double)row[0]);
                }
            }
            free(scratch);
            free(r.memory);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_blocks_decode_as_gguf_does),
        cmocka_unit_test(test_every_scale_decodes_as_in_gguf),
        cmocka_unit_test(test_products_of_every_scale),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_decode_of_any_columns),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_products_of_long_rows),
        cmocka_unit_test(test_products_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
