#include "llmint8.h"

size_t outlier_columns(const struct input_stats *s, double threshold, uint32_t *out)
{
    size_t n = 0;
    for (size_t c = 0; c < s->cols; c++)
        if ((double)input_largest(s, c) >= threshold)
            out[n++] = (uint32_t)c;
    return n;
}
