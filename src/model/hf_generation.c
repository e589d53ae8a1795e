/* generation_config.json: at which tokens generate of transformers ends a text, besides those of config.json. */
#include "hf_config.h"

#include "formats/jsontext.h"
#include "formats/mapped.h"

#include <unistd.h>

enum { DEPTH = 16 };

static void add_end(struct model *m, const json_t *id)
{
    json_int_t value = json_integer_value(id);
    if (!json_is_integer(id))
        model_add_note(m, "generation_config.json: eos_token_id is %s and not used; expected an integer",
                       json_text_kind(id));
    else if (value < 0 || value >= (json_int_t)m->hyper.vocab || model_ends_text(m, (int32_t)value))
        return;
    else if (m->end_count == MODEL_ENDS)
        model_add_note(m, "generation_config.json: more than %d tokens end a text; the others do not", MODEL_ENDS);
    else
        m->ends[m->end_count++] = (int32_t)value;
}

void hf_generation_parse(struct model *m, const uint8_t *data, size_t size)
{
    struct error error;
    json_t *json = json_text_parse(data, size, DEPTH, "generation_config.json", &error);
    const json_t *ends = json_object_get(json, "eos_token_id");
    if (!json)
        model_add_note(m, "%.200s: it is not used", error.text);
    for (size_t i = 0; i < json_array_size(ends); i++)
        add_end(m, json_array_get(ends, i));
    if (ends && !json_is_array(ends) && !json_is_null(ends))
        add_end(m, ends);
    json_decref(json);
}

void hf_generation_read(struct model *m, const char *path)
{
    struct mapped_file file;
    if (access(path, F_OK) != 0 || !mapped_file_open(&file, path, NULL))
        return;
    hf_generation_parse(m, file.data, file.size);
    mapped_file_close(&file);
}
