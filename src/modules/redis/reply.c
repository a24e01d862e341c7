#include "modules/redis/reply.h"

#include <hiredis/hiredis.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Counted for the bookkeeping of an allocation. */
#define OVERHEAD 16
/* Of arrays in arrays, which we walk by recursion.  hiredis before 1.0 has a limit of its own. */
#define DEPTH_MAX 16

/* ---- the functions that make what hiredis reads ---- */

static bool too_deep(const redisReadTask *task)
{
    int depth = 0;

    for (; task; task = task->parent)
        depth++;
    return depth > DEPTH_MAX;
}

/* NULL when it would be too large, which hiredis takes for out of memory and stops. */
static struct redis_reply *reply_new(const redisReadTask *task, size_t more)
{
    struct redis_replies *replies = task->privdata;
    struct redis_reply *reply;
    size_t need = sizeof *reply + OVERHEAD;

    if (task->type > REDIS_REPLY_ERROR) {
        replies->why = "a reply of a type that nobody asked for (RESP3)";
        return NULL;
    }
    if (too_deep(task)) {
        replies->why = "a reply of arrays too deep in arrays";
        return NULL;
    }
    if (need > replies->max - replies->used || more > replies->max - replies->used - need) {
        replies->why = REDIS_TOO_LARGE;
        return NULL;
    }
    replies->used += need + more;
    reply = mem_zalloc(sizeof *reply);
    reply->type = task->type;
    if (task->parent) {
        struct redis_reply *parent = task->parent->obj;

        parent->elements[task->idx] = reply;
    }
    return reply;
}

static void *make_string(const redisReadTask *task, char *text, size_t len)
{
    struct redis_reply *reply = reply_new(task, len);

    if (reply) {
        reply->text = mem_strndup(text, len);
        reply->len = len;
    }
    return reply;
}

#if defined(HIREDIS_MAJOR) && HIREDIS_MAJOR >= 1
static void *make_array(const redisReadTask *task, size_t count)
#else
static void *make_array(const redisReadTask *task, int count)
#endif
{
    size_t n = (size_t)count;
    size_t most = ((struct redis_replies *)task->privdata)->max / sizeof(void *);
    struct redis_reply *reply = reply_new(task, n > most ? SIZE_MAX : n * sizeof(void *));

    if (reply && n) {
        reply->elements = mem_zalloc(n * sizeof(void *));
        reply->len = n;
    }
    return reply;
}

static void *make_integer(const redisReadTask *task, long long value)
{
    struct redis_reply *reply = reply_new(task, 0);

    if (reply)
        reply->integer = value;
    return reply;
}

/* hiredis has it as the string or array it is none of. */
static void *make_nil(const redisReadTask *task)
{
    struct redis_reply *reply = reply_new(task, 0);

    if (reply)
        reply->type = REDIS_REPLY_NIL;
    return reply;
}

#ifdef REDIS_REPLY_DOUBLE /* without these, hiredis 1 would make pointers up */
static void *make_double(const redisReadTask *task, double value, char *text, size_t len)
{
    (void)value;
    (void)text;
    (void)len;
    return reply_new(task, 0);
}

static void *make_bool(const redisReadTask *task, int value)
{
    (void)value;
    return reply_new(task, 0);
}
#endif

static void free_object(void *object)
{
    redis_reply_free(object);
}

static redisReplyObjectFunctions functions = {
    .createString = make_string,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = free_object,
#ifdef REDIS_REPLY_DOUBLE
    .createDouble = make_double,
    .createBool = make_bool,
#endif
};

/* ---- reading ---- */

void redis_replies_open(struct redis_replies *replies, size_t max)
{
    *replies = (struct redis_replies){.max = max};
    replies->reader = redisReaderCreateWithFunctions(&functions);
    if (replies->reader)
        replies->reader->privdata = replies;
}

void redis_replies_close(struct redis_replies *replies)
{
    if (replies->reader)
        redisReaderFree(replies->reader);
    replies->reader = NULL;
}

bool redis_replies_feed(struct redis_replies *replies, const char *bytes, size_t len)
{
    return replies->reader && redisReaderFeed(replies->reader, bytes, len) == REDIS_OK;
}

struct redis_reply *redis_replies_next(struct redis_replies *replies, const char **why)
{
    redisReader *reader = replies->reader;
    void *reply = NULL;

    if (redisReaderGetReply(reader, &reply) != REDIS_OK)
        *why = replies->why ? replies->why : reader->errstr;
    else if (reply)
        replies->used = 0;
    else if (reader->len - reader->pos > replies->max)
        *why = REDIS_TOO_LARGE;
    return reply;
}

/* No deeper than hiredis reads. */
void redis_reply_free(struct redis_reply *reply)
{
    if (!reply)
        return;
    if (reply->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < reply->len; i++)
            redis_reply_free(reply->elements[i]);
        free(reply->elements);
    } else {
        free(reply->text);
    }
    free(reply);
}

/* ---- as Lua has it ---- */

struct redis_reply **redis_reply_list(struct redis_reply *reply, size_t *count)
{
    *count = reply->len;
    return reply->type == REDIS_REPLY_ARRAY ? reply->elements : NULL;
}

bool redis_reply_is_error(const struct redis_reply *reply)
{
    return reply->type == REDIS_REPLY_ERROR;
}

void redis_reply_push(lua_State *lua, const struct redis_reply *reply)
{
    luaL_checkstack(lua, 3, "a reply");
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        lua_pushinteger(lua, reply->integer);
        break;
    case REDIS_REPLY_NIL:
        lua_pushboolean(lua, 0);
        break;
    case REDIS_REPLY_ARRAY:
        lua_createtable(lua, reply->len < INT32_MAX ? (int)reply->len : 0, 0);
        for (size_t i = 0; i < reply->len; i++) {
            redis_reply_push(lua, reply->elements[i]);
            lua_rawseti(lua, -2, (lua_Integer)i + 1);
        }
        break;
    case REDIS_REPLY_ERROR:
        lua_createtable(lua, 0, 1);
        lua_pushlstring(lua, reply->text, reply->len);
        lua_setfield(lua, -2, "err");
        break;
    default:
        lua_pushlstring(lua, reply->text, reply->len);
        break;
    }
}
