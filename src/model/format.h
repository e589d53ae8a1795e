/* format.h - the formats of model files, and what reading one takes. Private to src/model and its tests. */
#ifndef QTOP_MODEL_FORMAT_H
#define QTOP_MODEL_FORMAT_H

#include "model.h"

/* A format of model files: a row of the table in format_table.c. */
struct format {
    const char *name;
    const char *description;
    const char *config; /* the file beside the weights that says what the model is; or null */
    /* By content, or, for formats of folders, by what is in the folder `path` (data null). */
    bool (*probe)(const char *path, const uint8_t *data, size_t size);
    /* Fills everything but path and format. Must not trust a byte. */
    bool (*open)(struct model *model, const char *path, struct error *error);
};

extern const struct format gguf_format, safetensors_format, pytorch_format, llmc_format, llama2c_format;

/* The table; null ends it. The first that recognises a file opens it: formats without a magic number are last. */
extern const struct format *const model_formats[];

/* A llama2.c checkpoint in memory that outlives the model. */
bool llama2c_parse(struct model *model, const uint8_t *data, size_t size, struct error *error);

/* What hyper says of a block: no roles, no steps. */
struct layer model_layer(const struct hyper *hyper, size_t block);

/* For formats: gives every layer what hyper says, for readers that know where layers differ. Frees those before. */
bool model_make_layers(struct model *model, struct error *error);

/* Gives a layer a window (0: it sees all), and the rotary table that goes with that. */
void model_set_window(struct model *model, size_t block, size_t window);

/* For formats: makes the tensor list for model->has (which loses the head where the model is tied) and for what each
 * layer has, or where that is not said what the model has, with the right names, shapes and no weights; and the steps of
 * model->arch. Makes layers where there are none. The error says what a block lacks, or that memory is short. */
bool model_make_tensors(struct model *model, struct error *error);

/* Counts model->parameters, and model->non_finite in files of up to 256 MiB: it reads every weight,
 * which a larger file should not have to wait for. */
void model_count(struct model *model);

#endif
