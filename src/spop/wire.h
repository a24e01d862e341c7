/*
 * wire: the bytes of SPOP (SPOE.txt 3.1), read and written through cursors.
 *
 * Both cursors are sticky: a read past the end, or a write that does not fit, marks the
 * cursor and every later call does nothing, so that a decoder or encoder is straight-line
 * code with one look at the end.  Nothing here allocates; what is read points into the
 * bytes the cursor was opened on.
 */
#ifndef SPOP_WIRE_H
#define SPOP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A varint of 64 bits takes ten bytes at the most. */
#define WIRE_VARINT_MAX 10

/* Some bytes that somebody else owns.  Not NUL-terminated. */
struct span {
    const char *at;
    size_t len;
};

static inline struct span span_of(const char *text)
{
    return (struct span){text, strlen(text)};
}

static inline bool span_is(struct span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

/* ---- reading ---- */

struct wire {
    const uint8_t *at, *end;
    bool bad; /* something was asked for that is not there */
};

static inline struct wire wire_open(const void *bytes, size_t len)
{
    return (struct wire){bytes, (const uint8_t *)bytes + len, false};
}

static inline size_t wire_left(const struct wire *wire)
{
    return (size_t)(wire->end - wire->at);
}

static inline bool wire_done(const struct wire *wire)
{
    return wire->bad || wire->at == wire->end;
}

static inline void wire_fail(struct wire *wire)
{
    wire->bad = true;
    wire->at = wire->end;
}

/* N bytes, or NULL (and a bad cursor) when they are not all there. */
static inline const uint8_t *wire_bytes(struct wire *wire, uint64_t n)
{
    const uint8_t *at = wire->at;

    if (n > wire_left(wire)) {
        wire_fail(wire);
        return NULL;
    }
    wire->at += n;
    return at;
}

/* 0 on a bad cursor. */
static inline uint8_t wire_byte(struct wire *wire)
{
    if (wire->at == wire->end) {
        wire_fail(wire);
        return 0;
    }
    return *wire->at++;
}

/* The rest of a varint whose first byte was 240 or more; wire_varint calls it. */
uint64_t wire_varint_rest(struct wire *wire, uint8_t first);

/* 0 on a bad cursor; a varint of more than 64 bits is bad (HAProxy's own decoder has
 * undefined behaviour there). */
static inline uint64_t wire_varint(struct wire *wire)
{
    uint8_t first = wire_byte(wire);

    if (first < 240)
        return first;

    /* Through a copy, so that a caller's local cursor can live in registers. */
    struct wire rest = *wire;
    uint64_t value = wire_varint_rest(&rest, first);
    *wire = rest;
    return value;
}

/* A length-prefixed string; an empty span on a bad cursor. */
static inline struct span wire_string(struct wire *wire)
{
    uint64_t len = wire_varint(wire);
    const uint8_t *at = wire->at;

    if (len > wire_left(wire)) {
        wire_fail(wire);
        return (struct span){"", 0};
    }
    wire->at += len;
    return (struct span){(const char *)at, (size_t)len};
}

/* ---- writing ---- */

struct wire_out {
    uint8_t *at, *end;
    bool full; /* something did not fit */
};

static inline struct wire_out wire_out_open(void *bytes, size_t room)
{
    return (struct wire_out){bytes, (uint8_t *)bytes + room, false};
}

/* Room for n bytes, or NULL (and a full cursor). */
static inline uint8_t *wire_put_room(struct wire_out *out, size_t n)
{
    uint8_t *at = out->at;

    if (n > (size_t)(out->end - out->at)) {
        out->full = true;
        out->end = out->at;
        return NULL;
    }
    out->at += n;
    return at;
}

static inline void wire_put_byte(struct wire_out *out, uint8_t byte)
{
    uint8_t *at = wire_put_room(out, 1);

    if (at)
        *at = byte;
}

static inline void wire_put_bytes(struct wire_out *out, const void *bytes, size_t len)
{
    uint8_t *at = wire_put_room(out, len);

    if (at && len)
        memcpy(at, bytes, len);
}

/* wire_varint_size for values of 2288 and more. */
size_t wire_varint_size_long(uint64_t value);

/* How many bytes the varint of value takes. */
static inline size_t wire_varint_size(uint64_t value)
{
    return value < 240 ? 1 : value < 2288 ? 2 : wire_varint_size_long(value);
}

/* wire_put_varint for values of 240 and more. */
void wire_put_varint_long(struct wire_out *out, uint64_t value);

static inline void wire_put_varint(struct wire_out *out, uint64_t value)
{
    if (value < 240)
        wire_put_byte(out, (uint8_t)value);
    else
        wire_put_varint_long(out, value);
}

static inline void wire_put_string(struct wire_out *out, struct span span)
{
    wire_put_varint(out, span.len);
    wire_put_bytes(out, span.at, span.len);
}

#endif
