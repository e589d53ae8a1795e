#include "requant.h"

static void pack_rtn(struct requant *job, size_t row, const float *stored)
{
    quantize_row(&job->out->matrix, row, stored);
}

const struct method_info methods[METHOD_COUNT] = {
    [METHOD_RTN] = {METHOD_RTN, "round every weight to the nearest code", false, pack_rtn},
};
