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

/* METHOD_COUNT where none has the name. */
static enum method method_by_name(struct field name)
{
    int m = 0;
    while (m < METHOD_COUNT && !field_is(name, method_forms[m].name))
        m++;
    return (enum method)m;
}

/* The names of a method's parameters, as an error lists them. */
static const char *parameters_of(enum method method, char out[96])
{
    size_t n = 0;
    for (int p = 0; p < PARAMETER_COUNT; p++)
        if (parameter_forms[p].method == method && n < 96)
            n += (size_t)snprintf(out + n, 96 - n, "%s%s", n ? " or " : "", parameter_forms[p].name);
    return out;
}

static bool parse_value(const struct parser *p, struct field f, enum parameter parameter, float *out)
{
    const struct parameter_form *form = &parameter_forms[parameter];
    char text[24] = "", expected[96], *end = text;
    if (f.n > 0 && f.n < sizeof text)
        memcpy(text, f.at, f.n);
    *out = strtof(text, &end);
    bool search = form->searched && field_is(f, "search");
    if (search)
        *out = PARAMETER_SEARCH;
    bool read = *text && *text != ' ' && end == text + f.n;
    if (search || (read && *out >= form->least && parameter_allows(parameter, *out)))
        return true;
    snprintf(expected, sizeof expected, "%s from %g to %g%s", form->whole ? "a whole number" : "a number",
             (double)form->least, (double)form->most, form->searched ? ", or search" : "");
    return refuse(p, f, "bad value", expected);
}

static bool parse_parameter(const struct parser *p, struct field f, enum method method,
                            struct methods *out, unsigned *seen)
{
    char names[96] = "none";
    struct field name = until(f.at, f.at + f.n, "=");
    int parameter = 0;
    while (parameter < PARAMETER_COUNT && !(parameter_forms[parameter].method == method &&
                                            field_is(name, parameter_forms[parameter].name)))
        parameter++;
    if (parameter == PARAMETER_COUNT)
        return refuse(p, name, "unknown parameter", parameters_of(method, names));
    if (*seen >> parameter & 1)
        return refuse(p, name, "a second", "every parameter once");
    *seen |= 1u << parameter;
    if (name.n == f.n)
        return refuse(p, (struct field){f.at + f.n, 0}, "no value", "= and a value");
    struct field value = {name.at + name.n + 1, f.n - name.n - 1};
    return parse_value(p, value, (enum parameter)parameter, &out->value[parameter]);
}

/* What stands in parentheses from *at on; *at becomes what follows them. */
static bool parse_parameters(const struct parser *p, const char **at, const char *end,
                             enum method method, struct methods *out)
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
static bool add_method(const struct parser *p, struct field name, enum method method,
                       struct methods *out)
{
    char expected[96];
    enum method a, b;
    if (method == METHOD_COUNT)
        return refuse(p, name, "unknown method", METHODS_EXPECTED);
    if (methods_have(out, method))
        return refuse(p, name, "a second", "every method once");
    methods_add(out, method);
    if (!methods_clash(out, &a, &b))
        return true;
    snprintf(expected, sizeof expected, "%s or %s, not both", method_forms[a].name, method_forms[b].name);
    return refuse(p, name, "these methods do not compose:", expected);
}

bool parse_methods(const struct parser *p, struct field f, struct scheme *s, bool *is)
{
    const char *at = f.at, *end = f.at + f.n;
    struct field name = until(at, end, "(+");
    *is = field_is(name, "rtn") || method_by_name(name) != METHOD_COUNT;
    if (!*is)
        return true;
    s->methods = (struct methods){0};
    if (field_is(name, "rtn"))
        return name.n == f.n || refuse(p, f, "rtn takes nothing along:", "rtn alone");
    for (;;) {
        name = until(at, end, "(+");
        enum method method = method_by_name(name);
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
