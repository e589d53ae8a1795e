#include "hf_packing.h"

#include "formats/jsontext.h"

#include <string.h>

#define KEY "quantization_config"
#define LEFT KEY ".modules_to_not_convert"

/* Modules that are not quantized, as patterns of their names: experts are. */
static bool check_left(const struct hf_config *c, const json_t *left)
{
    if (left && !json_is_null(left) && !json_is_array(left))
        return error_set(c->error, "config.json: " LEFT " is %s; expected a list of names", json_text_kind(left));
    for (size_t i = 0; i < json_array_size(left); i++) {
        const char *name = json_string_value(json_array_get(left, i));
        if (!name)
            return error_set(c->error, "config.json: " LEFT "[%zu] is %s; expected a name", i,
                             json_text_kind(json_array_get(left, i)));
        if (strstr(name, "experts"))
            return error_set(c->error, "config.json: " LEFT "[%zu] = '%.60s'; expected no experts", i, name);
    }
    return true;
}

bool hf_packing_read(const struct hf_config *c, const struct packing **out)
{
    struct hf_value config;
    *out = NULL;
    if (!c->arch->hf_packed)
        return true;
    if (!hf_find(c, &c->top, KEY, NULL, &config))
        return false;
    if (config.json && !json_is_object(config.json))
        return error_set(c->error, "config.json: %s is %s; expected an object", config.name,
                         json_text_kind(config.json));
    if (json_object_size(config.json) == 0)
        return true;
    const json_t *method = json_object_get(config.json, "quant_method");
    *out = json_is_string(method) ? packing_by_method(json_string_value(method)) : NULL;
    if (!*out)
        return error_set(c->error, "config.json: " KEY ".quant_method is %.40s; expected %s in %s models, or the model "
                                   "before it was quantized",
                         json_is_string(method) ? json_string_value(method) : json_text_kind(method), packings->method,
                         c->arch->name);
    return check_left(c, json_object_get(config.json, "modules_to_not_convert"));
}
