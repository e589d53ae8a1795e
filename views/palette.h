/* palette.h - the colours of levels from good to bad, as a terminal numbers them. */
#ifndef QTOP_PALETTE_H
#define QTOP_PALETTE_H

enum { LEVELS = 10, GOOD_LEVELS = 3, BAD_LEVEL = 7 /* the first levels are good, those from here on bad */ };

/* Blue to grey to orange, which people who see no red or no green tell apart, too: by the bits of a colour where there are
 * 2^24 of them; in a palette of 256 its nearest in the cube of 6 x 6 x 6; of fewer cyan, `middle` and yellow. */
int palette_color(int level, int colors, int middle);

#endif
