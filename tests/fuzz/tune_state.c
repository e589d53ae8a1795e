/* What a search has kept: read into a search of a small model. */
#include "fuzz.h"

#include "kernels/dispatch.h"
#include "model/format.h"
#include "session/tune_state.h"
#include "../modelfile.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct tune_plan plan;

/* The same on every machine: so are the digests in what was kept of the inputs. */
static struct tune *small_search(void)
{
    static struct tune *job;
    static struct model *m;
    static struct calibration_text text;
    static struct bytes bytes; /* which the model points into */
    struct model_spec spec = spec_tiny(1, true);
    if (job)
        return job;
    m = calloc(1, sizeof *m);
    bytes = model_bytes(&spec);
    if (!m || !isa_select("c", NULL) || !llama2c_parse(m, bytes.data, bytes.size, NULL))
        abort();
    plan = (struct tune_plan){.model = m, .pool = pool_create(1, NULL), .stored = weights_stored(m), .text = &text,
                              .budget = {.max_bits = 6}, .context = 8};
    plan.reference = plan.stored;
    job = plan.pool && plan.stored ? tune_open(&plan, NULL) : NULL;
    if (!job)
        abort();
    return job;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tune *job = small_search();
    struct error error = {""};
    tune_resume(job, 0);
    bool accepted = tune_state_parse(data, size, "state", job, &plan, &error);
    fuzz_accepted(accepted, error.text);
    size_t measured, all = tune_candidates(job, &measured);
    struct tune_table t = tune_table(job);
    FUZZ_PROMISE(accepted ? t.parts <= t.all_parts && measured <= all : t.parts == 0 && *error.text);
    for (size_t i = 0; accepted && i < t.items; i++)
        for (size_t c = 0; c < measured; c++)
            FUZZ_PROMISE(t.seconds[i * all + c] >= 0 && t.probe[i] < all);
    return 0;
}

/* As a search writes it. */
void fuzz_seeds(void)
{
    struct tune *job = small_search();
    char path[] = "/tmp/qtop-fuzz-XXXXXX", text[16384];
    int file = mkstemp(path);
    const size_t parts[] = {0, 1, 2, tune_table(job).all_parts};
    for (size_t i = 0; file >= 0 && i < sizeof parts / sizeof *parts; i++) {
        tune_resume(job, parts[i]);
        if (!tune_state_save(path, job, &plan, NULL))
            abort();
        FILE *f = fopen(path, "r");
        size_t n = f ? fread(text, 1, sizeof text, f) : 0;
        if (f)
            fclose(f);
        fuzz_seed(text, n);
    }
    close(file);
    unlink(path);
}
