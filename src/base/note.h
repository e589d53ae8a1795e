/* note.h - what a person should know though nothing failed: sentences in one text, with "; " between. */
#ifndef QTOP_NOTE_H
#define QTOP_NOTE_H

#include <stdarg.h>
#include <stddef.h>

/* Adds a sentence to a note with room for size bytes; what does not fit is cut. */
void note_add(char *note, size_t size, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

#endif
