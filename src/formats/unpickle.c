#include "unpickle_internal.h"

#include <stdlib.h>

static bool run(struct machine *m)
{
    while (!m->done) {
        const uint8_t *code = (m->opcode_at = m->at, machine_take(m, 1));
        if (!code)
            return false;
        const struct opcode *opcode = &machine_opcodes[*code];
        if (!opcode->run)
            return machine_fail(m, "opcode 0x%02x (%s); expected only what rebuilds tensors", *code,
                                opcode->name ? opcode->name : "unknown");
        if (!opcode->run(m))
            return false;
    }
    return m->at == m->size || machine_fail(m, "%zu bytes follow STOP; expected none",
                                            m->size - m->at);
}

bool unpickle(const uint8_t *data, size_t size, pickle_see *see, void *arg, struct error *error)
{
    enum { FREE_VALUES = 256 };
    struct machine m = {.data = data, .size = size, .budget = size + FREE_VALUES,
                        .name_bytes = size, .see = see, .arg = arg, .error = error};
    bool ok = size > 0 && data[0] == 0x80
                  ? machine_reserve(&m, &m.stack) && run(&m)
                  : machine_fail(&m, "begins without PROTO; is it a pickle?");
    free(m.stack.list);
    free(m.memo.list);
    free(m.items.list);
    return ok;
}
