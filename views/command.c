/* The command line: everything that a key does, by its name, with what the key would ask for behind it. */
#include "tui.h"

#include "base/edit_distance.h"

#include <string.h>

enum { WORD = 64 };

/* ---- names ------------------------------------------------------------------------------------- */

/* Where a line's argument begins; its first word goes to `word`. */
static const char *split(const char *line, char word[WORD])
{
    line += strspn(line, " :");
    size_t n = strcspn(line, " ");
    snprintf(word, WORD, "%.*s", (int)(n < WORD ? n : WORD - 1), line);
    return line + n + strspn(line + n, " ");
}

/* The names nearest to a word that is none; "" where none is near. */
static void suggest(const char *word, char *out, size_t size)
{
    char name[KEY_NAME];
    size_t best = strlen(word) / 2 + 1, used = 0;
    *out = 0;
    for (size_t i = 0; i < key_names_count(); i++) {
        key_name_at(i, name);
        size_t distance = edit_distance(word, name);
        best = distance < best ? distance : best;
    }
    for (size_t i = 0; i < key_names_count() && used < size; i++)
        if (key_name_at(i, name) && edit_distance(word, name) == best)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "; nearest: ", name);
}

static void say_unknown(struct tui *t, const char *word)
{
    char near[128], name[KEY_NAME];
    size_t n = strlen(word), begin = 0;
    for (size_t i = 0; i < key_names_count(); i++) {
        key_name_at(i, name);
        begin += strncasecmp(name, word, n) == 0;
    }
    suggest(word, near, sizeof near);
    if (begin > 1)
        tui_note(t, "'%.40s' begins %zu names: Tab completes", word, begin);
    else
        tui_note(t, "no command is called '%.40s'%s", word, near);
}

/* ---- what is done with a line -------------------------------------------------------------------- */

static void remember(struct command_line *c, const char *line)
{
    if (c->kept > 0 && strcmp(c->history[c->kept - 1], line) == 0)
        return;
    if (c->kept == COMMANDS_KEPT) {
        memmove(c->history[0], c->history[1], sizeof c->history - sizeof c->history[0]);
        c->kept--;
    }
    snprintf(c->history[c->kept++], sizeof c->history[0], "%s", line);
}

/* Whether what is open takes a text. */
static bool takes_text(enum asking asking)
{
    return asking != ASK_NOTHING && asking != ASK_COMMAND && asking != ASK_QUIT && asking != ASK_STOP;
}

/* Does what the key does; the line of input that this opens is answered at once. */
static void run(struct tui *t, const struct key_binding *key, const char *argument)
{
    enum view_id own = key_groups[key->group].view;
    char name[KEY_NAME];
    if (own != VIEW_COUNT && own != t->view) {
        tui_note(t, "%s is for the screen %s: %s opens it", key_word(key, name), views[own].name, views[own].key);
        return;
    }
    if (key->action != ACTION_COMMAND)
        tui_act(t, key->action);
    if (!*argument)
        return;
    if (takes_text(t->asking)) {
        input_set(&t->input, argument);
        answers_enter(t);
    } else if (t->asking == ASK_NOTHING && !*t->note) {
        tui_note(t, "%s takes nothing behind it: '%.60s' was not used", key_word(key, name), argument);
    }
}

static void enter(struct tui *t)
{
    char line[sizeof t->input.text], word[WORD];
    snprintf(line, sizeof line, "%s", t->input.text);
    const char *argument = split(line, word);
    const struct key_binding *key = key_named(word);
    if (*word && !key) {
        say_unknown(t, word);
        return;
    }
    t->asking = ASK_NOTHING;
    if (!key)
        return;
    remember(&t->command, line);
    run(t, key, argument);
}

/* ---- keys ---------------------------------------------------------------------------------------- */

/* The text as a person typed it, which matches are for. */
static void typed(struct tui *t)
{
    struct command_line *c = &t->command;
    snprintf(c->typed, sizeof c->typed, "%s", t->input.text);
    c->chosen = c->match_count;
    complete_line(t, c->typed);
}

/* What all matches begin with, if that is more than is typed. */
static bool extend(struct tui *t)
{
    const struct command_line *c = &t->command;
    char common[sizeof t->input.text];
    size_t n = strlen(c->typed);
    if (c->match_count == 0)
        return false;
    snprintf(common, sizeof common, "%s", c->matches[0].line);
    for (size_t i = 1; i < c->match_count; i++) {
        size_t same = 0;
        while (common[same] && common[same] == c->matches[i].line[same])
            same++;
        common[same] = 0;
    }
    if (strlen(common) <= n || strncmp(common, c->typed, n) != 0)
        return false;
    input_set(&t->input, common);
    typed(t);
    return true;
}

/* The next match, or the one before; past the last comes what was typed. */
static void choose(struct tui *t, int direction)
{
    struct command_line *c = &t->command;
    size_t n = c->match_count + 1;
    c->chosen = (c->chosen + (direction > 0 ? 1 : n - 1)) % n;
    input_set(&t->input, c->chosen < c->match_count ? c->matches[c->chosen].line : c->typed);
}

/* Up: what was typed before. Down, after the newest: an empty line. */
static void recall(struct tui *t, int direction)
{
    struct command_line *c = &t->command;
    if (direction < 0 && c->at > 0)
        c->at--;
    else if (direction > 0 && c->at < c->kept)
        c->at++;
    else
        return;
    input_set(&t->input, c->at < c->kept ? c->history[c->at] : "");
    typed(t);
}

void command_open(struct tui *t)
{
    struct command_line *c = &t->command;
    ask_begin(t, ASK_COMMAND, "");
    c->at = c->kept;
    c->schemes_listed = false;
    typed(t);
}

void command_key(struct tui *t, unsigned key, bool is_code)
{
    bool erases = is_code ? key == KEY_BACKSPACE : key == 8 || key == 127;
    *t->note = 0;
    if (!is_code && key == 27) {
        t->asking = ASK_NOTHING;
    } else if (is_code ? key == KEY_ENTER : key == '\n' || key == '\r') {
        enter(t);
    } else if (is_code ? key == KEY_BTAB : key == '\t') {
        if (is_code || !extend(t))
            choose(t, is_code ? -1 : 1);
    } else if (is_code && (key == KEY_UP || key == KEY_DOWN)) {
        recall(t, key == KEY_UP ? -1 : 1);
    } else if (erases && t->input.length == 0) {
        t->asking = ASK_NOTHING;
    } else if (input_key(&t->input, key, is_code)) {
        typed(t);
    }
}

/* ---- drawing --------------------------------------------------------------------------------------- */

static void draw_match(const struct tui *t, size_t at, int row, int cols, int width)
{
    const struct match *m = &t->command.matches[at];
    enum style style = at == t->command.chosen ? STYLE_SELECTED : STYLE_PLAIN;
    char what[sizeof m->what];
    draw_blank(row, 0, cols, style);
    draw_text(row, 1, width, style, false, m->line + t->command.argument);
    int col = width + 2;
    if (col < cols)
        draw_text(row, col, cols - col, style, false,
                  format_cut(what, sizeof what, m->what, (size_t)(cols - col > 2 ? cols - col : 3)));
}

void command_draw(const struct tui *t, struct rect area)
{
    const struct command_line *c = &t->command;
    int room = area.rows < COMMAND_ROWS ? area.rows : COMMAND_ROWS, width = 8;
    size_t rows = c->match_count < (size_t)room ? c->match_count : (size_t)room, top = 0;
    if (c->chosen < c->match_count && c->chosen >= rows)
        top = c->chosen - rows + 1;
    for (size_t i = top; i < top + rows; i++) {
        int w = text_width(c->matches[i].line + c->argument);
        width = w > width ? w : width;
    }
    width = width > area.cols / 2 ? area.cols / 2 : width;
    for (size_t i = 0; i < rows; i++) {
        int row = area.row + area.rows - (int)(rows - i);
        bool more = i + 1 == rows && top + rows < c->match_count && c->chosen != top + i;
        if (more)
            draw_format(row, 0, area.cols, STYLE_DIM, true, " and %zu more: Tab completes, type to narrow",
                        c->match_count - top - i);
        else
            draw_match(t, top + i, row, area.cols, width);
    }
}
