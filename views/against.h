/* against.h - the parts of the Against screen. Private to it. */
#ifndef QTOP_VIEWS_AGAINST_H
#define QTOP_VIEWS_AGAINST_H

#include "tui.h"

/* The layers of both files side by side, in the order that was chosen, within an area; their titles where it has four rows
 * or more. The cursor stays inside. */
void against_layers_draw(struct tui *tui, struct rect area);

/* The tensor under the cursor, or -1. */
int against_layer_at_cursor(const struct tui *tui);

/* The next order of layers. */
void against_layers_sort(struct tui *tui, int by);
const char *against_layers_order(const struct tui *tui); /* in words */

#endif
