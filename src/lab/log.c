#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void log_add(struct lab *lab, bool is_error, const char *text)
{
    struct log *log = &lab->log;
    struct history *h = &lab->history;
    if (!log->of && !(log->of = calloc(LOG_ENTRIES, sizeof *log->of)))
        return;
    if (log->count == LOG_ENTRIES)
        memmove(log->of, log->of + 1, --log->count * sizeof *log->of);
    struct log_entry *e = &log->of[log->count++];
    *e = (struct log_entry){.time = time(NULL), .is_error = is_error, .step = h->described ? 0 : h->of[h->current].figures.serial};
    snprintf(e->text, sizeof e->text, "%s", text);
    h->described = true;
    log->total++;
    log_frame_unref(log->published);
    log->published = NULL;
}

struct log_frame *log_publish(struct lab *lab)
{
    struct log *log = &lab->log;
    if (!log->published && (log->published = malloc(sizeof *log->published + log->count * sizeof *log->of))) {
        atomic_init(&log->published->refs, 1);
        log->published->count = log->count;
        log->published->total = log->total;
        if (log->count > 0)
            memcpy(log->published->of, log->of, log->count * sizeof *log->of);
    }
    return log_frame_ref(log->published);
}

void log_close(struct lab *lab)
{
    free(lab->log.of);
    log_frame_unref(lab->log.published);
}
