/* holders.h - which formats of exports hold a scheme, for lists of schemes: layer by layer, before anything is made. What
 * a format asks of a file as a whole, such as one layout for all layers, is not looked at. */
#ifndef QTOP_EXPORT_HOLDERS_H
#define QTOP_EXPORT_HOLDERS_H

#include "export.h"

struct export_holders;

/* For a model, which must outlive it; free with export_holders_close, which takes null, too. Formats that cannot hold the
 * model at all hold nothing. Null when memory is short. */
struct export_holders *export_holders_open(const struct model *model);
void export_holders_close(struct export_holders *holders);

/* Forgets the schemes that were added, then adds one of a tensor: only the formats are left that hold all of them. */
void export_holders_begin(struct export_holders *holders);
void export_holders_add(struct export_holders *holders, int tensor, const struct scheme *scheme);

/* The schemes of a whole model (schemes_count), of each role and type one tensor: those are alike. */
void export_holders_add_all(struct export_holders *holders, const struct scheme *schemes);

/* Their names, "gguf safetensors"; "none". */
const char *export_holders_names(const struct export_holders *holders, char out[EXPORT_NAMES]);

#endif
