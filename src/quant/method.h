/* method.h - how a scheme's scales and codes are chosen: rounding to nearest, or one or more methods
 * that compose, each with its parameters.
 *
 *   rtn | NAME[(PARAMETER=VALUE,...)][+NAME...]
 *
 * A method is one row of the table in methods.c and one file with what it does. Methods stand in the order of the
 * table, which is the order in which they act: an input scale first, then the range of every scale, then the codes. */
#ifndef QTOP_METHOD_H
#define QTOP_METHOD_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct calibrated;
struct calibration_info;
struct factor;
struct input_stats;
struct pool;
struct qmatrix;
struct scheme;
struct trainer;

/* What a method chooses. */
enum method_phase {
    PHASE_INPUT_SCALE, /* a scale for every column of activations */
    PHASE_RANGE,       /* the range that each scale of weights covers */
    PHASE_CODES,       /* the codes of weights, on scales that are there */
    PHASE_SPLIT,       /* columns that stay in fp16 */
    PHASE_TRAINING,    /* weights and scales, by gradients */
    PHASES
};

#define PHASE_BIT(phase) (1u << (phase))

/* The weights that a method is for. */
enum method_weights {
    WEIGHTS_ANY,
    WEIGHTS_INTEGER, /* steps of equal size */
    WEIGHTS_SCALED,  /* integers and fp8 */
    WEIGHTS_SEARCHED, /* integers and block types */
    WEIGHTS_W8A8     /* int8 a channel, with int8 activations a token */
};

struct method_needs {
    bool activations; /* a calibration text */
    bool importance;  /* of them the mean squares of columns, which an importance matrix says, too */
    bool hessian;     /* of the output error, from the text's activations */
    bool gradients;
    enum method_weights weights;
};

/* The value of a parameter that is to be searched for. */
#define PARAMETER_SEARCH (-1.0f)

/* The share of a range that a search for the scale of the least error goes down to, where nothing else is said. */
#define RANGE_MIN_DEFAULT 0.5f

struct parameter {
    const char *name;
    float default_value, min, max;
    bool whole;      /* whole numbers only */
    bool searchable; /* may also be `search` */
    const char *summary;
};

/* What a phase of the quantization job asks of its method; `values` are those of its parameters, in their order. */

struct input_scaling {
    size_t alpha;     /* the parameter that is searched */
    bool weight_max;  /* the scale depends on weights, too */
    /* out (cols): the scales of one alpha. weight_max (cols): the largest |w| of each column, where it is asked for. */
    void (*scale)(const struct input_stats *stats, const float *weight_max, double alpha, float *out);
};

struct hessian_use {
    double damp, damp_max; /* share of the mean diagonal to add; the largest that a person may ask for */
    bool by_activation;    /* columns of the largest activations first */
    bool sequential;       /* inputs are those that the quantized layers before give */
};

/* Chooses all codes of a matrix whose grids are set, some columns at a time. */
struct code_solver {
    void *(*open)(const struct qmatrix *m, const struct factor *factor, struct error *error);
    void (*close)(void *solver);
    void (*load)(void *solver, size_t r, const float *values); /* row r: cols weights; rows are independent */
    bool (*step)(void *solver, struct pool *pool);             /* true when there is no more */
    bool (*row)(const void *solver, size_t r, float *out);     /* what row r became; false: it is to be rounded */
    bool (*targets)(const void *solver, size_t r, float *out); /* what its codes were chosen for; false likewise */
    double (*fraction)(const void *solver);
    size_t (*rounded)(const void *solver);                     /* rows that are to be rounded */
};

/* What is known of a tensor's inputs when its matrix is about to be packed. */
struct calibration_inputs {
    size_t cols;
    const struct input_stats *stats;
    const float *input_scale;    /* cols, or null */
    const struct factor *factor; /* where a method needs the Hessian and any activation came; else null */
    bool from_imatrix;           /* an importance matrix stands for the mean squares of stats, which may be null: */
    const float *importance;     /* cols, or null where it lacks them */
};

/* A row of the table. Slots that a method has no use for are null. */
struct method {
    const char *name, *summary;
    enum method_phase phase;
    unsigned composes; /* with methods of these phases, if those say so, too */
    struct method_needs needs;
    const struct parameter *parameters;
    size_t parameter_count;

    /* What more it asks of a scheme than `needs` says. */
    bool (*check)(const struct scheme *scheme, const float *values, struct error *error);
    /* Adds to *out what the packing of one tensor is to know; importance and outliers are allocated with malloc. */
    bool (*prepare)(const struct calibration_inputs *in, const float *values, struct calibrated *out,
                    struct error *error);
    /* Writes what it found, as a screen shows it. Returns what snprintf does. */
    int (*describe)(const struct calibration_info *found, char *out, size_t size);
    /* The share of a range that the search for the scale of the least error goes down to; 1: no search. */
    double (*range_min)(const float *values);
    struct hessian_use (*hessian)(const float *values); /* where it needs one */

    const struct input_scaling *input_scaling; /* PHASE_INPUT_SCALE */
    const struct code_solver *solver;          /* PHASE_CODES; null: codes are rounded to nearest */
    const struct trainer *trainer;             /* PHASE_TRAINING */
};

/* The table, ended by null. A method's index is its bit in struct methods. */
extern const struct method *const method_table[];

enum { METHODS_MAX = 16, METHOD_VALUES_MAX = 32 }; /* rows of the table; parameters of all rows */

/* A selection of methods. None: rounding to nearest. Parameters of absent methods mean nothing. */
struct methods {
    unsigned set; /* a bit for each method */
    float value[METHOD_VALUES_MAX]; /* of the parameters of all rows, one row after the other */
};

/* The row of a name, n bytes long, or null; a row's index. */
const struct method *method_find(const char *name, size_t n);
size_t method_index(const struct method *method);

bool methods_have(const struct methods *m, const struct method *method);

/* Adds a method with its defaults, unless it is there; takes it away. */
void methods_add(struct methods *m, const struct method *method);
void methods_remove(struct methods *m, const struct method *method);

/* The values of a method's parameters, in their order. */
float *methods_values(struct methods *m, const struct method *method);
const float *methods_values_of(const struct methods *m, const struct method *method);

/* The selected method of a phase, or null: those that compose are of different phases. */
const struct method *methods_of_phase(const struct methods *m, enum method_phase phase);

/* Whether any needs activations of calibration; takes away those that do. */
bool methods_need_activations(const struct methods *m);

/* Whether any takes importance; whether those are all that need activations, so that a matrix of it does for them. */
bool methods_take_importance(const struct methods *m);
bool methods_need_importance_alone(const struct methods *m);
void methods_remove_calibrated(struct methods *m);

/* The share of a range that a search for the scale of the least error goes down to; 1 where no method searches. */
double methods_range_min(const struct methods *m);

bool methods_equal(const struct methods *a, const struct methods *b);

/* Whether a parameter may have the value. */
bool parameter_allows(const struct parameter *parameter, float value);

/* The first two that do not compose; false where all do. */
bool methods_clash(const struct methods *m, const struct method **a, const struct method **b);

/* Every selection that a person is offered, in the order of a menu: none, each method alone, input scales also with
 * each way to choose codes. Returns how many (at most `max`); parameters have their defaults. */
size_t methods_offered(struct methods *out, size_t max);

/* Writes the canonical form: without parameters that have their defaults. Of no method "rtn". */
char *methods_print(const struct methods *m, char *out, size_t size);

/* The methods' names alone, as a screen's column shows them. */
char *methods_print_names(const struct methods *m, char *out, size_t size);

/* "rtn, awq, ... or qat": what errors name as the methods. */
char *methods_expected(char *out, size_t size);

/* What the methods found on a calibration text, as a screen shows it; false where there is nothing to say. */
bool methods_describe(const struct methods *m, const struct calibration_info *found, char *out, size_t size);

#endif
