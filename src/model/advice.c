/* Whether a layer is better left alone: by its kind, by what all layers of its kind hold, and by what it costs. */
#include "model.h"

#include <math.h>
#include <stdio.h>

/* A kind that holds less cannot save what a person would notice: in 4 of 16 bits, 0.075 % of the model. */
static const double SMALL_KIND = 0.001;

/* A layer that costs this many times its share of the bytes gains most from another bit, which divides the KL of a
 * layer by about as much (6 dB). */
static const double COSTLY = 4;

static struct advice say(enum guidance guidance, const char *text)
{
    struct advice a = {.guidance = guidance};
    snprintf(a.text, sizeof a.text, "%s", text);
    return a;
}

/* Bytes as stored: of all tensors of a role, and of the whole model. */
static double share_of_kind(const struct model *m, enum role role)
{
    double kind = 0, all = 0;
    for (size_t i = 0; i < m->tensor_count; i++) {
        all += (double)m->tensors[i].stored.bytes;
        kind += m->tensors[i].role == role ? (double)m->tensors[i].stored.bytes : 0;
    }
    return kind / all;
}

/* What a layer has of the KL and of the bytes of those linear layers that were measured. */
static bool measured_shares(const struct model *m, int tensor, const double *kl_alone, double *kl, double *bytes)
{
    double all_kl = 0, all_bytes = 0;
    for (size_t i = 0; kl_alone && i < m->tensor_count; i++)
        if (roles[m->tensors[i].role].linear && isfinite(kl_alone[i])) {
            all_kl += fmax(kl_alone[i], 0);
            all_bytes += (double)m->tensors[i].stored.bytes;
        }
    if (!kl_alone || !isfinite(kl_alone[tensor]) || !(all_kl > 0))
        return false;
    *kl = fmax(kl_alone[tensor], 0) / all_kl;
    *bytes = (double)m->tensors[tensor].stored.bytes / all_bytes;
    return *bytes < 1; /* else there is nothing to compare it with */
}

static struct advice advice_of_linear(const struct model *m, int tensor, const double *kl_alone)
{
    enum role role = m->tensors[tensor].role;
    struct advice a = {0};
    double kl, bytes, kind = share_of_kind(m, role);
    if (kind < SMALL_KIND) {
        a.guidance = GUIDE_DONT;
        snprintf(a.text, sizeof a.text, "usually not quantized: all %s together hold %.2g %% of the bytes",
                 roles[role].name, 100 * kind);
        return a;
    }
    if (!measured_shares(m, tensor, kl_alone, &kl, &bytes) || (kl <= COSTLY * bytes && kl >= bytes))
        return say(roles[role].guidance, roles[role].advice);
    a.guidance = kl > bytes ? GUIDE_CAREFUL : GUIDE_USUALLY;
    snprintf(a.text, sizeof a.text, "%s: %.2g %% of the measured KL with %.2g %% of the bytes%s",
             kl > bytes ? "be careful" : "quantized at little cost", 100 * kl, 100 * bytes,
             kl > bytes ? ": more bits here" : "");
    return a;
}

struct advice tensor_advice(const struct model *m, int tensor, const double *kl_alone)
{
    if (tensor == kv_index(m))
        return say(GUIDE_USUALLY, "often in 8 bits where contexts are long: every token reads the whole cache; fp16 "
                                  "costs next to nothing");
    enum role role = m->tensors[tensor].role;
    if (role == ROLE_EMBEDDING && m->tied)
        return say(GUIDE_DONT, "usually not quantized: this table is the output head, too, whose error goes straight "
                               "into the probabilities");
    if (roles[role].linear && roles[role].in_block)
        return advice_of_linear(m, tensor, kl_alone);
    return say(roles[role].guidance, roles[role].advice);
}

bool tensors_advice(const struct model *m, const int *tensors, size_t n, const double *kl_alone, struct advice *out)
{
    for (size_t i = 0; i < n; i++) {
        struct advice a = tensor_advice(m, tensors[i], kl_alone);
        bool same_kind = tensors[i] != kv_index(m) && tensors[0] != kv_index(m) &&
                         m->tensors[tensors[i]].role == m->tensors[tensors[0]].role;
        if (i > 0 && !same_kind)
            return false;
        if (i == 0 || a.guidance > out->guidance)
            *out = a;
    }
    return n > 0;
}

const char *guidance_name(enum guidance guidance)
{
    static const char *const names[] = {"always", "usually", "careful", "don't"};
    return names[guidance];
}
