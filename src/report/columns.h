/* columns.h - the table of schemes, column by column, for every format of reports. */
#ifndef QTOP_REPORT_COLUMNS_H
#define QTOP_REPORT_COLUMNS_H

#include "report.h"

enum { CELL_TEXT = 96 };

/* What stands in a cell. */
struct report_cell {
    const char *text;   /* null: absent, */
    const char *reason; /* for this reason */
};

struct report_column {
    const char *title, *unit; /* unit: "" without one */
    bool number;              /* right-aligned */
    bool always;              /* shown though no row has it */
    /* The cell of a row (index in the report); its text may lie in `room`. */
    struct report_cell (*cell)(const struct report *report, size_t row, char room[CELL_TEXT]);
};

extern const struct report_column report_columns[];
extern const size_t report_column_count;

/* Whether a column is shown: any row has something in it. */
bool report_column_shown(const struct report *report, const struct report_column *column);

/* How a row is called on plots: its letter, or its number from 1. Returns `out`. */
const char *report_mark(const struct report *report, size_t row, char out[CELL_TEXT]);

/* Reasons that stand below a table, each once: a cell without a figure has the number of its reason. */
enum { MAX_NOTES = 32 };
struct report_notes {
    size_t count;
    const char *of[MAX_NOTES];
};

/* The number of a reason, from 1. */
size_t notes_number(struct report_notes *notes, const char *reason);

/* A KL divergence in nats with its standard error (NaN: without). Returns `out`. */
const char *report_kl(char out[CELL_TEXT], double kl, double error);

/* Tokens or operations a second: to three or four digits. Returns `out`. */
const char *report_rate(char out[CELL_TEXT], double rate);

#endif
