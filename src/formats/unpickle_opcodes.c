/* What the opcodes of a pickled state dictionary do to the stack. */
#include "unpickle_internal.h"

#include <string.h>

/* ---- opcodes: constants ---------------------------------------------------------------------- */

static bool op_proto(struct machine *m)
{
    uint64_t version;
    if (!machine_take_number(m, 1, &version))
        return false;
    return version == 2 || machine_fail(m, "protocol = %d; expected 2", (int)version);
}

static bool op_none(struct machine *m)
{
    return machine_push_kind(m, VALUE_NONE, 0);
}

static bool op_true(struct machine *m)
{
    return machine_push_kind(m, VALUE_BOOL, 1);
}

static bool op_false(struct machine *m)
{
    return machine_push_kind(m, VALUE_BOOL, 0);
}

static bool op_binint1(struct machine *m)
{
    uint64_t v;
    return machine_take_number(m, 1, &v) && machine_push_kind(m, VALUE_INT, v);
}

static bool op_binint2(struct machine *m)
{
    uint64_t v;
    return machine_take_number(m, 2, &v) && machine_push_kind(m, VALUE_INT, v);
}

static bool op_binint(struct machine *m)
{
    uint64_t v;
    return machine_take_number(m, 4, &v) &&
           machine_push_kind(m, VALUE_INT, (uint64_t)(int64_t)(int32_t)v);
}

static bool op_long1(struct machine *m)
{
    uint64_t n, v;
    if (!machine_take_number(m, 1, &n))
        return false;
    if (n > 8)
        return machine_fail(m, "an integer of %d bytes; expected at most 8", (int)n);
    if (!machine_take_number(m, (size_t)n, &v))
        return false;
    if (n > 0 && n < 8 && v >> (8 * n - 1)) /* negative */
        v |= UINT64_MAX << 8 * n;
    return machine_push_kind(m, VALUE_INT, v);
}

static bool op_binunicode(struct machine *m)
{
    uint64_t n;
    if (!machine_take_number(m, 4, &n) || !machine_take(m, (size_t)n))
        return false;
    return machine_push(m, (struct value){VALUE_TEXT, (uint32_t)n, m->at - n});
}

/* A line of GLOBAL's argument. */
static const char *take_line(struct machine *m, size_t *n)
{
    const uint8_t *line = m->data + m->at, *end = NULL;
    if (m->at < m->size)
        end = memchr(line, '\n', m->size - m->at);
    if (!end) {
        machine_fail(m, "a global's name has no end");
        return NULL;
    }
    *n = (size_t)(end - line);
    m->at += *n + 1;
    return (const char *)line;
}

static bool op_global(struct machine *m)
{
    size_t module_size, name_size;
    struct value v;
    const char *module = take_line(m, &module_size);
    const char *name = module ? take_line(m, &name_size) : NULL;
    return name && machine_global(m, module, module_size, name, name_size, &v) &&
           machine_push(m, v);
}

/* ---- opcodes: containers --------------------------------------------------------------------- */

static bool op_mark(struct machine *m)
{
    if (m->mark_count == MAX_MARKS)
        return machine_fail(m, "lists nested %d deep; expected fewer", MAX_MARKS);
    m->marks[m->mark_count++] = m->stack.count;
    return true;
}

/* Replaces the topmost n values by a tuple of them. */
static bool make_tuple(struct machine *m, size_t n)
{
    const struct value *list = machine_top(m, n);
    struct value tuple = {VALUE_TUPLE, (uint32_t)n, m->items.count};
    if (!list || !machine_charge(m, n))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!machine_append(m, &m->items, list[i]))
            return false;
    m->stack.count -= n;
    return machine_push(m, tuple);
}

static bool op_tuple0(struct machine *m)
{
    return make_tuple(m, 0);
}

static bool op_tuple1(struct machine *m)
{
    return make_tuple(m, 1);
}

static bool op_tuple2(struct machine *m)
{
    return make_tuple(m, 2);
}

static bool op_tuple3(struct machine *m)
{
    return make_tuple(m, 3);
}

static bool op_tuple(struct machine *m)
{
    size_t first;
    return machine_pop_mark(m, &first) && make_tuple(m, m->stack.count - first);
}

static bool op_list(struct machine *m)
{
    return machine_push_kind(m, VALUE_LIST, 0);
}

static bool op_dict(struct machine *m)
{
    return machine_push(m, machine_dict(m));
}

/* Drops the values from `first` on, which go into the list below them. */
static bool extend(struct machine *m, size_t first)
{
    m->stack.count = first;
    const struct value *list = machine_top(m, 1);
    return list && (list->kind == VALUE_LIST ||
                    machine_fail(m, "an item for %s; expected a list", value_words(list)));
}

static bool op_append(struct machine *m)
{
    return machine_top(m, 2) && extend(m, m->stack.count - 1);
}

static bool op_appends(struct machine *m)
{
    size_t first;
    return machine_pop_mark(m, &first) && extend(m, first);
}

/* Puts keys and values from `first` on into the dictionary below them. */
static bool set_items(struct machine *m, size_t first)
{
    size_t n = m->stack.count - first;
    if (n % 2 != 0)
        return machine_fail(m, "a dictionary gets %zu keys and values; expected an even number", n);
    const struct value *dict = machine_top(m, n + 1);
    for (size_t i = 0; dict && i < n; i += 2)
        if (!machine_set_item(m, dict, dict + 1 + i, dict + 2 + i))
            return false;
    m->stack.count = first;
    return dict != NULL;
}

static bool op_setitem(struct machine *m)
{
    return machine_top(m, 3) && set_items(m, m->stack.count - 2);
}

static bool op_setitems(struct machine *m)
{
    size_t first;
    return machine_pop_mark(m, &first) && set_items(m, first);
}

/* ---- opcodes: memo --------------------------------------------------------------------------- */

/* Numbers are given in order, from 0 or 1. */
static bool put(struct machine *m, size_t bytes)
{
    uint64_t number;
    const struct value *v = machine_top(m, 1);
    if (!v || !machine_take_number(m, bytes, &number))
        return false;
    if (number > m->memo.count + 1)
        return machine_fail(m, "memo number %llu; expected at most %zu, the next",
                            (unsigned long long)number, m->memo.count + 1);
    while (m->memo.count <= number)
        if (!machine_charge(m, 1) || !machine_append(m, &m->memo, (struct value){0}))
            return false;
    m->memo.list[number] = *v;
    return true;
}

static bool get(struct machine *m, size_t bytes)
{
    uint64_t number;
    if (!machine_take_number(m, bytes, &number))
        return false;
    if (number >= m->memo.count || m->memo.list[number].kind == VALUE_NOTHING)
        return machine_fail(m, "memo number %llu was never put", (unsigned long long)number);
    return machine_push(m, m->memo.list[number]);
}

static bool op_binput(struct machine *m)
{
    return put(m, 1);
}

static bool op_long_binput(struct machine *m)
{
    return put(m, 4);
}

static bool op_binget(struct machine *m)
{
    return get(m, 1);
}

static bool op_long_binget(struct machine *m)
{
    return get(m, 4);
}

/* ---- opcodes: objects ------------------------------------------------------------------------ */

static bool op_binpersid(struct machine *m)
{
    struct value *id = machine_top(m, 1);
    return id && machine_storage(m, id, id);
}

static bool op_reduce(struct machine *m)
{
    struct value *pair = machine_top(m, 2), result;
    if (!pair || !machine_call(m, &pair[0], &pair[1], &result))
        return false;
    m->stack.count -= 2;
    return machine_push(m, result);
}

/* The only attributes that are set are a dictionary's own (_metadata), which nobody needs. */
static bool op_build(struct machine *m)
{
    const struct value *pair = machine_top(m, 2);
    if (!pair)
        return false;
    if (pair[0].kind != VALUE_DICT || pair[1].kind != VALUE_DICT)
        return machine_fail(m, "sets attributes of %s from %s; expected two dictionaries",
                            value_words(&pair[0]), value_words(&pair[1]));
    m->stack.count--;
    return true;
}

static bool op_stop(struct machine *m)
{
    if (m->stack.count != 1 || m->mark_count != 0)
        return machine_fail(m, "ends with %zu values on the stack; expected one", m->stack.count);
    const struct value *v = m->stack.list;
    if (v->kind != VALUE_DICT || v->at != 0)
        return machine_fail(m, "the file's value is %s; expected a dictionary of tensors",
                            v->kind == VALUE_DICT ? "an inner dictionary" : value_words(v));
    m->done = true;
    return true;
}

const struct opcode machine_opcodes[256] = {
    ['('] = {"MARK", op_mark},
    ['.'] = {"STOP", op_stop},
    ['J'] = {"BININT", op_binint},
    ['K'] = {"BININT1", op_binint1},
    ['M'] = {"BININT2", op_binint2},
    ['N'] = {"NONE", op_none},
    ['Q'] = {"BINPERSID", op_binpersid},
    ['R'] = {"REDUCE", op_reduce},
    ['X'] = {"BINUNICODE", op_binunicode},
    [']'] = {"EMPTY_LIST", op_list},
    ['a'] = {"APPEND", op_append},
    ['b'] = {"BUILD", op_build},
    ['c'] = {"GLOBAL", op_global},
    ['e'] = {"APPENDS", op_appends},
    ['h'] = {"BINGET", op_binget},
    ['j'] = {"LONG_BINGET", op_long_binget},
    ['q'] = {"BINPUT", op_binput},
    ['r'] = {"LONG_BINPUT", op_long_binput},
    ['s'] = {"SETITEM", op_setitem},
    ['t'] = {"TUPLE", op_tuple},
    ['u'] = {"SETITEMS", op_setitems},
    ['}'] = {"EMPTY_DICT", op_dict},
    [')'] = {"EMPTY_TUPLE", op_tuple0},
    [0x80] = {"PROTO", op_proto},
    [0x85] = {"TUPLE1", op_tuple1},
    [0x86] = {"TUPLE2", op_tuple2},
    [0x87] = {"TUPLE3", op_tuple3},
    [0x88] = {"NEWTRUE", op_true},
    [0x89] = {"NEWFALSE", op_false},
    [0x8a] = {"LONG1", op_long1},

    ['0'] = {"POP", NULL},
    ['1'] = {"POP_MARK", NULL},
    ['2'] = {"DUP", NULL},
    ['F'] = {"FLOAT", NULL},
    ['I'] = {"INT", NULL},
    ['L'] = {"LONG", NULL},
    ['P'] = {"PERSID", NULL},
    ['S'] = {"STRING", NULL},
    ['T'] = {"BINSTRING", NULL},
    ['U'] = {"SHORT_BINSTRING", NULL},
    ['V'] = {"UNICODE", NULL},
    ['d'] = {"DICT", NULL},
    ['g'] = {"GET", NULL},
    ['i'] = {"INST", NULL},
    ['l'] = {"LIST", NULL},
    ['o'] = {"OBJ", NULL},
    ['p'] = {"PUT", NULL},
    ['G'] = {"BINFLOAT", NULL},
    ['B'] = {"BINBYTES", NULL},
    ['C'] = {"SHORT_BINBYTES", NULL},
    [0x81] = {"NEWOBJ", NULL},
    [0x82] = {"EXT1", NULL},
    [0x83] = {"EXT2", NULL},
    [0x84] = {"EXT4", NULL},
    [0x8b] = {"LONG4", NULL},
    [0x8c] = {"SHORT_BINUNICODE", NULL},
    [0x8d] = {"BINUNICODE8", NULL},
    [0x8e] = {"BINBYTES8", NULL},
    [0x8f] = {"EMPTY_SET", NULL},
    [0x90] = {"ADDITEMS", NULL},
    [0x91] = {"FROZENSET", NULL},
    [0x92] = {"NEWOBJ_EX", NULL},
    [0x93] = {"STACK_GLOBAL", NULL},
    [0x94] = {"MEMOIZE", NULL},
    [0x95] = {"FRAME", NULL},
    [0x96] = {"BYTEARRAY8", NULL},
    [0x97] = {"NEXT_BUFFER", NULL},
    [0x98] = {"READONLY_BUFFER", NULL},
};
