#include "hf_windows.h"

#include "format.h"
#include "formats/jsontext.h"

#include <string.h>

/* layer_types, or null. */
static bool find_types(const struct hf_config *c, const json_t **types)
{
    struct hf_value value;
    if (!hf_find(c, &c->top, "layer_types", NULL, &value))
        return false;
    *types = value.json;
    return true;
}

static bool is_windowed(const json_t *types, size_t layer)
{
    const char *type = json_string_value(json_array_get(types, layer));
    return type && strcmp(type, "sliding_attention") == 0;
}

static bool is_kind(const json_t *types, size_t layer)
{
    const char *type = json_string_value(json_array_get(types, layer));
    return type && (strcmp(type, "full_attention") == 0 || strcmp(type, "sliding_attention") == 0);
}

/* One kind a layer, and a window only where there is one. */
static bool check_types(const struct hf_config *c, const struct hyper *h, const json_t *types)
{
    if (!json_is_array(types) || json_array_size(types) != h->layers)
        return error_set(c->error, "config.json: layer_types is %s of %zu; expected a list of %zu",
                         json_text_kind(types), json_array_size(types), h->layers);
    for (size_t i = 0; i < h->layers; i++) {
        const json_t *value = json_array_get(types, i);
        if (!is_kind(types, i) || (is_windowed(types, i) && !h->window))
            return error_set(c->error, "config.json: layer_types[%zu] = %.40s; expected full_attention%s", i,
                             json_string_value(value) ? json_string_value(value) : json_text_kind(value),
                             h->window ? " or sliding_attention" : " in a model without a window");
    }
    return true;
}

/* The first layer with a window. */
static bool find_first(const struct hf_config *c, size_t *first)
{
    enum { USUAL = 28 };
    struct hf_value value;
    size_t by_default = c->arch->defaults.windowed_from ? c->arch->defaults.windowed_from : USUAL;
    if (!hf_find(c, &c->top, "max_window_layers", NULL, &value))
        return false;
    json_int_t n = value.json ? json_integer_value(value.json) : (json_int_t)by_default;
    *first = (size_t)n;
    return !value.json || (json_is_integer(value.json) && n >= 0) ||
           error_set(c->error, "config.json: %s = %lld (%s); expected 0 or more", value.name, (long long)n,
                     json_text_kind(value.json));
}

/* Whether a layer has a window. False with an error. */
static bool ask_layer(const struct hf_config *c, const json_t *types, size_t layer, bool *windowed)
{
    size_t first = 0;
    if (types) {
        *windowed = is_windowed(types, layer);
        return true;
    }
    bool asked = c->arch->hf_window == HF_WINDOW_ASKED || c->arch->hf_window == HF_WINDOW_LATER;
    if (asked && !find_first(c, &first))
        return false;
    *windowed = asked ? layer >= first : hyper_window(&c->model->hyper, layer) > 0;
    return true;
}

/* A window that the architecture does not have, or has whatever use_sliding_window says. */
static bool check_window(const struct hf_config *c, const struct hyper *h, bool used)
{
    if (!h->window || c->arch->hf_window == HF_WINDOW_ASKED)
        return true;
    if (c->arch->hf_window == HF_WINDOW_NONE && used && h->window < h->trained_context)
        return error_set(c->error, "config.json: sliding_window = %zu; expected null: no layer of a %s has a window",
                         h->window, c->arch->name);
    return c->arch->hf_window == HF_WINDOW_NONE || used ||
           error_set(c->error, "config.json: use_sliding_window = false beside sliding_window = %zu; expected null for "
                               "that, since the layers of a %s do not ask", h->window, c->arch->name);
}

/* Forgets a window that no layer has. */
static bool drop_unused(const struct hf_config *c, struct hyper *h, const json_t *types)
{
    bool any = false;
    for (size_t i = 0; i < h->layers && h->window; i++) {
        bool windowed;
        if (!ask_layer(c, types, i, &windowed))
            return false;
        any |= windowed;
    }
    h->window = any ? h->window : 0;
    return true;
}

/* The window; SIZE_MAX: none. Files may say 0 of one that is not used. */
static bool read_window(const struct hf_config *c, bool used, size_t *window)
{
    size_t by_default = c->arch->defaults.window ? c->arch->defaults.window : SIZE_MAX;
    struct hf_value value;
    if (!hf_find(c, &c->top, "sliding_window", NULL, &value))
        return false;
    *window = SIZE_MAX;
    if (!used && json_is_integer(value.json) && json_integer_value(value.json) == 0)
        return true;
    return hf_size(c, &c->top, &(struct hf_size_key){"sliding_window", NULL, by_default, SIZE_MAX, MAX_POSITIONS},
                   window);
}

bool hf_windows_read_period(const struct hf_config *c)
{
    size_t usual = c->arch->window_period;
    const struct hf_size_key key = {"sliding_window_pattern", NULL, usual, usual, MAX_LAYERS};
    const json_t *types;
    return find_types(c, &types) && (types || hf_size(c, &c->top, &key, &c->model->hyper.window_period));
}

bool hf_windows_read(const struct hf_config *c, struct hyper *h)
{
    const struct arch *a = c->arch;
    const json_t *types;
    bool used;
    if (!hf_flag(c, "use_sliding_window", a->hf_window != HF_WINDOW_ASKED, &used) ||
        !read_window(c, used, &h->window) || !find_types(c, &types))
        return false;
    if (h->window == SIZE_MAX)
        h->window = 0;
    if (!check_window(c, h, used))
        return false;
    if (a->hf_window == HF_WINDOW_NONE || !used)
        h->window = 0;
    return a->hf_layer_kinds || ((!types || check_types(c, h, types)) && drop_unused(c, h, types));
}

bool hf_windows_apply(const struct hf_config *c)
{
    struct model *m = c->model;
    const json_t *types;
    if (c->arch->hf_layer_kinds || !m->hyper.window)
        return true;
    if (!find_types(c, &types))
        return false;
    for (size_t b = 0; b < m->hyper.layers; b++) {
        bool windowed;
        if (!ask_layer(c, types, b, &windowed))
            return false;
        model_set_window(m, b, windowed ? m->hyper.window : 0);
    }
    return true;
}
