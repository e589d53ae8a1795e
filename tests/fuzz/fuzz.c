#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;
static int seeds, refusals;
static size_t longest = SIZE_MAX;
static char refused[512]; /* why the last input was; "" where it was accepted */

void fuzz_accepted(bool accepted, const char *why)
{
    snprintf(refused, sizeof refused, "%s", accepted ? "" : why);
}

void fuzz_seed(const void *data, size_t size)
{
    snprintf(refused, sizeof refused, "the target asked no parser");
    LLVMFuzzerTestOneInput(data, size);
    if (size > longest) /* libFuzzer would cut it */
        snprintf(refused, sizeof refused, "%zu bytes, and the longest input has %zu", size, longest);
    if (*refused) {
        fprintf(stderr, "seed %d is refused: %s\n", seeds, refused);
        refusals++;
    }
    char path[4096];
    snprintf(path, sizeof path, "%s/%02d", folder, seeds++);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) {
        perror(path);
        exit(1);
    }
}

void fuzz_seed_text(const char *text)
{
    fuzz_seed(text, strlen(text));
}

void fuzz_touch(const void *data, size_t size)
{
    static volatile uint8_t sink;
    const uint8_t *bytes = data;
    uint8_t sum = 0;
    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    sink = sum;
    (void)sink;
}

void fuzz_broken(const char *promise, const char *file, int line)
{
    fprintf(stderr, "%s:%d: broken promise: %s\n", file, line, promise);
    abort();
}

/* Whether there are seeds, and each is accepted. */
static bool write_seeds(void)
{
    fuzz_seeds();
    if (seeds == 0)
        fprintf(stderr, "there is no seed\n");
    return seeds > 0 && refusals == 0;
}

/* With --longest=BYTES and --seeds=FOLDER the program writes its seeds and ends, with 1 where a mutator would have
 * nothing valid to begin from; libFuzzer calls this before all else. */
int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    for (int i = 1; i < *count; i++)
        if (strncmp((*arguments)[i], "--longest=", 10) == 0) {
            longest = strtoull((*arguments)[i] + 10, NULL, 10);
        } else if (strncmp((*arguments)[i], "--seeds=", 8) == 0) {
            folder = (*arguments)[i] + 8;
            exit(write_seeds() ? 0 : 1);
        }
    return 0;
}
