/* hf_keys.h - keys of config.json that change what a model computes and that this program does not compute. Private to
 * hf_*.c. */
#ifndef QTOP_HF_KEYS_H
#define QTOP_HF_KEYS_H

#include "hf_values.h"

/* False with an error that names the first key of the table whose value is none of those that change nothing. */
bool hf_keys_check(const struct hf_config *config);

#endif
