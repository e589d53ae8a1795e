#include "model.h"

#include "../../kernels/escape.h"
#include "resident.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Recognised in this order; formats without a magic number last. */
static const struct format *const formats[] = {&llama2c_format};
enum { FORMATS = sizeof formats / sizeof *formats };

static bool unknown_format(const struct mapped_file *file, const char *shown, struct error *error)
{
    char magic[40], known[128] = "";
    escape_text(magic, sizeof magic, (const char *)file->data, file->size < 4 ? file->size : 4);
    size_t n = 0;
    for (size_t i = 0; i < FORMATS; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "",
                              formats[i]->description);
    return error_set(error, "%s: unknown model format: begins with '%s'; expected %s", shown, magic,
                     known);
}

struct model *model_open(const char *path, struct error *error)
{
    struct model *m = calloc(1, sizeof *m);
    if (!m) {
        error_set(error, "not enough memory to open a model");
        return NULL;
    }
    if (!mapped_file_open(&m->file, path, error)) {
        free(m);
        return NULL;
    }
    char shown[256];
    escape_text(shown, sizeof shown, path, strlen(path));
    const struct format *format = NULL;
    for (size_t i = 0; i < FORMATS && !format; i++)
        if (formats[i]->probe(m->file.data, m->file.size))
            format = formats[i];
    struct error why;
    bool ok = format ? format->open(m, m->file.data, m->file.size, &why)
                     : unknown_format(&m->file, shown, error);
    if (format && !ok)
        error_set(error, "%s: %.400s", shown, why.text);
    if (!ok) {
        model_close(m);
        return NULL;
    }
    m->format = format->name;
    return m;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    resident_close(m);
    for (size_t i = 0; i < m->tensor_count; i++)
        qmatrix_free(&m->tensors[i].stored);
    free(m->tensors);
    mapped_file_close(&m->file);
    free(m);
}

/* ---- the tensor list ------------------------------------------------------------------------- */

struct tensor_shape model_role_shape(const struct hyper *h, enum role role)
{
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size;
    if (roles[role].vector)
        return (struct tensor_shape){1, h->dim};
    switch (role) {
    case ROLE_ATTN_Q:
        return (struct tensor_shape){q, h->dim};
    case ROLE_ATTN_K:
    case ROLE_ATTN_V:
        return (struct tensor_shape){kv, h->dim};
    case ROLE_ATTN_OUT:
        return (struct tensor_shape){h->dim, q};
    case ROLE_FFN_GATE:
    case ROLE_FFN_UP:
        return (struct tensor_shape){h->hidden, h->dim};
    case ROLE_FFN_DOWN:
        return (struct tensor_shape){h->dim, h->hidden};
    default:
        return (struct tensor_shape){h->vocab, h->dim};
    }
}

static void add_tensor(struct model *m, enum role role, int block)
{
    struct tensor *t = &m->tensors[m->tensor_count++];
    struct tensor_shape shape = model_role_shape(&m->hyper, role);
    *t = (struct tensor){.role = role, .block = block};
    if (block >= 0)
        snprintf(t->name, sizeof t->name, "blk.%d.%s", block, roles[role].name);
    else
        snprintf(t->name, sizeof t->name, "%s", roles[role].name);
    t->stored.rows = shape.rows;
    t->stored.cols = shape.cols;
}

bool model_make_tensors(struct model *m, struct error *error)
{
    m->tensors = calloc(m->hyper.layers * ROLE_COUNT + ROLE_COUNT, sizeof *m->tensors);
    if (!m->tensors)
        return error_set(error, "not enough memory for %zu layers", m->hyper.layers);
    add_tensor(m, ROLE_EMBEDDING, -1);
    for (int b = 0; b < (int)m->hyper.layers; b++)
        for (int role = 0; role < ROLE_COUNT; role++)
            if (roles[role].in_block)
                add_tensor(m, (enum role)role, b);
    add_tensor(m, ROLE_OUTPUT_NORM, -1);
    if (!m->tied)
        add_tensor(m, ROLE_OUTPUT, -1);
    return true;
}

int model_find(const struct model *m, enum role role, int block)
{
    if (role == ROLE_OUTPUT && m->tied)
        role = ROLE_EMBEDDING;
    for (size_t i = 0; i < m->tensor_count; i++)
        if (m->tensors[i].role == role && m->tensors[i].block == block)
            return (int)i;
    return -1;
}

int model_find_name(const struct model *m, const char *name)
{
    if (m->tied && strcmp(name, roles[ROLE_OUTPUT].name) == 0)
        name = roles[ROLE_EMBEDDING].name;
    for (size_t i = 0; i < m->tensor_count; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* ---- what the weights are -------------------------------------------------------------------- */

/* Weights of row r that are no finite number, where each stands for itself. */
static size_t odd_floats(const struct qmatrix *w, size_t r)
{
    enum { PIECE = 512 };
    float piece[PIECE];
    size_t count = 0;
    for (size_t c = 0, n; c < w->cols; c += n) {
        n = w->cols - c < PIECE ? w->cols - c : PIECE;
        qmatrix_decode(w, r, c, n, piece);
        for (size_t i = 0; i < n; i++)
            count += isfinite(piece[i]) ? 0 : 1;
    }
    return count;
}

/* In blocks: a factor stands for all their weights. */
static size_t odd_blocks(const struct qmatrix *w, size_t r)
{
    const struct dtype_info *type = &dtypes[w->scheme.weight];
    const uint8_t *block = w->codes + r * w->row_bytes;
    size_t count = 0;
    for (size_t c = 0; c < w->cols; c += type->block, block += type->block_bytes) {
        uint16_t first, second;
        memcpy(&first, block + type->factors[0], sizeof first);
        memcpy(&second, block + type->factors[1], sizeof second);
        bool finite = isfinite(fp16_decode(first)) && isfinite(fp16_decode(second));
        count += finite ? 0 : type->block;
    }
    return count;
}

/* With scales: each stands for its group. */
static size_t odd_groups(const struct qmatrix *w, size_t r)
{
    size_t count = 0;
    for (size_t g = 0; g < w->groups; g++)
        count += isfinite(qmatrix_scale(w, r, g)) ? 0 : w->group;
    return count;
}

void model_count(struct model *m)
{
    static size_t (*const odd[])(const struct qmatrix *, size_t) = {
        [DTYPE_KIND_FLOAT] = odd_floats,
        [DTYPE_KIND_SCALED_FLOAT] = odd_groups,
        [DTYPE_KIND_INTEGER] = odd_groups,
        [DTYPE_KIND_BLOCK] = odd_blocks,
    };
    bool small = m->file.size <= (size_t)256 << 20;
    m->parameters = m->non_finite = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        const struct qmatrix *w = &m->tensors[i].stored;
        m->parameters += w->rows * w->cols;
        for (size_t r = 0; r < w->rows && small; r++)
            m->non_finite += odd[dtypes[w->scheme.weight].kind](w, r);
    }
}
