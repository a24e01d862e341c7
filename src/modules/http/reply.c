#include "modules/http/reply.h"

#include <lauxlib.h>

/* curl 8.5 and later; the number is the same where the name is not there yet. */
#define TOO_LARGE 100

/* What curl calls it, the code that handlers see, and what can be done. */
static const struct failure {
    int result;
    const char *code, *advice;
} failures[] = {
    {CURLE_OPERATION_TIMEDOUT, "timeout", "see connect_timeout"},
    {CURLE_COULDNT_RESOLVE_HOST, "resolve", NULL},
    {CURLE_COULDNT_CONNECT, "connect", "is the server running?"},
    {CURLE_SSL_CONNECT_ERROR, "tls", NULL},
    {CURLE_PEER_FAILED_VERIFICATION, "tls", "ca= names the file of another authority"},
    {CURLE_SSL_CACERT_BADFILE, "tls", "ca= must be a file of PEM certificates"},
    {CURLE_SSL_CERTPROBLEM, "tls", "cert= and key= must be PEM files that belong together"},
    {CURLE_SSL_CIPHER, "tls", NULL},
    {CURLE_SSL_ISSUER_ERROR, "tls", NULL},
    {CURLE_GOT_NOTHING, "closed", NULL},
    {CURLE_PARTIAL_FILE, "closed", NULL},
    {CURLE_SEND_ERROR, "closed", NULL},
    {CURLE_RECV_ERROR, "closed", NULL},
    {CURLE_TOO_MANY_REDIRECTS, "redirects", "see follow"},
    {CURLE_URL_MALFORMAT, "url", NULL},
    {CURLE_UNSUPPORTED_PROTOCOL, "protocol", NULL},
    {CURLE_WEIRD_SERVER_REPLY, "bad_reply", NULL},
    {CURLE_BAD_CONTENT_ENCODING, "bad_reply", NULL},
    /* How curl tells a header line beyond its own limit, before 8.5 and after. */
    {CURLE_OUT_OF_MEMORY, "too_big", "the head of the response is too big"},
    {TOO_LARGE, "too_big", "the head of the response is too big"},
};

static const struct failure other = {0, "failed", NULL};

static const struct failure *failure_of(const struct http_transfer *transfer)
{
    static const struct failure bad_reply = {0, "bad_reply", "the server does not speak HTTP"};

    /* curl says the same of a redirect to another protocol, which has a status, and of a
     * server that sends no status line (HTTP/0.9). */
    if (transfer->result == CURLE_UNSUPPORTED_PROTOCOL && transfer->head.count == 0 &&
        transfer->where[0])
        return &bad_reply;
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        if (failures[i].result == (int)transfer->result)
            return &failures[i];
    }
    return &other;
}

static int push_failure(lua_State *lua, const struct http_transfer *transfer)
{
    const struct failure *failure = failure_of(transfer);
    const char *text = transfer->error[0] ? transfer->error : curl_easy_strerror(transfer->result);

    lua_pushnil(lua);
    lua_pushfstring(lua, "%s%s%s", transfer->where, transfer->where[0] ? ": " : "", text);
    if (failure->advice) {
        lua_pushfstring(lua, " (%s)", failure->advice);
        lua_concat(lua, 2);
    }
    lua_pushstring(lua, failure->code);
    return 3;
}

static int push_stopped(lua_State *lua, const struct http_transfer *transfer)
{
    lua_pushnil(lua);
    switch (transfer->stop) {
    case HTTP_OVERDUE:
        lua_pushfstring(lua, "%s: no complete answer within %f s (see timeout)", transfer->where,
                        transfer->timeout);
        lua_pushliteral(lua, "timeout");
        return 3;
    case HTTP_BODY_TOO_BIG:
        lua_pushfstring(lua, "%s: the response's body is larger than %I bytes (see max_body)",
                        transfer->where, (LUAI_UACINT)transfer->max_body);
        break;
    case HTTP_HEAD_TOO_BIG:
    case HTTP_NOT_STOPPED:
        lua_pushfstring(lua, "%s: the response's head is larger than %d bytes or %d lines",
                        transfer->where, HTTP_HEAD_BYTES, HTTP_HEAD_LINES);
        break;
    }
    lua_pushliteral(lua, "too_big");
    return 3;
}

/* { name, value } at the end of the list at -1; joined to what the table at -2 has. */
static void add_header(lua_State *lua, struct span name, struct span value, lua_Integer n)
{
    lua_createtable(lua, 2, 0);
    lua_pushlstring(lua, name.at, name.len);
    lua_pushvalue(lua, -1);
    lua_rawseti(lua, -3, 1);
    lua_pushlstring(lua, value.at, value.len);
    lua_pushvalue(lua, -1);
    lua_rawseti(lua, -4, 2);
    /* headers list pair name value */
    lua_pushvalue(lua, -2);
    if (lua_rawget(lua, -6) == LUA_TSTRING) {
        lua_insert(lua, -2);
        lua_pushliteral(lua, ", ");
        lua_insert(lua, -2);
        lua_concat(lua, 3);
    } else {
        lua_pop(lua, 1);
    }
    lua_rawset(lua, -5);
    lua_rawseti(lua, -2, n);
}

static int push_response(lua_State *lua, const struct http_transfer *transfer)
{
    struct span name, value;
    lua_Integer n = 0;
    size_t at = 0;

    lua_createtable(lua, 0, 4);
    lua_pushinteger(lua, transfer->status);
    lua_setfield(lua, -2, "status");
    lua_pushlstring(lua, transfer->body.len ? transfer->body.at : "", transfer->body.len);
    lua_setfield(lua, -2, "body");
    lua_createtable(lua, 0, 16);
    lua_createtable(lua, 16, 0);
    while (http_head_next(&transfer->head, &at, &name, &value))
        add_header(lua, name, value, ++n);
    lua_setfield(lua, -3, "header_list");
    lua_setfield(lua, -2, "headers");
    return 1;
}

int http_reply_push(lua_State *lua, const struct http_transfer *transfer)
{
    luaL_checkstack(lua, 12, NULL);
    if (transfer->stop != HTTP_NOT_STOPPED)
        return push_stopped(lua, transfer);
    if (transfer->result != CURLE_OK)
        return push_failure(lua, transfer);
    return push_response(lua, transfer);
}
