#include "base/metrics.h"
#include "script/handler.h"

#include "stage.h"

/* A table of its own, with functions that do nothing. */
struct bench {
    lua_State *lua;
    struct handler_table table;
    struct script_options options;
};

static void bench_open(struct bench *bench)
{
    *bench = (struct bench){
        .lua = luaL_newstate(),
        .options = {.metrics = metrics_unseen(), .timeout = 1.5, .concurrency = 77},
    };
}

static const struct handler *define(struct bench *bench, const char *name, const char *code)
{
    ck_assert_int_eq(luaL_dostring(bench->lua, code), LUA_OK);
    return handler_define(&bench->table, bench->lua, span_of(name), "some.lua", &bench->options);
}

static struct handler *find(struct bench *bench, const char *name, bool first)
{
    bool was_first = !first;
    struct handler *handler = handler_find(&bench->table, span_of(name), &was_first);

    ck_assert_msg(was_first == first, "%s", name);
    return handler;
}

static void bench_close(struct bench *bench)
{
    ck_assert_int_eq(lua_gettop(bench->lua), 0);
    handler_table_clear(&bench->table);
    ck_assert_uint_eq(handler_count(&bench->table), 0);
    lua_close(bench->lua);
}

static int does_nothing(lua_State *lua)
{
    (void)lua;
    return 0;
}

#define FUNCTION "return function(args) end"

START_TEST(exact_name)
{
    struct bench bench;
    struct handler *handler;

    bench_open(&bench);
    ck_assert_ptr_null(define(&bench, "get_ip", "\n\nreturn function(args) end"));
    ck_assert_uint_eq(handler_count(&bench.table), 1);
    handler = find(&bench, "get_ip", true);
    ck_assert_ptr_nonnull(handler);
    ck_assert_str_eq(handler->name, "get_ip");
    ck_assert_str_eq(handler->message, "get_ip");
    ck_assert_str_eq(handler->file, "some.lua");
    ck_assert_int_eq(handler->line, 3);
    ck_assert_ptr_eq(find(&bench, "get_ip", false), handler);
    bench_close(&bench);
}
END_TEST

START_TEST(what_an_identifier_cannot_hold)
{
    struct bench bench;
    struct handler *handler;

    bench_open(&bench);
    define(&bench, "get_ip_v2", FUNCTION);
    handler = find(&bench, "get-ip.v2", true);
    ck_assert_ptr_nonnull(handler);
    ck_assert_str_eq(handler->name, "get_ip_v2");
    ck_assert_str_eq(handler->message, "get-ip.v2");
    ck_assert_ptr_eq(find(&bench, "get:ip:v2", true), handler);
    ck_assert_ptr_eq(find(&bench, "get_ip_v2", true), handler);
    /* It is spoken of as HAProxy first did. */
    ck_assert_str_eq(handler->message, "get-ip.v2");
    ck_assert_ptr_null(find(&bench, "get-ip-v3", true));
    ck_assert_ptr_null(find(&bench, "get-ip-v", true));
    ck_assert_ptr_null(find(&bench, "Get-ip-v2", true));
    bench_close(&bench);
}
END_TEST

START_TEST(exact_before_mangled)
{
    struct bench bench;
    struct handler *exact, *mangled;

    bench_open(&bench);
    define(&bench, "get_ip", FUNCTION);
    define(&bench, "get-ip", FUNCTION);
    mangled = find(&bench, "get_ip", true);
    exact = find(&bench, "get-ip", true);
    ck_assert_str_eq(exact->name, "get-ip");
    ck_assert_str_eq(mangled->name, "get_ip");
    ck_assert_ptr_eq(find(&bench, "get.ip", true), mangled);
    ck_assert_ptr_eq(find(&bench, "get-ip", false), exact);
    bench_close(&bench);
}
END_TEST

START_TEST(nobody_is_remembered_too)
{
    struct bench bench;

    bench_open(&bench);
    ck_assert_ptr_null(find(&bench, "absent", true));
    ck_assert_ptr_null(find(&bench, "absent", false));
    ck_assert_ptr_null(find(&bench, "other", true));
    ck_assert_ptr_null(find(&bench, "absent", false));
    ck_assert_ptr_null(find(&bench, "", true));
    ck_assert_ptr_null(find(&bench, "", false));
    bench_close(&bench);
}
END_TEST

/* Names are bytes: one that begins like another, or has a NUL, is another. */
START_TEST(names_are_bytes)
{
    struct bench bench;
    bool first;

    bench_open(&bench);
    define(&bench, "a", FUNCTION);
    ck_assert_ptr_nonnull(handler_find(&bench.table, (struct span){"abc", 1}, &first));
    ck_assert_ptr_null(handler_find(&bench.table, (struct span){"a\0c", 3}, &first));
    ck_assert(first);
    ck_assert_ptr_null(handler_find(&bench.table, (struct span){"a\0d", 3}, &first));
    ck_assert(first);
    bench_close(&bench);
}
END_TEST

/* What a peer can make us remember: 4096 names.  Past that handlers are found as before. */
START_TEST(so_many_names_are_remembered)
{
    struct bench bench;
    char name[32];

    bench_open(&bench);
    define(&bench, "known", FUNCTION);
    define(&bench, "late_one", FUNCTION);
    ck_assert_ptr_nonnull(find(&bench, "known", true));
    for (int i = 1; i < 6000; i++) {
        bool first;

        snprintf(name, sizeof name, "name-%d", i);
        if (handler_find(&bench.table, span_of(name), &first) || first != (i < 4096))
            ck_abort_msg("%s: first %d", name, first);
    }
    ck_assert_uint_eq(bench.table.nseen, 4096);
    ck_assert_ptr_null(find(&bench, "name-4095", false));
    ck_assert_ptr_null(find(&bench, "name-5999", false));
    ck_assert_ptr_nonnull(find(&bench, "known", false));
    ck_assert_ptr_nonnull(find(&bench, "late_one", false));
    ck_assert_ptr_nonnull(find(&bench, "late-one", false));
    ck_assert_str_eq(find(&bench, "late:one", false)->message, "late_one");
    bench_close(&bench);
}
END_TEST

START_TEST(long_names_are_not_remembered)
{
    struct bench bench;
    char name[301], dashes[301];

    bench_open(&bench);
    memset(name, 'n', sizeof name);
    name[300] = '\0';
    define(&bench, name, FUNCTION);
    ck_assert_ptr_nonnull(find(&bench, name, false));
    ck_assert_ptr_nonnull(find(&bench, name, false));
    name[299] = '-';
    ck_assert_ptr_null(find(&bench, name, false));
    ck_assert_uint_eq(bench.table.nseen, 0);
    name[256] = '\0';
    ck_assert_ptr_null(find(&bench, name, true));
    ck_assert_uint_eq(bench.table.nseen, 1);

    memset(dashes, '_', sizeof dashes);
    dashes[256] = '\0';
    define(&bench, dashes, FUNCTION);
    memset(dashes, '-', 256);
    ck_assert_ptr_nonnull(find(&bench, dashes, true));
    bench_close(&bench);
}
END_TEST

START_TEST(defined_twice)
{
    struct bench bench;
    const struct handler *there;

    bench_open(&bench);
    ck_assert_ptr_null(define(&bench, "one", FUNCTION));
    there = define(&bench, "one", "\n\n\nreturn function() end");
    ck_assert_ptr_nonnull(there);
    ck_assert_str_eq(there->name, "one");
    ck_assert_int_eq(there->line, 1);
    ck_assert_ptr_eq(find(&bench, "one", true), there);
    ck_assert_uint_eq(handler_count(&bench.table), 1);
    bench_close(&bench);
}
END_TEST

START_TEST(who_wants_the_context)
{
    struct bench bench;

    bench_open(&bench);
    define(&bench, "none", "return function() end");
    define(&bench, "one", "return function(args) end");
    define(&bench, "two", "return function(args, ctx) end");
    define(&bench, "three", "return function(args, ctx, more) end");
    define(&bench, "all", "return function(...) end");
    lua_pushcfunction(bench.lua, does_nothing);
    handler_define(&bench.table, bench.lua, span_of("c"), "some.lua", &bench.options);
    ck_assert(!find(&bench, "none", true)->wants_context);
    ck_assert(!find(&bench, "one", true)->wants_context);
    ck_assert(find(&bench, "two", true)->wants_context);
    ck_assert(find(&bench, "three", true)->wants_context);
    ck_assert(find(&bench, "all", true)->wants_context);
    ck_assert(find(&bench, "c", true)->wants_context);
    bench_close(&bench);
}
END_TEST

/* `handler get-ip timeout 50ms concurrency 2` is for get_ip too; what it does not say is as
 * for all. */
START_TEST(limits_of_one_handler)
{
    struct bench bench;
    struct handler *handler;

    bench_open(&bench);
    bench.options.limits = (struct script_limit[]){
        {.name = (char[]){"get-ip"}, .timeout = 0.05, .concurrency = 2},
        {.name = (char[]){"slow"}, .timeout = 9},
        {.name = (char[]){"few"}, .concurrency = 1},
        {.name = (char[]){"a_b"}, .concurrency = 3},
        {.name = (char[]){"get"}, .concurrency = 4},
    };
    bench.options.nlimits = 5;
    define(&bench, "get_ip", FUNCTION);
    define(&bench, "slow", FUNCTION);
    define(&bench, "few", FUNCTION);
    define(&bench, "a-b", FUNCTION);
    define(&bench, "other", FUNCTION);
    handler = find(&bench, "get_ip", true);
    ck_assert_double_eq(handler->timeout, 0.05);
    ck_assert_uint_eq(handler->concurrency, 2);
    handler = find(&bench, "slow", true);
    ck_assert_double_eq(handler->timeout, 9);
    ck_assert_uint_eq(handler->concurrency, 77);
    handler = find(&bench, "few", true);
    ck_assert_double_eq(handler->timeout, 1.5);
    ck_assert_uint_eq(handler->concurrency, 1);
    ck_assert_uint_eq(find(&bench, "a-b", true)->concurrency, 77);
    ck_assert_uint_eq(find(&bench, "other", true)->concurrency, 77);
    bench_close(&bench);
}
END_TEST

UNIT_MAIN("handler", exact_name, what_an_identifier_cannot_hold, exact_before_mangled,
          nobody_is_remembered_too, names_are_bytes, so_many_names_are_remembered,
          long_names_are_not_remembered, defined_twice, who_wants_the_context,
          limits_of_one_handler)
