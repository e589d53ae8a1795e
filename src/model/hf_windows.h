/* hf_windows.h - which layers see a window only, by config.json. Private to hf_*.c. */
#ifndef QTOP_HF_WINDOWS_H
#define QTOP_HF_WINDOWS_H

#include "hf_values.h"

/* The window's size, 0 where no layer has one. */
bool hf_windows_read(const struct hf_config *config, struct hyper *hyper);

/* Gives it to the layers that have it: by layer_types, one kind a layer; or from max_window_layers on, where the
 * architecture asks for that; or as the architecture says. The layers are there. */
bool hf_windows_apply(const struct hf_config *config);

/* Reads sliding_window_pattern: every how manieth layer has no window, where layer_types does not say it. */
bool hf_windows_read_period(const struct hf_config *config);

#endif
