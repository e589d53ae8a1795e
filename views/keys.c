#include "keys.h"

#include "quant/method.h"

#include <ctype.h>
#include <curses.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define CTRL(letter) ((letter) & 0x1f)
#define K(...)       {__VA_ARGS__}

const struct key_binding key_table[] = {
#define X(action, group, codes, shown, footer, help)                                               \
    {ACTION_##action, KEYS_##group, codes, shown, footer, help, #action},
    QTOP_KEYS(X)
#undef X
};
const size_t key_count = sizeof key_table / sizeof *key_table;

const struct key_group_info key_groups[KEY_GROUPS] = {
#define G(name, view, title) {view, title},
    QTOP_KEY_GROUPS(G)
#undef G
};

/* Curses codes begin where characters of a byte end, so the two cannot be confused in the table. */
static enum action action_in(enum view_id view, int key, bool is_code)
{
    for (size_t i = 0; i < key_count; i++)
        for (size_t k = 0; k < KEY_CODES; k++)
            if (key_groups[key_table[i].group].view == view && key_table[i].codes[k] == key && key != 0 &&
                is_code == (key >= KEY_MIN))
                return key_table[i].action;
    return ACTION_NONE;
}

enum action key_action(enum view_id view, int key, bool is_code)
{
    enum action own = action_in(view, key, is_code);
    return own != ACTION_NONE ? own : action_in(VIEW_COUNT, key, is_code);
}

static enum key_group group_of(enum action action)
{
    for (size_t i = 0; i < key_count; i++)
        if (key_table[i].action == action)
            return key_table[i].group;
    return KEY_GROUPS;
}

/* What works on every screen, and is for one of them all the same. */
static const struct {
    enum action action; /* or, of ACTION_NONE, all of a group */
    enum key_group group;
    enum view_id view;
} homes[] = {
    {ACTION_NONE, KEYS_CHANGE, VIEW_LAYERS},    {ACTION_NONE, KEYS_TEXT, VIEW_TEXT},
    {ACTION_ROOFS, KEYS_MEASURE, VIEW_ROOFLINE}, {ACTION_SWAP, KEYS_KEEP, VIEW_COMPARE},
    {ACTION_TIME_SNAPSHOTS, KEYS_MEASURE, VIEW_COMPARE}, {ACTION_ADVISE, KEYS_MEASURE, VIEW_ADVISE},
    {ACTION_SENSITIVITY, KEYS_MEASURE, VIEW_MAP},
};

enum view_id key_home(const struct key_binding *key)
{
    for (size_t i = 0; i < sizeof homes / sizeof *homes; i++)
        if (homes[i].group == key->group && (homes[i].action == ACTION_NONE || homes[i].action == key->action))
            return homes[i].view;
    return key_groups[key->group].view;
}

bool key_moves(enum action a)
{
    bool finds = a == ACTION_SEARCH || a == ACTION_SEARCH_NEXT || a == ACTION_FILTER;
    return group_of(a) == KEYS_MOVE && !finds;
}

bool key_edits(enum action action)
{
    return group_of(action) == KEYS_CHANGE;
}

bool key_changes(enum action action)
{
    enum key_group group = group_of(action);
    return group == KEYS_CHANGE || group == KEYS_KEEP || action == ACTION_RESTORE || action == ACTION_NAME_SNAPSHOT ||
           action == ACTION_ANNOTATE_SNAPSHOT || action == ACTION_DELETE_SNAPSHOT ||
           action == ACTION_ADVISED_APPLY || action == ACTION_ADVISED_EXPORT || action == ACTION_ADVISED_REFINE;
}

char *key_word(const struct key_binding *key, char out[KEY_NAME])
{
    size_t i = 0;
    for (; key->id[i] && i + 1 < KEY_NAME; i++)
        out[i] = key->id[i] == '_' ? '-' : (char)tolower((unsigned char)key->id[i]);
    out[i] = 0;
    return out;
}

/* Names beside those of the table. */
static const struct {
    const char *name;
    enum action action;
} aliases[] = {
    {"scheme", ACTION_EDIT},
};

size_t key_names_count(void)
{
    return key_count + sizeof aliases / sizeof *aliases;
}

const struct key_binding *key_name_at(size_t i, char name[KEY_NAME])
{
    if (i < key_count) {
        key_word(&key_table[i], name);
        return &key_table[i];
    }
    size_t k = 0;
    snprintf(name, KEY_NAME, "%s", aliases[i - key_count].name);
    while (key_table[k].action != aliases[i - key_count].action)
        k++;
    return &key_table[k];
}

const struct key_binding *key_named(const char *word)
{
    const struct key_binding *only = NULL;
    size_t n = strlen(word), begin = 0;
    char name[KEY_NAME];
    for (size_t i = 0; i < key_names_count() && n > 0; i++) {
        const struct key_binding *key = key_name_at(i, name);
        if (strcasecmp(name, word) == 0)
            return key;
        if (strncasecmp(name, word, n) == 0) {
            only = key;
            begin++;
        }
    }
    return begin == 1 ? only : NULL;
}

/* ---- the help -------------------------------------------------------------------------------- */

/* The methods of the menu that train, or those that do not. */
static void list_methods(bool trained, char *out, size_t size)
{
    struct methods offered[METHODS_MAX];
    size_t count = methods_offered(offered, METHODS_MAX), n = 0;
    *out = 0;
    for (size_t i = 0; i < count && n < size; i++) {
        char name[64];
        if ((methods_of_phase(&offered[i], PHASE_TRAINING) != NULL) == trained)
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? ", " : "",
                                  methods_print_names(&offered[i], name, sizeof name));
    }
}

char *key_help(const struct key_binding *key, char out[HELP_TEXT])
{
    char quick[HELP_TEXT / 2], trained[HELP_TEXT / 4];
    const char *place = strstr(key->help, "%s");
    list_methods(false, quick, sizeof quick);
    list_methods(true, trained, sizeof trained);
    if (place)
        snprintf(out, HELP_TEXT, "%.*s%s; Enter offers %s, too, which trains", (int)(place - key->help), key->help,
                 quick, trained);
    else
        snprintf(out, HELP_TEXT, "%s", key->help);
    return out;
}
