/* Names, notes and deletion of snapshots. */
#include "actions.h"
#include "jobs.h"

#include <stdio.h>
#include <string.h>

/* The snapshot of a command, by its label; null has been said. */
static struct snapshot *snapshot_of(struct lab *lab, const struct command *c)
{
    for (size_t i = 0; i < lab->snapshots.count; i++)
        if (lab->snapshots.of[i].label == (char)c->index)
            return &lab->snapshots.of[i];
    lab_say(lab, true, "no such snapshot: s keeps one");
    return NULL;
}

/* Takes a text over; false when it does not fit, which is said. */
static bool take_text(struct lab *lab, const char *what, char *out, size_t size, const char *text)
{
    bool fits = strlen(text) < size;
    if (fits)
        snprintf(out, size, "%s", text);
    else
        lab_say(lab, true, "%s: %zu bytes; expected at most %zu", what, strlen(text), size - 1);
    return fits;
}

void name_snapshot(struct lab *lab, const struct command *c)
{
    struct snapshot *s = snapshot_of(lab, c);
    if (s && take_text(lab, "name", s->name, sizeof s->name, c->text))
        lab_say(lab, false, *s->name ? "snapshot %c is named %s" : "snapshot %c has no name%s", s->label, s->name);
}

void annotate_snapshot(struct lab *lab, const struct command *c)
{
    struct snapshot *s = snapshot_of(lab, c);
    if (s && take_text(lab, "note", s->note, sizeof s->note, c->text))
        lab_say(lab, false, *s->note ? "snapshot %c: %s" : "snapshot %c has no note%s", s->label, s->note);
}

/* The rounds of a timing that runs name snapshots by their index. */
void delete_snapshot(struct lab *lab, const struct command *c)
{
    struct snapshots *all = &lab->snapshots;
    struct snapshot *s = snapshot_of(lab, c);
    if (!s)
        return;
    if (job_slot_of(lab, &time_snapshots_job)->running) {
        lab_say(lab, true, "snapshots are being timed: v stops that first");
        return;
    }
    lab_say(lab, false, "snapshot %c deleted: %s", s->label, s->summary);
    kept_schemes_unref(s->schemes);
    file_sizes_unref(s->file);
    size_t behind = all->count - 1 - (size_t)(s - all->of);
    memmove(s, s + 1, behind * sizeof *s);
    all->count--;
}
