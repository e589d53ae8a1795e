#include "tuning.h"

#include "internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- formats in budgets ---------------------------------------------------------------------- */

static bool check_format(const char *name, struct error *error)
{
    char names[EXPORT_NAMES];
    bool mixes = strcmp(name, "memory") == 0;
    for (size_t i = 0; export_formats[i]; i++)
        mixes |= export_formats[i]->mixes && strcmp(export_formats[i]->name, name) == 0;
    return mixes || error_set(error, "for '%.32s': %sexpected memory, %s", name,
                              export_format_known(name) ? "its layers all have one scheme; " : "",
                              export_mixing_names(names));
}

bool export_budget_for(const char *format, struct budget *out, struct error *error)
{
    return check_format(format, error) && budget_for(format, out, error);
}

bool export_budget_parse(const char *text, struct budget *out, struct error *error)
{
    struct budget b;
    if (!budget_parse(text, &b, error) || (*b.format && !check_format(b.format, error)))
        return false;
    *out = b;
    return true;
}

void export_budget_default(const struct model *model, struct budget *budget)
{
    if (!*budget->format && !budget->memory && strcmp(model->format, "GGUF") == 0)
        budget_for("gguf", budget, NULL);
}

/* ---- a file that is planned -------------------------------------------------------------------- */

struct tuning {
    struct tune_file file;
    struct export_plan plan;
    char *tokenizer_path;
    struct export *job; /* what holds one layer after another, to see what each takes */
};

static size_t tensor_bytes(void *context, int tensor, const struct scheme *scheme)
{
    const struct tuning *t = context;
    return export_tensor_bytes(t->job, tensor, scheme);
}

static size_t file_bytes(void *context, const struct scheme *schemes, struct error *error)
{
    const struct tuning *t = context;
    size_t bytes;
    return export_measure(&t->plan, schemes, &bytes, error) ? bytes : 0;
}

struct tune_file *export_tuning_open(const struct model *model, const char *format, const char *tokenizer_path,
                                     struct error *error)
{
    struct tuning *t = calloc(1, sizeof *t);
    char *path = tokenizer_path ? strdup(tokenizer_path) : NULL;
    if (!t || !path != !tokenizer_path) {
        free(t);
        free(path);
        error_set(error, "not enough memory to search");
        return NULL;
    }
    t->tokenizer_path = path;
    t->plan = (struct export_plan){.model = model, .format = format, .tokenizer_path = path};
    t->job = export_layers_open(&t->plan, error);
    t->plan.format = t->job ? t->job->format->name : NULL; /* which stays */
    t->file = (struct tune_file){t, tensor_bytes, file_bytes};
    if (t->job)
        return &t->file;
    export_tuning_close(&t->file);
    return NULL;
}

void export_tuning_close(struct tune_file *file)
{
    struct tuning *t = (struct tuning *)file; /* its first member */
    if (!t)
        return;
    export_close(t->job);
    free(t->tokenizer_path);
    free(t);
}
