/* roofs_cache.h - roofs that were measured before, kept in a file of the person's cache folder. */
#ifndef QTOP_ROOFS_CACHE_H
#define QTOP_ROOFS_CACHE_H

#include "roofs.h"

/* What the figures depend on, in one line: qtop's version, processor, instruction sets, cores, caches,
 * so many threads and where they are bound, the quota, huge pages. */
enum { FINGERPRINT_TEXT = 1024 };
void roofs_fingerprint(int threads, char out[FINGERPRINT_TEXT]);

/* The file for a fingerprint: qtop/roofs-HASH.json in XDG_CACHE_HOME, where that is an absolute path,
 * else in .cache of HOME. Null with an error where neither is set. The caller frees. */
char *roofs_cache_path(const char *fingerprint, struct error *error);

enum roofs_found {
    ROOFS_FOUND,
    ROOFS_ABSENT, /* there is no file */
    ROOFS_REFUSED /* there is one, and the error says what is wrong with it */
};

/* Reads such a file. It is believed only where it is whole, of this fingerprint, and every figure in it
 * is possible. */
enum roofs_found roofs_load(const char *path, const char *fingerprint, struct roofs *out,
                            struct error *error);

/* Writes it whole or not at all, and the folders above it where they are missing. Fails, too, where a
 * roof could not be measured: that is tried again next time. */
bool roofs_save(const char *path, const char *fingerprint, const struct roofs *roofs,
                struct error *error);

/* Where roofs came from. */
struct roofs_source {
    bool cached;         /* else measured now */
    struct error load;   /* why a file that is there was not believed; "" where nothing is wrong */
    struct error save;   /* why the figures could not be kept; likewise */
};

/* The roofs of this machine and pool as they were kept: false where there are none that can be believed. Disturbed
 * ones (roofs_were_disturbed) serve until they have been measured again. */
bool roofs_recall(struct pool *pool, struct roofs *out, struct roofs_source *source);

/* Keeps them for the next time, but disturbed ones not in the place of good ones; why that failed is in the source. */
void roofs_keep(struct pool *pool, const struct roofs *roofs, struct roofs_source *source);

/* The same in the place of whatever is kept. */
void roofs_replace(struct pool *pool, const struct roofs *roofs, struct roofs_source *source);

/* Whether roofs that are measured are this machine's: not where the topology is simulated. */
bool roofs_possible(struct error *error);

/* All of it: from the cache, else, or where `fresh`, measured and kept. Fails only where they are not
 * possible. */
bool roofs_here(struct pool *pool, bool fresh, struct roofs *out, struct roofs_source *source,
                struct error *error);

#endif
