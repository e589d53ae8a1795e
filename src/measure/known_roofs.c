#include "known_roofs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Peak figures as the makers publish them; what a program reads is less. */
const struct known_roof known_roofs[] = {
    /* NVIDIA H100 Tensor Core GPU data sheet, H100 SXM, memory bandwidth */
    {"h100", "NVIDIA H100 SXM, 3.35 TB/s", 3.35e12},
    /* NVIDIA A100 Tensor Core GPU data sheet, A100 80GB SXM: 2,039 GB/s, given as 2 TB/s */
    {"a100", "NVIDIA A100 80GB SXM, 2.0 TB/s", 2.0e12},
    /* NVIDIA Ada GPU architecture paper, GeForce RTX 4090: 384 bits of GDDR6X at 21 Gbit/s */
    {"rtx4090", "NVIDIA GeForce RTX 4090, 1.008 TB/s", 1.008e12},
    /* Apple, Mac Studio (2023) technical specifications, M2 Ultra */
    {"m2-ultra", "Apple M2 Ultra, 800 GB/s", 800e9},
    /* JEDEC JESD79-5: 5600 million transfers a second, 8 bytes each, on two channels */
    {"ddr5-5600", "DDR5-5600 on two channels, 89.6 GB/s", 89.6e9},
};
const size_t known_roof_count = sizeof known_roofs / sizeof *known_roofs;

static bool expected(const char *text, struct error *error)
{
    char names[160] = "";
    for (size_t i = 0, n = 0; i < known_roof_count && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, ", %s", known_roofs[i].name);
    return error_set(error, "--roof '%.32s': expected a rate from 1MB/s to 1e9TB/s, such as 2TB/s, "
                            "68GB/s or 900e9 (bytes a second), or a machine%s", text, names);
}

bool roof_parse(const char *text, double *rate, const struct known_roof **known, struct error *error)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"TB/s", 1e12}, {"GB/s", 1e9}, {"MB/s", 1e6}, {"B/s", 1}, {"", 1}};
    *known = NULL;
    for (size_t i = 0; i < known_roof_count; i++)
        if (strcasecmp(text, known_roofs[i].name) == 0) {
            *known = &known_roofs[i];
            *rate = known_roofs[i].rate;
            return true;
        }
    char *end;
    double v = strtod(text, &end);
    while (end != text && *end == ' ')
        end++;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (end != text && strcasecmp(end, units[i].unit) == 0) {
            *rate = v * units[i].factor;
            return (*rate >= 1e6 && *rate <= 1e21) || expected(text, error);
        }
    return expected(text, error);
}

double roof_tokens_per_second(double rate, size_t bytes_per_token)
{
    return bytes_per_token > 0 ? rate / (double)bytes_per_token : NAN;
}
