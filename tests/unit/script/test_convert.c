#include "script/convert.h"

#include <math.h>

#include "stage.h"

static lua_State *open(void)
{
    lua_State *lua = luaL_newstate();

    ck_assert_ptr_nonnull(lua);
    convert_open(lua);
    ck_assert_int_eq(lua_gettop(lua), 0);
    return lua;
}

/* What the value on top of the stack becomes, which is popped. */
static struct value plain(lua_State *lua)
{
    struct value value;
    const char *fault = convert_plain(lua, -1, &value);

    ck_assert_msg(fault == NULL, "%s", fault);
    lua_pop(lua, 1);
    return value;
}

static void expect_fault(lua_State *lua, const char *part)
{
    struct value value;
    const char *fault = convert_plain(lua, -1, &value);

    ck_assert_msg(fault && strstr(fault, part), "%s", fault ? fault : "no fault");
    lua_pop(lua, 1);
}

/* To Lua and back: what Lua has as it is comes back as its widest type. */
START_TEST(there_and_back)
{
    static const uint64_t integers[] = {
        0, 1, 127, UINT32_MAX, INT64_MAX, (uint64_t)INT64_MIN, UINT64_MAX};
    static const enum value_type types[] = {VALUE_INT32, VALUE_UINT32, VALUE_INT64, VALUE_UINT64};
    lua_State *lua = open();
    struct value value;

    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
            value = value_integer(types[k], integers[i]);
            convert_push(lua, &value);
            ck_assert(lua_isinteger(lua, -1));
            value = plain(lua);
            ck_assert_int_eq(value.type, VALUE_INT64);
            ck_assert_uint_eq(value.integer, integers[i]);
        }
    }
    for (int i = 0; i < 2; i++) {
        value = value_bool(i);
        convert_push(lua, &value);
        ck_assert_int_eq(lua_type(lua, -1), LUA_TBOOLEAN);
        value = plain(lua);
        ck_assert_int_eq(value.type, VALUE_BOOL);
        ck_assert_uint_eq(value.integer, (uint64_t)i);
    }
    for (int i = 0; i < 2; i++) {
        value = value_bytes(i ? VALUE_STR : VALUE_BIN, (struct span){"a\0b\xff", 4});
        convert_push(lua, &value);
        lua_pushvalue(lua, -1); /* its bytes are borrowed */
        value = plain(lua);
        ck_assert_int_eq(value.type, VALUE_STR);
        ck_assert_uint_eq(value.bytes.len, 4);
        ck_assert_mem_eq(value.bytes.at, "a\0b\xff", 4);
        lua_pop(lua, 1);
    }
    value = value_null();
    convert_push(lua, &value);
    ck_assert(lua_isnil(lua, -1));
    lua_close(lua);
}
END_TEST

START_TEST(floats)
{
    static const struct {
        double number;
        int64_t integer;
    } exact[] = {
        {0.0, 0},
        {-0.0, 0},
        {42.0, 42},
        {-1.0, -1},
        {9007199254740992.0, 1ll << 53},
        {-9223372036854775808.0, INT64_MIN},
        {9223372036854774784.0, 9223372036854774784ll},
    };
    static const double others[] = {0.5, -0.1, 1e300, 9223372036854775808.0,
                                    -9223372036854777856.0};
    lua_State *lua = open();

    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        struct value value;

        lua_pushnumber(lua, exact[i].number);
        ck_assert(!lua_isinteger(lua, -1));
        value = plain(lua);
        ck_assert_int_eq(value.type, VALUE_INT64);
        ck_assert_int_eq((int64_t)value.integer, exact[i].integer);
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        lua_pushnumber(lua, others[i]);
        expect_fault(lua, "round it with math.floor, or make it a string with tostring");
    }
    lua_pushnumber(lua, (double)NAN);
    expect_fault(lua, "math.floor");
    lua_pushnumber(lua, (double)INFINITY);
    expect_fault(lua, "math.floor");
    lua_pushnumber(lua, -(double)INFINITY);
    expect_fault(lua, "math.floor");
    ck_assert_int_eq(lua_gettop(lua), 0);
    lua_close(lua);
}
END_TEST

/* A string is a string, also one of digits. */
START_TEST(strings_of_digits)
{
    lua_State *lua = open();
    struct value value;

    lua_pushliteral(lua, "42");
    value = plain(lua);
    ck_assert_int_eq(value.type, VALUE_STR);
    ck_assert(span_is(value.bytes, "42"));
    lua_close(lua);
}
END_TEST

START_TEST(what_is_no_value)
{
    lua_State *lua = open();

    lua_newtable(lua);
    expect_fault(lua, "is a table: write one variable for each");
    luaL_loadstring(lua, "return");
    expect_fault(lua, "is a function: call it");
    lua_newthread(lua);
    expect_fault(lua, "is a coroutine: resume it");
    lua_newuserdatauv(lua, 1, 0);
    expect_fault(lua, "is a userdata: give a boolean, an integer, a string or one of spoa's");
    lua_pushlightuserdata(lua, lua);
    expect_fault(lua, "is a userdata");
    lua_close(lua);
}
END_TEST

/* ---- typed ---- */

/* Holds exactly what value_put writes, and tostring says it. */
static void expect_typed(lua_State *lua, struct value value, const char *text)
{
    uint8_t bytes[512];
    struct wire_out out = wire_out_open(bytes, sizeof bytes);
    const struct typed *typed;

    value_put(&out, &value);
    convert_push_typed(lua, &value, false);
    typed = convert_typed(lua, -1);
    ck_assert_ptr_nonnull(typed);
    ck_assert(!typed->unset);
    ck_assert_uint_eq(typed->len, (size_t)(out.at - bytes));
    ck_assert_mem_eq(typed->bytes, bytes, typed->len);
    ck_assert_str_eq(luaL_tolstring(lua, -1, NULL), text);
    lua_pop(lua, 2);
}

START_TEST(typed_values)
{
    lua_State *lua = open();
    char digits[300];
    struct value null = value_null();

    expect_typed(lua, value_null(), "spoa.null");
    expect_typed(lua, value_bool(true), "spoa.bool(true)");
    expect_typed(lua, value_bool(false), "spoa.bool(false)");
    expect_typed(lua, value_integer(VALUE_INT32, (uint64_t)-5), "spoa.int32(-5)");
    expect_typed(lua, value_integer(VALUE_UINT32, UINT32_MAX), "spoa.uint32(4294967295)");
    expect_typed(lua, value_integer(VALUE_INT64, (uint64_t)INT64_MIN),
                 "spoa.int64(-9223372036854775808)");
    expect_typed(lua, value_integer(VALUE_UINT64, UINT64_MAX), "spoa.uint64(-1)");
    expect_typed(lua, value_bytes(VALUE_IPV4, (struct span){"\x7f\0\0\1", 4}),
                 "spoa.ipv4(127.0.0.1)");
    expect_typed(lua,
                 value_bytes(VALUE_IPV6, (struct span){"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16}),
                 "spoa.ipv6(::1)");
    expect_typed(lua, STR(""), "spoa.str()");
    expect_typed(lua, value_bytes(VALUE_BIN, span_of("hex")), "spoa.bin(hex)");
    memset(digits, '7', sizeof digits);
    digits[0] = '(';
    digits[299] = '\0';
    convert_push_typed(lua, &(struct value){.type = VALUE_STR, .bytes = span_of(digits)}, false);
    ck_assert_uint_eq(convert_typed(lua, -1)->len, 1 + 2 + 299);

    convert_push_typed(lua, &null, true);
    ck_assert(convert_typed(lua, -1)->unset);
    ck_assert_str_eq(luaL_tolstring(lua, -1, NULL), "spoa.unset");
    lua_close(lua);
}
END_TEST

START_TEST(what_is_not_typed)
{
    lua_State *lua = open();

    lua_pushinteger(lua, 5);
    ck_assert_ptr_null(convert_typed(lua, -1));
    lua_pushnil(lua);
    ck_assert_ptr_null(convert_typed(lua, -1));
    lua_newtable(lua);
    ck_assert_ptr_null(convert_typed(lua, -1));
    lua_newuserdatauv(lua, 100, 0);
    ck_assert_ptr_null(convert_typed(lua, -1));
    lua_pushlightuserdata(lua, lua);
    ck_assert_ptr_null(convert_typed(lua, -1));
    lua_close(lua);
}
END_TEST

UNIT_MAIN("convert", there_and_back, floats, strings_of_digits, what_is_no_value, typed_values,
          what_is_not_typed)
