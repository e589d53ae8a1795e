#include "meter.h"

#include <string.h>

enum { READING_STEPS = 3, ROUGH_STEPS = 8 };
static const double READING_SECONDS = 0.1; /* of counted steps in one reading */
static const double ROUGH_SECONDS = 1;     /* of the steps that a rough figure is of: older ones fade */

void meter_reset(struct meter *m)
{
    m->seconds = m->rough_seconds = m->rough_steps = 0;
    m->steps = 0;
    m->rate = 0;
    m->is_rough = false;
    m->skip_next = true;
}

static void add_to_history(struct meter *m)
{
    if (m->history_count == HISTORY)
        memmove(m->history, m->history + 1, (HISTORY - 1) * sizeof *m->history);
    else
        m->history_count++;
    m->history[m->history_count - 1] = (float)m->rate;
}

bool meter_has_reading(const struct meter *m)
{
    return m->rate > 0 && !m->is_rough;
}

/* The first step is warm neither in the caches nor on the disk: its part fades like that of all old ones. */
static void add_rough(struct meter *m, double seconds)
{
    m->rough_seconds += seconds;
    m->rough_steps++;
    m->rate = m->rough_steps / m->rough_seconds;
    m->is_rough = true;
    if (m->rough_steps > ROUGH_STEPS || m->rough_seconds > ROUGH_SECONDS) {
        m->rough_seconds /= 2;
        m->rough_steps /= 2;
    }
}

static void add_counted(struct meter *m, double seconds)
{
    bool first = !meter_has_reading(m);
    m->seconds += seconds;
    m->steps++;
    if (m->steps < READING_STEPS || m->seconds < (first ? READING_SECONDS / 4 : READING_SECONDS))
        return;
    m->rate = (double)m->steps / m->seconds;
    m->is_rough = false;
    m->seconds = 0;
    m->steps = 0;
    add_to_history(m);
}

void meter_add(struct meter *m, double seconds)
{
    bool counts = !m->skip_next;
    if (!(seconds > 0))
        return; /* below the clock's resolution */
    m->skip_next = false;
    if (!meter_has_reading(m))
        add_rough(m, seconds);
    if (counts)
        add_counted(m, seconds);
}
