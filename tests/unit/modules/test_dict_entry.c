#include "../unit.h"

#include <string.h>

#include "modules/dict/entry.c"

static struct dict_value text(const char *at, size_t len)
{
    struct dict_value value = {.type = DICT_STRING};

    value.string.at = at;
    value.string.len = len;
    return value;
}

START_TEST(types_make_different_keys)
{
    struct dict_value one = {.type = DICT_INTEGER, .integer = 1};
    struct dict_value yes = {.type = DICT_BOOLEAN, .boolean = true};
    struct dict_value string = text("1", 1);
    struct dict_key a, b, c;

    ck_assert(dict_key_put(&a, &one) && dict_key_put(&b, &yes) && dict_key_put(&c, &string));
    ck_assert(a.len == 9 && b.len == 2 && c.len == 2);
    ck_assert_mem_ne(b.bytes, c.bytes, 2);
}
END_TEST

START_TEST(longest_key)
{
    static char bytes[DICT_KEY_MAX];
    struct dict_value fits = text(bytes, DICT_KEY_MAX - 1), not = text(bytes, DICT_KEY_MAX);
    struct dict_key key;

    ck_assert(dict_key_put(&key, &fits));
    ck_assert_uint_eq(key.len, DICT_KEY_MAX);
    ck_assert(!dict_key_put(&key, &not ));
}
END_TEST

START_TEST(index_is_sorted_by_time)
{
    uint8_t early[DICT_INDEX_KEY_MAX], late[DICT_INDEX_KEY_MAX];
    struct dict_key key;

    ck_assert_uint_eq(dict_index_put(early, 255, "sz", 2), 10);
    dict_index_put(late, 256, "sa", 2);
    ck_assert_int_lt(memcmp(early, late, 10), 0);
    ck_assert_uint_eq(dict_index_get(late, 10, &key), 256);
    ck_assert_uint_eq(key.len, 2);
    ck_assert_mem_eq(key.bytes, "sa", 2);
    ck_assert_uint_eq(dict_index_get(late, 8, &key), 0);
    ck_assert_uint_eq(dict_index_get(late, DICT_INDEX_KEY_MAX + 1, &key), 0);
}
END_TEST

START_TEST(values_come_back)
{
    struct dict_value values[] = {
        {.type = DICT_INTEGER, .integer = INT64_MIN},
        {.type = DICT_FLOAT, .number = 0.1},
        {.type = DICT_BOOLEAN, .boolean = false},
        {.type = DICT_BOOLEAN, .boolean = true},
        text("a\0b", 3),
        text("", 0),
    };

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        uint8_t bytes[32];
        size_t len = dict_value_size(&values[i]);
        struct dict_value back;
        uint64_t expires;

        dict_value_put(bytes, &values[i], 77);
        ck_assert(dict_value_get(bytes, len, &back, &expires));
        ck_assert_uint_eq(expires, 77);
        ck_assert_int_eq(back.type, values[i].type);
        if (back.type == DICT_STRING) {
            ck_assert_uint_eq(back.string.len, values[i].string.len);
            ck_assert(memcmp(back.string.at, values[i].string.at, back.string.len) == 0);
        } else if (back.type == DICT_BOOLEAN) {
            ck_assert(back.boolean == values[i].boolean);
        } else {
            ck_assert(back.integer == values[i].integer);
        }
    }
}
END_TEST

START_TEST(what_is_no_value)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"", 0},          {"s1234567", 8},     {"i123456781234567", 16}, {"f12345678123456789", 18},
        {"b12345678", 9}, {"b12345678\2", 10}, {"x12345678", 9},
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct dict_value value;
        uint64_t expires;

        ck_assert(!dict_value_get(bad[i].bytes, bad[i].len, &value, &expires));
    }
}
END_TEST

UNIT_MAIN("dict entry", types_make_different_keys, longest_key, index_is_sorted_by_time,
          values_come_back, what_is_no_value)
