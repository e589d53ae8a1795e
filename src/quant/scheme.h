/* scheme.h - how one matrix is stored and what its activations are turned into.
 *
 *   stored[/int8] | WEIGHT[/ACT][:GRANULARITY][:SYMMETRY][:METHOD]
 *
 * Every scheme has one canonical spelling, which leaves out what is the default and parses back to
 * the same scheme. */
#ifndef QTOP_SCHEME_H
#define QTOP_SCHEME_H

#include "kernels/qformat.h"
#include "method.h"

struct qmatrix;
struct qtensor;

/* How the one calibrated scale of static activations is chosen; none: a scale for every token. */
enum act_range {
    ACT_DYNAMIC,
    ACT_MINMAX,     /* the whole range of calibration */
    ACT_PERCENTILE, /* all but the largest 0.1 % */
    ACT_MSE,        /* of the least squared error */
    ACT_KL,         /* of the least KL divergence between the distributions before and after */
    ACT_RANGES
};

enum { SCHEME_TEXT = 192 };

struct scheme {
    struct qformat format;    /* what a kernel knows of it */
    enum act_range act_range; /* of int8 and fp8 activations */
    struct methods methods;   /* how scales and codes are chosen */
    bool substituted;         /* in place of `asked`, whose blocks do not divide the rows (fit.h); no part of the scheme */
    enum dtype asked;
};

/* Parses text. On failure *out is untouched and the error names the position (from 1), what stands
 * there and what was expected. */
bool scheme_parse(const char *text, struct scheme *out, struct error *error);

/* The names that stand for a weight and an activation type, such as w8a8; null past the last. */
const char *scheme_alias(size_t i);

/* Writes the canonical form, NUL-terminated and never cut, and returns buffer. */
char *scheme_print(const struct scheme *scheme, char buffer[SCHEME_TEXT]);

/* The same, of one field as a screen's column shows it: "int8.asym", "g128", "asym". Stored types have what their
 * blocks have: "g32", or "g32/256" where a block of 256 columns scales the scales of its groups; "table" where codes
 * are entries of an uneven table. "-": floats. */
char *scheme_print_act(const struct scheme *scheme, char buffer[SCHEME_TEXT]);
char *scheme_print_granularity(const struct scheme *scheme, char buffer[SCHEME_TEXT]);
const char *scheme_symmetry(const struct scheme *scheme);

/* A weight datatype with the defaults of the grammar: int8, fp8 per channel, int4 in groups of 128,
 * symmetric, rounded to nearest, activations untouched. */
struct scheme scheme_default(enum dtype weight);

/* Whether the combination has a kernel; if not the error says why. Floating-point activations of 16
 * or 32 bits go with every weight; integer activations need integer weights, fp8 ones fp8 weights. */
bool scheme_check(const struct scheme *scheme, struct error *error);

bool scheme_equal(const struct scheme *a, const struct scheme *b);

/* The scheme of a model's stored matrix; that which a matrix of a set was made with. */
struct scheme scheme_stored(const struct qmatrix *stored);
struct scheme qtensor_scheme(const struct qtensor *p);
bool qtensor_has_scheme(const struct qtensor *p, const struct scheme *scheme);
char *qtensor_print_scheme(const struct qtensor *p, char buffer[SCHEME_TEXT]);

/* Has a matrix that is being made remember its scheme. False when memory is short. */
bool qtensor_set_scheme(struct qtensor *p, const struct scheme *scheme);

/* The method of a phase that it has, or null. */
const struct method *scheme_method(const struct scheme *scheme, enum method_phase phase);

/* Whether packing a matrix needs activations of calibration; whether its weights are trained, some of its columns stay
 * in fp16, its activations are divided by an input scale. */
bool scheme_needs_calibration(const struct scheme *scheme);
bool scheme_trains(const struct scheme *scheme);
bool scheme_splits_columns(const struct scheme *scheme);
bool scheme_scales_inputs(const struct scheme *scheme);

/* Bytes that a rows x cols matrix of this scheme occupies: codes, scales, zero points, an input scale and
 * a static activation scale; outlier columns, which only calibration can tell, are not in it. False when
 * the size does not fit in a size_t. */
bool scheme_bytes(const struct scheme *scheme, size_t rows, size_t cols, size_t *bytes);

#endif
