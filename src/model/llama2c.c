/* The checkpoint formats of llama2.c (Karpathy 2023, export.py): version 0 has no magic number and
 * fp32 weights, version 1 a 256-byte header and fp32 weights, version 2 the same header and int8
 * weights in groups along the flattened tensor, each tensor's codes followed by its fp32 scales. */
#include "format.h"

#include <stdlib.h>
#include <string.h>

enum { MAGIC = 0x616b3432, LEGACY_HEADER = 28, HEADER = 256, FIELDS = 7, LLAMA2_BOS = 1, LLAMA2_EOS = 2 };

/* The seven numbers that every version has, in file order. */
enum { F_DIM, F_HIDDEN, F_LAYERS, F_HEADS, F_KV_HEADS, F_VOCAB, F_CONTEXT };
static const char *const field_names[FIELDS] = {"dim",        "hidden_dim", "n_layers",   "n_heads",
                                                "n_kv_heads", "vocab_size", "max_seq_len"};

struct reader {
    const uint8_t *data;
    size_t size, at;
};

static int32_t int_at(const uint8_t *data, size_t offset)
{
    int32_t v;
    memcpy(&v, data + offset, sizeof v);
    return v;
}

static bool has_magic(const uint8_t *data, size_t size)
{
    return size >= 4 && (uint32_t)int_at(data, 0) == MAGIC;
}

/* Version 0 begins with its numbers: it is recognised when most of them could be one. */
static bool llama2c_probe(const char *path, const uint8_t *data, size_t size)
{
    (void)path;
    if (!data)
        return false;
    if (has_magic(data, size))
        return true;
    int plausible = 0;
    for (size_t i = 0; i < FIELDS && (i + 1) * 4 <= size; i++) {
        int32_t v = int_at(data, i * 4);
        plausible += v > 0 && v < 1 << 20;
    }
    return plausible >= 4;
}

/* ---- header ---------------------------------------------------------------------------------- */

static bool check_fields(const int32_t f[FIELDS], struct error *error)
{
    for (int i = 0; i < FIELDS; i++) {
        int32_t min = i == F_VOCAB ? 3 : 1, max = i == F_LAYERS ? 1 << 16 : 1 << 28;
        if (f[i] < min || f[i] > max)
            return error_set(error, "llama2.c header: %s = %d; expected %d to %d", field_names[i],
                             f[i], min, max);
    }
    if (f[F_DIM] % f[F_HEADS] != 0)
        return error_set(error, "llama2.c header: n_heads = %d does not divide dim = %d", f[F_HEADS],
                         f[F_DIM]);
    if (f[F_DIM] / f[F_HEADS] % 2 != 0)
        return error_set(error, "llama2.c header: head size dim / n_heads = %d is odd; expected an "
                                "even one", f[F_DIM] / f[F_HEADS]);
    if (f[F_KV_HEADS] > f[F_HEADS] || f[F_HEADS] % f[F_KV_HEADS] != 0)
        return error_set(error, "llama2.c header: n_kv_heads = %d does not divide n_heads = %d",
                         f[F_KV_HEADS], f[F_HEADS]);
    return true;
}

static void set_hyper(struct model *m, const int32_t f[FIELDS])
{
    m->hyper = (struct hyper){
        .dim = (size_t)f[F_DIM],
        .hidden = (size_t)f[F_HIDDEN],
        .layers = (size_t)f[F_LAYERS],
        .heads = (size_t)f[F_HEADS],
        .kv_heads = (size_t)f[F_KV_HEADS],
        .head_size = (size_t)(f[F_DIM] / f[F_HEADS]),
        .vocab = (size_t)f[F_VOCAB],
        .trained_context = (size_t)f[F_CONTEXT],
        .rope_base = 10000.0f,
        .norm_eps = 1e-5f,
    };
}

/* ---- payload --------------------------------------------------------------------------------- */

/* The order of the tensors in the payload: all blocks of one role follow each other. */
static const enum role order_v0[] = {ROLE_EMBEDDING, ROLE_ATTN_NORM, ROLE_ATTN_Q,   ROLE_ATTN_K,
                                     ROLE_ATTN_V,    ROLE_ATTN_OUT,  ROLE_FFN_NORM, ROLE_FFN_GATE,
                                     ROLE_FFN_DOWN,  ROLE_FFN_UP,    ROLE_OUTPUT_NORM};
static const enum role order_v1[] = {ROLE_ATTN_NORM, ROLE_FFN_NORM, ROLE_OUTPUT_NORM,
                                     ROLE_EMBEDDING, ROLE_ATTN_Q,   ROLE_ATTN_K,
                                     ROLE_ATTN_V,    ROLE_ATTN_OUT, ROLE_FFN_GATE,
                                     ROLE_FFN_DOWN,  ROLE_FFN_UP};
enum { ORDER = sizeof order_v0 / sizeof *order_v0 };

/* Bytes of one tensor: fp32, or int8 codes and a scale a group where group is not 0. */
static bool tensor_bytes(struct tensor_shape s, size_t group, size_t *bytes)
{
    size_t n;
    if (__builtin_mul_overflow(s.rows, s.cols, &n) || n > SIZE_MAX / 8)
        return false;
    *bytes = group ? n + n / group * 4 : n * 4;
    return true;
}

static bool add_bytes(size_t *sum, size_t bytes, size_t times)
{
    size_t product;
    return !__builtin_mul_overflow(bytes, times, &product) &&
           !__builtin_add_overflow(*sum, product, sum);
}

/* The bytes that header and hyper-parameters ask for, before anything is allocated for them. */
static bool expected_size(const struct model *m, size_t header, size_t group, bool legacy,
                          size_t *size)
{
    const struct hyper *h = &m->hyper;
    const struct layer l = model_layer(h, 0);
    *size = header;
    for (int i = 0; i < ORDER; i++) {
        enum role role = order_v0[i];
        size_t bytes;
        if (!tensor_bytes(model_role_shape(m, &l, role), roles[role].vector ? 0 : group, &bytes) ||
            !add_bytes(size, bytes, roles[role].in_block ? h->layers : 1))
            return false;
    }
    size_t head;
    if (!tensor_bytes(model_role_shape(m, NULL, ROLE_OUTPUT), group, &head) ||
        !add_bytes(size, head, m->tied ? 0 : 1))
        return false;
    return !legacy || add_bytes(size, h->head_size * 4, h->trained_context);
}

static struct qformat stored_format(size_t group)
{
    struct qformat s = qformat_default(group ? DTYPE_INT8 : DTYPE_FP32);
    s.stored = true;
    if (group) {
        s.granularity = GRANULARITY_GROUP;
        s.group = (uint32_t)group;
    }
    return s;
}

/* Where scales of the file are not aligned for floats, they are copied. */
static const void *aligned_scales(struct qmatrix *w, const uint8_t *at, size_t bytes)
{
    if ((uintptr_t)at % sizeof(float) == 0)
        return at;
    w->owned = malloc(bytes);
    return w->owned ? memcpy(w->owned, at, bytes) : NULL;
}

static bool take_tensor(struct reader *r, struct tensor *t, size_t group, struct error *error)
{
    struct qmatrix *w = &t->stored;
    size_t n = w->rows * w->cols;
    if (roles[t->role].vector)
        group = 0;
    w->format = stored_format(group);
    w->group = group ? group : w->cols;
    w->groups = w->cols / w->group;
    w->row_bytes = group ? w->cols : w->cols * 4;
    w->codes = r->data + r->at;
    w->bytes = group ? n + n / group * 4 : n * 4;
    if (group) {
        w->scale_type = SCALE_FP32;
        w->scales = aligned_scales(w, w->codes + n, n / group * 4);
        if (!w->scales)
            return error_set(error, "not enough memory for the scales of %s", t->name);
    }
    r->at += w->bytes;
    return true;
}

static bool take_role(struct model *m, struct reader *r, enum role role, size_t group,
                      struct error *error)
{
    for (size_t i = 0; i < m->tensor_count; i++)
        if (m->tensors[i].role == role && !take_tensor(r, &m->tensors[i], group, error))
            return false;
    return true;
}

static bool take_payload(struct model *m, struct reader *r, bool legacy, size_t group,
                         struct error *error)
{
    const enum role *order = legacy ? order_v0 : order_v1;
    size_t expected;
    if (!expected_size(m, r->at, group, legacy, &expected))
        return error_set(error, "llama2.c header: the tensors' sizes overflow; expected dimensions "
                                "that fit in memory");
    if (expected != r->size)
        return error_set(error, "llama2.c payload: the file has %zu bytes; its header asks for %zu",
                         r->size, expected);
    if (!model_make_tensors(m, error))
        return false;
    for (int i = 0; i < ORDER; i++)
        if (!take_role(m, r, order[i], group, error))
            return false;
    if (legacy) /* the tables of RoPE, which the engine computes itself */
        r->at += m->hyper.head_size * 4 * m->hyper.trained_context;
    return take_role(m, r, ROLE_OUTPUT, group, error);
}

/* ---- versions -------------------------------------------------------------------------------- */

static bool open_legacy(struct model *m, struct reader *r, struct error *error)
{
    int32_t f[FIELDS];
    if (r->size < LEGACY_HEADER)
        return error_set(error, "llama2.c header: %zu bytes; expected at least %d", r->size,
                         LEGACY_HEADER);
    for (size_t i = 0; i < FIELDS; i++)
        f[i] = int_at(r->data, i * 4);
    m->tied = f[F_VOCAB] > 0; /* a negative vocabulary says that the head is separate */
    if (f[F_VOCAB] < 0 && f[F_VOCAB] != INT32_MIN)
        f[F_VOCAB] = -f[F_VOCAB];
    if (!check_fields(f, error))
        return false;
    set_hyper(m, f);
    r->at = LEGACY_HEADER;
    return take_payload(m, r, true, 0, error);
}

static bool check_group(const struct model *m, int32_t group, struct error *error)
{
    if (group < 1)
        return error_set(error, "llama2.c header: group_size = %d; expected at least 1", group);
    if (m->hyper.dim % (size_t)group != 0 || m->hyper.hidden % (size_t)group != 0)
        return error_set(error, "llama2.c header: group_size = %d does not divide dim = %zu and "
                                "hidden_dim = %zu", group, m->hyper.dim, m->hyper.hidden);
    return true;
}

static bool open_versioned(struct model *m, struct reader *r, struct error *error)
{
    if (r->size < HEADER)
        return error_set(error, "llama2.c header: %zu bytes; expected %d", r->size, HEADER);
    int32_t version = int_at(r->data, 4), f[FIELDS], group = 0;
    if (version != 1 && version != 2)
        return error_set(error, "llama2.c header: version = %d; expected 1 or 2", version);
    for (size_t i = 0; i < FIELDS; i++)
        f[i] = int_at(r->data, 8 + i * 4);
    uint8_t shared = r->data[36];
    if (!check_fields(f, error))
        return false;
    if (shared > 1)
        return error_set(error, "llama2.c header: shared_classifier = %d; expected 0 or 1", shared);
    set_hyper(m, f);
    m->tied = shared == 1;
    if (version == 2) {
        group = int_at(r->data, 37);
        if (!check_group(m, group, error))
            return false;
    }
    r->at = HEADER;
    return take_payload(m, r, false, (size_t)group, error);
}

bool llama2c_parse(struct model *m, const uint8_t *data, size_t size, struct error *error)
{
    struct reader r = {data, size, 0};
    m->arch = "llama";
    m->bos = LLAMA2_BOS;
    m->ends[m->end_count++] = LLAMA2_EOS;
    m->has = llama_roles;
    bool ok = has_magic(data, size) ? open_versioned(m, &r, error) : open_legacy(m, &r, error);
    if (ok)
        model_count(m);
    return ok;
}

static bool llama2c_open(struct model *m, const char *path, struct error *error)
{
    const struct mapped_file *file = catalog_map(&m->files, path, error);
    return file && llama2c_parse(m, file->data, file->size, error);
}

const struct format llama2c_format = {"llama2.c", "a llama2.c checkpoint", .probe = llama2c_probe,
                                      .open = llama2c_open};
