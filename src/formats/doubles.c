#include "doubles.h"

#include "sys/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double double_at(const uint8_t *data, size_t i)
{
    double value;
    memcpy(&value, data + i * sizeof value, sizeof value);
    return value;
}

/* The first finite number that rounds to infinity, or n. */
static size_t round_run(const uint8_t *data, size_t n, float *out)
{
    size_t beyond = n;
    for (size_t i = n; i-- > 0;) {
        double value = double_at(data, i);
        out[i] = (float)value;
        if (isinf(out[i]) && !isinf(value))
            beyond = i;
    }
    return beyond;
}

float *doubles_round(const uint8_t *data, size_t n, const char *name, struct error *error)
{
    float *out = NULL;
    if (!memory_check("to read F64 tensors as fp32", n * sizeof *out, error))
        return NULL;
    out = malloc(n * sizeof *out + 1);
    if (!out) {
        error_set(error, "tensor %.128s: not enough memory to read %zu numbers of F64 as fp32", name, n);
        return NULL;
    }
    size_t beyond = round_run(data, n, out);
    if (beyond == n)
        return out;
    error_set(error, "tensor %.128s: number %zu is %g in F64; expected at most %g, what fp32 holds", name, beyond,
              double_at(data, beyond), (double)0x1.fffffep127f);
    free(out);
    return NULL;
}
