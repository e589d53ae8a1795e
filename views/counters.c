/* Screen 4, Counters: hardware events while tokens are decoded, and the list of those available. */
#include "tui.h"

#include "batch.h"

#include <stdlib.h>
#include <string.h>

enum { THREAD_COLUMNS = 8, THREAD_WIDTH = 9 };
enum { C_NAME, C_TOKEN, C_SECOND, C_SHARE, C_THREADS, COLUMNS = C_THREADS + THREAD_COLUMNS + 1 };

/* ---- the list: counted events, then all that can be counted ------------------------------------ */

enum { FOLD_LEAST = 2 /* events that do not count, from which on a line stands for all of them */ };

/* Chosen events that do not count here. */
static size_t broken_count(const struct tui *t)
{
    return t->frame->counters ? counters_frame_broken(t->frame->counters) : 0;
}

static bool is_folded(const struct tui *t)
{
    return !t->events_unfolded && broken_count(t) >= FOLD_LEAST;
}

/* Lines of chosen events: those that count, and one for the others. */
static size_t chosen_count(const struct tui *t)
{
    size_t events = t->frame->counters ? t->frame->counters->events : 0;
    return is_folded(t) ? events - broken_count(t) + 1 : events;
}

/* The event of a line below chosen_count; null: the line that stands for others. */
static const struct event_frame *chosen_at(const struct tui *t, size_t line)
{
    const struct counters_frame *c = t->frame->counters;
    if (!is_folded(t))
        return &c->event[line];
    for (size_t i = 0; i < c->events; i++)
        if (!c->event[i].reason && line-- == 0)
            return &c->event[i];
    return NULL;
}

static bool contains(const char *text, const char *part)
{
    return !*part || strcasestr(text, part);
}

static bool is_shown(const struct tui *t, const struct event_line *e)
{
    return contains(e->name, t->event_filter) || contains(e->description, t->event_filter);
}

static size_t known_count(const struct tui *t)
{
    return t->frame->events ? t->frame->events->count : 0;
}

/* The line of what can be counted that stands at an index, or null. */
static const struct event_line *line_at(const struct tui *t, size_t index)
{
    for (size_t i = 0; i < known_count(t); i++)
        if (is_shown(t, &t->frame->events->line[i]) && index-- == 0)
            return &t->frame->events->line[i];
    return NULL;
}

static size_t line_count(const struct tui *t)
{
    size_t n = 0;
    for (size_t i = 0; i < known_count(t); i++)
        n += is_shown(t, &t->frame->events->line[i]);
    return chosen_count(t) + n;
}

static const char *name_at(const struct tui *t, size_t index)
{
    if (index < chosen_count(t))
        return chosen_at(t, index) ? chosen_at(t, index)->name : NULL;
    const struct event_line *e = line_at(t, index - chosen_count(t));
    return e ? e->name : NULL;
}

static const char *description_at(const struct tui *t, size_t index)
{
    if (index < chosen_count(t)) {
        const struct event_frame *e = chosen_at(t, index);
        return e && e->description ? e->description : "";
    }
    const struct event_line *e = line_at(t, index - chosen_count(t));
    return e ? e->description : "";
}

/* Where an event that is no longer counted stands now. */
static void follow_event(struct tui *t)
{
    size_t at = chosen_count(t);
    for (size_t i = 0; *t->event_left && i < known_count(t); i++) {
        const struct event_line *e = &t->frame->events->line[i];
        if (is_shown(t, e) && strcmp(e->name, t->event_left) == 0) {
            t->event = at;
            break;
        }
        at += is_shown(t, e);
    }
    *t->event_left = 0;
}

/* The cursor stays on its line when what is counted above it grows or shrinks. */
static void follow_line(struct tui *t)
{
    size_t chosen = chosen_count(t);
    if (chosen < t->events_chosen && t->event < t->events_chosen)
        follow_event(t);
    else if (t->events_chosen > 0 && t->event >= t->events_chosen && t->event + chosen >= t->events_chosen)
        t->event = t->event + chosen - t->events_chosen;
    t->events_chosen = chosen;
}

static void clamp_cursor(struct tui *t)
{
    size_t n = line_count(t);
    t->event = n == 0 ? 0 : t->event < n ? t->event : n - 1;
}

/* ---- the summary ----------------------------------------------------------------------------- */

/* What is absent for one reason is said once. */
static bool draw_both_absent(const struct frame *f, struct rect area)
{
    const struct counters_frame *c = f->counters;
    char computed[16];
    bool same = !c->ipc.valid && !c->bytes_per_token.valid && strcmp(c->ipc.reason, c->bytes_per_token.reason) == 0;
    if (!same || area.rows < 2)
        return false;
    draw_format(area.row, area.col, area.cols, STYLE_STRONG, false, "instructions/cycle, bytes/token measured n/a: %s",
                c->ipc.reason);
    draw_format(area.row + 1, area.col, area.cols, STYLE_DIM, false, "%zu decode steps in %.2f s   %s computed%s",
                c->tokens, c->seconds, format_bytes(computed, (double)f->speed.bytes_per_token),
                f->speed.in_cache ? ", from cache" : "");
    return true;
}

static void draw_derived(const struct tui *t, struct rect area)
{
    const struct frame *f = t->frame;
    const struct counters_frame *c = f->counters;
    char ipc[96], bytes[96], computed[16], value[16];
    if (draw_both_absent(f, area))
        return;
    if (c->ipc.valid)
        snprintf(ipc, sizeof ipc, "%.2f instructions/cycle", c->ipc.value);
    else
        snprintf(ipc, sizeof ipc, "instructions/cycle n/a: %s", c->ipc.reason);
    int col = draw_text(area.row, area.col, area.cols, STYLE_STRONG, false, ipc);
    draw_format(area.row, area.col + col, area.cols - col, STYLE_DIM, false, "   over %zu decode steps in %.2f s",
                c->tokens, c->seconds);
    if (area.rows < 2)
        return;
    format_bytes(computed, (double)f->speed.bytes_per_token);
    if (c->bytes_per_token.valid)
        snprintf(bytes, sizeof bytes, "%s/token from memory measured (" EVENT_FILLS ")",
                 format_bytes(value, c->bytes_per_token.value));
    else
        snprintf(bytes, sizeof bytes, "bytes/token from memory n/a: %s", c->bytes_per_token.reason);
    col = draw_text(area.row + 1, area.col, area.cols, STYLE_STRONG, false, bytes);
    draw_format(area.row + 1, area.col + col, area.cols - col, STYLE_DIM, false, "   %s computed%s", computed,
                f->speed.in_cache ? ", from cache" : "");
}

static void draw_traffic(const struct counters_frame *c, struct rect area)
{
    char text[TRAFFIC_ALL + 1][24];
    if (!*c->traffic_label) {
        draw_format(area.row, area.col, area.cols, STYLE_PLAIN, false, "system-wide n/a: %s",
                    c->traffic_detail);
        return;
    }
    for (int k = TRAFFIC_READ; k <= TRAFFIC_ALL; k++)
        format_metric(text[k], sizeof text[k], "%.2f GB/s", c->traffic[k], 1e-9);
    draw_format(area.row, area.col, area.cols, STYLE_STRONG, false, "reads %s  writes %s  total %s  %s",
                text[TRAFFIC_READ], text[TRAFFIC_WRITE], text[TRAFFIC_ALL], c->traffic_label);
}

/* ---- the table ------------------------------------------------------------------------------- */

/* Columns for as many threads as there is room for. */
static void make_columns(const struct tui *t, int cols, struct column *columns)
{
    static const struct column fixed[C_THREADS] = {
        [C_NAME] = {"EVENT", 22},
        [C_TOKEN] = {"/TOKEN", 9, .right = true},
        [C_SECOND] = {"/SECOND", 9, .drop = 1, .right = true},
        [C_SHARE] = {"COUNTED", 9, .drop = 2, .right = true},
    };
    size_t threads = t->frame->counters ? t->frame->counters->threads : 0;
    int room = cols - 22 - 3 * 9 - 30;
    memset(columns, 0, COLUMNS * sizeof *columns);
    memcpy(columns, fixed, sizeof fixed);
    for (size_t i = 0; i < THREAD_COLUMNS && i < threads && threads > 1 && room >= THREAD_WIDTH; i++) {
        columns[C_THREADS + i] = (struct column){"", THREAD_WIDTH, .drop = 3, .right = true};
        room -= THREAD_WIDTH;
    }
    columns[COLUMNS - 1] = (struct column){" DESCRIPTION", 12, .drop = 4};
}

static void fit(const struct column *columns, int cols, int *widths)
{
    int used = 0;
    table_fit(columns, COLUMNS, cols, widths);
    for (int i = 0; i < COLUMNS - 1; i++)
        used += widths[i];
    if (widths[COLUMNS - 1])
        widths[COLUMNS - 1] = cols - used;
}

static void draw_heading(const struct column *columns, const int *widths, int row, int cols)
{
    char c[COLUMNS][TABLE_CELL] = {{0}};
    for (int i = 0; i < COLUMNS; i++)
        snprintf(c[i], TABLE_CELL, "%s", columns[i].title ? columns[i].title : "");
    for (int i = 0; i < THREAD_COLUMNS && columns[C_THREADS + i].width; i++)
        snprintf(c[C_THREADS + i], TABLE_CELL, "THREAD %d", i);
    table_draw(columns, COLUMNS, widths, row, cols, STYLE_TITLE, c);
}

/* One line for all events that do not count. */
static void draw_fold(const struct tui *t, int row, int cols, enum style style)
{
    const char *reason = counters_frame_reason(t->frame->counters);
    draw_format(row, 0, cols, style == STYLE_PLAIN ? STYLE_DIM : style, true, "%zu events do not count here: %s; + unfolds",
                broken_count(t), reason ? reason : "for several reasons");
}

static void draw_chosen(const struct tui *t, const struct column *columns, const int *widths, size_t line, int row,
                        int cols, enum style style)
{
    const struct counters_frame *f = t->frame->counters;
    const struct event_frame *e = chosen_at(t, line);
    if (!e) {
        draw_fold(t, row, cols, style);
        return;
    }
    size_t at = (size_t)(e - f->event);
    char c[COLUMNS][TABLE_CELL] = {{0}}, value[16];
    bool counted = e->total.value.valid && f->tokens > 0;
    const char *reason = e->reason ? e->reason : e->total.value.valid ? "no token decoded yet"
                                                                      : e->total.value.reason;
    snprintf(c[C_NAME], TABLE_CELL, "*%.60s", e->name);
    if (counted) {
        double tokens = (double)f->tokens;
        snprintf(c[C_TOKEN], TABLE_CELL, "%s", format_short(value, e->total.value.value / tokens));
        snprintf(c[C_SECOND], TABLE_CELL, "%s", format_short(value, e->total.value.value / f->seconds));
        snprintf(c[C_SHARE], TABLE_CELL, "%.0f%%%s", 100 * e->total.share, e->total.user_only ? " user" : "");
        for (size_t i = 0; i < THREAD_COLUMNS && i < f->threads; i++) {
            const struct count *one = &f->by_thread[at * f->threads + i];
            snprintf(c[C_THREADS + i], TABLE_CELL, "%s",
                     one->value.valid ? format_short(value, one->value.value / tokens) : "n/a");
        }
        snprintf(c[COLUMNS - 1], TABLE_CELL, " %.60s", e->description ? e->description : "");
        table_draw(columns, COLUMNS, widths, row, cols, style, c);
        return;
    }
    table_draw(columns, COLUMNS, widths, row, cols, style, c);
    draw_format(row, widths[C_NAME], cols - widths[C_NAME], style, false, "n/a: %s", reason);
}

static void draw_known(const struct tui *t, size_t at, int row, int cols, enum style style)
{
    const struct event_line *e = line_at(t, at);
    int name = cols >= 70 ? cols / 2 : cols;
    if (!e)
        return;
    draw_blank(row, 0, cols, style);
    draw_format(row, 0, name - 1, style, false, " %s", e->name);
    if (name < cols)
        draw_text(row, name, cols - name, style, false, e->description);
}

/* The event under the cursor with its whole description, below the list. */
static void draw_selected(const struct tui *t, struct rect area)
{
    const char *name = name_at(t, t->event);
    if (name)
        draw_format(area.row, area.col, area.cols, STYLE_DIM, false, "%s: %s", name, description_at(t, t->event));
}

static void draw_list(struct tui *t, struct rect area)
{
    struct column columns[COLUMNS];
    int widths[COLUMNS], line = area.row, end = area.row + area.rows;
    size_t chosen = chosen_count(t);
    make_columns(t, area.cols, columns);
    fit(columns, area.cols, widths);
    if (area.rows > 2)
        draw_heading(columns, widths, line++, area.cols);
    t->event_page = end > line ? (size_t)(end - line) : 1;
    follow_line(t);
    clamp_cursor(t);
    if (t->event < t->event_top)
        t->event_top = t->event;
    if (t->event >= t->event_top + t->event_page)
        t->event_top = t->event - t->event_page + 1;
    size_t n = line_count(t);
    t->event_row = line;
    for (size_t i = t->event_top; i < n && line < end; i++, line++) {
        enum style style = i == t->event ? STYLE_SELECTED : STYLE_PLAIN;
        if (i < chosen)
            draw_chosen(t, columns, widths, i, line, area.cols, style);
        else
            draw_known(t, i - chosen, line, area.cols, style);
    }
    if (line < end && n == chosen)
        draw_format(line, 0, area.cols, STYLE_DIM, false, *t->event_filter ? "no event contains '%s' (Esc)" : "%s",
                    *t->event_filter ? t->event_filter : "listing events...");
}

void counters_draw(struct tui *t, struct rect area)
{
    if (area.rows < 1)
        return;
    if (!t->frame->counters) {
        draw_text(area.row, area.col, area.cols, STYLE_DIM, false, "counting...");
        return;
    }
    int head = area.rows >= 10 ? 3 : area.rows >= 6 ? 2 : 0, foot = area.rows >= 8 ? 1 : 0;
    if (head > 0)
        draw_derived(t, (struct rect){area.row, area.col, 2, area.cols});
    if (head > 2)
        draw_traffic(t->frame->counters, (struct rect){area.row + 2, area.col, 1, area.cols});
    draw_list(t, (struct rect){area.row + head, area.col, area.rows - head - foot, area.cols});
    if (foot)
        draw_selected(t, (struct rect){area.row + area.rows - 1, area.col, 1, area.cols});
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void search(struct tui *t, const char *text, bool next)
{
    size_t n = line_count(t);
    if (text)
        snprintf(t->event_search, sizeof t->event_search, "%.60s", text);
    for (size_t i = 0; *t->event_search && i < n; i++) {
        size_t at = (t->event + i + next) % n;
        const char *name = name_at(t, at);
        if (!name || !(contains(name, t->event_search) || contains(description_at(t, at), t->event_search)))
            continue; /* no name: the line that counters which do not exist are folded into */
        t->event = at;
        return;
    }
    if (*t->event_search)
        tui_note(t, "no event contains '%s'", t->event_search);
}

static void apply_filter(struct tui *t, const char *text)
{
    snprintf(t->event_filter, sizeof t->event_filter, "%.60s", text);
    clamp_cursor(t);
}

static const char *filtered(const struct tui *t)
{
    return t->event_filter;
}

static void keep(struct tui *t)
{
    t->event_kept = t->event;
    strcpy(t->event_filter_kept, t->event_filter);
    strcpy(t->event_search_kept, t->event_search);
}

static void go_back(struct tui *t)
{
    strcpy(t->event_filter, t->event_filter_kept);
    strcpy(t->event_search, t->event_search_kept);
    t->event = t->event_kept;
    clamp_cursor(t);
}

static size_t hits(const struct tui *t, size_t *all, const char **what)
{
    *all = known_count(t);
    *what = "events";
    return line_count(t) - chosen_count(t);
}

const struct finder counters_finder = {search, apply_filter, filtered, keep, go_back, hits, NULL};

void counters_click(struct tui *t, int row)
{
    if (row >= t->event_row && t->event_top + (size_t)(row - t->event_row) < line_count(t))
        t->event = t->event_top + (size_t)(row - t->event_row);
}

bool counters_act(struct tui *t, enum action a)
{
    size_t n = line_count(t), page = t->event_page;
    const char *name = name_at(t, t->event);
    switch (a) {
    case ACTION_UP:
        t->event -= t->event > 0;
        return true;
    case ACTION_DOWN:
        t->event += t->event + 1 < n;
        return true;
    case ACTION_PAGE_UP:
        t->event = t->event > page ? t->event - page : 0;
        return true;
    case ACTION_PAGE_DOWN:
        t->event = t->event + page < n ? t->event + page : n > 0 ? n - 1 : 0;
        return true;
    case ACTION_HOME:
        t->event = 0;
        return true;
    case ACTION_END:
        t->event = n > 0 ? n - 1 : 0;
        return true;
    case ACTION_UNFOLD:
        t->events_unfolded = true;
        return true;
    case ACTION_FOLD:
        t->events_unfolded = false;
        return true;
    case ACTION_FOLD_ALL:
        t->events_unfolded = !t->events_unfolded;
        return true;
    case ACTION_COUNT_EVENT:
        t->events_unfolded |= !name && t->event < chosen_count(t);
        if (name && t->event < chosen_count(t))
            snprintf(t->event_left, sizeof t->event_left, "%s", name);
        if (name)
            tui_send(t, &(struct command){.kind = COMMAND_COUNT, .text = name});
        return true;
    default:
        return false;
    }
}
