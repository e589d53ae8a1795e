/* hf_packing.h - quantization_config of config.json where it says how tensors lie in two parts. Private to hf_*.c. */
#ifndef QTOP_HF_PACKING_H
#define QTOP_HF_PACKING_H

#include "hf_values.h"
#include "packing.h"

/* The packing that quantization_config names (null: the key is missing or null), of architectures that have packed
 * tensors (arch.h); hf_keys.c has the key of others. False with an error that names the key of what is not read. */
bool hf_packing_read(const struct hf_config *config, const struct packing **packing);

#endif
