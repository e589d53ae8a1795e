/* The table of screens. */
#include "tui.h"

const struct view views[VIEW_COUNT] = {
    [VIEW_LAYERS] = {ACTION_VIEW_LAYERS, "1", "Layers", layers_draw, layers_act, &layers_finder, layers_click,
                     EDITS_ROWS},
    [VIEW_ERROR] = {ACTION_VIEW_ERROR, "2", "Error", error_draw, error_act, &layers_finder, NULL, EDITS_SHOWN},
    [VIEW_ROOFLINE] = {ACTION_VIEW_ROOFLINE, "3", "Roofline", roofline_draw, roofline_act, &layers_finder, NULL,
                       EDITS_NONE},
    [VIEW_COUNTERS] = {ACTION_VIEW_COUNTERS, "4", "Counters", counters_draw, counters_act, &counters_finder,
                       counters_click, EDITS_NONE},
    [VIEW_COMPARE] = {ACTION_VIEW_COMPARE, "5", "Compare", compare_draw, compare_act, &layers_finder,
                      compare_click, EDITS_NONE},
    [VIEW_TEXT] = {ACTION_VIEW_TEXT, "6", "Text", generation_draw, generation_act, &layers_finder, NULL, EDITS_NONE},
    [VIEW_MACHINE] = {ACTION_VIEW_MACHINE, "7", "Machine", machine_draw, machine_act, &layers_finder, NULL,
                      EDITS_NONE},
    [VIEW_ADVISE] = {ACTION_VIEW_ADVISE, "8", "Advise", advise_draw, advise_act, &layers_finder, advise_click,
                     EDITS_NONE},
    [VIEW_MAP] = {ACTION_VIEW_MAP, "9", "Map", map_draw, map_act, &layers_finder, NULL, EDITS_NONE},
    [VIEW_JOBS] = {ACTION_VIEW_JOBS, "0", "Jobs", jobs_draw, jobs_act, &jobs_finder, jobs_click, EDITS_NONE},
    [VIEW_AGAINST] = {ACTION_VIEW_AGAINST, "V", "Against", against_draw, against_act, &against_finder, against_click,
                      EDITS_NONE},
};

bool view_is_there(const struct tui *t, enum view_id view)
{
    return view != VIEW_AGAINST || t->session->other_model;
}
