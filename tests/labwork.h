/* labwork.h - a lab under test: a small model's session, commands that are sent, frames that are awaited. No
 * clock is trusted: every wait is for a frame that shows something. For one test program at a time. */
#ifndef QTOP_TESTS_LABWORK_H
#define QTOP_TESTS_LABWORK_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "caches.h"
#include "modelfile.h"
#include "support.h"

#include "lab/lab.h"
#include "base/clock.h"
#include "quant/recipe.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 10000, SEED = 7 };

static char *folder;
static struct session session;

static inline int open_session(void **state)
{
    struct model_spec spec = {1, false, 64, 96, 3, 4, 2, 400, 128, 32, 1};
    struct vocabulary_spec words = vocabulary_usual(400);
    struct bytes model = model_bytes(&spec), tokenizer = vocabulary_bytes(&words);
    struct error error;
    (void)state;
    folder = folder_make();
    caches_shrink();
    char *path = path_in(folder, "model.bin"), *beside = path_in(folder, "tokenizer.bin");
    write_file(path, model.data, model.size);
    write_file(beside, tokenizer.data, tokenizer.size);
    struct session_options o = {.model_path = path, .threads = 1};
    bool ok = session_open(&session, &o, &error);
    if (!ok)
        fprintf(stderr, "%s\n", error.text);
    bytes_free(&model);
    bytes_free(&tokenizer);
    vocabulary_free(&words);
    free(path);
    free(beside);
    return ok ? 0 : -1;
}

static inline int close_session(void **state)
{
    (void)state;
    session_close(&session);
    folder_remove(folder);
    return 0;
}

/* ---- starting, sending, waiting -------------------------------------------------------------- */

static const char text_to_evaluate[] =
    "the singer in the barn read on and on while the hen and the other hen were fed in the end";

static inline struct lab_options usual_options(void)
{
    return (struct lab_options){.seed = SEED, .temperature = 1, .top_p = 0.9f};
}

static inline struct lab *start_with(const struct lab_options *o)
{
    struct error error = {"no error"};
    struct lab *lab = lab_start(&session, o, &error);
    if (!lab)
        fail_msg("%s", error.text);
    return lab;
}

static inline struct lab *start(void)
{
    struct lab_options o = usual_options();
    return start_with(&o);
}

static inline void send(struct lab *lab, struct command c)
{
    assert_true(lab_send(lab, &c));
}

typedef bool frame_fn(const struct frame *f, const void *arg);

/* The first frame, from the newest on, for which see holds; the caller's. Fails the test when none
 * comes in time. */
static inline struct frame *await(struct lab *lab, frame_fn *see, const void *arg, const char *what)
{
    double deadline = clock_seconds() + PATIENCE;
    struct pollfd wake = {lab_wake_descriptor(lab), POLLIN, 0};
    for (;;) {
        struct frame *f = lab_frame(lab);
        if (f && see(f, arg))
            return f;
        if (f && clock_seconds() > deadline)
            fprintf(stderr, "last frame: job %s, %zu pending, status '%s'\n",
                    f->activity.name ? f->activity.name : "none", f->pending, f->status.text);
        frame_unref(f);
        if (clock_seconds() > deadline) {
            fail_msg("no frame shows: %s", what);
            return NULL;
        }
        poll(&wake, 1, 1000);
    }
}

static inline bool is_any(const struct frame *f, const void *arg)
{
    (void)arg;
    return f != NULL;
}

static inline struct frame *now(struct lab *lab)
{
    return await(lab, is_any, NULL, "anything");
}

static inline bool has_status(const struct frame *f, const void *serial)
{
    return f->status.serial >= *(const uint64_t *)serial;
}

/* Sends a command that says something, and returns the first frame made after it. */
static inline struct frame *ask(struct lab *lab, struct command c)
{
    struct frame *f = now(lab);
    uint64_t serial = f->status.serial + 1;
    frame_unref(f);
    send(lab, c);
    return await(lab, has_status, &serial, "the answer to a command");
}

static inline void ask_only(struct lab *lab, struct command c)
{
    frame_unref(ask(lab, c));
}

static inline bool is_settled(const struct frame *f, const void *arg)
{
    (void)arg;
    return f->pending == 0;
}

static inline struct frame *settled(struct lab *lab)
{
    return await(lab, is_settled, NULL, "nothing pending");
}

static inline int tensor(const char *name)
{
    int i = model_find_name(session.model, name);
    assert_true(i >= 0);
    return i;
}

static inline struct scheme scheme(const char *text)
{
    struct scheme s;
    struct error error;
    if (!scheme_parse(text, &s, &error))
        fail_msg("%s", error.text);
    return s;
}

static inline struct command set_command(const int *tensors, size_t n, const char *text)
{
    return (struct command){.kind = COMMAND_SET, .tensors = tensors, .tensor_count = n,
                            .scheme = scheme(text)};
}

/* Gives one tensor a scheme and returns the first frame in which it has it. */
static inline struct frame *set(struct lab *lab, const char *name, const char *text)
{
    int t = tensor(name);
    ask_only(lab, set_command(&t, 1, text));
    struct frame *f = settled(lab);
    struct scheme wanted = scheme_for_tensor(session.model, t, scheme(text));
    assert_true(qtensor_has_scheme(f->set->layer[t], &wanted));
    return f;
}

/* Every matrix gets the scheme. */
static inline void set_all(struct lab *lab, const char *text)
{
    int tensors[64];
    size_t n = 0;
    for (size_t i = 0; i < session.model->tensor_count && n < 64; i++)
        if (session.model->tensors[i].stored.rows > 1)
            tensors[n++] = (int)i;
    ask_only(lab, set_command(tensors, n, text));
}

static inline void select_weight(struct lab *lab, int t, size_t row, size_t col)
{
    send(lab, (struct command){.kind = COMMAND_SELECT, .tensors = &t, .tensor_count = 1, .row = row,
                               .col = col});
}

#endif
