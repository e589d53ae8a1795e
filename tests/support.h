/* support.h - what the unit tests share: seeded numbers, digests, matrices and models made on the
 * spot, and the folder of reference data. */
#ifndef QTOP_TESTS_SUPPORT_H
#define QTOP_TESTS_SUPPORT_H

#include "kernels/matrix.h"
#include "quant/scheme.h"
#include "model/model.h"

#include <stdio.h>

/* Whether a sanitizer watches, which takes time and memory of its own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif

/* Seconds that a test waits for what must come: only a hang takes them. */
enum { PATIENCE = SANITIZED ? 600 : 180 };

/* Every how many cases of a long list one is checked, the first among them, where the list only repeats one check:
 * QTOP_TEST_STRIDE, else 1. Emulators and sanitizers are slow. */
size_t test_stride(void);

/* SplitMix64 (Steele, Lea, Flood 2014), the stream that fp8_digest.py makes too. */
uint64_t random_bits(uint64_t *state);
double random_uniform(uint64_t *state);              /* [0, 1) */
double random_normal(uint64_t *state);               /* mean 0, variance 1 */
size_t random_below(uint64_t *state, size_t n);      /* 0..n-1 */

/* FNV-1a, 64 bits; begin with FNV_START. */
#define FNV_START 0xcbf29ce484222325u
uint64_t fnv1a(uint64_t hash, const void *bytes, size_t n);

/* Memory that must be there, of exactly n bytes, so that a sanitizer sees the first one beyond. */
void *make(size_t n);

/* Calls see for every scheme that the grammar can spell over these group sizes without a method or static
 * activations, `stored` apart. */
typedef void scheme_fn(const struct scheme *scheme, void *arg);
void each_scheme(const uint32_t *groups, size_t count, scheme_fn *see, void *arg);

/* Whether the grammar has a spelling for the combination. */
bool spellable(const struct scheme *scheme);

/* Clears those of the five bits of a block's fp16 exponents, or of the five below the sign of E4M3. A power of two
 * becomes 2^-15 .. 1, at most 2^-12 if it is all bits; an fp32 scale a number of 2^-15 .. 2, below 2^-15 if it is. */
void clear_exponent(enum dtype type, unsigned bits, uint8_t *block);

/* Blocks of a stored type as stored_vectors.py makes them: random bytes, finite scales smaller than 2. */
void random_blocks(enum dtype type, size_t count, uint64_t *seed, uint8_t *out);

/* A matrix of a stored type around its blocks, which must outlive it. */
struct qmatrix stored_matrix(enum dtype type, size_t rows, size_t cols, const uint8_t *blocks);

/* The dimensions of a Llama that write_llama2c makes up. */
struct tiny {
    int32_t dim, hidden, layers, heads, kv_heads, vocab, context;
    bool tied;
};

/* Writes a random model in the version-1 layout of llama2.c into a new temporary file and returns
 * its path, which the caller unlinks and frees. */
char *write_llama2c(const struct tiny *shape, uint64_t seed);

/* A model in memory with one fp32 matrix; values must outlive it. Free with free_matrix_model. */
struct model matrix_model(const float *values, size_t rows, size_t cols);
void free_matrix_model(struct model *model);

/* The path of a file in the reference folder: QTOP_SHARED, else the sources' ../shared. Null when
 * it is not there; the caller frees. */
char *shared_path(const char *name);

/* What follows, up to must_end(false), must end: the program is killed where it takes more than PATIENCE. For inputs so
 * long that a step of the wrong order takes hours; how long the right one takes is not looked at. */
void must_end(bool begin);

/* A whole file and a NUL; the caller frees. Null when it cannot be read. */
char *read_whole(const char *path, size_t *n);

#endif
