#include "dispatch.h"

#include <stdatomic.h>
#include <stdio.h>

/* Best last. */
static const struct isa *const isas[] = {
    &isa_c,
#if defined(__x86_64__)
    &isa_avx2,
    &isa_avxvnni,
    &isa_avx512,
#elif defined(__aarch64__)
    &isa_neon,
#endif
};
enum { ISAS = sizeof isas / sizeof *isas };

/* Threads may be the first to ask. */
static const struct isa *_Atomic current;

const struct isa *isa_at(size_t i)
{
    return i < ISAS ? isas[i] : NULL;
}

const struct isa *isa_current(void)
{
    const struct isa *isa = atomic_load_explicit(&current, memory_order_relaxed);
    for (size_t i = ISAS; !isa && i-- > 0;)
        if (isas[i]->available())
            atomic_store_explicit(&current, isa = isas[i], memory_order_relaxed);
    return isa;
}

bool isa_select(const char *name, struct error *error)
{
    char known[128] = "";
    size_t n = 0;
    for (size_t i = 0; i < ISAS; i++) {
        if (strcmp(isas[i]->name, name) == 0) {
            if (!isas[i]->available())
                return error_set(error, "instruction set '%s': this machine does not have it", name);
            atomic_store_explicit(&current, isas[i], memory_order_relaxed);
            return true;
        }
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", isas[i]->name);
    }
    return error_set(error, "unknown instruction set '%.32s'; expected one of: %s", name, known);
}
