#include "script/arguments.h"

#include "stage.h"

#define BIN(literal)      value_bytes(VALUE_BIN, (struct span){literal, sizeof(literal) - 1})
#define IP(type, literal) value_bytes(VALUE_##type, (struct span){literal, sizeof(literal) - 1})
#define NUMBER(type, n)   value_integer(VALUE_##type, (uint64_t)(n))

/* How the argument v arrives, by name and by position, and the name of its SPOP type. */
static const char show[] = "function show(args)\n"
                           "  local v = args.v\n"
                           "  local same = rawequal(args.v, args[1]) and\n"
                           "    spoa.type(args, 'v') == spoa.type(args, 1)\n"
                           "  return { txn = { lua = math.type(v) or type(v), v = tostring(v),\n"
                           "    spop = spoa.type(args, 'v'), same = same, n = #args } }\n"
                           "end\n";

static void expect_shown(struct stage *stage, struct value value, const char *spop, const char *lua,
                         const char *text)
{
    char expected[512];

    snprintf(expected, sizeof expected,
             "ok set-var txn.lua str %s; set-var txn.n int64 1; set-var txn.same bool true; "
             "set-var txn.spop str %s; set-var txn.v str %s",
             lua, spop, text);
    stage_expect(stage, "show", ARGS({"v", value}), expected);
}

START_TEST(types)
{
    struct stage stage;

    stage_open(&stage, show);
    expect_shown(&stage, value_null(), "null", "nil", "nil");
    expect_shown(&stage, value_bool(true), "bool", "boolean", "true");
    expect_shown(&stage, value_bool(false), "bool", "boolean", "false");
    expect_shown(&stage, NUMBER(INT32, INT32_MIN), "int32", "integer", "-2147483648");
    expect_shown(&stage, NUMBER(INT32, INT32_MAX), "int32", "integer", "2147483647");
    expect_shown(&stage, NUMBER(UINT32, 0), "uint32", "integer", "0");
    expect_shown(&stage, NUMBER(UINT32, UINT32_MAX), "uint32", "integer", "4294967295");
    expect_shown(&stage, NUMBER(INT64, INT64_MIN), "int64", "integer", "-9223372036854775808");
    expect_shown(&stage, NUMBER(INT64, INT64_MAX), "int64", "integer", "9223372036854775807");
    expect_shown(&stage, NUMBER(INT64, (1ll << 53) + 1), "int64", "integer", "9007199254740993");
    expect_shown(&stage, NUMBER(UINT64, INT64_MAX), "uint64", "integer", "9223372036854775807");
    expect_shown(&stage, NUMBER(UINT64, UINT64_MAX), "uint64", "integer", "-1");
    expect_shown(&stage, IP(IPV4, "\xc0\x00\x02\x01"), "ipv4", "string", "192.0.2.1");
    expect_shown(&stage, IP(IPV6, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"), "ipv6", "string",
                 "2001:db8::1");
    expect_shown(&stage, IP(IPV6, "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01"), "ipv6", "string",
                 "::ffff:192.0.2.1");
    expect_shown(&stage, STR(""), "str", "string", "");
    expect_shown(&stage, STR("text"), "str", "string", "text");
    expect_shown(&stage, BIN("\0\xff\n"), "bin", "string", "\\x00\\xff\\x0a");
    stage_close(&stage);
}
END_TEST

START_TEST(unsigned_as_math_ult_has_it)
{
    struct stage stage;

    stage_open(&stage, "function f(args)\n"
                       "  return { txn = { above = math.ult(args.small, args.large),\n"
                       "    text = ('%x'):format(args.large) } }\n"
                       "end");
    stage_expect(&stage, "f", ARGS({"small", NUMBER(UINT64, 5)}, {"large", NUMBER(UINT64, -2)}),
                 "ok set-var txn.above bool true; set-var txn.text str fffffffffffffffe");
    stage_close(&stage);
}
END_TEST

/* A table as text: its length, then every key with its value and type. */
static const char list[] =
    "function list(args)\n"
    "  local keys, lines = {}, { '#' .. #args }\n"
    "  for k in pairs(args) do keys[#keys + 1] = k end\n"
    "  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)\n"
    "  for _, k in ipairs(keys) do\n"
    "    lines[#lines + 1] = ('%s=%s:%s'):format(k, spoa.type(args, k), args[k])\n"
    "  end\n"
    "  return { ['txn.list'] = table.concat(lines, ' ') }\n"
    "end\n";

#define expect_list(stage, args, expected)                                                         \
    ck_assert_str_eq(stage_play(stage, "list", args), "ok set-var txn.list str " expected)

START_TEST(names_and_positions)
{
    struct stage stage;

    stage_open(&stage, list);
    expect_list(&stage, NO_ARGS, "#0");
    expect_list(&stage, ARGS({"a", INT(1)}), "#1 1=int64:1 a=int64:1");
    expect_list(&stage, ARGS({"b", STR("x")}, {"a", value_bool(false)}),
                "#2 1=str:x 2=bool:false a=bool:false b=str:x");
    /* Nameless ones are named by their zero-based position. */
    expect_list(&stage, ARGS({"", INT(1)}, {"b", INT(2)}, {"", INT(3)}),
                "#3 1=int64:1 2=int64:2 3=int64:3 arg(0)=int64:1 arg(2)=int64:3 b=int64:2");
    /* Of two with one name the later has it; both stand by position. */
    expect_list(&stage, ARGS({"a", INT(1)}, {"a", STR("two")}), "#2 1=int64:1 2=str:two a=str:two");
    expect_list(&stage, ARGS({"arg(1)", INT(1)}, {"", INT(2)}),
                "#2 1=int64:1 2=int64:2 arg(1)=int64:2");
    /* A name that looks like a position is a name. */
    expect_list(&stage, ARGS({"2", INT(1)}, {"", value_null()}), "#2 1=int64:1 2=int64:1");
    stage_close(&stage);
}
END_TEST

START_TEST(null_counts)
{
    struct stage stage;

    stage_open(&stage, "function f(args)\n"
                       "  return { txn = { n = #args, a = args.a == nil, last = args[3],\n"
                       "    ta = spoa.type(args, 'a'), t1 = spoa.type(args, 1),\n"
                       "    later = args.b == nil, tb = spoa.type(args, 'b') } }\n"
                       "end");
    stage_expect(&stage, "f",
                 ARGS({"a", value_null()}, {"b", INT(2)}, {"c", STR("c")}, {"b", value_null()},
                      {"", value_null()}),
                 "ok set-var txn.a bool true; set-var txn.last str c; set-var txn.later bool true; "
                 "set-var txn.n int64 5; set-var txn.t1 str null; set-var txn.ta str null; "
                 "set-var txn.tb str null");
    stage_close(&stage);
}
END_TEST

START_TEST(as_many_as_there_can_be)
{
    struct stage stage;
    static struct arg args[255];
    static char names[255][8];

    stage_open(&stage, "function f(args)\n"
                       "  local sum, named = 0, 0\n"
                       "  for i = 1, #args do sum = sum + args[i] end\n"
                       "  for i = 1, 255 do named = named + args['n' .. i] end\n"
                       "  return { txn = { n = #args, sum = sum, named = named,\n"
                       "    last = args.n255, beyond = args[256] == nil } }\n"
                       "end");
    for (size_t i = 0; i < 255; i++) {
        snprintf(names[i], sizeof names[i], "n%zu", i + 1);
        args[i] = (struct arg){names[i], INT(i + 1)};
    }
    for (int i = 0; i < 2; i++)
        ck_assert_str_eq(stage_play(&stage, "f", args, 255),
                         "ok set-var txn.beyond bool true; set-var txn.last int64 255; "
                         "set-var txn.n int64 255; set-var txn.named int64 32640; "
                         "set-var txn.sum int64 32640");
    stage_close(&stage);
}
END_TEST

START_TEST(type_of_what_is_no_argument)
{
    struct stage stage;
    static const struct {
        const char *code, *fault;
    } wrong[] = {
        {"spoa.type({}, 1)", "h.lua:3: bad argument #1 to 'type' (the table of arguments that"},
        {"spoa.type(setmetatable({}, {}), 1)", "h.lua:3: bad argument #1 to 'type' (the table of"},
        {"spoa.type(5, 1)", "h.lua:3: bad argument #1 to 'type' (table expected, got number)"},
        {"spoa.type()", "h.lua:3: bad argument #1 to 'type' (table expected, got no value)"},
        {"spoa.type(args)", "h.lua:3: bad argument #2 to 'type' (value expected)"},
    };

    stage_open(&stage,
               "function none(args)\n"
               "  return { txn = {\n"
               "    name = spoa.type(args, 'no') == nil, far = spoa.type(args, 9) == nil,\n"
               "    none = spoa.type(args, nil) == nil, t = spoa.type(args, {}) == nil } }\n"
               "end");
    stage_expect(&stage, "none", ARGS({"a", INT(1)}),
                 "ok set-var txn.far bool true; set-var txn.name bool true; "
                 "set-var txn.none bool true; set-var txn.t bool true");
    stage_close(&stage);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char source[256];
        struct outcome outcome;

        snprintf(source, sizeof source, "function f(args)\n\n  return %s\nend", wrong[i].code);
        stage_open(&stage, source);
        stage_run(&stage, &outcome, "f", NO_ARGS);
        ck_assert_int_eq(outcome.result, TASK_ERROR);
        ck_assert_msg(strncmp(outcome.text, wrong[i].fault, strlen(wrong[i].fault)) == 0, "%s",
                      outcome.text);
        stage_close(&stage);
    }
}
END_TEST

/* What handlers share of a layout they cannot change; their table is their own. */
START_TEST(nothing_leaks_into_the_next_message)
{
    struct stage stage;

    stage_open(&stage, "function f(args)\n"
                       "  local meta = getmetatable(args)\n"
                       "  local good, why = pcall(setmetatable, args, {})\n"
                       "  local before = #args .. (args.a or '-') .. (args.extra or '-')\n"
                       "  args.a, args.extra, args[1], args[7] = nil, 'x', 'y', 'z'\n"
                       "  return { txn = { meta = meta, good = good, before = before,\n"
                       "    n = #args, why = why } }\n"
                       "end");
    for (int i = 0; i < 3; i++)
        stage_expect(&stage, "f", ARGS({"a", INT(5)}),
                     "ok set-var txn.before str 15-; set-var txn.good bool false; "
                     "set-var txn.meta str spoa.args; set-var txn.n int64 1; "
                     "set-var txn.why str cannot change a protected metatable");
    stage_close(&stage);
}
END_TEST

/* ---- layouts ---- */

static struct handler *handler_of(struct stage *stage, const char *name)
{
    bool first;

    return handler_find(&stage->script->handlers, span_of(name), &first);
}

START_TEST(layouts_are_used_again)
{
    struct stage stage;
    const struct handler *handler;
    const void *layout;

    stage_open(&stage, list);
    handler = handler_of(&stage, "list");
    ck_assert_uint_eq(handler->nlayouts, 0);
    for (int i = 0; i < 10; i++)
        expect_list(&stage, ARGS({"a", INT(1)}), "#1 1=int64:1 a=int64:1");
    ck_assert_uint_eq(handler->nlayouts, 1);
    layout = TAILQ_FIRST(&handler->layouts);
    /* Other values and types, one layout; another name or number, another. */
    expect_list(&stage, ARGS({"a", INT(2)}), "#1 1=int64:2 a=int64:2");
    expect_list(&stage, ARGS({"a", STR("1")}), "#1 1=str:1 a=str:1");
    expect_list(&stage, ARGS({"a", value_null()}), "#1");
    ck_assert_uint_eq(handler->nlayouts, 1);
    expect_list(&stage, ARGS({"b", INT(1)}), "#1 1=int64:1 b=int64:1");
    ck_assert_uint_eq(handler->nlayouts, 2);
    expect_list(&stage, ARGS({"a", INT(1)}, {"b", INT(1)}),
                "#2 1=int64:1 2=int64:1 a=int64:1 b=int64:1");
    ck_assert_uint_eq(handler->nlayouts, 3);
    expect_list(&stage, ARGS({"a", INT(1)}), "#1 1=int64:1 a=int64:1");
    ck_assert_uint_eq(handler->nlayouts, 3);
    ck_assert_ptr_eq(TAILQ_FIRST(&handler->layouts), layout);
    stage_close(&stage);
}
END_TEST

/* Each argument there or NULL, and of two types: every message knows its own, also when more
 * have come since than are remembered. */
START_TEST(types_are_the_messages_own)
{
    enum { EACH = 4, ALL = 81 };
    static struct outcome waiting[ALL];
    struct stage stage;

    stage_open(&stage,
               "function f(args)\n"
               "  spoa.sleep(0)\n"
               "  return { ['txn.t'] = spoa.type(args, 'a') .. ' ' .. spoa.type(args, 2) ..\n"
               "    ' ' .. spoa.type(args, 'c') .. ' ' .. spoa.type(args, 'd') }\n"
               "end");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < ALL; i++) {
            static const char *const names[EACH] = {"a", "b", "c", "d"};
            const struct value values[] = {value_null(), INT(i), STR("x")};
            struct arg args[EACH];

            for (int k = 0, left = i; k < EACH; k++, left /= 3)
                args[k] = (struct arg){names[k], values[left % 3]};
            stage_start(&stage, &waiting[i], "f", args, EACH);
        }
        for (int i = 0; i < ALL; i++) {
            static const char *const called[] = {"null", "int64", "str"};
            char expected[128];

            snprintf(expected, sizeof expected, "ok set-var txn.t str %s %s %s %s", called[i % 3],
                     called[i / 3 % 3], called[i / 9 % 3], called[i / 27]);
            stage_wait(&stage, &waiting[i]);
            ck_assert_str_eq(stage_says(&stage, &waiting[i]), expected);
        }
    }
    ck_assert_uint_eq(handler_of(&stage, "f")->nlayouts, 1);
    stage_close(&stage);
}
END_TEST

/* Where one name ends and the next begins is part of a layout. */
START_TEST(layouts_know_where_names_end)
{
    struct stage stage;

    stage_open(&stage, list);
    expect_list(&stage, ARGS({"ab", INT(1)}, {"c", INT(2)}),
                "#2 1=int64:1 2=int64:2 ab=int64:1 c=int64:2");
    expect_list(&stage, ARGS({"a", INT(1)}, {"bc", INT(2)}),
                "#2 1=int64:1 2=int64:2 a=int64:1 bc=int64:2");
    ck_assert_uint_eq(handler_of(&stage, "list")->nlayouts, 2);
    stage_close(&stage);
}
END_TEST

START_TEST(so_many_layouts_and_no_more)
{
    struct stage stage;
    const struct handler *handler;
    const void *favourite;
    size_t references = 0;
    char name[16];

    stage_open(&stage, "function f(args) return { ['txn.n'] = args[1] } end");
    handler = handler_of(&stage, "f");
    stage_expect(&stage, "f", ARGS({"favourite", INT(0)}), "ok set-var txn.n int64 0");
    favourite = TAILQ_FIRST(&handler->layouts);
    for (int i = 0; i < 200; i++) {
        char expected[64];

        snprintf(name, sizeof name, "n%d", i);
        snprintf(expected, sizeof expected, "ok set-var txn.n int64 %d", i);
        stage_expect(&stage, "f", ARGS({name, INT(i)}), expected);
        stage_expect(&stage, "f", ARGS({"favourite", INT(0)}), "ok set-var txn.n int64 0");
        ck_assert_uint_le(handler->nlayouts, 16);
        if (i == 50)
            references = lua_rawlen(stage.script->lua, LUA_REGISTRYINDEX);
    }
    ck_assert_uint_eq(handler->nlayouts, 16);
    /* The one not used for longest makes room, so this one is still there. */
    ck_assert_ptr_eq(TAILQ_FIRST(&handler->layouts), favourite);
    ck_assert_uint_eq(lua_rawlen(stage.script->lua, LUA_REGISTRYINDEX), references);
    stage_close(&stage);
}
END_TEST

/* A handler that kept its arguments, or waits with them, has them when their layout is gone. */
START_TEST(arguments_outlive_their_layout)
{
    struct stage stage;
    struct outcome waiting;
    char name[16];

    stage_open(&stage, "function f(args)\n"
                       "  if args.wait then spoa.sleep(0) end\n"
                       "  return { txn = { n = #args, t = spoa.type(args, 'wait'),\n"
                       "    wait = args.wait } }\n"
                       "end");
    ck_assert_ptr_nonnull(
        stage_start(&stage, &waiting, "f", ARGS({"wait", STR("yes")}, {"", value_null()})));
    for (int i = 0; i < 40; i++) {
        struct outcome outcome;

        snprintf(name, sizeof name, "n%d", i);
        ck_assert_ptr_null(stage_start(&stage, &outcome, "f", ARGS({name, INT(i)})));
    }
    stage_wait(&stage, &waiting);
    ck_assert_str_eq(stage_says(&stage, &waiting),
                     "ok set-var txn.n int64 2; set-var txn.t str str; set-var txn.wait str yes");
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("arguments", types, unsigned_as_math_ult_has_it, names_and_positions, null_counts,
          as_many_as_there_can_be, type_of_what_is_no_argument, nothing_leaks_into_the_next_message,
          layouts_are_used_again, types_are_the_messages_own, layouts_know_where_names_end,
          so_many_layouts_and_no_more, arguments_outlive_their_layout)
