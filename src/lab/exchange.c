/* Another text to measure quality on: what was measured on the old one is marked as that, or gone. */
#include "actions.h"
#include "history.h"
#include "jobs.h"
#include "study.h"

static bool searches(const struct lab *lab)
{
    return job_slot_of(lab, &tune_job)->running != NULL;
}

void exchange_text(struct lab *lab, const struct command *c)
{
    struct error error = {""};
    if (searches(lab)) {
        lab_say(lab, true, "a search runs on this text: T stops it");
        return;
    }
    if (!study_check(lab, c, &error)) {
        lab_say(lab, true, "%s", error.text);
        return;
    }
    jobs_leave_text(lab);
    if (!study_exchange(lab, c, &error)) {
        lab_say(lab, true, "%s", error.text);
        return;
    }
    history_text_changed(lab);
    jobs_text_changed(lab);
    lab_say(lab, false, "quality is measured on %s: figures of the text before are marked, sensitivities and advice gone",
            lab->study[TEXT_EVALUATION].source.name);
}
