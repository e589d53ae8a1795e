#include "support.h"

#include "kernels/dispatch.h"
#include "kernels/stored.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SRCDIR
#define SRCDIR "."
#endif

/* Every test program obeys QTOP_ISA as qtop itself does, so that a whole suite can run on each
 * instruction set. */
static __attribute__((constructor)) void select_isa(void)
{
    const char *name = getenv("QTOP_ISA");
    struct error error;
    if (!name || isa_select(name, &error))
        return;
    fprintf(stderr, "%s\n", error.text);
    exit(99); /* a hard error to Automake */
}

size_t test_stride(void)
{
    const char *text = getenv("QTOP_TEST_STRIDE");
    long n = text ? strtol(text, NULL, 10) : 1;
    return n > 0 ? (size_t)n : 1;
}

uint64_t random_bits(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double random_uniform(uint64_t *state)
{
    return (double)(random_bits(state) >> 11) * 0x1p-53;
}

double random_normal(uint64_t *state)
{
    double u = 1 - random_uniform(state), v = random_uniform(state);
    return sqrt(-2 * log(u)) * cos(2 * acos(-1.0) * v);
}

size_t random_below(uint64_t *state, size_t n)
{
    return (size_t)(random_bits(state) >> 11) % n;
}

uint64_t fnv1a(uint64_t hash, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

void *make(size_t n)
{
    void *p = malloc(n ? n : 1);
    if (!p) {
        fprintf(stderr, "not enough memory for a test\n");
        abort();
    }
    return p;
}

/* ---- schemes --------------------------------------------------------------------------------- */

bool spellable(const struct scheme *s)
{
    enum dtype_kind kind = dtypes[s->format.weight].kind;
    bool grouped = s->format.granularity == GRANULARITY_GROUP;
    return s->format.act != DTYPE_INT4 && (!s->format.act_asym || dtypes[s->format.act].kind == DTYPE_KIND_INTEGER) &&
           (!s->format.asym || kind == DTYPE_KIND_INTEGER) &&
           (kind != DTYPE_KIND_FLOAT || s->format.granularity == GRANULARITY_CHANNEL) &&
           (grouped ? s->format.group >= GROUP_MIN : s->format.group == 0);
}

static void each_field(struct scheme s, scheme_fn *see, void *arg)
{
    for (int act = 0; act < DTYPE_COUNT; act++)
        for (int flags = 0; flags < 4; flags++) {
            s.format.act = (enum dtype)act;
            s.format.act_asym = flags & 1;
            s.format.asym = flags & 2;
            if (spellable(&s))
                see(&s, arg);
        }
}

void each_scheme(const uint32_t *groups, size_t count, scheme_fn *see, void *arg)
{
    for (int weight = 0; weight < DTYPE_COUNT; weight++) {
        struct scheme s = {.format.weight = (enum dtype)weight, .format.granularity = GRANULARITY_TENSOR};
        each_field(s, see, arg);
        s.format.granularity = GRANULARITY_CHANNEL;
        each_field(s, see, arg);
        s.format.granularity = GRANULARITY_GROUP;
        for (size_t i = 0; i < count; i++) {
            s.format.group = groups[i];
            each_field(s, see, arg);
        }
    }
}

/* ---- models ---------------------------------------------------------------------------------- */

static void write_normal(FILE *f, uint64_t *state, size_t n, double mean, double deviation)
{
    for (size_t i = 0; i < n; i++) {
        float value = (float)(mean + deviation * random_normal(state));
        fwrite(&value, sizeof value, 1, f);
    }
}

char *write_llama2c(const struct tiny *t, uint64_t seed)
{
    const char *folder = getenv("TMPDIR");
    char *path;
    if (asprintf(&path, "%s/qtop-test-XXXXXX", folder ? folder : "/tmp") < 0)
        abort();
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!f)
        abort();
    const int32_t head[] = {0x616b3432, 1,           t->dim,   t->hidden, t->layers,
                            t->heads,   t->kv_heads, t->vocab, t->context};
    fwrite(head, sizeof head, 1, f);
    fputc(t->tied, f);
    for (size_t at = sizeof head + 1; at < 256; at++)
        fputc(0, f);
    size_t dim = (size_t)t->dim, hidden = (size_t)t->hidden, layers = (size_t)t->layers;
    size_t kv = dim / (size_t)t->heads * (size_t)t->kv_heads, vocab = (size_t)t->vocab;
    double spread = 1.5 / sqrt((double)dim); /* wide enough for logits with a shape */
    write_normal(f, &seed, dim * (2 * layers + 1), 1, 0.1);
    write_normal(f, &seed, vocab * dim, 0, 0.5);
    write_normal(f, &seed, layers * dim * (2 * dim + 2 * kv), 0, spread);
    write_normal(f, &seed, layers * dim * hidden * 3, 0, spread);
    write_normal(f, &seed, t->tied ? 0 : vocab * dim, 0, spread);
    if (fclose(f) != 0)
        abort();
    return path;
}

struct model matrix_model(const float *values, size_t rows, size_t cols)
{
    struct model m = {.tensor_count = 1};
    m.tensors = calloc(1, sizeof *m.tensors);
    if (!m.tensors)
        abort();
    struct qmatrix *w = &m.tensors[0].stored;
    memcpy(m.tensors[0].name, "matrix", sizeof "matrix");
    w->rows = rows;
    w->cols = w->group = cols;
    w->groups = 1;
    w->format = qformat_default(DTYPE_FP32);
    w->format.stored = true;
    w->row_bytes = cols * sizeof(float);
    w->bytes = rows * w->row_bytes;
    w->codes = (const uint8_t *)values;
    return m;
}

void free_matrix_model(struct model *m)
{
    free(m->tensors);
    m->tensors = NULL;
}

/* ---- stored types ---------------------------------------------------------------------------- */

void clear_exponent(enum dtype type, unsigned bits, uint8_t *block)
{
    const struct dtype_info *t = &dtypes[type];
    uint16_t mask = (uint16_t)(bits << 10);
    if (t->factor == FACTOR_E8M0)
        block[0] = bits == 31 ? block[0] & 0x73 : (block[0] & 15) | 0x70;
    if (t->factor == FACTOR_FP32)
        block[3] = (uint8_t)((block[3] & 0x87) | (bits == 31 ? 0x30 : 0x38));
    for (size_t k = 0; k < 4 && t->factor == FACTOR_NONE; k++)
        block[k] &= (uint8_t)~(bits << 2);
    for (size_t k = 0; k < 4 && t->factor == FACTOR_NIBBLES; k++)
        block[offsetof(struct block_iq1_m, scales) + 2 * k + 1] &= (uint8_t)~(mask >> 4 * k << 4);
    for (size_t k = 0; k < 2 && t->factor == FACTOR_FP16; k++)
        block[t->factors[k] + 1] &= (uint8_t)~(mask >> 8);
}

void random_blocks(enum dtype type, size_t count, uint64_t *seed, uint8_t *out)
{
    size_t size = dtypes[type].block_bytes, bytes = count * size;
    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        uint64_t number = random_bits(seed);
        memcpy(out + i, &number, bytes - i < sizeof number ? bytes - i : sizeof number);
    }
    for (size_t i = 0; i < count; i++)
        clear_exponent(type, 16, out + i * size);
}

struct qmatrix stored_matrix(enum dtype type, size_t rows, size_t cols, const uint8_t *blocks)
{
    size_t row_bytes = cols / dtypes[type].block * dtypes[type].block_bytes;
    return (struct qmatrix){
        .rows = rows,
        .cols = cols,
        .format = {.stored = true, .weight = type, .act = DTYPE_FP32,
                   .granularity = GRANULARITY_CHANNEL},
        .group = cols,
        .groups = 1,
        .row_bytes = row_bytes,
        .bytes = rows * row_bytes,
        .codes = blocks,
    };
}

/* ---- files ----------------------------------------------------------------------------------- */

char *shared_path(const char *name)
{
    const char *folder = getenv("QTOP_SHARED");
    char *path;
    if (asprintf(&path, "%s/%s", folder ? folder : SRCDIR "/../shared", name) < 0)
        abort();
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

void must_end(bool begin)
{
    alarm(begin ? PATIENCE : 0);
}

char *read_whole(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        return NULL;
    size_t room = 1 << 16;
    char *text = make(room);
    *n = 0;
    for (size_t got; (got = fread(text + *n, 1, room - *n - 1, f)) > 0;) {
        *n += got;
        if (room - *n < 2 && !(text = realloc(text, room *= 2)))
            abort();
    }
    fclose(f);
    text[*n] = 0;
    return text;
}
