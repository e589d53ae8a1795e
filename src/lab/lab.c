#include "internal.h"

#include "sys/thread.h"
#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const double SLICE_SECONDS = 0.002;   /* tokens and jobs take turns of this length */
static const double PUBLISH_SECONDS = 0.08;  /* between frames when nothing else asks for one */

struct queued {
    struct command command;
    struct queued *next;
};

/* ---- commands -------------------------------------------------------------------------------- */

static void queued_free(struct queued *q)
{
    free((void *)(uintptr_t)q->command.tensors);
    free((void *)(uintptr_t)q->command.text);
    free(q);
}

/* A copy of n bytes; of none too, so that null means failure. */
static void *copy_of(const void *from, size_t n)
{
    void *copy = malloc(n + 1);
    return copy && n > 0 ? memcpy(copy, from, n) : copy;
}

bool lab_send(struct lab *lab, const struct command *command)
{
    const struct command *c = command;
    struct queued *q = calloc(1, sizeof *q);
    if (!q)
        return false;
    q->command = *c;
    q->command.text = c->text ? strdup(c->text) : NULL;
    q->command.tensors = copy_of(c->tensors, c->tensor_count * sizeof *c->tensors);
    if (!q->command.tensors || (c->text && !q->command.text)) {
        queued_free(q);
        return false;
    }
    pthread_mutex_lock(&lab->lock);
    if (lab->last)
        lab->last->next = q;
    else
        lab->first = q;
    lab->last = q;
    pthread_cond_signal(&lab->arrived);
    pthread_mutex_unlock(&lab->lock);
    return true;
}

static struct queued *take_command(struct lab *lab)
{
    pthread_mutex_lock(&lab->lock);
    struct queued *q = lab->first;
    if (q) {
        lab->first = q->next;
        if (!lab->first)
            lab->last = NULL;
    }
    pthread_mutex_unlock(&lab->lock);
    return q;
}

static void select_weight(struct lab *lab, const struct command *c)
{
    int tensor = c->tensor_count > 0 ? c->tensors[0] : lab->selected;
    if (tensor == kv_index(lab->session->model)) /* no matrix to look into: the last one stays */
        return;
    const struct qmatrix *m = &lab->set->layer[tensor]->matrix;
    if (tensor != lab->selected)
        lab->output = (struct output_error){0};
    lab->selected = tensor;
    lab->row = c->row < m->rows ? c->row : m->rows - 1;
    lab->col = c->col < m->cols ? c->col : m->cols - 1;
}

static void evaluate_now(struct lab *lab)
{
    lab->evaluation_asked = true;
    if (lab->quality_frame.valid)
        lab->quality_frame.stale = !lab->quality_frame.running;
    lab_say(lab, false, "evaluating against %s", model_reference_words(lab->session->model));
}

static void set_sampling(struct lab *lab, const struct command *c)
{
    lab->options.temperature = (float)c->temperature;
    lab->seed = c->seed;
    texts_restart(lab);
    lab_say(lab, false, "temperature %g, seed %llu", c->temperature, (unsigned long long)c->seed);
}

static void apply(struct lab *lab, const struct command *c)
{
    switch (c->kind) {
    case COMMAND_SELECT:
        select_weight(lab, c);
        break;
    case COMMAND_EVALUATE:
        evaluate_now(lab);
        break;
    case COMMAND_SENSITIVITY:
        sensitivity_ask(lab);
        break;
    case COMMAND_COMPARE_METHODS:
        comparing_ask(lab);
        break;
    case COMMAND_STOP_LEARNING:
        learning_ask_stop(lab);
        break;
    case COMMAND_TUNE:
        tuning_ask(lab, c->text);
        break;
    case COMMAND_RACE:
        racing_ask(lab);
        break;
    case COMMAND_EXPORT:
        exporting_ask(lab, c->text);
        break;
    case COMMAND_ROOFS:
        roofs_ask(lab);
        break;
    case COMMAND_BATCH:
        batch_ask(lab, c->direction);
        break;
    case COMMAND_COUNT:
        counting_toggle(lab, c->text);
        break;
    case COMMAND_LIST_EVENTS:
        counting_list(lab);
        break;
    case COMMAND_PAUSE:
        lab->paused = !lab->paused;
        lab->meter.cold = true;
        lab_say(lab, false, lab->paused ? "paused: p goes on" : "going on");
        break;
    case COMMAND_RESTART:
        texts_restart(lab);
        lab_say(lab, false, "the text begins again with seed %llu", (unsigned long long)lab->seed);
        break;
    case COMMAND_PROMPT:
        if (texts_prompt(lab, c->text))
            lab_say(lab, false, "new prompt: %zu tokens with BOS", lab->prompt_tokens);
        break;
    case COMMAND_SAMPLING:
        set_sampling(lab, c);
        break;
    case COMMAND_WATCH_TEXT:
        lab->watch_text = c->index != 0;
        break;
    default:
        edits_apply(lab, c);
    }
}

static bool apply_all(struct lab *lab)
{
    bool any = false;
    for (struct queued *q; (q = take_command(lab)); any = true) {
        apply(lab, &q->command);
        queued_free(q);
    }
    return any;
}

void lab_say(struct lab *lab, bool is_error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(lab->status, sizeof lab->status, format, args);
    va_end(args);
    lab->status_is_error = is_error;
    lab->status_serial++;
}

void lab_use(struct lab *lab, struct weights *set)
{
    struct weights *stored = lab->session->stored;
    if (set->kv == stored->kv && weights_same_layers(set, stored)) { /* the same matrices: the same set, so that identity tells */
        weights_unref(set);
        set = weights_ref(stored);
    }
    weights_unref(lab->set);
    lab->set = set;
    making_set_changed(lab);
    meter_reset(lab);
    jobs_set_changed(lab);
}

/* ---- the thread ------------------------------------------------------------------------------ */

static bool asked_to_quit(struct lab *lab)
{
    pthread_mutex_lock(&lab->lock);
    bool quit = lab->quit;
    pthread_mutex_unlock(&lab->lock);
    return quit;
}

/* Waits for a command, at most `seconds`. */
static void wait_for_command(struct lab *lab, double seconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(seconds * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lab->lock);
    if (!lab->first && !lab->quit)
        pthread_cond_timedwait(&lab->arrived, &lab->lock, &until);
    pthread_mutex_unlock(&lab->lock);
}

static void *run(void *arg)
{
    struct lab *lab = arg;
    double published = 0;
    const char *shown = NULL; /* the job in the last frame */
    pool_bind_caller(lab->session->pool);
    counting_begin(lab);
    lab_publish(lab);
    while (!asked_to_quit(lab)) {
        bool asked = apply_all(lab);
        bool runs = !lab->paused && lab->ready;
        if (runs)
            texts_step(lab, SLICE_SECONDS);
        bool worked = jobs_step(lab, SLICE_SECONDS);
        lab->meter.cold |= worked;
        double now = clock_seconds();
        if (asked || lab->job != shown || now - published >= PUBLISH_SECONDS) {
            lab_publish(lab);
            published = now;
            shown = lab->job;
        }
        if (!runs && !worked)
            wait_for_command(lab, PUBLISH_SECONDS);
    }
    return NULL;
}

static bool begin(struct lab *lab, struct error *error)
{
    lab->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (lab->wake < 0)
        return error_set(error, "eventfd: %s", strerror(errno));
    lab->set = weights_ref(lab->session->stored);
    if (!jobs_begin(lab, error) || !edits_begin(lab, error) || !making_begin(lab, error) ||
        !texts_begin(lab, error))
        return false;
    making_set_changed(lab);
    if (*lab->session->model->note)
        lab_say(lab, false, "%s", lab->session->model->note);
    return true;
}

static bool start_thread(struct lab *lab, struct error *error)
{
    int failure = thread_start(&lab->thread, run, lab);
    lab->threaded = failure == 0;
    return lab->threaded || error_set(error, "cannot start a thread: %s", strerror(failure));
}

struct lab *lab_start(struct session *session, const struct lab_options *options,
                      struct error *error)
{
    struct lab *lab = calloc(1, sizeof *lab);
    if (!lab) {
        error_set(error, "not enough memory");
        return NULL;
    }
    lab->session = session;
    lab->options = *options;
    lab->wake = -1;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&lab->lock, NULL);
    pthread_cond_init(&lab->arrived, &monotonic);
    pthread_condattr_destroy(&monotonic);
    if (begin(lab, error) && start_thread(lab, error))
        return lab;
    lab_stop(lab);
    return NULL;
}

void lab_stop(struct lab *lab)
{
    if (!lab)
        return;
    if (lab->threaded) {
        pthread_mutex_lock(&lab->lock);
        lab->quit = true;
        pthread_cond_signal(&lab->arrived);
        pthread_mutex_unlock(&lab->lock);
        pthread_join(lab->thread, NULL);
    }
    for (struct queued *q; (q = take_command(lab));)
        queued_free(q);
    jobs_end(lab);
    edits_end(lab);
    texts_end(lab);
    counting_end(lab);
    making_end(lab);
    frame_unref(lab->newest);
    weights_unref(lab->set);
    if (lab->wake >= 0)
        close(lab->wake);
    pthread_cond_destroy(&lab->arrived);
    pthread_mutex_destroy(&lab->lock);
    free(lab);
}
