/* tui.h - the terminal program's state, shared by its screens. */
#ifndef QTOP_TUI_H
#define QTOP_TUI_H

#include "export/export.h"
#include "lab/lab.h"
#include "quant/mixes.h"
#include "keys.h"
#include "layout.h"
#include "settings.h"
#include "widgets.h"

/* A row of the Layers table. */
struct row {
    int tensor;     /* -1: several, of a block; kv_index: the KV cache */
    int block;      /* -1: outside the blocks */
    enum role role; /* of several: the role of all experts of a block, or ROLE_NONE for its linear layers */
};

enum sort_column { SORT_NONE, SORT_NAME, SORT_SIZE, SORT_TIME, SORT_SQNR, SORT_SENSITIVITY, SORT_COLUMNS };

/* What the cursor of Jobs is on, as others come and go. */
struct jobs_cursor {
    bool in_log;    /* an entry of the log, else a job */
    int job_row;    /* of the table of jobs */
    uint64_t entry; /* its number; above the newest: on that */
};

/* Where Layers was before a search or a filter. */
struct rows_kept {
    size_t cursor, top;
    char filter[64], search[64];
    bool *folded;
    role_set *unfolded;
};

/* What a line of input at the bottom is for. */
enum asking { ASK_NOTHING, ASK_SEARCH, ASK_FILTER, ASK_PROMPT, ASK_SAMPLING, ASK_WRITE, ASK_SCHEME, ASK_LIMITS, ASK_TUNE,
              ASK_EXPORT, ASK_REPORT, ASK_COLUMNS, ASK_COMMAND, ASK_HELP, ASK_NAME, ASK_NOTE, ASK_SAVE, ASK_STOP,
              ASK_STUDY, ASK_OPEN, ASK_QUIT };

/* A line of the scheme editor: a choice, or why there is none. */
struct choice {
    bool heading;
    struct scheme_choice choice;
    char text[256];
    char cost[16];               /* bytes, "" for a heading */
    char bits[16];               /* a weight */
    char exports[EXPORT_NAMES];  /* formats that hold it */
};

enum { EDITOR_CHOICES = 144 };

enum { COMMANDS_KEPT = 32, COMMAND_MATCHES = 160, COMMAND_ROWS = 12 /* shown at most */ };

/* A line that may be meant by what was typed in the command line. */
struct match {
    char line[INPUT_TEXT];
    char what[160]; /* it does, or is */
};

struct command_line {
    char typed[INPUT_TEXT];                 /* by the person: what matches are for */
    struct match matches[COMMAND_MATCHES];
    size_t match_count;
    size_t argument;                        /* where in a match the word begins that Tab puts in */
    size_t chosen;                          /* by Tab; match_count: none */
    bool schemes_listed;                    /* in choices, for the layers that are chosen */
    char history[COMMANDS_KEPT][INPUT_TEXT]; /* of this run, the newest last */
    size_t kept;
    size_t at; /* of the history; kept: the line that is new */
};

/* A key of the footer, where it was drawn. */
struct footer_key {
    int begin, end; /* columns */
    enum action action;
};

enum { FOOTER_KEYS = 40 };

struct tui {
    struct lab *lab;
    const struct session *session;
    const struct options *options;
    const char *model_name;     /* shown in the title */
    const char *reference_name; /* shown in the title; empty without a reference */
    struct frame *frame;        /* the newest; never null while drawing */
    enum view_id view;
    bool quit;
    bool leaving;             /* a person wants to quit, and was perhaps asked */
    bool interrupted;         /* by Ctrl-C: the program ends as SIGINT would end it */
    char question[192];       /* of ASK_QUIT and ASK_STOP */
    enum command_kind stopping; /* what a yes to ASK_STOP stops */
    char budget[128];         /* that a search was last asked for; "": none was */
    uint64_t budgets_refused; /* as the frame before had it */
    uint64_t commands_sent;   /* to the lab */
    bool help;      /* the help screen is open */
    bool log_scale; /* of the histograms' counts */
    bool redraw;    /* the whole screen, not only what changed */
    struct settings settings;
    bool readonly; /* keys that change, keep or write do nothing */
    int help_top;  /* first line shown */
    char help_search[64]; /* the help shows only keys with it; "": all */
    bool defining; /* the panel with a definition is open */
    size_t figure; /* of those of the screen, whose it is */
    int figure_top; /* first line of it shown */

    /* Layers */
    struct row *rows;
    size_t row_count;
    size_t cursor;  /* row under the cursor */
    size_t top;     /* first row shown */
    size_t page;    /* rows on the screen, as last drawn */
    bool *tagged;   /* one a tensor and the KV cache's */
    bool one_layer; /* the screen shows one layer: that is changed, whatever is tagged */
    bool *folded;   /* one a block */
    role_set *unfolded; /* one a block: roles whose experts have rows of their own */
    char filter[64];
    char search[64];
    struct rows_kept rows_kept;
    enum sort_column sort;
    bool sort_reversed; /* against the order that a column has first */
    int column_begin[TABLE_COLUMNS + 1]; /* where columns were drawn, for the mouse */
    int mouse_col;      /* of the click that a screen is told of */
    unsigned hidden; /* columns of the table, a bit each */
    unsigned hidden_kept; /* when their list was opened */
    int column;           /* of the list, under the cursor */
    int table_row;   /* screen row of the first table row, for the mouse */

    /* Error */
    size_t weight_row;
    size_t weight_col;

    /* Counters */
    size_t event;         /* line under the cursor */
    size_t event_top;     /* first line shown */
    size_t event_page;    /* lines shown */
    size_t events_chosen; /* as last drawn */
    bool events_unfolded; /* those that do not count have lines of their own */
    char event_left[EVENT_NAME]; /* counted until its key was pressed: the cursor goes where it then stands; "": none */
    int event_row;        /* screen row of the first line, for the mouse */
    char event_filter[64];
    char event_search[64];
    size_t event_kept; /* as rows_kept */
    char event_filter_kept[64];
    char event_search_kept[64];

    /* Machine */
    struct machine *machine; /* null until it was looked at */
    int machine_top;         /* first line shown */
    int machine_last;        /* largest machine_top, as last drawn */
    int machine_page;        /* lines that a page moves */

    /* Compare */
    size_t snapshot;     /* under the cursor */
    char base;           /* label of what others are compared with; another one's: the first */
    char saved_as[256];  /* the session's file; "": it has none */
    char edited;         /* label of the snapshot that a line of input is about */
    size_t snapshot_top; /* first one shown */
    int snapshot_row;    /* its screen row, for the mouse */
    int snapshots_end;   /* screen row after the last one shown */
    bool differences;    /* below the table: the layers that differ instead of the scatter plot */
    bool by_speed;       /* x axis of the scatter plot: decode speed instead of size */

    /* Advise */
    size_t advised;         /* row under the cursor */
    bool advise_moved;      /* by the person; else it is on the row to take */
    size_t advise_top;      /* first one shown */
    int advise_row;         /* its screen row, for the mouse */
    int advise_end;         /* screen row after the last one shown */
    enum advise_goal goal;  /* what counts most */

    /* Against */
    size_t against_row;        /* under the cursor */
    size_t against_kept;   /* as it was before a search */
    size_t against_top;        /* first one shown */
    size_t against_page;       /* lines shown */
    size_t against_difference; /* first difference shown */
    unsigned against_order;    /* of layers */
    bool against_lists;        /* differences of metadata and tokenizers instead of layers */
    int against_line;          /* screen row of the first layer, for the mouse */
    int against_end;           /* screen row after the last one shown */

    /* Map */
    unsigned map_shows; /* which quantity */
    bool watches_outputs; /* the lab compares the output of every layer for it */

    /* Jobs */
    struct jobs_cursor jobs_at, jobs_kept; /* now, and before a search */
    size_t jobs_top;    /* first line shown */
    int jobs_row;       /* screen row of that line, for the mouse */
    int jobs_title_row; /* screen row of the log's title, if it stands below that; else -1 */
    int jobs_end;       /* screen row after the last line shown */
    int stopped;        /* index of the command that a yes to ASK_STOP sends */
    double key_at;  /* clock seconds of the last key */
    bool dozing;    /* the lab was told to rest, since no key came for a while */

    /* Another model */
    struct recent *recent;   /* files opened last, while one is asked for; or null */
    int recent_at;           /* of them, the one chosen; -1: none */
    char *open_path;         /* that a person wants to open, and was perhaps asked; or null */
    struct opening *opening; /* while it is opened; else null */
    struct opened *next;     /* is open, and takes this one's place; or null */

    /* The text that quality is measured on */
    struct reading *reading;   /* while it is shown over the screen; else null */
    size_t reading_top;        /* first line shown */
    int reading_page;          /* lines shown */
    struct exchange *exchange; /* while another one is read; else null */

    struct reporting *reporting; /* while a report is written; else null */

    /* Input */
    enum asking asking;
    bool overwriting; /* Enter was pressed once on a file that exists */
    struct line_input input;
    struct choice choices[EDITOR_CHOICES];
    size_t choice_count;
    size_t choice; /* under the cursor */
    int choice_page; /* choices on the screen, as last drawn */
    struct command_line command;

    char note[256];              /* the view's own message, shown until the next key */
    uint64_t status_seen;        /* serial of the lab's message last shown */
    double status_until;         /* clock seconds until which it is shown */
    int status_tensor;           /* that was selected when it came; -1: none */
    int tab_col[VIEW_COUNT + 1]; /* where tabs were drawn, for the mouse */
    int tab_row;
    int footer_row; /* -1: none */
    struct footer_key footer_keys[FOOTER_KEYS];
    size_t footer_count;
    bool job_shown; /* right of the tabs */
};

/* What the keys for searching and filtering do on a screen. */
struct finder {
    void (*search)(struct tui *tui, const char *text, bool next); /* text null: repeat the last search */
    void (*filter)(struct tui *tui, const char *text); /* null: nothing is filtered here */
    const char *(*filtered)(const struct tui *tui); /* the filter's text; null likewise */
    void (*keep)(struct tui *tui);                  /* what `back` goes back to; null: nothing happens as one types */
    void (*back)(struct tui *tui);
    size_t (*hits)(const struct tui *tui, size_t *all, const char **what); /* of the filter; may be null */
    const char *whole; /* where nothing is filtered: what is shown */
};

/* Which layers the keys that change layers are for on a screen: those that it shows. */
enum edited {
    EDITS_NONE,  /* no layer's scheme is shown */
    EDITS_SHOWN, /* the selected layer's alone; no tags */
    EDITS_ROWS   /* the tagged rows, or the one under the cursor */
};

/* A screen: a row of the table in views.c. */
struct view {
    enum action action; /* the key that opens it */
    const char *key;
    const char *name;
    void (*draw)(struct tui *tui, struct rect area);
    bool (*act)(struct tui *tui, enum action action); /* false: not meant for this screen */
    const struct finder *finder;
    void (*click)(struct tui *tui, int row); /* on a screen row; null: nothing to click on */
    enum edited edited;
};

/* views.c */
extern const struct view views[VIEW_COUNT];

/* Whether a screen has anything to show in this run. */
bool view_is_there(const struct tui *tui, enum view_id view);

/* rows.c: the rows of the Layers table */
bool rows_begin(struct tui *tui, struct error *error);
void rows_end(struct tui *tui);

/* Rebuilds them from folding, filter, sort column and frame; the cursor stays on its row. */
void rows_update(struct tui *tui);

/* Remembers cursor, folding, filter and search, and goes back to them. */
void rows_keep(struct tui *tui);
void rows_back(struct tui *tui);

/* The tensor under the cursor, of a block its first linear layer; -1 without rows. */
int rows_current_tensor(const struct tui *tui);

/* Tensors that a change applies to: the tagged ones, else the current row's; on a screen of one layer that one.
 * Returns how many. */
size_t rows_chosen(const struct tui *tui, int *tensors);

/* Whether the filter lets a tensor through. */
bool rows_shows(const struct tui *tui, int tensor);

/* The tensors of a row are `begin` to the one before the end, which is returned, as far as rows_covers says. */
int rows_range(const struct tui *tui, const struct row *row, int *begin);
bool rows_covers(const struct tui *tui, const struct row *row, int tensor);

/* Folds or unfolds what a row of several tensors stands for, or what it is a part of. */
void rows_fold(struct tui *tui, const struct row *row, bool folded);
bool rows_is_folded(const struct tui *tui, const struct row *row);

/* Bytes of the KV cache in a datatype, all its positions. */
size_t rows_kv_bytes(const struct tui *tui, enum dtype kv);

/* Bytes of a tensor in memory, or in the file that the set in use was chosen for. */
size_t rows_size(const struct tui *tui, int tensor);

/* tui_commands.c: what screens tell the lab and the person */
void tui_send(struct tui *tui, const struct command *command);
void tui_send_changed(struct tui *tui, struct command command); /* fills in the chosen tensors */
void tui_select(struct tui *tui); /* tells the lab which tensor and weight are selected */
void tui_note(struct tui *tui, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ask.c: the line of input */
void ask_begin(struct tui *tui, enum asking what, const char *text);
void ask_draw(struct tui *tui, const struct layout *layout);

/* finding.c: a search or a filter begins; what was typed is applied; and given up. Then the line about the filter. */
void find_begin(struct tui *tui);
void find_typed(struct tui *tui);
void find_back(struct tui *tui);
bool find_is_on(const struct tui *tui);

/* The screen's filter, "" without one; sets it, or says that there is none. */
const char *find_filtered(const struct tui *tui);
void find_filter(struct tui *tui, const char *text);
void find_draw(const struct tui *tui, int row, int cols);

/* editor.c: the scheme editor, a list above the line of input */
void editor_open(struct tui *tui);
int editor_steps(const struct tui *tui, unsigned key); /* choices that a curses key moves by; 0: another key */
void editor_move(struct tui *tui, int steps);           /* negative: up */
void editor_draw(struct tui *tui, struct rect area);

/* editor_list.c: every scheme and mix that n tensors can be given, into tui->choices */
void editor_list(struct tui *tui, const int *tensors, size_t n);

/* columns.c: the list of the columns of Layers, above the line of input */
void columns_open(struct tui *tui);
void columns_key(struct tui *tui, unsigned key, bool is_code);
void columns_draw(struct tui *tui, struct rect area);

/* layers.c: keys and mouse of the Layers screen */
bool layers_act(struct tui *tui, enum action action);
extern const struct finder layers_finder;
void layers_click(struct tui *tui, int row);
void layers_go_to(struct tui *tui, int tensor); /* moves the cursor there, and unfolds what hides it */

/* layers_table.c: the table */
void layers_draw(struct tui *tui, struct rect area);

/* The titles of the columns shown, separated by blanks. */
void layers_columns(const struct tui *tui, char *out, size_t size);

/* Shows the columns with these titles and the layers' names; an unknown title is an error and changes nothing. */
bool layers_choose_columns(struct tui *tui, const char *titles, struct error *error);

/* The title of a column of the table, null after the last one, and whether a person wants to see it. */
const char *layers_column_title(int column);
bool layers_column_shown(const struct tui *tui, int column);
bool layers_column_toggle(struct tui *tui, int column); /* false: it is always shown */

/* The title of the column that sorts, "" in the model's order; an unknown one changes nothing. */
const char *layers_sort_title(const struct tui *tui);
void layers_sort_by_title(struct tui *tui, const char *title);

/* The column of the table that stands at a screen column, -1: none; what sorts by it, SORT_NONE: nothing does. */
int layers_column_at(const struct tui *tui, int col);
enum sort_column layers_sort_of(int column);

/* Whether the first row of the sorted table has the least. */
bool rows_ascend(const struct tui *tui);

/* The other screens */
void error_draw(struct tui *tui, struct rect area);
bool error_act(struct tui *tui, enum action action);
void roofline_draw(struct tui *tui, struct rect area);
bool roofline_act(struct tui *tui, enum action action);
void counters_draw(struct tui *tui, struct rect area);
bool counters_act(struct tui *tui, enum action action);
void counters_click(struct tui *tui, int row);
extern const struct finder counters_finder;
void machine_draw(struct tui *tui, struct rect area);
bool machine_act(struct tui *tui, enum action action);
void compare_draw(struct tui *tui, struct rect area);
bool compare_act(struct tui *tui, enum action action);
void compare_click(struct tui *tui, int row);
void advise_draw(struct tui *tui, struct rect area);
bool advise_act(struct tui *tui, enum action action);
void advise_click(struct tui *tui, int row);
void jobs_draw(struct tui *tui, struct rect area);
bool jobs_act(struct tui *tui, enum action action);
void jobs_click(struct tui *tui, int row);
extern const struct finder jobs_finder;
void against_draw(struct tui *tui, struct rect area);
bool against_act(struct tui *tui, enum action action);
extern const struct finder against_finder;
void against_click(struct tui *tui, int row);
void map_draw(struct tui *tui, struct rect area);
/* Has the lab measure what is shown only while it is. */
void map_follow(struct tui *tui);
bool map_act(struct tui *tui, enum action action);
void generation_draw(struct tui *tui, struct rect area);
bool generation_act(struct tui *tui, enum action action);
void generation_tail(struct tui *tui, int row, int cols); /* the text's last line, for every screen */

/* header.c: what every screen has above and below it */
void header_draw(struct tui *tui, const struct layout *layout);
void footer_draw(struct tui *tui, const struct layout *layout);

/* footer.c: the keys at the bottom, and the one that was clicked on */
void footer_draw_keys(struct tui *tui, int row);
enum action footer_action(const struct tui *tui, int row, int col);

/* help.c: the first row of the screen is its title */
void help_draw(struct tui *tui, struct rect area);

/* definition.c: what a column or a number means */
void definition_open(struct tui *tui);
void definition_key(struct tui *tui, enum action action, unsigned key, bool is_code);
void definition_draw(struct tui *tui, struct rect area);

/* quit.c: a person wants to leave; a second time leaves at once. Where something would be lost they are asked, as soon
 * as a frame knows what was sent before (quit_decide, after each frame). */
void quit_begin(struct tui *tui, bool interrupted);
void leave_begin(struct tui *tui); /* the same for another model (open.c) */
void quit_decide(struct tui *tui);
void quit_answer(struct tui *tui, unsigned key, bool is_code);

/* stop.c: the question that comes before a job is stopped */
void stop_begin(struct tui *tui, enum command_kind kind);
void stop_begin_job(struct tui *tui, const struct job_frame *job);
void stop_begin_snapshot(struct tui *tui, const struct snapshot *snapshot); /* its deletion */
void stop_answer(struct tui *tui, unsigned key, bool is_code);

/* stop.c, too: asks for what advise keeps to; for the budget of a search (budget "": suggests the last one), or for the
 * file of an export, whose name has the scheme in it, or whether to stop, where one runs. */
void ask_limits(struct tui *tui);
void ask_tune(struct tui *tui, const char *budget);
void ask_export(struct tui *tui, const char *scheme);

/* suggest.c: a name for a file made from the model, with a scheme in it (null: none) and an ending. */
enum { SUGGESTION = 256 };
const char *suggest_file(const struct tui *tui, const char *scheme, const char *ending, char out[SUGGESTION]);

/* reading.c: the text that quality is measured on, over the whole screen. A key scrolls, or closes it: false where it then
 * means what it means anywhere. */
void reading_begin(struct tui *tui);
bool reading_key(struct tui *tui, enum action action);
void reading_draw(struct tui *tui, int rows, int cols);
void reading_end(struct tui *tui);

/* exchange.c: another such text, as --text takes it ("" and "default": the default one). Begins to read it; false says why
 * not. As soon as it is read, exchange_follow sends it to the lab, or says what is wrong with it. */
bool exchange_begin(struct tui *tui, const char *text);
void exchange_follow(struct tui *tui);
void exchange_end(struct tui *tui);

/* reporting.c: a report of the frame there is; false: why not has been said. As soon as it is written, or could not be,
 * reporting_follow says so. */
bool reporting_begin(struct tui *tui, const char *path);
void reporting_follow(struct tui *tui);
void reporting_end(struct tui *tui);

/* open.c: another model. It is asked for, its file opened on a thread while this one goes on, and tui->next is it as soon as
 * it is there; what cannot be opened is one line. */
void open_ask(struct tui *tui);
void open_move(struct tui *tui, int by);               /* in the list of files opened last */
void open_draw(struct tui *tui, struct rect area);
bool open_begin(struct tui *tui, const char *path);    /* makes it tui->open_path; whether to leave this one comes next */
void open_start(struct tui *tui);                      /* that path, on a thread */
bool open_cancel(struct tui *tui);                     /* false: none is being opened */
void open_drop(struct tui *tui);                       /* this model stays after all */
bool open_follow(struct tui *tui);                     /* true: ask again whether to leave this one */
void open_words(const struct tui *tui, char *out, size_t size); /* what is being opened; "": nothing */
void open_remember(struct tui *tui);                   /* among the files opened last */
void open_end(struct tui *tui);

/* answers.c, after each frame: a budget that cannot be met comes back into its line, to be corrected. */
void answers_follow(struct tui *tui);

/* answers.c: a key while a line of input is open; Enter does what it asks for */
void answers_key(struct tui *tui, unsigned key, bool is_code);
void answers_enter(struct tui *tui); /* the line stays open where it must be corrected, or confirmed */

/* command.c: the command line */
void command_open(struct tui *tui);
void command_key(struct tui *tui, unsigned key, bool is_code);
void command_draw(const struct tui *tui, struct rect area);

/* complete.c: what may be meant by a line, into tui->command */
void complete_line(struct tui *tui, const char *line);

/* tui_keys.c: does what a key is for, or says why it does nothing here */
void tui_act(struct tui *tui, enum action action);

/* tui_input.c: a key (is_code: a curses key code) or the mouse */
void tui_key(struct tui *tui, wint_t key, bool is_code);


/* terminal.c: starting and restoring the terminal, signals */
bool terminal_begin(bool ascii, bool color, bool mouse, struct error *error);
bool terminal_is_begun(void);
void terminal_end(void);
bool terminal_suspend(void); /* if that was asked for; true when the program resumes and must redraw all */

#endif
