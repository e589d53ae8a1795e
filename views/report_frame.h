/* report_frame.h - a report of what the terminal program shows. */
#ifndef QTOP_VIEWS_REPORT_FRAME_H
#define QTOP_VIEWS_REPORT_FRAME_H

#include "lab/frame.h"
#include "report/report.h"
#include "session/session.h"

/* Of a frame: its snapshots, the schemes that were advised, the set in use layer by layer; goal: what counts most. Null
 * when memory is short; free with report_free. */
struct report *report_of_frame(const struct frame *frame, const struct session *session, const char *model_name,
                               enum advise_goal goal);

#endif
