/* tables.h - the facts of a report as tables: the schemes in both formats, and in Markdown what HTML shows as plots. */
#ifndef QTOP_REPORT_TABLES_H
#define QTOP_REPORT_TABLES_H

#include "report.h"

#include <stdio.h>

/* table_html.c */
void html_schemes(FILE *out, const struct report *report);

/* table_markdown.c */
void markdown_schemes(FILE *out, const struct report *report);
void markdown_front(FILE *out, const struct report *report);
void markdown_map(FILE *out, const struct report *report);
void markdown_roofline(FILE *out, const struct report *report);
void markdown_errors(FILE *out, const struct report *report);
void markdown_depth(FILE *out, const struct report *report);

/* What marks in the table of schemes mean. */
#define SCHEMES_MARKS                                                                                                  \
    "± one standard error; ~ computed from the read bandwidth of memory; ? other work on the machine slowed some "    \
    "samples; .. of a part of the text so far."

#endif
