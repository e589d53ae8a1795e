#include "gguffile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_SECTION, METADATA, TENSORS, DATA };

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "not enough memory for a test\n");
        abort();
    }
    return p;
}

static size_t room_for(size_t n)
{
    size_t room = 64;
    while (room < n)
        room *= 2;
    return room;
}

/* Grows by doubling, so that large files take no quadratic time where realloc copies. */
static void append(struct bytes *b, const void *data, size_t n)
{
    if (n == 0)
        return;
    if (b->size == 0 || room_for(b->size + n) != room_for(b->size))
        b->data = must(realloc(b->data, room_for(b->size + n)));
    memcpy(b->data + b->size, data, n);
    b->size += n;
}

static void append_u32(struct bytes *b, uint32_t v)
{
    append(b, &v, sizeof v);
}

static void append_u64(struct bytes *b, uint64_t v)
{
    append(b, &v, sizeof v);
}

static void pad(struct bytes *b, size_t alignment)
{
    while (b->size % alignment != 0)
        append(b, "", 1);
}

static void mark(struct gguffile *f, const char *name, enum gguf_field field, int section, size_t at)
{
    if (f->place_count == 0 || room_for(f->place_count + 1) != room_for(f->place_count))
        f->places = must(realloc(f->places, room_for(f->place_count + 1) * sizeof *f->places));
    f->places[f->place_count++] =
        (struct gguffile_place){must(strdup(name)), field, section, at};
}

static void mark_end(struct gguffile *f, const char *name, enum gguf_field field, int section)
{
    mark(f, name, field, section, f->sections[section].size);
}

void gguffile_begin(struct gguffile *f, uint32_t version)
{
    *f = (struct gguffile){.version = version, .alignment = 32};
    mark(f, "", FIELD_MAGIC, HEADER_SECTION, 0);
    mark(f, "", FIELD_VERSION, HEADER_SECTION, 4);
    mark(f, "", FIELD_TENSOR_COUNT, HEADER_SECTION, 8);
    mark(f, "", FIELD_PAIR_COUNT, HEADER_SECTION, 16);
}

void gguffile_free(struct gguffile *f)
{
    for (size_t i = 0; i < f->place_count; i++)
        free(f->places[i].name);
    free(f->places);
    for (int i = 0; i < 4; i++)
        bytes_free(&f->sections[i]);
    *f = (struct gguffile){0};
}

/* ---- metadata -------------------------------------------------------------------------------- */

static void append_name(struct gguffile *f, int section, const char *name)
{
    mark_end(f, name, FIELD_NAME_LENGTH, section);
    append_u64(&f->sections[section], strlen(name));
    mark_end(f, name, FIELD_NAME, section);
    append(&f->sections[section], name, strlen(name));
}

static struct bytes *begin_pair(struct gguffile *f, const char *key, enum gguf_type type)
{
    f->pair_count++;
    append_name(f, METADATA, key);
    mark_end(f, key, FIELD_TYPE, METADATA);
    append_u32(&f->sections[METADATA], type);
    if (type != GGUF_ARRAY)
        mark_end(f, key, FIELD_VALUE, METADATA);
    return &f->sections[METADATA];
}

static size_t type_size(enum gguf_type type)
{
    static const size_t sizes[GGUF_TYPES] = {
        [GGUF_UINT8] = 1,  [GGUF_INT8] = 1,    [GGUF_UINT16] = 2, [GGUF_INT16] = 2,
        [GGUF_UINT32] = 4, [GGUF_INT32] = 4,   [GGUF_UINT64] = 8, [GGUF_INT64] = 8,
        [GGUF_BOOL] = 1,   [GGUF_FLOAT32] = 4, [GGUF_FLOAT64] = 8};
    return sizes[type];
}

void gguffile_number(struct gguffile *f, const char *key, enum gguf_type type, const void *value)
{
    append(begin_pair(f, key, type), value, type_size(type));
}

void gguffile_uint32(struct gguffile *f, const char *key, uint32_t value)
{
    gguffile_number(f, key, GGUF_UINT32, &value);
}

void gguffile_float32(struct gguffile *f, const char *key, float value)
{
    gguffile_number(f, key, GGUF_FLOAT32, &value);
}

void gguffile_bool(struct gguffile *f, const char *key, bool value)
{
    uint8_t byte = value;
    gguffile_number(f, key, GGUF_BOOL, &byte);
}

void gguffile_string(struct gguffile *f, const char *key, const char *text)
{
    struct bytes *b = begin_pair(f, key, GGUF_STRING);
    append_u64(b, strlen(text));
    append(b, text, strlen(text));
}

static struct bytes *begin_array(struct gguffile *f, const char *key, enum gguf_type element,
                                 size_t count)
{
    struct bytes *b = begin_pair(f, key, GGUF_ARRAY);
    mark_end(f, key, FIELD_ELEMENT, METADATA);
    append_u32(b, element);
    mark_end(f, key, FIELD_ARRAY_COUNT, METADATA);
    append_u64(b, count);
    mark_end(f, key, FIELD_ARRAY, METADATA);
    return b;
}

void gguffile_array(struct gguffile *f, const char *key, enum gguf_type element, size_t count,
                    const void *values)
{
    append(begin_array(f, key, element, count), values, count * type_size(element));
}

void gguffile_strings(struct gguffile *f, const char *key, size_t count, const char *const *texts)
{
    struct bytes *b = begin_array(f, key, GGUF_STRING, count);
    for (size_t i = 0; i < count; i++) {
        append_u64(b, strlen(texts[i]));
        append(b, texts[i], strlen(texts[i]));
    }
}

void gguffile_split(struct gguffile *f, uint16_t number, uint16_t count, int32_t tensors)
{
    gguffile_number(f, "split.no", GGUF_UINT16, &number);
    gguffile_number(f, "split.count", GGUF_UINT16, &count);
    gguffile_number(f, "split.tensors.count", GGUF_INT32, &tensors);
}

/* ---- tensors --------------------------------------------------------------------------------- */

int gguffile_type_number(enum dtype dtype)
{
    static const struct {
        enum dtype dtype;
        int number;
    } numbers[] = {{DTYPE_FP32, 0},  {DTYPE_FP16, 1},  {DTYPE_Q4_0, 2},    {DTYPE_Q4_1, 3},
                   {DTYPE_Q5_0, 6},  {DTYPE_Q5_1, 7},  {DTYPE_Q8_0, 8},    {DTYPE_Q2_K, 10},
                   {DTYPE_Q3_K, 11}, {DTYPE_Q4_K, 12}, {DTYPE_Q5_K, 13},   {DTYPE_Q6_K, 14},
                   {DTYPE_IQ4_NL, 20}, {DTYPE_IQ4_XS, 23}, {DTYPE_MXFP4, 39}, {DTYPE_BF16, 30},
                   {DTYPE_TQ2_0, 35}, {DTYPE_TQ1_0, 34},
                   {DTYPE_IQ3_S, 21}, {DTYPE_IQ3_XXS, 18}, {DTYPE_IQ2_S, 22}, {DTYPE_IQ2_XS, 17},
                   {DTYPE_IQ2_XXS, 16}, {DTYPE_IQ1_S, 19}, {DTYPE_IQ1_M, 29},
                   {DTYPE_NVFP4, 40}, {DTYPE_Q1_0, 41}, {DTYPE_Q2_0, 42},
                   {ENTRY_DOUBLES, 28}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (numbers[i].dtype == dtype)
            return numbers[i].number;
    return -1;
}

/* Bytes of a tensor with none of its own. Small ones, so that no float among them is NaN. */
static void append_filler(struct bytes *b, const char *name, size_t n)
{
    uint64_t state = strlen(name) * 256 + (uint8_t)*name;
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = random_next(&state) & 0x3f;
        append(b, &byte, 1);
    }
}

void gguffile_tensor(struct gguffile *f, const char *name, enum dtype dtype, size_t dimensions,
                     const size_t *shape, const void *data)
{
    struct bytes *b = &f->sections[TENSORS], *values = &f->sections[DATA];
    size_t n = dtype == ENTRY_DOUBLES ? sizeof(double) : dtypes[dtype].block_bytes;
    pad(values, f->alignment);
    f->tensor_count++;
    append_name(f, TENSORS, name);
    mark_end(f, name, FIELD_DIMENSIONS, TENSORS);
    append_u32(b, (uint32_t)dimensions);
    mark_end(f, name, FIELD_NE0, TENSORS);
    for (size_t i = dimensions; i-- > 0; n *= shape[i])
        append_u64(b, shape[i]);
    mark_end(f, name, FIELD_TYPE, TENSORS);
    append_u32(b, (uint32_t)gguffile_type_number(dtype));
    mark_end(f, name, FIELD_OFFSET, TENSORS);
    append_u64(b, values->size);
    mark_end(f, name, FIELD_DATA, DATA);
    n /= entry_block(dtype);
    if (data)
        append(values, data, n);
    else
        append_filler(values, name, n);
}

/* ---- the file -------------------------------------------------------------------------------- */

struct bytes gguffile_bytes(const struct gguffile *f)
{
    struct bytes b = {0};
    append(&b, "GGUF", 4);
    append_u32(&b, f->version);
    append_u64(&b, f->tensor_count);
    append_u64(&b, f->pair_count);
    append(&b, f->sections[METADATA].data, f->sections[METADATA].size);
    append(&b, f->sections[TENSORS].data, f->sections[TENSORS].size);
    if (f->sections[DATA].size > 0)
        pad(&b, f->alignment);
    append(&b, f->sections[DATA].data, f->sections[DATA].size);
    b.data = must(realloc(b.data, b.size)); /* exactly, for sanitizers */
    return b;
}

size_t gguffile_place(const struct gguffile *f, const char *name, enum gguf_field field)
{
    size_t begin[4] = {0, 24, 24 + f->sections[METADATA].size};
    begin[DATA] = begin[TENSORS] + f->sections[TENSORS].size;
    begin[DATA] += (f->alignment - begin[DATA] % f->alignment) % f->alignment;
    for (size_t i = 0; i < f->place_count; i++)
        if (f->places[i].field == field && strcmp(f->places[i].name, name) == 0)
            return begin[f->places[i].section] + f->places[i].at;
    fprintf(stderr, "no field %d of '%s'\n", (int)field, name);
    abort();
}

void gguffile_usual(struct gguffile *f, uint32_t version)
{
    static const char *const words[] = {"<s>", "", "\xe2\x96\x81the", "</s>"};
    static const float scores[] = {0, -1.5f, -2, 1e30f};
    static const int32_t kinds[] = {3, 1, 1, 3};
    const int8_t small = -7;
    const uint8_t byte = 200;
    const int16_t less = -3000;
    const uint16_t more = 60000;
    const int32_t negative = -2000000;
    const int64_t least = INT64_MIN;
    const uint64_t most = UINT64_MAX;
    const double e = 2.718281828459045;
    gguffile_begin(f, version);
    gguffile_string(f, "general.architecture", "llama");
    gguffile_number(f, "an.int8", GGUF_INT8, &small);
    gguffile_number(f, "an.uint8", GGUF_UINT8, &byte);
    gguffile_number(f, "an.int16", GGUF_INT16, &less);
    gguffile_number(f, "an.uint16", GGUF_UINT16, &more);
    gguffile_number(f, "an.int32", GGUF_INT32, &negative);
    gguffile_uint32(f, "an.uint32", 4000000000u);
    gguffile_number(f, "an.int64", GGUF_INT64, &least);
    gguffile_number(f, "an.uint64", GGUF_UINT64, &most);
    gguffile_float32(f, "a.float32", 0.1f);
    gguffile_number(f, "a.float64", GGUF_FLOAT64, &e);
    gguffile_bool(f, "a.bool", true);
    gguffile_uint32(f, "general.alignment", 32);
    gguffile_strings(f, "tokenizer.ggml.tokens", 4, words);
    gguffile_array(f, "tokenizer.ggml.scores", GGUF_FLOAT32, 4, scores);
    gguffile_array(f, "tokenizer.ggml.token_type", GGUF_INT32, 4, kinds);
    gguffile_tensor(f, "token_embd.weight", DTYPE_Q8_0, 2, (const size_t[]){4, 32}, NULL);
    gguffile_tensor(f, "blk.0.attn_q.weight", DTYPE_FP16, 2, (const size_t[]){3, 5}, NULL);
    gguffile_tensor(f, "blk.0.ffn_up.weight", DTYPE_Q4_K, 2, (const size_t[]){2, 256}, NULL);
    gguffile_tensor(f, "output_norm.weight", DTYPE_FP32, 1, (const size_t[]){7}, NULL);
}
