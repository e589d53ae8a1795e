/* hf_config.h - config.json of Hugging Face's models. */
#ifndef QTOP_HF_CONFIG_H
#define QTOP_HF_CONFIG_H

#include "naming.h"

/* Biases that some architectures have where their key is true: a role whose tensor is there then. */
enum { HF_BIASES = 2 };
extern const struct hf_bias {
    const char *key;
    enum role role;
} hf_biases[HF_BIASES];

/* What a configuration asks of the weights beside it. */
struct hf_asked {
    bool attention_bias; /* the matrices of attention have biases, in architectures that leave that open */
    bool biases[HF_BIASES]; /* those of hf_biases, in architectures that read the key */
    const struct packing *packing; /* in which tensors lie that the architecture says; or null */
};

/* Reads a config.json's bytes: the architecture, hyper-parameters, the tokens that begin and end a text and whether
 * the head is tied, of a model that is otherwise empty. Keys that are missing mean what they mean to the
 * architecture's configuration class in transformers. Null with an error that names the key: of a value that is none,
 * of one that asks for what is not computed here, and of two that contradict each other. */
const struct arch *hf_config_parse(struct model *model, const uint8_t *data, size_t size, struct hf_asked *asked,
                                   struct error *error);

/* The same from a file. */
const struct arch *hf_config_read(struct model *model, const char *path, struct hf_asked *asked, struct error *error);

/* The key that says whether attention has biases. */
const char *hf_biased_key(const struct arch *arch);

/* An activation function's name in config.json. */
const char *hf_activation_name(enum activation activation);

/* Adds the tokens of eos_token_id, one or a list, in a generation_config.json's bytes to those that end a text. Ids that
 * are none of the vocabulary are left out; what cannot be used becomes a note, as it does in transformers. */
void hf_generation_parse(struct model *model, const uint8_t *data, size_t size);

/* The same from a file, which need not be there. */
void hf_generation_read(struct model *model, const char *path);

#endif
