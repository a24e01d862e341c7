#include <lauxlib.h>
#include <string.h>

#include "base/clock.h"
#include "modules/json/job.h"
#include "modules/json/json.h"
#include "modules/json/parse.h"
#include "script/script.h"

#define DECODE "spoa.json decode"

/* In the background a text that is longer is parsed in a thread, and made tables of so long at a
 * time; a clock is looked at after so many values. */
#define PIECE_BYTES  ((size_t)64 * 1024)
#define PIECE_TIME   CLOCK_MILLISECOND
#define PIECE_VALUES 64

/* The stack of decode: the text, options, what is under way, and the containers that are open,
 * each with the key of the next one in it, if that is an object. */
enum { TEXT = 1, OPTIONS, STATE, CONTAINERS };

/* A container that is being made a table of. */
struct open {
    json_t *container;
    void *member; /* of an object: the one that is next */
    size_t index; /* of an array: so many have been made */
};

/* What jansson has of a document is freed with it, since Lua may raise anywhere. */
struct decode {
    struct wait wait;     /* first */
    struct json_job *job; /* has the root, if there is one */
    json_t *root;
    bool null_as_nil;
    bool pieces;       /* others have their turn in between */
    size_t depth;      /* so many are open */
    struct open *open; /* the decode's user value */
};

static void decode_clear(struct decode *decode)
{
    if (decode->job)
        json_job_end(decode->job);
    else
        json_decref(decode->root);
    decode->job = NULL;
    decode->root = NULL;
}

static int decode_gc(lua_State *lua)
{
    decode_clear(lua_touserdata(lua, 1));
    return 0;
}

static struct decode *push_decode(lua_State *lua)
{
    struct decode *decode = lua_newuserdatauv(lua, sizeof *decode, 1);

    memset(decode, 0, sizeof *decode);
    if (luaL_newmetatable(lua, DECODE)) {
        lua_pushcfunction(lua, decode_gc);
        lua_setfield(lua, -2, "__gc");
    }
    lua_setmetatable(lua, -2);
    return decode;
}

/* ---- tables ---- */

static void open_container(lua_State *lua, struct decode *decode, json_t *container)
{
    struct open *open = &decode->open[decode->depth++];

    *open = (struct open){.container = container};
    if (json_is_object(container)) {
        lua_createtable(lua, 0, (int)json_object_size(container));
        open->member = json_object_iter(container);
    } else {
        lua_createtable(lua, (int)json_array_size(container), 0);
        lua_pushvalue(lua, lua_upvalueindex(JSON_ARRAY_META));
        lua_setmetatable(lua, -2);
    }
}

/* Pushes a value; of a container the table, which is open and empty. */
static void push_value(lua_State *lua, struct decode *decode, json_t *value)
{
    luaL_checkstack(lua, 4, "JSON is nested too deep");
    switch (json_typeof(value)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        open_container(lua, decode, value);
        break;
    case JSON_STRING:
        lua_pushlstring(lua, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        lua_pushinteger(lua, json_integer_value(value));
        break;
    case JSON_REAL:
        lua_pushnumber(lua, json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lua_pushboolean(lua, json_is_true(value));
        break;
    case JSON_NULL:
        if (decode->null_as_nil)
            lua_pushnil(lua);
        else
            lua_pushvalue(lua, lua_upvalueindex(JSON_NULL_VALUE));
        break;
    }
}

/* The value on top, which is complete, goes where it belongs. */
static void store(lua_State *lua, struct open *open)
{
    if (json_is_object(open->container)) {
        lua_rawset(lua, -3);
        open->member = json_object_iter_next(open->container, open->member);
    } else {
        lua_rawseti(lua, -2, (lua_Integer)++open->index);
    }
}

/* Pushes the next of the innermost container; false when that is complete. */
static bool push_next(lua_State *lua, struct decode *decode)
{
    struct open *open = &decode->open[decode->depth - 1];

    if (json_is_object(open->container)) {
        if (!open->member)
            return false;
        /* A key has no NUL in it: jansson refuses them. */
        lua_pushstring(lua, json_object_iter_key(open->member));
        push_value(lua, decode, json_object_iter_value(open->member));
        return true;
    }
    if (open->index == json_array_size(open->container))
        return false;
    push_value(lua, decode, json_array_get(open->container, open->index));
    return true;
}

static int build_again(lua_State *lua, int status, lua_KContext context);

/* The value of the document, on top, is complete when no container is open any more. */
static int build(lua_State *lua, struct decode *decode)
{
    uint64_t began = decode->pieces ? clock_look() : 0;

    for (unsigned n = 1; decode->depth > 0; n++) {
        size_t depth = decode->depth;

        if (!push_next(lua, decode))
            decode->depth--;
        if (decode->depth > 0 && decode->depth <= depth)
            store(lua, &decode->open[decode->depth - 1]);
        if (decode->pieces && n % PIECE_VALUES == 0 && clock_look() - began > PIECE_TIME)
            return task_slice(lua, build_again, 0);
    }
    decode_clear(decode);
    return 1;
}

static int build_again(lua_State *lua, int status, lua_KContext context)
{
    (void)status;
    (void)context;
    return build(lua, lua_touserdata(lua, STATE));
}

/* ---- parsing ---- */

static int decode_parsed(lua_State *lua, struct decode *decode, const struct json_parse *parse)
{
    decode->root = parse->root;
    if (!decode->root) {
        lua_pushnil(lua);
        lua_pushfstring(lua, "%I:%I: %s", (LUAI_UACINT)parse->line, (LUAI_UACINT)parse->column,
                        parse->why);
        return 2;
    }
    decode->open = lua_newuserdatauv(lua, (parse->depth + 1) * sizeof *decode->open, 0);
    lua_setiuservalue(lua, STATE, 1);
    push_value(lua, decode, decode->root);
    return build(lua, decode);
}

static void job_done(void *context)
{
    wait_wake(&((struct decode *)context)->wait);
}

static void decode_cancel(struct wait *wait)
{
    decode_clear((struct decode *)wait);
}

static int job_over(lua_State *lua, int status, lua_KContext context)
{
    struct decode *decode = lua_touserdata(lua, STATE);

    (void)status;
    (void)context;
    return decode_parsed(lua, decode, json_job_parse(decode->job));
}

static void read_options(lua_State *lua, struct decode *decode, struct json_parse *parse,
                         size_t *max_size)
{
    static const char *const names[] = {"null_as_nil", "duplicates", "max_depth", "max_size", NULL};

    json_options_check(lua, OPTIONS, names);
    decode->null_as_nil = json_options_flag(lua, OPTIONS, "null_as_nil");
    parse->max_depth = json_options_size(lua, OPTIONS, "max_depth", JSON_DEPTH, JSON_DEPTH_MAX);
    *max_size = json_options_size(lua, OPTIONS, "max_size", JSON_DECODE_SIZE, JSON_SIZE_MAX);
    parse->flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    if (!json_options_flag(lua, OPTIONS, "duplicates"))
        parse->flags |= JSON_REJECT_DUPLICATES;
}

int json_decode(lua_State *lua)
{
    struct json_parse parse = {0};
    struct decode *decode;
    size_t max_size;

    parse.text = luaL_checklstring(lua, TEXT, &parse.len);
    lua_settop(lua, OPTIONS);
    decode = push_decode(lua);
    read_options(lua, decode, &parse, &max_size);
    if (parse.len > max_size) {
        lua_pushnil(lua);
        lua_pushfstring(lua, "1:1: %I bytes of JSON, of which %I are allowed (max_size)",
                        (LUAI_UACINT)parse.len, (LUAI_UACINT)max_size);
        return 2;
    }
    decode->pieces = parse.len > PIECE_BYTES && task_sliced(lua);
    if (decode->pieces)
        decode->job = json_job_begin(script_of(lua)->queue->loop, &parse, job_done, decode);
    if (decode->job)
        return wait_yield(lua, &decode->wait, decode_cancel, job_over);
    json_parse(&parse);
    return decode_parsed(lua, decode, &parse);
}
