/* model.h - an open model: hyper-parameters and stored tensors, whatever the file format. */
#ifndef QTOP_MODEL_H
#define QTOP_MODEL_H

#include "kernels/matrix.h"
#include "formats/catalog.h"
#include "hyper.h"

/* What a tensor is for, in the order of the forward pass; roles.c says what people usually do with each.
 * A model has those that its architecture and its file have. */
enum role {
    ROLE_EMBEDDING,
    ROLE_POSITIONS,      /* learned positions, one row each */
    ROLE_ATTN_NORM,
    ROLE_ATTN_NORM_BIAS,
    ROLE_ATTN_QKV,       /* Q, K and V in one matrix, their rows in this order */
    ROLE_ATTN_QKV_BIAS,
    ROLE_ATTN_Q,
    ROLE_ATTN_Q_BIAS,
    ROLE_ATTN_K,
    ROLE_ATTN_K_BIAS,
    ROLE_ATTN_V,
    ROLE_ATTN_V_BIAS,
    ROLE_ATTN_Q_NORM,    /* of each head of the queries */
    ROLE_ATTN_K_NORM,
    ROLE_ATTN_OUT,
    ROLE_ATTN_OUT_BIAS,
    ROLE_ATTN_POST_NORM, /* of what attention adds */
    ROLE_FFN_NORM,
    ROLE_FFN_NORM_BIAS,
    ROLE_FFN_GATE_UP,    /* gate and up in one matrix, the gate's rows first */
    ROLE_FFN_GATE,
    ROLE_FFN_UP,
    ROLE_FFN_UP_BIAS,
    ROLE_FFN_DOWN,
    ROLE_FFN_DOWN_BIAS,
    ROLE_FFN_POST_NORM,  /* of what the feed-forward layers add */
    ROLE_OUTPUT_NORM,
    ROLE_OUTPUT_NORM_BIAS,
    ROLE_OUTPUT,
    ROLE_COUNT
};

/* A set of roles, one bit each. */
typedef uint64_t role_set;
_Static_assert(ROLE_COUNT <= 64, "a role_set has a bit for every role");
#define ROLE_BIT(ROLE) ((role_set)1 << (ROLE))

/* Those of a Llama whose head is a tensor of its own. */
extern const role_set llama_roles;

/* How safe it is to quantize. */
enum guidance { GUIDE_ALWAYS, GUIDE_USUALLY, GUIDE_CAREFUL, GUIDE_DONT };

struct role_info {
    const char *name;      /* the last part of the canonical name */
    bool in_block;         /* blk.N.name, else name alone */
    bool linear;           /* multiplies activations */
    bool vector;           /* one row: a norm or a bias */
    bool lookup;           /* one row is read for a token */
    enum role bias_of;     /* of a bias: the tensor whose output it is added to */
    enum guidance guidance;
    const char *advice;    /* one line: what usually happens */
};

extern const struct role_info roles[ROLE_COUNT];
const char *guidance_name(enum guidance guidance);

struct model;

/* The same for one tensor of a model or its KV cache (kv_index). kl_alone, where it is not null, has for every tensor
 * the KL divergence with it alone quantized (sensitivity.h), or NaN. In this order:
 *
 *   a tied embedding is the head, too; norms, biases and tables go by their kind
 *   of linear layers, all of a kind that hold less than 0.1 % of the model's bytes: not worth it
 *   one whose share of the measured KL is more than 4 times its share of the bytes: careful; less than once: usually
 *   any other goes by its kind */
struct advice {
    enum guidance guidance;
    char text[160];
};
struct advice tensor_advice(const struct model *model, int tensor, const double *kl_alone);

/* Of some tensors that change together: the most careful one where all are of a kind; false where they are not, since
 * what is said of one layer does not hold for others. */
bool tensors_advice(const struct model *model, const int *tensors, size_t n, const double *kl_alone,
                    struct advice *out);

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

struct on_demand;

enum { MODEL_ENDS = 8 };

struct model {
    char *path;            /* null when the weights lie in no file */
    struct catalog files;  /* empty then */
    struct on_demand *on_demand; /* weights that lie in no file (on_demand.h); or null */
    const char *format;    /* row of the format table that opened it, or "synthetic" */
    const char *arch;      /* "llama" */
    char note[400];        /* one line that a user should see, or empty */
    struct hyper hyper;
    float *rope_factors;   /* rope_dims / 2: by what each frequency is divided; or null */
    role_set has;          /* its tensors' roles */
    bool tied;             /* the head is the embedding table; then there is no tensor `output` */
    int32_t bos;           /* what begins a text by the model's own files, the tokenizer's aside; -1: nothing */
    int32_t ends[MODEL_ENDS]; /* what ends one */
    size_t end_count;
    size_t parameters;
    size_t tensor_count;
    struct tensor *tensors; /* in the order of the forward pass: embedding, blocks, norm, head */
    int index[ROLE_COUNT]; /* of a tensor in its block, or of one outside in the list; -1: none */
    int block_tensors;     /* of one block */
    int first_block;       /* index of the first block's first tensor */
    size_t non_finite;     /* NaN or infinite stored weights: shown as a warning */
    const struct model *reference; /* whose predictions and stored weights errors are measured against; null: its own */
    char reference_reason[200]; /* why its weights do not compare with these one by one; "" where they do */
};

/* Opens by content: the first format that recognises it. The error names file, field, value found
 * and what was expected. The caller frees with model_close. */
struct model *model_open(const char *path, struct error *error);
void model_close(struct model *model);

/* Whether the model's own files say that this token ends a text. */
bool model_ends_text(const struct model *model, int32_t token);

/* Adds a sentence to the model's note. */
void model_add_note(struct model *model, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The model whose predictions are the reference: of the same vocabulary, perhaps of another shape. */
static inline const struct model *model_reference(const struct model *model)
{
    return model->reference ? model->reference : model;
}

/* The model whose weights each tensor is compared with: with the same tensors, in the same order. Of a reference of
 * another shape nothing of a tensor is shown (reference_reason), and the model stands for it. */
static inline const struct model *model_weights_reference(const struct model *model)
{
    return *model->reference_reason ? model : model_reference(model);
}

/* What the reference is called in a sentence: "the stored weights", or "the reference" where it is another
 * model. */
const char *model_reference_words(const struct model *model);

/* Index of the tensor with a role in a block (-1: outside), or -1. The head of a tied model is its
 * embedding. In constant time. */
int model_find(const struct model *model, enum role role, int block);

/* Whether a tensor multiplies activations: the linear ones, and an embedding that is the head, too. */
bool tensor_multiplies(const struct model *model, int tensor);

/* Index by canonical name, `output` of a tied model included, or -1. */
int model_find_name(const struct model *model, const char *name);

/* The config.json that says what the model is, where its format has one; the caller frees. Null: none. */
char *model_config_path(const struct model *model);

/* The shape of a role's tensor. */
struct tensor_shape {
    size_t rows, cols;
};
struct tensor_shape model_role_shape(const struct hyper *hyper, enum role role);

#endif
