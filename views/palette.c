#include "palette.h"

#include <stdlib.h>

enum { CYAN = 6, YELLOW = 3, CUBE = 6, CUBE_BEGIN = 16 };

static const unsigned rgb_of[LEVELS] = {0x3b8fe0, 0x5aa0e2, 0x7ab0e0, 0x9abcd8, 0xb0b8bd,
                                        0xc4b59a, 0xd6a96c, 0xe39a43, 0xea8425, 0xee6a12};

/* The nearest of the cube's shades, 0 .. 5. */
static int nearest_shade(unsigned value)
{
    static const int shades[CUBE] = {0, 95, 135, 175, 215, 255};
    int best = 0;
    for (int i = 1; i < CUBE; i++)
        if (abs(shades[i] - (int)value) < abs(shades[best] - (int)value))
            best = i;
    return best;
}

int palette_color(int level, int colors, int middle)
{
    unsigned rgb = rgb_of[level];
    int red = nearest_shade(rgb >> 16), green = nearest_shade(rgb >> 8 & 255), blue = nearest_shade(rgb & 255);
    if (colors >= 1 << 24)
        return (int)rgb;
    if (colors >= 256)
        return CUBE_BEGIN + CUBE * (CUBE * red + green) + blue;
    return level < GOOD_LEVELS ? CYAN : level >= BAD_LEVEL ? YELLOW : middle;
}
