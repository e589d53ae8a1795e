/* The line of keys at the bottom: the screen's own first, as many as fit. */
#include "tui.h"

#include <string.h>

/* Always there, at the end. */
static const enum action last[] = {ACTION_HELP, ACTION_QUIT};
enum { LAST = sizeof last / sizeof *last };

static bool is_last(enum action a)
{
    for (size_t i = 0; i < LAST; i++)
        if (last[i] == a)
            return true;
    return false;
}

/* "d Dtype " with the first of its keys. */
static void print_key(const struct key_binding *key, bool label, char out[64])
{
    snprintf(out, 64, "%.*s%s%s ", (int)strcspn(key->shown, " "), key->shown, label ? " " : "",
             label ? key->footer : "");
}

/* Whether the screen does something on it, and has no other use for its key. */
static bool is_for(const struct tui *t, const struct key_binding *key)
{
    bool unseen = key_edits(key->action) && views[t->view].edited == EDITS_NONE;
    return key->footer && !unseen && key_action(t->view, key->codes[0], key->codes[0] >= KEY_MIN) == key->action;
}

static void put(struct tui *t, int row, int *col, const struct key_binding *key)
{
    struct footer_key *f = &t->footer_keys[t->footer_count++];
    char text[64];
    f->begin = *col;
    print_key(key, false, text);
    *col += draw_text(row, *col, COLS - *col, STYLE_STRONG, false, text);
    *col += draw_format(row, *col, COLS - *col, STYLE_PLAIN, false, "%s ", key->footer);
    f->end = *col - 1; /* a blank between two */
    f->action = key->action;
}

/* 0: a key of this screen alone; 1: one that is for it; 2: of all screens. */
static int rank_of(const struct tui *t, const struct key_binding *key)
{
    return key_groups[key->group].view == t->view ? 0 : key_home(key) == t->view ? 1 : 2;
}

/* Keys of a rank that fit in front of the last ones. */
static void put_some(struct tui *t, int row, int *col, int room, int rank)
{
    for (size_t i = 0; i < key_count && t->footer_count < FOOTER_KEYS - LAST; i++) {
        const struct key_binding *key = &key_table[i];
        char text[64];
        if (is_last(key->action) || !is_for(t, key) || rank_of(t, key) != rank)
            continue;
        print_key(key, true, text);
        if (*col + text_width(text) <= room)
            put(t, row, col, key);
    }
}

void footer_draw_keys(struct tui *t, int row)
{
    const struct key_binding *ends[LAST];
    int col = 0, room = COLS;
    t->footer_row = row;
    t->footer_count = 0;
    for (size_t i = 0; i < LAST; i++) {
        char text[64];
        size_t k = 0;
        while (key_table[k].action != last[i])
            k++;
        ends[i] = &key_table[k];
        print_key(ends[i], true, text);
        room -= text_width(text);
    }
    for (int rank = 0; rank <= 2; rank++)
        put_some(t, row, &col, room + 1, rank); /* the last blank needs no room */
    for (size_t i = 0; i < LAST; i++)
        put(t, row, &col, ends[i]);
}

enum action footer_action(const struct tui *t, int row, int col)
{
    for (size_t i = 0; row == t->footer_row && i < t->footer_count; i++)
        if (col >= t->footer_keys[i].begin && col < t->footer_keys[i].end)
            return t->footer_keys[i].action;
    return ACTION_NONE;
}
