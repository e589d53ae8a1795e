/* The scheme editor: every choice of each field of a scheme, with its bytes. */
#include "tui.h"

#include "batch.h"

#include "quant/recipe.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    enum change change;
    const char *title;
} fields[] = {
    {CHANGE_WEIGHT, "weight datatype"},
    {CHANGE_ACT, "activations"},
    {CHANGE_GRANULARITY, "granularity"},
    {CHANGE_SYMMETRY, "zero point"},
    {CHANGE_METHOD, "method"},
};

/* What the scheme costs over all tensors that the change applies to. */
static size_t cost(const struct tui *t, const int *tensors, size_t n, struct scheme scheme)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (tensors[i] == kv_index(t->session->model)) {
            sum += rows_kv_bytes(t, scheme.format.weight);
            continue;
        }
        const struct qmatrix *stored = &t->session->model->tensors[tensors[i]].stored;
        size_t bytes = stored->bytes;
        struct scheme s = scheme_for_tensor(t->session->model, tensors[i], scheme);
        if (s.format.stored || scheme_bytes(&s, stored->rows, stored->cols, &bytes))
            sum += bytes;
    }
    return sum;
}

static void add_choice(struct tui *t, bool heading, const struct scheme *scheme, const char *text)
{
    if (t->choice_count == EDITOR_CHOICES)
        return;
    struct choice *c = &t->choices[t->choice_count++];
    c->heading = heading;
    *c->cost = 0;
    c->scheme = scheme ? *scheme : (struct scheme){0};
    snprintf(c->text, sizeof c->text, "%s", text);
}

/* A field's value in words. */
static const char *value_of(const struct scheme *s, enum change change, char out[SCHEME_TEXT])
{
    switch (change) {
    case CHANGE_ACT:
        return scheme_print_act(s, out);
    case CHANGE_GRANULARITY:
        return scheme_print_granularity(s, out);
    case CHANGE_SYMMETRY:
        return scheme_symmetry(s);
    case CHANGE_METHOD:
        methods_print_names(&s->methods, out, SCHEME_TEXT);
        return out;
    default:
        return "";
    }
}

/* A choice: its scheme and, where that leaves the field out since it is the default, the field's value. */
static void print_choice(const struct scheme *s, enum change change, bool now, char *out, size_t size)
{
    char scheme[SCHEME_TEXT], text[SCHEME_TEXT];
    const char *value = value_of(s, change, text);
    bool said = s->format.stored || strstr(scheme_print(s, scheme), value);
    snprintf(out, size, "%c %s%s%.32s%s", now ? '>' : ' ', scheme_print(s, scheme), said ? "" : " (", said ? "" : value,
             said ? "" : ")");
}

static void add_field(struct tui *t, size_t field, const int *tensors, size_t n)
{
    struct scheme choices[16], next;
    struct scheme now = t->frame->layers[tensors[0]].wanted;
    struct error why;
    char line[256], bytes[16];
    size_t count = scheme_choices(t->session->model, tensors[0], &now, fields[field].change, choices,
                                  16);
    if (count == 0 && !scheme_cycle(t->session->model, tensors[0], &now, fields[field].change, 1,
                                    NULL, &next, &why)) {
        snprintf(line, sizeof line, "%s: %.120s", fields[field].title, strchr(why.text, ':') + 2);
        add_choice(t, true, NULL, line);
        return;
    }
    add_choice(t, true, NULL, fields[field].title);
    for (size_t i = 0; i < count; i++) {
        print_choice(&choices[i], fields[field].change, scheme_equal(&choices[i], &now), line, sizeof line);
        add_choice(t, false, &choices[i], line);
        snprintf(t->choices[t->choice_count - 1].cost, sizeof t->choices->cost, "%s",
                 format_bytes(bytes, (double)cost(t, tensors, n, choices[i])));
    }
}

void editor_open(struct tui *t)
{
    char text[SCHEME_TEXT];
    int *tensors = calloc(schemes_count(t->session->model), sizeof *tensors);
    size_t n = tensors ? rows_chosen(t, tensors) : 0;
    if (n > 0) {
        t->choice_count = 0;
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
            add_field(t, i, tensors, n);
        t->choice = 0;
        struct scheme now = t->frame->layers[tensors[0]].wanted;
        for (size_t i = t->choice_count; i-- > 0;)
            if (!t->choices[i].heading && scheme_equal(&t->choices[i].scheme, &now))
                t->choice = i;
        ask_begin(t, ASK_SCHEME, scheme_print(&now, text));
    }
    free(tensors);
}

void editor_move(struct tui *t, int direction)
{
    size_t at = t->choice;
    char text[SCHEME_TEXT];
    do {
        if ((direction < 0 && at == 0) || (direction > 0 && at + 1 >= t->choice_count))
            return;
        at += direction > 0 ? 1 : (size_t)-1;
    } while (t->choices[at].heading);
    t->choice = at;
    input_suggest(&t->input, scheme_print(&t->choices[at].scheme, text));
}

void editor_draw(struct tui *t, struct rect area)
{
    int rows = area.rows - 1, top = 0;
    draw_text(area.row, 0, area.cols, STYLE_TITLE, true,
              area.cols < 60 ? " Choose or type a scheme; its bytes:"
                             : " Choose with the arrows or type a scheme; Enter applies, Esc cancels.  Bytes:");
    if ((int)t->choice >= rows)
        top = (int)t->choice - rows + 1;
    for (int i = 0; i < rows && top + i < (int)t->choice_count; i++) {
        const struct choice *c = &t->choices[top + i];
        enum style style = top + i == (int)t->choice ? STYLE_SELECTED
                           : c->heading             ? STYLE_STRONG
                                                    : STYLE_PLAIN;
        int col = c->heading ? 1 : 3, bytes = text_width(c->cost), used = text_width(c->text);
        int at = used > 32 ? used + 2 : 34; /* of what it costs, which stands there whole or not at all */
        draw_text(area.row + 1 + i, col, area.cols - 4, style, false, c->text);
        if (bytes > 0 && col + at + 8 <= area.cols)
            draw_format(area.row + 1 + i, col + at, 8, style, false, "%8s", c->cost);
        else if (bytes > 0 && col + used + 1 + bytes <= area.cols)
            draw_text(area.row + 1 + i, area.cols - bytes, bytes, style, false, c->cost);
    }
}
