/* internal.h - what the formats of an export share. Private to src/export. */
#ifndef QTOP_EXPORT_INTERNAL_H
#define QTOP_EXPORT_INTERNAL_H

#include "export.h"
#include "folding.h"

#include "model/arch.h"
#include "model/naming.h"
#include "base/output.h"

#include <jansson.h>

/* How a file orders the rows of Q and K, to which rotary embeddings are applied in pairs. */
enum row_order {
    ROWS_AS_THEY_ARE,
    ROWS_TO_NEIGHBOURS, /* the model has the halves of each pair apart */
    ROWS_TO_HALVES
};

struct export_item;

/* Writes one row (item->row_bytes) of a tensor of the file. False with an error: a number that the type cannot
 * hold. */
typedef bool encode_fn(const struct export *job, const struct export_item *item, size_t row, uint8_t *out,
                       struct error *error);

/* A type of the format: a row of its table. */
struct export_type {
    const char *name;   /* as the format calls it */
    uint32_t number;    /* GGUF: ggml's; elsewhere 0 */
    encode_fn *encode;
};

/* One tensor of the file. */
struct export_item {
    char name[NAMING_MAX];
    const struct export_type *type;
    int tensor;               /* of the model; -1: `bytes` */
    const uint8_t *bytes;     /* must outlive the job; one row */
    size_t dimensions, shape[MAX_DIMENSIONS]; /* outermost first */
    size_t rows, row_bytes;   /* of encode's calls */
    size_t offset;            /* from the first tensor on */
    enum row_order order;
    bool joined;              /* it goes on with the tensor of the item before it: of the experts that follow the first */
    bool transposed;            /* the file has columns x rows */
    bool from_one;            /* 1 is taken off */
};

/* A format: a row of the table in export_table.c. */
struct export_format {
    const char *name;
    const char *ending;       /* of the names of its files */
    size_t alignment;         /* of tensors, bytes; at most 64 */
    bool mixes;               /* layers may have different schemes */
    /* Prepares for `add`: of what the format keeps beside the items. */
    bool (*begin)(struct export *job, struct error *error);
    /* Adds the items of a tensor; refuses what the format does not hold. */
    bool (*add)(struct export *job, int tensor, struct error *error);
    /* When all tensors are added: what is beside them, and their order. */
    bool (*end)(struct export *job, struct error *error);
    /* Writes what precedes the first tensor, once every item has its offset. */
    bool (*head)(struct export *job, FILE *out, struct error *error);
    /* Writes files beside it (export_beside); or null. */
    bool (*beside)(struct export *job, struct error *error);
};
extern const struct export_format gguf_export, safetensors_export, gptq_export;

/* The table; null ends it. The first row with the ending of a path writes it where no format is named. */
extern const struct export_format *const export_formats[];

/* Numbers that were finite and that their type in the file has no room for. */
struct export_overflow {
    size_t in_all, in_first;  /* in_first: of the first tensor that has some */
    int tensor;
    const char *type;
};

struct export {
    struct export_plan plan;  /* with copies of its paths */
    char *path, *tokenizer_path;
    const struct export_format *format;
    const struct arch *arch;  /* of the model */
    struct folding folding;
    struct export_item *items;
    size_t count, room;
    char *head;               /* what precedes the tensors */
    size_t head_bytes;
    size_t bytes, written;    /* of the whole file */
    struct output outs[OUTPUTS_TOGETHER]; /* the file, then those beside it: they take their places together */
    size_t out_count;
    char *beside;             /* names of the files beside it, once they are there */
    FILE *out;                /* the file itself; null before it is open */
    bool done;
    size_t item, row;         /* the next */
    bool acquired;            /* the item's stored weights */
    uint8_t *chunk;           /* rows that are encoded, to be written */
    float *values;            /* a row's */
    float *scales;            /* GGUF: output scales, one a tensor of the model */
    struct export_overflow *overflow; /* of what was encoded */
    char **notes;
    size_t note_count;
    const struct quantized_layout *layout; /* safetensors */
    json_t *quantized;        /* safetensors: config.json's quantization_config, or null */
};

/* ---- for searches (export.c) ------------------------------------------------------------------- */

/* The names of formats whose layers may have different schemes. */
const char *export_mixing_names(char out[EXPORT_NAMES]);

/* The bytes of the whole file of sets with these schemes, without what it asks of the path. False as export_check. */
bool export_measure(const struct export_plan *plan, const struct scheme *schemes, size_t *bytes, struct error *error);

/* A job that is for export_tensor_bytes alone; plan->path and plan->weights are not looked at. */
struct export *export_layers_open(const struct export_plan *plan, struct error *error);

/* Bytes of one tensor with a scheme, padding included; 0 where the format does not hold it so, or only as fp32. */
size_t export_tensor_bytes(struct export *job, int tensor, const struct scheme *scheme);

/* ---- for plans (items.c) --------------------------------------------------------------------- */

/* Adds a tensor of the file for one of the model, with one row of the file a row of the matrix; the caller
 * changes what is different. Null when memory is short. */
struct export_item *export_add(struct export *job, const struct naming *naming, int tensor,
                               const struct export_type *type, size_t row_bytes, struct error *error);

void export_note_add(struct export *job, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Whether all rotary frequencies are divided by the same factor, which may be 1: a linear scaling. */
bool export_rope_is_linear(const struct export *job, float *factor);

/* Refuses a tensor's scheme: the format holds no such type, and this is the nearest that it does. */
bool export_refuse(const struct export *job, int tensor, const char *format, const struct scheme *nearest,
                   const char *why, struct error *error);

/* ---- for files beside (items.c) -------------------------------------------------------------- */

/* Opens another file, which takes its place together with the export. Null with an error. */
FILE *export_beside(struct export *job, const char *path, struct error *error);

/* ---- for encoders (rows.c) ------------------------------------------------------------------- */

const struct qmatrix *export_matrix(const struct export *job, const struct export_item *item);

/* The row of the model's tensor, or the element of its vector, that comes `index`th in the file. */
size_t export_source(const struct export *job, const struct export_item *item, size_t index);

/* A row of the file as numbers: the weights, without what became part of other tensors. */
void export_values(const struct export *job, const struct export_item *item, size_t row, float *out);

/* The scale of a group of row r of the matrix, as the file has it. */
float export_scale(const struct export *job, const struct export_item *item, size_t r, size_t g);

/* A number as fp16; one beyond it counts as an overflow and becomes the largest. Or as fp32. */
void export_put_fp16(const struct export *job, const struct export_item *item, float value, uint8_t *out);
void export_put_fp32(const struct export *job, const struct export_item *item, float value, uint8_t *out);

/* ---- overflow (overflow.c) ------------------------------------------------------------------- */

/* n numbers of the item overflowed. */
void export_count_overflow(const struct export *job, const struct export_item *item, size_t n);

/* Fail, unless overflow is allowed, where the set has overflowed (before anything is written), or what was encoded
 * (before the file is in its place). Both add notes. */
bool export_check_set(struct export *job, struct error *error);
bool export_check_written(struct export *job, struct error *error);

/* Rows of floats in one of the three types. */
encode_fn encode_fp32, encode_fp16, encode_bf16;

/* Rows as they lie in memory. */
encode_fn encode_stored;

#endif
