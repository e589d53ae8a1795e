/* What every opcode of a pickled state dictionary works with: the stack, and the bytes of its argument. */
#include "unpickle_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

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
        return machine_fail(m, "keeps more values than %zu bytes of a valid file need", m->size);
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

bool machine_reserve(struct machine *m, struct values *values)
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
    if (!machine_reserve(m, values))
        return false;
    values->list[values->count++] = v;
    return true;
}

bool machine_push(struct machine *m, struct value v)
{
    if (m->stack.count == MAX_STACK)
        return machine_fail(m, "%d values on the stack; expected fewer", MAX_STACK);
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

struct value *machine_top(struct machine *m, size_t n)
{
    if (m->stack.count - floor_of(m) < n) {
        machine_fail(m, "takes %zu values where the stack has %zu", n,
                     m->stack.count - floor_of(m));
        return NULL;
    }
    return m->stack.list + m->stack.count - n;
}

bool machine_pop_mark(struct machine *m, size_t *first)
{
    if (m->mark_count == 0)
        return machine_fail(m, "closes a list that no mark began");
    *first = m->marks[--m->mark_count];
    return true;
}

const uint8_t *machine_take(struct machine *m, size_t n)
{
    if (n > m->size - m->at) {
        machine_fail(m, "needs %zu bytes where %zu follow", n, m->size - m->at);
        return NULL;
    }
    m->at += n;
    return m->data + m->at - n;
}

bool machine_take_number(struct machine *m, size_t n, uint64_t *out)
{
    const uint8_t *bytes = machine_take(m, n);
    *out = 0;
    for (size_t i = 0; bytes && i < n; i++)
        *out |= (uint64_t)bytes[i] << 8 * i;
    return bytes != NULL;
}
