/* spoa.null, spoa.unset and the constructors: api_value.c. */
#include "stage.h"

struct attempt {
    const char *code, *expected; /* an action's value, or the error behind its place */
};

/* Each is tried in a handler of its own, on its third line. */
static void check(const struct attempt *attempts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char source[512], expected[512];
        struct stage stage;
        const char *said;
        bool fails = strchr(attempts[i].expected, '(') || strstr(attempts[i].expected, "is no");

        snprintf(source, sizeof source,
                 "function f(args)\n"
                 "  local v =\n"
                 "    %s\n"
                 "  return { ['txn.x'] = v }\n"
                 "end",
                 attempts[i].code);
        snprintf(expected, sizeof expected, "%s%s", fails ? "error h.lua:3: " : "ok set-var txn.x ",
                 attempts[i].expected);
        stage_open(&stage, source);
        said = stage_play(&stage, "f", NO_ARGS);
        ck_assert_msg(strcmp(said, expected) == 0, "%s: %s\nand not %s", attempts[i].code, said,
                      expected);
        stage_close(&stage);
    }
}

#define CHECK(...)                                                                                 \
    do {                                                                                           \
        static const struct attempt attempts[] = {__VA_ARGS__};                                    \
                                                                                                   \
        check(attempts, sizeof attempts / sizeof *attempts);                                       \
    } while (0)

START_TEST(int32)
{
    CHECK({"spoa.int32(-2147483648)", "int32 -2147483648"},
          {"spoa.int32(2147483647)", "int32 2147483647"}, {"spoa.int32(0)", "int32 0"},
          {"spoa.int32(7.0)", "int32 7"}, {"spoa.int32('-12')", "int32 -12"},
          {"spoa.int32('0x10')", "int32 16"},
          {"spoa.int32(2147483648)", "2147483648 does not fit int32 (-2147483648 to 2147483647)"},
          {"spoa.int32(-2147483649)", "-2147483649 does not fit int32 (-2147483648 to 2147483647)"},
          {"spoa.int32('2147483648')", "2147483648 does not fit int32 (-2147483648 to 2147483647)"},
          {"spoa.int32(1.5)", "bad argument #1 to 'int32' (number has no integer representation)"},
          {"spoa.int32('x')", "bad argument #1 to 'int32' (number expected, got string)"},
          {"spoa.int32(nil)", "bad argument #1 to 'int32' (number expected, got nil)"},
          {"spoa.int32()", "bad argument #1 to 'int32' (number expected, got no value)"},
          {"spoa.int32({})", "bad argument #1 to 'int32' (number expected, got table)"},
          {"spoa.int32(true)", "bad argument #1 to 'int32' (number expected, got boolean)"},
          {"spoa.int32(spoa.int32(1))",
           "bad argument #1 to 'int32' (number expected, got spoa.value)"});
}
END_TEST

START_TEST(uint32)
{
    CHECK(
        {"spoa.uint32(0)", "uint32 0"}, {"spoa.uint32(4294967295)", "uint32 4294967295"},
        {"spoa.uint32('4294967295')", "uint32 4294967295"},
        {"spoa.uint32(4294967296)", "4294967296 does not fit uint32 (0 to 4294967295)"},
        {"spoa.uint32(-1)", "-1 does not fit uint32 (0 to 4294967295)"},
        {"spoa.uint32(math.mininteger)",
         "-9223372036854775808 does not fit uint32 (0 to 4294967295)"},
        {"spoa.uint32(0.1)", "bad argument #1 to 'uint32' (number has no integer representation)"},
        {"spoa.uint32(false)", "bad argument #1 to 'uint32' (number expected, got boolean)"});
}
END_TEST

START_TEST(int64)
{
    CHECK(
        {"spoa.int64(math.mininteger)", "int64 -9223372036854775808"},
        {"spoa.int64(math.maxinteger)", "int64 9223372036854775807"},
        {"spoa.int64('9223372036854775807')", "int64 9223372036854775807"},
        {"spoa.int64(-2.0^63)", "int64 -9223372036854775808"},
        {"spoa.int64(2.0^63)", "bad argument #1 to 'int64' (number has no integer representation)"},
        {"spoa.int64('9223372036854775808')",
         "bad argument #1 to 'int64' (number has no integer representation)"},
        {"spoa.int64(0/0)", "bad argument #1 to 'int64' (number has no integer representation)"},
        {"spoa.int64({})", "bad argument #1 to 'int64' (number expected, got table)"});
}
END_TEST

/* The same 64 bits. */
START_TEST(uint64)
{
    CHECK({"spoa.uint64(0)", "uint64 0"},
          {"spoa.uint64(math.maxinteger)", "uint64 9223372036854775807"},
          {"spoa.uint64(math.mininteger)", "uint64 9223372036854775808"},
          {"spoa.uint64(-1)", "uint64 18446744073709551615"},
          {"spoa.uint64(0xffffffffffffffff)", "uint64 18446744073709551615"},
          {"spoa.uint64(2.0^64)",
           "bad argument #1 to 'uint64' (number has no integer representation)"},
          {"spoa.uint64('no')", "bad argument #1 to 'uint64' (number expected, got string)"});
}
END_TEST

START_TEST(boolean)
{
    CHECK({"spoa.bool(true)", "bool true"}, {"spoa.bool(false)", "bool false"},
          {"spoa.bool(1 == 1)", "bool true"},
          {"spoa.bool(1)", "bad argument #1 to 'bool' (boolean expected, got number)"},
          {"spoa.bool('true')", "bad argument #1 to 'bool' (boolean expected, got string)"},
          {"spoa.bool(nil)", "bad argument #1 to 'bool' (boolean expected, got nil)"},
          {"spoa.bool()", "bad argument #1 to 'bool' (boolean expected, got no value)"});
}
END_TEST

START_TEST(ipv4)
{
    CHECK({"spoa.ipv4('0.0.0.0')", "ipv4 0.0.0.0"},
          {"spoa.ipv4('255.255.255.255')", "ipv4 255.255.255.255"},
          {"spoa.ipv4('nope')", "'nope' is no ipv4 address"},
          {"spoa.ipv4('')", "'' is no ipv4 address"},
          {"spoa.ipv4('1.2.3')", "'1.2.3' is no ipv4 address"},
          {"spoa.ipv4('1.2.3.256')", "'1.2.3.256' is no ipv4 address"},
          {"spoa.ipv4('1.2.3.4.5')", "'1.2.3.4.5' is no ipv4 address"},
          {"spoa.ipv4(' 1.2.3.4')", "' 1.2.3.4' is no ipv4 address"},
          {"spoa.ipv4('1.2.3.4 ')", "'1.2.3.4 ' is no ipv4 address"},
          {"spoa.ipv4('::1')", "'::1' is no ipv4 address"},
          {"spoa.ipv4('1.2.3.4\\0')", "'1.2.3.4' is no ipv4 address"});
}
END_TEST

START_TEST(ipv6)
{
    CHECK({"spoa.ipv6('::')", "ipv6 ::"}, {"spoa.ipv6('::1')", "ipv6 ::1"},
          {"spoa.ipv6('2001:DB8:0:0:0:0:0:1')", "ipv6 2001:db8::1"},
          {"spoa.ipv6('::ffff:192.0.2.1')", "ipv6 ::ffff:192.0.2.1"},
          {"spoa.ipv6('ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff')",
           "ipv6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
          {"spoa.ipv6('1.2.3.4')", "'1.2.3.4' is no ipv6 address"},
          {"spoa.ipv6('')", "'' is no ipv6 address"},
          {"spoa.ipv6(':::')", "':::' is no ipv6 address"},
          {"spoa.ipv6('1:2:3:4:5:6:7:8:9')", "'1:2:3:4:5:6:7:8:9' is no ipv6 address"},
          {"spoa.ipv6('fe80::1%eth0')", "'fe80::1%eth0' is no ipv6 address"},
          {"spoa.ipv6(nil)", "bad argument #1 to 'ipv6' (string expected, got nil)"});
}
END_TEST

START_TEST(text)
{
    CHECK({"spoa.str('')", "str "}, {"spoa.str('a\\0b')", "str a\\x00b"}, {"spoa.str(5)", "str 5"},
          {"spoa.bin('')", "bin "}, {"spoa.bin('\\xff')", "bin \\xff"},
          {"spoa.str(nil)", "bad argument #1 to 'str' (string expected, got nil)"},
          {"spoa.str({})", "bad argument #1 to 'str' (string expected, got table)"},
          {"spoa.bin(true)", "bad argument #1 to 'bin' (string expected, got boolean)"},
          {"spoa.bin()", "bad argument #1 to 'bin' (string expected, got no value)"});
}
END_TEST

START_TEST(what_they_are)
{
    struct stage stage;

    stage_open(&stage, "function f()\n"
                       "  local v = spoa.int32(5)\n"
                       "  local index = pcall(function() return v.x end)\n"
                       "  local set = pcall(function() spoa.null.x = 1 end)\n"
                       "  return { txn = { v = tostring(v), null = tostring(spoa.null),\n"
                       "    unset = tostring(spoa.unset), meta = getmetatable(v),\n"
                       "    type = type(v), index = index, set = set } }\n"
                       "end");
    stage_expect(&stage, "f", NO_ARGS,
                 "ok set-var txn.index bool false; set-var txn.meta str spoa.value; "
                 "set-var txn.null str spoa.null; set-var txn.set bool false; "
                 "set-var txn.type str userdata; set-var txn.unset str spoa.unset; "
                 "set-var txn.v str spoa.int32(5)");
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("api_value", int32, uint32, int64, uint64, boolean, ipv4, ipv6, text, what_they_are)
