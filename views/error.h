/* error.h - parts of the Error screen. */
#ifndef QTOP_VIEWS_ERROR_H
#define QTOP_VIEWS_ERROR_H

#include "tui.h"

/* error_selected.c: what a frame knows of the layer that is shown. The lab follows the cursor, and not at once: until
 * then a frame tells of the layer before, of another shape perhaps, and these are null. */
const struct detail *error_detail(const struct frame *frame, const struct qtensor *shown);
const struct columns *error_columns(const struct frame *frame, const struct qtensor *shown);
const struct output_frame *error_output(const struct frame *frame, const struct qtensor *shown);
const struct weight_view *error_weight(const struct frame *frame, const struct qtensor *shown);

/* error_depth.c: the hidden state's error through the depth of the model. */
void error_draw_depth(const struct frame *frame, struct rect area);

/* error_training.c: the training curve of a tensor whose scheme trains (qat). Returns the lines that it took. */
int error_draw_training(const struct frame *frame, int tensor, struct rect area);

/* error_methods.c: max |x| and max |w| of the columns, and what the input scale makes of them: x / s and w s. */
void error_draw_ranges(const struct frame *frame, const struct qtensor *packed, struct rect x, struct rect w);

/* Columns whose weights matter most, by mean |x|, and methods side by side on this layer. Both return the lines
 * that they took. */
int error_draw_salient(const struct frame *frame, const struct qtensor *packed, struct rect area);
int error_draw_comparison(const struct frame *frame, const struct qtensor *packed, struct rect area);

#endif
