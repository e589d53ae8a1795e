#include "jobs.h"

#include "base/clock.h"
#include "sys/memory.h"

struct job_slot *job_slot_of(const struct lab *lab, const struct job_type *type)
{
    size_t i = 0;
    while (lab->jobs[i].type != type)
        i++;
    return &lab->jobs[i];
}

void *job_state(const struct lab *lab, const struct job_type *type)
{
    return job_slot_of(lab, type)->state;
}

double job_worked(const struct lab *lab, const struct job_type *type)
{
    const struct job_slot *job = job_slot_of(lab, type);
    return job->running ? job->worked : 0;
}

/* A search or a training frees more than all else takes. */
void job_close(struct job_slot *job, enum job_state outcome)
{
    job->type->class->close(job->running);
    job->running = NULL;
    job->outcome = outcome;
    job->ended = clock_seconds();
    if (!job->type->silent)
        memory_give_back();
}

void job_cancel(struct lab *lab, struct job_slot *job)
{
    if (!job->running)
        return;
    job_close(job, JOB_STOPPED);
    if (job->type->cancelled)
        job->type->cancelled(lab, job->state);
}
