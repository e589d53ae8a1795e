/* pages.h - a whole report in each format. */
#ifndef QTOP_REPORT_PAGES_H
#define QTOP_REPORT_PAGES_H

#include "report.h"

#include <stdio.h>

/* One HTML file that is well-formed XML, too: no scripts, nothing from elsewhere; light and dark, on screen and paper.
 */
void page_html(FILE *out, const struct report *report);

/* Markdown with tables (GFM). */
void page_markdown(FILE *out, const struct report *report);

/* What the recommended scheme costs, in a few figures, which both formats have at the top. */
enum { TILES = 6, TILE_TEXT = 64 };
struct report_tile {
    const char *label;
    char value[TILE_TEXT], remark[TILE_TEXT]; /* remark: against the stored weights; "" where that is not known */
};

/* Returns how many there are. */
size_t report_tiles(const struct report *report, const struct report_scheme *scheme, struct report_tile out[TILES]);

/* The titles of the subjects of facts. */
extern const char *const report_subjects[SUBJECTS];

#endif
