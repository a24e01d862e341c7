#include "modules/crypto/verify.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

struct crypto_algorithm {
    const char *name;
    enum crypto_kind kind;
    const EVP_MD *(*digest)(void);
    bool pss;
    int curve;
    size_t number; /* ES: bytes of r, and of s */
    const char *wants;
};

static const struct crypto_algorithm rows[] = {
    {"RS256", CRYPTO_RSA, EVP_sha256, false, 0, 0, "an RSA key"},
    {"RS384", CRYPTO_RSA, EVP_sha384, false, 0, 0, "an RSA key"},
    {"RS512", CRYPTO_RSA, EVP_sha512, false, 0, 0, "an RSA key"},
    {"PS256", CRYPTO_RSA, EVP_sha256, true, 0, 0, "an RSA key"},
    {"PS384", CRYPTO_RSA, EVP_sha384, true, 0, 0, "an RSA key"},
    {"PS512", CRYPTO_RSA, EVP_sha512, true, 0, 0, "an RSA key"},
    {"ES256", CRYPTO_EC, EVP_sha256, false, NID_X9_62_prime256v1, 32, "an EC key on P-256"},
    {"ES384", CRYPTO_EC, EVP_sha384, false, NID_secp384r1, 48, "an EC key on P-384"},
    {"ES512", CRYPTO_EC, EVP_sha512, false, NID_secp521r1, 66, "an EC key on P-521"},
    {"EdDSA", CRYPTO_ED25519, NULL, false, 0, 0, "an Ed25519 key"},
};

const struct crypto_algorithm *crypto_algorithm_find(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    }
    return NULL;
}

bool crypto_algorithm_fits(const struct crypto_algorithm *algorithm, const struct crypto_key *key)
{
    if (key->kind == CRYPTO_RSA_PSS)
        return algorithm->pss;
    return key->kind == algorithm->kind &&
           (key->kind != CRYPTO_EC || key->curve == algorithm->curve);
}

const char *crypto_algorithm_wants(const struct crypto_algorithm *algorithm)
{
    return algorithm->wants;
}

/* OpenSSL wants r and s in DER; returns its length, or 0. */
static size_t to_der(size_t number, const uint8_t *signature, size_t len, uint8_t *der)
{
    ECDSA_SIG *pair;
    BIGNUM *r, *s;
    int size = 0;

    if (len != 2 * number)
        return 0;
    pair = ECDSA_SIG_new();
    r = BN_bin2bn(signature, (int)number, NULL);
    s = BN_bin2bn(signature + number, (int)number, NULL);
    if (pair && r && s && ECDSA_SIG_set0(pair, r, s)) {
        r = s = NULL; /* the pair's */
        size = i2d_ECDSA_SIG(pair, &der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return size > 0 ? (size_t)size : 0;
}

static bool pss_set(EVP_PKEY_CTX *context)
{
    /* RFC 7518 3.5: the salt is as long as the digest, and MGF1 uses the same digest. */
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) > 0 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) > 0;
}

bool crypto_verify(const struct crypto_algorithm *algorithm, const struct crypto_key *key,
                   const void *data, size_t data_len, const void *signature, size_t signature_len)
{
    uint8_t der[2 * 66 + 16];
    EVP_MD_CTX *context;
    EVP_PKEY_CTX *options;
    bool good;

    if (algorithm->number) {
        signature_len = to_der(algorithm->number, signature, signature_len, der);
        signature = der;
        if (!signature_len)
            return false;
    }
    /* RFC 8017 8.1.2 and 8.2.2: of another length it is invalid, though OpenSSL takes a PSS
     * signature without its leading zero. */
    if ((key->kind == CRYPTO_RSA || key->kind == CRYPTO_RSA_PSS) &&
        signature_len != (size_t)EVP_PKEY_size(key->pkey))
        return false;
    context = EVP_MD_CTX_new();
    good = context &&
           EVP_DigestVerifyInit(context, &options, algorithm->digest ? algorithm->digest() : NULL,
                                NULL, key->pkey) > 0 &&
           (!algorithm->pss || pss_set(options)) &&
           EVP_DigestVerify(context, signature, signature_len, data, data_len) == 1;
    EVP_MD_CTX_free(context);
    ERR_clear_error();
    return good;
}
