/* fuzz.h - what a fuzz target is: a file in this folder and a row in run.sh.
 *
 * A target defines LLVMFuzzerTestOneInput (libFuzzer's), which hands the bytes to a parser, uses whatever
 * the parser accepted and aborts where a promise is broken; and fuzz_seeds, which writes a few small
 * inputs to begin from, every one of which the parser must accept, and at its whole length: of what is refused at once
 * a mutator makes nothing. corpus/ keeps more: see run.sh. */
#ifndef QTOP_TESTS_FUZZ_H
#define QTOP_TESTS_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void fuzz_seeds(void);

/* For fuzz_seeds: writes one input. */
void fuzz_seed(const void *data, size_t size);
void fuzz_seed_text(const char *text);

/* To be called with whether the parser accepted an input, and the error where it did not. */
void fuzz_accepted(bool accepted, const char *why);

/* Reads every byte, so that a sanitizer sees those that are not there. */
void fuzz_touch(const void *data, size_t size);

/* Aborts, with a line that says so, unless the promise holds. */
#define FUZZ_PROMISE(condition)                                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fuzz_broken(#condition, __FILE__, __LINE__);                                           \
    } while (0)
void fuzz_broken(const char *promise, const char *file, int line);

#endif
