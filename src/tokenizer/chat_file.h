/* chat_file.h - the chat template of a folder as Hugging Face's transformers writes it. */
#ifndef QTOP_CHAT_FILE_H
#define QTOP_CHAT_FILE_H

#include "chat_family.h"

/* What the template is that lies beside a file: chat_template.jinja or else, in tokenizer_config.json, chat_template,
 * of several with names the one called default. A file that cannot be read is said to be so. */
struct chat chat_beside(const char *path);

#endif
