/* roofs.h - what bounds speed on this machine (the roofline model: Williams, Waterman, Patterson 2009):
 * how fast memory is read, by number of threads, and how fast each instruction set multiplies. */
#ifndef QTOP_ROOFS_H
#define QTOP_ROOFS_H

#include "base/stats.h"
#include "kernels/dispatch.h"
#include "bandwidth.h"

/* Multiply-adds of one kind of numbers. */
enum peak { PEAK_FP32, PEAK_BF16, PEAK_INT8, PEAK_COUNT };

/* rounds of nothing but multiply-adds; returns how many of them that were. */
typedef double peak_fn(size_t rounds);

struct peak_info {
    const char *name;
    const char *summary;
    peak_fn *(*of)(const struct isa *isa); /* null where the instruction set has no such instruction */
};
extern const struct peak_info peaks[PEAK_COUNT];

enum { MAX_READ_ROOFS = 32, MAX_PEAK_ROOFS = 8 };

/* A roof: the spread over repeated runs. samples 0: not measured. */
struct roof {
    struct stats rate; /* bytes, or multiply-adds, a second */
    size_t samples;
};

struct read_roof {
    int threads;
    size_t buffer; /* bytes of a sweep */
    struct roof roof;
    struct error reason; /* why there is none, where samples is 0 */
};

struct peak_roof {
    const struct isa *isa;
    struct roof of[PEAK_COUNT]; /* all threads together */
};

struct roofs {
    int threads; /* of the pool */
    struct read_roof reads[MAX_READ_ROOFS]; /* fewest threads first; the last is all of them */
    size_t read_count;
    struct peak_roof sets[MAX_PEAK_ROOFS]; /* every available instruction set, best last */
    size_t set_count;
    double seconds;     /* that measuring took */
    bool exceeded;      /* something has run faster than they allow: they were measured too low */
    long long measured; /* when: seconds since 1970 */
};

/* A roof that others than the measuring itself have slowed is too low. Its runs then lie far apart (the best is 1.25
 * times the median or more, or 1.5 times the worst), or what it bounds reaches more than ROOF_EXCEEDED of it. */
enum { ROOF_TRIES = 3 }; /* times that a disturbed one is measured before the best of them is kept, and marked */
static const double ROOF_EXCEEDED = 1.05;
bool roof_was_disturbed(const struct roof *roof);

/* Whether one measurement of a roof is better than another: undisturbed, else with the higher median. */
bool roof_is_better(const struct roof *roof, const struct roof *than);

/* Whether so many threads read much slower than fewer do: less than 1 / 1.25 times. */
bool roofs_fall_short(const struct roofs *roofs, size_t read);

/* Whether any of them was disturbed, falls short or is exceeded. */
bool roofs_were_disturbed(const struct roofs *roofs);

/* The numbers of threads whose read bandwidth is measured, ascending and always with 1 and all: each
 * one up to 8, then half as many more. Returns how many. */
size_t roofs_thread_counts(int threads, int counts[MAX_READ_ROOFS]);

/* Multiply-adds a second of all the pool's threads, timed once over some ten milliseconds. */
double roofs_peak(peak_fn *run, struct pool *pool);

/* Measuring in slices, so that other work can alternate with it on the pool. */
struct roofs_job {
    struct roofs out;
    struct pool *pool;
    struct bandwidth_probe probe; /* of the current read roof */
    bool touched, warm;           /* its pages are there; it was swept once */
    double samples[9];            /* of the current roof */
    double begun;                 /* seconds, when its first sample began */
    size_t sample;                /* of the current roof, the next */
    int tries;                    /* of the current roof that were disturbed */
    size_t next, count;           /* roofs: the read ones, then every peak of every set */
};

/* Takes no memory. The pool must outlive the job. */
void roofs_begin(struct roofs_job *job, struct pool *pool);

/* Works for about `seconds`, at least one sweep or one run of a peak, up to a tenth of a second on
 * machines with large caches; true when all is measured. A read roof whose buffer finds no
 * memory gets a reason. */
bool roofs_step(struct roofs_job *job, double seconds);

/* 0..1 */
double roofs_fraction(const struct roofs_job *job);

/* What was measured, after roofs_step returned true. */
struct roofs roofs_take(const struct roofs_job *job);

/* Frees what is left, at any time: to cancel, end. */
void roofs_end(struct roofs_job *job);

/* All at once, which takes about a second. */
struct roofs roofs_measure(struct pool *pool);

#endif
