/* Screen 1, Layers: keys and mouse. */
#include "tui.h"

#include <stdlib.h>
#include <string.h>

static int block_count(const struct tui *t)
{
    return (int)t->session->model->hyper.layers;
}

static const struct tensor *tensor_of(const struct tui *t, int tensor)
{
    return &t->session->model->tensors[tensor];
}

static bool is_kv(const struct tui *t, int tensor)
{
    return tensor == kv_index(t->session->model);
}

/* ---- keys and mouse ---------------------------------------------------------------------------- */

static void move_to(struct tui *t, long row)
{
    long last = (long)t->row_count - 1;
    t->cursor = row < 0 || last < 0 ? 0 : (size_t)(row > last ? last : row);
    tui_select(t);
}

/* Unfolds what hides a tensor. */
static void show(struct tui *t, const struct tensor *x)
{
    t->folded[x->block] = false;
    if (x->expert >= 0)
        t->unfolded[x->block] |= ROLE_BIT(x->role);
}

void layers_go_to(struct tui *t, int tensor)
{
    if (!is_kv(t, tensor) && tensor_of(t, tensor)->block >= 0)
        show(t, tensor_of(t, tensor));
    rows_update(t);
    for (size_t r = 0; r < t->row_count; r++)
        if (t->rows[r].tensor == tensor)
            move_to(t, (long)r);
}

static void search(struct tui *t, const char *text, bool next)
{
    size_t n = schemes_count(t->session->model);
    int from = rows_current_tensor(t);
    if (text)
        snprintf(t->search, sizeof t->search, "%.60s", text);
    for (size_t i = 0; *t->search && i < n; i++) {
        int tensor = (int)(((size_t)(from < 0 ? 0 : from) + i + next) % n);
        if (!strcasestr(layer_name(t->session->model, tensor), t->search) || !rows_shows(t, tensor))
            continue;
        layers_go_to(t, tensor);
        return;
    }
    if (*t->search)
        tui_note(t, "no layer's name contains '%s'", t->search);
}

static void apply_filter(struct tui *t, const char *text)
{
    snprintf(t->filter, sizeof t->filter, "%.60s", text);
    rows_update(t);
    tui_select(t);
}

static const char *filtered(const struct tui *t)
{
    return t->filter;
}

static void go_back(struct tui *t)
{
    rows_back(t);
    tui_select(t);
}

static size_t hits(const struct tui *t, size_t *all, const char **what)
{
    size_t shown = 0;
    *all = schemes_count(t->session->model);
    *what = "layers";
    for (int i = 0; i < (int)*all; i++)
        shown += rows_shows(t, i);
    return shown;
}

const struct finder layers_finder = {search, apply_filter, filtered, rows_keep, go_back, hits, NULL};

static void toggle_tag(struct tui *t)
{
    const struct row *r = &t->rows[t->cursor];
    int first = rows_current_tensor(t), begin, end = rows_range(t, r, &begin);
    bool tag = first >= 0 && !t->tagged[first];
    for (int i = begin; i < end; i++)
        if (rows_covers(t, r, i))
            t->tagged[i] = tag;
    move_to(t, (long)t->cursor + 1);
}

static void untag_all(struct tui *t)
{
    memset(t->tagged, 0, schemes_count(t->session->model) * sizeof *t->tagged);
}

static void fold(struct tui *t, bool folded)
{
    rows_fold(t, &t->rows[t->cursor], folded);
    rows_update(t);
    tui_select(t);
}

static void fold_all(struct tui *t)
{
    bool any_open = false;
    for (int b = 0; b < block_count(t); b++)
        any_open |= !t->folded[b];
    for (int b = 0; b < block_count(t); b++)
        t->folded[b] = any_open;
    rows_update(t);
    tui_select(t);
}

/* The current row's scheme for the same role in every block; a row of several does it for each of them. */
static void same_everywhere(struct tui *t)
{
    const struct model *m = t->session->model;
    struct row r = t->rows[t->cursor];
    if (t->one_layer)
        r.tensor = rows_current_tensor(t);
    int begin, end = rows_range(t, &r, &begin);
    int *tensors = malloc((size_t)(end - begin + 1) * sizeof *tensors);
    size_t n = 0;
    for (int i = begin; tensors && i < end && !is_kv(t, i); i++)
        if (m->tensors[i].block >= 0 && rows_covers(t, &r, i))
            tensors[n++] = i;
    if (n > 0)
        tui_send(t, &(struct command){.kind = COMMAND_SAME, .tensors = tensors, .tensor_count = n});
    else
        tui_note(t, "there is only one of this layer");
    free(tensors);
}

static void sort_by(struct tui *t, enum sort_column column, bool reversed)
{
    static const char *const names[SORT_COLUMNS] = {"the model's order", "kind of layer", "size",
                                                    "time", "SQNR", "sensitivity"};
    if (t->row_count > 0) {
        t->rows[t->cursor].tensor = rows_current_tensor(t); /* a sorted list has no rows of several */
        t->rows[t->cursor].role = ROLE_NONE;
    }
    t->sort = column;
    t->sort_reversed = reversed;
    rows_update(t);
    tui_note(t, "sorted by %s%s", names[column],
             column == SORT_NONE ? "" : rows_ascend(t) ? ", ascending" : ", descending");
}

static void sort_beside(struct tui *t, int direction)
{
    sort_by(t, (enum sort_column)(((int)t->sort + direction + SORT_COLUMNS) % SORT_COLUMNS), false);
}

static void reverse(struct tui *t)
{
    if (t->sort == SORT_NONE)
        tui_note(t, "layers stand in the model's order: > or a click on a title sorts them");
    else
        sort_by(t, t->sort, !t->sort_reversed);
}

/* A click on the title of a column: again, the other way round. */
static void click_title(struct tui *t)
{
    int column = layers_column_at(t, t->mouse_col);
    enum sort_column by = column < 0 ? SORT_NONE : layers_sort_of(column);
    if (by != SORT_NONE)
        sort_by(t, by, by == t->sort && !t->sort_reversed);
    else if (column >= 0)
        tui_note(t, "nothing sorts by %s: LAYER, SIZE, us/TOK, SQNR and SENS do", layers_column_title(column));
}

void layers_click(struct tui *t, int row)
{
    long at = (long)t->top + row - t->table_row;
    if (row == t->table_row - 1 && t->column_begin[TABLE_COLUMNS] > 0)
        click_title(t);
    if (row < t->table_row || at >= (long)t->row_count)
        return;
    const struct row *r = &t->rows[at];
    if ((size_t)at == t->cursor && r->tensor < 0)
        rows_fold(t, r, !rows_is_folded(t, r));
    move_to(t, at);
    rows_update(t);
}

bool layers_act(struct tui *t, enum action a)
{
    if (t->row_count == 0 && (key_moves(a) || a == ACTION_TAG || a == ACTION_SAME || a == ACTION_EDIT)) {
        tui_note(t, "no layer's name contains '%s': Esc clears the filter", t->filter);
        return true;
    }
    if (t->row_count == 0)
        return false;
    long at = (long)t->cursor, page = (long)t->page;
    switch (a) {
    case ACTION_UP:
        return move_to(t, at - 1), true;
    case ACTION_DOWN:
        return move_to(t, at + 1), true;
    case ACTION_PAGE_UP:
        return move_to(t, at - page), true;
    case ACTION_PAGE_DOWN:
        return move_to(t, at + page), true;
    case ACTION_HOME:
        return move_to(t, 0), true;
    case ACTION_END:
        return move_to(t, (long)t->row_count - 1), true;
    case ACTION_TAG:
        return toggle_tag(t), true;
    case ACTION_UNTAG:
        return untag_all(t), true;
    case ACTION_FOLD:
    case ACTION_UNFOLD:
        return fold(t, a == ACTION_FOLD), true;
    case ACTION_FOLD_ALL:
        return fold_all(t), true;
    case ACTION_SAME:
        return same_everywhere(t), true;
    case ACTION_SORT_NEXT:
    case ACTION_SORT_PREVIOUS:
        return sort_beside(t, a == ACTION_SORT_NEXT ? 1 : -1), true;
    case ACTION_SORT_REVERSE:
        return reverse(t), true;
    case ACTION_EDIT:
        return editor_open(t), true;
    default:
        return false;
    }
}
