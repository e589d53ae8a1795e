/* method.h - how a scheme's scales and codes are chosen: rounding to nearest, or one or more methods
 * that compose, each with its parameters.
 *
 *   rtn | NAME[(PARAMETER=VALUE,...)][+NAME...]
 *
 * Methods stand in the order of the table, which is the order in which they act: an input scale first,
 * then the range of every scale, then the codes. Those of the same part, or of parts that have nothing to
 * say to each other, do not compose. */
#ifndef QTOP_METHOD_H
#define QTOP_METHOD_H

#include <stdbool.h>
#include <stddef.h>

enum method { METHOD_AWQ, METHOD_SMOOTHQUANT, METHOD_CLIP, METHOD_GPTQ, METHOD_LLMINT8, METHOD_QAT, METHOD_COUNT };

enum parameter {
    PARAMETER_AWQ_ALPHA,
    PARAMETER_AWQ_CLIP,
    PARAMETER_SMOOTH_ALPHA,
    PARAMETER_CLIP_LEAST,
    PARAMETER_DAMP,
    PARAMETER_ACT_ORDER,
    PARAMETER_SEQUENCE,
    PARAMETER_THRESHOLD,
    PARAMETER_STEPS,
    PARAMETER_RATE,
    PARAMETER_BATCH,
    PARAMETER_DISTILL,
    PARAMETER_DECAY,
    PARAMETER_TEXT,
    PARAMETER_SEED,
    PARAMETER_COUNT
};

/* The value of a parameter that is to be searched for. */
#define PARAMETER_SEARCH (-1.0f)

/* A selection of methods. None: rounding to nearest. Parameters of absent methods mean nothing. */
struct methods {
    unsigned set; /* a bit for each method */
    float value[PARAMETER_COUNT];
};

struct method_form {
    const char *name;
    const char *summary;
    unsigned composes; /* with these others */
};

struct parameter_form {
    const char *name;
    enum method method;
    float usual, least, most;
    bool whole;    /* whole numbers only */
    bool searched; /* may also be `search` */
    const char *summary;
};

extern const struct method_form method_forms[METHOD_COUNT];
extern const struct parameter_form parameter_forms[PARAMETER_COUNT];

#define METHODS_EXPECTED "rtn, awq, smoothquant, clip, gptq, llmint8 or qat"

static inline bool methods_have(const struct methods *m, enum method method)
{
    return m->set >> method & 1;
}

/* Adds a method with its usual parameters; takes it away. */
void methods_add(struct methods *m, enum method method);
void methods_remove(struct methods *m, enum method method);

/* The share of a range that a search for the scale of the least error goes down to: that of `clip`, or of AWQ, which
 * brings one along; 1 where no method searches. */
double methods_clip_least(const struct methods *m);

bool methods_equal(const struct methods *a, const struct methods *b);

/* Whether a parameter may have the value. */
bool parameter_allows(enum parameter parameter, float value);

/* The first two that do not compose; false where all do. */
bool methods_clash(const struct methods *m, enum method *a, enum method *b);

/* Writes the canonical form: without parameters that are as usual. Of no method "rtn". */
char *methods_print(const struct methods *m, char *out, size_t size);

/* The methods' names alone, as a screen's column shows them. */
char *methods_print_names(const struct methods *m, char *out, size_t size);

#endif
