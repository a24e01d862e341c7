/*
 * reply: what a Redis server answers, read by hiredis's reader, as a tree whose size is bounded.
 *
 * The protocol is RESP2.  What RESP3 adds is a bad reply, for nobody asked for it.
 */
#ifndef MODULES_REDIS_REPLY_H
#define MODULES_REDIS_REPLY_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

#define REDIS_TOO_LARGE "the reply is too large (see max_reply)"

struct redisReader;

struct redis_reply {
    int type; /* REDIS_REPLY_* */
    long long integer;
    size_t len; /* bytes, or elements, which may be NULL while it is being read */
    union {
        char *text;
        struct redis_reply **elements;
    };
};

struct redis_replies {
    struct redisReader *reader;
    size_t max, used; /* bytes of memory, of one reply */
    const char *why;  /* what we found wrong ourselves, or NULL */
};

void redis_replies_open(struct redis_replies *replies, size_t max);
void redis_replies_close(struct redis_replies *replies);

/* Bytes from the server.  False when there is no memory. */
bool redis_replies_feed(struct redis_replies *replies, const char *bytes, size_t len);

/* The next reply, the caller's to free; NULL if it is not all there yet.  When *why is set, what
 * came is no reply, and nothing behind it can be read. */
struct redis_reply *redis_replies_next(struct redis_replies *replies, const char **why);

void redis_reply_free(struct redis_reply *reply);

/* An array's elements, each of which may be freed and then NULL; or NULL. */
struct redis_reply **redis_reply_list(struct redis_reply *reply, size_t *count);

/* Whether it is an error.  Then text[0..len) is what the server says. */
bool redis_reply_is_error(const struct redis_reply *reply);

/* One Lua value: nil is false, an error { err = text }.  Raises when Lua has no memory. */
void redis_reply_push(lua_State *lua, const struct redis_reply *reply);

#endif
