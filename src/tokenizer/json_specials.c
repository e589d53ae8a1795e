/* What begins and ends a text: the post_processor of a tokenizer.json (a template of special tokens around
 * the text), and tokenizer_config.json, which overrules it. */
#include "tokenizer_json.h"

#include <string.h>

/* Where nothing names them. */
static const char *const usual_bos[] = {"<s>", "<|begin_of_text|>", "<bos>", "<|startoftext|>", NULL};
static const char *const usual_eos[] = {"</s>",  "<|endoftext|>", "<|end_of_text|>",
                                        "<eos>", "<|im_end|>",    NULL};

static bool bad_template(const struct json_reading *r, const char *what)
{
    return error_set(r->error, "post_processor: %s; expected TemplateProcessing with one id for "
                               "each special token", what);
}

/* The id that the template's special token stands for. */
static bool template_id(const struct json_reading *r, const json_t *template, const char *name, int32_t *id)
{
    const json_t *token = json_object_get(json_object_get(template, "special_tokens"), name);
    const json_t *ids = json_object_get(token, "ids"), *only = json_array_get(ids, 0);
    json_int_t value = json_integer_value(only);
    if (!json_is_integer(only) || json_array_size(ids) != 1)
        return bad_template(r, "special_tokens[].ids is not one integer");
    if (value < 0 || (size_t)value >= r->v.count)
        return error_set(r->error, "post_processor.special_tokens: '%.60s' has id %lld; expected "
                                   "less than %zu (tokens)", name, (long long)value, r->v.count);
    *id = (int32_t)value;
    return true;
}

/* "single": special tokens before the text are BOS, those after it EOS; of several the last before and
 * the first after it. */
static bool read_template(struct json_reading *r, const json_t *template)
{
    bool behind = false;
    size_t i, lost = 0;
    json_t *part;
    if (!json_is_array(json_object_get(template, "single")))
        return bad_template(r, "single is not an array");
    json_array_foreach(json_object_get(template, "single"), i, part) {
        const char *name = json_text_of(json_object_get(part, "SpecialToken"), "id");
        int32_t id = -1;
        if (json_object_get(part, "Sequence"))
            behind = true;
        else if (!name)
            return bad_template(r, "single[] holds neither a SpecialToken nor a Sequence");
        else if (!template_id(r, template, name, &id))
            return false;
        else if (!behind) {
            lost += r->v.add_bos;
            r->v.bos = id;
            r->v.add_bos = true;
        } else {
            lost += r->v.add_eos;
            r->v.eos = r->v.add_eos ? r->v.eos : id;
            r->v.add_eos = true;
        }
    }
    if (lost > 0)
        json_note(r, "%zu of the tokens that the post_processor puts around a text are left out", lost);
    return true;
}

static bool read_processor(struct json_reading *r, const json_t *processor)
{
    const char *type = json_text_of(processor, "type");
    if (!type)
        return bad_template(r, "type is not a string");
    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(r, processor);
    if (strcmp(type, "ByteLevel") != 0) /* that one only moves offsets */
        json_note(r, "the file's post_processor %.40s is not applied", type);
    return true;
}

static bool read_processors(struct json_reading *r)
{
    const json_t *processor = json_object_get(r->root, "post_processor");
    const json_t *list = json_object_get(processor, "processors");
    size_t i;
    json_t *inner;
    if (!processor || json_is_null(processor))
        return true;
    if (!json_is_array(list))
        return read_processor(r, processor);
    json_array_foreach(list, i, inner)
        if (!read_processor(r, inner))
            return false;
    return true;
}

/* ---- tokenizer_config.json ------------------------------------------------------------------- */

/* A token's text, or an object with its content. Null: none. */
static bool config_id(const struct json_reading *r, const char *key, int32_t *id)
{
    const json_t *value = json_object_get(r->config, key);
    const char *text = json_is_object(value) ? json_text_of(value, "content") : json_string_value(value);
    if (!text)
        return true;
    *id = json_token_id(r, text);
    return *id >= 0 || error_set(r->error, "tokenizer_config.json: %s = \"%.60s\"; expected a token of the "
                                           "vocabulary", key, text);
}

static int32_t first_known(const struct json_reading *r, const char *const *names)
{
    int32_t id = -1;
    for (; *names && id < 0; names++)
        id = json_token_id(r, *names);
    return id;
}

bool json_read_specials(struct json_reading *r)
{
    struct vocabulary *v = &r->v;
    if (!read_processors(r) || !config_id(r, "bos_token", &v->bos) || !config_id(r, "eos_token", &v->eos))
        return false;
    if (!json_flag(r, r->config, "tokenizer_config.json", "add_bos_token", &v->add_bos) ||
        !json_flag(r, r->config, "tokenizer_config.json", "add_eos_token", &v->add_eos))
        return false;
    if (v->bos < 0 && !r->config)
        v->bos = first_known(r, usual_bos);
    if (v->eos < 0)
        v->eos = first_known(r, usual_eos);
    if (v->add_bos && v->bos < 0)
        json_note(r, "tokenizer_config.json asks for BOS and names none: none is added");
    if (v->add_eos && v->eos < 0)
        json_note(r, "tokenizer_config.json asks for EOS and names none: none is added");
    return true;
}
