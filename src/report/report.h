/* report.h - what a report says: which scheme to take for a model on a machine, and what it costs. Plain data, wherever
 * it was measured or read from; report_write (write.h) makes a file of it.
 *
 * All texts belong to the report (report_text), and are freed with it. */
#ifndef QTOP_REPORT_H
#define QTOP_REPORT_H

#include "base/metric.h"
#include "measure/histogram.h"

#include <stddef.h>

/* Figures of a scheme. */
enum report_figure {
    FIGURE_SIZE,   /* bytes of everything that it keeps in memory */
    FIGURE_FILE,   /* bytes of a file */
    FIGURE_BITS,   /* a weight, over everything */
    FIGURE_DECODE, /* tokens/s: median, */
    FIGURE_DECODE_MIN,
    FIGURE_DECODE_MAX, /* and ends of the samples */
    FIGURE_PREDICTED,  /* decode tokens/s, computed from the read bandwidth */
    FIGURE_PREFILL,    /* tokens/s */
    FIGURE_KL,         /* nats, mean over predictions; its standard error: */
    FIGURE_KL_ERROR,
    FIGURE_TOP1, /* 0..1; its standard error: */
    FIGURE_TOP1_ERROR,
    FIGURE_PERPLEXITY,
    FIGURE_PERPLEXITY_REFERENCE,
    FIGURE_COUNT
};

/* One line of what a report is of. */
struct report_fact {
    const char *label;
    const char *value;  /* null: absent, */
    const char *reason; /* and why */
};

/* The facts of one subject. */
enum report_subject { SUBJECT_MODEL, SUBJECT_MEASURED, SUBJECT_MACHINE, SUBJECTS };

struct report_facts {
    size_t count;
    struct report_fact *of;
};

/* A row of the table of schemes. */
struct report_scheme {
    const char *name;    /* as -s takes it, or what a snapshot has */
    const char *mark;    /* of a snapshot, its letter; null: none */
    const char *exports; /* formats that hold it; null: not known */
    const char *verdict; /* null: none */
    struct metric figure[FIGURE_COUNT];
    bool recommended;
    bool partial;      /* quality on a part of the text */
    bool disturbed;    /* other work on the machine slowed some samples of its speed */
    const char *stale; /* why its quality does not compare with the others'; null: it does */
};

/* The sensitivity of a layer: KL with it alone as in the scheme. */
struct report_layer {
    const char *name; /* blk.3.attn_q */
    const char *kind; /* attn_q */
    int block;        /* -1: outside the blocks */
    struct metric kl; /* nats */
    double kl_error;  /* standard error; NaN: not known */
    bool partial;     /* of a part of the tokens */
};

/* Errors of the weights of some layers, in report->error_unit. */
struct report_histogram {
    const char *name;
    struct histogram errors;
    struct metric sqnr_db; /* of these layers together; +infinity: exact */
    double largest;        /* |error|, in the weights' own unit; NaN: not known */
};

/* The hidden state's relative error behind a part of the model. */
struct report_depth {
    const char *name;
    double error;
};

struct report_roof {
    const char *name;
    double rate; /* multiply-adds a second */
};

enum report_point_kind { POINT_DECODE, POINT_PREFILL, POINT_LAYER, POINT_KINDS };

/* A computation under the roofs. */
struct report_point {
    const char *name;
    enum report_point_kind kind;
    double intensity; /* multiply-adds a byte */
    double rate;      /* multiply-adds a second */
};

/* What a search predicts. */
struct report_curve_point {
    double size, kl; /* bytes, nats */
};

/* What may be missing, each for a reason of its own. */
enum report_part { PART_SCHEMES, PART_FRONT, PART_SENSITIVITY, PART_ROOFLINE, PART_ERRORS, PART_DEPTH, REPORT_PARTS };

struct report_string;

struct report {
    const char *title;   /* of the model */
    const char *date;    /* ISO 8601 */
    const char *version; /* of qtop */
    const char *command; /* that makes it again; null: none does */
    const char *advice;  /* why the recommended scheme is; null: none is */
    struct report_facts facts[SUBJECTS];
    const char *missing[REPORT_PARTS]; /* why a part has no data; null: for no known reason */
    const char *basis[REPORT_PARTS];   /* what a part's figures are of, in a sentence; or null */
    size_t scheme_count, layer_count, histogram_count, depth_count, roof_count, point_count, curve_count;
    struct report_scheme *schemes;
    struct report_layer *layers;
    struct report_histogram *histograms;
    struct report_depth *depth;
    struct report_roof *roofs; /* of arithmetic */
    struct report_point *points;
    struct report_curve_point *curve;
    struct metric read;     /* the read roof, bytes a second */
    const char *error_unit; /* of the histograms */
    struct report_string *strings;
    bool failed; /* memory was short: something is not there */
};

/* An empty report of today with this version of qtop. Null when memory is short. */
struct report *report_create(void);
void report_free(struct report *report); /* null is fine */

/* Copies a text into the report. Null stays null; "" when memory is short. */
const char *report_text(struct report *report, const char *text);
const char *report_textf(struct report *report, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Add one, empty, to be filled in; valid until the next is added. When memory is short report->failed is set and what
 * is returned is in no list. */
struct report_scheme *report_add_scheme(struct report *report); /* figures absent */
struct report_layer *report_add_layer(struct report *report);
struct report_histogram *report_add_histogram(struct report *report);
struct report_depth *report_add_depth(struct report *report);
struct report_roof *report_add_roof(struct report *report);
struct report_point *report_add_point(struct report *report);
struct report_curve_point *report_add_curve_point(struct report *report);

/* A fact; value null: absent for that reason. Both are copied. */
void report_add_fact(struct report *report, enum report_subject subject, const char *label, const char *value,
                     const char *reason);

/* The row to take; null: none is recommended. */
const struct report_scheme *report_recommended(const struct report *report);

/* Whether a scheme's KL and size stand in the plot of the front: both measured, of the whole text, comparable. */
bool report_on_plot(const struct report_scheme *scheme);

/* Whether no other row on the plot is as small and as close to the reference, and one of both less. */
bool report_on_front(const struct report *report, const struct report_scheme *scheme);

/* The bytes that a scheme is judged by: of its file where there is one, else in memory. NaN: not known. */
double report_size(const struct report_scheme *scheme);

#endif
