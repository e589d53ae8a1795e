#include "modelfile.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SRCDIR
#define SRCDIR "."
#endif

enum { MAGIC = 0x616b3432 };

const char *const field_names[FIELD_COUNT] = {"dim",        "hidden_dim", "n_layers",   "n_heads",
                                              "n_kv_heads", "vocab_size", "max_seq_len"};

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

uint64_t random_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

float random_unit(uint64_t *state)
{
    return (float)((double)(random_next(state) >> 11) * 0x1p-52 - 1);
}

/* ---- models ---------------------------------------------------------------------------------- */

struct model_spec spec_tiny(int version, bool tied)
{
    return (struct model_spec){version, tied, 4, 6, 1, 2, 1, 5, 8, 2, 1};
}

struct model_spec spec_usual(int version, bool tied)
{
    return (struct model_spec){version, tied, 32, 40, 2, 4, 2, 400, 64, 8, 1};
}

/* What a payload is made of; blocks 0 stands for a tensor outside the blocks. */
struct part {
    const char *name;
    bool in_block, vector;
    size_t rows, cols;
};

enum { PARTS = 12 };

static void list_parts(const struct model_spec *s, struct part out[PARTS], int order[PARTS])
{
    size_t dim = (size_t)s->dim, hidden = (size_t)s->hidden;
    size_t kv = dim / (size_t)s->heads * (size_t)s->kv_heads;
    const struct part parts[PARTS] = {
        {"token_embd", false, false, (size_t)s->vocab, dim},
        {"attn_norm", true, true, 1, dim},
        {"attn_q", true, false, dim, dim},
        {"attn_k", true, false, kv, dim},
        {"attn_v", true, false, kv, dim},
        {"attn_output", true, false, dim, dim},
        {"ffn_norm", true, true, 1, dim},
        {"ffn_gate", true, false, hidden, dim},
        {"ffn_down", true, false, dim, hidden},
        {"ffn_up", true, false, hidden, dim},
        {"output_norm", false, true, 1, dim},
        {"output", false, false, (size_t)s->vocab, dim},
    };
    static const int legacy[PARTS] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    static const int later[PARTS] = {1, 6, 10, 0, 2, 3, 4, 5, 7, 8, 9, 11};
    memcpy(out, parts, sizeof parts);
    memcpy(order, s->version == 0 ? legacy : later, sizeof legacy);
}

static size_t place_bytes(const struct tensor_place *p)
{
    size_t n = p->rows * p->cols;
    return p->group ? n + n / p->group * 4 : n * 4;
}

/* The tables of RoPE that version 0 has between the last norm and the head. */
static size_t rope_bytes(const struct model_spec *s)
{
    return s->version == 0 ? (size_t)(s->dim / s->heads) * 4 * (size_t)s->context : 0;
}

static size_t walk(const struct model_spec *s, struct tensor_place *out, size_t room, size_t *size)
{
    struct part parts[PARTS];
    int order[PARTS];
    size_t count = 0, at = s->version == 0 ? V0_HEADER : V1_HEADER;
    list_parts(s, parts, order);
    for (int i = 0; i < PARTS; i++) {
        const struct part *part = &parts[order[i]];
        bool head = strcmp(part->name, "output") == 0;
        if (head)
            at += rope_bytes(s);
        for (int b = 0; b < (part->in_block ? s->layers : head && s->tied ? 0 : 1); b++) {
            struct tensor_place p = {.rows = part->rows, .cols = part->cols, .offset = at};
            p.group = s->version == 2 && !part->vector ? (size_t)s->group : 0;
            if (part->in_block)
                snprintf(p.name, sizeof p.name, "blk.%d.%s", b, part->name);
            else
                snprintf(p.name, sizeof p.name, "%s", part->name);
            at += place_bytes(&p);
            if (count < room)
                out[count] = p;
            count++;
        }
    }
    *size = at;
    return count;
}

size_t model_places(const struct model_spec *spec, struct tensor_place *out, size_t room)
{
    size_t size;
    return walk(spec, out, room, &size);
}

struct tensor_place model_place(const struct model_spec *spec, const char *name)
{
    size_t count = model_places(spec, NULL, 0);
    struct tensor_place *places = must(calloc(count, sizeof *places)), found = {.rows = 0};
    model_places(spec, places, count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(places[i].name, name) == 0)
            found = places[i];
    free(places);
    if (!found.rows)
        abort();
    return found;
}

/* fp32 weights of a tensor: norms around 1, matrices small enough that activations stay tame. */
static void raw_values(const struct model_spec *spec, const struct tensor_place *p, float *out)
{
    uint64_t state = spec->seed;
    for (const char *c = p->name; *c; c++)
        state = state * 1099511628211u + (uint8_t)*c;
    float width = p->rows == 1 ? 0.2f : 1.5f / sqrtf((float)p->cols);
    for (size_t i = 0; i < p->rows * p->cols; i++)
        out[i] = (p->rows == 1 ? 1.0f : 0.0f) + width * random_unit(&state);
}

static float group_scale(const float *w, size_t n)
{
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmaxf(largest, fabsf(w[i]));
    return largest / 127.0f;
}

static int8_t group_code(float w, float scale)
{
    return (int8_t)lrintf(scale > 0 ? w / scale : 0);
}

void model_values(const struct model_spec *spec, const struct tensor_place *p, float *out)
{
    raw_values(spec, p, out);
    for (size_t i = 0; p->group && i < p->rows * p->cols; i += p->group) {
        float scale = group_scale(out + i, p->group);
        for (size_t k = i; k < i + p->group; k++)
            out[k] = (float)group_code(out[k], scale) * scale;
    }
}

static void put_tensor(const struct model_spec *spec, const struct tensor_place *p, uint8_t *data)
{
    size_t n = p->rows * p->cols;
    float *values = must(malloc(n * sizeof *values));
    uint8_t *at = data + p->offset;
    raw_values(spec, p, values);
    if (!p->group)
        memcpy(at, values, n * sizeof *values);
    for (size_t i = 0; p->group && i < n; i += p->group) {
        float scale = group_scale(values + i, p->group);
        for (size_t k = i; k < i + p->group; k++)
            at[k] = (uint8_t)group_code(values[k], scale);
        memcpy(at + n + i / p->group * 4, &scale, 4);
    }
    free(values);
}

void put_int(struct bytes *b, size_t offset, int32_t value)
{
    memcpy(b->data + offset, &value, sizeof value);
}

void put_float(struct bytes *b, size_t offset, float value)
{
    memcpy(b->data + offset, &value, sizeof value);
}

struct bytes model_bytes(const struct model_spec *s)
{
    struct bytes b = {0};
    size_t count = walk(s, NULL, 0, &b.size);
    struct tensor_place *places = must(calloc(count, sizeof *places));
    walk(s, places, count, &b.size);
    b.data = must(calloc(1, b.size));
    const int32_t fields[FIELD_COUNT] = {s->dim, s->hidden, s->layers, s->heads, s->kv_heads,
                                         s->version == 0 && !s->tied ? -s->vocab : s->vocab,
                                         s->context};
    size_t at = s->version == 0 ? V0_FIELDS : V1_FIELDS;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        put_int(&b, at + 4 * i, fields[i]);
    if (s->version != 0) {
        put_int(&b, 0, MAGIC);
        put_int(&b, 4, s->version);
        b.data[V1_SHARED] = s->tied;
    }
    if (s->version == 2)
        put_int(&b, V1_GROUP, s->group);
    for (size_t i = 0; i < count; i++)
        put_tensor(s, &places[i], b.data);
    free(places);
    return b;
}

void bytes_free(struct bytes *b)
{
    free(b->data);
    *b = (struct bytes){0};
}

/* ---- tokenizers ------------------------------------------------------------------------------ */

void vocabulary_add(struct vocabulary_spec *v, const char *text, int32_t length, float score)
{
    if (v->count == v->room) {
        v->room = v->room ? v->room * 2 : 64;
        v->pieces = must(realloc(v->pieces, v->room * sizeof *v->pieces));
    }
    struct piece_spec *p = &v->pieces[v->count++];
    *p = (struct piece_spec){.length = length < 0 ? (int32_t)strlen(text) : length, .score = score};
    if ((size_t)p->length > sizeof p->text)
        abort();
    memcpy(p->text, text, (size_t)p->length);
}

void vocabulary_begin(struct vocabulary_spec *v, bool bytes)
{
    char text[8];
    vocabulary_add(v, "<unk>", -1, 0);
    vocabulary_add(v, "\n<s>\n", -1, 0);
    vocabulary_add(v, "\n</s>\n", -1, 0);
    for (unsigned i = 0; bytes && i < 256; i++) {
        snprintf(text, sizeof text, "<0x%02X>", i);
        vocabulary_add(v, text, -1, 0);
    }
}

struct vocabulary_spec vocabulary_usual(size_t count)
{
    static const char *const merges[] = {" t", "he", " the", "in", "er",  " a", "on", "re",
                                         "\xc3\xa9", "th", "an", " b", "ing", " w", "ed", "or"};
    struct vocabulary_spec v = {0};
    vocabulary_begin(&v, true);
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++)
        vocabulary_add(&v, merges[i], -1, -(float)i);
    for (char c = ' '; c <= '~'; c++)
        vocabulary_add(&v, &c, 1, -100);
    vocabulary_add(&v, "\n", 1, -100);
    for (size_t i = v.count; i < count; i++) {
        char text[32];
        snprintf(text, sizeof text, " word%zu", i);
        vocabulary_add(&v, text, -1, -200 - (float)i);
    }
    if (v.count != count)
        abort();
    return v;
}

struct bytes vocabulary_bytes(const struct vocabulary_spec *v)
{
    struct bytes b = {.size = 4};
    int32_t longest = 1;
    for (size_t i = 0; i < v->count; i++) {
        b.size += 8 + (size_t)v->pieces[i].length;
        longest = v->pieces[i].length > longest ? v->pieces[i].length : longest;
    }
    b.data = must(calloc(1, b.size));
    put_int(&b, 0, v->longest ? v->longest : longest);
    size_t at = 4;
    for (size_t i = 0; i < v->count; i++) {
        const struct piece_spec *p = &v->pieces[i];
        put_float(&b, at, p->score);
        put_int(&b, at + 4, p->length);
        memcpy(b.data + at + 8, p->text, (size_t)p->length);
        at += 8 + (size_t)p->length;
    }
    return b;
}

void vocabulary_free(struct vocabulary_spec *v)
{
    free(v->pieces);
    *v = (struct vocabulary_spec){0};
}

/* ---- files ----------------------------------------------------------------------------------- */

char *folder_make(void)
{
    const char *parent = getenv("TMPDIR");
    char *folder = path_in(parent && *parent ? parent : "/tmp", "qtop-test-XXXXXX");
    return must(mkdtemp(folder));
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

void folder_remove(char *folder)
{
    if (folder)
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

char *path_in(const char *folder, const char *name)
{
    char *path;
    if (asprintf(&path, "%s/%s", folder, name) < 0)
        abort();
    return path;
}

void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = must(fopen(path, "we"));
    if (fwrite(data, 1, size, f) != size || fclose(f) != 0)
        abort();
}

struct bytes read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return (struct bytes){0};
    struct bytes b = {0};
    size_t room = 1 << 16;
    b.data = must(malloc(room));
    for (size_t n; (n = fread(b.data + b.size, 1, room - b.size - 1, f)) > 0;) {
        b.size += n;
        if (room - b.size < 2)
            b.data = must(realloc(b.data, room *= 2));
    }
    b.data[b.size] = 0;
    fclose(f);
    return b;
}

const char *shared_folder(void)
{
    static char path[4096];
    const char *chosen = getenv("QTOP_SHARED");
    if (chosen)
        snprintf(path, sizeof path, "%s", chosen);
    else
        snprintf(path, sizeof path, "%s/../shared", SRCDIR);
    return access(path, R_OK | X_OK) == 0 ? path : NULL;
}
