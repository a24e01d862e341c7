/*
 * request: what a handler asks for: options read from Lua and checked.
 *
 * Reading raises for what only a programmer can get wrong (an unknown option, a type, a
 * range) and for what would forge a request (line ends in headers).
 */
#ifndef MODULES_HTTP_REQUEST_H
#define MODULES_HTTP_REQUEST_H

#include <lua.h>
#include <stdbool.h>

#include "modules/http/transfer.h"

/* Strings are Lua's, and there as long as http_request_read's are on the stack. */
struct http_request {
    const char *url, *method, *body; /* body NULL: none */
    size_t url_len, body_len;
    double timeout, connect_timeout; /* seconds */
    size_t max_body;
    long follow;                /* redirects at most */
    bool verify, decode, typed; /* typed: the headers say the body's content-type */
    const char *ca, *cert, *key, *unix_path;
    struct curl_slist *headers, *routes; /* freed by http_request_clear */
};

/* All defaults, nothing owned. */
void http_request_init(struct http_request *request);

/*
 * Reads every option of the table at index; their strings are left on the stack.  whole:
 * url, method and body are options too.
 */
void http_request_read(struct http_request *request, lua_State *lua, int index, bool whole);

void http_request_url(struct http_request *request, lua_State *lua, int index);
void http_request_body(struct http_request *request, lua_State *lua, int index);

/* Everything is read: adds what follows from it. */
void http_request_complete(struct http_request *request, lua_State *lua);

void http_request_clear(struct http_request *request);

#endif
