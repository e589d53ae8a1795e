#include "quantile.h"

#include <math.h>

static void exchange(double *a, double *b)
{
    double kept = *a;
    *a = *b;
    *b = kept;
}

/* The middle one of the first, the middle and the last value: sorted input is not a bad case. */
static double pivot_of(const double *v, size_t first, size_t last)
{
    double a = v[first], b = v[first + (last - first) / 2], c = v[last];
    return fmax(fmin(a, b), fmin(fmax(a, b), c));
}

/* Puts the k-th smallest value (from 0) in its place: none before it is larger, none behind it smaller. */
static void select_value(double *v, size_t n, size_t k)
{
    size_t first = 0, last = n - 1;
    while (first < last) {
        double pivot = pivot_of(v, first, last);
        size_t i = first, j = last;
        for (;; i++, j--) {
            while (v[i] < pivot)
                i++;
            while (v[j] > pivot)
                j--;
            if (i >= j)
                break;
            exchange(&v[i], &v[j]);
        }
        /* v[first..i-1] <= pivot <= v[j+1..last]; where i = j, that one is the pivot */
        if (i == j && k == i)
            return;
        if (k < i)
            last = i - 1;
        else
            first = i == j ? i + 1 : i;
    }
}

double quantile(double *values, size_t n, double share)
{
    double at = share * (double)(n - 1), fraction = at - floor(at);
    size_t k = (size_t)at;
    select_value(values, n, k);
    if (fraction == 0)
        return values[k];
    double next = values[k + 1];
    for (size_t i = k + 2; i < n; i++)
        next = fmin(next, values[i]);
    return values[k] + fraction * (next - values[k]);
}
