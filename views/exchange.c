/* Another text to measure on: asked for, read and cut into tokens on a thread of its own, then sent to the lab. */
#include "tui.h"

#include "background.h"
#include "texts.h"

#include <stdlib.h>
#include <string.h>

struct exchange {
    const struct session *session;
    struct background *thread;
    char *option; /* as --text takes it; null: the default */
    struct text_choice choice;
    struct tokens tokens;
    bool ok;
    struct error error;
};

static void read_text_of(void *arg)
{
    struct exchange *x = arg;
    x->ok = text_choose(&x->choice, x->session, x->option, USE_QUALITY, &x->error) &&
            text_choice_read(x->session, &x->choice, &x->tokens, &x->error);
}

void exchange_end(struct tui *t)
{
    struct exchange *x = t->exchange;
    if (!x)
        return;
    background_end(x->thread);
    text_choice_free(&x->choice);
    free(x->tokens.ids);
    free(x->option);
    free(x);
    t->exchange = NULL;
}

static bool is_default(const char *text)
{
    return !*text || strcmp(text, "default") == 0;
}

bool exchange_begin(struct tui *t, const char *text)
{
    struct error error = {"not enough memory"};
    if (t->exchange) {
        tui_note(t, "another text is still being read");
        return false;
    }
    if (strcmp(text, "-") == 0) {
        tui_note(t, "standard input is the terminal's: expected a file, or default");
        return false;
    }
    struct exchange *x = calloc(1, sizeof *x);
    bool named = !is_default(text);
    if (x) {
        x->session = t->session;
        x->option = named ? strdup(text) : NULL;
        x->thread = !named || x->option ? background_start(read_text_of, x, &error) : NULL;
    }
    if (x && x->thread) {
        t->exchange = x;
        tui_note(t, "reading %s", named ? text : "the default text");
        return true;
    }
    if (x)
        free(x->option);
    free(x);
    tui_note(t, "%s", error.text);
    return false;
}

/* A default text is measured on in part, as from the beginning; of one that a person named all counts. */
static void use(struct tui *t, const struct exchange *x)
{
    struct command c = {.kind = COMMAND_STUDY, .text = x->choice.name, .ids = x->tokens.ids, .id_count = x->tokens.count,
                        .row = x->choice.is_default ? DEFAULT_TOKENS : 0};
    if (x->choice.path && x->tokens.count == 0)
        tui_note(t, "%s: the text has no tokens; expected some", x->choice.name);
    else
        tui_send(t, &c);
}

void exchange_follow(struct tui *t)
{
    struct exchange *x = t->exchange;
    if (!x || !background_is_done(x->thread))
        return;
    *t->note = 0;
    if (x->ok)
        use(t, x);
    else
        tui_note(t, "%s", x->error.text);
    exchange_end(t);
}
