/* gguf_windows.h - which layers see a window only, by a GGUF file's metadata. Private to the rows of the table of
 * architectures. */
#ifndef QTOP_GGUF_WINDOWS_H
#define QTOP_GGUF_WINDOWS_H

#include "gguf_metadata.h"

/* Gives hyper.window to the layers that attention.sliding_window_pattern names, where it is there: a number n, every
 * n-th layer sees all (0: none does); or true for a window and false for none, one a layer. The layers are there. Fits
 * shape_gguf. */
bool gguf_windows_apply(const struct gguf_metadata *metadata, struct model *model);

#endif
