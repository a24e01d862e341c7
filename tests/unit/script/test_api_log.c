/* spoa.log and print: api_log.c. */
#include <sys/socket.h>

#include "stage.h"

/* What comes out of stderr: each write(2) is one datagram. */
static int tap = -1;

static void tap_open(enum log_level level)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    ck_assert_int_eq(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
    close(pair[1]);
    tap = pair[0];
    ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
    log_open(level);
}

/* The next line without its time, line end and the stage's folder, or "". */
static const char *tap_next(struct stage *stage)
{
    static char line[STAGE_TEXT];
    ssize_t n = recv(tap, line, sizeof line - 1, MSG_DONTWAIT);
    const char *space;
    char *about;

    if (n <= 0)
        return "";
    ck_assert_int_eq(line[n - 1], '\n');
    line[n - 1] = '\0';
    /* What it is about, the same each time. */
    about = strstr(line, " peer=127.0.0.1:4321 engine=engine message=");
    if (about)
        *about = '\0';
    space = strchr(line, ' ');
    ck_assert_ptr_nonnull(space);
    stage_text(stage, stage->said, space + 1);
    return stage->said;
}

/* What a handler of these lines logs; it must end well. */
static void check(const char *code, const char *const *expected, size_t n)
{
    struct stage stage;
    struct outcome outcome;
    char *source;

    ck_assert_int_gt(asprintf(&source, "function f(args)\n%s\nend", code), 0);
    stage_open(&stage, source);
    free(source);
    stage_run(&stage, &outcome, "f", NO_ARGS);
    ck_assert_msg(outcome.result == TASK_OK, "%s", outcome.text);
    for (size_t i = 0; i < n; i++)
        ck_assert_str_eq(tap_next(&stage), expected[i]);
    ck_assert_str_eq(tap_next(&stage), "");
    stage_close(&stage);
}

#define CHECK(code, ...)                                                                           \
    do {                                                                                           \
        static const char *const expected[] = {__VA_ARGS__};                                       \
                                                                                                   \
        check(code, expected, sizeof expected / sizeof *expected);                                 \
    } while (0)

START_TEST(levels)
{
    tap_open(LEVEL_DEBUG);
    CHECK("spoa.log('err', 'a') spoa.log('warning', 'b') spoa.log('notice', 'c')\n"
          "spoa.log('info', 'd') spoa.log('debug', 'e')",
          "err h.lua:2: a", "warning h.lua:2: b", "notice h.lua:2: c", "info h.lua:3: d",
          "debug h.lua:3: e");
    log_set_level(LEVEL_NOTICE);
    CHECK("spoa.log('err', 'a') spoa.log('info', 'd') print('p') spoa.log('notice', 'c')",
          "err h.lua:2: a", "notice h.lua:2: c");
}
END_TEST

START_TEST(values)
{
    tap_open(LEVEL_INFO);
    CHECK("spoa.log('info')", "info h.lua:2: ");
    CHECK("spoa.log('info', 1, 2.5, 'x', nil, true, nil)", "info h.lua:2: 1 2.5 x nil true nil");
    CHECK("spoa.log('info', setmetatable({}, { __tostring = function() return 'mine' end }))",
          "info h.lua:2: mine");
    CHECK("print('a', 'b')\nprint()", "info h.lua:2: a b", "info h.lua:3: ");
    CHECK("spoa.log('info', spoa.unset, spoa.int32(5))", "info h.lua:2: spoa.unset spoa.int32(5)");
    /* One call, one line. */
    CHECK("print('one\\n  two\\27[0m')", "info h.lua:2: one | two\\x1b[0m");
}
END_TEST

START_TEST(many_values)
{
    struct stage stage;
    char expected[STAGE_TEXT] = "info h.lua:1:";
    size_t len = strlen(expected);

    tap_open(LEVEL_INFO);
    for (int i = 1; i <= 250; i++)
        len += (size_t)snprintf(expected + len, sizeof expected - len, " %d", i);
    stage_open(&stage, "function f() local t = {} for i = 1, 250 do t[i] = i end"
                       " print(table.unpack(t)) end");
    stage_expect(&stage, "f", NO_ARGS, "ok");
    ck_assert_str_eq(tap_next(&stage), expected);
    stage_close(&stage);
}
END_TEST

/* Values that are not shown are not made into text either. */
START_TEST(below_the_level)
{
    tap_open(LEVEL_WARNING);
    CHECK("spoa.log('debug', setmetatable({}, { __tostring = error }))\n"
          "print(setmetatable({}, { __tostring = error }))\n"
          "spoa.log('warning', 'w')",
          "warning h.lua:4: w");
}
END_TEST

START_TEST(faults)
{
    struct stage stage;

    tap_open(LEVEL_INFO);
    stage_open(&stage, "function level() spoa.log('error', 'x') end\n"
                       "function none() spoa.log() end\n"
                       "function bad()\n"
                       "  print('before', setmetatable({}, { __tostring = function()\n"
                       "    error('oops', 0)\n"
                       "  end }))\n"
                       "end");
    stage_expect(&stage, "level", NO_ARGS,
                 "error h.lua:1: bad argument #1 to 'log' (invalid option 'error')");
    stage_expect(&stage, "none", NO_ARGS,
                 "error h.lua:2: bad argument #1 to 'log' (string expected, got no value)");
    stage_expect(&stage, "bad", NO_ARGS, "error oops");
    ck_assert_str_eq(tap_next(&stage), "");
    stage_close(&stage);
}
END_TEST

/* At a script's top level too. */
START_TEST(while_loading)
{
    struct stage stage;

    tap_open(LEVEL_INFO);
    stage_open(&stage, "\nprint('loading')");
    ck_assert_str_eq(tap_next(&stage), "info h.lua:2: loading");
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("api_log", levels, values, many_values, below_the_level, faults, while_loading)
