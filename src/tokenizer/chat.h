/* chat.h - a turn of a conversation as tokens. */
#ifndef QTOP_CHAT_H
#define QTOP_CHAT_H

#include "tokenizer.h"

/* What a model is asked where nobody says. */
#define CHAT_QUESTION "Explain in a few sentences why the sky is blue."

/* Appends the tokens behind which a model of that tokenizer's chat template (tokenizer_chat, which has a family) answers
 * `user`; `system`: null or empty, what the template itself says. With BOS where the template or the tokenizer
 * puts it in front. What the two texts spell is text, with `special` also control tokens. */
bool chat_prompt(const struct tokenizer *tokenizer, const char *system, const char *user, bool special,
                 struct tokens *out, struct error *error);

#endif
