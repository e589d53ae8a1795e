/* Texts to calibrate on, in windows: see quantization.h. */
#include "quantization.h"

#include <stdlib.h>

bool calibration_text_make(struct calibration_text *out, const int32_t *tokens, size_t count, int32_t bos,
                           size_t context, struct error *error)
{
    return calibration_text_make_of(out, tokens, count, CALIBRATION_MAX, bos, context, error);
}

bool calibration_text_make_of(struct calibration_text *out, const int32_t *tokens, size_t count, size_t max,
                              int32_t bos, size_t context, struct error *error)
{
    *out = (struct calibration_text){.window = context < CALIBRATION_WINDOW ? context : CALIBRATION_WINDOW};
    if (count < CALIBRATION_MIN)
        return error_set(error, "the calibration text has %zu tokens; expected at least %d", count,
                         CALIBRATION_MIN);
    max = count < max ? count : max;
    out->tokens = malloc(2 * (max + 1) * sizeof *out->tokens);
    if (!out->tokens)
        return error_set(error, "not enough memory for a calibration text");
    for (size_t i = 0; i < max; i++) {
        if (bos >= 0 && out->window > 1 && out->count % out->window == 0)
            out->tokens[out->count++] = bos;
        out->tokens[out->count++] = tokens[i];
    }
    return true;
}
