#include "difference.h"

#include "array.h"
#include "escape.h"

#include <string.h>

bool value_differences_add(struct value_differences *list, const char *what, const char *first, const char *second)
{
    struct value_difference *of = array_grow(list->of, list->count, sizeof *of);
    if (!of)
        return false;
    list->of = of;
    struct value_difference *d = &of[list->count++];
    escape_text(d->what, sizeof d->what, what, strlen(what));
    escape_text(d->value[0], sizeof d->value[0], first, strlen(first));
    escape_text(d->value[1], sizeof d->value[1], second, strlen(second));
    return true;
}

void value_differences_free(struct value_differences *list)
{
    free(list->of);
    *list = (struct value_differences){0};
}
