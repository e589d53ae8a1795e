/* folderwork.h - a folder of a test program's own: group setup and teardown. */
#ifndef QTOP_TESTS_FOLDERWORK_H
#define QTOP_TESTS_FOLDERWORK_H

#include "modelfile.h"

static char *folder;

static inline int make_folder(void **state)
{
    (void)state;
    folder = folder_make();
    return 0;
}

static inline int remove_folder(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

#endif
