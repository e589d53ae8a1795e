/* hf_config.h - config.json of Hugging Face's models. */
#ifndef QTOP_HF_CONFIG_H
#define QTOP_HF_CONFIG_H

#include "assemble.h"

/* Reads a config.json's bytes: the architecture, hyper-parameters and whether the head is tied, of a model
 * that is otherwise empty. Null with an error that names the key. */
const struct arch *hf_config_parse(struct model *model, const uint8_t *data, size_t size,
                                   struct error *error);

/* The same from a file. */
const struct arch *hf_config_read(struct model *model, const char *path, struct error *error);

#endif
