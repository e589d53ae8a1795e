/* Screen 0, Jobs: what runs and waits, and the log: what was done, with the figures that each change reached. */
#include "tui.h"

#include "batch.h"

#include <math.h>
#include <string.h>
#include <time.h>

/* ---- lines: the jobs, then the log, newest first ----------------------------------------------- */

static size_t log_count(const struct tui *t)
{
    return t->frame->log ? t->frame->log->count : 0;
}

static size_t line_count(const struct tui *t)
{
    return t->frame->job_count + log_count(t);
}

/* The job of a line; null for one of the log. */
static const struct job_frame *job_at(const struct tui *t, size_t line)
{
    return line < t->frame->job_count ? &t->frame->jobs[line] : NULL;
}

/* The entry of a line of the log. */
static const struct log_entry *entry_at(const struct tui *t, size_t line)
{
    const struct log_frame *log = t->frame->log;
    return &log->of[log->count - 1 - (line - t->frame->job_count)];
}

/* What an entry's change reached; null where it is none, or can no more be gone to. */
static const struct step_frame *step_of(const struct tui *t, const struct log_entry *e)
{
    const struct frame *f = t->frame;
    for (size_t i = 0; e->step != 0 && i < f->step_count; i++)
        if (f->steps[i].serial == e->step)
            return &f->steps[i];
    return NULL;
}

/* The line under the cursor, which stays on its job or entry as others come. */
static size_t cursor_line(const struct tui *t)
{
    const struct frame *f = t->frame;
    for (size_t i = 0; !t->jobs_at.in_log && i < f->job_count; i++)
        if (f->jobs[i].row == t->jobs_at.job_row)
            return i;
    if (log_count(t) == 0)
        return 0;
    uint64_t newest = f->log->total, back = t->jobs_at.in_log && t->jobs_at.entry < newest ? newest - t->jobs_at.entry : 0;
    return f->job_count + (back < f->log->count ? (size_t)back : f->log->count - 1);
}

static void move_to(struct tui *t, size_t line)
{
    const struct job_frame *job = job_at(t, line);
    t->jobs_at.in_log = !job;
    if (job)
        t->jobs_at.job_row = job->row;
    else if (line == t->frame->job_count)
        t->jobs_at.entry = UINT64_MAX; /* stays on the newest */
    else
        t->jobs_at.entry = t->frame->log->total - (line - t->frame->job_count);
}

/* ---- jobs ------------------------------------------------------------------------------------------ */

enum { J_NAME, J_STATE, J_SHARE, J_ELAPSED, J_LEFT, J_COUNT };

static const struct column job_table[J_COUNT] = {
    [J_NAME] = {"JOB", 16, .stretch = true},
    [J_STATE] = {"STATE", 9},
    [J_SHARE] = {"DONE", 6, .right = true},
    [J_ELAPSED] = {"ELAPSED", 9, .drop = 2, .right = true},
    [J_LEFT] = {"LEFT", 9, .drop = 1, .right = true},
};

static const char *const state_words[] = {[JOB_WAITING] = "waiting", [JOB_RUNNING] = "running", [JOB_DONE] = "done",
                                          [JOB_STOPPED] = "stopped", [JOB_FAILED] = "failed"};

static void print_seconds(double seconds, char out[TABLE_CELL])
{
    if (seconds < 60)
        snprintf(out, TABLE_CELL, "%.0f s", seconds);
    else
        snprintf(out, TABLE_CELL, "%.0f:%02.0f min", floor(seconds / 60), floor(fmod(seconds, 60)));
}

/* What is left is known once enough is done. */
static void draw_job(const struct tui *t, const struct job_frame *j, const int *widths, int row, int cols, bool selected)
{
    char c[J_COUNT][TABLE_CELL] = {0};
    bool runs = j->state == JOB_RUNNING;
    enum style style = selected ? STYLE_SELECTED : runs ? STYLE_WARN : STYLE_PLAIN;
    snprintf(c[J_NAME], TABLE_CELL, "%.60s", j->name);
    bool layers = j->of_a_layer && t->frame->pending > 1;
    if (layers)
        snprintf(c[J_NAME], TABLE_CELL, "%.24s: %zu layers wait", j->kind, t->frame->pending);
    snprintf(c[J_STATE], TABLE_CELL, "%s", state_words[j->state]);
    if ((runs && !layers) || (j->state == JOB_WAITING && j->fraction > 0))
        snprintf(c[J_SHARE], TABLE_CELL, "%.0f %%", 100 * j->fraction);
    if (j->state != JOB_WAITING)
        print_seconds(j->seconds, c[J_ELAPSED]);
    if (runs && !layers && j->fraction > 0.01 && j->seconds > 1)
        print_seconds(j->seconds * (1 - j->fraction) / j->fraction, c[J_LEFT]);
    table_draw(job_table, J_COUNT, widths, row, cols, style, c);
}

/* ---- the log --------------------------------------------------------------------------------------- */

enum { L_TIME, L_TEXT, L_SIZE, L_BITS, L_DECODE, L_KL, L_TOP1, L_COUNT };

static const struct column log_table[L_COUNT] = {
    [L_TIME] = {"LOG", 8},
    [L_TEXT] = {"", 20, .stretch = true},
    [L_SIZE] = {"SIZE", 8, .drop = 2, .right = true},
    [L_BITS] = {"BITS", 6, .drop = 1, .right = true},
    [L_DECODE] = {"DECODE/s", 9, .drop = 3, .right = true},
    [L_KL] = {"KL", 9, .drop = 5, .right = true},
    [L_TOP1] = {"TOP-1", 8, .drop = 4, .right = true},
};

static void step_cells(const struct step_frame *s, char c[L_COUNT][TABLE_CELL])
{
    char bytes[16];
    if (s->size == 0)
        return;
    snprintf(c[L_SIZE], TABLE_CELL, "%s", format_bytes(bytes, (double)s->size));
    snprintf(c[L_BITS], TABLE_CELL, "%.2f", s->bits_per_weight_all);
    format_metric(c[L_DECODE], TABLE_CELL, "%.0f", s->decode, 1);
    format_metric(c[L_KL], TABLE_CELL, s->kl.valid && s->kl.value > 0 && s->kl.value < 1e-3 ? "%.1e" : "%.4f", s->kl, 1);
    format_metric(c[L_TOP1], TABLE_CELL, "%.1f%%", s->top1, 100);
}

/* ">" stands at the change in use, "-" at changes that are undone. */
static void draw_entry(const struct tui *t, const struct log_entry *e, const int *widths, int row, int cols, bool selected)
{
    char c[L_COUNT][TABLE_CELL] = {0};
    const struct step_frame *s = step_of(t, e);
    struct tm at;
    size_t n = localtime_r(&e->time, &at) ? strftime(c[L_TIME], TABLE_CELL, "%H:%M", &at) : 0;
    const struct step_frame *current = &t->frame->steps[t->frame->current_step];
    snprintf(c[L_TIME] + n, TABLE_CELL - n, " %s", !s ? " " : s == current ? ">" : s > current ? "-" : "*");
    if (s)
        step_cells(s, c);
    enum style plain = e->is_error ? STYLE_WARN : s == current ? STYLE_STRONG : s ? STYLE_PLAIN : STYLE_DIM;
    table_draw(log_table, L_COUNT, widths, row, cols, selected ? STYLE_SELECTED : plain, c);
    int col = widths[L_TIME];
    int room = s ? widths[L_TEXT] : cols - col; /* a message may take what figures leave free */
    draw_text(row, col, room - 1, selected ? STYLE_SELECTED : plain, true, e->text);
}

/* ---- searching --------------------------------------------------------------------------------------- */

/* Among messages, from the cursor on. */
static void search(struct tui *t, const char *text, bool next)
{
    size_t all = line_count(t), from = cursor_line(t);
    if (text)
        snprintf(t->search, sizeof t->search, "%.60s", text);
    for (size_t i = next; *t->search && i < all + next; i++) {
        size_t line = (from + i) % all;
        if (!strcasestr(job_at(t, line) ? job_at(t, line)->name : entry_at(t, line)->text, t->search))
            continue;
        move_to(t, line);
        return;
    }
    if (*t->search)
        tui_note(t, "no job and no message contains '%s'", t->search);
}

static void keep(struct tui *t)
{
    t->jobs_kept = t->jobs_at;
}

static void go_back(struct tui *t)
{
    t->jobs_at = t->jobs_kept;
}

const struct finder jobs_finder = {
    .search = search, .keep = keep, .back = go_back, .whole = "all jobs and messages are shown"};

/* ---- the screen ------------------------------------------------------------------------------------- */

/* The whole text of the entry under the cursor, which its line may cut. */
static int draw_whole(const struct tui *t, struct rect area, size_t line)
{
    enum { LINES_OF_IT = 3 };
    if (area.rows < 9 || log_count(t) == 0 || job_at(t, line))
        return 0;
    struct rect below = {area.row + area.rows - LINES_OF_IT, area.col, LINES_OF_IT, area.cols};
    draw_wrapped(below, entry_at(t, line)->text, SIZE_MAX, STYLE_DIM, STYLE_DIM);
    return LINES_OF_IT;
}

/* Titles stand above the first job and above the first entry that is shown. */
void jobs_draw(struct tui *t, struct rect area)
{
    int job_widths[J_COUNT], log_widths[L_COUNT];
    size_t all = line_count(t), cursor = cursor_line(t);
    int end = area.row + area.rows - draw_whole(t, area, cursor), row = area.row;
    int room = end - row - 2;
    table_fit(job_table, J_COUNT, area.cols, job_widths);
    table_fit(log_table, L_COUNT, area.cols, log_widths);
    if (cursor < t->jobs_top)
        t->jobs_top = cursor;
    if (room > 0 && cursor >= t->jobs_top + (size_t)room)
        t->jobs_top = cursor - (size_t)room + 1;
    if (area.rows > 3 && t->jobs_top < t->frame->job_count)
        table_draw_titles(job_table, J_COUNT, job_widths, row++, area.cols);
    t->jobs_row = row;
    t->jobs_title_row = -1;
    for (size_t i = t->jobs_top; i < all && row < end; i++) {
        bool begins = i == t->frame->job_count || i == t->jobs_top;
        if (begins && !job_at(t, i) && area.rows > 3 && row + 1 < end) {
            t->jobs_title_row = row;
            table_draw_titles(log_table, L_COUNT, log_widths, row++, area.cols);
        }
        if (job_at(t, i))
            draw_job(t, job_at(t, i), job_widths, row++, area.cols, i == cursor);
        else
            draw_entry(t, entry_at(t, i), log_widths, row++, area.cols, i == cursor);
    }
    t->jobs_end = row;
}

void jobs_click(struct tui *t, int row)
{
    bool title = t->jobs_title_row >= 0 && row >= t->jobs_title_row;
    int line = row - t->jobs_row - title;
    if (row < t->jobs_row || row >= t->jobs_end || row == t->jobs_title_row)
        return;
    if (t->jobs_top + (size_t)line < line_count(t))
        move_to(t, t->jobs_top + (size_t)line);
}

static void stop_selected(struct tui *t)
{
    const struct job_frame *job = job_at(t, cursor_line(t));
    if (!job)
        tui_note(t, "no job is selected: jobs are above the log");
    else if (!job->can_stop)
        tui_note(t, job->state <= JOB_RUNNING ? "%s: cannot be stopped; it ends by itself" : "%s: is not running", job->kind);
    else
        stop_begin_job(t, job);
}

static void go_to_selected(struct tui *t)
{
    size_t line = cursor_line(t);
    if (log_count(t) == 0 || job_at(t, line))
        tui_note(t, "no change is selected: x stops a job");
    else if (entry_at(t, line)->step == 0)
        tui_note(t, "a message, no change: > * - mark the changes that Enter goes to");
    else if (t->readonly)
        tui_note(t, "--readonly: nothing is changed, kept or written");
    else
        tui_send(t, &(struct command){.kind = COMMAND_STEP, .step = entry_at(t, line)->step});
}

bool jobs_act(struct tui *t, enum action a)
{
    size_t all = line_count(t), line = cursor_line(t);
    size_t page = t->jobs_end > t->jobs_row ? (size_t)(t->jobs_end - t->jobs_row) : 1;
    if (a == ACTION_UP || a == ACTION_PAGE_UP) {
        size_t by = a == ACTION_UP ? 1 : page;
        move_to(t, line > by ? line - by : 0);
    } else if (a == ACTION_DOWN || a == ACTION_PAGE_DOWN) {
        size_t to = line + (a == ACTION_DOWN ? 1 : page);
        move_to(t, to < all ? to : all > 0 ? all - 1 : 0);
    } else if (a == ACTION_HOME) {
        move_to(t, 0);
    } else if (a == ACTION_END) {
        move_to(t, all > 0 ? all - 1 : 0);
    } else if (a == ACTION_STEP) {
        go_to_selected(t);
    } else if (a == ACTION_STOP_JOB) {
        stop_selected(t);
    } else {
        return false;
    }
    return true;
}
