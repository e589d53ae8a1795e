#include "error.h"

const struct detail *error_detail(const struct frame *f, const struct qtensor *shown)
{
    return f->detail && f->detail->q == shown ? f->detail : NULL;
}

const struct columns *error_columns(const struct frame *f, const struct qtensor *shown)
{
    return f->columns && f->columns->q == shown ? f->columns : NULL;
}

const struct output_frame *error_output(const struct frame *f, const struct qtensor *shown)
{
    return f->output.of == shown ? &f->output : NULL;
}

const struct weight_view *error_weight(const struct frame *f, const struct qtensor *shown)
{
    return f->weight.valid && f->weight.tensor == shown->tensor ? &f->weight : NULL;
}
