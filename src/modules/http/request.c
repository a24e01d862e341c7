#include "modules/http/request.h"

#include <lauxlib.h>
#include <string.h>
#include <strings.h>

#define TIMEOUT         5.0
#define CONNECT_TIMEOUT 1.0
#define MAX_BODY        (1024 * 1024)
#define MAX_BODY_MOST   (1024 * 1024 * 1024)
#define FOLLOW          5 /* for follow=true */
#define FOLLOW_MOST     20
#define HEADERS_MOST    256

void http_request_init(struct http_request *request)
{
    *request = (struct http_request){
        .method = "GET",
        .timeout = TIMEOUT,
        .connect_timeout = CONNECT_TIMEOUT,
        .max_body = MAX_BODY,
        .verify = true,
    };
}

void http_request_clear(struct http_request *request)
{
    curl_slist_free_all(request->headers);
    curl_slist_free_all(request->routes);
    request->headers = request->routes = NULL;
}

/* ---- values; each of these finds its value on top of the stack and leaves it there ---- */

static const char *text_of(lua_State *lua, const char *name)
{
    size_t len;
    const char *text;

    if (lua_type(lua, -1) != LUA_TSTRING)
        luaL_error(lua, "http: %s must be a string, not a %s value", name, luaL_typename(lua, -1));
    text = lua_tolstring(lua, -1, &len);
    if (len == 0 || strlen(text) != len)
        luaL_error(lua, "http: %s must not be empty nor hold a zero byte", name);
    return text;
}

static bool bool_of(lua_State *lua, const char *name)
{
    if (lua_type(lua, -1) != LUA_TBOOLEAN)
        luaL_error(lua, "http: %s must be true or false, not a %s value", name,
                   luaL_typename(lua, -1));
    return lua_toboolean(lua, -1);
}

static double seconds_of(lua_State *lua, const char *name)
{
    lua_Number seconds = lua_tonumber(lua, -1);

    if (lua_type(lua, -1) != LUA_TNUMBER || !(seconds >= 0.001 && seconds <= 3600))
        luaL_error(lua, "http: %s must be a number of seconds, from 0.001 to 3600", name);
    return seconds;
}

static lua_Integer integer_of(lua_State *lua, const char *name, lua_Integer most)
{
    int is_integer;
    lua_Integer number = lua_tointegerx(lua, -1, &is_integer);

    if (lua_type(lua, -1) != LUA_TNUMBER || !is_integer || number < 0 || number > most)
        luaL_error(lua, "http: %s must be an integer from 0 to %d", name, (int)most);
    return number;
}

/* RFC 9110, 5.6.2. */
static bool is_token(const char *text)
{
    static const char allowed[] = "!#$%&'*+-.^_`|~0123456789"
                                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

    return *text && text[strspn(text, allowed)] == '\0';
}

static void list_add(lua_State *lua, struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (!longer)
        luaL_error(lua, "http: not enough memory");
    *list = longer;
}

/* Without a body these are sent with "content-length: 0" (RFC 9110, 8.6). */
static bool wants_body(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

/* ---- headers ---- */

/* One value, on top of the stack; kept there with its line. */
static void read_header(struct http_request *request, lua_State *lua, const char *name)
{
    const char *value;
    size_t len;

    if (lua_type(lua, -1) != LUA_TSTRING && lua_type(lua, -1) != LUA_TNUMBER)
        luaL_error(lua,
                   "http: header '%s' must be a string, a number or a list of them, not a %s "
                   "value",
                   name, luaL_typename(lua, -1));
    lua_pushvalue(lua, -1);
    value = lua_tolstring(lua, -1, &len);
    if (strcspn(value, "\r\n") != len)
        luaL_error(lua,
                   "http: header '%s' holds a line end or a zero byte, which would forge "
                   "another header",
                   name);
    /* To curl "Name:" means to send none; "Name;" is one without a value. */
    if (value[strspn(value, " \t")] == '\0')
        lua_pushfstring(lua, "%s;", name);
    else
        lua_pushfstring(lua, "%s: %s", name, value);
    list_add(lua, &request->headers, lua_tostring(lua, -1));
    lua_pop(lua, 2);
}

static void check_header_name(struct http_request *request, lua_State *lua)
{
    const char *name;

    if (lua_type(lua, -2) != LUA_TSTRING)
        luaL_error(lua, "http: headers must be { name = value }; a key is a %s value",
                   luaL_typename(lua, -2));
    name = lua_tostring(lua, -2);
    if (strlen(name) != lua_rawlen(lua, -2) || !is_token(name))
        luaL_error(lua, "http: headers: '%s' cannot be the name of a header", name);
    if (strcasecmp(name, "content-length") == 0 || strcasecmp(name, "transfer-encoding") == 0)
        luaL_error(lua, "http: header '%s' comes from the body; leave it out", name);
    if (strcasecmp(name, "content-type") == 0)
        request->typed = true;
}

static void read_headers(struct http_request *request, lua_State *lua, const char *option)
{
    int count = 0;

    if (!lua_istable(lua, -1))
        luaL_error(lua, "http: %s must be a table { name = value }", option);
    for (lua_pushnil(lua); lua_next(lua, -2); lua_pop(lua, 1)) {
        const char *name;
        lua_Integer n = 1;

        check_header_name(request, lua);
        name = lua_tostring(lua, -2);
        if (lua_istable(lua, -1))
            n = (lua_Integer)lua_rawlen(lua, -1);
        if (n > HEADERS_MOST || (count += (int)n) > HEADERS_MOST)
            luaL_error(lua, "http: more than %d headers", HEADERS_MOST);
        if (!lua_istable(lua, -1)) {
            read_header(request, lua, name);
            continue;
        }
        for (lua_Integer i = 1; i <= n; i++) {
            lua_rawgeti(lua, -1, i);
            read_header(request, lua, name);
            lua_pop(lua, 1);
        }
    }
}

/* ---- options ---- */

static void read_timeout(struct http_request *request, lua_State *lua, const char *option)
{
    request->timeout = seconds_of(lua, option);
}

static void read_connect_timeout(struct http_request *request, lua_State *lua, const char *option)
{
    request->connect_timeout = seconds_of(lua, option);
}

static void read_max_body(struct http_request *request, lua_State *lua, const char *option)
{
    request->max_body = (size_t)integer_of(lua, option, MAX_BODY_MOST);
}

static void read_follow(struct http_request *request, lua_State *lua, const char *option)
{
    if (lua_isboolean(lua, -1))
        request->follow = lua_toboolean(lua, -1) ? FOLLOW : 0;
    else
        request->follow = (long)integer_of(lua, option, FOLLOW_MOST);
}

static void read_verify(struct http_request *request, lua_State *lua, const char *option)
{
    request->verify = bool_of(lua, option);
}

static void read_decode(struct http_request *request, lua_State *lua, const char *option)
{
    request->decode = bool_of(lua, option);
}

static void read_ca(struct http_request *request, lua_State *lua, const char *option)
{
    request->ca = text_of(lua, option);
}

static void read_cert(struct http_request *request, lua_State *lua, const char *option)
{
    request->cert = text_of(lua, option);
}

static void read_key(struct http_request *request, lua_State *lua, const char *option)
{
    request->key = text_of(lua, option);
}

static void read_unix(struct http_request *request, lua_State *lua, const char *option)
{
    request->unix_path = text_of(lua, option);
}

/* { ["name:port"] = "address" }: to curl a route "name:port:address:". */
static void read_resolve(struct http_request *request, lua_State *lua, const char *option)
{
    if (!lua_istable(lua, -1))
        luaL_error(lua, "http: %s must be a table { [\"name:port\"] = \"address\" }", option);
    for (lua_pushnil(lua); lua_next(lua, -2); lua_pop(lua, 1)) {
        const char *address = text_of(lua, "an address of resolve"), *host, *port;
        bool bare = strchr(address, ':') && *address != '[';

        lua_pushvalue(lua, -2);
        host = text_of(lua, "a key of resolve");
        port = strrchr(host, ':');
        if (!port || port == host || !port[1] || port[1 + strspn(port + 1, "0123456789")])
            luaL_error(lua, "http: resolve: '%s' is no name:port", host);
        lua_pushfstring(lua, bare ? "%s:[%s]:" : "%s:%s:", host, address);
        list_add(lua, &request->routes, lua_tostring(lua, -1));
        lua_pop(lua, 2);
    }
}

static void read_url(struct http_request *request, lua_State *lua, const char *option)
{
    request->url = text_of(lua, option);
    request->url_len = lua_rawlen(lua, -1);
}

static void read_method(struct http_request *request, lua_State *lua, const char *option)
{
    request->method = text_of(lua, option);
    if (!is_token(request->method) || lua_rawlen(lua, -1) > 32 ||
        strcasecmp(request->method, "CONNECT") == 0)
        luaL_error(lua, "http: '%s' cannot be sent as a method", request->method);
}

static void read_body(struct http_request *request, lua_State *lua, const char *option)
{
    if (lua_type(lua, -1) != LUA_TSTRING)
        luaL_error(lua, "http: %s must be a string, not a %s value", option,
                   luaL_typename(lua, -1));
    request->body = lua_tolstring(lua, -1, &request->body_len);
}

static const struct option {
    const char *name;
    void (*read)(struct http_request *request, lua_State *lua, const char *option);
    bool whole; /* of http.request only */
} options[] = {
    {"timeout", read_timeout, false},
    {"headers", read_headers, false},
    {"connect_timeout", read_connect_timeout, false},
    {"max_body", read_max_body, false},
    {"follow", read_follow, false},
    {"verify", read_verify, false},
    {"ca", read_ca, false},
    {"cert", read_cert, false},
    {"key", read_key, false},
    {"unix", read_unix, false},
    {"resolve", read_resolve, false},
    {"decode", read_decode, false},
    {"url", read_url, true},
    {"method", read_method, true},
    {"body", read_body, true},
};

static const struct option *find_option(lua_State *lua, bool whole)
{
    const char *name;

    if (lua_type(lua, -1) != LUA_TSTRING)
        luaL_error(lua, "http: an option's name is a %s value", luaL_typename(lua, -1));
    name = lua_tostring(lua, -1);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (strcmp(options[i].name, name) != 0)
            continue;
        if (options[i].whole && !whole)
            luaL_error(lua, "http: '%s' is an option of http.request only", name);
        return &options[i];
    }
    luaL_error(lua, "http: there is no option '%s'", name);
    return NULL;
}

void http_request_read(struct http_request *request, lua_State *lua, int index, bool whole)
{
    luaL_checkstack(lua, (int)(sizeof options / sizeof *options) + 10, NULL);
    lua_pushnil(lua);
    while (lua_next(lua, index)) {
        const struct option *option;

        lua_insert(lua, -2); /* the value stays below its key */
        option = find_option(lua, whole);
        lua_pushvalue(lua, -2);
        option->read(request, lua, option->name);
        lua_pop(lua, 1);
    }
}

void http_request_complete(struct http_request *request, lua_State *lua)
{
    if (!request->body && wants_body(request->method)) {
        request->body = "";
        request->body_len = 0;
    }
    if (!request->body)
        return;
    if (strcmp(request->method, "HEAD") == 0)
        luaL_error(lua, "http: a HEAD request has no body");
    /* What curl would add: a pause for "100 Continue", and a content-type that is a guess. */
    list_add(lua, &request->headers, "Expect:");
    if (!request->typed)
        list_add(lua, &request->headers, "Content-Type:");
}

void http_request_url(struct http_request *request, lua_State *lua, int index)
{
    lua_pushvalue(lua, index);
    read_url(request, lua, "url");
    lua_pop(lua, 1);
}

void http_request_body(struct http_request *request, lua_State *lua, int index)
{
    lua_pushvalue(lua, index);
    read_body(request, lua, "body");
    lua_pop(lua, 1);
}
