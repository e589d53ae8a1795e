/* safetensors: an 8-byte length, a JSON header, and the tensors' bytes without gaps. */
#include "safetensors_types.h"

#include <stdlib.h>

/* Larger elements first, so that all are aligned without gaps. */
static int by_size(const void *a, const void *b)
{
    const struct export_item *p = a, *q = b;
    if (p->type->number != q->type->number)
        return p->type->number > q->type->number ? -1 : 1;
    return (p->offset > q->offset) - (p->offset < q->offset);
}

static bool begin_layout(struct export *job, const struct quantized_layout *layout, struct error *error)
{
    job->layout = layout;
    return layout->begin(job) || error_set(error, "not enough memory");
}

static bool add(struct export *job, int t, struct error *error)
{
    const struct naming naming = {.prefix = job->arch->hf_prefix ? job->arch->hf_prefix : ""};
    return safetensors_add(job, &naming, t, error);
}

static bool end(struct export *job, struct error *error)
{
    if (!job->layout->end(job, error) || !safetensors_check_beside(job, error))
        return false;
    for (size_t i = 0; i < job->count; i++)
        job->items[i].offset = i;
    qsort(job->items, job->count, sizeof *job->items, by_size);
    return true;
}

static json_t *describe(const struct export_item *item)
{
    json_t *shape = json_array();
    for (size_t i = 0; i < item->dimensions; i++)
        json_array_append_new(shape, json_integer((json_int_t)item->shape[i]));
    json_int_t begin = (json_int_t)item->offset, end = begin + (json_int_t)(item->rows * item->row_bytes);
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", item->type->name, "shape", shape, "data_offsets", begin, end);
}

static bool head(struct export *job, FILE *out, struct error *error)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    bool ok = header;
    for (size_t i = 0; ok && i < job->count; i++)
        ok = json_object_set_new(header, job->items[i].name, describe(&job->items[i])) == 0;
    char *text = ok ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    if (!text)
        return error_set(error, "not enough memory");
    size_t n = strlen(text), spaces = (8 - n % 8) % 8;
    fwrite(&(uint64_t){n + spaces}, 8, 1, out);
    fprintf(out, "%s%*s", text, (int)spaces, "");
    free(text);
    return true;
}

static bool begin_compressed_tensors(struct export *job, struct error *error)
{
    return begin_layout(job, &compressed_tensors_layout, error);
}

static bool begin_gptq(struct export *job, struct error *error)
{
    return begin_layout(job, &gptq_layout, error);
}

const struct export_format safetensors_export = {
    "safetensors", ".safetensors", 1, true, begin_compressed_tensors, add, end, head, safetensors_beside};
const struct export_format gptq_export = {
    "gptq", ".safetensors", 1, false, begin_gptq, add, end, head, safetensors_beside};
