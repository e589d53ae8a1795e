/* text_frame.h - the texts as a frame shows them: UTF-8, or ids where there is no tokenizer. */
#ifndef QTOP_LAB_TEXT_FRAME_H
#define QTOP_LAB_TEXT_FRAME_H

#include "generation.h"

struct text_of {
    const struct generation *of;
    size_t begin;       /* tokens before the text, which are not shown */
    const char *before; /* shown with a line break in their place; or null */
};

/* The frame of a text and, unless null, the reference's, with where they diverge; the seed, the temperature and the
 * prompt's length are the caller's to fill. One reference; null when memory is short. */
struct text_frame *text_frame_new(const struct text_of *own, const struct text_of *reference);

#endif
