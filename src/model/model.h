/* model.h - an open model: hyper-parameters and stored tensors, whatever the file format. */
#ifndef QTOP_MODEL_H
#define QTOP_MODEL_H

#include "kernels/matrix.h"
#include "kernels/kv.h"
#include "formats/catalog.h"
#include "layer.h"

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
    char name[48];         /* canonical name: blk.3.attn_q, blk.3.ffn_up_exps.17, output */
    enum role role;
    int block;             /* -1 outside the blocks */
    int expert;            /* -1 where it is no expert's */
    struct qmatrix stored; /* as the file holds it; rows x cols = out x in */
};

struct on_demand;

enum { MODEL_ENDS = 8 };

/* One table of rotary embeddings. */
struct rotary {
    enum rope pairs;
    size_t dims;           /* of a head that are rotary */
    float base;            /* theta */
    float magnitude;       /* of cosines and sines; 0: 1 */
    const float *factors;  /* dims / 2: by what each frequency is divided; null: 1 */
    const float *beyond;   /* the same in contexts of more than `original` positions; null: no others */
    size_t original;       /* positions */
    float growth;          /* dynamic NTK: with this factor the base grows in such contexts; 0: it does not */
};
/* The angle from a position to the next of pair i (below dims / 2) in a context of so many positions (rope.c). */
double rotary_rate(const struct rotary *rotary, size_t i, size_t positions);
enum { ROTARY_ALL, ROTARY_WINDOWED, ROTARY_TABLES };

struct model {
    char *path;            /* null when the weights lie in no file */
    struct catalog files;  /* empty then */
    struct on_demand *on_demand; /* weights that lie in no file (on_demand.h); or null */
    const char *format;    /* row of the format table that opened it, or "synthetic" */
    const char *arch;      /* "llama" */
    char note[400];        /* one line that a user should see, or empty */
    struct hyper hyper;
    float *rope_factors;   /* rope_dims / 2: by what each frequency is divided; or null */
    float *rope_beyond;    /* the same in contexts of more than hyper.rope_original positions; or null */
    struct layer *layers;  /* hyper.layers */
    struct rotary rotary[ROTARY_TABLES]; /* of all layers, or of those without a window; of those with one */
    struct kv_layer *kv_layers; /* hyper.layers: what each has in a cache */
    role_set has;          /* its tensors' roles, those of any block */
    role_set without;      /* roles outside the blocks, and in all of them, that its architecture has and it has not */
    bool tied;             /* the head is the embedding table; then there is no tensor `output` */
    int32_t bos;           /* what begins a text by the model's own files, the tokenizer's aside; -1: nothing */
    int32_t ends[MODEL_ENDS]; /* what ends one */
    size_t end_count;
    size_t parameters;
    size_t tensor_count;
    struct tensor *tensors; /* in the order of the forward pass: embedding, blocks, norm, head */
    int outside[ROLE_COUNT]; /* index of a tensor outside the blocks; -1: none */
    struct input_group *input_groups; /* input_group_count, in the order of the forward pass (input_group.h) */
    size_t input_group_count;
    int *input_group_of;   /* of each tensor, or -1 */
    size_t non_finite;     /* NaN or infinite stored weights: shown as a warning */
    const struct model *reference; /* whose predictions and stored weights errors are measured against; null: its own */
    char reference_reason[200]; /* why its weights do not compare with these one by one; "" where they do */
};

/* Opens by content: the first format that recognises it. The error names file, field, value found
 * and what was expected. The caller frees with model_close. */
struct model *model_open(const char *path, struct error *error);

/* Whether it, or its reference, is that file or is read from it as long as it is open. */
bool model_reads(const struct model *model, const char *path);
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

/* Index of the tensor with a role in a block (-1: outside), of experts' the first, which the others follow; or -1.
 * The head of a tied model is its embedding. In constant time. */
int model_find(const struct model *model, enum role role, int block);

/* How often a token reads a tensor: an expert as often as experts are used on average, all others always; and one of n
 * tokens, if each chose its experts by chance. */
double tensor_share(const struct model *model, int tensor);
double tensor_share_of_any(const struct model *model, int tensor, double n);

/* Weights that a token is multiplied by or reads, as the parameters of a mixture that are active. */
double model_active_parameters(const struct model *model);

/* The first tensor of a block, or of what follows the last one. */
int model_first_of_block(const struct model *model, int block);

/* Whether a tensor multiplies activations: the linear ones, and an embedding that is the head, too. */
bool tensor_multiplies(const struct model *model, int tensor);

/* Index by canonical name, `output` of a tied model included, or -1. */
int model_find_name(const struct model *model, const char *name);

/* The config.json that says what the model is, where its format has one; the caller frees. Null: none. */
char *model_config_path(const struct model *model);

/* The shape of a role's tensor, in a layer; outside the blocks any layer does, or null. */
struct tensor_shape {
    size_t rows, cols;
};
struct tensor_shape model_role_shape(const struct model *model, const struct layer *layer, enum role role);

/* Elements of the vectors that a STEP_NORM normalizes, each by itself. */
size_t model_norm_size(const struct model *model, const struct layer *layer, const struct step *step);

#endif
