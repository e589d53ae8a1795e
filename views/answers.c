/* What a line of input does once it is typed. */
#include "tui.h"

#include "export/tuning.h"
#include "quant/recipe.h"
#include "report/write.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- what an answer does --------------------------------------------------------------------- */

/* "0.8 42": temperature and seed; the seed may be left out. */
static bool answer_sampling(struct tui *t)
{
    char *end, *more;
    double temperature = strtod(t->input.text, &end);
    bool any = end != t->input.text;
    unsigned long long seed = t->frame->text ? t->frame->text->seed : 1;
    unsigned long long given = strtoull(end, &more, 10);
    if (more != end)
        seed = given;
    else
        more = end;
    while (*more == ' ')
        more++;
    if (!any || *more || !(temperature >= 0 && temperature <= 100)) {
        tui_note(t, "'%.40s': expected a temperature from 0 to 100 and a seed, such as 0.8 42",
                 t->input.text);
        return false;
    }
    tui_send(t, &(struct command){.kind = COMMAND_SAMPLING, .temperature = temperature,
                                  .seed = seed});
    return true;
}

static bool answer_columns(struct tui *t)
{
    struct error error;
    bool ok = layers_choose_columns(t, t->input.text, &error);
    tui_note(t, "%s", ok ? "S saves the columns as settings" : error.text);
    return ok;
}

static bool answer_tune(struct tui *t)
{
    struct budget budget;
    struct error error;
    if (!export_budget_parse(t->input.text, &budget, &error)) {
        tui_note(t, "%s", error.text);
        return false;
    }
    snprintf(t->budget, sizeof t->budget, "%.127s", t->input.text); /* budget_parse takes no more */
    tui_send(t, &(struct command){.kind = COMMAND_TUNE, .text = t->input.text});
    return true;
}

/* Not into another line that has been opened meanwhile. */
void answers_follow(struct tui *t)
{
    bool again = t->frame->budgets_refused != t->budgets_refused && t->asking == ASK_NOTHING && !t->help;
    t->budgets_refused = t->frame->budgets_refused;
    if (!again)
        return;
    tui_note(t, "%s", t->frame->status.text);
    ask_begin(t, ASK_TUNE, "");
    input_set(&t->input, t->budget);
}

static bool answer_scheme(struct tui *t)
{
    struct scheme_choice choice;
    struct error error;
    if (!scheme_choice_parse(t->input.text, &choice, &error)) {
        tui_note(t, "%s", error.text);
        return false;
    }
    if (choice.mix)
        tui_send(t, &(struct command){.kind = COMMAND_MIX, .text = t->input.text});
    else
        tui_send_changed(t, (struct command){.kind = COMMAND_SET, .scheme = choice.scheme});
    return true;
}

static bool answer_limits(struct tui *t)
{
    struct advise_limits limits;
    struct error error;
    if (!advise_limits_parse(t->input.text, &limits, &error)) {
        tui_note(t, "%s", error.text);
        return false;
    }
    tui_send(t, &(struct command){.kind = COMMAND_ADVISE_LIMITS, .text = t->input.text});
    return true;
}

/* An existing file is overwritten only after a second Enter. */
static bool may_write(struct tui *t, const char *path)
{
    struct stat st;
    bool there = path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
    if (!there || t->overwriting)
        return true;
    t->overwriting = true;
    tui_note(t, "that file exists: Enter again overwrites it, Esc cancels");
    return false;
}

static bool answer_file(struct tui *t, enum command_kind kind)
{
    char *path = strdup(t->input.text);
    if (path && kind == COMMAND_EXPORT)
        export_split_format(path);
    bool may = may_write(t, path);
    free(path);
    if (!may)
        return false;
    if (*t->input.text)
        tui_send(t, &(struct command){.kind = kind, .text = t->input.text});
    return true;
}

/* Its own file is overwritten without a question. */
static bool answer_save(struct tui *t)
{
    t->overwriting |= strcmp(t->input.text, t->saved_as) == 0;
    if (!answer_file(t, COMMAND_SAVE))
        return false;
    snprintf(t->saved_as, sizeof t->saved_as, "%.255s", t->input.text);
    return true;
}

static bool answer_report(struct tui *t)
{
    const char *path = t->input.text;
    struct error error;
    if (!*path)
        return true;
    if (!report_path_check(path, &error) || !session_check_output(t->session, path, &error)) {
        tui_note(t, "%s", error.text);
        return false;
    }
    return may_write(t, path) && reporting_begin(t, path);
}

/* False keeps the line open, so that it can be corrected. */
static bool answer(struct tui *t)
{
    switch (t->asking) {
    case ASK_SEARCH:
        views[t->view].finder->search(t, t->input.text, false);
        return true;
    case ASK_FILTER:
        find_filter(t, t->input.text);
        return true;
    case ASK_SAVE:
        return answer_save(t);
    case ASK_NAME:
        tui_send(t, &(struct command){.kind = COMMAND_NAME_SNAPSHOT, .index = t->edited, .text = t->input.text});
        return true;
    case ASK_NOTE:
        tui_send(t, &(struct command){.kind = COMMAND_ANNOTATE_SNAPSHOT, .index = t->edited, .text = t->input.text});
        return true;
    case ASK_PROMPT:
        tui_send(t, &(struct command){.kind = COMMAND_PROMPT, .text = t->input.text});
        return true;
    case ASK_SAMPLING:
        return answer_sampling(t);
    case ASK_WRITE:
        return answer_file(t, COMMAND_WRITE);
    case ASK_COLUMNS:
        return answer_columns(t);
    case ASK_EXPORT:
        return answer_file(t, COMMAND_EXPORT);
    case ASK_REPORT:
        return answer_report(t);
    case ASK_STUDY:
        return exchange_begin(t, t->input.text);
    case ASK_OPEN:
        if (*t->input.text && open_begin(t, t->input.text))
            leave_begin(t);
        return !*t->input.text;
    case ASK_SCHEME:
        return answer_scheme(t);
    case ASK_LIMITS:
        return answer_limits(t);
    case ASK_TUNE:
        return answer_tune(t);
    case ASK_HELP: /* as it was typed */
        return true;
    case ASK_COMMAND: /* command.c */
    case ASK_STOP: /* stop.c */
    case ASK_QUIT: /* quit.c */
    case ASK_NOTHING:
        break;
    }
    return true;
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void close_line(struct tui *t)
{
    t->asking = ASK_NOTHING;
}

void answers_enter(struct tui *t)
{
    if (answer(t))
        close_line(t);
}

/* What acts as one types. */
static void typed(struct tui *t)
{
    if (t->asking == ASK_HELP)
        snprintf(t->help_search, sizeof t->help_search, "%.60s", t->input.text);
    else
        find_typed(t);
}

void answers_key(struct tui *t, unsigned key, bool is_code)
{
    bool enter = (!is_code && (key == '\n' || key == '\r')) || (is_code && key == KEY_ENTER);
    *t->note = 0;
    if (!is_code && key == 27) {
        find_back(t);
        if (t->asking == ASK_HELP)
            *t->help_search = 0;
        close_line(t);
    } else if (enter) {
        answers_enter(t);
    } else if (t->asking == ASK_SCHEME && is_code && editor_steps(t, key) != 0) {
        editor_move(t, editor_steps(t, key));
    } else if (t->asking == ASK_OPEN && is_code && (key == KEY_UP || key == KEY_DOWN)) {
        open_move(t, key == KEY_UP ? -1 : 1);
    } else {
        t->overwriting = false;
        if (input_key(&t->input, key, is_code))
            typed(t);
    }
}
