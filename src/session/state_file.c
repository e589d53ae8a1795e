#include "state_file.h"

#include "base/user_path.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

uint64_t digest_layers(uint64_t digest, const struct model *m)
{
    for (size_t i = 0; i < m->tensor_count; i++) {
        const struct qmatrix *q = &m->tensors[i].stored;
        digest = digest_text(digest, m->tensors[i].name);
        digest = digest_number(digest_number(digest_number(digest, q->rows), q->cols), q->bytes);
        if (roles[m->tensors[i].role].vector && q->codes)
            digest = digest_bytes(digest, q->codes, q->bytes);
    }
    return digest;
}

uint64_t digest_model(uint64_t digest, const struct model *m)
{
    struct stat st;
    if (m->path && stat(m->path, &st) == 0) {
        digest = digest_number(digest, (uint64_t)st.st_size);
        digest = digest_number(digest, (uint64_t)st.st_mtim.tv_sec);
        digest = digest_number(digest, (uint64_t)st.st_mtim.tv_nsec);
    }
    return digest_layers(digest, m);
}

char *state_file_path(const char *kind, uint64_t digest, struct error *error)
{
    char name[64];
    struct error why;
    snprintf(name, sizeof name, "%s-%016" PRIx64, kind, digest);
    char *path = user_path(USER_STATE, name, &why);
    if (!path)
        error_set(error, "interrupted work is not kept: %s", why.text);
    return path;
}
