#include "error.h"

#include "escape.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool error_set(struct error *e, const char *format, ...)
{
    if (e) {
        va_list args;
        char line[sizeof e->text];
        va_start(args, format);
        vsnprintf(line, sizeof line, format, args);
        va_end(args);
        escape_text(e->text, sizeof e->text, line, strlen(line));
    }
    return false;
}
