#include "spop/value.h"

#include <arpa/inet.h>
#include <assert.h>

#define TYPE_MASK 0x0f
#define FLAG_MASK 0xf0
#define FLAG_TRUE 0x10

#define IPV4_LEN 4
#define IPV6_LEN 16

static const char *const type_names[VALUE_TYPE_COUNT] = {
#define X(id, number, name) [number] = name,
    VALUE_TYPES(X)
#undef X
};

#define X(id, number, name) +1
_Static_assert(0 VALUE_TYPES(X) == VALUE_TYPE_COUNT, "VALUE_TYPE_COUNT counts the rows");
#undef X

const char *value_type_name(enum value_type type)
{
    return (unsigned)type < VALUE_TYPE_COUNT ? type_names[type] : "unknown";
}

bool value_type_find(struct span name, enum value_type *type)
{
    for (unsigned i = 0; i < VALUE_TYPE_COUNT; i++) {
        if (span_is(name, type_names[i])) {
            *type = (enum value_type)i;
            return true;
        }
    }
    return false;
}

/* An integer of a type narrower than the varint that carries it. */
static inline uint64_t value_integer_get(struct wire *wire, unsigned type)
{
    uint64_t integer = wire_varint(wire);

    if ((type == VALUE_INT32 && integer + 0x80000000u > UINT32_MAX) ||
        (type == VALUE_UINT32 && integer > UINT32_MAX)) {
        wire_fail(wire);
        return 0;
    }
    return integer;
}

static inline struct span value_fixed_get(struct wire *wire, size_t len)
{
    const uint8_t *at = wire->at;

    if (len > wire_left(wire)) {
        wire_fail(wire);
        return (struct span){"", 0};
    }
    wire->at += len;
    return (struct span){(const char *)at, len};
}

/* The cursor is a caller's local one: inlined there, it lives in registers. */
static inline void value_read(struct wire *wire, struct value *value)
{
    uint8_t head = wire_byte(wire);
    unsigned type = head & TYPE_MASK;

    *value = value_null();
    switch (type) {
    case VALUE_NULL:
        return;
    case VALUE_BOOL:
        value->integer = (head & FLAG_MASK) == FLAG_TRUE;
        break;
    case VALUE_INT32:
    case VALUE_UINT32:
    case VALUE_INT64:
    case VALUE_UINT64:
        value->integer = value_integer_get(wire, type);
        break;
    case VALUE_IPV4:
        value->bytes = value_fixed_get(wire, IPV4_LEN);
        break;
    case VALUE_IPV6:
        value->bytes = value_fixed_get(wire, IPV6_LEN);
        break;
    case VALUE_STR:
    case VALUE_BIN:
        value->bytes = wire_string(wire);
        break;
    default:
        wire_fail(wire);
    }
    if (!wire->bad)
        value->type = (enum value_type)type;
}

void value_get(struct wire *wire, struct value *value)
{
    struct wire at = *wire;

    value_read(&at, value);
    *wire = at;
}

void value_skip_pairs(struct wire *wire, unsigned count)
{
    struct wire at = *wire;

    while (count-- > 0 && !at.bad) {
        wire_bytes(&at, wire_varint(&at));
        unsigned type = wire_byte(&at) & TYPE_MASK;
        switch (type) {
        case VALUE_NULL:
        case VALUE_BOOL:
            break;
        case VALUE_INT32:
        case VALUE_UINT32:
        case VALUE_INT64:
        case VALUE_UINT64:
            value_integer_get(&at, type);
            break;
        case VALUE_IPV4:
            wire_bytes(&at, IPV4_LEN);
            break;
        case VALUE_IPV6:
            wire_bytes(&at, IPV6_LEN);
            break;
        case VALUE_STR:
        case VALUE_BIN:
            wire_bytes(&at, wire_varint(&at));
            break;
        default:
            wire_fail(&at);
        }
    }
    *wire = at;
}

void value_put(struct wire_out *out, const struct value *value)
{
    /* HAProxy takes a STR with any flag for a BIN, and only 0x11 for true. */
    uint8_t head = (uint8_t)value->type;

    if (value->type == VALUE_BOOL && value->integer)
        head |= FLAG_TRUE;
    wire_put_byte(out, head);

    switch (value->type) {
    case VALUE_NULL:
    case VALUE_BOOL:
        break;
    case VALUE_INT32:
        wire_put_varint(out, (uint64_t)(int64_t)(int32_t)(uint32_t)value->integer);
        break;
    case VALUE_UINT32:
        wire_put_varint(out, (uint32_t)value->integer);
        break;
    case VALUE_INT64:
    case VALUE_UINT64:
        wire_put_varint(out, value->integer);
        break;
    case VALUE_IPV4:
        assert(value->bytes.len == IPV4_LEN);
        wire_put_bytes(out, value->bytes.at, IPV4_LEN);
        break;
    case VALUE_IPV6:
        assert(value->bytes.len == IPV6_LEN);
        wire_put_bytes(out, value->bytes.at, IPV6_LEN);
        break;
    case VALUE_STR:
    case VALUE_BIN:
        wire_put_string(out, value->bytes);
        break;
    }
}

/* "0." to "255.", for a copy of four bytes each. */
#define TEN(head)                                                                                  \
    head "0.", head "1.", head "2.", head "3.", head "4.", head "5.", head "6.", head "7.",        \
        head "8.", head "9."
#define HUNDRED(head)                                                                              \
    TEN(head "0"), TEN(head "1"), TEN(head "2"), TEN(head "3"), TEN(head "4"), TEN(head "5"),      \
        TEN(head "6"), TEN(head "7"), TEN(head "8"), TEN(head "9")

static const char octets[256][5] = {
    TEN(""),  TEN("1"), TEN("2"),     TEN("3"),  TEN("4"),  TEN("5"),  TEN("6"),  TEN("7"),
    TEN("8"), TEN("9"), HUNDRED("1"), TEN("20"), TEN("21"), TEN("22"), TEN("23"), TEN("24"),
    "250.",   "251.",   "252.",       "253.",    "254.",    "255.",
};

/* By hand: inet_ntop goes through vfprintf, and nearly every message has an address. */
static size_t value_ipv4_text(const uint8_t *bytes, char *text)
{
    char *at = text;

    for (int i = 0; i < IPV4_LEN; i++) {
        unsigned number = bytes[i];
        memcpy(at, octets[number], 4);
        at += 2 + (number > 9) + (number > 99);
    }
    *--at = '\0';
    return (size_t)(at - text);
}

size_t value_ip_text(const struct value *value, char text[VALUE_IP_TEXT_MAX])
{
    text[0] = '\0';
    if (value->type == VALUE_IPV4 && value->bytes.len == IPV4_LEN)
        return value_ipv4_text((const uint8_t *)value->bytes.at, text);
    if (value->type != VALUE_IPV6 || value->bytes.len != IPV6_LEN)
        return 0;
    return inet_ntop(AF_INET6, value->bytes.at, text, VALUE_IP_TEXT_MAX) ? strlen(text) : 0;
}

bool value_ip_parse(enum value_type type, struct span text, uint8_t bytes[16])
{
    char copy[VALUE_IP_TEXT_MAX];

    if ((type != VALUE_IPV4 && type != VALUE_IPV6) || text.len >= sizeof copy ||
        memchr(text.at, '\0', text.len))
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    return inet_pton(type == VALUE_IPV4 ? AF_INET : AF_INET6, copy, bytes) == 1;
}

bool value_get_pair(struct wire *wire, struct span *key, struct value *value)
{
    struct wire at = *wire;

    if (wire_done(&at))
        return false;
    *key = wire_string(&at);
    value_read(&at, value);
    *wire = at;
    return !at.bad;
}

void value_put_pair(struct wire_out *out, struct span key, const struct value *value)
{
    wire_put_string(out, key);
    value_put(out, value);
}
