#include "note.h"

#include <stdio.h>
#include <string.h>

void note_add(char *note, size_t size, const char *format, va_list args)
{
    size_t used = strlen(note);
    if (used > 0)
        used += (size_t)snprintf(note + used, size - used, "; ");
    if (used < size)
        vsnprintf(note + used, size - used, format, args);
}
