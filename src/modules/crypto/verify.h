/*
 * crypto_verify: signatures as JSON Web Algorithms (RFC 7518 3, RFC 8037) has them.
 */
#ifndef MODULES_CRYPTO_VERIFY_H
#define MODULES_CRYPTO_VERIFY_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "modules/crypto/key.h"

struct crypto_algorithm;

/* RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA; NULL for any other. */
const struct crypto_algorithm *crypto_algorithm_find(const char *name);

/* Whether such signatures are made with such a key; what to say if not. */
bool crypto_algorithm_fits(const struct crypto_algorithm *algorithm, const struct crypto_key *key);
const char *crypto_algorithm_wants(const struct crypto_algorithm *algorithm);

/* The key must fit.  An ES signature is r and s, each as long as the curve's numbers. */
bool crypto_verify(const struct crypto_algorithm *algorithm, const struct crypto_key *key,
                   const void *data, size_t data_len, const void *signature, size_t signature_len);

#endif
