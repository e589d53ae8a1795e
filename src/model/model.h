/* model.h - an open model: hyper-parameters and stored tensors, whatever the file format. */
#ifndef QTOP_MODEL_H
#define QTOP_MODEL_H

#include "../../kernels/matrix.h"
#include "mapped.h"

/* What a tensor is for; roles.c says what people usually do with each. */
enum role {
    ROLE_EMBEDDING,
    ROLE_ATTN_NORM,
    ROLE_ATTN_Q,
    ROLE_ATTN_K,
    ROLE_ATTN_V,
    ROLE_ATTN_OUT,
    ROLE_FFN_NORM,
    ROLE_FFN_GATE,
    ROLE_FFN_UP,
    ROLE_FFN_DOWN,
    ROLE_OUTPUT_NORM,
    ROLE_OUTPUT,
    ROLE_COUNT
};

/* How safe it is to quantize. */
enum guidance { GUIDE_ALWAYS, GUIDE_USUALLY, GUIDE_CAREFUL, GUIDE_DONT };

struct role_info {
    const char *name;      /* the last part of the canonical name */
    bool in_block;         /* blk.N.name, else name alone */
    bool linear;           /* multiplies activations */
    bool vector;           /* one row */
    enum guidance guidance;
    const char *advice;    /* one line: what usually happens */
};

extern const struct role_info roles[ROLE_COUNT];
const char *guidance_name(enum guidance guidance);

struct model;

/* The same for one tensor of a model or its KV cache (kv_index): a very small layer is better left alone whatever its role, and a
 * tied embedding is the head, too. */
struct advice {
    enum guidance guidance;
    const char *text;
};
struct advice tensor_advice(const struct model *model, int tensor);

/* Arrays of schemes and rows on screen have one a tensor and, last, the KV cache's. */
#define KV_NAME "kv"
size_t schemes_count(const struct model *model);
int kv_index(const struct model *model);
const char *layer_name(const struct model *model, int tensor); /* a tensor's or KV_NAME */

struct tensor {
    char name[48];         /* canonical name: blk.3.attn_q, output */
    enum role role;
    int block;             /* -1 outside the blocks */
    struct qmatrix stored; /* as the file holds it; rows x cols = out x in */
};

struct hyper {
    size_t dim, hidden, layers, heads, kv_heads, head_size, vocab, trained_context;
    float rope_base, norm_eps;
};

struct resident;

struct model {
    struct mapped_file file; /* all zero when the weights lie in none */
    struct resident *resident; /* weights that are made on demand (resident.h), or null */
    const char *format;    /* row of the format table that opened it, or "synthetic" */
    const char *arch;      /* "llama" */
    struct hyper hyper;
    bool tied;             /* the head is the embedding table; then there is no tensor `output` */
    size_t parameters;
    size_t tensor_count;
    struct tensor *tensors; /* in the order of the forward pass: embedding, blocks, norm, head */
    size_t non_finite;     /* NaN or infinite stored weights: shown as a warning */
};

/* Opens by content: the first format that recognises it. The error names file, field, value found
 * and what was expected. The caller frees with model_close. */
struct model *model_open(const char *path, struct error *error);
void model_close(struct model *model);

/* Index of the tensor with a role in a block (-1: outside), or -1. The head of a tied model is its
 * embedding. */
int model_find(const struct model *model, enum role role, int block);

/* Whether a tensor multiplies activations: the linear ones, and an embedding that is the head, too. */
bool tensor_multiplies(const struct model *model, int tensor);

/* Index by canonical name, `output` of a tied model included, or -1. */
int model_find_name(const struct model *model, const char *name);

/* A format: a row of the table in formats.c. */
struct format {
    const char *name;
    const char *description;
    bool (*probe)(const uint8_t *data, size_t size);
    /* Fills everything but the file. Must not trust a byte. */
    bool (*open)(struct model *model, const uint8_t *data, size_t size, struct error *error);
};

extern const struct format llama2c_format;

/* The shape of a role's tensor in a Llama. */
struct tensor_shape {
    size_t rows, cols;
};
struct tensor_shape model_role_shape(const struct hyper *hyper, enum role role);

/* For formats: makes the tensor list of a Llama with the right names, shapes and no weights. False
 * when memory is short. */
bool model_make_tensors(struct model *model, struct error *error);

/* Counts model->parameters, and model->non_finite in files of up to 256 MiB: it reads every weight,
 * which a larger file should not have to wait for. */
void model_count(struct model *model);

#endif
