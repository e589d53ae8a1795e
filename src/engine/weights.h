/* weights.h - quantized tensors and sets of them: immutable, shared by reference count. */
#ifndef QTOP_WEIGHTS_H
#define QTOP_WEIGHTS_H

#include "kernels/kv.h"
#include "model/model.h"

#include <stdatomic.h>

/* What quantizing a matrix did to its weights, against the reference's: the stored ones, unless another model
 * is the reference. */
struct weight_error {
    bool exact;          /* every weight is the reference's */
    double sum_w2;       /* sum of squared weights of the reference */
    double sum_e2;       /* sum of squared errors */
    float max_abs;       /* largest |error| */
    size_t max_row, max_col; /* of the weight with the largest error */
    size_t clipped;      /* weights beyond the ends of their grid, and those that their type had no room for: */
    size_t overflowed;   /* see kernels/out_of_range.h; 0 for the stored ones */
    float *row_sqnr_db;  /* SQNR of each row (rows), +infinity where exact; null for stored ones that are the
                          * reference */
};

/* 10 log10 (sum w^2 / sum e^2) in dB; +infinity without error. */
double weight_error_sqnr_db(const struct weight_error *e);

/* By what the search for scales weighed the errors of columns. */
enum weighed_by {
    WEIGHED_BY_TEXT,    /* the activations of the calibration text */
    WEIGHED_BY_IMATRIX,
    WEIGHED_BY_NOTHING  /* neither has any of the tensor */
};

/* What the methods of its scheme found on a calibration text. Figures of methods that it does not have mean
 * nothing. */
struct calibration_info {
    double alpha;     /* of the input scale */
    double damp;      /* that GPTQ's factor took */
    size_t rounded;   /* rows that GPTQ left to rounding */
    size_t outliers;  /* columns in fp16 */
    enum weighed_by weighed_by; /* of imatrix */
};

/* What the codes of some rows were chosen for where no file tells it: weights that GPTQ compensated for the errors of
 * other columns, weights that QAT trained. All would take more memory than the codes, so that only those rows are kept
 * that a person walks to first. */
struct targets {
    bool differ;          /* the codes were chosen for something else than the stored weights times the input scale */
    size_t first;         /* rows 0 .. first - 1 are kept, */
    size_t around, count; /* and rows around .. around + count - 1 */
    float *values;        /* (first + count) x cols, input scales applied */
};

/* A quantized tensor. Once in a set it never changes. */
struct qtensor {
    atomic_int refs;
    int tensor;            /* index in the model */
    struct qmatrix matrix;
    const struct scheme *scheme; /* it was made with (quant/scheme.h), freed with it; null: it is the stored one */
    struct weight_error error;
    struct calibration_info calibration;
    struct targets targets;
};

struct qtensor *qtensor_ref(struct qtensor *q);
void qtensor_unref(struct qtensor *q);

/* Bytes of its matrix and of the targets that it keeps. */
size_t qtensor_bytes(const struct qtensor *q);

/* The kept targets of row r (cols), or null. */
const float *qtensor_targets(const struct qtensor *q, size_t r);

/* Whether it is the stored matrix of a model with on-demand weights (on_demand.h): then its codes are there only
 * while the tensor is acquired. */
bool qtensor_on_demand(const struct model *model, const struct qtensor *q);

/* One matrix for every tensor of a model, in its order, and the datatype of the KV cache that the set
 * is meant to run with. */
struct weights {
    atomic_int refs;
    enum dtype kv;
    size_t count;
    struct qtensor *layer[];
};

/* The model's stored weights, borrowed from it, as their own reference; an fp32 cache. Null when memory is
 * short. */
struct weights *weights_stored(const struct model *model);

/* A copy of the set in which q stands for its tensor; takes a new reference to q. */
struct weights *weights_replace(const struct weights *set, struct qtensor *q);

/* A copy of the set with another cache. */
struct weights *weights_with_kv(const struct weights *set, enum dtype kv);

/* The same, and gives up the caller's reference to the set (null stays null): the set itself where it has that
 * cache; null where memory is short. */
struct weights *weights_take_kv(struct weights *set, enum dtype kv);

/* Whether two sets have the same matrices, not only alike ones. */
bool weights_same_layers(const struct weights *a, const struct weights *b);

struct weights *weights_ref(struct weights *set);
void weights_unref(struct weights *set);

/* Weights that an error counts, such as the clipped ones, in a whole set. */
struct weights_counted {
    size_t count;   /* of them */
    size_t layers;  /* that have any */
    size_t weights; /* that those layers have in all */
    size_t most;    /* the layer with the most */
};
struct weights_counted weights_counted(const struct weights *set, size_t (*of)(const struct weight_error *));

static inline size_t weight_error_clipped(const struct weight_error *error)
{
    return error->clipped;
}

static inline size_t weight_error_overflowed(const struct weight_error *error)
{
    return error->overflowed;
}

/* Figures of a set, by their definitions. */
struct weights_totals {
    size_t size, bytes_per_token;
    double bits_per_weight;     /* over the linear matrices inside blocks */
    double bits_per_weight_all; /* over everything: embeddings, norms and head, too */
};

/* Totals by their definitions: bytes of everything; bytes that one decode step at a position reads
 * (the embedding table only where it is the head, else one row; the KV cache of `position`
 * positions); bits per weight over the linear matrices inside blocks. */
size_t weights_size(const struct weights *set);
size_t weights_bytes_per_token(const struct model *model, const struct weights *set,
                               size_t position);
double weights_bits_per_weight(const struct model *model, const struct weights *set);
struct weights_totals weights_totals(const struct model *model, const struct weights *set, size_t position);

/* The same figures for tensors that do not exist yet, from the bytes that each would take. */
struct weights_totals totals_of_bytes(const struct model *model, const size_t *bytes, enum dtype kv,
                                      size_t position);

/* A KV cache of a number of positions for the model. */
struct kv_shape kv_shape_of(const struct model *model, enum dtype kv, size_t capacity);

/* Bytes of codes and scales of one position. */
size_t kv_bytes_per_position(const struct model *model, enum dtype kv);

#endif
