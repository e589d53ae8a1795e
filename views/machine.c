/* Screen 7, Machine. */
#include "machine.h"

#include "tui.h"

#include <stdlib.h>

struct drawing {
    struct rect area;
    int line, top;
};

static void draw_line(void *arg, bool strong, const char *text)
{
    struct drawing *d = arg;
    int row = d->line++ - d->top;
    if (row >= 0 && row < d->area.rows)
        draw_text(d->area.row + row, d->area.col, d->area.cols, strong ? STYLE_STRONG : STYLE_PLAIN, false, text);
}

static void take_counters(struct machine *m, const struct counters_frame *f)
{
    size_t n = f ? f->events : 0;
    m->counter_count = 0;
    for (size_t i = 0; i < n && m->counter_count + 1 < MAX_COUNTERS; i++) {
        struct counter_state *state = &m->counters[m->counter_count++];
        *state = (struct counter_state){.name = f->event[i].name, .summary = f->event[i].description};
        if (f->event[i].reason)
            error_set(&state->reason, "%s", f->event[i].reason);
    }
    if (!f)
        return;
    struct counter_state *traffic = &m->counters[m->counter_count++];
    *traffic = (struct counter_state){.name = "memory-traffic", .summary = f->traffic_label};
    if (!*f->traffic_label)
        error_set(&traffic->reason, "%s", f->traffic_detail);
}

/* Looks only once: it reads files of /sys and /proc. */
static struct machine *look(struct tui *t)
{
    if (!t->machine && (t->machine = malloc(sizeof *t->machine)))
        machine_look(t->machine, t->session->pool);
    return t->machine;
}

void machine_draw(struct tui *t, struct rect area)
{
    const struct frame *f = t->frame;
    struct machine *m = look(t);
    if (!m)
        return;
    m->roofs = f->roofs ? &f->roofs->roofs : NULL;
    m->roofs_cached = f->roofs && f->roofs->source.cached;
    if (!f->roofs)
        error_set(&m->roofs_reason, "%s", f->roofs_reason ? f->roofs_reason : "not measured yet");
    take_counters(m, f->counters);
    struct drawing d = {area, 0, t->machine_top};
    machine_lines(m, draw_line, &d);
    int last = d.line > area.rows ? d.line - area.rows : 0;
    t->machine_page = area.rows > 1 ? area.rows - 1 : 1;
    t->machine_last = last;
    if (t->machine_top <= last)
        return;
    t->machine_top = last; /* the screen has grown */
    machine_draw(t, area);
}

bool machine_act(struct tui *t, enum action a)
{
    int to = t->machine_top;
    switch (a) {
    case ACTION_UP:
        to--;
        break;
    case ACTION_DOWN:
        to++;
        break;
    case ACTION_PAGE_UP:
        to -= t->machine_page;
        break;
    case ACTION_PAGE_DOWN:
        to += t->machine_page;
        break;
    case ACTION_HOME:
        to = 0;
        break;
    case ACTION_END:
        to = t->machine_last;
        break;
    default:
        return false;
    }
    t->machine_top = to < 0 ? 0 : to > t->machine_last ? t->machine_last : to;
    return true;
}
