/* bench_report.h - what qtop bench says of one measurement: as text, as records, or as llama-bench does. */
#ifndef QTOP_BENCH_REPORT_H
#define QTOP_BENCH_REPORT_H

#include "batch.h"

#include "measure/speed.h"

/* What is compared: the first is what ratios are to. */
struct comparison {
    size_t count;
    char name[MAX_COMPARED][256];
    struct weights *sets[MAX_COMPARED];
    struct speed speed[MAX_COMPARED];
    bool uses_imatrix; /* any of the sets takes the importance matrix; or there is none */
    bool partial; /* interrupted: of fewer rounds than were planned */
};

/* One point of the grid of lengths. */
struct bench_point {
    size_t depth, prompt, generated; /* tokens */
    size_t number, count;            /* of all points, from 0 on */
    bool new_prompt, new_generated;  /* whether no earlier point timed that prompt, or that many generated tokens, here */
};

void bench_report(const struct batch *b, const struct comparison *c, const struct bench_point *at,
                  const struct options *o);

/* For --format llama-bench: an object for the prompt and one for the generated tokens, of every set. */
void bench_report_llama(const struct batch *b, const struct comparison *c, const struct bench_point *at,
                        const struct options *o);

#endif
