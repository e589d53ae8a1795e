#include "report.h"

#include "base/array.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct report_string {
    struct report_string *next;
    char text[];
};

/* ---- texts ------------------------------------------------------------------------------------- */

/* Room for a text of so many bytes; null when memory is short. */
static char *string_room(struct report *r, size_t n)
{
    struct report_string *s = malloc(sizeof *s + n + 1);
    if (!s) {
        r->failed = true;
        return NULL;
    }
    s->next = r->strings;
    r->strings = s;
    return s->text;
}

const char *report_text(struct report *r, const char *text)
{
    char *copy = text ? string_room(r, strlen(text)) : NULL;
    return copy ? strcpy(copy, text) : text ? "" : NULL;
}

const char *report_textf(struct report *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n >= 0 ? string_room(r, (size_t)n) : NULL;
    if (!text)
        return "";
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

/* ---- lists ------------------------------------------------------------------------------------- */

/* Defines report_add_NAME for a list of the report. */
#define ADDER(NAME, LIST, COUNT)                                                                                       \
    struct report_##NAME *report_add_##NAME(struct report *r)                                                          \
    {                                                                                                                  \
        static _Thread_local struct report_##NAME spare;                                                               \
        struct report_##NAME *list = array_grow(r->LIST, r->COUNT, sizeof *list);                                      \
        r->failed |= !list;                                                                                            \
        r->LIST = list ? list : r->LIST;                                                                               \
        struct report_##NAME *one = list ? &list[r->COUNT++] : &spare;                                                 \
        memset(one, 0, sizeof *one);                                                                                   \
        return one;                                                                                                    \
    }

ADDER(scheme, schemes, scheme_count)
ADDER(layer, layers, layer_count)
ADDER(histogram, histograms, histogram_count)
ADDER(depth, depth, depth_count)
ADDER(roof, roofs, roof_count)
ADDER(point, points, point_count)
ADDER(curve_point, curve, curve_count)

void report_add_fact(struct report *r, enum report_subject subject, const char *label, const char *value,
                     const char *reason)
{
    struct report_facts *f = &r->facts[subject];
    struct report_fact *list = array_grow(f->of, f->count, sizeof *list);
    r->failed |= !list;
    if (!list)
        return;
    f->of = list;
    f->of[f->count++] = (struct report_fact){report_text(r, label), report_text(r, value), report_text(r, reason)};
}

/* ---- the report -------------------------------------------------------------------------------- */

struct report *report_create(void)
{
    struct report *r = calloc(1, sizeof *r);
    char date[32] = "";
    struct tm tm;
    time_t now = time(NULL);
    if (!r)
        return NULL;
    if (gmtime_r(&now, &tm))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    r->date = report_text(r, date);
    r->version = PACKAGE_VERSION;
    r->title = "";
    r->read = metric_absent("not measured");
    return r;
}

void report_free(struct report *r)
{
    if (!r)
        return;
    for (struct report_string *s = r->strings, *next; s; s = next) {
        next = s->next;
        free(s);
    }
    for (enum report_subject s = 0; s < SUBJECTS; s++)
        free(r->facts[s].of);
    free(r->schemes);
    free(r->layers);
    free(r->histograms);
    free(r->depth);
    free(r->roofs);
    free(r->points);
    free(r->curve);
    free(r);
}

/* ---- which to take ----------------------------------------------------------------------------- */

const struct report_scheme *report_recommended(const struct report *r)
{
    for (size_t i = 0; i < r->scheme_count; i++)
        if (r->schemes[i].recommended)
            return &r->schemes[i];
    return NULL;
}

double report_size(const struct report_scheme *s)
{
    const struct metric *file = &s->figure[FIGURE_FILE], *memory = &s->figure[FIGURE_SIZE];
    return file->valid && file->value > 0 ? file->value : memory->valid && memory->value > 0 ? memory->value : NAN;
}

bool report_on_plot(const struct report_scheme *s)
{
    const struct metric *kl = &s->figure[FIGURE_KL];
    return kl->valid && kl->value >= 0 && !s->partial && !s->stale && isfinite(report_size(s));
}

bool report_on_front(const struct report *r, const struct report_scheme *s)
{
    double size = report_size(s), kl = s->figure[FIGURE_KL].value;
    if (!report_on_plot(s))
        return false;
    for (size_t i = 0; i < r->scheme_count; i++) {
        const struct report_scheme *o = &r->schemes[i];
        double its = report_size(o), its_kl = o->figure[FIGURE_KL].value;
        if (report_on_plot(o) && its <= size && its_kl <= kl && (its < size || its_kl < kl))
            return false;
    }
    return true;
}
