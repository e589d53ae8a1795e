/* What screens tell the lab and the person. */
#include "tui.h"

#include <stdarg.h>
#include <stdlib.h>

void tui_note(struct tui *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(t->note, sizeof t->note, format, args);
    va_end(args);
}

void tui_send(struct tui *t, const struct command *command)
{
    if (lab_send(t->lab, command))
        t->commands_sent++;
    else
        tui_note(t, "not enough memory");
}

void tui_send_changed(struct tui *t, struct command command)
{
    int *tensors = calloc(schemes_count(t->session->model), sizeof *tensors);
    command.tensors = tensors;
    command.tensor_count = tensors ? rows_chosen(t, tensors) : 0;
    if (command.tensor_count > 0)
        tui_send(t, &command);
    else
        tui_note(t, "no layer is selected: Esc clears the filter");
    free(tensors);
}

void tui_select(struct tui *t)
{
    int tensor = rows_current_tensor(t);
    if (tensor < 0 || tensor == kv_index(t->session->model))
        return;
    const struct qmatrix *m = &t->session->model->tensors[tensor].stored;
    t->weight_row = t->weight_row < m->rows ? t->weight_row : m->rows - 1;
    t->weight_col = t->weight_col < m->cols ? t->weight_col : m->cols - 1;
    tui_send(t, &(struct command){.kind = COMMAND_SELECT, .tensors = &tensor, .tensor_count = 1,
                                  .row = t->weight_row, .col = t->weight_col});
}
