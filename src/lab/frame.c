#include "frame.h"

#include <stdlib.h>

struct frame *frame_ref(struct frame *f)
{
    atomic_fetch_add(&f->refs, 1);
    return f;
}

void frame_unref(struct frame *f)
{
    if (!f || atomic_fetch_sub(&f->refs, 1) > 1)
        return;
    weights_unref(f->set);
    detail_unref(f->detail);
    text_frame_unref(f->text);
    free(f->layers);
    free(f);
}

void text_frame_unref(struct text_frame *t)
{
    if (!t || atomic_fetch_sub(&t->refs, 1) > 1)
        return;
    free(t->text);
    free(t->reference);
    free(t);
}
