/* publish.h - frames: a picture of the lab at one moment. */
#ifndef QTOP_LAB_PUBLISH_H
#define QTOP_LAB_PUBLISH_H

#include "state.h"

/* Makes a frame and puts it into the mailbox; without memory the view keeps the last one. */
void lab_publish(struct lab *lab);

#endif
