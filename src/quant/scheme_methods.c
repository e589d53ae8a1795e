/* The METHOD field: names joined by +, each with its parameters in parentheses. */
#include "scheme_parse.h"

#include <stdio.h>
#include <stdlib.h>

/* What stands before the next of these characters. */
static struct field until(const char *at, const char *end, const char *stops)
{
    size_t n = 0;
    while (at + n < end && !strchr(stops, at[n]))
        n++;
    return (struct field){at, n};
}

static const struct method *method_of(struct field name)
{
    return method_find(name.at, name.n);
}

/* The names of a method's parameters, as an error lists them. */
static const char *parameters_of(const struct method *method, char out[96])
{
    size_t n = 0;
    for (size_t i = 0; i < method->parameter_count && n < 96; i++)
        n += (size_t)snprintf(out + n, 96 - n, "%s%s", n ? " or " : "", method->parameters[i].name);
    return out;
}

static bool parse_value(const struct parser *p, struct field f, const struct parameter *parameter, float *out)
{
    char text[24] = "", expected[96], *end = text;
    if (f.n > 0 && f.n < sizeof text)
        memcpy(text, f.at, f.n);
    *out = strtof(text, &end);
    bool search = parameter->searchable && field_is(f, "search");
    if (search)
        *out = PARAMETER_SEARCH;
    bool read = *text && *text != ' ' && end == text + f.n;
    if (search || (read && *out >= parameter->min && parameter_allows(parameter, *out)))
        return true;
    snprintf(expected, sizeof expected, "%s from %g to %g%s", parameter->whole ? "a whole number" : "a number",
             (double)parameter->min, (double)parameter->max, parameter->searchable ? ", or search" : "");
    return refuse(p, f, "bad value", expected);
}

static bool parse_parameter(const struct parser *p, struct field f, const struct method *method,
                            struct methods *out, unsigned *seen)
{
    char names[96] = "none";
    struct field name = until(f.at, f.at + f.n, "=");
    size_t i = 0;
    while (i < method->parameter_count && !field_is(name, method->parameters[i].name))
        i++;
    if (i == method->parameter_count)
        return refuse(p, name, "unknown parameter", parameters_of(method, names));
    if (*seen >> i & 1)
        return refuse(p, name, "a second", "every parameter once");
    *seen |= 1u << i;
    if (name.n == f.n)
        return refuse(p, (struct field){f.at + f.n, 0}, "no value", "= and a value");
    struct field value = {name.at + name.n + 1, f.n - name.n - 1};
    return parse_value(p, value, &method->parameters[i], &methods_values(out, method)[i]);
}

/* What stands in parentheses from *at on; *at becomes what follows them. */
static bool parse_parameters(const struct parser *p, const char **at, const char *end,
                             const struct method *method, struct methods *out)
{
    unsigned seen = 0;
    do {
        struct field f = until(*at + 1, end, ",)");
        *at = f.at + f.n;
        if (!parse_parameter(p, f, method, out, &seen))
            return false;
        if (*at == end)
            return refuse(p, (struct field){end, 0}, "parentheses without an end", "')'");
    } while (**at == ',');
    ++*at;
    return true;
}

/* One more name; those before it are in *out. */
static bool add_method(const struct parser *p, struct field name, const struct method *method,
                       struct methods *out)
{
    char expected[EXPECTED_TEXT];
    const struct method *a, *b;
    if (!method)
        return refuse(p, name, "unknown method", methods_expected(expected, sizeof expected));
    if (methods_have(out, method))
        return refuse(p, name, "a second", "every method once");
    methods_add(out, method);
    if (!methods_clash(out, &a, &b))
        return true;
    snprintf(expected, sizeof expected, "%s or %s, not both", a->name, b->name);
    return refuse(p, name, "these methods do not compose:", expected);
}

bool parse_methods(const struct parser *p, struct field f, struct scheme *s, bool *is)
{
    const char *at = f.at, *end = f.at + f.n;
    struct field name = until(at, end, "(+");
    *is = field_is(name, "rtn") || method_of(name);
    if (!*is)
        return true;
    s->methods = (struct methods){0};
    if (field_is(name, "rtn"))
        return name.n == f.n || refuse(p, f, "rtn takes nothing along:", "rtn alone");
    for (;;) {
        name = until(at, end, "(+");
        const struct method *method = method_of(name);
        if (!add_method(p, name, method, &s->methods))
            return false;
        at = name.at + name.n;
        if (at < end && *at == '(' && !parse_parameters(p, &at, end, method, &s->methods))
            return false;
        if (at == end)
            return true;
        if (*at != '+')
            return refuse(p, (struct field){at, (size_t)(end - at)}, "unexpected", "+ and a method");
        at++;
    }
}
