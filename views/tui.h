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

/* What a line of input at the bottom is for. */
enum asking { ASK_NOTHING, ASK_SEARCH, ASK_FILTER, ASK_PROMPT, ASK_SAMPLING, ASK_WRITE, ASK_SCHEME, ASK_TUNE,
              ASK_EXPORT, ASK_COLUMNS, ASK_STOP, ASK_QUIT };

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

struct tui {
    struct lab *lab;
    const struct session *session;
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
    enum sort_column sort;
    unsigned hidden; /* columns of the table, a bit each */
    int table_row;   /* screen row of the first table row, for the mouse */

    /* Error */
    size_t weight_row;
    size_t weight_col;

    /* Counters */
    size_t event;         /* line under the cursor */
    size_t event_top;     /* first line shown */
    size_t event_page;    /* lines shown */
    size_t events_chosen; /* as last drawn */
    char event_left[EVENT_NAME]; /* counted until its key was pressed: the cursor goes where it then stands; "": none */
    int event_row;        /* screen row of the first line, for the mouse */
    char event_filter[64];
    char event_search[64];

    /* Machine */
    struct machine *machine; /* null until it was looked at */
    int machine_top;         /* first line shown */
    int machine_last;        /* largest machine_top, as last drawn */
    int machine_page;        /* lines that a page moves */

    /* Compare */
    size_t snapshot;     /* under the cursor */
    size_t base;         /* what others are compared with */
    size_t snapshot_top; /* first one shown */
    int snapshot_row;    /* its screen row, for the mouse */
    int snapshots_end;   /* screen row after the last one shown */
    bool differences;    /* below the table: the layers that differ instead of the scatter plot */
    bool by_speed;       /* x axis of the scatter plot: decode speed instead of size */

    /* Input */
    enum asking asking;
    bool overwriting; /* Enter was pressed once on a file that exists */
    struct line_input input;
    struct choice choices[EDITOR_CHOICES];
    size_t choice_count;
    size_t choice; /* under the cursor */
    int choice_page; /* choices on the screen, as last drawn */

    char note[256];              /* the view's own message, shown until the next key */
    uint64_t status_seen;        /* serial of the lab's message last shown */
    double status_until;         /* clock seconds until which it is shown */
    int status_tensor;           /* that was selected when it came; -1: none */
    int tab_col[VIEW_COUNT + 1]; /* where tabs were drawn, for the mouse */
    int tab_row;
    bool job_shown; /* right of the tabs */
};

/* What the keys for searching and filtering do on a screen. */
struct finder {
    void (*search)(struct tui *tui, const char *text, bool next); /* text null: repeat the last search */
    void (*filter)(struct tui *tui, const char *text);
    const char *(*filtered)(const struct tui *tui); /* the filter's text */
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

/* rows.c: the rows of the Layers table */
bool rows_begin(struct tui *tui, struct error *error);
void rows_end(struct tui *tui);

/* Rebuilds them from folding, filter, sort column and frame; the cursor stays on its row. */
void rows_update(struct tui *tui);

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

/* editor.c: the scheme editor, a list above the line of input */
void editor_open(struct tui *tui);
int editor_steps(const struct tui *tui, unsigned key); /* choices that a curses key moves by; 0: another key */
void editor_move(struct tui *tui, int steps);           /* negative: up */
void editor_draw(struct tui *tui, struct rect area);

/* editor_list.c: every scheme and mix that n tensors can be given, into tui->choices */
void editor_list(struct tui *tui, const int *tensors, size_t n);

/* layers.c: keys and mouse of the Layers screen */
bool layers_act(struct tui *tui, enum action action);
extern const struct finder layers_finder;
void layers_click(struct tui *tui, int row);

/* layers_table.c: the table */
void layers_draw(struct tui *tui, struct rect area);

/* The titles of the columns shown, separated by blanks. */
void layers_columns(const struct tui *tui, char *out, size_t size);

/* Shows the columns with these titles and the layers' names; an unknown title is an error and changes nothing. */
bool layers_choose_columns(struct tui *tui, const char *titles, struct error *error);

/* The title of the column that sorts, "" in the model's order; an unknown one changes nothing. */
const char *layers_sort_title(const struct tui *tui);
void layers_sort_by_title(struct tui *tui, const char *title);

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
void generation_draw(struct tui *tui, struct rect area);
bool generation_act(struct tui *tui, enum action action);
void generation_tail(struct tui *tui, int row, int cols); /* the text's last line, for every screen */

/* header.c: what every screen has above and below it */
void header_draw(struct tui *tui, const struct layout *layout);
void footer_draw(struct tui *tui, const struct layout *layout);

/* help.c */
void help_draw(struct tui *tui, struct rect area);

/* quit.c: a person wants to leave; a second time leaves at once. Where something would be lost they are asked, as soon
 * as a frame knows what was sent before (quit_decide, after each frame). */
void quit_begin(struct tui *tui, bool interrupted);
void quit_decide(struct tui *tui);
void quit_answer(struct tui *tui, unsigned key, bool is_code);

/* stop.c: the question that comes before a job is stopped */
void stop_begin(struct tui *tui, enum command_kind kind);
void stop_answer(struct tui *tui, unsigned key, bool is_code);

/* answers.c, after each frame: a budget that cannot be met comes back into its line, to be corrected. */
void answers_follow(struct tui *tui);

/* answers.c: a key while a line of input is open; Enter does what it asks for */
void answers_key(struct tui *tui, unsigned key, bool is_code);

/* tui_keys.c: a key (is_code: a curses key code) or the mouse */
void tui_key(struct tui *tui, wint_t key, bool is_code);

/* terminal.c: starting and restoring the terminal, signals */
bool terminal_begin(bool ascii, bool color, bool mouse, struct error *error);
void terminal_end(void);
bool terminal_suspend(void); /* if that was asked for; true when the program resumes and must redraw all */

#endif
