/* sections.h - what a report consists of: a table with a row for every section. */
#ifndef QTOP_REPORT_SECTIONS_H
#define QTOP_REPORT_SECTIONS_H

#include "report.h"

#include <stdio.h>

struct report_section {
    const char *id, *title;
    const char *how;                          /* what it shows and how that is computed; "" where the title says it */
    enum report_part part;                    /* whose basis and reason it has */
    bool (*has)(const struct report *report); /* whether there is anything to show */
    void (*html)(FILE *out, const struct report *report);
    void (*markdown)(FILE *out, const struct report *report);
};

extern const struct report_section report_sections[];
extern const size_t report_section_count;

/* Why a section has nothing to show. */
const char *report_section_reason(const struct report *report, const struct report_section *section);

#endif
