/* expression.h - regular expressions of tokenizer files (Oniguruma's Ruby syntax, doc/RE) as PCRE2 writes them. */
#ifndef QTOP_EXPRESSION_H
#define QTOP_EXPRESSION_H

#include "normalizer.h"

/* Appends the expression in PCRE2's syntax, for PCRE2_UTF, PCRE2_UCP and PCRE2_MULTILINE. False with what is not
 * known, or null where memory is short. What is left as it is means the same there, or does not compile. */
bool expression_translate(const char *from, size_t n, struct text_buffer *out, const char **why);

#endif
