#include "unpickle_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(struct value) == 16, "a value is what memory is counted in");

bool machine_fail(struct machine *m, const char *format, ...)
{
    char line[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    return error_set(m->error, "pickle at byte %zu: %s", m->opcode_at, line);
}

bool machine_charge(struct machine *m, size_t values)
{
    if (values > m->budget)
        return machine_fail(m, "keeps more values than %zu bytes of an honest file", m->size);
    m->budget -= values;
    return true;
}

const char *value_words(const struct value *v)
{
    static const char *const words[VALUE_KINDS] = {
        [VALUE_NOTHING] = "nothing", [VALUE_NONE] = "None",       [VALUE_BOOL] = "a truth value",
        [VALUE_INT] = "an integer",  [VALUE_TEXT] = "a string",   [VALUE_GLOBAL] = "a global",
        [VALUE_TUPLE] = "a tuple",   [VALUE_LIST] = "a list",     [VALUE_DICT] = "a dictionary",
        [VALUE_STORAGE] = "a storage", [VALUE_TENSOR] = "a tensor",
    };
    return words[v->kind];
}

/* ---- stack ----------------------------------------------------------------------------------- */

/* Room for one more. */
static bool reserve(struct machine *m, struct values *values)
{
    if (values->count < values->room)
        return true;
    size_t room = values->room ? values->room * 2 : 64;
    struct value *list = realloc(values->list, room * sizeof *list);
    if (!list)
        return machine_fail(m, "not enough memory for %zu values", room);
    values->list = list;
    values->room = room;
    return true;
}

bool machine_append(struct machine *m, struct values *values, struct value v)
{
    if (!reserve(m, values))
        return false;
    values->list[values->count++] = v;
    return true;
}

bool machine_push(struct machine *m, struct value v)
{
    if (m->stack.count == MOST_STACK)
        return machine_fail(m, "%d values on the stack; expected fewer", MOST_STACK);
    return machine_append(m, &m->stack, v);
}

bool machine_push_kind(struct machine *m, enum value_kind kind, uint64_t at)
{
    return machine_push(m, (struct value){kind, 0, at});
}

/* The first of the values that an opcode may take: those above the last mark. */
static size_t floor_of(const struct machine *m)
{
    return m->mark_count ? m->marks[m->mark_count - 1] : 0;
}

/* The topmost n values, of which there must be as many above the last mark. Null: there are not. */
struct value *machine_top(struct machine *m, size_t n)
{
    if (m->stack.count - floor_of(m) < n) {
        machine_fail(m, "takes %zu values where the stack has %zu", n,
                     m->stack.count - floor_of(m));
        return NULL;
    }
    return m->stack.list + m->stack.count - n;
}

/* Removes the last mark; *first is the first value above it. */
bool machine_pop_mark(struct machine *m, size_t *first)
{
    if (m->mark_count == 0)
        return machine_fail(m, "closes a list that no mark began");
    *first = m->marks[--m->mark_count];
    return true;
}

/* The n bytes of an opcode's argument; null where the pickle ends before. */
const uint8_t *machine_take(struct machine *m, size_t n)
{
    if (n > m->size - m->at) {
        machine_fail(m, "needs %zu bytes where %zu follow", n, m->size - m->at);
        return NULL;
    }
    m->at += n;
    return m->data + m->at - n;
}

/* A little-endian number of n <= 8 bytes. */
bool machine_take_number(struct machine *m, size_t n, uint64_t *out)
{
    const uint8_t *bytes = machine_take(m, n);
    *out = 0;
    for (size_t i = 0; bytes && i < n; i++)
        *out |= (uint64_t)bytes[i] << 8 * i;
    return bytes != NULL;
}

/* ---- the machine ----------------------------------------------------------------------------- */

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
                  ? reserve(&m, &m.stack) && run(&m)
                  : machine_fail(&m, "begins without PROTO; is it a pickle?");
    free(m.stack.list);
    free(m.memo.list);
    free(m.items.list);
    return ok;
}
