#include "normalizer.h"

#include "charsmap.h"
#include "base/escape.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

bool text_add(struct text_buffer *b, const char *bytes, size_t n)
{
    if (n > (b->most ? b->most : TEXT_MOST) - b->size)
        return false;
    if (b->size + n > b->room || !b->bytes) {
        size_t room = 2 * (b->size + n) + 16;
        char *longer = realloc(b->bytes, room);
        if (!longer)
            return false;
        b->bytes = longer;
        b->room = room;
    }
    if (n > 0)
        memcpy(b->bytes + b->size, bytes, n);
    b->size += n;
    return true;
}

/* ---- the steps: each appends what becomes of a text ------------------------------------------ */

static bool replace(const struct normal_step *s, const char *text, size_t n, struct text_buffer *out)
{
    for (size_t at = 0; at < n;) {
        const char *found = s->from_size ? memmem(text + at, n - at, s->from, s->from_size) : NULL;
        size_t before = found ? (size_t)(found - text) - at : n - at;
        if (!text_add(out, text + at, before) || (found && !text_add(out, s->to, s->to_size)))
            return false;
        at += before + (found ? s->from_size : 0);
    }
    return true;
}

static bool prepend(const struct normal_step *s, const char *text, size_t n, struct text_buffer *out)
{
    return (n == 0 || text_add(out, s->to, s->to_size)) && text_add(out, text, n);
}

/* Bytes at the beginning that are characters, or that are none. */
static size_t same_kind(const char *text, size_t n, bool *valid)
{
    size_t at = 0;
    *valid = false;
    while (at < n) {
        uint32_t c;
        bool cut;
        size_t length = utf8_read(text + at, n - at, &c, &cut);
        if (at > 0 && *valid != (length > 0))
            break;
        *valid = length > 0;
        at += length > 0 ? length : 1;
    }
    return at;
}

static bool into_form(const struct normal_step *s, const char *text, size_t n, struct text_buffer *out)
{
    static const utf8proc_option_t options[UNICODE_FORMS] = {
        [FORM_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE, [FORM_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [FORM_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [FORM_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT};
    size_t length;
    for (size_t at = 0; at < n; at += length) {
        bool valid, ok;
        uint8_t *made = NULL;
        length = same_kind(text + at, n - at, &valid);
        utf8proc_ssize_t size = valid ? utf8proc_map((const uint8_t *)text + at, (utf8proc_ssize_t)length, &made,
                                                     options[s->form]) : -1;
        ok = size >= 0 ? text_add(out, (const char *)made, (size_t)size) : text_add(out, text + at, length);
        free(made);
        if (!ok || (valid && size == UTF8PROC_ERROR_NOMEM))
            return false;
    }
    return true;
}

static bool by_charsmap(const struct normal_step *s, const char *text, size_t n, struct text_buffer *out)
{
    for (size_t at = 0; at < n;) {
        const char *to = text + at;
        size_t size, length = charsmap_find(s->from, s->from_size, text + at, n - at, &to, &size);
        uint32_t c;
        bool cut;
        if (length == 0)
            size = length = utf8_read(text + at, n - at, &c, &cut);
        if (length == 0)
            size = length = 1;
        if (!text_add(out, to, size))
            return false;
        at += length;
    }
    return true;
}

static bool squeeze(const struct normal_step *s, const char *text, size_t n, struct text_buffer *out)
{
    static const char mark[] = "\xe2\x96\x81"; /* written as a space would be */
    (void)s;
    for (size_t end; n > 0; n = end) {
        end = n - (text[n - 1] == ' ' ? 1 : n >= 3 && memcmp(text + n - 3, mark, 3) == 0 ? 3 : 0);
        if (end == n)
            break;
    }
    bool behind_space = true;
    for (size_t i = 0; i < n; i++) {
        if (!(behind_space && text[i] == ' ') && !text_add(out, text + i, 1))
            return false;
        behind_space = text[i] == ' ';
    }
    return true;
}

static bool (*const actions[])(const struct normal_step *, const char *, size_t, struct text_buffer *) = {
    [NORMAL_REPLACE] = replace, [NORMAL_PREPEND] = prepend, [NORMAL_FORM] = into_form,
    [NORMAL_CHARSMAP] = by_charsmap, [NORMAL_SQUEEZE] = squeeze};

/* ---- all of them ----------------------------------------------------------------------------- */

/* One step; only the map of characters passes over what is kept. */
static bool apply(const struct normal_step *s, const char *text, size_t n,
                  size_t (*kept)(const void *, const char *, size_t), const void *arg, struct text_buffer *out)
{
    bool whole = !kept || s->action != NORMAL_CHARSMAP;
    for (size_t at = 0; !whole && at < n;) {
        size_t before = at, length = 0;
        while (before < n && (length = kept(arg, text + before, n - before)) == 0)
            before++;
        if (!actions[s->action](s, text + at, before - at, out) || !text_add(out, text + before, length))
            return false;
        at = before + length;
    }
    return !whole || actions[s->action](s, text, n, out);
}

bool normalize(const struct normal_step *steps, size_t count, const char *text, size_t n,
               size_t (*kept)(const void *arg, const char *text, size_t n), const void *arg, struct text_buffer *out,
               struct error *error)
{
    enum { LEAST = 4096 };
    size_t most = n > (TEXT_MOST - LEAST) / GROWTH_MOST ? TEXT_MOST : LEAST + GROWTH_MOST * n;
    struct text_buffer now = {.most = most};
    bool ok = text_add(&now, text, n);
    for (size_t i = 0; ok && i < count; i++) {
        struct text_buffer next = {.most = most};
        ok = apply(&steps[i], now.bytes, now.size, kept, arg, &next) && text_add(&next, "", 0);
        free(now.bytes);
        now = next;
    }
    ok = ok && text_add(out, now.bytes, now.size);
    free(now.bytes);
    return ok || error_set(error, "normalizing a text of %zu bytes takes too much memory; expected steps that make at "
                                  "most %d bytes of one", n, GROWTH_MOST);
}
