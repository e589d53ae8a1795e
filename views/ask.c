/* Lines of input at the bottom of the screen, and the scheme editor. */
#include "tui.h"

#include "batch.h"

#include "export/export.h"
#include "quant/recipe.h"
#include "quant/tune.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const labels[] = {
    [ASK_SEARCH] = "search: ",
    [ASK_FILTER] = "filter: ",
    [ASK_PROMPT] = "prompt: ",
    [ASK_SAMPLING] = "temperature seed: ",
    [ASK_WRITE] = "write recipe to: ",
    [ASK_SCHEME] = "scheme: ",
    [ASK_COLUMNS] = "columns: ",
    [ASK_EXPORT] = "export to: ",
    [ASK_TUNE] = "budget (size, bits, kl or rate): ",
};

void ask_begin(struct tui *t, enum asking what, const char *text)
{
    t->asking = what;
    t->untouched = what == ASK_SCHEME;
    t->overwriting = false;
    input_set(&t->input, text);
}

/* ---- what an answer does --------------------------------------------------------------------- */

/* "0.8 42": temperature and seed; the seed may be left out. */
static bool answer_sampling(struct tui *t)
{
    char *end, *more;
    double temperature = strtod(t->input.text, &end);
    bool any = end != t->input.text;
    unsigned long long seed = t->frame->text ? t->frame->text->seed : 1;
    unsigned long long given = strtoull(end, &more, 10);
    if (more != end)
        seed = given;
    else
        more = end;
    while (*more == ' ')
        more++;
    if (!any || *more || !(temperature >= 0 && temperature <= 100)) {
        tui_note(t, "'%.40s': expected a temperature from 0 to 100 and a seed, such as 0.8 42",
                 t->input.text);
        return false;
    }
    tui_send(t, &(struct command){.kind = COMMAND_SAMPLING, .temperature = temperature,
                                  .seed = seed});
    return true;
}

static bool answer_columns(struct tui *t)
{
    struct error error;
    bool ok = layers_choose_columns(t, t->input.text, &error);
    tui_note(t, "%s", ok ? "S keeps the columns for the next time" : error.text);
    return ok;
}

static bool answer_tune(struct tui *t)
{
    struct budget budget;
    struct error error;
    if (!budget_parse(t->input.text, &budget, &error)) {
        tui_note(t, "%s", error.text);
        return false;
    }
    tui_send(t, &(struct command){.kind = COMMAND_TUNE, .text = t->input.text});
    return true;
}

static bool answer_scheme(struct tui *t)
{
    struct scheme scheme;
    struct error error;
    if (!scheme_parse(t->input.text, &scheme, &error)) {
        tui_note(t, "%s", error.text);
        return false;
    }
    tui_send_changed(t, (struct command){.kind = COMMAND_SET, .scheme = scheme});
    return true;
}

/* A file that is there is written over when that was said twice. */
static bool answer_file(struct tui *t, enum command_kind kind)
{
    char *path = strdup(t->input.text);
    struct stat st;
    if (path && kind == COMMAND_EXPORT)
        export_split_format(path);
    bool there = path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
    free(path);
    if (there && !t->overwriting) {
        t->overwriting = true;
        tui_note(t, "that file is there already: Enter again writes over it, Esc leaves it");
        return false;
    }
    if (*t->input.text)
        tui_send(t, &(struct command){.kind = kind, .text = t->input.text});
    return true;
}

/* False keeps the line open, so that it can be mended. */
static bool answer(struct tui *t)
{
    switch (t->asking) {
    case ASK_SEARCH:
        views[t->view].finder->search(t, t->input.text, false);
        return true;
    case ASK_FILTER:
        views[t->view].finder->filter(t, t->input.text);
        return true;
    case ASK_PROMPT:
        tui_send(t, &(struct command){.kind = COMMAND_PROMPT, .text = t->input.text});
        return true;
    case ASK_SAMPLING:
        return answer_sampling(t);
    case ASK_WRITE:
        return answer_file(t, COMMAND_WRITE);
    case ASK_COLUMNS:
        return answer_columns(t);
    case ASK_EXPORT:
        return answer_file(t, COMMAND_EXPORT);
    case ASK_SCHEME:
        return answer_scheme(t);
    case ASK_TUNE:
        return answer_tune(t);
    case ASK_NOTHING:
        break;
    }
    return true;
}

/* ---- the scheme editor ----------------------------------------------------------------------- */

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
            sum += layers_kv_bytes(t, scheme.format.weight);
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

static void add_field(struct tui *t, size_t field, const int *tensors, size_t n)
{
    struct scheme choices[16], next;
    struct scheme now = t->frame->layers[tensors[0]].wanted;
    struct error why;
    char line[160], scheme[SCHEME_TEXT], bytes[16];
    size_t count = scheme_choices(t->session->model, tensors[0], &now, fields[field].change, choices,
                                  16);
    if (count == 0 && !scheme_cycle(t->session->model, tensors[0], &now, fields[field].change, 1,
                                    &next, &why)) {
        snprintf(line, sizeof line, "%s: %.120s", fields[field].title, strchr(why.text, ':') + 2);
        add_choice(t, true, NULL, line);
        return;
    }
    add_choice(t, true, NULL, fields[field].title);
    for (size_t i = 0; i < count; i++) {
        snprintf(line, sizeof line, "%c %s", scheme_equal(&choices[i], &now) ? '>' : ' ',
                 scheme_print(&choices[i], scheme));
        add_choice(t, false, &choices[i], line);
        snprintf(t->choices[t->choice_count - 1].cost, sizeof t->choices->cost, "%sB",
                 format_bytes(bytes, (double)cost(t, tensors, n, choices[i])));
    }
}

void editor_open(struct tui *t)
{
    char text[SCHEME_TEXT];
    int *tensors = calloc(schemes_count(t->session->model), sizeof *tensors);
    size_t n = tensors ? layers_chosen(t, tensors) : 0;
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

static void move_choice(struct tui *t, int direction)
{
    size_t at = t->choice;
    char text[SCHEME_TEXT];
    do {
        if ((direction < 0 && at == 0) || (direction > 0 && at + 1 >= t->choice_count))
            return;
        at += direction > 0 ? 1 : (size_t)-1;
    } while (t->choices[at].heading);
    t->choice = at;
    t->untouched = true;
    input_set(&t->input, scheme_print(&t->choices[at].scheme, text));
}

void editor_draw(struct tui *t, struct rect area)
{
    int rows = area.rows - 1, top = 0;
    draw_text(area.row, 0, area.cols, STYLE_TITLE, true,
              area.cols < 60 ? " Choose or type a scheme; its bytes:"
                             : " Choose with the arrows or type a scheme; Enter applies, Esc leaves.  Bytes:");
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

/* ---- keys ------------------------------------------------------------------------------------ */

static void close_line(struct tui *t)
{
    t->asking = ASK_NOTHING;
}

void ask_key(struct tui *t, unsigned key, bool is_code)
{
    bool enter = (!is_code && (key == '\n' || key == '\r')) || (is_code && key == KEY_ENTER);
    *t->note = 0;
    if (!is_code && key == 27) {
        close_line(t);
    } else if (enter) {
        if (answer(t))
            close_line(t);
    } else if (t->asking == ASK_SCHEME && is_code && (key == KEY_UP || key == KEY_DOWN)) {
        move_choice(t, key == KEY_UP ? -1 : 1);
    } else {
        t->overwriting = false;
        if (t->untouched && !is_code && key >= 32 && key != 127)
            input_set(&t->input, "");
        t->untouched = false;
        input_key(&t->input, key, is_code);
    }
}

void ask_draw(struct tui *t, const struct layout *l)
{
    int row = l->footer >= 0 ? l->footer : LINES - 1;
    draw_input(row, 0, COLS, labels[t->asking], &t->input);
}
