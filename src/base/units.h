/* units.h - figures as people read them. */
#ifndef QTOP_UNITS_H
#define QTOP_UNITS_H

#include <stdbool.h>

/* "0.0020±0.0008": a KL divergence with its standard error, to as many decimals; with "+-" in ASCII. */
const char *format_kl(char out[32], double kl, double standard_error, bool unicode);

/* Bytes with a unit: 512B, 4.20MB, 131MB, 1.17GB (powers of 1000). */
const char *format_bytes(char buffer[16], double bytes);

#endif
