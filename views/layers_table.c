/* The table of the Layers screen. */
#include "tui.h"

#include "batch.h"
#include "scales.h"

#include <math.h>
#include <string.h>
#include <strings.h>

static const struct tensor *tensor_of(const struct tui *t, int tensor)
{
    return &t->session->model->tensors[tensor];
}

enum column_id { C_LAYER, C_SHAPE, C_WEIGHT, C_ACT, C_GROUP, C_SYM, C_METHOD, C_SIZE, C_TIME, C_RATE,
              C_ROOF, C_SQNR, C_SENSITIVITY, C_USED, COLUMNS_COUNT };

static const struct column columns_table[COLUMNS_COUNT] = {
    [C_LAYER] = {"LAYER", 19, .stretch = true},
    [C_SHAPE] = {"SHAPE", 12, .drop = 4},
    [C_WEIGHT] = {"WEIGHT", 9},
    [C_ACT] = {"ACT", 9, .drop = 6},
    [C_GROUP] = {"GROUP", 8, .drop = 8},
    [C_SYM] = {"SYM", 6, .drop = 7},
    [C_METHOD] = {"METHOD", 14, .drop = 2},
    [C_SIZE] = {"SIZE", 7, .drop = 10, .right = true},
    [C_TIME] = {"us/TOK", 8, .drop = 9, .right = true},
    [C_RATE] = {"GB/s", 7, .drop = 5, .right = true},
    [C_ROOF] = {"ROOF%", 7, .drop = 3, .right = true},
    [C_SQNR] = {"SQNR", 7, .right = true},
    [C_SENSITIVITY] = {"SENS", 9, .drop = 1, .right = true},
    [C_USED] = {"USED", 7, .right = true},
};

static const enum column_id sort_columns[SORT_COLUMNS] = {
    [SORT_NONE] = COLUMNS_COUNT, [SORT_NAME] = C_LAYER, [SORT_SIZE] = C_SIZE,
    [SORT_TIME] = C_TIME,        [SORT_SQNR] = C_SQNR, [SORT_SENSITIVITY] = C_SENSITIVITY,
};

enum { CELL = TABLE_CELL };

struct cells {
    char text[COLUMNS_COUNT][TABLE_CELL];
    double sqnr, kl, roof; /* that columns show; NaN: none */
};

/* Figures that a tensor and a block share: sums over tensors. */
struct sums {
    double read;        /* bytes that a token reads: of an expert as often as it is used */
    size_t shown;       /* the same, or those in the file that the set was chosen for */
    double seconds, w2, e2;
    bool timed, exact;
    bool own; /* stored weights that are the reference themselves */
    size_t measured;    /* layers whose sensitivity was measured, */
    size_t unmeasured;  /* and those that are not stored and were not */
    bool partly;        /* one of them on a part of the tokens so far */
    double sensitivity; /* the largest of them, nats */
    bool all_stored;
    size_t count;
};

/* How often a token reads a tensor: an expert as often as it was used so far, or as all are on average. */
static double share_read(const struct tui *t, int tensor)
{
    const struct tensor *x = tensor_of(t, tensor);
    const struct metric *used = &t->frame->layers[tensor].used;
    if (x->expert < 0)
        return 1;
    return used->valid ? used->value : tensor_share(t->session->model, tensor);
}

static void add_to_sums(const struct tui *t, int tensor, struct sums *s)
{
    const struct qtensor *p = t->frame->set->layer[tensor];
    s->read += (double)p->matrix.bytes * share_read(t, tensor);
    s->shown += rows_size(t, tensor);
    s->timed |= t->frame->layers[tensor].seconds.valid;
    s->seconds += t->frame->layers[tensor].seconds.value;
    s->exact = p->error.exact && (s->count == 0 || s->exact);
    s->own = p->matrix.format.stored && !t->frame->model->reference && (s->count == 0 || s->own);
    s->all_stored = qformat_as_stored(&p->matrix.format) && (s->count == 0 || s->all_stored);
    s->measured += t->frame->layers[tensor].sensitivity.valid;
    s->unmeasured += !qformat_as_stored(&p->matrix.format) && !t->frame->layers[tensor].sensitivity.valid;
    s->partly |= t->frame->layers[tensor].sensitivity.valid && t->frame->layers[tensor].sensitivity_partial;
    s->sensitivity = fmax(s->sensitivity, t->frame->layers[tensor].sensitivity.value);
    s->w2 += p->error.sum_w2;
    s->e2 += p->error.sum_e2;
    s->count++;
}

/* Stored layers cost nothing by definition; of a block the greatest figure is shown: ">" where not all of its layers
 * were measured, "~" where one was on a part of the tokens. */
static void sensitivity_cell(const struct sums *s, struct cells *c)
{
    const char *partial = s->unmeasured > 0 ? ">" : s->partly ? "~" : "";
    c->kl = s->measured > 0 ? s->sensitivity : NAN;
    if (s->measured > 0)
        snprintf(c->text[C_SENSITIVITY], CELL, s->sensitivity < 1e-4 ? "%s%.1e" : "%s%.5f", partial, s->sensitivity);
    else
        snprintf(c->text[C_SENSITIVITY], CELL, "%s", s->all_stored ? "-" : "E");
}

static void figure_cells(const struct tui *t, const struct sums *s, struct cells *c)
{
    const struct frame *f = t->frame;
    char bytes[16], share[16];
    c->sqnr = c->roof = NAN;
    snprintf(c->text[C_SIZE], CELL, "%s", format_bytes(bytes, (double)s->shown));
    if (s->timed) {
        double rate = s->read / s->seconds;
        snprintf(c->text[C_TIME], CELL, s->seconds < 1e-4 ? "%.2f" : "%.0f", s->seconds * 1e6);
        snprintf(c->text[C_RATE], CELL, "%.1f", rate / 1e9);
        if (f->speed.in_cache) {
            snprintf(c->text[C_ROOF], CELL, "cache");
        } else if (f->speed.peak_read.valid) {
            c->roof = rate / f->speed.peak_read.value;
            snprintf(c->text[C_ROOF], CELL, "%s", format_share(share, c->roof, f->speed.roofs_disturbed));
        }
    } else {
        snprintf(c->text[C_TIME], CELL, "-");
        snprintf(c->text[C_RATE], CELL, "-");
        snprintf(c->text[C_ROOF], CELL, "-");
    }
    sensitivity_cell(s, c);
    if (*f->model->reference_reason)
        snprintf(c->text[C_SQNR], CELL, "n/a");
    else if (s->own)
        snprintf(c->text[C_SQNR], CELL, "-");
    else
        c->sqnr = s->exact || s->e2 == 0 ? INFINITY : 10 * log10(s->w2 / s->e2);
    if (isinf(c->sqnr))
        snprintf(c->text[C_SQNR], CELL, "exact");
    else if (!isnan(c->sqnr))
        snprintf(c->text[C_SQNR], CELL, "%.1f", c->sqnr);
}

static void scheme_cells(const struct scheme *s, const struct tensor *x, bool multiplies,
                         struct cells *c)
{
    char text[SCHEME_TEXT];
    snprintf(c->text[C_SHAPE], CELL, "%zux%zu", x->stored.rows, x->stored.cols);
    snprintf(c->text[C_WEIGHT], CELL, "%s%s", dtypes[s->format.weight].name, s->format.stored ? "*" : "");
    snprintf(c->text[C_ACT], CELL, "%s", multiplies ? scheme_print_act(s, text) : "-");
    snprintf(c->text[C_GROUP], CELL, "%s", scheme_print_granularity(s, text));
    snprintf(c->text[C_SYM], CELL, "%s", scheme_symmetry(s));
    if (s->format.stored)
        snprintf(c->text[C_METHOD], CELL, "-");
    else
        methods_print_names(&s->methods, c->text[C_METHOD], CELL);
}

static void used_cell(const struct metric *used, struct cells *c)
{
    if (used->valid)
        snprintf(c->text[C_USED], CELL, "%.1f %%", 100 * used->value);
    else
        snprintf(c->text[C_USED], CELL, "n/a");
}

static void tensor_cells(const struct tui *t, int tensor, struct cells *c)
{
    const struct tensor *x = tensor_of(t, tensor);
    struct scheme s = qtensor_scheme(t->frame->set->layer[tensor]);
    bool flat = *t->filter || t->sort != SORT_NONE;
    struct sums sums = {0};
    bool multiplies = tensor_multiplies(t->session->model, tensor);
    const char *name = x->block >= 0 && !flat ? roles[x->role].name : x->name;
    char expert[24];
    snprintf(expert, sizeof expert, "  exps.%d", x->expert);
    snprintf(c->text[C_LAYER], CELL, "%s%s%s", t->tagged[tensor] ? "*" : " ",
             x->block >= 0 && !flat ? "  " : "", x->expert >= 0 && !flat ? expert : name);
    if (x->expert >= 0)
        used_cell(&t->frame->layers[tensor].used, c);
    scheme_cells(&s, x, multiplies, c);
    add_to_sums(t, tensor, &sums);
    figure_cells(t, &sums, c);
}

/* Keys and values of one position. */
static size_t elements_of_cache(const struct model *m)
{
    size_t elements = 0;
    for (size_t b = 0; b < m->hyper.layers; b++)
        elements += 2 * m->kv_layers[b].heads * m->kv_layers[b].head_size;
    return elements;
}

/* The cache: its shape is positions x values of one; its size that of all positions, and what attention
 * read a second are the positions up to the newest. */
static void kv_cells(const struct tui *t, struct cells *c)
{
    const struct frame *f = t->frame;
    int kv = kv_index(t->session->model);
    const struct metric *seconds = &f->layers[kv].seconds;
    struct sums sums = {.read = (double)(f->position * kv_bytes_per_position(f->model, f->set->kv)),
                        .seconds = seconds->value, .timed = seconds->valid, .own = true, .all_stored = true};
    struct scheme s = scheme_default(f->set->kv);
    char bytes[16];
    for (int k = C_ACT; k <= C_METHOD; k++)
        snprintf(c->text[k], CELL, "-");
    snprintf(c->text[C_LAYER], CELL, "%s%s", t->tagged[kv] ? "*" : " ", KV_NAME);
    snprintf(c->text[C_SHAPE], CELL, "%zux%zu", f->capacity,
             elements_of_cache(t->session->model));
    snprintf(c->text[C_WEIGHT], CELL, "%s", dtypes[s.format.weight].name);
    if (dtypes[s.format.weight].kind != DTYPE_KIND_FLOAT)
        snprintf(c->text[C_GROUP], CELL, "head");
    if (dtypes[s.format.weight].kind == DTYPE_KIND_INTEGER)
        snprintf(c->text[C_SYM], CELL, "sym");
    figure_cells(t, &sums, c);
    snprintf(c->text[C_SIZE], CELL, "%s", /* no file holds the cache */
             frame_file(f) ? "-" : format_bytes(bytes, (double)rows_kv_bytes(t, f->set->kv)));
}

/* A row of several sums up its layers; a field on which they differ says "mixed". */
static size_t several_cells(const struct tui *t, const struct row *r, struct cells *c)
{
    struct sums sums = {0};
    struct scheme before = {0};
    int i, end = rows_range(t, r, &i);
    for (; i < end; i++) {
        struct cells one;
        if (!rows_covers(t, r, i))
            continue;
        struct scheme s = qtensor_scheme(t->frame->set->layer[i]);
        if (sums.count == 0 || !scheme_equal(&s, &before)) {
            scheme_cells(&s, tensor_of(t, i), true, &one);
            for (int k = C_WEIGHT; k <= C_METHOD; k++)
                if (sums.count == 0)
                    memcpy(c->text[k], one.text[k], sizeof one.text[k]);
                else if (strcmp(c->text[k], one.text[k]) != 0)
                    strcpy(c->text[k], "mixed");
        }
        before = s;
        add_to_sums(t, i, &sums);
    }
    figure_cells(t, &sums, c);
    return sums.count;
}

static void block_cells(const struct tui *t, const struct row *r, struct cells *c)
{
    size_t count = several_cells(t, r, c);
    snprintf(c->text[C_LAYER], CELL, " %s blk.%d", rows_is_folded(t, r) ? "+" : "-", r->block);
    snprintf(c->text[C_SHAPE], CELL, "%zu layers", count);
}

/* All experts of a block in one role. */
static void experts_cells(const struct tui *t, const struct row *r, struct cells *c)
{
    const struct layer *l = &t->session->model->layers[r->block];
    const struct qmatrix *one = &tensor_of(t, l->tensor[r->role])->stored;
    several_cells(t, r, c);
    snprintf(c->text[C_LAYER], CELL, " %s %s", rows_is_folded(t, r) ? "+" : "-", roles[r->role].name);
    snprintf(c->text[C_SHAPE], CELL, "%zux%zux%zu", l->mixture.experts, one->rows, one->cols);
    snprintf(c->text[C_USED], CELL, "%zu/%zu", l->mixture.used, l->mixture.experts);
}

/* While a layer is on its way its figures make room for the progress. */
static void draw_progress(const struct tui *t, const struct row *r, int row, int col, int cols)
{
    const struct layer_frame *l = r->tensor >= 0 ? &t->frame->layers[r->tensor] : NULL;
    char scheme[SCHEME_TEXT];
    if (!l || !l->pending || cols < 12)
        return;
    scheme_print(&l->wanted, scheme);
    draw_blank(row, col, cols, STYLE_PLAIN);
    int bar = cols > 44 ? 12 : 0, at = col;
    if (bar && l->progress >= 0)
        draw_bar(row, at, bar, l->progress);
    at += bar ? bar + 1 : 0;
    if (l->progress >= 0)
        draw_format(row, at, cols - (at - col), STYLE_WARN, true, "%.0f %% to %s", 100 * (double)l->progress,
                    scheme);
    else
        draw_format(row, at, cols - (at - col), STYLE_DIM, true, "queued: %s", scheme);
}

/* Figures that are better or worse have their colour on every screen. */
static void draw_levels(const int *widths, const struct cells *c, int row, enum style otherwise)
{
    const struct {
        int column;
        const struct scale *scale;
        double value;
    } levels[] = {{C_SQNR, &scale_sqnr, c->sqnr}, {C_SENSITIVITY, &scale_kl, c->kl}, {C_ROOF, &scale_roof, c->roof}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
        table_draw_cell(columns_table, widths, levels[i].column, row,
                        scale_style(levels[i].scale, levels[i].value, otherwise), c->text[levels[i].column]);
}

static void draw_cells(const struct tui *t, const struct row *r, const int *widths,
                       struct cells *c, int row, bool selected, int cols)
{
    enum style style = selected ? STYLE_SELECTED : r->tensor < 0 ? STYLE_STRONG : STYLE_PLAIN;
    int figures = 0; /* where they begin */
    table_draw(columns_table, COLUMNS_COUNT, widths, row, cols, style, c->text);
    if (!selected)
        draw_levels(widths, c, row, style);
    for (int k = 0; k < C_SIZE; k++)
        figures += widths[k];
    draw_progress(t, r, row, figures, cols - figures);
}

/* ---- columns and sorting as text, for settings -------------------------------------- */

static bool is_title(const char *title, const char *text, size_t n)
{
    return strlen(title) == n && strncasecmp(title, text, n) == 0;
}

static enum column_id by_title(const char *title, size_t n)
{
    int k = 0;
    if (is_title("ALONE", title, n)) /* in settings of 0.1.0 */
        return C_SENSITIVITY;
    while (k < COLUMNS_COUNT && !is_title(columns_table[k].title, title, n))
        k++;
    return (enum column_id)k;
}

static void print_columns(unsigned hidden, char *out, size_t size)
{
    size_t n = 0;
    *out = 0;
    for (int k = 0; k < COLUMNS_COUNT && n < size; k++)
        if (!(hidden >> k & 1))
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? " " : "", columns_table[k].title);
}

const char *layers_column_title(int column)
{
    return column < COLUMNS_COUNT ? columns_table[column].title : NULL;
}

bool layers_column_shown(const struct tui *t, int column)
{
    return !(t->hidden >> column & 1);
}

bool layers_column_toggle(struct tui *t, int column)
{
    if (column == C_LAYER)
        return false;
    t->hidden ^= 1u << column;
    return true;
}

void layers_columns(const struct tui *t, char *out, size_t size)
{
    print_columns(t->hidden, out, size);
}

bool layers_choose_columns(struct tui *t, const char *text, struct error *error)
{
    unsigned hidden = *text ? (1u << COLUMNS_COUNT) - 1 : 0; /* empty: all of them */
    for (size_t n; *text; text += n) {
        text += strspn(text, " ");
        n = strcspn(text, " ");
        enum column_id k = n > 0 ? by_title(text, n) : C_LAYER;
        if (k == COLUMNS_COUNT) {
            char all[SETTINGS_COLUMNS];
            print_columns(0, all, sizeof all);
            return error_set(error, "unknown column '%.*s'; columns: %s", (int)(n < 40 ? n : 40), text, all);
        }
        hidden &= ~(1u << k);
    }
    t->hidden = hidden & ~(1u << C_LAYER); /* the name stays */
    return true;
}

int layers_column_at(const struct tui *t, int col)
{
    for (int k = 0; k < COLUMNS_COUNT; k++)
        if (col >= t->column_begin[k] && col < t->column_begin[k + 1])
            return k;
    return -1;
}

enum sort_column layers_sort_of(int column)
{
    for (int s = SORT_NONE + 1; s < SORT_COLUMNS; s++)
        if ((int)sort_columns[s] == column)
            return (enum sort_column)s;
    return SORT_NONE;
}

const char *layers_sort_title(const struct tui *t)
{
    return t->sort == SORT_NONE ? "" : columns_table[sort_columns[t->sort]].title;
}

void layers_sort_by_title(struct tui *t, const char *title)
{
    enum sort_column by = layers_sort_of((int)by_title(title, strlen(title)));
    t->sort = by != SORT_NONE ? by : t->sort;
}

/* ---- the screen ------------------------------------------------------------------------------ */

/* A layer has a method beside rounding. */
static bool has_method(const struct qtensor *q)
{
    struct scheme s = qtensor_scheme(q), rounded = s;
    rounded.methods = (struct methods){0};
    return !scheme_equal(&s, &rounded);
}

enum { EXPERT_DIGITS = 5 }; /* that names of experts have more than others */

/* What was asked for stays when a screen is too narrow for all columns: the last to go, but rather gone than cut. */
static void fit_columns(const struct tui *t, int cols, int *widths)
{
    struct column columns[COLUMNS_COUNT];
    memcpy(columns, columns_table, sizeof columns);
    for (size_t i = 0; i < t->session->model->tensor_count; i++) {
        if (t->frame->layers[i].sensitivity.valid)
            columns[C_SENSITIVITY].drop = COLUMNS_COUNT;
        if (has_method(t->frame->set->layer[i]))
            columns[C_METHOD].drop = COLUMNS_COUNT - 1;
    }
    if (t->session->model->hyper.mixture.experts == 0)
        columns[C_USED].width = 0;
    else
        columns[C_LAYER].width += EXPERT_DIGITS;
    for (int k = 0; k < COLUMNS_COUNT; k++)
        if (t->hidden >> k & 1)
            columns[k].width = 0;
    table_fit(columns, COLUMNS_COUNT, cols, widths);
}

/* The way the column sorts that does. */
static const char *arrow(const struct tui *t)
{
    return rows_ascend(t) ? widgets_unicode() ? "\u25b2" : "^" : widgets_unicode() ? "\u25bc" : "v";
}

static void draw_heading(struct tui *t, int row, int cols, const int *widths)
{
    struct cells titles;
    int col = 0;
    for (int k = 0; k < COLUMNS_COUNT; k++) {
        const char *title = k == C_SIZE && frame_file(t->frame) ? "FILE" : columns_table[k].title;
        snprintf(titles.text[k], CELL, "%s%s%s", k == C_LAYER ? " " : "", title,
                 sort_columns[t->sort] == (enum column_id)k ? arrow(t) : "");
        t->column_begin[k] = col;
        col += widths[k];
    }
    t->column_begin[COLUMNS_COUNT] = t->column_begin[TABLE_COLUMNS] = col;
    table_draw(columns_table, COLUMNS_COUNT, widths, row, cols, STYLE_TITLE, titles.text);
}

void layers_draw(struct tui *t, struct rect area)
{
    int line = area.row, widths[COLUMNS_COUNT];
    fit_columns(t, area.cols, widths);
    t->column_begin[TABLE_COLUMNS] = 0; /* no titles */
    if (area.rows > 3)
        draw_heading(t, line++, area.cols, widths);
    int rows = area.row + area.rows - line;
    t->table_row = line;
    t->page = rows > 0 ? (size_t)rows : 1;
    if (t->cursor < t->top)
        t->top = t->cursor;
    if (t->cursor >= t->top + t->page)
        t->top = t->cursor - t->page + 1;
    if (t->top + t->page > t->row_count)
        t->top = t->row_count > t->page ? t->row_count - t->page : 0;
    for (size_t i = t->top; i < t->row_count && i < t->top + t->page; i++) {
        struct cells cells = {0};
        if (t->rows[i].tensor < 0)
            (t->rows[i].role == ROLE_NONE ? block_cells : experts_cells)(t, &t->rows[i], &cells);
        else if (t->rows[i].tensor == kv_index(t->session->model))
            kv_cells(t, &cells);
        else
            tensor_cells(t, t->rows[i].tensor, &cells);
        draw_cells(t, &t->rows[i], widths, &cells, line++, i == t->cursor, area.cols);
    }
    if (t->row_count == 0)
        draw_format(line, 0, area.cols, STYLE_DIM, false, "no layer's name contains '%s' (Esc)",
                    t->filter);
}
