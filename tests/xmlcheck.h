/* xmlcheck.h - whether a text is well-formed XML (1.0, 5th edition) as far as reports use it: one root, elements nested,
 * attributes quoted and unique, no references but the five and numeric ones, only characters that XML has. */
#ifndef QTOP_TESTS_XMLCHECK_H
#define QTOP_TESTS_XMLCHECK_H

#include <stdbool.h>
#include <stddef.h>

/* What is wrong, with the byte; null where nothing is. Until the next call. */
const char *xml_wrong(const char *text, size_t size);

/* Elements of that name, in a text that is well-formed. */
size_t xml_count(const char *text, const char *name);

#endif
