#include "spop/wire.h"

/*
 * SPOE.txt 3.1: the first byte holds 4 bits above 240, every following one 7 bits, each
 * offset by the values that shorter forms can hold.  So there is exactly one encoding of a
 * number, and the tenth byte has room for the highest four bits alone.
 */
#define LAST_SHIFT 60

uint64_t wire_varint_rest(struct wire *wire, uint8_t first)
{
    const uint8_t *at = wire->at;
    uint64_t value = first, byte;
    unsigned shift = 4;

    /* Two bytes reach 2287: ports, stream-ids, lengths. */
    if (at != wire->end && *at < 128) {
        wire->at = at + 1;
        return value + ((uint64_t)*at << 4);
    }
    for (;;) {
        if (at == wire->end)
            goto bad;
        byte = *at++;
        if (shift == LAST_SHIFT)
            break;
        value += byte << shift;
        if (byte < 128) {
            wire->at = at;
            return value;
        }
        shift += 7;
    }
    if (byte > 15 || value > UINT64_MAX - (byte << LAST_SHIFT))
        goto bad;
    wire->at = at;
    return value + (byte << LAST_SHIFT);

bad:
    wire_fail(wire);
    return 0;
}

size_t wire_varint_size_long(uint64_t value)
{
    size_t size = 1;

    for (value = (value - 240) >> 4; value >= 128; value = (value - 128) >> 7)
        size++;
    return size + 1;
}

void wire_put_varint_long(struct wire_out *out, uint64_t value)
{
    uint8_t *at = wire_put_room(out, wire_varint_size(value));

    if (!at)
        return;
    *at++ = (uint8_t)(value | 240);
    for (value = (value - 240) >> 4; value >= 128; value = (value - 128) >> 7)
        *at++ = (uint8_t)(value | 128);
    *at = (uint8_t)value;
}
