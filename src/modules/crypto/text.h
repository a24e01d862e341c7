/*
 * crypto_text: bytes as hexadecimal, base64 (RFC 4648, 4) and base64url (5), and back.
 *
 * Decoding takes nothing but what encoding can have written: no blanks, no line ends, and no
 * bits that mean nothing, so that a text has one reading and bytes have one text.  No OpenSSL, no
 * Lua.
 */
#ifndef MODULES_CRYPTO_TEXT_H
#define MODULES_CRYPTO_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* 2 * len characters. */
void crypto_hex_put(char *to, const char *from, size_t len);

/* len / 2 bytes; either case.  False if it is not hexadecimal. */
bool crypto_hex_get(char *to, const char *from, size_t len);

enum crypto_base64 { CRYPTO_BASE64, CRYPTO_BASE64URL };

/* The most characters that len bytes make, and the most bytes that len characters make. */
#define CRYPTO_BASE64_SIZE(len)  (((len) + 2) / 3 * 4)
#define CRYPTO_BASE64_BYTES(len) (((len) + 3) / 4 * 3)

/* Returns how many were written.  base64url has no '=' at the end. */
size_t crypto_base64_put(enum crypto_base64 kind, char *to, const char *from, size_t len);

/* False if that is no base64.  base64 must have its '=', base64url may. */
bool crypto_base64_get(enum crypto_base64 kind, char *to, size_t *size, const char *from,
                       size_t len);

#endif
