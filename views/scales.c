#include "scales.h"

#include <math.h>

/* From the errors of 8 bits and more to those of 2; from what no text shows to another model. */
const struct scale scale_sqnr = {45, 10, false};
const struct scale scale_kl = {1e-5, 1, true};
const struct scale scale_roof = {1, 0.1, false};

int scale_level(const struct scale *s, double v)
{
    if (isnan(v))
        return -1;
    double share = s->log ? log(fmax(v, 0) / s->best) / log(s->worst / s->best) : (v - s->best) / (s->worst - s->best);
    return isnan(share) || share <= 0 ? 0 : (int)fmin(share * LEVELS, LEVELS - 1);
}

enum style scale_style(const struct scale *s, double v, enum style otherwise)
{
    int level = scale_level(s, v);
    return level < 0 ? otherwise : (enum style)(STYLE_LEVEL + level);
}
