#include "histogram.h"

#include <math.h>

struct histogram histogram_over(double low, double high)
{
    if (!isfinite(low) || !isfinite(high)) {
        low = -1;
        high = 1;
    }
    if (!(high > low)) {
        double width = fmax(fabs(low) * 1e-6, 1e-300);
        low -= width;
        high = low + 2 * width;
    }
    return (struct histogram){.low = low, .high = high};
}

void histogram_add(struct histogram *h, double value)
{
    if (isnan(value)) {
        h->unordered++;
        return;
    }
    double at = (value - h->low) / (h->high - h->low) * HISTOGRAM_BINS;
    int bin = at < 0 ? 0 : at >= HISTOGRAM_BINS ? HISTOGRAM_BINS - 1 : (int)at;
    h->count[bin]++;
    h->total++;
}
