#include "units.h"

#include <stddef.h>
#include <stdio.h>

const char *format_kl(char out[32], double kl, double standard_error, bool unicode)
{
    const char *sign = unicode ? "\u00b1" : "+-";
    if (kl == 0)
        snprintf(out, 32, "0");
    else
        snprintf(out, 32, kl < 0.001 ? "%.1e%s%.0e" : "%.4f%s%.4f", kl, sign, standard_error);
    return out;
}

const char *format_bytes(char buffer[16], double bytes)
{
    static const char units[] = " kMGTP";
    size_t unit = 0;
    for (; bytes >= 999.5 && unit < 5; unit++)
        bytes /= 1000;
    if (unit == 0)
        snprintf(buffer, 16, "%.0fB", bytes);
    else
        snprintf(buffer, 16, bytes < 9.995 ? "%.2f%cB" : bytes < 99.95 ? "%.1f%cB" : "%.0f%cB", bytes,
                 units[unit]);
    return buffer;
}
