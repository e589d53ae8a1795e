#include "lookup.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct pair_slot {
    int32_t left, right; /* left -1: free */
    uint32_t rank;
    int32_t merged;
};

static uint64_t new_seed(void)
{
    uint64_t seed = 0x9e3779b97f4a7c15;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) < (ssize_t)sizeof seed)
        seed ^= (uint64_t)(uintptr_t)&seed; /* early in the life of a machine */
    return seed;
}

__extension__ typedef unsigned __int128 wide;

/* One round: the halves of the 128-bit product, folded. */
static uint64_t mix(uint64_t hash, uint64_t value)
{
    wide product = (wide)(hash ^ value) * 0xd6e8feb86659fd93;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Byte by byte, so that a text hashes the same however it is cut in two. */
static uint64_t hash_bytes(uint64_t hash, uint64_t seed, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hash = mix(hash + seed, (uint8_t)text[i]);
    return hash;
}

/* Slots for count entries: a power of two, at most half of them used. */
static size_t slots_for(size_t count)
{
    size_t slots = 16;
    while (slots < 2 * count)
        slots *= 2;
    return slots;
}

/* ---- pieces ---------------------------------------------------------------------------------- */

static bool is_text(const struct vocabulary_piece *p, const char *a, size_t an, const char *b,
                    size_t bn)
{
    return p->size == an + bn && (an == 0 || memcmp(p->text, a, an) == 0) &&
           (bn == 0 || memcmp(p->text + an, b, bn) == 0);
}

/* The slot of a text: where it is, or the free one where it belongs. */
static size_t slot_of(const struct piece_index *x, const char *a, size_t an, const char *b, size_t bn)
{
    uint64_t hash = hash_bytes(hash_bytes(x->seed, x->seed, a, an), x->seed, b, bn);
    size_t i = (size_t)hash & x->mask;
    while (x->slots[i] >= 0 && !is_text(&x->pieces[x->slots[i]], a, an, b, bn))
        i = (i + 1) & x->mask;
    return i;
}

bool piece_index_open(struct piece_index *x, const struct vocabulary_piece *pieces, size_t count,
                      unsigned types)
{
    size_t slots = slots_for(count);
    *x = (struct piece_index){pieces, malloc(slots * sizeof *x->slots), slots - 1, new_seed()};
    if (!x->slots)
        return false;
    memset(x->slots, 0xff, slots * sizeof *x->slots);
    for (size_t id = 0; id < count; id++) {
        const struct vocabulary_piece *p = &pieces[id];
        if (!(types >> p->type & 1) || p->size == 0)
            continue;
        size_t i = slot_of(x, p->text, p->size, "", 0);
        if (x->slots[i] < 0)
            x->slots[i] = (int32_t)id;
    }
    return true;
}

void piece_index_close(struct piece_index *x)
{
    free(x->slots);
    *x = (struct piece_index){0};
}

int32_t piece_find2(const struct piece_index *x, const char *a, size_t an, const char *b, size_t bn)
{
    return x->slots[slot_of(x, a, an, b, bn)];
}

int32_t piece_find(const struct piece_index *x, const char *text, size_t n)
{
    return piece_find2(x, text, n, "", 0);
}

/* ---- pairs ----------------------------------------------------------------------------------- */

static struct pair_slot *pair_at(const struct pair_index *x, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = (size_t)mix(mix(x->seed, key), x->seed) & x->mask;
    while (x->slots[i].left >= 0 && (x->slots[i].left != left || x->slots[i].right != right))
        i = (i + 1) & x->mask;
    return &x->slots[i];
}

bool pair_index_open(struct pair_index *x, size_t count)
{
    size_t slots = slots_for(count);
    *x = (struct pair_index){malloc(slots * sizeof *x->slots), slots - 1, new_seed()};
    for (size_t i = 0; x->slots && i < slots; i++)
        x->slots[i].left = -1;
    return x->slots != NULL;
}

void pair_index_close(struct pair_index *x)
{
    free(x->slots);
    *x = (struct pair_index){0};
}

void pair_add(struct pair_index *x, int32_t left, int32_t right, uint32_t rank, int32_t merged, bool last)
{
    struct pair_slot *slot = pair_at(x, left, right);
    if (slot->left < 0 || last)
        *slot = (struct pair_slot){left, right, rank, merged};
}

bool pair_find(const struct pair_index *x, int32_t left, int32_t right, uint32_t *rank,
               int32_t *merged)
{
    const struct pair_slot *slot = pair_at(x, left, right);
    if (slot->left < 0)
        return false;
    *rank = slot->rank;
    *merged = slot->merged;
    return true;
}
