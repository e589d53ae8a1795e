#include "autosave.h"

#include "actions.h"
#include "base/clock.h"
#include "base/output.h"
#include "base/user_path.h"
#include "saved.h"
#include "saved_parts.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const double SAVE_SECONDS = 60;

/* ---- what an earlier run left ---------------------------------------------------------------------- */

/* Of session-MARK-PID.qtop the PID; 0 for another name. */
static pid_t owner_of(const char *name, const char *mark)
{
    int end = 0;
    long pid = 0;
    char of[17];
    bool ours = sscanf(name, "session-%16[0-9a-f]-%ld.qtop%n", of, &pid, &end) == 2 && end > 0 && !name[end];
    return ours && strcmp(of, mark) == 0 && pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

/* The newest file of a run that is over stays; older ones go. */
static void find_left(struct lab *lab, const char *folder, const char *mark)
{
    char *newest = NULL, *path, typed[220];
    struct stat st, newest_stat = {0};
    DIR *d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));) {
        pid_t owner = owner_of(e->d_name, mark);
        if (owner == 0 || kill(owner, 0) == 0 || errno != ESRCH || asprintf(&path, "%s/%s", folder, e->d_name) < 0)
            continue;
        bool newer = stat(path, &st) == 0 && (!newest || st.st_mtime > newest_stat.st_mtime);
        char *old = newer ? newest : path;
        if (newer) {
            newest = path;
            newest_stat = st;
        }
        if (old)
            unlink(old);
        free(old);
    }
    if (d)
        closedir(d);
    if (newest)
        lab_say(lab, false, "cut off earlier: qtop %s", user_path_short(newest, typed, sizeof typed));
    free(newest);
}

void autosave_open(struct lab *lab)
{
    struct autosave *a = &lab->autosave;
    struct error none;
    char mark[24], name[80];
    a->saved_at = clock_seconds();
    a->entries = lab->log.total;
    if (lab->options.keeps_session && lab->options.saved_as) {
        a->path = strdup(lab->options.saved_as);
        a->named = a->path;
        return;
    }
    if (!lab->options.keeps_session || !lab->session->model->path)
        return;
    model_mark(lab->session->model, mark);
    snprintf(name, sizeof name, "session-%s-%ld.qtop", mark, (long)getpid());
    a->path = user_path(USER_STATE, name, &none);
    if (!a->path)
        return;
    *strrchr(a->path, '/') = 0;
    find_left(lab, a->path, mark);
    a->path[strlen(a->path)] = '/';
    a->entries = lab->log.total;
}

/* ---- writing ----------------------------------------------------------------------------------------- */

static bool write_now(struct lab *lab, struct error *error)
{
    struct autosave *a = &lab->autosave;
    a->saved_at = clock_seconds();
    a->entries = lab->log.total;
    if (!a->named)
        output_make_folders(a->path);
    bool ok = saved_write(lab, a->path, error);
    a->written |= ok;
    return ok;
}

/* Where nothing was said, nothing was done. */
void autosave_step(struct lab *lab, double now)
{
    struct autosave *a = &lab->autosave;
    struct error error;
    double every = lab->options.save_seconds > 0 ? lab->options.save_seconds : SAVE_SECONDS;
    if (!a->path || now - a->saved_at < every || lab->log.total == a->entries)
        return;
    if (!write_now(lab, &error) && a->named)
        lab_say(lab, true, "%s", error.text);
}

bool autosave_finish(struct lab *lab, struct error *error)
{
    struct autosave *a = &lab->autosave;
    if (a->path && a->named)
        return lab->log.total == a->entries || write_now(lab, error);
    if (a->path && a->written)
        unlink(a->path);
    return true;
}

void autosave_close(struct lab *lab)
{
    free(lab->autosave.path);
}

/* The file that was kept without a name is not needed any more. */
static void give_name(struct autosave *a, char *path)
{
    if (a->path && a->written && !a->named)
        unlink(a->path);
    free(a->path);
    *a = (struct autosave){.path = path, .named = true};
}

void save_session(struct lab *lab, const struct command *c)
{
    struct error error;
    char *path = strdup(c->text);
    if (path && session_check_output(lab->session, path, &error) && saved_write(lab, path, &error)) {
        give_name(&lab->autosave, path);
        lab->autosave.saved_at = clock_seconds();
        lab_say(lab, false, "session saved as %.150s: kept each minute and at the end; qtop opens it", path);
        lab->autosave.entries = lab->log.total;
        return;
    }
    lab_say(lab, true, "%s", path ? error.text : "not enough memory");
    free(path);
}
