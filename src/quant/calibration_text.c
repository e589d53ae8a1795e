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
    size_t window = context < CALIBRATION_WINDOW ? context : CALIBRATION_WINDOW;
    return calibration_text_make_in(out, tokens, count, max, bos, window, error);
}

bool calibration_text_make_in(struct calibration_text *out, const int32_t *tokens, size_t count, size_t max,
                              int32_t bos, size_t window, struct error *error)
{
    *out = (struct calibration_text){.window = window};
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

bool calibration_text_make_replacing(struct calibration_text *out, const int32_t *tokens, size_t count, int32_t bos,
                                     size_t window, struct error *error)
{
    size_t before = bos >= 0, whole = (count + before) / window * window;
    *out = (struct calibration_text){.window = window};
    if (whole == 0)
        return error_set(error, "the calibration text has %zu tokens; expected at least a window of %zu",
                         count + before, window);
    out->tokens = malloc(whole * sizeof *out->tokens);
    if (!out->tokens)
        return error_set(error, "not enough memory for a calibration text");
    for (; out->count < whole; out->count++)
        out->tokens[out->count] = bos >= 0 && out->count % window == 0 ? bos : tokens[out->count - before];
    return true;
}
