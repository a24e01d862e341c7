#include "modules/dict/entry.h"

#include <string.h>

static size_t payload_size(const struct dict_value *value)
{
    switch (value->type) {
    case DICT_STRING:
        return value->string.len;
    case DICT_INTEGER:
    case DICT_FLOAT:
        return 8;
    case DICT_BOOLEAN:
        return 1;
    }
    return 0;
}

static void payload_put(uint8_t *to, const struct dict_value *value)
{
    switch (value->type) {
    case DICT_STRING:
        if (value->string.len)
            memcpy(to, value->string.at, value->string.len);
        break;
    case DICT_INTEGER:
        memcpy(to, &value->integer, 8);
        break;
    case DICT_FLOAT:
        memcpy(to, &value->number, 8);
        break;
    case DICT_BOOLEAN:
        *to = value->boolean;
        break;
    }
}

static bool payload_get(const uint8_t *from, size_t len, struct dict_value *value)
{
    switch (value->type) {
    case DICT_STRING:
        value->string.at = (const char *)from;
        value->string.len = len;
        return true;
    case DICT_INTEGER:
        if (len == 8)
            memcpy(&value->integer, from, 8);
        return len == 8;
    case DICT_FLOAT:
        if (len == 8)
            memcpy(&value->number, from, 8);
        return len == 8;
    case DICT_BOOLEAN:
        value->boolean = len == 1 && *from == 1;
        return len == 1 && *from <= 1;
    }
    return false;
}

bool dict_key_put(struct dict_key *key, const struct dict_value *from)
{
    size_t len = payload_size(from);

    if (len > sizeof key->bytes - 1)
        return false;
    key->bytes[0] = (uint8_t)from->type;
    payload_put(key->bytes + 1, from);
    key->len = 1 + len;
    return true;
}

size_t dict_index_put(uint8_t to[DICT_INDEX_KEY_MAX], uint64_t expires, const void *key,
                      size_t key_len)
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)(expires >> (56 - 8 * i));
    memcpy(to + 8, key, key_len);
    return 8 + key_len;
}

uint64_t dict_index_get(const void *index, size_t len, struct dict_key *key)
{
    const uint8_t *from = index;
    uint64_t expires = 0;

    if (len < 9 || len > DICT_INDEX_KEY_MAX)
        return 0;
    for (int i = 0; i < 8; i++)
        expires = expires << 8 | from[i];
    key->len = len - 8;
    memcpy(key->bytes, from + 8, key->len);
    return expires;
}

size_t dict_value_size(const struct dict_value *value)
{
    return DICT_HEAD + payload_size(value);
}

void dict_value_put(uint8_t *to, const struct dict_value *value, uint64_t expires)
{
    to[0] = (uint8_t)value->type;
    memcpy(to + 1, &expires, 8);
    payload_put(to + DICT_HEAD, value);
}

bool dict_value_get(const void *bytes, size_t len, struct dict_value *value, uint64_t *expires)
{
    const uint8_t *from = bytes;

    if (len < DICT_HEAD)
        return false;
    value->type = from[0];
    memcpy(expires, from + 1, 8);
    return payload_get(from + DICT_HEAD, len - DICT_HEAD, value);
}
