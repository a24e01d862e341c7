/*
 * dict_entry: how keys and values of a shared dictionary are written in its file.
 *
 * A key is its type's letter and its bytes; a value is a head (its type's letter, when it
 * expires) and its bytes.  Types are kept: the string "1" and the integer 1 are two keys.
 * Only processes of one host read the file, so numbers are in the host's byte order, but
 * for the index of what expires, which is sorted by memcmp.  No I/O, no Lua, no LMDB.
 */
#ifndef MODULES_DICT_ENTRY_H
#define MODULES_DICT_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* LMDB's limit, of which the index of what expires takes 8 bytes and the type 1. */
#define DICT_INDEX_KEY_MAX 511
#define DICT_KEY_MAX       (DICT_INDEX_KEY_MAX - 8)
#define DICT_HEAD          9

enum dict_type { DICT_STRING = 's', DICT_INTEGER = 'i', DICT_FLOAT = 'f', DICT_BOOLEAN = 'b' };

struct dict_value {
    enum dict_type type;
    union {
        struct {
            const char *at; /* somebody else's bytes */
            size_t len;
        } string;
        int64_t integer;
        double number;
        bool boolean;
    };
};

struct dict_key {
    uint8_t bytes[DICT_KEY_MAX];
    size_t len;
};

/* False if the string is too long for a key (DICT_KEY_MAX - 1 bytes). */
bool dict_key_put(struct dict_key *key, const struct dict_value *from);

/* The key of the index: expires (big-endian), then the key.  Returns its length. */
size_t dict_index_put(uint8_t to[DICT_INDEX_KEY_MAX], uint64_t expires, const void *key,
                      size_t key_len);

/* The other way: when it expires, with the key that follows it; 0 if that is no index key. */
uint64_t dict_index_get(const void *index, size_t len, struct dict_key *key);

/* Bytes that dict_value_put writes. */
size_t dict_value_size(const struct dict_value *value);

void dict_value_put(uint8_t *to, const struct dict_value *value, uint64_t expires);

/* False if these are not bytes that dict_value_put wrote.  A string points into them. */
bool dict_value_get(const void *bytes, size_t len, struct dict_value *value, uint64_t *expires);

#endif
