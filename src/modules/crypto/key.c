#include "modules/crypto/key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#include "modules/crypto/text.h"

#define RSA_BITS_MIN 2048 /* RFC 7518 3.3 */
#define RSA_BITS_MAX 16384

#define NUMBER_MAX (RSA_BITS_MAX / 8) /* bytes of a number in a JWK */

const char *crypto_key_type(const struct crypto_key *key)
{
    static const char *const names[] = {"RSA", "RSA-PSS", "EC", "Ed25519"};

    return names[key->kind];
}

void crypto_key_clear(struct crypto_key *key)
{
    EVP_PKEY_free(key->pkey);
    key->pkey = NULL;
}

static int curve_of(EVP_PKEY *pkey)
{
    char name[64];
    int curve;

    if (!EVP_PKEY_get_group_name(pkey, name, sizeof name, NULL))
        return NID_undef;
    curve = EC_curve_nist2nid(name);
    return curve == NID_undef ? OBJ_sn2nid(name) : curve;
}

static const char *rsa_look(struct crypto_key *key)
{
    if (key->bits < RSA_BITS_MIN)
        return "an RSA key must have at least 2048 bits";
    return key->bits > RSA_BITS_MAX ? "an RSA key may have at most 16384 bits" : NULL;
}

static const char *ec_look(struct crypto_key *key)
{
    key->curve = curve_of(key->pkey);
    if (key->curve == NID_X9_62_prime256v1 || key->curve == NID_secp384r1 ||
        key->curve == NID_secp521r1)
        return NULL;
    return "an EC key must be on P-256, P-384 or P-521";
}

/* What kind of key that is, and whether it is one that we use. */
static const char *look(struct crypto_key *key)
{
    key->bits = EVP_PKEY_get_bits(key->pkey);
    switch (EVP_PKEY_get_base_id(key->pkey)) {
    case EVP_PKEY_RSA:
        key->kind = CRYPTO_RSA;
        return rsa_look(key);
    case EVP_PKEY_RSA_PSS:
        key->kind = CRYPTO_RSA_PSS;
        return rsa_look(key);
    case EVP_PKEY_EC:
        key->kind = CRYPTO_EC;
        return ec_look(key);
    case EVP_PKEY_ED25519:
        key->kind = CRYPTO_ED25519;
        return NULL;
    default:
        return "the key must be RSA, EC or Ed25519";
    }
}

static const char *accept(struct crypto_key *key, const char *otherwise)
{
    const char *wrong = key->pkey ? look(key) : otherwise;

    ERR_clear_error();
    if (wrong)
        crypto_key_clear(key);
    return wrong;
}

/* OpenSSL would ask at the terminal. */
static int no_passphrase(char *buffer, int size, int writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)writing;
    (void)context;
    return -1;
}

static EVP_PKEY *read_certificate(BIO *bio)
{
    X509 *certificate = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);
    EVP_PKEY *pkey = certificate ? X509_get_pubkey(certificate) : NULL;

    X509_free(certificate);
    return pkey;
}

const char *crypto_key_read_pem(struct crypto_key *key, const char *pem, size_t len)
{
    BIO *bio;

    key->pkey = NULL;
    if (len > 1 << 20 || strlen(pem) != len || !strstr(pem, "-----BEGIN "))
        return "that is no PEM: it begins with -----BEGIN PUBLIC KEY-----";
    if (strstr(pem, "PRIVATE KEY-----"))
        return "that is a private key: who verifies needs the public one (openssl pkey -pubout)";
    bio = BIO_new_mem_buf(pem, (int)len);
    if (!bio)
        return "out of memory";
    key->pkey = strstr(pem, "-----BEGIN CERTIFICATE-----")
                    ? read_certificate(bio)
                    : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);
    BIO_free(bio);
    return accept(key, "the PEM has no public key or certificate that OpenSSL can read");
}

/* ---- JSON Web Keys ---- */

static bool decode(const char *text, char *bytes, size_t *size)
{
    size_t len = text ? strlen(text) : 0;

    return len && len <= CRYPTO_BASE64_SIZE(NUMBER_MAX) &&
           crypto_base64_get(CRYPTO_BASE64URL, bytes, size, text, len);
}

static EVP_PKEY *from_data(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    if (params && context && EVP_PKEY_fromdata_init(context) > 0 &&
        EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        pkey = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return pkey;
}

static EVP_PKEY *jwk_rsa(const struct crypto_jwk *jwk)
{
    char n[CRYPTO_BASE64_SIZE(NUMBER_MAX)], e[sizeof n];
    size_t n_size, e_size;
    BIGNUM *modulus, *exponent;
    OSSL_PARAM_BLD *build;
    EVP_PKEY *pkey = NULL;

    if (!decode(jwk->n, n, &n_size) || !decode(jwk->e, e, &e_size))
        return NULL;
    build = OSSL_PARAM_BLD_new();
    modulus = BN_bin2bn((uint8_t *)n, (int)n_size, NULL);
    exponent = BN_bin2bn((uint8_t *)e, (int)e_size, NULL);
    if (build && modulus && exponent &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
        pkey = from_data("RSA", build);
    BN_free(modulus);
    BN_free(exponent);
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

/* RFC 7518 6.2.1: both coordinates with all their bytes. */
static EVP_PKEY *jwk_ec(const struct crypto_jwk *jwk)
{
    char x[CRYPTO_BASE64_SIZE(NUMBER_MAX)], y[sizeof x], point[1 + 2 * 66] = {4};
    size_t x_size, y_size,
        size = EC_curve_nist2nid(jwk->crv) == NID_secp384r1   ? 48
               : EC_curve_nist2nid(jwk->crv) == NID_secp521r1 ? 66
                                                              : 32;
    OSSL_PARAM_BLD *build;
    EVP_PKEY *pkey = NULL;

    if (!decode(jwk->x, x, &x_size) || !decode(jwk->y, y, &y_size) || x_size != size ||
        y_size != size)
        return NULL;
    memcpy(point + 1, x, size);
    memcpy(point + 1 + size, y, size);
    build = OSSL_PARAM_BLD_new();
    if (build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, jwk->crv, 0) &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * size))
        pkey = from_data("EC", build);
    OSSL_PARAM_BLD_free(build);
    return pkey;
}

static EVP_PKEY *jwk_okp(const struct crypto_jwk *jwk)
{
    char x[CRYPTO_BASE64_SIZE(NUMBER_MAX)];
    size_t size;

    if (strcmp(jwk->crv, "Ed25519") != 0 || !decode(jwk->x, x, &size))
        return NULL;
    return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (uint8_t *)x, size);
}

const char *crypto_key_read_jwk(struct crypto_key *key, const struct crypto_jwk *jwk)
{
    key->pkey = NULL;
    if (!jwk->kty)
        return "the key has no kty";
    if (strcmp(jwk->kty, "RSA") == 0)
        key->pkey = jwk_rsa(jwk);
    else if (strcmp(jwk->kty, "EC") == 0 && jwk->crv)
        key->pkey = jwk_ec(jwk);
    else if (strcmp(jwk->kty, "OKP") == 0 && jwk->crv)
        key->pkey = jwk_okp(jwk);
    return accept(key, "that is no JSON Web Key of kty RSA (n, e), EC (crv, x, y) or OKP with crv "
                       "Ed25519 (x)");
}
