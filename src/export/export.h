/* export.h - a set of weights as a file for other engines: a job in bounded slices.
 *
 * What the set contains is written, not what it was quantized from: codes, scales and zero points go into the file
 * as they are, and a scheme that the format has no type for is refused by name before anything is written.
 * Input scales of AWQ and SmoothQuant become part of the norm, or of the rows, in front of the matrices
 * (folding.h). The file appears under its name when it is complete; a cancelled export leaves no file. */
#ifndef QTOP_EXPORT_H
#define QTOP_EXPORT_H

#include "base/job.h"
#include "sys/pool.h"
#include "engine/weights.h"
#include "quant/importance.h"
#include "quant/scheme.h"

struct export_plan {
    const struct model *model;
    struct pool *pool;           /* whose caller runs the job; null: the caller alone materializes weights */
    struct weights *weights;
    const char *tokenizer_path;  /* of the file with the model's tokenizer; null: there is none */
    const char *path;            /* of the file to write */
    const char *format;          /* name of a format; null: by the path's ending */
    const struct importance *importance; /* what columns weighed in the method imatrix, or null; GGUF names it */
    bool allow_overflow;         /* write a file though numbers overflow its types; else that is an error */
};

struct export;

/* Whether sets with these schemes (schemes_count) can be written, as far as that can be told before
 * anything is quantized: what export_open would refuse. plan->weights is not looked at. */
bool export_check(const struct export_plan *plan, const struct scheme *schemes, struct error *error);

/* Plans the whole file. Model and pool must outlive the job; the set is referenced, paths are copied. Null with
 * an error that names the layer, its scheme and the nearest that the format holds, or what is wrong with the
 * path. */
struct export *export_open(const struct export_plan *plan, struct error *error);

/* Writes for about `seconds`; *done: the file is in its place. False with an error. */
bool export_step(struct export *job, double seconds, bool *done, struct error *error);

/* 0..1; the file's bytes. */
double export_fraction(const struct export *job);
size_t export_bytes(const struct export *job);

/* Cuts the end off "PATH for FORMAT" and returns the format; null where there is none that is known. */
const char *export_split_format(char *path);

/* Where it goes. */
const char *export_path(const struct export *job);

/* After *done: the names of the files that were written beside it, with commas between; "" where there are none. */
const char *export_beside_names(const struct export *job);

/* What a person should know of what is not in the file as it is in memory, one line each; null past the end. */
const char *export_note(const struct export *job, size_t i);

/* At any time; before *done no file is left. */
void export_close(struct export *job);

/* The name of a format; null past the last. */
const char *export_format_name(size_t i);

/* The names of all formats, for messages: "gguf, safetensors or gptq". Whether there is one called so. */
enum { EXPORT_NAMES = 128 };
const char *export_format_names(char out[EXPORT_NAMES]);
bool export_format_known(const char *name);

/* How a struct export runs as a job. */
extern const struct job_class export_class;

#endif
