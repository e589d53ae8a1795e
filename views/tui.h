/* tui.h - the terminal program's state, shared by its screens. */
#ifndef QTOP_TUI_H
#define QTOP_TUI_H

#include "lab/lab.h"
#include "keys.h"
#include "layout.h"
#include "settings.h"
#include "widgets.h"

/* A row of the Layers table. */
struct row {
    int tensor; /* -1: a block; kv_index: the KV cache */
    int block;  /* -1: outside the blocks */
};

enum sort_column { SORT_NONE, SORT_NAME, SORT_SIZE, SORT_TIME, SORT_SQNR, SORT_ALONE, SORT_COLUMNS };

/* What a line of input at the bottom is for. */
enum asking { ASK_NOTHING, ASK_SEARCH, ASK_FILTER, ASK_PROMPT, ASK_SAMPLING, ASK_WRITE, ASK_SCHEME, ASK_TUNE,
              ASK_EXPORT, ASK_COLUMNS };

/* A line of the scheme editor: a choice, or why there is none. */
struct choice {
    bool heading;
    struct scheme scheme;
    char text[160];
    char cost[16]; /* bytes, "" for a heading */
};

enum { EDITOR_CHOICES = 48 };

struct tui {
    struct lab *lab;
    const struct session *session;
    const char *model_name; /* shown in the title ... */
    const char *reference_name; /* ... with that of the reference; empty without one */
    struct frame *frame;    /* the newest; never null while drawing */
    enum view_id view;
    bool quit, help, log_scale, redraw;
    struct settings settings;
    bool readonly; /* keys that change, keep or write do nothing */
    int help_top;

    /* Layers */
    struct row *rows;
    size_t row_count;
    size_t cursor, top, page; /* page: rows of the table on the screen, as last drawn */
    bool *tagged;    /* one a tensor and the KV cache's */
    bool *folded;    /* one a block */
    char filter[64], search[64];
    enum sort_column sort;
    unsigned hidden; /* columns of the table, a bit each */
    int table_row;   /* screen row of the first table row, for the mouse */

    /* Error */
    size_t weight_row, weight_col;

    /* Counters */
    size_t event, event_top, event_page; /* the line under the cursor, the first one shown, lines shown */
    size_t events_chosen; /* as last drawn */
    int event_row;   /* screen row of the first line, for the mouse */
    char event_filter[64], event_search[64];

    /* Machine */
    struct machine *machine; /* once it was looked at */
    int machine_top, machine_last, machine_page;

    /* Compare */
    size_t snapshot, base;      /* under the cursor; what others are compared with */
    size_t snapshot_top;        /* the first one shown, ... */
    int snapshot_row, snapshots_end; /* ... and where, for the mouse: rows of the screen */
    bool differences, by_speed; /* what stands below the table; the x axis of the scatter */

    /* Input */
    enum asking asking;
    bool untouched;             /* what stands there is an offer: typing begins anew */
    bool overwriting;           /* Enter was pressed once on a file that is there */
    struct line_input input;
    struct choice choices[EDITOR_CHOICES];
    size_t choice_count, choice;

    char note[256];          /* the view's own message, shown until the next key */
    uint64_t status_seen;
    double status_until;     /* the lab's message is shown until then */
    int tab_col[VIEW_COUNT + 1]; /* where tabs were drawn, for the mouse */
    int tab_row;
    bool job_shown; /* behind the tabs */
};

/* What the keys for searching and filtering do on a screen. */
struct finder {
    void (*search)(struct tui *tui, const char *text, bool next); /* text null: the last one again */
    void (*filter)(struct tui *tui, const char *text);
    const char *(*filtered)(const struct tui *tui);               /* the filter's text */
};

/* A screen: a row of the table in tui.c. */
struct view {
    enum action action; /* the key that opens it */
    const char *key, *name;
    void (*draw)(struct tui *tui, struct rect area);
    bool (*act)(struct tui *tui, enum action action); /* false: not meant for this screen */
    const struct finder *finder;
};

extern const struct view views[VIEW_COUNT];

/* layers.c */
bool layers_begin(struct tui *tui, struct error *error);
void layers_end(struct tui *tui);
void layers_update(struct tui *tui); /* rows from folding, filter, sorting and the frame */
void layers_draw(struct tui *tui, struct rect area);
bool layers_act(struct tui *tui, enum action action); /* layers_draw is in layers_table.c */
extern const struct finder layers_finder;
void layers_click(struct tui *tui, int row);
int layers_current_tensor(const struct tui *tui); /* a block's first linear layer */

/* Whether a tensor is one of a block's linear layers. */
bool layers_is_linear(const struct tui *tui, int tensor, int block);

/* Bytes of the KV cache in a datatype, all its positions. */
size_t layers_kv_bytes(const struct tui *tui, enum dtype kv);

/* The titles of the columns shown, between blanks; shows those and the layers' names. False, and nothing changes, where
 * one of them is no column. And the title of the column that sorts, "" in the model's order. */
void layers_columns(const struct tui *tui, char *out, size_t size);
bool layers_choose_columns(struct tui *tui, const char *titles, struct error *error);
const char *layers_sort_title(const struct tui *tui);
void layers_sort_by_title(struct tui *tui, const char *title);

/* Tensors that a change applies to: the tagged ones, else the current row's. Returns how many. */
size_t layers_chosen(const struct tui *tui, int *tensors);

/* error.c, roofline.c, counters.c, compare.c, generation.c, machine.c: the other screens */
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

/* ask.c: lines of input and the scheme editor */
void ask_begin(struct tui *tui, enum asking what, const char *text);
void ask_key(struct tui *tui, unsigned key, bool is_code);
void ask_draw(struct tui *tui, const struct layout *layout);
void editor_open(struct tui *tui);
void editor_draw(struct tui *tui, struct rect area);

/* tui.c */
void tui_send(struct tui *tui, const struct command *command);
void tui_send_changed(struct tui *tui, struct command command); /* fills in the chosen tensors */
void tui_select(struct tui *tui); /* tells the lab which tensor and weight are looked at */
void tui_note(struct tui *tui, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* terminal.c: starting and restoring the terminal, signals */
bool terminal_begin(bool ascii, bool color, bool mouse, struct error *error);
void terminal_end(void);
bool terminal_suspend(void); /* if that was asked for; true when the program goes on and must draw anew */

#endif
