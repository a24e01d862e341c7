/*
 * Where `require` finds spoa-lua's own modules, and what it says of one that was not built.
 *
 * They are in the folders modules/ and lua/ beside the executable (the build tree has links
 * there), or else where `make install` puts them as seen from there, whatever its PREFIX.
 */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "script/api.h"

#define PLACE_MAX 4096

/* A module whose C library is optional: Debian's package to build it with. */
static const struct {
    const char *name, *package;
} rows[] = {
    {"spoa.crypto", "libssl-dev"},    {"spoa.dict", "liblmdb-dev"},
    {"spoa.dns", "libc-ares-dev"},    {"spoa.http", "libcurl4-openssl-dev"},
    {"spoa.json", "libjansson-dev"},  {"spoa.mmdb", "libmaxminddb-dev"},
    {"spoa.redis", "libhiredis-dev"},
};

/* The last of package.searchers: it finds nothing, and its text is part of the error. */
static int search(lua_State *lua)
{
    const char *name = luaL_checkstring(lua, 1);

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (strcmp(name, rows[i].name) == 0) {
            lua_pushfstring(lua,
                            "%s was not built: install the package %s and build spoa-lua again "
                            "(in Debian's packages it is in spoa-lua-modules)",
                            name, rows[i].package);
            return 1;
        }
    }
    return 0;
}

/* The folder beside the executable when it is there, or else the installed one; both as seen
 * from the executable's folder. */
static void place_of(char place[PLACE_MAX], const char *folder, const char *installed)
{
    char exe[PLACE_MAX / 2];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
    char *slash;

    place[0] = '\0';
    if (len <= 0)
        return;
    exe[len] = '\0';
    slash = strrchr(exe, '/');
    snprintf(place, PLACE_MAX, "%.*s/%s", (int)(slash - exe), exe, folder);
    if (access(place, X_OK) != 0)
        snprintf(place, PLACE_MAX, "%.*s/%s", (int)(slash - exe), exe, installed);
}

/* package[field] = place .. ending .. ";" .. package[field] */
static void prepend(lua_State *lua, const char *field, const char *place, const char *ending)
{
    if (!*place)
        return; /* without /proc nobody knows, and the root folder is not the place */
    lua_pushfstring(lua, "%s%s;", place, ending);
    lua_getfield(lua, -2, field);
    lua_concat(lua, 2);
    lua_setfield(lua, -2, field);
}

void api_modules_open(lua_State *lua)
{
    char place[PLACE_MAX];

    lua_getglobal(lua, "package");
    place_of(place, "modules", "../lib/spoa-lua");
    prepend(lua, "cpath", place, "/?.so");
    place_of(place, "lua", "../share/spoa-lua");
    prepend(lua, "path", place, "/?.lua");
    lua_getfield(lua, -1, "searchers");
    lua_pushcfunction(lua, search);
    lua_rawseti(lua, -2, (lua_Integer)lua_rawlen(lua, -2) + 1);
    lua_pop(lua, 2);
}
