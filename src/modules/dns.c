/*
 * require "spoa.dns": names looked up by handlers that wait, by c-ares.
 *
 *     dns.resolve(name [, type [, options]])    dns.a aaaa ptr txt mx(name [, options])
 *     dns.addresses(name [, options])           dns.dnsbl(ip, zone [, options])
 *     dns.configure{ servers =, timeout =, tries =, try_timeout =, search =, cache = }
 *
 * Give a list, or nil, a message and a code.  The operation is a userdata on the coroutine's
 * stack, as in script/api_sleep.c; its user value is the resolver that it asked, for
 * dns.configure makes a new one.  The functions' upvalue is the module's state, whose user
 * value is the resolver in use.
 */
#include <ares.h>
#include <arpa/inet.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "modules/dns/hosts.h"
#include "modules/dns/resolver.h"
#include "script/script.h"

#define OPERATION "spoa.dns operation"
#define RESOLVER  "spoa.dns resolver"
#define STATE     "spoa.dns state"

#define TIMEOUT     0.8 /* below the handlers' own of 1 s, so that they are told */
#define TRIES       3
#define TRY_TIMEOUT 0.25
#define CACHE       10000
#define SECONDS_MAX 3600.0

struct state {
    struct dns_hosts hosts;
    double timeout;
    bool closed;
};

struct operation {
    struct wait wait;
    struct dns_request request;
    enum dns_type types[2];
    unsigned nlookups;
    bool listing; /* dnsbl */
    double timeout;
    char name[DNS_NAME_SIZE]; /* what is asked for */
};

/* A finalizer may still call us when this has been finalized, or is not to be any more. */
static struct state *state_of(lua_State *lua)
{
    struct state *state = lua_touserdata(lua, lua_upvalueindex(1));

    script_check_open(lua);
    if (state->closed)
        luaL_error(lua, "dns: it is closed");
    return state;
}

/* ---- results ---- */

/* nil, "TYPE NAME: what (servers)", code */
static int push_failure(lua_State *lua, const char *what, const char *name, enum dns_code code,
                        const char *where)
{
    lua_pushnil(lua);
    lua_pushfstring(lua, "dns %s %s: %s", what, name, dns_code_words(code));
    if (where) {
        lua_pushfstring(lua, " (%s)", where);
        lua_concat(lua, 2);
    }
    lua_pushstring(lua, dns_code_name(code));
    return 3;
}

/* For what is wrong before anybody is asked. */
static int push_badname(lua_State *lua, const char *what, int index)
{
    lua_pushnil(lua);
    lua_pushfstring(lua, "dns %s: '%s' is no %s", what, lua_tostring(lua, index),
                    strcmp(what, "dnsbl") == 0 ? "IP address, or too long with this zone"
                                               : "name that can be asked for");
    lua_pushstring(lua, dns_code_name(DNS_BADNAME));
    return 3;
}

/* Adds the records to the list on top. */
static void add_records(lua_State *lua, const struct dns_answer *answer, enum dns_type type)
{
    lua_Integer n = (lua_Integer)lua_rawlen(lua, -1);
    size_t at = 0;

    for (unsigned i = 0; i < answer->count; i++) {
        struct dns_record record = dns_answer_next(answer, &at);

        if (type == DNS_MX) {
            lua_createtable(lua, 0, 2);
            lua_pushinteger(lua, record.priority);
            lua_setfield(lua, -2, "priority");
            lua_pushlstring(lua, record.text, record.len);
            lua_setfield(lua, -2, "host");
        } else {
            lua_pushlstring(lua, record.text, record.len);
        }
        lua_rawseti(lua, -2, ++n);
    }
}

/* Of several without an answer: the failure that may pass rather than "there is none". */
static enum dns_code worst(const struct operation *operation)
{
    enum dns_code code = DNS_NXDOMAIN;

    for (unsigned i = 0; i < operation->nlookups; i++) {
        enum dns_code other = dns_request_answer(&operation->request, i)->code;

        if (other > code)
            code = other;
    }
    return code;
}

static bool starts_with(struct dns_record record, const char *prefix)
{
    return record.len >= strlen(prefix) && memcmp(record.text, prefix, strlen(prefix)) == 0;
}

/* A list's answers are in 127.0.0.0/8 (RFC 5782, 2.1); with 127.255.255.x lists refuse a client.
 * Anything else is from somebody who took over the zone. */
static enum dns_code listing_code(const struct dns_answer *answer)
{
    size_t at = 0;

    for (unsigned i = 0; i < answer->count; i++) {
        struct dns_record record = dns_answer_next(answer, &at);

        if (starts_with(record, "127.255.255."))
            return DNS_REFUSED;
        if (!starts_with(record, "127."))
            return DNS_BADREPLY;
    }
    return answer->code;
}

static int push_result(lua_State *lua, const struct operation *operation)
{
    const struct dns_request *request = &operation->request;
    enum dns_code code = worst(operation);
    const char *what = operation->nlookups > 1 ? "addresses" : dns_type_names[operation->types[0]];

    if (operation->listing) {
        what = "dnsbl";
        code = listing_code(dns_request_answer(request, 0));
        if (code == DNS_NXDOMAIN || code == DNS_NODATA) {
            lua_pushboolean(lua, false);
            return 1;
        }
        if (code != DNS_OK)
            return push_failure(lua, what, operation->name, code,
                                request->resolver ? dns_resolver_where(request->resolver) : NULL);
    }
    lua_newtable(lua);
    for (unsigned i = 0; i < operation->nlookups; i++)
        add_records(lua, dns_request_answer(request, i), operation->types[i]);
    if (lua_rawlen(lua, -1) > 0)
        return 1;
    return push_failure(lua, what, operation->name, code,
                        request->resolver ? dns_resolver_where(request->resolver) : NULL);
}

/* ---- operations ---- */

static int operation_gc(lua_State *lua)
{
    dns_request_end(&((struct operation *)lua_touserdata(lua, 1))->request);
    return 0;
}

static void operation_cancel(struct wait *wait)
{
    dns_request_end(&((struct operation *)wait)->request); /* the wait is its first member */
}

/* If Lua has no memory for the list this raises, and operation_gc cleans up. */
static int operation_resumed(lua_State *lua, int status, lua_KContext context)
{
    struct operation *operation = lua_touserdata(lua, -1);
    int n;

    (void)status;
    (void)context;
    n = push_result(lua, operation);
    dns_request_end(&operation->request);
    return n;
}

static double seconds_of(lua_State *lua, int index, const char *name, double otherwise)
{
    double seconds = otherwise;
    int is_number = 1;

    if (lua_getfield(lua, index, name) != LUA_TNIL)
        seconds = lua_tonumberx(lua, -1, &is_number);
    if (!is_number || !(seconds >= 0.001 && seconds <= SECONDS_MAX))
        luaL_error(lua, "dns: %s must be a number of seconds from 0.001 to 3600", name);
    lua_pop(lua, 1);
    return seconds;
}

static void check_options(lua_State *lua, int index, const char *const known[])
{
    luaL_argexpected(lua, lua_istable(lua, index), index, "table of options");
    for (lua_pushnil(lua); lua_next(lua, index); lua_pop(lua, 1)) {
        const char *name = lua_type(lua, -2) == LUA_TSTRING ? lua_tostring(lua, -2) : "(no string)";
        size_t i = 0;

        while (known[i] && strcmp(known[i], name) != 0)
            i++;
        if (!known[i])
            luaL_error(lua, "dns: there is no option '%s'", name);
    }
}

/* On top of the stack, with the options at index read. */
static struct operation *operation_new(lua_State *lua, int index)
{
    static const char *const known[] = {"timeout", NULL};
    double timeout = state_of(lua)->timeout;
    struct operation *operation;

    if (!lua_isnoneornil(lua, index)) {
        check_options(lua, index, known);
        timeout = seconds_of(lua, index, "timeout", timeout);
    }
    operation = lua_newuserdatauv(lua, sizeof *operation, 1);
    dns_request_init(&operation->request);
    operation->nlookups = 1;
    operation->listing = false;
    operation->timeout = timeout;
    luaL_setmetatable(lua, OPERATION);
    return operation;
}

/* `return operation_start(...)`: the operation is on top. */
static int operation_start(lua_State *lua, struct operation *operation)
{
    struct dns_resolver *resolver;

    lua_getiuservalue(lua, lua_upvalueindex(1), 1);
    resolver = lua_touserdata(lua, -1);
    lua_setiuservalue(lua, -2, 1);
    if (!resolver || !resolver->channel)
        return luaL_error(lua, "dns: the scripts are being closed");
    for (unsigned i = 0; i < operation->nlookups; i++)
        dns_request_ask(&operation->request, resolver, i, operation->types[i], operation->name);
    if (dns_request_wait(&operation->request, &operation->wait, operation->timeout))
        return operation_resumed(lua, LUA_OK, 0);
    return wait_yield(lua, &operation->wait, operation_cancel, operation_resumed);
}

/* A name's bytes up to a NUL would be another name. */
static bool read_name(lua_State *lua, int index, char name[DNS_NAME_SIZE])
{
    size_t len;
    const char *text = luaL_checklstring(lua, index, &len);

    return dns_name_check(name, text, len);
}

/* ---- the functions ---- */

static int look_up(lua_State *lua, enum dns_type type, int options)
{
    struct operation *operation;

    luaL_checkstring(lua, 1);
    operation = operation_new(lua, options);
    operation->types[0] = type;
    if ((type != DNS_PTR || !dns_name_of_ip(operation->name, lua_tostring(lua, 1))) &&
        !read_name(lua, 1, operation->name))
        return push_badname(lua, dns_type_names[type], 1);
    return operation_start(lua, operation);
}

static int dns_resolve(lua_State *lua)
{
    enum dns_type type = (enum dns_type)luaL_checkoption(lua, 2, "a", dns_type_names);

    lua_settop(lua, 3);
    return look_up(lua, type, 3);
}

static int dns_short(lua_State *lua)
{
    lua_settop(lua, 2);
    return look_up(lua, (enum dns_type)lua_tointeger(lua, lua_upvalueindex(2)), 2);
}

static int dns_dnsbl(lua_State *lua)
{
    struct operation *operation;
    char zone[DNS_NAME_SIZE];

    luaL_checkstring(lua, 1);
    luaL_argcheck(lua, read_name(lua, 2, zone), 2, "a zone is a name such as 'bl.example'");
    lua_settop(lua, 3);
    operation = operation_new(lua, 3);
    operation->types[0] = DNS_A;
    operation->listing = true;
    if (lua_rawlen(lua, 1) >= INET6_ADDRSTRLEN ||
        !dns_name_in_zone(operation->name, lua_tostring(lua, 1), zone))
        return push_badname(lua, "dnsbl", 1);
    return operation_start(lua, operation);
}

/* What needs no network: an address, or a name of the hosts file. */
static bool push_known(lua_State *lua, const char *text, const char *name)
{
    char address[INET6_ADDRSTRLEN];
    lua_Integer n = 0;
    size_t at = 0;

    lua_newtable(lua);
    if (dns_name_is_ip(text)) {
        lua_pushstring(lua, text);
        lua_rawseti(lua, -2, 1);
        return true;
    }
    while (dns_hosts_next(&state_of(lua)->hosts, name, &at, address, sizeof address)) {
        lua_pushstring(lua, address);
        lua_rawseti(lua, -2, ++n);
    }
    if (!n)
        lua_pop(lua, 1);
    return n > 0;
}

static int dns_addresses(lua_State *lua)
{
    struct operation *operation;
    bool good;

    luaL_checkstring(lua, 1);
    lua_settop(lua, 2);
    operation = operation_new(lua, 2);
    good = read_name(lua, 1, operation->name);
    if (!good)
        operation->name[0] = '\0';
    if (lua_rawlen(lua, 1) == strlen(lua_tostring(lua, 1)) &&
        push_known(lua, lua_tostring(lua, 1), operation->name))
        return 1;
    lua_settop(lua, 3);
    if (!good)
        return push_badname(lua, "addresses", 1);
    operation->nlookups = 2;
    operation->types[0] = DNS_A;
    operation->types[1] = DNS_AAAA;
    return operation_start(lua, operation);
}

/* ---- the resolver ---- */

static int resolver_gc(lua_State *lua)
{
    dns_resolver_close(lua_touserdata(lua, 1));
    return 0;
}

static int state_gc(lua_State *lua)
{
    struct state *state = lua_touserdata(lua, 1);

    dns_hosts_close(&state->hosts);
    state->closed = true;
    return 0;
}

/* Makes a resolver the one of the state at index. */
static void resolver_use(lua_State *lua, int index, const struct dns_options *options)
{
    struct dns_resolver *resolver = lua_newuserdatauv(lua, sizeof *resolver, 0), *old;
    const char *why;

    memset(resolver, 0, sizeof *resolver);
    luaL_setmetatable(lua, RESOLVER);
    why = dns_resolver_open(resolver, script_of(lua)->queue->loop, options);
    if (why)
        luaL_error(lua, "dns: cannot start (servers '%s'): %s",
                   options->servers ? options->servers : "of /etc/resolv.conf", why);
    lua_getiuservalue(lua, index, 1);
    old = lua_touserdata(lua, -1);
    lua_pushvalue(lua, -2);
    lua_setiuservalue(lua, index, 1);
    if (old)
        dns_resolver_stop(old);
    lua_pop(lua, 2);
}

/* The list of servers at the top, as c-ares reads it; NULL for none. */
static const char *servers_of(lua_State *lua)
{
    luaL_Buffer text;
    int list = lua_gettop(lua);

    if (lua_isnil(lua, list))
        return NULL;
    if (!lua_istable(lua, list) || lua_rawlen(lua, list) == 0)
        luaL_error(lua, "dns.configure: servers must be a list such as { '192.0.2.1', "
                        "'127.0.0.1:5353', '[::1]:53' }");
    luaL_buffinit(lua, &text);
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(lua, list); i++) {
        if (lua_rawgeti(lua, list, i) != LUA_TSTRING)
            luaL_error(lua, "dns.configure: servers[%d] is no string", (int)i);
        if (strpbrk(lua_tostring(lua, -1), ", \t"))
            luaL_error(lua, "dns.configure: servers[%d]: one address a string", (int)i);
        luaL_addvalue(&text);
        luaL_addchar(&text, ',');
    }
    luaL_buffsub(&text, 1);
    luaL_pushresult(&text);
    return lua_tostring(lua, -1);
}

static lua_Integer integer_of(lua_State *lua, const char *name, lua_Integer otherwise,
                              lua_Integer least, lua_Integer most)
{
    lua_Integer number = otherwise;
    int is_integer = 1;

    if (lua_getfield(lua, 1, name) != LUA_TNIL)
        number = lua_tointegerx(lua, -1, &is_integer);
    if (!is_integer || number < least || number > most)
        luaL_error(lua, "dns.configure: %s must be an integer from %d to %d", name, (int)least,
                   (int)most);
    lua_pop(lua, 1);
    return number;
}

static int dns_configure(lua_State *lua)
{
    static const char *const known[] = {"servers", "timeout", "tries", "try_timeout",
                                        "search",  "cache",   NULL};
    struct dns_options options;
    struct state *state = state_of(lua);
    double timeout;

    lua_settop(lua, 1);
    check_options(lua, 1, known);
    timeout = seconds_of(lua, 1, "timeout", TIMEOUT);
    options.try_timeout = seconds_of(lua, 1, "try_timeout", TRY_TIMEOUT);
    options.tries = (int)integer_of(lua, "tries", TRIES, 1, 10);
    options.cache = (unsigned)integer_of(lua, "cache", CACHE, 0, 1000000);
    lua_getfield(lua, 1, "search");
    options.search = lua_toboolean(lua, -1);
    lua_getfield(lua, 1, "servers");
    options.servers = servers_of(lua);
    resolver_use(lua, lua_upvalueindex(1), &options);
    state->timeout = timeout;
    return 0;
}

static void metatable(lua_State *lua, const char *name, lua_CFunction gc)
{
    if (luaL_newmetatable(lua, name)) {
        lua_pushcfunction(lua, gc);
        lua_setfield(lua, -2, "__gc");
    }
    lua_pop(lua, 1);
}

static void state_new(lua_State *lua)
{
    static const struct dns_options options = {
        .tries = TRIES, .try_timeout = TRY_TIMEOUT, .cache = CACHE};
    struct state *state;

    script_check_open(lua);
    state = lua_newuserdatauv(lua, sizeof *state, 1);
    state->closed = false;
    dns_hosts_open(&state->hosts, "/etc/hosts");
    state->timeout = TIMEOUT;
    luaL_setmetatable(lua, STATE);
    resolver_use(lua, lua_gettop(lua), &options);
}

__attribute__((visibility("default"))) int luaopen_spoa_dns(lua_State *lua);

int luaopen_spoa_dns(lua_State *lua)
{
    static const luaL_Reg functions[] = {
        {"resolve", dns_resolve},     {"dnsbl", dns_dnsbl}, {"addresses", dns_addresses},
        {"configure", dns_configure}, {NULL, NULL},
    };

    metatable(lua, OPERATION, operation_gc);
    metatable(lua, RESOLVER, resolver_gc);
    metatable(lua, STATE, state_gc);
    luaL_newlibtable(lua, functions);
    state_new(lua);
    for (int i = 0; i < DNS_TYPE_COUNT; i++) {
        lua_pushvalue(lua, -1);
        lua_pushinteger(lua, i);
        lua_pushcclosure(lua, dns_short, 2);
        lua_setfield(lua, -3, dns_type_names[i]);
    }
    luaL_setfuncs(lua, functions, 1);
    return 1;
}
