/* What every screen has above and below it: title, meters, tabs; the text, status and footer. */
#include "tui.h"

#include "kernels/dispatch.h"
#include "base/clock.h"
#include "batch.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL = 7 /* columns of a meter's name */, MEDIUM = 140 /* of the screen: below, words are short */ };

/* An interval that is wider than this says little of the ratio in it. */
static const double UNSURE = 1.25;

/* ---- title and meters ------------------------------------------------------------------------ */

static void draw_title(struct tui *t, int row)
{
    const struct model *m = t->frame->model;
    char parameters[16], active[16];
    draw_blank(row, 0, COLS, STYLE_TITLE);
    int col = draw_text(row, 0, COLS, STYLE_TITLE, false, "qtop  ");
    int name = COLS - col > 40 ? COLS - col - 40 : COLS - col;
    int used = draw_text(row, col, name < 40 ? name : 40, STYLE_TITLE, false, t->model_name);
    col += used;
    col += draw_format(row, col, COLS - col, STYLE_TITLE, false, "  %s  %zu layers  %zu wide  %s",
                       m->arch, m->hyper.layers, m->hyper.dim,
                       format_short(parameters, (double)m->parameters));
    if (m->hyper.mixture.experts > 0)
        col += draw_format(row, col, COLS - col, STYLE_TITLE, false, ", %s active",
                           format_short(active, model_active_parameters(m)));
    if (*t->reference_name)
        col += draw_format(row, col, COLS - col, STYLE_TITLE, false, "  reference %s", t->reference_name);
    if (m->non_finite)
        col += draw_format(row, col, COLS - col, STYLE_TITLE, false, "  %zu weights NaN or infinite!",
                           m->non_finite);
    char right[96];
    int threads = pool_threads(t->session->pool);
    snprintf(right, sizeof right, "kernels %s  %d thread%s ", isa_current()->name, threads,
             threads == 1 ? "" : "s");
    int width = text_width(right);
    if (col + width + 2 < COLS)
        draw_text(row, COLS - width, width, STYLE_TITLE, false, right);
}

static int bar_width(void)
{
    int w = COLS / 3;
    return w < 10 ? 0 : w > 40 ? 40 : w;
}

/* The decode bar is full at the fastest rate seen in the history. */
static void draw_decode(struct tui *t, int row)
{
    const struct frame *f = t->frame;
    char text[32];
    float max = 0;
    for (size_t i = 0; i < f->speed.history_count; i++)
        max = f->speed.history[i] > max ? f->speed.history[i] : max;
    int bar = bar_width(), col = LABEL;
    draw_text(row, 0, LABEL, STYLE_STRONG, true, "decode");
    if (bar) {
        draw_bar(row, col, bar, max > 0 && f->speed.decode.valid ? f->speed.decode.value / max : 0);
        col += bar + 1;
    }
    if (f->speed.decode.valid)
        col += draw_format(row, col, COLS - col, STYLE_GOOD, false, "%s%s tok/s ", f->speed.is_rough ? "~" : "",
                           format_short(text, f->speed.decode.value));
    else
        col += draw_format(row, col, COLS - col, STYLE_DIM, false, "n/a: %s ", f->speed.decode.reason);
    bool interval = COLS >= 124; /* with room for prefill and the sparkline */
    bool unsure = !interval && f->speed.vs_stored_high > UNSURE * f->speed.vs_stored_low;
    snprintf(text, sizeof text, "%.2fx%s vs stored", f->speed.vs_stored.value, unsure ? "?" : "");
    if (f->speed.decode.valid && f->speed.vs_stored.valid && col + text_width(text) <= COLS) { /* as a whole or not at all */
        col += draw_format(row, col, COLS - col, STYLE_STRONG, false, "%s ", text);
        if (interval)
            col += draw_format(row, col, COLS - col, STYLE_PLAIN, false, "(%.2f-%.2f) ", f->speed.vs_stored_low,
                               f->speed.vs_stored_high);
    }
    char prefill[48] = "";
    if (f->speed.prefill.valid)
        snprintf(prefill, sizeof prefill, " prefill %s tok/s", format_short(text, f->speed.prefill.value));
    int right = COLS - text_width(prefill), spark = right - col - 1;
    if (spark >= 8) {
        draw_sparkline(row, col, spark > 30 ? 30 : spark, f->speed.history, f->speed.history_count);
        draw_text(row, right, COLS - right, STYLE_PLAIN, false, prefill);
    }
}

/* Where several events do not count, how many, and why; else why this one does not. */
static void print_missing(const struct frame *f, char *out, size_t size)
{
    size_t broken = f->counters ? counters_frame_broken(f->counters) : 0;
    const char *reason = broken > 1 ? counters_frame_reason(f->counters) : NULL;
    if (reason)
        snprintf(out, size, "  %zu events n/a: %s", broken, reason);
    else
        snprintf(out, size, "  LLC misses n/a: %s", f->speed.cache_misses.reason);
}

static void draw_memory(struct tui *t, int row)
{
    const struct frame *f = t->frame;
    int bar = bar_width(), col = LABEL;
    char bytes[16];
    bool both = f->speed.bandwidth.valid && f->speed.peak_read.valid && !f->speed.in_cache;
    draw_text(row, 0, LABEL, STYLE_STRONG, true, "memory");
    if (bar) {
        draw_bar(row, col, bar, both ? f->speed.bandwidth.value / f->speed.peak_read.value : 0);
        col += bar + 1;
    }
    if (f->speed.bandwidth.valid)
        col += draw_format(row, col, COLS - col, STYLE_PLAIN, false, "%s%.1f", f->speed.is_rough ? "~" : "",
                           f->speed.bandwidth.value / 1e9);
    else
        col += draw_text(row, col, COLS - col, STYLE_DIM, false, "n/a");
    if (both)
        col += draw_format(row, col, COLS - col, STYLE_PLAIN, false, " of %.1f%s", f->speed.peak_read.value / 1e9,
                           f->speed.roofs_disturbed || f->speed.bandwidth.value > f->speed.peak_read.value ? "?" : "");
    col += draw_format(row, col, COLS - col, STYLE_PLAIN, false, "%s, %s/token%s",
                       f->speed.bandwidth.valid ? " GB/s computed" : "",
                       format_bytes(bytes, (double)f->speed.bytes_per_token), f->speed.in_cache ? " from cache" : "");
    char misses[96];
    if (f->speed.cache_misses.valid)
        snprintf(misses, sizeof misses, "  LLC misses %s/token",
                 format_short(bytes, f->speed.cache_misses.value));
    else
        print_missing(f, misses, sizeof misses);
    if (col + text_width(misses) <= COLS)
        draw_text(row, COLS - text_width(misses), COLS - col, STYLE_DIM, false, misses);
}

/* Appends a part if it has room as a whole. */
static void add_part(char *line, size_t size, int cols, const char *part)
{
    if (text_width(line) + text_width(part) <= cols)
        snprintf(line + strlen(line), size - strlen(line), "%s", part);
}

/* Quality figures, as many as fit, after a mark if they are unfinished or outdated. */
static void draw_quality(struct tui *t, int row, int col)
{
    const struct quality_frame *q = &t->frame->quality;
    const struct quality_result *r = &q->result;
    if (!q->valid) {
        draw_format(row, col, COLS - col, STYLE_DIM, false, "KL n/a: %s",
                    q->reason ? q->reason : "not evaluated yet");
        return;
    }
    if (!isfinite(r->perplexity) || !isfinite(r->kl)) {
        draw_text(row, col, COLS - col, STYLE_DIM, false, "KL n/a: the logits are not finite");
        return;
    }
    enum style style = q->stale ? STYLE_DIM : STYLE_STRONG;
    char line[256] = "", part[64], kl[32], name[TEXT_NAME + 2], text[96];
    snprintf(text, sizeof text, COLS < MEDIUM ? "  %s %zu" : "  on %s, %zu tokens",
             format_cut(name, sizeof name, r->basis.text, COLS < MEDIUM ? 12 : 24), r->basis.tokens);
    int room = COLS - col - text_width(text); /* the text's name and length stand beside any figure */
    if (q->running)
        snprintf(line, sizeof line, "%.0f %%: ", 100 * (double)r->scored / (double)r->planned);
    else if (q->stale)
        snprintf(line, sizeof line, COLS < 92 ? "before: " : "before the change: ");
    snprintf(part, sizeof part, "KL %s", format_kl(kl, r->kl, r->kl_stderr, widgets_unicode()));
    add_part(line, sizeof line, COLS - col, part);
    snprintf(part, sizeof part, "  ppl %.3f (%+.3f)", r->perplexity, r->perplexity - r->perplexity_reference);
    add_part(line, sizeof line, room, part);
    snprintf(part, sizeof part, "  top-1 %.1f%%", 100 * r->top1);
    add_part(line, sizeof line, room, part);
    add_part(line, sizeof line, COLS - col, text);
    draw_text(row, col, COLS - col, style, false, line);
}

/* In memory, or in the file that the set was chosen for; wide enough, beside it what it is compared with. */
static void print_size(const struct frame *f, bool narrow, char *out, size_t size)
{
    const struct file_sizes *file = frame_file(f);
    char here[16], other[16];
    format_bytes(here, (double)(file ? file->size : f->size));
    format_bytes(other, (double)(file ? f->size : f->stored_size));
    if (file)
        snprintf(out, size, narrow ? "%s %s" : "%s as %s, %s in memory", here, file->format, other);
    else
        snprintf(out, size, narrow ? "%s" : "%s of %s", here, other);
}

static void draw_size(struct tui *t, int row)
{
    const struct frame *f = t->frame;
    const struct file_sizes *file = frame_file(f);
    double linear = file ? file->bits_per_weight : f->bits_per_weight;
    double all = file ? file->bits_per_weight_all : f->bits_per_weight_all;
    char size[80], bits[32];
    draw_text(row, 0, LABEL, STYLE_STRONG, true, "size");
    int col = LABEL;
    print_size(f, COLS < 92, size, sizeof size);
    col += draw_text(row, col, COLS - col, STYLE_PLAIN, false, size);
    snprintf(bits, sizeof bits, all < 10 ? "%.2f" : "%.1f", all);
    col += draw_format(row, col, COLS - col, STYLE_PLAIN, false,
                       COLS < MEDIUM ? "  %.*f lin %s all bits  " : "  %.*f linear, %s all bits/weight  ",
                       linear < 10 ? 2 : 1, linear, bits);
    draw_quality(t, row, col);
}

/* KL alone, with its error where that has room. */
static void print_kl(const struct frame *f, bool error, char out[64])
{
    const struct quality_frame *q = &f->quality;
    char kl[32];
    if (!q->valid || !isfinite(q->result.kl))
        snprintf(out, 64, "KL n/a");
    else if (error && !q->running && !q->stale)
        snprintf(out, 64, "KL %s", format_kl(kl, q->result.kl, q->result.kl_stderr, widgets_unicode()));
    else if (!(q->result.kl > 0))
        snprintf(out, 64, "KL %s0%s", q->stale ? "was " : "", q->running ? ".." : "");
    else
        snprintf(out, 64, q->result.kl < 1e-3 ? "KL %s%.1e%s" : "KL %s%.4f%s",
                 q->stale ? "was " : "", q->result.kl, q->running ? ".." : "");
}

/* Where there are no lines for memory and size: what counts most in one. */
static void draw_brief(struct tui *t, int row)
{
    const struct frame *f = t->frame;
    const struct file_sizes *file = frame_file(f);
    const char *gap = COLS < 48 ? " " : "  ";
    char line[160], part[64], kl[64], bytes[16], rate[16];
    if (f->speed.decode.valid)
        snprintf(line, sizeof line, "%s%s tok/s", f->speed.is_rough ? "~" : "",
                 format_short(rate, f->speed.decode.value));
    else
        snprintf(line, sizeof line, "n/a tok/s");
    int room = COLS - LABEL;
    snprintf(part, sizeof part, "%s%s", gap, format_bytes(bytes, (double)(file ? file->size : f->size)));
    add_part(line, sizeof line, room, part);
    print_kl(f, true, part);
    bool fits = text_width(line) + text_width(gap) + text_width(part) <= room;
    print_kl(f, fits, part);
    snprintf(kl, sizeof kl, "%s%.60s", gap, part);
    add_part(line, sizeof line, room, kl);
    snprintf(part, sizeof part, "%s%.2fx vs stored", gap, f->speed.vs_stored.value);
    if (f->speed.decode.valid && f->speed.vs_stored.valid)
        add_part(line, sizeof line, room, part);
    draw_text(row, 0, LABEL, STYLE_STRONG, true, "decode");
    draw_text(row, LABEL, room, f->quality.stale ? STYLE_PLAIN : STYLE_GOOD, false, line);
}

/* The running job; of training with its step and KL. */
static const char *job_name(const struct frame *f, char out[96])
{
    const struct training_figures *l = f->training && f->training->running ? &f->training->figures : NULL;
    if (!l || strcmp(f->activity.name, "training") != 0)
        return f->activity.name;
    char name[TEXT_NAME + 2];
    snprintf(out, 96, "training: step %zu of %zu, KL %.2g on %s,", l->step, l->steps, l->kl_last,
             format_cut(name, sizeof name, f->training_text, 12));
    return out;
}

/* The job's name is cut rather than its progress. */
static void print_job(const struct frame *f, int columns, char *out, size_t size)
{
    char words[96], fraction[16];
    const char *job = job_name(f, words), *more = frame_has_queue(f) ? ", more layers queued" : "";
    snprintf(fraction, sizeof fraction, " %.0f %%", 100 * f->activity.fraction);
    int room = columns - text_width(fraction);
    if (text_width(job) > room)
        snprintf(out, size, "%.*s..%s", room > 2 ? room - 2 : 0, job, fraction);
    else
        snprintf(out, size, "%s%s%s", job, fraction, text_width(job) + text_width(more) > room ? "" : more);
}

/* Why nothing runs; "" where something does. */
static const char *rest_words(const struct tui *t, char out[96])
{
    const struct frame *f = t->frame;
    *out = 0;
    if (f->idle && !f->activity.name)
        snprintf(out, 96, "asleep: no key for %g s (--idle); any key wakes", t->options->idle);
    else if (f->paused)
        snprintf(out, 96, f->sleeps ? "paused, asleep: p resumes" : "paused: p resumes");
    return out;
}

/* Names stand apart where there is room, close to their keys where there is little; where not all fit, only the open
 * screen's is shown. A job that does not fit right of them goes to the status line. */
static void draw_tabs(struct tui *t, int row)
{
    int col = 0, width = 0, tabs = 0; /* width: of "1Layers 2Error" */
    t->tab_row = row;
    for (int v = 0; v < VIEW_COUNT; v++) {
        bool there = view_is_there(t, (enum view_id)v);
        width += there ? text_width(views[v].key) + text_width(views[v].name) + 1 : 0;
        tabs += there;
    }
    width--; /* the last one needs no gap behind it */
    const char *spaced = width + 2 * tabs <= COLS ? " %s %s " : width + tabs <= COLS ? "%s %s " : NULL;
    const char *named = spaced ? spaced : "%s%s ";
    for (int v = 0; v < VIEW_COUNT; v++) {
        bool here = v == (int)t->view;
        t->tab_col[v] = col;
        if (!view_is_there(t, (enum view_id)v))
            continue;
        const char *open = spaced ? spaced : "%s %s ", *other = width + 1 <= COLS ? named : " %s ";
        col += draw_format(row, col, COLS - col, here ? STYLE_SELECTED : STYLE_PLAIN, false, here ? open : other,
                           views[v].key, views[v].name);
    }
    t->tab_col[VIEW_COUNT] = col;
    const struct frame *f = t->frame;
    char line[160] = "";
    if (f->activity.name)
        print_job(f, INT_MAX, line, sizeof line);
    else if (f->paused && !f->idle && !f->sleeps)
        snprintf(line, sizeof line, "paused");
    else
        rest_words(t, line);
    t->job_shown = col + 2 + text_width(line) <= COLS;
    if (t->job_shown)
        draw_text(row, col + 2, COLS - col - 2, STYLE_WARN, false, line);
}

void header_draw(struct tui *t, const struct layout *l)
{
    t->tab_row = -1;
    if (l->title >= 0)
        draw_title(t, l->title);
    if (l->decode >= 0)
        (l->size >= 0 ? draw_decode : draw_brief)(t, l->decode);
    if (l->memory >= 0)
        draw_memory(t, l->memory);
    if (l->size >= 0)
        draw_size(t, l->size);
    t->job_shown = false;
    if (l->tabs >= 0)
        draw_tabs(t, l->tabs);
}

/* ---- below the body -------------------------------------------------------------------------- */

/* A line that does not fit ends in "..". */
static void draw_line(int row, enum style style, const char *text)
{
    bool cut = text_width(text) > COLS;
    draw_text(row, 0, COLS - (cut ? 2 : 0), style, true, text);
    if (cut)
        draw_text(row, COLS - 2, 2, style, false, "..");
}

static struct advice advice_of(const struct frame *f, int tensor)
{
    double *kl = malloc(f->model->tensor_count * sizeof *kl); /* where memory is short, advice goes by kind */
    for (size_t i = 0; kl && i < f->model->tensor_count; i++) {
        const struct layer_frame *l = &f->layers[i];
        kl[i] = l->sensitivity.valid && !l->sensitivity_partial ? l->sensitivity.value : NAN;
    }
    struct advice a = tensor_advice(f->model, tensor, kl);
    free(kl);
    return a;
}

static void draw_layer_status(struct tui *t, int row, int tensor)
{
    const struct frame *f = t->frame;
    char details[160], line[320];
    bool kv = tensor == kv_index(f->model);
    const char *name = layer_name(f->model, tensor);
    const struct qtensor *p = kv ? NULL : f->set->layer[tensor];
    struct scheme s = p ? qtensor_scheme(p) : (struct scheme){0};
    if (p && p->error.overflowed > 0) {
        snprintf(line, sizeof line, "%s: %zu weights overflow %s: an export of them fails", name, p->error.overflowed,
                 dtypes[p->matrix.format.weight].name);
        draw_line(row, STYLE_WARN, line);
        return;
    }
    if (p && methods_describe(&s.methods, &p->calibration, details, sizeof details))
        snprintf(line, sizeof line, "%s: %s", name, details);
    else
        snprintf(line, sizeof line, "%s: %s", name, advice_of(f, tensor).text);
    draw_line(row, STYLE_DIM, line);
}

/* Advice is given a kind of layer, and a block has several. */
static void draw_several_status(const struct tui *t, int row, const struct row *r)
{
    char line[120];
    size_t layers = 0;
    int i, end = rows_range(t, r, &i);
    const struct mixture *m = &t->frame->model->layers[r->block].mixture;
    for (; i < end; i++)
        layers += rows_covers(t, r, i);
    if (r->role == ROLE_NONE)
        snprintf(line, sizeof line, "blk.%d: a change here changes its %zu matrices", r->block, layers);
    else
        snprintf(line, sizeof line, "blk.%d.%s: %zu experts, %zu used by a token; a change here changes all", r->block,
                 roles[r->role].name, m->experts, m->used);
    draw_line(row, STYLE_DIM, line);
}

/* Whether the message is about the layer that was selected when it came, and another one is now. */
static bool is_of_another_layer(const struct tui *t)
{
    const char *name = t->status_tensor >= 0 ? layer_name(t->frame->model, t->status_tensor) : "";
    const char *text = t->frame->status.text;
    size_t n = strlen(name);
    bool of_layer = n > 0 && strncmp(text, name, n) == 0 && text[n] == ':';
    return of_layer && rows_current_tensor(t) != t->status_tensor && (t->view == VIEW_LAYERS || t->view == VIEW_ERROR);
}

/* `quality`: there is no other line for its figures. */
static void draw_status(struct tui *t, int row, bool quality)
{
    const struct frame *f = t->frame;
    double now = clock_seconds();
    char job[160], opening[128], words[96];
    open_words(t, opening, sizeof opening);
    if (f->status.serial != t->status_seen) {
        t->status_seen = f->status.serial;
        t->status_until = now + 6;
        t->status_tensor = rows_current_tensor(t);
    }
    if (*t->note) {
        draw_line(row, STYLE_WARN, t->note);
    } else if (*opening) {
        draw_line(row, STYLE_WARN, opening);
    } else if (now < t->status_until && *f->status.text && !is_of_another_layer(t)) {
        draw_line(row, f->status.is_error ? STYLE_WARN : STYLE_GOOD, f->status.text);
    } else if (f->activity.name && !t->job_shown) {
        print_job(f, COLS, job, sizeof job);
        draw_line(row, STYLE_WARN, job);
    } else if (*rest_words(t, words) && !t->job_shown) {
        draw_line(row, STYLE_WARN, words);
    } else if (quality && f->quality.valid) {
        draw_quality(t, row, 0);
    } else if (t->view == VIEW_LAYERS || t->view == VIEW_ERROR) {
        int tensor = rows_current_tensor(t);
        if (tensor >= 0 && t->view == VIEW_LAYERS && t->rows[t->cursor].tensor < 0)
            draw_several_status(t, row, &t->rows[t->cursor]);
        else if (tensor >= 0)
            draw_layer_status(t, row, tensor);
    }
}

void footer_draw(struct tui *t, const struct layout *l)
{
    t->footer_row = -1;
    if (l->text >= 0)
        generation_tail(t, l->text, COLS);
    if (l->status >= 0)
        draw_status(t, l->status, l->size < 0);
    if (l->footer < 0)
        return;
    footer_draw_keys(t, l->footer);
}
