/*
 * require "spoa.mmdb": look-ups in MaxMind databases (GeoLite2, GeoIP2 and others), opened again
 * when their file is replaced.
 *
 * The file is mapped, so that all workers share its memory, and no look-up waits or allocates but
 * what Lua gets.  A mapped file must be replaced (rename), never written into: the worker would
 * die of SIGBUS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "modules/file_watch.h"
#include "modules/mmdb/value.h"
#include "script/script.h"

#define MMDB "spoa.mmdb"

/* Steps of a path, as in "subdivisions", 1, "names", "en". */
#define PATH_MAX_STEPS 16

struct database {
    struct file_watch watch; /* first, so that a watch is its database */
    MMDB_s *mmdb;            /* NULL before it was opened and after __gc */
    char path[];
};

static struct database *check_database(lua_State *lua)
{
    struct database *database = luaL_checkudata(lua, 1, MMDB);

    luaL_argcheck(lua, database->mmdb, 1, "the database is closed");
    return database;
}

static void close_mmdb(MMDB_s *mmdb)
{
    if (mmdb)
        MMDB_close(mmdb);
    free(mmdb);
}

/* NULL with why. */
static MMDB_s *open_mmdb(const char *path, const char **why)
{
    MMDB_s *mmdb = mem_zalloc(sizeof *mmdb);
    struct stat about;
    int status;

    *why = NULL;
    /* libmaxminddb would wait for a pipe's writer. */
    if (stat(path, &about) < 0)
        *why = strerror(errno);
    else if (!S_ISREG(about.st_mode))
        *why = "not a regular file";
    else if ((status = MMDB_open(path, MMDB_MODE_MMAP, mmdb)) != MMDB_SUCCESS)
        *why = status == MMDB_IO_ERROR || status == MMDB_FILE_OPEN_ERROR ? strerror(errno)
                                                                         : MMDB_strerror(status);
    if (!*why)
        return mmdb;
    free(mmdb); /* MMDB_open has freed what it had of it */
    return NULL;
}

static void file_changed(struct file_watch *watch)
{
    struct database *database = (struct database *)watch;
    const char *why;
    MMDB_s *mmdb = open_mmdb(database->path, &why);

    if (!mmdb) {
        log_write(LEVEL_ERR, "%s: %s: the database from before goes on", database->path, why);
        return;
    }
    close_mmdb(database->mmdb);
    database->mmdb = mmdb;
    log_write(LEVEL_INFO, "%s: opened again", database->path);
}

static double check_interval(lua_State *lua, int index)
{
    double interval = FILE_WATCH_INTERVAL;
    int is_number;

    if (lua_isnoneornil(lua, index))
        return interval;
    luaL_checktype(lua, index, LUA_TTABLE);
    for (lua_pushnil(lua); lua_next(lua, index); lua_pop(lua, 1)) {
        if (lua_type(lua, -2) != LUA_TSTRING || strcmp(lua_tostring(lua, -2), "interval") != 0)
            luaL_argerror(lua, index, "the only option is 'interval'");
        interval = lua_tonumberx(lua, -1, &is_number);
        if (!is_number || !(interval >= FILE_WATCH_INTERVAL_MIN) ||
            interval > FILE_WATCH_INTERVAL_MAX)
            luaL_error(lua, "bad option 'interval' (seconds from %f to %f expected)",
                       (LUAI_UACNUMBER)FILE_WATCH_INTERVAL_MIN,
                       (LUAI_UACNUMBER)FILE_WATCH_INTERVAL_MAX);
    }
    return interval;
}

/* mmdb.open(path [, options]) */
static int mmdb_open(lua_State *lua)
{
    const char *path = luaL_checkstring(lua, 1), *why;
    double interval = check_interval(lua, 2);
    size_t size = strlen(path) + 1;
    struct database *database;

    script_check_open(lua);
    database = lua_newuserdatauv(lua, sizeof *database + size, 0);
    memset(database, 0, sizeof *database);
    memcpy(database->path, path, size);
    luaL_setmetatable(lua, MMDB);
    file_watch_init(&database->watch, database->path, file_changed);
    database->mmdb = open_mmdb(database->path, &why);
    if (!database->mmdb) {
        lua_pushnil(lua);
        lua_pushfstring(lua, "%s: %s", path, why);
        return 2;
    }
    file_watch_start(&database->watch, script_of(lua)->queue->loop, interval);
    return 1;
}

/* ---- looking up ---- */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

/* An IPv4-mapped IPv6 address is the IPv4 address. */
static void check_address(lua_State *lua, int index, union address *address)
{
    const char *text = luaL_checkstring(lua, index);

    memset(address, 0, sizeof *address);
    address->any.sa_family = AF_INET;
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1)
        return;
    if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) != 1)
        luaL_argerror(lua, index, lua_pushfstring(lua, "'%s' is no IP address", text));
    if (IN6_IS_ADDR_V4MAPPED(&address->v6.sin6_addr)) {
        struct in_addr v4;

        memcpy(&v4, address->v6.sin6_addr.s6_addr + 12, sizeof v4);
        memset(address, 0, sizeof *address);
        address->any.sa_family = AF_INET;
        address->v4.sin_addr = v4;
        return;
    }
    address->any.sa_family = AF_INET6;
}

/* libmaxminddb wants its path as strings; indexes count from 1 in Lua, below 0 from the end. */
static void check_path(lua_State *lua, int first, const char *path[PATH_MAX_STEPS + 1],
                       char digits[PATH_MAX_STEPS][24])
{
    int steps = lua_gettop(lua) - first + 1;

    luaL_argcheck(lua, steps <= PATH_MAX_STEPS, first + PATH_MAX_STEPS,
                  "a path has at most 16 steps");
    for (int i = 0; i < steps; i++) {
        if (lua_type(lua, first + i) == LUA_TNUMBER) {
            lua_Integer index = luaL_checkinteger(lua, first + i);

            luaL_argcheck(lua, index != 0 && index >= -INT32_MAX && index <= INT32_MAX, first + i,
                          "an index counts from 1, or from -1 at the end");
            snprintf(digits[i], sizeof digits[i], "%lld",
                     (long long)(index > 0 ? index - 1 : index));
            path[i] = digits[i];
        } else {
            path[i] = luaL_checkstring(lua, first + i);
        }
    }
    path[steps > 0 ? steps : 0] = NULL;
}

static int push_failure(lua_State *lua, const struct database *database, int status)
{
    lua_pushnil(lua);
    lua_pushfstring(lua, "%s: %s", database->path, MMDB_strerror(status));
    return 2;
}

/* Pushes what is at the path in the record, nil when there is nothing. */
static int push_path(lua_State *lua, MMDB_entry_s *entry, const char *const *path)
{
    MMDB_entry_data_s data;
    int status = MMDB_aget_value(entry, &data, path);

    if (status == MMDB_LOOKUP_PATH_DOES_NOT_MATCH_DATA_ERROR ||
        status == MMDB_INVALID_LOOKUP_PATH_ERROR || (status == MMDB_SUCCESS && !data.has_data)) {
        lua_pushnil(lua);
        return MMDB_SUCCESS;
    }
    if (status != MMDB_SUCCESS)
        return status;
    if (data.type == MMDB_DATA_TYPE_MAP || data.type == MMDB_DATA_TYPE_ARRAY)
        return value_push_entry(lua, (MMDB_entry_s){entry->mmdb, data.offset});
    value_push_scalar(lua, &data);
    return MMDB_SUCCESS;
}

/* db:get(ip [, key ...]) */
static int mmdb_get(lua_State *lua)
{
    const struct database *database = check_database(lua);
    const char *path[PATH_MAX_STEPS + 1];
    char digits[PATH_MAX_STEPS][24];
    MMDB_lookup_result_s found;
    union address address;
    int status;

    check_address(lua, 2, &address);
    check_path(lua, 3, path, digits);
    found = MMDB_lookup_sockaddr(database->mmdb, &address.any, &status);
    if (status == MMDB_IPV6_LOOKUP_IN_IPV4_DATABASE_ERROR ||
        (status == MMDB_SUCCESS && !found.found_entry)) {
        lua_pushnil(lua);
        return 1;
    }
    if (status == MMDB_SUCCESS)
        status = path[0] ? push_path(lua, &found.entry, path) : value_push_entry(lua, found.entry);
    return status == MMDB_SUCCESS ? 1 : push_failure(lua, database, status);
}

/* db:metadata() */
static int mmdb_metadata(lua_State *lua)
{
    const struct database *database = check_database(lua);
    int status = value_push_metadata(lua, database->mmdb);

    return status == MMDB_SUCCESS ? 1 : push_failure(lua, database, status);
}

static int mmdb_tostring(lua_State *lua)
{
    const struct database *database = luaL_checkudata(lua, 1, MMDB);

    lua_pushfstring(lua, "mmdb %s", database->path);
    return 1;
}

static int mmdb_gc(lua_State *lua)
{
    struct database *database = luaL_checkudata(lua, 1, MMDB);

    file_watch_stop(&database->watch);
    close_mmdb(database->mmdb);
    database->mmdb = NULL;
    return 0;
}

static const luaL_Reg methods[] = {{"get", mmdb_get}, {"metadata", mmdb_metadata}, {NULL, NULL}};

static const luaL_Reg metamethods[] = {
    {"__tostring", mmdb_tostring}, {"__gc", mmdb_gc}, {NULL, NULL}};

static const luaL_Reg functions[] = {{"open", mmdb_open}, {NULL, NULL}};

LUAMOD_API int luaopen_spoa_mmdb(lua_State *lua);

int luaopen_spoa_mmdb(lua_State *lua)
{
    luaL_newmetatable(lua, MMDB);
    luaL_setfuncs(lua, metamethods, 0);
    luaL_newlib(lua, methods);
    lua_setfield(lua, -2, "__index");
    luaL_newlib(lua, functions);
    return 1;
}
