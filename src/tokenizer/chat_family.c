#include "chat_family.h"

#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chat chat_absent(void)
{
    return (struct chat){.why = "the model has no chat template"};
}

/* Text in UTF-8 without NUL. */
static bool is_text(const char *text, size_t n)
{
    size_t length;
    for (size_t i = 0; i < n; i += length) {
        uint32_t c;
        bool cut;
        length = utf8_read(text + i, n - i, &c, &cut);
        if (length == 0 || c == 0)
            return false;
    }
    return true;
}

/* A copy as marks are written: ' for both quotes, line breaks for \n. */
static char *as_marks(const char *text, size_t n)
{
    char *copy = malloc(n + 1), *to = copy;
    for (size_t i = 0; copy && i < n; i++) {
        bool newline = text[i] == '\\' && i + 1 < n && text[i + 1] == 'n';
        *to++ = newline ? '\n' : text[i] == '"' ? '\'' : text[i];
        i += newline;
    }
    if (copy)
        *to = 0;
    return copy;
}

static bool has_marks(const struct chat_family *f, const char *text)
{
    bool all = true;
    for (size_t i = 0; all && i < CHAT_MARKS && f->marks[i]; i++)
        all = strstr(text, f->marks[i]) != NULL;
    return all;
}

static struct chat unknown(const char *why)
{
    struct chat c = {0};
    snprintf(c.why, sizeof c.why, "%s", why);
    return c;
}

struct chat chat_of_template(const char *text, size_t n)
{
    if (n == 0)
        return unknown("the chat template is empty");
    if (n > CHAT_TEMPLATE_MOST) {
        struct chat c = {0};
        snprintf(c.why, sizeof c.why, "the chat template has %zu bytes; expected at most %d", n, CHAT_TEMPLATE_MOST);
        return c;
    }
    if (!is_text(text, n))
        return unknown("the chat template is not text in UTF-8");
    char *copy = as_marks(text, n);
    if (!copy)
        return unknown("not enough memory for the chat template");
    const struct chat_family *f = chat_families;
    while (f->name && !has_marks(f, copy))
        f++;
    bool bos = strstr(copy, "bos_token") != NULL;
    free(copy);
    return f->name ? (struct chat){.family = f, .bos = bos} : unknown("the chat template is of no known family");
}

bool chat_goes_on(const struct chat_family *f, const char *token, size_t size)
{
    return f && f->inside && strlen(f->inside) == size && memcmp(f->inside, token, size) == 0;
}
