/*
 * exact: bytes in a heap block of exactly their size, so that AddressSanitizer sees every
 * read past their end, and every write past a cursor's room.
 */
#ifndef EXACT_H
#define EXACT_H

#include "spop/wire.h"

#include <check.h>
#include <stdlib.h>

static inline uint8_t *exact_new(const void *bytes, size_t len)
{
    uint8_t *block = malloc(len ? len : 1);

    ck_assert_ptr_nonnull(block);
    /* No byte may be read of an empty block either: its one byte is left behind. */
    if (bytes && len)
        memcpy(block, bytes, len);
    return len ? block : block + 1;
}

static inline void exact_free(uint8_t *block, size_t len)
{
    free(len ? block : block - 1);
}

/*
 * Decodes every proper prefix of len good bytes, and the whole.  decode tells whether its
 * cursor came out good; a prefix must not.
 */
static inline void exact_cuts(const void *bytes, size_t len, bool (*decode)(struct wire))
{
    for (size_t cut = 0; cut <= len; cut++) {
        uint8_t *block = exact_new(bytes, cut);
        bool good = decode(wire_open(block, cut));
        exact_free(block, cut);
        ck_assert_msg(good == (cut == len), "cut at %zu of %zu: %s", cut, len,
                      good ? "good" : "bad");
    }
}

/*
 * Encodes into every room smaller than len, and into len.  Only then may the cursor not be
 * full, and the bytes must be those expected.
 */
static inline void exact_rooms(const void *bytes, size_t len, void (*encode)(struct wire_out *))
{
    for (size_t room = 0; room <= len; room++) {
        uint8_t *block = exact_new(NULL, room);
        struct wire_out out = wire_out_open(block, room);
        encode(&out);
        ck_assert_msg(out.full == (room < len), "room %zu of %zu: %s", room, len,
                      out.full ? "full" : "not full");
        if (room == len)
            ck_assert_mem_eq(block, bytes, len);
        exact_free(block, room);
    }
}

/* A string literal's bytes, its embedded NULs included. */
#define BYTES(literal) (literal), sizeof(literal) - 1

#endif
