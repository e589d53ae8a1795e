#include "method.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rows, in the order in which methods act. Adding a method is one row here and one file that defines
 * NAME_method. */
#define METHOD_ROWS(X) X(awq) X(smoothquant) X(clip) X(imatrix) X(gptq) X(llmint8) X(qat)

#ifndef TEST_METHOD_ROWS /* rows that a test adds */
#define TEST_METHOD_ROWS(X)
#endif

#define DECLARE(NAME) extern const struct method NAME##_method;
METHOD_ROWS(DECLARE)
TEST_METHOD_ROWS(DECLARE)

#define ROW(NAME) &NAME##_method,
const struct method *const method_table[] = {METHOD_ROWS(ROW) TEST_METHOD_ROWS(ROW) NULL};

_Static_assert(sizeof method_table / sizeof *method_table - 1 <= METHODS_MAX, "a bit for each method");

/* ---- rows ------------------------------------------------------------------------------------ */

const struct method *method_find(const char *name, size_t n)
{
    for (size_t i = 0; method_table[i]; i++)
        if (strlen(method_table[i]->name) == n && memcmp(method_table[i]->name, name, n) == 0)
            return method_table[i];
    return NULL;
}

size_t method_index(const struct method *method)
{
    size_t i = 0;
    while (method_table[i] != method)
        i++;
    return i;
}

static bool has(const struct methods *m, size_t index)
{
    return m->set >> index & 1;
}

bool methods_have(const struct methods *m, const struct method *method)
{
    return has(m, method_index(method));
}

static size_t first_value(const struct method *method)
{
    size_t first = 0;
    for (size_t i = 0; method_table[i] != method; i++)
        first += method_table[i]->parameter_count;
    return first;
}

float *methods_values(struct methods *m, const struct method *method)
{
    return m->value + first_value(method);
}

const float *methods_values_of(const struct methods *m, const struct method *method)
{
    return m->value + first_value(method);
}

void methods_add(struct methods *m, const struct method *method)
{
    if (methods_have(m, method))
        return;
    m->set |= 1u << method_index(method);
    for (size_t p = 0; p < method->parameter_count; p++)
        methods_values(m, method)[p] = method->parameters[p].default_value;
}

void methods_remove(struct methods *m, const struct method *method)
{
    m->set &= ~(1u << method_index(method));
}

/* ---- questions ------------------------------------------------------------------------------- */

const struct method *methods_of_phase(const struct methods *m, enum method_phase phase)
{
    for (size_t i = 0; method_table[i]; i++)
        if (has(m, i) && method_table[i]->phase == phase)
            return method_table[i];
    return NULL;
}

bool methods_need_activations(const struct methods *m)
{
    bool any = false;
    for (size_t i = 0; method_table[i]; i++)
        any |= has(m, i) && method_table[i]->needs.activations;
    return any;
}

bool methods_take_importance(const struct methods *m)
{
    bool any = false;
    for (size_t i = 0; method_table[i]; i++)
        any |= has(m, i) && method_table[i]->needs.importance;
    return any;
}

bool methods_need_importance_alone(const struct methods *m)
{
    bool alone = methods_take_importance(m);
    for (size_t i = 0; method_table[i]; i++)
        alone &= !has(m, i) || !method_table[i]->needs.activations || method_table[i]->needs.importance;
    return alone;
}

void methods_remove_calibrated(struct methods *m)
{
    for (size_t i = 0; method_table[i]; i++)
        if (method_table[i]->needs.activations)
            methods_remove(m, method_table[i]);
}

/* The last in the order of the table decides: a method for ranges stands behind those that bring a search along. */
double methods_range_min(const struct methods *m)
{
    double min = 1;
    for (size_t i = 0; method_table[i]; i++)
        if (has(m, i) && method_table[i]->range_min)
            min = method_table[i]->range_min(methods_values_of(m, method_table[i]));
    return min;
}

bool methods_equal(const struct methods *a, const struct methods *b)
{
    bool equal = a->set == b->set;
    for (size_t i = 0; equal && method_table[i]; i++) {
        const float *x = methods_values_of(a, method_table[i]), *y = methods_values_of(b, method_table[i]);
        for (size_t p = 0; has(a, i) && p < method_table[i]->parameter_count; p++)
            equal &= x[p] == y[p];
    }
    return equal;
}

bool parameter_allows(const struct parameter *p, float value)
{
    if (p->searchable && value == PARAMETER_SEARCH)
        return true;
    return value >= p->min && value <= p->max && !(p->whole && value != floorf(value));
}

static bool compose(const struct method *a, const struct method *b)
{
    return a->composes & PHASE_BIT(b->phase) && b->composes & PHASE_BIT(a->phase);
}

bool methods_clash(const struct methods *m, const struct method **a, const struct method **b)
{
    for (size_t i = 0; method_table[i]; i++)
        for (size_t k = i + 1; method_table[k]; k++)
            if (has(m, i) && has(m, k) && !compose(method_table[i], method_table[k])) {
                *a = method_table[i];
                *b = method_table[k];
                return true;
            }
    return false;
}

/* ---- the menu -------------------------------------------------------------------------------- */

struct menu {
    struct methods *out;
    size_t count, max;
};

static void offer(struct menu *menu, const struct method *one, const struct method *other)
{
    struct methods m = {0};
    if (one)
        methods_add(&m, one);
    if (other)
        methods_add(&m, other);
    if (menu->count < menu->max)
        menu->out[menu->count++] = m;
}

static void offer_phase(struct menu *menu, enum method_phase phase)
{
    for (size_t i = 0; method_table[i]; i++) {
        const struct method *one = method_table[i];
        if (one->phase != phase)
            continue;
        offer(menu, one, NULL);
        for (size_t k = 0; method_table[k] && phase == PHASE_INPUT_SCALE; k++)
            if (method_table[k]->phase == PHASE_CODES && compose(one, method_table[k]))
                offer(menu, one, method_table[k]);
    }
}

size_t methods_offered(struct methods *out, size_t max)
{
    static const enum method_phase order[PHASES] = {PHASE_RANGE, PHASE_CODES, PHASE_INPUT_SCALE, PHASE_SPLIT,
                                                    PHASE_TRAINING};
    struct menu menu = {out, 0, max};
    offer(&menu, NULL, NULL);
    for (size_t i = 0; i < PHASES; i++)
        offer_phase(&menu, order[i]);
    return menu.count;
}

/* ---- printing ------------------------------------------------------------------------------- */

/* The shortest writing that reads back as the same number. */
static void print_value(const struct parameter *p, float value, char out[24])
{
    if (p->searchable && value == PARAMETER_SEARCH) {
        memcpy(out, "search", sizeof "search");
        return;
    }
    if (p->whole) {
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

static size_t print_parameters(const struct methods *m, const struct method *method, char *out, size_t size,
                               size_t n)
{
    char value[24];
    bool any = false;
    const float *values = methods_values_of(m, method);
    for (size_t i = 0; i < method->parameter_count; i++) {
        const struct parameter *p = &method->parameters[i];
        if (values[i] == p->default_value)
            continue;
        n = append(out, size, n, any ? "," : "(");
        n = append(out, size, n, p->name);
        n = append(out, size, n, "=");
        print_value(p, values[i], value);
        n = append(out, size, n, value);
        any = true;
    }
    return any ? append(out, size, n, ")") : n;
}

static char *print(const struct methods *m, bool parameters, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; method_table[i]; i++) {
        if (!has(m, i))
            continue;
        n = append(out, size, n, n ? "+" : "");
        n = append(out, size, n, method_table[i]->name);
        if (parameters)
            n = print_parameters(m, method_table[i], out, size, n);
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

char *methods_expected(char *out, size_t size)
{
    size_t n = append(out, size, 0, "rtn");
    for (size_t i = 0; method_table[i]; i++) {
        n = append(out, size, n, method_table[i + 1] ? ", " : " or ");
        n = append(out, size, n, method_table[i]->name);
    }
    return out;
}

bool methods_describe(const struct methods *m, const struct calibration_info *found, char *out, size_t size)
{
    size_t n = 0;
    *out = 0;
    for (size_t i = 0; method_table[i]; i++)
        if (has(m, i) && method_table[i]->describe && n < size) {
            n += (size_t)method_table[i]->describe(found, out + n, size - n);
            n = append(out, size, n, "  ");
        }
    return n > 0;
}
