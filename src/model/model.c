#include "model.h"

#include "base/escape.h"
#include "resident.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Recognised in this order; formats without a magic number last. */
static const struct format *const formats[] = {&gguf_format, &safetensors_format, &pytorch_format,
                                               &llmc_format, &llama2c_format};
enum { FORMATS = sizeof formats / sizeof *formats };

static const size_t SMALL_FILE = 256 << 20;

static bool unknown_format(const struct mapped_file *file, const char *shown, struct error *error)
{
    char magic[40], known[300] = "";
    escape_text(magic, sizeof magic, (const char *)file->data, file->size < 4 ? file->size : 4);
    size_t n = 0;
    for (size_t i = 0; i < FORMATS; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "",
                              formats[i]->description);
    return error_set(error, "%s: unknown model format: begins with '%s'; expected %s", shown, magic,
                     known);
}

/* The row of the table that recognises the file, or, where data is null, the folder. */
static const struct format *recognise(const char *path, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < FORMATS; i++)
        if (formats[i]->probe(path, data, size))
            return formats[i];
    return NULL;
}

/* A file is mapped for a moment. */
static const struct format *find_format(const char *path, const char *shown, struct error *error)
{
    struct mapped_file file;
    if (path_is_folder(path)) {
        const struct format *format = recognise(path, NULL, 0);
        if (!format)
            error_set(error, "%s: is a directory without a model; expected model.safetensors, "
                             "pytorch_model.bin or their index in it, or a file", shown);
        return format;
    }
    if (!mapped_file_open(&file, path, error))
        return NULL;
    const struct format *format = recognise(path, file.data, file.size);
    if (!format)
        unknown_format(&file, shown, error);
    mapped_file_close(&file);
    return format;
}

struct model *model_open(const char *path, struct error *error)
{
    char shown[256];
    escape_text(shown, sizeof shown, path, strlen(path));
    const struct format *format = find_format(path, shown, error);
    struct model *m = format ? calloc(1, sizeof *m) : NULL;
    if (!m) {
        if (format)
            error_set(error, "not enough memory to open a model");
        return NULL;
    }
    struct error why = {"not enough memory"};
    m->format = format->name;
    m->path = strdup(path);
    if (m->path && format->open(m, path, &why))
        return m;
    if (strncmp(why.text, shown, strlen(shown)) == 0)
        error_set(error, "%s", why.text);
    else
        error_set(error, "%s: %.400s", shown, why.text);
    model_close(m);
    return NULL;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    resident_close(m);
    for (size_t i = 0; i < m->tensor_count; i++)
        qmatrix_free(&m->tensors[i].stored);
    free(m->tensors);
    free(m->rope_factors);
    catalog_close(&m->files);
    free(m->path);
    free(m);
}

const char *model_reference_words(const struct model *m)
{
    return m->reference ? "the reference" : "the stored weights";
}

/* ---- the tensor list ------------------------------------------------------------------------- */

size_t rotary_dims(const struct hyper *h)
{
    return h->rope_dims ? h->rope_dims : h->head_size;
}

size_t hyper_window(const struct hyper *h, size_t layer)
{
    bool sees_all = h->window_period && layer % h->window_period == h->window_period - 1;
    return sees_all ? 0 : h->window;
}

static struct tensor_shape vector_shape(const struct hyper *h, enum role role)
{
    if (role == ROLE_ATTN_Q_NORM || role == ROLE_ATTN_K_NORM)
        return (struct tensor_shape){1, h->head_size};
    enum role of = roles[role].bias_of;
    return (struct tensor_shape){1, of && !roles[of].vector ? model_role_shape(h, of).rows : h->dim};
}

struct tensor_shape model_role_shape(const struct hyper *h, enum role role)
{
    size_t q = h->heads * h->head_size, kv = h->kv_heads * h->head_size;
    if (roles[role].vector)
        return vector_shape(h, role);
    switch (role) {
    case ROLE_POSITIONS:
        return (struct tensor_shape){h->trained_context, h->dim};
    case ROLE_ATTN_QKV:
        return (struct tensor_shape){q + 2 * kv, h->dim};
    case ROLE_ATTN_Q:
        return (struct tensor_shape){q, h->dim};
    case ROLE_ATTN_K:
    case ROLE_ATTN_V:
        return (struct tensor_shape){kv, h->dim};
    case ROLE_ATTN_OUT:
        return (struct tensor_shape){h->dim, q};
    case ROLE_FFN_GATE_UP:
        return (struct tensor_shape){2 * h->hidden, h->dim};
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

/* Roles outside the blocks that come before them, or after them. */
static void add_outside(struct model *m, enum role first, enum role end)
{
    for (enum role role = first; role < end; role++)
        if (!roles[role].in_block && (m->has & ROLE_BIT(role))) {
            m->place[role] = (int)m->tensor_count;
            add_tensor(m, role, -1);
        }
}

static void add_block(struct model *m, int block)
{
    int first = (int)m->tensor_count;
    for (enum role role = 0; role < ROLE_COUNT; role++)
        if (roles[role].in_block && (m->has & ROLE_BIT(role))) {
            m->place[role] = (int)m->tensor_count - first;
            add_tensor(m, role, block);
        }
    m->block_tensors = (int)m->tensor_count - first;
}

bool model_make_tensors(struct model *m, struct error *error)
{
    m->tensors = calloc(m->hyper.layers * ROLE_COUNT + ROLE_COUNT, sizeof *m->tensors);
    if (!m->tensors)
        return error_set(error, "not enough memory for %zu layers", m->hyper.layers);
    if (m->tied)
        m->has &= ~ROLE_BIT(ROLE_OUTPUT);
    for (int role = 0; role < ROLE_COUNT; role++)
        m->place[role] = -1;
    add_outside(m, 0, ROLE_ATTN_NORM);
    m->first_block = (int)m->tensor_count;
    for (int b = 0; b < (int)m->hyper.layers; b++)
        add_block(m, b);
    add_outside(m, ROLE_ATTN_NORM, ROLE_COUNT);
    return true;
}

int model_find(const struct model *m, enum role role, int block)
{
    if (role == ROLE_OUTPUT && m->tied)
        role = ROLE_EMBEDDING;
    bool inside = block >= 0 && block < (int)m->hyper.layers;
    if (m->place[role] < 0 || roles[role].in_block != inside)
        return -1;
    return m->place[role] + (inside ? m->first_block + block * m->block_tensors : 0);
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
    const struct dtype_info *type = &dtypes[w->format.weight];
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
        [DTYPE_KIND_SCALED_FLOAT] = odd_floats, /* which may be NaN themselves */
        [DTYPE_KIND_INTEGER] = odd_groups,
        [DTYPE_KIND_BLOCK] = odd_blocks,
    };
    bool small = catalog_bytes(&m->files) <= SMALL_FILE;
    m->parameters = m->non_finite = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        const struct qmatrix *w = &m->tensors[i].stored;
        m->parameters += w->rows * w->cols;
        for (size_t r = 0; r < w->rows && small; r++)
            m->non_finite += odd[dtypes[w->format.weight].kind](w, r);
    }
}
