/* unpickle_internal.h - the machine (unpickle_machine.c) that calls (unpickle_objects.c) and opcodes
 * (unpickle_opcodes.c) work on. */
#ifndef QTOP_UNPICKLE_INTERNAL_H
#define QTOP_UNPICKLE_INTERNAL_H

#include "unpickle.h"

enum value_kind {
    VALUE_NOTHING, /* of a memo slot that was never put */
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_TEXT,    /* at: its offset in the pickle, count: bytes */
    VALUE_GLOBAL,  /* at: its number in the table */
    VALUE_TUPLE,   /* at: its first item in the machine's items, count: how many */
    VALUE_LIST,    /* what is in it is not kept */
    VALUE_DICT,    /* at: its number; 0, the first one, is the file's value */
    VALUE_STORAGE, /* at: its persistent id's items */
    VALUE_TENSOR,  /* at: the items that it was called with */
    VALUE_KINDS
};

struct value {
    uint32_t kind, count;
    uint64_t at; /* or the integer, in two's complement */
};

struct values {
    struct value *list;
    size_t count, room;
};

enum { MAX_MARKS = 64, MAX_STACK = 1 << 16 };

struct machine {
    const uint8_t *data;
    size_t size, at;
    size_t opcode_at; /* where the current opcode is */

    struct values stack, memo, items; /* items: those of all tuples, which never change */
    size_t marks[MAX_MARKS], mark_count;
    size_t budget;     /* values that may still be kept */
    size_t name_bytes; /* that the names of tensors may still have together */
    size_t dicts;
    bool done;

    pickle_see *see;
    void *arg;
    struct error *error;
};

/* Fails with "pickle at byte N: " before the line. */
bool machine_fail(struct machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Counts values that stay until the end against what so long a pickle may need. */
bool machine_charge(struct machine *m, size_t values);

/* The stack. Taking fails below the last mark, so that no opcode reaches what another list
 * began. */
bool machine_reserve(struct machine *m, struct values *values); /* room for one more */
bool machine_append(struct machine *m, struct values *values, struct value v);
bool machine_push(struct machine *m, struct value v);
bool machine_push_kind(struct machine *m, enum value_kind kind, uint64_t at);
struct value *machine_top(struct machine *m, size_t n);   /* the topmost n; null on failure */
bool machine_pop_mark(struct machine *m, size_t *first);  /* first: the one above the mark */

/* The n bytes of an opcode's argument; null where the pickle ends before. As a little-endian
 * number: n <= 8. */
const uint8_t *machine_take(struct machine *m, size_t n);
bool machine_take_number(struct machine *m, size_t n, uint64_t *out);

/* All opcodes up to protocol 5: an error names the ones that are not run. */
struct opcode {
    const char *name;
    bool (*run)(struct machine *m); /* null: refused */
};
extern const struct opcode machine_opcodes[256];

/* What a value is, in words: "a tuple". */
const char *value_words(const struct value *v);

/* Finds a global by its two names and makes it a value. */
bool machine_global(struct machine *m, const char *module, size_t module_size, const char *name,
                    size_t name_size, struct value *out);

/* Calls a global with a tuple. */
bool machine_call(struct machine *m, const struct value *function, const struct value *arguments,
                  struct value *out);

/* The storage that a persistent id stands for. */
bool machine_storage(struct machine *m, const struct value *id, struct value *out);

/* Makes an empty dictionary. */
struct value machine_dict(struct machine *m);

/* Puts an item into a dictionary. */
bool machine_set_item(struct machine *m, const struct value *dict, const struct value *key,
                      const struct value *value);

#endif
