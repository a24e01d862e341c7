/*
 * crypto_key: a public key, read once and used for many signatures.
 */
#ifndef MODULES_CRYPTO_KEY_H
#define MODULES_CRYPTO_KEY_H

#include <openssl/evp.h>
#include <stddef.h>

enum crypto_kind { CRYPTO_RSA, CRYPTO_RSA_PSS, CRYPTO_EC, CRYPTO_ED25519 };

struct crypto_key {
    EVP_PKEY *pkey; /* NULL until it is read */
    enum crypto_kind kind;
    int bits;
    int curve; /* CRYPTO_EC: its NID */
};

/* The words of a JSON Web Key (RFC 7517), still base64url, NULL for those that are missing. */
struct crypto_jwk {
    const char *kty, *crv, *n, *e, *x, *y;
};

/*
 * Reads a key; NULL, or what is wrong with it.  PEM is "PUBLIC KEY", "RSA PUBLIC KEY" or
 * "CERTIFICATE" (whose validity nobody looks at).  RSA has 2048 to 16384 bits, EC is on P-256,
 * P-384 or P-521.
 */
const char *crypto_key_read_pem(struct crypto_key *key, const char *pem, size_t len);
const char *crypto_key_read_jwk(struct crypto_key *key, const struct crypto_jwk *jwk);

void crypto_key_clear(struct crypto_key *key);

/* "RSA", "RSA-PSS", "EC" or "Ed25519". */
const char *crypto_key_type(const struct crypto_key *key);

#endif
