#include "training_state.h"

#include "base/output.h"
#include "quant/training.h"
#include "state_file.h"

#include <errno.h>
#include <string.h>

char *training_state_path(const struct quantization_plan *plan, struct error *error)
{
    char text[SCHEME_TEXT];
    uint64_t digest = digest_model(DIGEST_START, plan->model);
    for (size_t t = 0; t < plan->model->tensor_count; t++)
        digest = digest_text(digest, scheme_print(&plan->schemes[t], text));
    const struct calibration_text *both[] = {plan->text, plan->training_text};
    for (size_t i = 0; i < 2; i++) {
        digest = digest_bytes(digest, both[i]->tokens, both[i]->count * sizeof *both[i]->tokens);
        digest = digest_number(digest, both[i]->window);
    }
    return state_file_path("qat", digest, error);
}

FILE *training_state_open(const char *path, struct error *error)
{
    FILE *f = fopen(path, "re");
    if (!f)
        error_set(error, "--resume: no training of this model with these options was interrupted (%.200s: %s)", path,
                  strerror(errno));
    return f;
}

bool training_state_save(const char *path, struct quantization *job, struct error *note)
{
    struct output out;
    struct training_figures f;
    if (!quantization_figures(job, &f) || f.step == 0)
        return false;
    output_make_folders(path);
    if (!output_open(&out, path, note))
        return false;
    bool ok = quantization_save_training(job, out.file);
    if (!output_close(&out, ok, note))
        return false;
    error_set(note, "--resume goes on from step %zu of %zu (%.200s)", f.step, f.steps, path);
    return true;
}
