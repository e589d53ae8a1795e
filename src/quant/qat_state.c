/* A training's last whole step in a file, to resume from on the same machine: numbers as memory holds them, and a
 * checksum behind them. */
#include "base/digest.h"
#include "qat_internal.h"

/* One description of the contents serves both directions. */
struct stream {
    FILE *file;
    bool reads, ok;
    uint64_t digest; /* of all that has passed */
};

static const char MARK[16] = "qtop training 1";

static void pass(struct stream *s, void *data, size_t bytes)
{
    s->ok = s->ok && (s->reads ? fread(data, 1, bytes, s->file) : fwrite(data, 1, bytes, s->file)) == bytes;
    if (s->ok)
        s->digest = digest_bytes(s->digest, data, bytes);
}

static void pass_tensor(struct stream *s, struct qat_tensor *l)
{
    float *each[] = {l->w, l->m, l->v, l->best};
    for (size_t i = 0; i < sizeof each / sizeof *each; i++)
        pass(s, each[i], l->count * sizeof **each);
    pass(s, l->fake.log_scales, l->fake.grids * sizeof *l->fake.log_scales);
    pass(s, l->scale_m, l->fake.grids * sizeof *l->scale_m);
    pass(s, l->scale_v, l->fake.grids * sizeof *l->scale_v);
    pass(s, l->best_grids, l->fake.grids * sizeof *l->best_grids);
}

static void pass_all(struct stream *s, struct training *q)
{
    char mark[sizeof MARK];
    memcpy(mark, MARK, sizeof mark);
    pass(s, mark, sizeof mark);
    s->ok = s->ok && memcmp(mark, MARK, sizeof mark) == 0;
    pass(s, &q->figures, sizeof q->figures);
    pass(s, &q->begins, sizeof q->begins);
    pass(s, &q->order.next, sizeof q->order.next);
    pass(s, &q->order.random, sizeof q->order.random);
    pass(s, q->order.of, q->windows * sizeof *q->order.of);
    for (size_t i = 0; i < q->tensor_count; i++)
        pass_tensor(s, &q->tensors[i]);
    uint64_t digest = s->digest, kept = digest;
    pass(s, &kept, sizeof kept);
    s->ok = s->ok && kept == digest;
}

bool qat_save(struct training *q, FILE *to)
{
    struct stream s = {.file = to, .ok = true, .digest = DIGEST_START};
    if (q->figures.step == 0)
        return false;
    if (q->phase == PHASE_TRAIN && q->at > 0) /* the step under way is made again */
        qat_copy_order(&q->order, &q->before, q->windows);
    if (q->phase != PHASE_TEACHER)
        q->begins = q->phase == PHASE_TRAIN ? PHASE_TRAIN : PHASE_VALIDATE;
    pass_all(&s, q);
    return s.ok;
}

/* A checksum is no proof: what is used as an index must be one. */
static bool is_possible(const struct training *q)
{
    bool ok = q->figures.steps == q->steps && q->figures.step > 0 && q->figures.step <= q->steps &&
              (q->begins == PHASE_TRAIN || q->begins == PHASE_VALIDATE);
    for (size_t i = 0; i < q->windows; i++)
        ok = ok && q->order.of[i] < q->windows - q->held_out;
    return ok;
}

bool qat_load(struct training *q, FILE *from, struct error *error)
{
    struct stream s = {.file = from, .reads = true, .ok = true, .digest = DIGEST_START};
    pass_all(&s, q);
    return (s.ok && fgetc(from) == EOF && is_possible(q)) ||
           error_set(error, "the state of the training is damaged, or of another one; expected what an interrupted "
                            "training left");
}
