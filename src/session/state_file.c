#include "state_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

uint64_t digest_bytes(uint64_t digest, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        digest = (digest ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3u;
    return digest;
}

uint64_t digest_number(uint64_t digest, uint64_t number)
{
    return digest_bytes(digest, &number, sizeof number);
}

uint64_t digest_text(uint64_t digest, const char *text)
{
    return digest_bytes(digest, text, strlen(text) + 1);
}

uint64_t digest_model(uint64_t digest, const struct model *m)
{
    struct stat st;
    if (m->path && stat(m->path, &st) == 0) {
        digest = digest_number(digest, (uint64_t)st.st_size);
        digest = digest_number(digest, (uint64_t)st.st_mtim.tv_sec);
        digest = digest_number(digest, (uint64_t)st.st_mtim.tv_nsec);
    }
    for (size_t i = 0; i < m->tensor_count; i++) {
        const struct qmatrix *q = &m->tensors[i].stored;
        digest = digest_text(digest, m->tensors[i].name);
        digest = digest_number(digest_number(digest_number(digest, q->rows), q->cols), q->bytes);
        if (roles[m->tensors[i].role].vector && q->codes)
            digest = digest_bytes(digest, q->codes, q->bytes);
    }
    return digest;
}

char *state_file_path(const char *kind, uint64_t digest, struct error *error)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    bool given = state && *state == '/';
    char *path = NULL;
    if (!given && (!home || *home != '/'))
        error_set(error, "neither XDG_STATE_HOME nor HOME names a folder for what interrupted work has done");
    else if (asprintf(&path, "%s%s/qtop/%s-%016" PRIx64, given ? state : home, given ? "" : "/.local/state", kind,
                      digest) < 0)
        error_set(error, "not enough memory");
    return path;
}
