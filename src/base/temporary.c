#include "temporary.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS = 32, ATTEMPTS = 100, PATIENCE = 1000 /* milliseconds */ };
enum slot_state { SLOT_FREE, SLOT_TAKEN, SLOT_NAMED };

struct temporary {
    atomic_int state;
    char name[PATH_MAX];
};

static struct temporary slots[SLOTS];
static atomic_bool ended; /* temporary_remove_all was called */
static atomic_int busy;   /* threads that create, rename or remove */

/* ---- against signals ------------------------------------------------------------------------- */

/* From here to names_end no handler runs on this thread, and temporary_remove_all on another waits. False, with EINTR,
 * when the program is about to die. */
static bool names_begin(sigset_t *before)
{
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
    atomic_fetch_add(&busy, 1);
    return !atomic_load(&ended) || (errno = EINTR, false);
}

static void names_end(const sigset_t *before)
{
    int kept = errno;
    atomic_fetch_sub(&busy, 1);
    pthread_sigmask(SIG_SETMASK, before, NULL);
    errno = kept;
}

/* A file system that does not answer must not hold up a death for ever. */
static void wait_for_others(void)
{
    for (int i = 0; i < PATIENCE && atomic_load(&busy) > 0; i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void temporary_remove_all(void)
{
    atomic_store(&ended, true);
    wait_for_others();
    for (size_t i = 0; i < SLOTS; i++)
        if (atomic_load(&slots[i].state) == SLOT_NAMED)
            unlink(slots[i].name);
}

/* ---- slots ----------------------------------------------------------------------------------- */

static struct temporary *take_slot(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        int expected = SLOT_FREE;
        if (atomic_compare_exchange_strong(&slots[i].state, &expected, SLOT_TAKEN))
            return &slots[i];
    }
    errno = EMFILE;
    return NULL;
}

static void leave_slot(struct temporary *t)
{
    atomic_store(&t->state, SLOT_FREE);
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* By its last part: one folder can be written in many ways. */
static bool has_slot(const char *name)
{
    bool any = false;
    for (size_t i = 0; i < SLOTS; i++)
        any |= atomic_load(&slots[i].state) == SLOT_NAMED && strcmp(base_of(slots[i].name), base_of(name)) == 0;
    return any;
}

/* ---- what others left ------------------------------------------------------------------------ */

/* Of "BASE.PID-N", the PID; 0 where the name is not of that form. */
static pid_t owner_of(const char *name, const char *base)
{
    size_t n = strlen(base);
    char *end;
    if (strncmp(name, base, n) != 0 || name[n] != '.' || name[n + 1] < '1' || name[n + 1] > '9')
        return 0;
    errno = 0;
    long pid = strtol(name + n + 1, &end, 10);
    if (errno || pid > INT_MAX || *end != '-' || !end[1] || end[1 + strspn(end + 1, "0123456789")])
        return 0;
    return (pid_t)pid;
}

/* A process of this number may have been another, in another container. */
static bool is_abandoned(pid_t owner, const char *name)
{
    return owner == getpid() ? !has_slot(name) : kill(owner, 0) != 0 && errno == ESRCH;
}

static void remove_abandoned(const char *path)
{
    const char *base = base_of(path);
    char folder[PATH_MAX];
    int length = snprintf(folder, sizeof folder, "%.*s", (int)(base - path), path);
    DIR *d = *base && length < PATH_MAX ? opendir(length ? folder : ".") : NULL;
    for (const struct dirent *e; d && (e = readdir(d));) {
        pid_t owner = owner_of(e->d_name, base);
        if (owner > 0 && is_abandoned(owner, e->d_name))
            unlinkat(dirfd(d), e->d_name, 0);
    }
    if (d)
        closedir(d);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The slot is named before the file exists. */
static int create_in(struct temporary *t, const char *path, mode_t mode)
{
    static atomic_uint number;
    int fd = -1;
    for (int i = 0; fd < 0 && i < ATTEMPTS && (i == 0 || errno == EEXIST); i++) {
        int n = snprintf(t->name, sizeof t->name, "%s.%ld-%u", path, (long)getpid(), atomic_fetch_add(&number, 1));
        if (n < 0 || (size_t)n >= sizeof t->name) {
            errno = ENAMETOOLONG;
            return -1;
        }
        if (!has_slot(t->name)) {
            atomic_store(&t->state, SLOT_NAMED);
            fd = open(t->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        }
        if (fd < 0) /* somebody else's */
            atomic_store(&t->state, SLOT_TAKEN);
    }
    return fd;
}

struct temporary *temporary_create(const char *path, int *fd)
{
    struct stat st;
    bool there = stat(path, &st) == 0;
    mode_t mode = there ? st.st_mode & 0777 : 0666;
    sigset_t before;
    remove_abandoned(path);
    struct temporary *t = names_begin(&before) ? take_slot() : NULL;
    *fd = t ? create_in(t, path, mode) : -1;
    if (t && *fd < 0) {
        leave_slot(t);
        t = NULL;
    }
    names_end(&before);
    if (t && there)
        (void)fchmod(*fd, mode); /* what the umask took; a file system without permissions has none to keep */
    return t;
}

int temporary_place(struct temporary *const files[], const char *const paths[], size_t count)
{
    sigset_t before;
    int why = names_begin(&before) ? 0 : errno;
    for (size_t i = 0; i < count; i++) {
        if (files[i] && !why && rename(files[i]->name, paths[i]) != 0)
            why = errno;
        if (files[i] && why)
            unlink(files[i]->name);
        if (files[i])
            leave_slot(files[i]);
    }
    names_end(&before);
    return why;
}

void temporary_remove(struct temporary *t)
{
    sigset_t before;
    if (!t)
        return;
    (void)names_begin(&before);
    unlink(t->name);
    leave_slot(t);
    names_end(&before);
}
