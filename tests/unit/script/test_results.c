#include "script/results.h"

#include "stage.h"

/* A handler that returns what the code says; what becomes of it. */
static void check(const char *code, enum action_scope default_scope, const char *expected)
{
    char source[1024];
    struct stage stage;
    const char *said;

    snprintf(source, sizeof source, "function f(args)\n  return %s\nend", code);
    stage_prepare(&stage, source);
    stage.options.default_scope = default_scope;
    stage_begin(&stage);
    said = stage_play(&stage, "f", NO_ARGS);
    ck_assert_msg(strcmp(said, expected) == 0, "%s:\n  %s\nand not\n  %s", code, said, expected);
    stage_close(&stage);
}

#define expect(code, expected) check(code, SCOPE_PROC, expected)

START_TEST(no_actions)
{
    expect("", "ok");
    expect("nil", "ok");
    expect("{}", "ok");
    expect("{ txn = {} }", "ok");
    expect("nil, 5", "ok");
    expect("{}, { ['txn.x'] = 1 }", "ok");
}
END_TEST

START_TEST(plain_values)
{
    expect("{ ['txn.x'] = true }", "ok set-var txn.x bool true");
    expect("{ ['txn.x'] = false }", "ok set-var txn.x bool false");
    expect("{ ['txn.x'] = 0 }", "ok set-var txn.x int64 0");
    expect("{ ['txn.x'] = -1 }", "ok set-var txn.x int64 -1");
    expect("{ ['txn.x'] = math.maxinteger }", "ok set-var txn.x int64 9223372036854775807");
    expect("{ ['txn.x'] = math.mininteger }", "ok set-var txn.x int64 -9223372036854775808");
    expect("{ ['txn.x'] = 42.0 }", "ok set-var txn.x int64 42");
    expect("{ ['txn.x'] = '' }", "ok set-var txn.x str ");
    expect("{ ['txn.x'] = '0' }", "ok set-var txn.x str 0");
    expect("{ ['txn.x'] = 'a\\0b\\xff' }", "ok set-var txn.x str a\\x00b\\xff");
    expect("{ ['txn.x'] = nil }", "ok");
}
END_TEST

START_TEST(typed_values)
{
    expect("{ ['txn.x'] = spoa.unset }", "ok unset-var txn.x");
    expect("{ ['txn.x'] = spoa.null }", "ok set-var txn.x null");
    expect("{ ['txn.x'] = spoa.bool(false) }", "ok set-var txn.x bool false");
    expect("{ ['txn.x'] = spoa.int32(-7) }", "ok set-var txn.x int32 -7");
    expect("{ ['txn.x'] = spoa.uint32(7) }", "ok set-var txn.x uint32 7");
    expect("{ ['txn.x'] = spoa.int64(-7) }", "ok set-var txn.x int64 -7");
    expect("{ ['txn.x'] = spoa.uint64(-1) }", "ok set-var txn.x uint64 18446744073709551615");
    expect("{ ['txn.x'] = spoa.ipv4('192.0.2.1') }", "ok set-var txn.x ipv4 192.0.2.1");
    expect("{ ['txn.x'] = spoa.ipv6('2001:db8::1') }", "ok set-var txn.x ipv6 2001:db8::1");
    expect("{ ['txn.x'] = spoa.str('x') }", "ok set-var txn.x str x");
    expect("{ ['txn.x'] = spoa.bin('\\1\\0') }", "ok set-var txn.x bin \\x01\\x00");
    expect("{ proc = { x = spoa.unset }, ['sess.y'] = spoa.unset }",
           "ok unset-var proc.x; unset-var sess.y");
}
END_TEST

START_TEST(both_spellings)
{
    expect("{ ['proc.a'] = 1, ['sess.a'] = 2, ['txn.a'] = 3, ['req.a'] = 4, ['res.a'] = 5 }",
           "ok set-var proc.a int64 1; set-var req.a int64 4; set-var res.a int64 5; "
           "set-var sess.a int64 2; set-var txn.a int64 3");
    expect("{ proc = { a = 1 }, sess = { a = 2 }, txn = { a = 3, b = 6 }, req = { a = 4 },"
           " res = { a = 5 } }",
           "ok set-var proc.a int64 1; set-var req.a int64 4; set-var res.a int64 5; "
           "set-var sess.a int64 2; set-var txn.a int64 3; set-var txn.b int64 6");
    expect("{ txn = { a = 1, b = 'x' }, ['txn.c'] = true, ['sess.d'] = 2 }",
           "ok set-var sess.d int64 2; set-var txn.a int64 1; set-var txn.b str x; "
           "set-var txn.c bool true");
}
END_TEST

/* The scope ends at the first dot, and the rest is the name, dots and all. */
START_TEST(dots)
{
    expect("{ ['sess.a.b'] = 1 }", "ok set-var sess.a.b int64 1");
    expect("{ ['sess.txn.b'] = 1 }", "ok set-var sess.txn.b int64 1");
    expect("{ sess = { ['a.b'] = 1, ['txn.c'] = 2 } }",
           "ok set-var sess.a.b int64 1; set-var sess.txn.c int64 2");
    expect("{ ['a.b'] = 1 }", "ok set-var proc.a.b int64 1");
    expect("{ ['session.b'] = 1 }", "ok set-var proc.session.b int64 1");
    expect("{ ['TXN.b'] = 1 }", "ok set-var proc.TXN.b int64 1");
    expect("{ ['sess..'] = 1 }", "ok set-var sess.. int64 1");
}
END_TEST

START_TEST(no_scope)
{
    expect("{ a = 1 }", "ok set-var proc.a int64 1");
    check("{ a = 1 }", SCOPE_TXN, "ok set-var txn.a int64 1");
    check("{ a = 1, ['sess.b'] = 2, req = { c = 3 } }", SCOPE_RES,
          "ok set-var req.c int64 3; set-var res.a int64 1; set-var sess.b int64 2");
    /* A variable that is named like a scope. */
    check("{ txn = 1 }", SCOPE_SESS, "ok set-var sess.txn int64 1");
    check("{ txn = { txn = 1 } }", SCOPE_SESS, "ok set-var txn.txn int64 1");
}
END_TEST

/* Every fault names the variable and says what to write instead; the line is where the
 * handler begins, since its own lines are through. */
START_TEST(faults_of_values)
{
#define WHERE "error h.lua:1: "
    expect("{ ['txn.x'] = 1.5 }",
           WHERE "variable 'txn.x' is a number with a fraction (or too large), which HAProxy does "
                 "not have: round it with math.floor, or make it a string with tostring");
    expect("{ ['txn.x'] = 2^63 }",
           WHERE "variable 'txn.x' is a number with a fraction (or too large), which HAProxy does "
                 "not have: round it with math.floor, or make it a string with tostring");
    expect("{ x = {} }", WHERE "variable 'proc.x' is a table: write one variable for each of its "
                               "values, or join them into a string with table.concat");
    expect("{ txn = { x = { 1 } } }",
           WHERE "variable 'txn.x' is a table: write one variable for each of its values, or join "
                 "them into a string with table.concat");
    expect("{ ['txn.x'] = print }",
           WHERE "variable 'txn.x' is a function: call it, and give its result");
    expect("{ ['txn.x'] = coroutine.create(print) }",
           WHERE "variable 'txn.x' is a coroutine: resume it, and give its result");
    expect("{ ['txn.x'] = io.stdout }",
           WHERE "variable 'txn.x' is a userdata: give a boolean, an integer, a string or one of "
                 "spoa's values");
}
END_TEST

START_TEST(faults_of_names)
{
    expect("{ [''] = 1 }", WHERE "variable 'proc.' is empty");
    expect("{ ['sess.'] = 1 }", WHERE "variable 'sess.' is empty");
    expect("{ sess = { [''] = 1 } }", WHERE "variable 'sess.' is empty");
    expect("{ ['txn.a-b'] = 1 }",
           WHERE "variable 'txn.a-b' has a character that HAProxy does not accept (only letters, "
                 "digits, '_' and '.')");
    expect("{ txn = { ['a b'] = spoa.unset } }",
           WHERE "variable 'txn.a b' has a character that HAProxy does not accept (only letters, "
                 "digits, '_' and '.')");
    expect("{ ['txn.' .. ('n'):rep(59)] = 1 }",
           "ok set-var txn.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn int64 1");
    expect("{ ['txn.' .. ('n'):rep(60)] = 1 }",
           WHERE "variable 'txn.nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn' is "
                 "longer than the 63 bytes that HAProxy accepts, its scope and the dot counted");
    expect("{ [1] = 1 }",
           WHERE "a variable's name must be a string, and this one is a number: write "
                 "{ [\"txn.score\"] = value } or { txn = { score = value } }");
    expect("{ txn = { 'x' } }",
           WHERE "a variable's name must be a string, and this one is a number: write "
                 "{ [\"txn.score\"] = value } or { txn = { score = value } }");
    expect("{ [true] = 1 }",
           WHERE "a variable's name must be a string, and this one is a boolean: write "
                 "{ [\"txn.score\"] = value } or { txn = { score = value } }");
}
END_TEST

START_TEST(faults_of_the_whole)
{
    static const struct {
        const char *code, *type;
    } wrong[] = {
        {"5", "number"},           {"true", "boolean"},
        {"false", "boolean"},      {"'x'", "string"},
        {"print", "function"},     {"coroutine.create(print)", "thread"},
        {"io.stdout", "userdata"}, {"spoa.unset", "userdata"},
    };

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char expected[256];

        snprintf(expected, sizeof expected,
                 WHERE "a handler returned a %s: return a table of variables such as "
                       "{ [\"txn.score\"] = 42 }, or nothing",
                 wrong[i].type);
        expect(wrong[i].code, expected);
    }
}
END_TEST

/* One bad entry, and none of the table is set. */
START_TEST(all_or_nothing)
{
    for (int i = 0; i < 20; i++) {
        char code[256];

        snprintf(code, sizeof code,
                 "{ ['txn.a%d'] = 1, ['txn.b%d'] = 2, ['txn.c'] = 0.5, ['txn.d%d'] = 3 }", i, i, i);
        expect(code, WHERE "variable 'txn.c' is a number with a fraction (or too large), which "
                           "HAProxy does not have: round it with math.floor, or make it a string "
                           "with tostring");
    }
}
END_TEST

/* Metamethods of a result are not asked: a table is what it holds. */
START_TEST(metatables)
{
    expect("setmetatable({ ['txn.a'] = 1 }, { __index = { ['txn.b'] = 2 },"
           " __pairs = function() error 'pairs' end, __len = function() return 9 end })",
           "ok set-var txn.a int64 1");
}
END_TEST

/* Into every room smaller than it takes: full, and not a byte behind it. */
START_TEST(every_room)
{
    struct stage stage;
    lua_State *lua;
    size_t need = 0;

    stage_open(&stage, "");
    lua = stage.script->lua;
    ck_assert_int_eq(luaL_dostring(lua, "return { ['txn.a'] = 1, sess = { b = 'some text' },"
                                        " ['req.c'] = spoa.unset, ['res.d'] = spoa.ipv4('1.2.3.4'),"
                                        " e = true, ['sess.f'] = spoa.null }"),
                     LUA_OK);
    for (size_t room = 0; need == 0; room++) {
        uint8_t *block = malloc(room ? room : 1);
        struct wire_out out = wire_out_open(block, room);

        results_put(lua, SCOPE_PROC, &out);
        if (!out.full) {
            struct span actions = {(char *)block, (size_t)(out.at - block)};

            need = room;
            ck_assert_uint_eq(actions.len, room);
            stage_print_actions(stage.said, actions);
            ck_assert_str_eq(stage.said, "set-var proc.e bool true; set-var res.d ipv4 1.2.3.4; "
                                         "set-var sess.b str some text; set-var sess.f null; "
                                         "set-var txn.a int64 1; unset-var req.c");
        }
        free(block);
        ck_assert_uint_lt(room, 1000);
        ck_assert_int_eq(lua_gettop(lua), 1);
    }
    lua_settop(lua, 0);
    stage_close(&stage);
}
END_TEST

/* Exactly what an ACK has room for is all right; a byte more is not. */
START_TEST(too_big)
{
    struct stage stage;
    struct outcome outcome;

    stage_open(&stage, "function f(args) return { ['txn.x'] = ('x'):rep(args.n) } end");
    stage.room = 400;
    /* Type, nb-args, scope, name, the value's type, a length of two bytes. */
    stage_run(&stage, &outcome, "f", ARGS({"n", INT(400 - 3 - 2 - 1 - 2)}));
    ck_assert_int_eq(outcome.result, TASK_OK);
    for (int i = 0; i < 3; i++) {
        stage_run(&stage, &outcome, "f", ARGS({"n", INT(400 - 3 - 2 - 1 - 2 + 1)}));
        ck_assert_str_eq(stage_says(&stage, &outcome),
                         "too_big h.lua:1: the actions take more than the 400 bytes that an ACK "
                         "has for them: return less, or raise tune.bufsize in HAProxy");
    }
    stage_run(&stage, &outcome, "f", ARGS({"n", INT(1)}));
    ck_assert_int_eq(outcome.result, TASK_OK);
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("results", no_actions, plain_values, typed_values, both_spellings, dots, no_scope,
          faults_of_values, faults_of_names, faults_of_the_whole, all_or_nothing, metatables,
          every_room, too_big)
