/* What measured rows say beside each other. */
#include "advise_internal.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

/* A goal: of the rows that lose no more than it allows, the one with the least cost. */
struct goal {
    const char *name, *words;
    const char *keeps; /* what that asks for, as in "none keeps ..." */
    double top1, kl;   /* the least and the most that it allows */
    double (*cost)(const struct advise_row *row);
};

bool advise_is_timed(const struct advise_row *r)
{
    return r->state == ADVISE_EVALUATING || r->state == ADVISE_MEASURED;
}

size_t advise_bytes(const struct advise_row *r)
{
    return r->file ? r->file : r->size;
}

static double cost_of_size(const struct advise_row *r)
{
    return (double)advise_bytes(r);
}

static double cost_of_time(const struct advise_row *r)
{
    return 1 / r->decode.median;
}

static double cost_of_loss(const struct advise_row *r)
{
    return r->quality.kl;
}

static const struct goal goals[GOALS] = {
    [GOAL_BALANCE] = {"balance", "smallest that keeps top-1 over 95 %", "keeps top-1 over 95 %", 0.95, INFINITY,
                      cost_of_size},
    [GOAL_SIZE] = {"size", "smallest that keeps top-1 over 90 %", "keeps top-1 over 90 %", 0.90, INFINITY,
                   cost_of_size},
    [GOAL_SPEED] = {"speed", "fastest that keeps top-1 over 90 %", "keeps top-1 over 90 %", 0.90, INFINITY,
                    cost_of_time},
    [GOAL_QUALITY] = {"quality", "smallest under KL 0.01", "has KL under 0.01", 0, 0.01, cost_of_size},
};

enum advise_goal advise_goal_by_name(const char *name)
{
    enum advise_goal goal = GOAL_BALANCE;
    while (name && goal < GOALS && strcmp(goals[goal].name, name) != 0)
        goal++;
    return goal;
}

const char *advise_goal_name(enum advise_goal goal)
{
    return goals[goal].name;
}

const char *advise_goal_words(enum advise_goal goal)
{
    return goals[goal].words;
}

bool advise_goal_met(enum advise_goal goal, const struct advise_row *r)
{
    return r->quality.top1 >= goals[goal].top1 && r->quality.kl <= goals[goal].kl;
}

/* Figures of few tokens: what is above a limit by less than that may be below it on more. */
static const double STANDARD_ERRORS = 2;

static bool keeps_surely(const struct advise_row *r, double top1, double kl)
{
    return r->quality.top1 - STANDARD_ERRORS * quality_top1_stderr(&r->quality) >= top1 &&
           r->quality.kl + STANDARD_ERRORS * r->quality.kl_stderr <= kl;
}

bool advise_goal_sure(enum advise_goal goal, const struct advise_row *r)
{
    return keeps_surely(r, goals[goal].top1, goals[goal].kl);
}

const char *advise_goal_keeps(enum advise_goal goal)
{
    return goals[goal].keeps;
}

static bool is_measured(const struct advise_row *r)
{
    return r->state == ADVISE_MEASURED && isfinite(r->quality.kl);
}

/* Which limit a row breaks; null: none. What cannot be written to a file is not to be taken away. */
static const char *broken_limit(const struct advise_limits *l, const struct advise_row *r)
{
    if (strcmp(r->exports, "none") == 0)
        return "no format of files holds it";
    if (l->max_memory > 0 && !((double)r->memory <= l->max_memory))
        return "over the memory asked for";
    if (l->max_file > 0 && !(r->file > 0 && (double)r->file <= l->max_file))
        return r->file ? "over the size asked for" : "the format of files does not hold it";
    if (l->min_rate > 0 && !(r->decode.median >= l->min_rate))
        return "slower than asked for";
    if (l->max_kl > 0 && !(r->quality.kl <= l->max_kl))
        return "more KL than asked for";
    return NULL;
}

/* What the model as it is stored betters in everything is not worth taking. */
static bool stored_is_better(const struct advise_row *rows, const struct advise_row *r)
{
    return is_measured(&rows[0]) && advise_bytes(&rows[0]) <= advise_bytes(r) && rows[0].quality.kl <= r->quality.kl &&
           rows[0].decode.median >= r->decode.median;
}

/* The row of least cost among those that may be taken and keep so much; count: none. The first row, the model as it
 * is stored, is what the others are compared with. */
static size_t least(const struct advise_limits *limits, const struct advise_row *rows, size_t count, double top1,
                    double kl, double (*cost)(const struct advise_row *))
{
    size_t best = count;
    for (size_t i = 1; i < count; i++) {
        const struct advise_row *r = &rows[i];
        bool may = is_measured(r) && !stored_is_better(rows, r) && !broken_limit(limits, r);
        if (!may || !(r->quality.top1 >= top1) || !(r->quality.kl <= kl))
            continue;
        if (best == count || cost(r) < cost(&rows[best]))
            best = i;
    }
    return best;
}

size_t advise_pick(const struct advise_limits *limits, enum advise_goal goal, const struct advise_row *rows,
                   size_t count)
{
    const struct goal *g = &goals[goal];
    size_t best = least(limits, rows, count, g->top1, g->kl, g->cost);
    return best < count ? best : least(limits, rows, count, 0, INFINITY, cost_of_loss);
}

/* A measured row that is no larger and no farther from the reference, and better in one of both; count: none. */
static size_t find_better(const struct advise_row *rows, size_t count, size_t of)
{
    const struct advise_row *r = &rows[of];
    for (size_t i = 0; i < count; i++) {
        double size = cost_of_size(&rows[i]), own = cost_of_size(r);
        if (i != of && is_measured(&rows[i]) && size <= own && rows[i].quality.kl <= r->quality.kl &&
            (size < own || rows[i].quality.kl < r->quality.kl))
            return i;
    }
    return count;
}

static void add_words(struct advise_row *r, const char *words)
{
    size_t used = strlen(r->verdict);
    snprintf(r->verdict + used, sizeof r->verdict - used, "%s%s", used ? "; " : "", words);
}

enum { FASTEST }; /* of the list below */
static const char WITHIN_ERROR[] = "that is within its error";

static void add_superlatives(const struct advise_limits *limits, struct advise_row *rows, size_t count)
{
    static const struct {
        const char *words;
        double top1, kl; /* that it keeps */
        double (*cost)(const struct advise_row *row);
    } best[] = {
        {"fastest", 0, INFINITY, cost_of_time},
        {"least KL", 0, INFINITY, cost_of_loss},
        {"smallest under KL 0.01", 0, 0.01, cost_of_size},
        {"smallest that keeps top-1 over 95 %", 0.95, INFINITY, cost_of_size},
        {"smallest that keeps top-1 over 90 %", 0.90, INFINITY, cost_of_size},
        {"smallest", 0, INFINITY, cost_of_size},
    };
    for (size_t i = 0; i < sizeof best / sizeof *best; i++) {
        size_t row = least(limits, rows, count, best[i].top1, best[i].kl, best[i].cost);
        struct advise_row *r = row < count ? &rows[row] : NULL;
        bool beaten = r && i == FASTEST && is_measured(&rows[0]) && rows[0].decode.median > r->decode.median;
        if (!r || beaten || strstr(r->verdict, "smallest")) /* the strongest of those is enough */
            continue;
        bool limited = best[i].top1 > 0 || isfinite(best[i].kl);
        add_words(r, best[i].words);
        if (limited && !keeps_surely(r, best[i].top1, best[i].kl))
            add_words(r, WITHIN_ERROR);
    }
}

/* By more than the errors of both, as if those were independent. */
static bool is_closer(const struct advise_row *a, const struct advise_row *b)
{
    double error = hypot(a->quality.kl_stderr, b->quality.kl_stderr);
    return b->quality.kl - a->quality.kl > STANDARD_ERRORS * error;
}

void advise_judge(const struct advise_limits *limits, struct advise_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        rows[i].front = is_measured(&rows[i]) && find_better(rows, count, i) == count;
        *rows[i].verdict = 0;
    }
    add_superlatives(limits, rows, count);
    for (size_t i = 0; i < count; i++) {
        struct advise_row *r = &rows[i];
        if (r->state == ADVISE_LEFT_OUT)
            snprintf(r->verdict, sizeof r->verdict, "%.150s", r->reason.text);
        if (!is_measured(r) || *r->verdict)
            continue;
        const char *limit = broken_limit(limits, r);
        size_t better = find_better(rows, count, i);
        if (i == 0)
            add_words(r, "the model as it is stored");
        else if (limit)
            add_words(r, limit);
        else if (better < count)
            snprintf(r->verdict, sizeof r->verdict, "%.40s is no larger and %s", rows[better].scheme,
                     is_closer(&rows[better], r) ? "closer" : "as close, within the error");
        else
            add_words(r, "on the front");
    }
}
