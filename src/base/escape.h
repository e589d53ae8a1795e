/* escape.h - text from files, made safe for a terminal, and UTF-8 in pieces. */
#ifndef QTOP_ESCAPE_H
#define QTOP_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes n bytes of text into out (size bytes, NUL-terminated, cut where it is full): control
 * characters (C0, DEL, C1) and invalid UTF-8 become \n, \t, \xNN, those that turn the direction of writing (Unicode's
 * Bidi_Control, UAX #9) \uNNNN; the rest passes unchanged. Returns the bytes written. */
size_t escape_text(char *out, size_t size, const char *text, size_t n);

/* Reads one code point from n > 0 bytes. Returns the bytes consumed, or 0 when they are not valid
 * UTF-8 (overlong, surrogate, above U+10FFFF, cut short); *cut tells the last of these apart: more
 * bytes could make it valid. */
size_t utf8_read(const char *text, size_t n, uint32_t *code_point, bool *cut);

#endif
