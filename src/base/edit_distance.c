#include "edit_distance.h"

#include <string.h>

enum { NAME = 128 };

size_t edit_distance(const char *a, const char *b)
{
    size_t row[NAME], n = strnlen(b, NAME - 1);
    for (size_t k = 0; k <= n; k++)
        row[k] = k;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0]++;
        for (size_t k = 1; k <= n; k++) {
            size_t best = diagonal + (a[i] != b[k - 1]);
            diagonal = row[k];
            best = row[k] + 1 < best ? row[k] + 1 : best;
            row[k] = row[k - 1] + 1 < best ? row[k - 1] + 1 : best;
        }
    }
    return row[n];
}
