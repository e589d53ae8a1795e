/* text.h - the text being generated, and the reference's beside it.
 *
 * The text advances at reading speed. In between the engine repeats the decode step of the newest token, so that the
 * meters never rest; a model slower than reading speed never repeats. */
#ifndef QTOP_LAB_TEXT_H
#define QTOP_LAB_TEXT_H

#include "state.h"

/* With the prompt of the options. text_close may follow a failure. */
bool text_open(struct lab *lab, struct error *error);
void text_close(struct lab *lab);

/* From the prompt on, with the seed that was asked for: that of the first text, not of those that followed it. */
void text_restart(struct lab *lab);

/* The set has changed: what the text is so far, and its KV cache, are of another one. */
void text_set_changed(struct lab *lab);

/* A new prompt: what a user says to a model with a chat template ("": a default question), else a text to continue.
 * False: why not has been said. */
bool text_prompt(struct lab *lab, const char *prompt);

/* The same prompt as a text to continue, or again as what a user says; says which. */
void text_toggle_chat(struct lab *lab);

/* Another temperature and seed, from the prompt on. */
void text_sampling(struct lab *lab, float temperature, uint64_t seed);

/* The KV cache in another datatype. It is emptied: every position is computed again from what the text is, not from
 * what the last datatype left of it. */
bool text_change_kv(struct lab *lab, enum dtype kv, struct error *error);

/* Decode steps for about `seconds`, at least one. */
void text_step(struct lab *lab, double seconds);

/* Whether the reference's text is wanted, too; it runs as far as the text, for about `seconds`: true while there is
 * more to do. */
void text_watch_reference(struct lab *lab, bool wanted);
bool text_watches_reference(const struct lab *lab);
bool text_follow_reference(struct lab *lab, double seconds);

uint64_t text_seed(const struct lab *lab);
size_t text_prompt_tokens(const struct lab *lab); /* with BOS */

/* Fills the frame's text and position. */
void text_publish(struct lab *lab, struct frame *frame);

#endif
