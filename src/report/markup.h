/* markup.h - texts of any origin in HTML (which is XML, too, as all that a report writes) and in Markdown.
 *
 * Control characters, invalid UTF-8 and what turns the direction of writing are shown escaped (base/escape.h), also the
 * noncharacters that XML 1.0 has not. */
#ifndef QTOP_MARKUP_H
#define QTOP_MARKUP_H

#include <stdio.h>

/* Writes a text as the content of an element or, in double quotes, as the value of an attribute (XML 1.0, 2.4). */
void put_html(FILE *out, const char *text);

/* Writes a text into a paragraph or a cell of a table (CommonMark 2.4; tables and links without markup: GFM). */
void put_markdown(FILE *out, const char *text);

#endif
