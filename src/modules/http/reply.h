/*
 * reply: what a handler gets of an ended transfer.
 */
#ifndef MODULES_HTTP_REPLY_H
#define MODULES_HTTP_REPLY_H

#include <lua.h>

#include "modules/http/transfer.h"

/* Pushes the response, or nil, a message and a code; returns how many.  May raise. */
int http_reply_push(lua_State *lua, const struct http_transfer *transfer);

#endif
