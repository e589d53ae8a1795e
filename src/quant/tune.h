/* tune.h - a search for the best scheme of every layer within budgets.
 *
 * Every layer is made in every scheme on offer, some rows of it, and the squared error of its output measured; every
 * scheme is timed. The whole model is quantized once, and the KL divergence of layers alone measured (sensitivity.h):
 * what a layer costs in any scheme is that, scaled by the squared errors. Losses of layers are then taken to add up,
 * and the best choice of each is found exactly (knapsack.h). What was found is made and evaluated on a text that the
 * search did not see, and its own layers measured for the next choice, as long as that gets better; a budget of KL
 * divergence is met by evaluations alone. */
#ifndef QTOP_TUNE_H
#define QTOP_TUNE_H

#include "base/job.h"
#include "measure/quality.h"
#include "quantization.h"

/* Any of them; max_kl alone asks for the least size; 0: no such budget. */
struct budget {
    double max_size;  /* bytes of everything: in memory, or of the file */
    double max_bits;  /* a weight, over the linear matrices inside blocks; others stay as stored */
    double min_rate;  /* decode tokens/s */
    double max_kl;    /* nats, on the text of the verification */
    char format[16];  /* of a file that is to be written, whose bytes then count; "": those in memory do */
    bool memory;      /* it was asked for those in memory */
};

/* A format of files as a search sees it (export/tuning.h makes one). */
struct tune_file {
    void *context;
    /* Bytes that a tensor with a scheme takes in the file; 0: the format does not hold it so. */
    size_t (*tensor_bytes)(void *context, int tensor, const struct scheme *scheme);
    /* Bytes of the whole file of these schemes (schemes_count), metadata and tokenizer included; 0 with an error. */
    size_t (*bytes)(void *context, const struct scheme *schemes, struct error *error);
};

/* A budget in writing: some of "size 1.5M", "bits 4.5" or "4.5 bits", "kl 0.01", "rate 50", and perhaps "for gguf" or
 * "for memory". */
bool budget_parse(const char *text, struct budget *out, struct error *error);

/* Makes it one of files of a format; whether there is such a format, who writes files knows. */
bool budget_for(const char *format, struct budget *out, struct error *error);

/* Bytes in writing: "700000", "1.5M", in powers of 1000; the error calls it `name`. */
bool size_parse(const char *name, const char *text, double *out, struct error *error);

/* The same in the other direction, to ten digits. Returns out. */
const char *size_print(char out[32], double bytes);

/* False where nothing is asked for. */
bool budget_check(const struct budget *budget, struct error *error);

enum { TUNE_SEARCH_TOKENS = 512 }; /* that a search has use for */

/* A mix of schemes that has a name, to compare with. */
struct tune_rival {
    const char *name;
    const struct scheme *schemes; /* schemes_count */
};

struct tune_plan {
    const struct model *model;
    struct pool *pool;             /* whose caller runs the job */
    struct weights *stored;
    struct weights *reference;     /* what KL is measured against: the same set, or another model's */
    enum dtype kv;                 /* of the KV cache, which stays as it is */
    struct budget budget;
    const struct tune_file *file;  /* of the budget's format; outlives the job; null: sizes are of memory */
    const struct calibration_text *text; /* outlives the job */
    const struct importance *importance; /* see quantization.h */
    const int32_t *search;         /* tokens that the search measures on, without BOS; copied as far as used */
    size_t search_count;
    struct quality_plan verify;    /* of another text; outlives the job */
    size_t context;
    double seconds;                /* that the choice may be made better in; 0: twice, at most */
    const struct tune_rival *rival; /* mixes of which the largest that is within the budget is evaluated, too */
    size_t rivals;
};

struct tune;

/* Whether a budget of bytes can be met at all: of the plan only the model, the stored weights and the budget are
 * looked at. */
bool tune_check(const struct tune_plan *plan, struct error *error);

struct tune *tune_open(const struct tune_plan *plan, struct error *error);
void tune_close(struct tune *job);

/* Works for about `seconds`; *done: the search is over. False with an error: an impossible budget names what can be
 * reached. */
bool tune_step(struct tune *job, double seconds, bool *done, struct error *error);

/* 0..1, and what is being done. */
double tune_fraction(const struct tune *job);
const char *tune_work(const struct tune *job);

/* Schemes on offer, and how many of them were timed so far, which is after every layer was measured in all. */
size_t tune_candidates(const struct tune *job, size_t *measured);

/* What was measured of layers that change together: the KL divergence, and the errors of their outputs added up. */
struct tune_point_of {
    double kl, error;
};

/* What was measured so far, in the job's own memory: of scheme c and layer i at [i * candidates + c]. To keep it, and to
 * fill in what an earlier job of the same plan had measured. It has parts: errors, the times of each scheme, and KL. */
struct tune_table {
    size_t items, candidates, parts, all_parts;
    double *error;         /* NaN where a layer cannot have the scheme */
    double *seconds;
    double *total_seconds; /* of a decode step, one a candidate */
    struct tune_point_of *probed; /* of each layer: the KL divergence is what is kept */
    uint8_t *probe;               /* the scheme that it was measured in */
};
struct tune_table tune_table(struct tune *job);

/* The first parts of its table are filled in: a job that was just opened goes on behind them. */
void tune_resume(struct tune *job, size_t parts);

/* What was found: of a job that is done or, where it was stopped, the best so far; false where there is none yet. */
struct tuned {
    const struct scheme *schemes;  /* schemes_count; the job's */
    struct weights *set;           /* made of them; the job's */
    size_t size;                   /* of the file, or in memory */
    double bits_per_weight, bits_per_weight_all; /* likewise: of linear layers in blocks; 8 x size / weights */
    double rate;                   /* predicted from the layers' times */
    struct quality_result quality; /* measured */
    double predicted_kl;           /* the layers' own, added up */
    const char *rival;             /* the mix that was compared; null: none, or not yet */
    size_t rival_size;             /* as size */
    struct quality_result rival_quality;
};
bool tune_best(const struct tune *job, struct tuned *out);

/* The curve that was searched: for every step the least predicted KL within a cost (bytes, or seconds a token where
 * the budget is a rate). At most `most` points are written, ends included; returns how many. */
struct tune_point {
    double cost, kl;
};
size_t tune_curve(const struct tune *job, struct tune_point *out, size_t max);

#endif
