#include "modules/crypto/text.h"

#include <stdint.h>

void crypto_hex_put(char *to, const char *from, size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        *to++ = digits[(uint8_t)from[i] >> 4];
        *to++ = digits[(uint8_t)from[i] & 15];
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool crypto_hex_get(char *to, const char *from, size_t len)
{
    if (len % 2)
        return false;
    for (size_t i = 0; i < len; i += 2) {
        int high = hex_digit(from[i]), low = hex_digit(from[i + 1]);

        if (high < 0 || low < 0)
            return false;
        *to++ = (char)(high * 16 + low);
    }
    return true;
}

static char base64_digit(enum crypto_base64 kind, unsigned value)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    if (value < 62)
        return digits[value];
    if (kind == CRYPTO_BASE64)
        return value == 62 ? '+' : '/';
    return value == 62 ? '-' : '_';
}

static int base64_value(enum crypto_base64 kind, char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (kind == CRYPTO_BASE64 ? '+' : '-'))
        return 62;
    return c == (kind == CRYPTO_BASE64 ? '/' : '_') ? 63 : -1;
}

size_t crypto_base64_put(enum crypto_base64 kind, char *to, const char *from, size_t len)
{
    char *begin = to;

    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)(uint8_t)from[i] << 16;

        if (left > 1)
            bits |= (uint32_t)(uint8_t)from[i + 1] << 8;
        if (left > 2)
            bits |= (uint8_t)from[i + 2];
        for (size_t n = 0; n <= left; n++)
            *to++ = base64_digit(kind, bits >> (18 - 6 * n) & 63);
        for (size_t n = left; kind == CRYPTO_BASE64 && n < 3; n++)
            *to++ = '=';
    }
    return (size_t)(to - begin);
}

bool crypto_base64_get(enum crypto_base64 kind, char *to, size_t *size, const char *from,
                       size_t len)
{
    char *begin = to;
    uint32_t bits = 0;
    unsigned held = 0; /* bits that make no byte yet */

    if (len % 4 == 0) {
        for (int i = 0; i < 2 && len && from[len - 1] == '='; i++)
            len--;
    } else if (kind == CRYPTO_BASE64) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        int value = base64_value(kind, from[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held >= 8) {
            held -= 8;
            *to++ = (char)(bits >> held);
            bits &= (1U << held) - 1;
        }
    }
    *size = (size_t)(to - begin);
    return len % 4 != 1 && bits == 0;
}
