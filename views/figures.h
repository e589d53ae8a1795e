/* figures.h - what every number and column means: one table for the key F1 and the man page. */
#ifndef QTOP_FIGURES_H
#define QTOP_FIGURES_H

#include "keys.h"

struct figure {
    const char *name;
    const char *titles; /* of columns that it is about, between blanks: a title with a blank stands alone */
    unsigned screens;   /* a bit each; VIEW_COUNT's: it is in the header, above all of them */
    const char *text;
};

extern const struct figure figures[];
extern const size_t figure_count;

/* Those of a screen, then those of the header, into out (figure_count of them have room). Returns how many. */
size_t figures_of(enum view_id view, const struct figure **out);

bool figure_is_of(const struct figure *figure, const char *title);

#endif
