/*
 * require "spoa.crypto": digests, HMAC, base64, random bytes and the verification of
 * signatures, by OpenSSL 3 (EVP only).  Nothing here waits.  All functions share one
 * userdata, their first upvalue, with what OpenSSL looked up for this Lua state.
 */
#include <lauxlib.h>
#include <lua.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <string.h>

#include "modules/crypto/key.h"
#include "modules/crypto/text.h"
#include "modules/crypto/verify.h"
#include "script/script.h"

#define KEY_TYPE "spoa.crypto.key"

#define KEYS_MAX   64        /* that are kept by their PEM */
#define RANDOM_MAX (1 << 20) /* bytes */

static const char *const digest_names[] = {"md5", "sha1", "sha256", "sha384", "sha512"};

#define DIGESTS (sizeof digest_names / sizeof *digest_names)

struct crypto {
    EVP_MD *digests[DIGESTS]; /* NULL for what this OpenSSL does not have (FIPS) */
    EVP_MAC *hmac;
    unsigned keys; /* in the table that is its user value: PEM -> key */
    bool closed;
};

__attribute__((visibility("default"))) int luaopen_spoa_crypto(lua_State *lua);

/* A finalizer may still call us when this has been finalized. */
static struct crypto *crypto_of(lua_State *lua)
{
    struct crypto *crypto = lua_touserdata(lua, lua_upvalueindex(1));

    if (crypto->closed)
        luaL_error(lua, "crypto: the scripts are being closed");
    return crypto;
}

static struct crypto_key *check_key(lua_State *lua, int arg)
{
    struct crypto_key *key = luaL_checkudata(lua, arg, KEY_TYPE);

    luaL_argcheck(lua, key->pkey, arg, "the key is closed");
    return key;
}

static int fail(lua_State *lua, const char *text)
{
    luaL_pushfail(lua);
    lua_pushstring(lua, text);
    return 2;
}

/* ---- digests ---- */

static size_t check_digest(lua_State *lua, const struct crypto *crypto, const char *name)
{
    for (size_t i = 0; i < DIGESTS; i++) {
        if (strcmp(digest_names[i], name) != 0)
            continue;
        if (!crypto->digests[i])
            luaL_error(lua, "this OpenSSL has no %s", name);
        return i;
    }
    luaL_error(lua, "no digest '%s': there are md5, sha1, sha256, sha384 and sha512", name);
    return 0;
}

static int push_digest(lua_State *lua, const char *name)
{
    const struct crypto *crypto = crypto_of(lua);
    const EVP_MD *digest = crypto->digests[check_digest(lua, crypto, name)];
    size_t len;
    const char *data = luaL_checklstring(lua, 1, &len);
    uint8_t result[EVP_MAX_MD_SIZE];
    unsigned size;

    if (!EVP_Digest(data, len, result, &size, digest, NULL)) {
        ERR_clear_error();
        return luaL_error(lua, "%s failed: out of memory", name);
    }
    lua_pushlstring(lua, (char *)result, size);
    return 1;
}

static int crypto_md5(lua_State *lua)
{
    return push_digest(lua, "md5");
}

static int crypto_sha1(lua_State *lua)
{
    return push_digest(lua, "sha1");
}

static int crypto_sha256(lua_State *lua)
{
    return push_digest(lua, "sha256");
}

static int crypto_sha384(lua_State *lua)
{
    return push_digest(lua, "sha384");
}

static int crypto_sha512(lua_State *lua)
{
    return push_digest(lua, "sha512");
}

/* hmac(digest, key, data) -> bytes */
static int crypto_hmac(lua_State *lua)
{
    const struct crypto *crypto = crypto_of(lua);
    const char *name = luaL_checkstring(lua, 1);
    size_t key_len, len, size = 0;
    const char *key = luaL_checklstring(lua, 2, &key_len);
    const char *data = luaL_checklstring(lua, 3, &len);
    uint8_t result[EVP_MAX_MD_SIZE];
    OSSL_PARAM params[2];
    EVP_MAC_CTX *context;
    bool good;

    check_digest(lua, crypto, name);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)name, 0);
    params[1] = OSSL_PARAM_construct_end();
    context = EVP_MAC_CTX_new(crypto->hmac);
    good = context && EVP_MAC_init(context, (const uint8_t *)key, key_len, params) &&
           EVP_MAC_update(context, (const uint8_t *)data, len) &&
           EVP_MAC_final(context, result, &size, sizeof result);
    EVP_MAC_CTX_free(context);
    ERR_clear_error();
    if (!good)
        return luaL_error(lua, "hmac with %s failed in OpenSSL", name);
    lua_pushlstring(lua, (char *)result, size);
    return 1;
}

/* equal(a, b) -> boolean, after a time that depends on their lengths only */
static int crypto_equal(lua_State *lua)
{
    size_t a_len, b_len;
    const char *a = luaL_checklstring(lua, 1, &a_len), *b = luaL_checklstring(lua, 2, &b_len);

    lua_pushboolean(lua, a_len == b_len && CRYPTO_memcmp(a, b, a_len) == 0);
    return 1;
}

/* random(n) -> n bytes */
static int crypto_random(lua_State *lua)
{
    lua_Integer n = luaL_checkinteger(lua, 1);
    luaL_Buffer buffer;
    char *bytes;

    luaL_argcheck(lua, n >= 0 && n <= RANDOM_MAX, 1, "from 0 to 1048576 bytes");
    bytes = luaL_buffinitsize(lua, &buffer, (size_t)n);
    if (RAND_bytes((uint8_t *)bytes, (int)n) != 1) {
        ERR_clear_error();
        return luaL_error(lua, "OpenSSL has no random bytes");
    }
    luaL_pushresultsize(&buffer, (size_t)n);
    return 1;
}

/* ---- text ---- */

static int crypto_hex(lua_State *lua)
{
    luaL_Buffer buffer;
    size_t len;
    const char *from = luaL_checklstring(lua, 1, &len);

    crypto_hex_put(luaL_buffinitsize(lua, &buffer, 2 * len), from, len);
    luaL_pushresultsize(&buffer, 2 * len);
    return 1;
}

/* unhex(text) -> bytes; nil, message */
static int crypto_unhex(lua_State *lua)
{
    luaL_Buffer buffer;
    size_t len;
    const char *from = luaL_checklstring(lua, 1, &len);

    if (!crypto_hex_get(luaL_buffinitsize(lua, &buffer, len / 2 + 1), from, len))
        return fail(lua, "not hexadecimal");
    luaL_pushresultsize(&buffer, len / 2);
    return 1;
}

static int encode(lua_State *lua, enum crypto_base64 kind)
{
    luaL_Buffer buffer;
    size_t len;
    const char *from = luaL_checklstring(lua, 1, &len);
    char *to = luaL_buffinitsize(lua, &buffer, CRYPTO_BASE64_SIZE(len));

    luaL_pushresultsize(&buffer, crypto_base64_put(kind, to, from, len));
    return 1;
}

static int decode(lua_State *lua, enum crypto_base64 kind, const char *otherwise)
{
    luaL_Buffer buffer;
    size_t len, size;
    const char *from = luaL_checklstring(lua, 1, &len);
    char *to = luaL_buffinitsize(lua, &buffer, CRYPTO_BASE64_BYTES(len));

    if (!crypto_base64_get(kind, to, &size, from, len))
        return fail(lua, otherwise);
    luaL_pushresultsize(&buffer, size);
    return 1;
}

static int crypto_base64_encode(lua_State *lua)
{
    return encode(lua, CRYPTO_BASE64);
}

static int crypto_base64url_encode(lua_State *lua)
{
    return encode(lua, CRYPTO_BASE64URL);
}

static int crypto_base64_decode(lua_State *lua)
{
    return decode(lua, CRYPTO_BASE64, "not base64");
}

static int crypto_base64url_decode(lua_State *lua)
{
    return decode(lua, CRYPTO_BASE64URL, "not base64url");
}

/* ---- keys and signatures ---- */

/* An empty key object on the stack: what is read next cannot leak. */
static struct crypto_key *push_key(lua_State *lua)
{
    struct crypto_key *key;

    script_check_open(lua);
    key = lua_newuserdatauv(lua, sizeof *key, 0);
    key->pkey = NULL;
    luaL_setmetatable(lua, KEY_TYPE);
    return key;
}

/* Pushes the key of a PEM, read or known; or nil and a message, returning NULL. */
static struct crypto_key *push_pem(lua_State *lua, int arg)
{
    struct crypto *crypto = crypto_of(lua);
    struct crypto_key *key;
    size_t len;
    const char *pem = lua_tolstring(lua, arg, &len), *wrong;

    lua_getiuservalue(lua, lua_upvalueindex(1), 1);
    lua_pushvalue(lua, arg);
    if (lua_rawget(lua, -2) == LUA_TUSERDATA)
        return lua_touserdata(lua, -1);
    lua_pop(lua, 1);
    key = push_key(lua);
    wrong = crypto_key_read_pem(key, pem, len);
    if (wrong) {
        fail(lua, wrong);
        return NULL;
    }
    if (crypto->keys >= KEYS_MAX) {
        lua_newtable(lua);
        lua_pushvalue(lua, -1);
        lua_setiuservalue(lua, lua_upvalueindex(1), 1);
        lua_replace(lua, -3);
        crypto->keys = 0;
    }
    lua_pushvalue(lua, arg);
    lua_pushvalue(lua, -2);
    lua_rawset(lua, -4);
    crypto->keys++;
    return key;
}

static const char *jwk_field(lua_State *lua, const char *name)
{
    int type = lua_getfield(lua, 1, name);

    if (type != LUA_TNIL && type != LUA_TSTRING)
        luaL_error(lua, "bad key (%s must be a string, not %s)", name, luaL_typename(lua, -1));
    return lua_tostring(lua, -1); /* which stays on the stack */
}

/* key(pem or jwk) -> key; nil, message */
static int crypto_key(lua_State *lua)
{
    struct crypto_jwk jwk;
    const char *wrong;

    lua_settop(lua, 1);
    if (lua_type(lua, 1) == LUA_TSTRING)
        return push_pem(lua, 1) ? 1 : 2;
    luaL_argexpected(lua, lua_istable(lua, 1), 1, "PEM string or JWK table");
    jwk.kty = jwk_field(lua, "kty");
    jwk.crv = jwk_field(lua, "crv");
    jwk.n = jwk_field(lua, "n");
    jwk.e = jwk_field(lua, "e");
    jwk.x = jwk_field(lua, "x");
    jwk.y = jwk_field(lua, "y");
    wrong = crypto_key_read_jwk(push_key(lua), &jwk);
    return wrong ? fail(lua, wrong) : 1;
}

/* verify(algorithm, key or pem, data, signature) -> boolean; nil, message */
static int crypto_verify_signature(lua_State *lua)
{
    const char *name = luaL_checkstring(lua, 1);
    const struct crypto_algorithm *algorithm = crypto_algorithm_find(name);
    size_t data_len, signature_len;
    const char *data = luaL_checklstring(lua, 3, &data_len);
    const char *signature = luaL_checklstring(lua, 4, &signature_len);
    struct crypto_key *key;

    if (!algorithm)
        return luaL_argerror(lua, 1,
                             "one of RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 "
                             "ES512 EdDSA");
    key = lua_type(lua, 2) == LUA_TSTRING ? push_pem(lua, 2) : check_key(lua, 2);
    if (!key)
        return 2;
    luaL_argcheck(lua, key->pkey, 2, "the key is closed");
    if (!crypto_algorithm_fits(algorithm, key)) {
        luaL_pushfail(lua);
        lua_pushfstring(lua, "%s needs %s", name, crypto_algorithm_wants(algorithm));
        return 2;
    }
    lua_pushboolean(lua, crypto_verify(algorithm, key, data, data_len, signature, signature_len));
    return 1;
}

static int key_type(lua_State *lua)
{
    lua_pushstring(lua, crypto_key_type(check_key(lua, 1)));
    return 1;
}

static int key_bits(lua_State *lua)
{
    lua_pushinteger(lua, check_key(lua, 1)->bits);
    return 1;
}

static int key_gc(lua_State *lua)
{
    crypto_key_clear(luaL_checkudata(lua, 1, KEY_TYPE));
    return 0;
}

/* ---- the module ---- */

static int crypto_gc(lua_State *lua)
{
    struct crypto *crypto = lua_touserdata(lua, 1);

    for (size_t i = 0; i < DIGESTS; i++)
        EVP_MD_free(crypto->digests[i]);
    EVP_MAC_free(crypto->hmac);
    crypto->closed = true;
    return 0;
}

static void push_crypto(lua_State *lua)
{
    struct crypto *crypto;

    script_check_open(lua);
    crypto = lua_newuserdatauv(lua, sizeof *crypto, 1);
    memset(crypto, 0, sizeof *crypto);
    lua_createtable(lua, 0, 1);
    lua_pushcfunction(lua, crypto_gc);
    lua_setfield(lua, -2, "__gc");
    lua_setmetatable(lua, -2);
    lua_newtable(lua);
    lua_setiuservalue(lua, -2, 1);
    for (size_t i = 0; i < DIGESTS; i++)
        crypto->digests[i] = EVP_MD_fetch(NULL, digest_names[i], NULL);
    crypto->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    ERR_clear_error();
}

int luaopen_spoa_crypto(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        {"md5", crypto_md5},
        {"sha1", crypto_sha1},
        {"sha256", crypto_sha256},
        {"sha384", crypto_sha384},
        {"sha512", crypto_sha512},
        {"hmac", crypto_hmac},
        {"equal", crypto_equal},
        {"random", crypto_random},
        {"hex", crypto_hex},
        {"unhex", crypto_unhex},
        {"base64_encode", crypto_base64_encode},
        {"base64_decode", crypto_base64_decode},
        {"base64url_encode", crypto_base64url_encode},
        {"base64url_decode", crypto_base64url_decode},
        {"key", crypto_key},
        {"verify", crypto_verify_signature},
        {NULL, NULL},
    };
    static const luaL_Reg methods[] = {
        {"type", key_type}, {"bits", key_bits}, {"__gc", key_gc}, {NULL, NULL}};

    luaL_newmetatable(lua, KEY_TYPE);
    luaL_setfuncs(lua, methods, 0);
    lua_pushvalue(lua, -1);
    lua_setfield(lua, -2, "__index");
    luaL_newlibtable(lua, functions);
    push_crypto(lua);
    luaL_setfuncs(lua, functions, 1);
    return 1;
}
