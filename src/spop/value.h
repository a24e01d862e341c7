/*
 * value: typed data (SPOE.txt 3.1), one row a type in VALUE_TYPES.
 *
 * A value borrows its bytes from where it was decoded.  It has no union: the fields its
 * type does not use are zero, so that reading the wrong one gives nothing, never garbage.
 */
#ifndef SPOP_VALUE_H
#define SPOP_VALUE_H

#include "spop/wire.h"

/* X(identifier, number on the wire, name in our API and in `spoa-lua call`) */
#define VALUE_TYPES(X)                                                                             \
    X(NULL, 0, "null")                                                                             \
    X(BOOL, 1, "bool")                                                                             \
    X(INT32, 2, "int32")                                                                           \
    X(UINT32, 3, "uint32")                                                                         \
    X(INT64, 4, "int64")                                                                           \
    X(UINT64, 5, "uint64")                                                                         \
    X(IPV4, 6, "ipv4")                                                                             \
    X(IPV6, 7, "ipv6")                                                                             \
    X(STR, 8, "str")                                                                               \
    X(BIN, 9, "bin")

enum value_type {
#define X(id, number, name) VALUE_##id = number,
    VALUE_TYPES(X)
#undef X
};

#define VALUE_TYPE_COUNT 10

struct value {
    enum value_type type;
    uint64_t integer;  /* BOOL: 0 or 1; integers: 64 bits, INT32 sign-extended */
    struct span bytes; /* IPV4: 4 bytes, IPV6: 16, network order; STR and BIN: any */
};

/* "int32" and so on. */
const char *value_type_name(enum value_type type);

/* Finds a type by its name; false when there is none. */
bool value_type_find(struct span name, enum value_type *type);

/*
 * Reads one typed value.  On a bad cursor *value is NULL-typed.  Bad is: a type above
 * BIN, a length past the end, an INT32 or UINT32 outside its range.  A BOOL is true when
 * its flag bits are exactly 1, as HAProxy has it; those of other types are not looked at
 * (the specification gives them no meaning).
 */
void value_get(struct wire *wire, struct value *value);

/*
 * Passes over count pairs of a key and a value, refusing what value_get_pair would refuse.
 * The way to find where a message ends, and whether it is sound, at a third of the cost.
 */
void value_skip_pairs(struct wire *wire, unsigned count);

/* Writes one typed value; integers are reduced to what their type holds. */
void value_put(struct wire_out *out, const struct value *value);

static inline struct value value_null(void)
{
    return (struct value){.type = VALUE_NULL, .bytes = {"", 0}};
}

static inline struct value value_bool(bool boolean)
{
    return (struct value){.type = VALUE_BOOL, .integer = boolean, .bytes = {"", 0}};
}

/* Any of the four integer types. */
static inline struct value value_integer(enum value_type type, uint64_t integer)
{
    return (struct value){.type = type, .integer = integer, .bytes = {"", 0}};
}

/* IPV4, IPV6, STR or BIN. */
static inline struct value value_bytes(enum value_type type, struct span bytes)
{
    return (struct value){.type = type, .bytes = bytes};
}

/* Longest text of value_ip_text with its NUL (INET6_ADDRSTRLEN). */
#define VALUE_IP_TEXT_MAX 46

/* Writes an IPV4 or IPV6 value as inet_ntop does; returns the length without the NUL. */
size_t value_ip_text(const struct value *value, char text[VALUE_IP_TEXT_MAX]);

/* The reverse: parses text (exactly len bytes) into 4 or 16 bytes; false when it is no
 * such address. */
bool value_ip_parse(enum value_type type, struct span text, uint8_t bytes[16]);

/*
 * A key and its value, the element of a KV-list (SPOE.txt 3.1) and of a message's
 * arguments.  False at the end of the list or on a bad cursor: look at wire->bad then.
 */
bool value_get_pair(struct wire *wire, struct span *key, struct value *value);

void value_put_pair(struct wire_out *out, struct span key, const struct value *value);

#endif
