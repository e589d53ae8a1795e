/* Writing the set in use as a file for other engines, in the background. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static void stop(struct lab *lab)
{
    export_close(lab->exporting);
    lab->exporting = NULL;
}

void exporting_end(struct lab *lab)
{
    stop(lab);
}

void exporting_ask(struct lab *lab, const char *text)
{
    const struct session *s = lab->session;
    struct error error;
    if (lab->exporting) {
        stop(lab);
        lab_say(lab, false, "the export is given up: nothing is left of it");
        return;
    }
    for (int t = 0; t < (int)lab->set->count; t++)
        if (tensor_pending(lab, t)) {
            lab_say(lab, true, "layers are still being quantized: export when they are there");
            return;
        }
    char *path = strdup(text);
    const char *format = path ? export_split_format(path) : NULL;
    struct export_plan plan = {.model = s->model, .pool = s->pool, .weights = lab->set, .path = path, .format = format,
                               .tokenizer_path = s->tokenizer ? tokenizer_path(s->tokenizer) : NULL};
    lab->exporting = path ? export_open(&plan, &error) : NULL;
    if (lab->exporting)
        lab_say(lab, false, "exporting to %s (o stops it)", path);
    else
        lab_say(lab, true, "%s", path ? error.text : "not enough memory");
    free(path);
}

bool exporting_slice(struct lab *lab, double seconds)
{
    struct error error;
    bool done = false;
    if (!lab->exporting)
        return false;
    jobs_show(lab, "exporting", export_fraction(lab->exporting));
    if (!export_step(lab->exporting, seconds, &done, &error)) {
        lab_say(lab, true, "%s", error.text);
        stop(lab);
    } else if (done) {
        const char *note = export_note(lab->exporting, 0);
        lab_say(lab, false, "exported to %s, %zu bytes%s%s", export_path(lab->exporting),
                export_bytes(lab->exporting), note ? ": " : "",
                note ? note : "");
        stop(lab);
    }
    return true;
}
