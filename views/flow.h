/* flow.h - a line of figures that becomes more lines where a screen is narrow: parts stand whole, with their units, or
 * not at all. */
#ifndef QTOP_FLOW_H
#define QTOP_FLOW_H

#include "widgets.h"

struct flow {
    struct rect area;
    int lines, used; /* begun so far; columns of the last one */
};

/* An empty flow in an area. */
struct flow flow_begin(struct rect area);

/* Adds a part, behind a gap of two columns or on the next line. Where no line has room for it, it is left out. */
void flow_put(struct flow *flow, enum style style, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
