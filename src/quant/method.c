#include "method.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BIT(METHOD) (1u << METHOD_##METHOD)

const struct method_form method_forms[METHOD_COUNT] = {
    [METHOD_AWQ] = {"awq", "input scale that protects the weights of large activations",
                    BIT(CLIP) | BIT(GPTQ)},
    [METHOD_SMOOTHQUANT] = {"smoothquant", "input scale that moves outliers from activations to weights",
                            BIT(CLIP) | BIT(GPTQ)},
    [METHOD_CLIP] = {"clip", "scales of the least squared error instead of the whole range",
                     BIT(AWQ) | BIT(SMOOTHQUANT) | BIT(GPTQ)},
    [METHOD_GPTQ] = {"gptq", "column by column, each error made up for by the columns that follow",
                     BIT(AWQ) | BIT(SMOOTHQUANT) | BIT(CLIP)},
    [METHOD_LLMINT8] = {"llmint8", "columns of outlier activations in fp16, the others in int8", 0},
    [METHOD_QAT] = {"qat", "weights and scales that learn, by gradients through their rounding", 0},
};

const struct parameter_form parameter_forms[PARAMETER_COUNT] = {
    [PARAMETER_AWQ_ALPHA] = {"alpha", METHOD_AWQ, PARAMETER_SEARCH, 0, 1, false, true,
                             "input scale = mean |x| to this power"},
    [PARAMETER_AWQ_CLIP] = {"clip", METHOD_AWQ, 1, 0, 1, true, false,
                            "1: then scales of the least squared error, as the method clip finds them"},
    [PARAMETER_SMOOTH_ALPHA] = {"alpha", METHOD_SMOOTHQUANT, 0.5f, 0, 1, false, true,
                                "0 leaves outliers to activations, 1 moves them into the weights"},
    [PARAMETER_CLIP_LEAST] = {"least", METHOD_CLIP, 0.5f, 0.1f, 1, false, false,
                              "share of the range that the search goes down to"},
    [PARAMETER_DAMP] = {"damp", METHOD_GPTQ, 0.01f, 1e-6f, 1, false, false,
                        "added to the Hessian's diagonal, as a share of its mean"},
    [PARAMETER_ACT_ORDER] = {"actorder", METHOD_GPTQ, 1, 0, 1, true, false,
                             "1: columns of the largest activations first"},
    [PARAMETER_SEQUENCE] = {"sequence", METHOD_GPTQ, 1, 0, 1, true, false,
                            "1: calibrated on what the layers before, quantized already, give"},
    [PARAMETER_THRESHOLD] = {"threshold", METHOD_LLMINT8, 6, 0, INFINITY, false, false,
                             "a column with an activation of this magnitude is an outlier"},
    [PARAMETER_STEPS] = {"steps", METHOD_QAT, 300, 1, 100000, true, false, "of the optimizer"},
    [PARAMETER_RATE] = {"lr", METHOD_QAT, 6e-5f, 1e-8f, 1, false, false, "the highest learning rate"},
    [PARAMETER_BATCH] = {"batch", METHOD_QAT, 2048, 16, 65536, true, false, "tokens a step"},
    [PARAMETER_DISTILL] = {"distill", METHOD_QAT, 1, 0, 1, false, false,
                           "share of the KL divergence from the stored model in the loss; the rest is cross entropy"},
    [PARAMETER_DECAY] = {"decay", METHOD_QAT, 0, 0, 1, false, false, "of weights, by AdamW"},
    [PARAMETER_TEXT] = {"text", METHOD_QAT, 262144, 128, 1048576, true, false,
                        "tokens that it learns from at most"},
    [PARAMETER_SEED] = {"seed", METHOD_QAT, 1, 0, 1e6f, true, false, "of the order of windows"},
};

void methods_add(struct methods *m, enum method method)
{
    m->set |= 1u << method;
    for (int p = 0; p < PARAMETER_COUNT; p++)
        if (parameter_forms[p].method == method)
            m->value[p] = parameter_forms[p].usual;
}

void methods_remove(struct methods *m, enum method method)
{
    m->set &= ~(1u << method);
}

double methods_clip_least(const struct methods *m)
{
    if (methods_have(m, METHOD_CLIP))
        return (double)m->value[PARAMETER_CLIP_LEAST];
    bool awq = methods_have(m, METHOD_AWQ) && m->value[PARAMETER_AWQ_CLIP] > 0;
    return awq ? (double)parameter_forms[PARAMETER_CLIP_LEAST].usual : 1;
}

bool methods_equal(const struct methods *a, const struct methods *b)
{
    bool equal = a->set == b->set;
    for (int p = 0; p < PARAMETER_COUNT; p++)
        if (methods_have(a, parameter_forms[p].method))
            equal &= a->value[p] == b->value[p];
    return equal;
}

bool parameter_allows(enum parameter p, float value)
{
    const struct parameter_form *form = &parameter_forms[p];
    if (form->searched && value == PARAMETER_SEARCH)
        return true;
    return value >= form->least && value <= form->most && !(form->whole && value != floorf(value));
}

bool methods_clash(const struct methods *m, enum method *a, enum method *b)
{
    for (int i = 0; i < METHOD_COUNT; i++)
        for (int k = i + 1; k < METHOD_COUNT; k++) {
            if (!methods_have(m, (enum method)i) || !methods_have(m, (enum method)k) ||
                method_forms[i].composes >> k & 1)
                continue;
            *a = (enum method)i;
            *b = (enum method)k;
            return true;
        }
    return false;
}

/* ---- printing ------------------------------------------------------------------------------- */

/* The shortest writing that reads back as the same number. */
static void print_value(enum parameter p, float value, char out[24])
{
    if (parameter_forms[p].searched && value == PARAMETER_SEARCH) {
        memcpy(out, "search", sizeof "search");
        return;
    }
    if (parameter_forms[p].whole) {
        snprintf(out, 24, "%.0f", (double)value);
        return;
    }
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(out, 24, "%.*g", digits, (double)value);
        if (strtof(out, NULL) == value)
            return;
    }
}

static size_t append(char *out, size_t size, size_t n, const char *text)
{
    return n < size ? n + (size_t)snprintf(out + n, size - n, "%s", text) : n;
}

static size_t print_parameters(const struct methods *m, enum method method, char *out, size_t size,
                               size_t n)
{
    char value[24];
    bool any = false;
    for (int p = 0; p < PARAMETER_COUNT; p++) {
        const struct parameter_form *form = &parameter_forms[p];
        if (form->method != method || m->value[p] == form->usual)
            continue;
        n = append(out, size, n, any ? "," : "(");
        n = append(out, size, n, form->name);
        n = append(out, size, n, "=");
        print_value((enum parameter)p, m->value[p], value);
        n = append(out, size, n, value);
        any = true;
    }
    return any ? append(out, size, n, ")") : n;
}

static char *print(const struct methods *m, bool parameters, char *out, size_t size)
{
    size_t n = 0;
    for (int method = 0; method < METHOD_COUNT; method++) {
        if (!methods_have(m, (enum method)method))
            continue;
        n = append(out, size, n, n ? "+" : "");
        n = append(out, size, n, method_forms[method].name);
        if (parameters)
            n = print_parameters(m, (enum method)method, out, size, n);
    }
    if (n == 0)
        append(out, size, 0, "rtn");
    return out;
}

char *methods_print(const struct methods *m, char *out, size_t size)
{
    return print(m, true, out, size);
}

char *methods_print_names(const struct methods *m, char *out, size_t size)
{
    return print(m, false, out, size);
}
