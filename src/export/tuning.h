/* tuning.h - what a search for schemes within a budget (quant/tune.h) is told of the file that is to be written: which
 * schemes its format holds, and how many bytes it has, as export_open would plan it. */
#ifndef QTOP_EXPORT_TUNING_H
#define QTOP_EXPORT_TUNING_H

#include "export.h"
#include "quant/tune.h"

/* budget_parse and budget_for with formats that are known to mix schemes: the error names those. */
bool export_budget_parse(const char *text, struct budget *out, struct error *error);
bool export_budget_for(const char *format, struct budget *out, struct error *error);

/* Where it is for nothing that was named: for GGUF if the model came from there. */
void export_budget_default(const struct model *model, struct budget *budget);

/* The format's side of a search over a model, which must outlive it; free with export_tuning_close, which takes null,
 * too. tokenizer_path as in struct export_plan, copied. Null with an error. */
struct tune_file *export_tuning_open(const struct model *model, const char *format, const char *tokenizer_path,
                                     struct error *error);
void export_tuning_close(struct tune_file *file);

#endif
