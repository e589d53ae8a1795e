/* rivals.h - the named mixes (mixes.h) as a search compares its choice with them: their scales chosen by importance, as
 * llama-quantize does with an importance matrix. */
#ifndef QTOP_RIVALS_H
#define QTOP_RIVALS_H

#include "model/model.h"
#include "tune.h"

struct rivals {
    struct tune_rival *of;
    size_t count;
    struct scheme *schemes; /* count x schemes_count */
};

/* Those mixes of whose types all can be made; none where memory is short. Free with rivals_close; {0} is allowed. */
void rivals_open(struct rivals *rivals, const struct model *model);
void rivals_close(struct rivals *rivals);

#endif
