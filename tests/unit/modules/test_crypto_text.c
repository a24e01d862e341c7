#include "../unit.h"

#include <string.h>

#include "modules/crypto/text.c"

START_TEST(hex)
{
    char text[8], bytes[4];

    crypto_hex_put(text, "\0\x7f\xff\xa0", 4);
    ck_assert_mem_eq(text, "007fffa0", 8);
    ck_assert(crypto_hex_get(bytes, "007FffA0", 8));
    ck_assert_mem_eq(bytes, "\0\x7f\xff\xa0", 4);
    ck_assert(!crypto_hex_get(bytes, "0", 1));
    ck_assert(!crypto_hex_get(bytes, "0g", 2));
    ck_assert(!crypto_hex_get(bytes, "/0", 2));
}
END_TEST

/* RFC 4648, 10. */
START_TEST(base64_of_the_rfc)
{
    static const char *const rows[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[16], bytes[16];
        size_t size, len = crypto_base64_put(CRYPTO_BASE64, text, rows[i][0], strlen(rows[i][0]));

        ck_assert_uint_eq(len, strlen(rows[i][1]));
        ck_assert(memcmp(text, rows[i][1], len) == 0);
        ck_assert(crypto_base64_get(CRYPTO_BASE64, bytes, &size, text, len));
        ck_assert_uint_eq(size, strlen(rows[i][0]));
        ck_assert(memcmp(bytes, rows[i][0], size) == 0);
        len = crypto_base64_put(CRYPTO_BASE64URL, text, rows[i][0], size);
        ck_assert(crypto_base64_get(CRYPTO_BASE64URL, bytes, &size, text, len));
        ck_assert_uint_eq(size, strlen(rows[i][0]));
    }
}
END_TEST

START_TEST(alphabets)
{
    char text[8], bytes[8];
    size_t size;

    ck_assert_uint_eq(crypto_base64_put(CRYPTO_BASE64, text, "\xfb\xff\xfe", 3), 4);
    ck_assert_mem_eq(text, "+//+", 4);
    ck_assert_uint_eq(crypto_base64_put(CRYPTO_BASE64URL, text, "\xfb\xff\xfe", 3), 4);
    ck_assert_mem_eq(text, "-__-", 4);
    ck_assert(!crypto_base64_get(CRYPTO_BASE64, bytes, &size, "-__-", 4));
    ck_assert(!crypto_base64_get(CRYPTO_BASE64URL, bytes, &size, "+//+", 4));
}
END_TEST

START_TEST(what_is_not_base64)
{
    static const char *const both[] = {"Z",      "Zh==", "Zm9=",  "Z===", "====", "Zg=a",
                                       "Zm9v\n", "Z m9", "Zm9vZ", "Zm=v", "=Zm9"};
    char bytes[16];
    size_t size;

    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        ck_assert(!crypto_base64_get(CRYPTO_BASE64, bytes, &size, both[i], strlen(both[i])));
        ck_assert(!crypto_base64_get(CRYPTO_BASE64URL, bytes, &size, both[i], strlen(both[i])));
    }
    ck_assert(!crypto_base64_get(CRYPTO_BASE64, bytes, &size, "Zg", 2));
    ck_assert(!crypto_base64_get(CRYPTO_BASE64URL, bytes, &size, "Zg=", 3));
    ck_assert(!crypto_base64_get(CRYPTO_BASE64URL, bytes, &size, "Zh", 2));
    ck_assert(crypto_base64_get(CRYPTO_BASE64URL, bytes, &size, "Zg==", 4));
}
END_TEST

UNIT_MAIN("crypto text", hex, base64_of_the_rfc, alphabets, what_is_not_base64)
