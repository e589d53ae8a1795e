#include "meter.h"

#include <string.h>

enum { READING_STEPS = 3 };
static const double READING_SECONDS = 0.1; /* of counted steps in one reading */

void meter_reset(struct meter *m)
{
    m->seconds = 0;
    m->steps = 0;
    m->rate = 0;
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

void meter_add(struct meter *m, double seconds)
{
    if (m->skip_next) {
        m->skip_next = false;
        return;
    }
    m->seconds += seconds;
    m->steps++;
    bool first = m->rate == 0;
    if (m->steps < READING_STEPS || m->seconds < (first ? READING_SECONDS / 4 : READING_SECONDS))
        return;
    m->rate = (double)m->steps / m->seconds;
    m->seconds = 0;
    m->steps = 0;
    add_to_history(m);
}
