#include "stage.h"

/* Modules wait until `go` is set; `runs` counts how often each was run. */
static const char common[] = "runs, go = {}, false\n"
                             "local preload = package.preload\n"
                             "function _G.module(name, rest)\n"
                             "  preload[name] = function(...)\n"
                             "    runs[name] = (runs[name] or 0) + 1\n"
                             "    while not go do spoa.sleep(0) end\n"
                             "    return rest(...)\n"
                             "  end\n"
                             "end\n"
                             "_G.runs = runs\n"
                             "function release() go = true end\n"
                             "function hold() go = false end\n"
                             "function get(args)\n"
                             "  local m, more = require(args.name)\n"
                             "  return { txn = { m = tostring(m), more = tostring(more) } }\n"
                             "end\n";

static void begin(struct stage *stage, const char *source)
{
    char *all;

    ck_assert_int_gt(asprintf(&all, "%s%s", common, source), 0);
    stage_open(stage, all);
    free(all);
}

static struct task *start_get(struct stage *stage, struct outcome *outcome, const char *name)
{
    return stage_start(stage, outcome, "get", ARGS({"name", STR(name)}));
}

static void expect_end(struct stage *stage, struct outcome *outcome, const char *expected)
{
    stage_wait(stage, outcome);
    ck_assert_str_eq(stage_says(stage, outcome), expected);
}

static void expect_get(struct stage *stage, const char *name, const char *expected)
{
    struct outcome outcome;

    start_get(stage, &outcome, name);
    expect_end(stage, &outcome, expected);
}

/* ---- as Lua's ---- */

START_TEST(results)
{
    struct stage stage;

    begin(&stage, "go = true\n"
                  "module('plain', function() return 5 end)\n"
                  "module('nothing', function() end)\n"
                  "module('no', function() return false end)\n"
                  "module('set', function(name) package.loaded[name] = 'own' end)\n"
                  "module('both', function(name) package.loaded[name] = 'own' return 'other' end)\n"
                  "module('named', function(...) return table.concat({ ... }, ' ') end)\n"
                  "package.loaded['there already'] = 7\n");
    expect_get(&stage, "plain", "ok set-var txn.m str 5; set-var txn.more str :preload:");
    expect_get(&stage, "plain", "ok set-var txn.m str 5; set-var txn.more str nil");
    expect_get(&stage, "nothing", "ok set-var txn.m str true; set-var txn.more str :preload:");
    expect_get(&stage, "nothing", "ok set-var txn.m str true; set-var txn.more str nil");
    expect_get(&stage, "set", "ok set-var txn.m str own; set-var txn.more str :preload:");
    expect_get(&stage, "both", "ok set-var txn.m str other; set-var txn.more str :preload:");
    expect_get(&stage, "named",
               "ok set-var txn.m str named :preload:; set-var txn.more str :preload:");
    expect_get(&stage, "there already", "ok set-var txn.m str 7; set-var txn.more str nil");
    /* What is false is loaded each time it is required. */
    for (int i = 0; i < 2; i++)
        expect_get(&stage, "no", "ok set-var txn.m str false; set-var txn.more str :preload:");
    ck_assert_str_eq(stage_eval(&stage, "runs.no .. runs.plain .. runs.nothing"), "211");
    ck_assert_str_eq(stage_eval(&stage, "select('#', require 'plain')"), "1");
    stage_close(&stage);
}
END_TEST

START_TEST(not_found)
{
    struct stage stage;
    struct outcome outcome;

    begin(&stage, "package.path, package.cpath = './?.nowhere', './?.sonowhere'\n"
                  "function bad() return require() end\n"
                  "function none() package.searchers = nil require 'x' end\n");
    start_get(&stage, &outcome, "no.such");
    stage_wait(&stage, &outcome);
    ck_assert_int_eq(outcome.result, TASK_ERROR);
    ck_assert_msg(strstr(outcome.text, "h.lua:14: module 'no.such' not found:\n"
                                       "\tno field package.preload['no.such']\n"
                                       "\tno file './no/such.nowhere'\n"
                                       "\tno file './no/such.sonowhere'\n"
                                       "\tno file './no.sonowhere'\n") != NULL,
                  "%s", outcome.text);
    stage_expect(&stage, "bad", NO_ARGS,
                 "error h.lua:18: bad argument #1 to 'require' (string expected, got no value)");
    stage_expect(&stage, "none", NO_ARGS, "error h.lua:19: 'package.searchers' must be a table");
    stage_close(&stage);
}
END_TEST

/* A script's own, which may wait as well; numbers and nothing at all are fine answers. */
START_TEST(searchers)
{
    struct stage stage;
    struct outcome outcome;

    begin(&stage, "package.searchers = {\n"
                  "  function() end,\n"
                  "  function(name) spoa.sleep(0) return 'not under ' .. name end,\n"
                  "  function() return 42 end,\n"
                  "  function(name)\n"
                  "    spoa.sleep(0)\n"
                  "    if name == 'mine' then\n"
                  "      return function(n, data) spoa.sleep(0) return n .. data end, 'place'\n"
                  "    end\n"
                  "  end }\n");
    expect_get(&stage, "mine", "ok set-var txn.m str mineplace; set-var txn.more str place");
    start_get(&stage, &outcome, "other");
    stage_wait(&stage, &outcome);
    ck_assert_msg(strstr(outcome.text, "h.lua:14: module 'other' not found:\n"
                                       "\tnot under other\n\t42\n") != NULL,
                  "%s", outcome.text);
    stage_close(&stage);
}
END_TEST

START_TEST(error_with_its_traceback)
{
    struct stage stage;
    struct outcome outcome;

    begin(&stage, "go = true\nmodule('bad', function() spoa.sleep(0) error 'no luck' end)\n");
    for (int i = 0; i < 2; i++) {
        start_get(&stage, &outcome, "bad");
        stage_wait(&stage, &outcome);
        ck_assert_msg(strstr(outcome.text, "h.lua:18: no luck") != NULL, "%s", outcome.text);
        ck_assert_msg(strstr(outcome.text, "in function 'require'") != NULL, "%s", outcome.text);
    }
    ck_assert_str_eq(stage_eval(&stage, "runs.bad"), "2");
    stage_close(&stage);
}
END_TEST

/* Its top level waits while the script is loaded. */
START_TEST(while_loading)
{
    struct stage stage;

    stage_init(&stage);
    stage_write(&stage, "m.lua",
                "spoa.sleep(0.001)\n"
                "return spoa.spawn(function() return 6 end):wait()");
    stage_script(&stage, "h.lua",
                 "local m = require 'm'\nfunction f() return { ['txn.m'] = m } end");
    stage_begin(&stage);
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.m int64 6");
    stage_close(&stage);
}
END_TEST

START_TEST(in_a_coroutine_of_the_handlers_own)
{
    struct stage stage;

    begin(&stage, "go = true\n"
                  "module('m', function() spoa.sleep(0) return 3 end)\n"
                  "function f() return { ['txn.m'] = coroutine.wrap(function()\n"
                  "  return (require 'm')\n"
                  "end)() } end\n");
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.m int64 3");
    stage_close(&stage);
}
END_TEST

/* ---- several at once ---- */

START_TEST(others_wait_for_the_first)
{
    enum { ALL = 5 };
    struct stage stage;
    struct outcome outcomes[ALL];

    /* What it has put there half-made is not what the others get. */
    begin(&stage, "module('m', function() return 'whole' end)\n"
                  "local wait = package.preload.m\n"
                  "package.preload.m = function(name)\n"
                  "  package.loaded[name] = 'half'\n"
                  "  return wait(name)\n"
                  "end\n");
    for (int i = 0; i < ALL; i++)
        ck_assert_ptr_nonnull(start_get(&stage, &outcomes[i], "m"));
    for (int i = 0; i < 3; i++)
        stage_turn(&stage);
    stage_expect(&stage, "release", NO_ARGS, "ok");
    expect_end(&stage, &outcomes[0], "ok set-var txn.m str whole; set-var txn.more str :preload:");
    for (int i = 1; i < ALL; i++)
        expect_end(&stage, &outcomes[i], "ok set-var txn.m str whole; set-var txn.more str nil");
    ck_assert_str_eq(stage_eval(&stage, "runs.m"), "1");
    stage_close(&stage);
}
END_TEST

/* Also when it is false, which a later require loads again. */
START_TEST(others_have_its_false)
{
    struct stage stage;
    struct outcome first, other;

    begin(&stage, "module('m', function() return false end)\n");
    start_get(&stage, &first, "m");
    start_get(&stage, &other, "m");
    stage_expect(&stage, "release", NO_ARGS, "ok");
    expect_end(&stage, &first, "ok set-var txn.m str false; set-var txn.more str :preload:");
    expect_end(&stage, &other, "ok set-var txn.m str false; set-var txn.more str nil");
    ck_assert_str_eq(stage_eval(&stage, "runs.m"), "1");
    stage_close(&stage);
}
END_TEST

START_TEST(others_have_its_error)
{
    struct stage stage;
    struct outcome first, other;

    begin(&stage, "module('m', function() error('no luck', 0) end)\n");
    start_get(&stage, &first, "m");
    start_get(&stage, &other, "m");
    stage_expect(&stage, "release", NO_ARGS, "ok");
    expect_end(&stage, &first, "error no luck");
    expect_end(&stage, &other, "error no luck");
    ck_assert_str_eq(stage_eval(&stage, "runs.m"), "1");
    expect_get(&stage, "m", "error no luck");
    ck_assert_str_eq(stage_eval(&stage, "runs.m"), "2");
    stage_close(&stage);
}
END_TEST

START_TEST(the_next_loads_it_when_the_first_is_cancelled)
{
    struct stage stage;
    struct outcome outcomes[3];
    struct task *first;

    begin(&stage, "module('m', function() return 4 end)\n");
    first = start_get(&stage, &outcomes[0], "m");
    start_get(&stage, &outcomes[1], "m");
    start_get(&stage, &outcomes[2], "m");
    stage_turn(&stage);
    stage_cancel(&stage, first);
    for (int i = 0; i < 3; i++)
        stage_turn(&stage);
    ck_assert_str_eq(stage_eval(&stage, "runs.m"), "2");
    stage_expect(&stage, "release", NO_ARGS, "ok");
    stage_wait(&stage, &outcomes[1]);
    stage_wait(&stage, &outcomes[2]);
    ck_assert_int_eq(outcomes[1].result, TASK_OK);
    ck_assert_int_eq(outcomes[2].result, TASK_OK);
    ck_assert_str_eq(stage_eval(&stage, "runs.m"), "2");
    stage_close(&stage);
}
END_TEST

START_TEST(who_waits_is_cancelled)
{
    struct stage stage;
    struct outcome first, other;
    struct task *waiting;

    begin(&stage, "module('m', function() return 4 end)\n");
    start_get(&stage, &first, "m");
    waiting = start_get(&stage, &other, "m");
    stage_cancel(&stage, waiting);
    stage_expect(&stage, "release", NO_ARGS, "ok");
    expect_end(&stage, &first, "ok set-var txn.m str 4; set-var txn.more str :preload:");
    stage_close(&stage);
}
END_TEST

/* Where nothing can yield the budget's end is an error that leaves the coroutine as it is. */
START_TEST(the_first_computes_for_too_long)
{
    struct stage stage;
    struct outcome first, other;

    begin(&stage, "module('m', function()\n"
                  "  if runs.m > 1 then return 4 end\n"
                  "  table.sort({ 1, 2, 3 }, function() while true do end end)\n"
                  "end)\n");
    start_get(&stage, &first, "m");
    start_get(&stage, &other, "m");
    stage_expect(&stage, "release", NO_ARGS, "ok");
    stage_wait(&stage, &first);
    ck_assert_int_eq(first.result, TASK_TIMEOUT);
    expect_get(&stage, "m", "ok set-var txn.m str 4; set-var txn.more str :preload:");
    stage_wait(&stage, &other);
    ck_assert_int_eq(other.result, TASK_OK);
    ck_assert_str_eq(stage_eval(&stage, "runs.m"), "2");
    stage_close(&stage);
}
END_TEST

/* A coroutine that nobody ever resumes. */
START_TEST(the_first_is_collected)
{
    struct stage stage;
    struct outcome other;

    begin(&stage, "go = true\n"
                  "module('m', function()\n"
                  "  if runs.m == 1 then coroutine.yield() end\n"
                  "  return 4\n"
                  "end)\n"
                  "function leave() coroutine.wrap(require)('m') end\n"
                  "function collect() collectgarbage() collectgarbage() end\n");
    stage_expect(&stage, "leave", NO_ARGS, "ok");
    start_get(&stage, &other, "m");
    stage_expect(&stage, "collect", NO_ARGS, "ok");
    expect_end(&stage, &other, "ok set-var txn.m str 4; set-var txn.more str :preload:");
    ck_assert_str_eq(stage_eval(&stage, "runs.m"), "2");
    stage_close(&stage);
}
END_TEST

/* ---- in circles ---- */

#define CIRCLE(name)                                                                               \
    "module '" name "' is required while it is being loaded, by itself or by what it requires: "   \
    "require one of them later, in a function"

START_TEST(circles)
{
    struct stage stage;

    begin(&stage, "go = true\n"
                  "module('self', function() return require 'self' end)\n"
                  "module('a', function() return require 'b' end)\n"
                  "module('b', function() spoa.sleep(0) return require 'a' end)\n"
                  "module('wrapped', function()\n"
                  "  return coroutine.wrap(function() return require 'wrapped' end)()\n"
                  "end)\n"
                  "module('child', function()\n"
                  "  return spoa.spawn(function() return require 'child' end):wait()\n"
                  "end)\n"
                  "module('half', function(name)\n"
                  "  local m = { whole = false }\n"
                  "  package.loaded[name] = m\n"
                  "  m.seen = require 'user'.seen\n"
                  "  m.whole = true\n"
                  "  return setmetatable(m, { __tostring = function() return 'fine' end })\n"
                  "end)\n"
                  "module('user', function()\n"
                  "  spoa.sleep(0)\n"
                  "  assert(require('half').whole == false)\n"
                  "  return { seen = true }\n"
                  "end)\n");
    expect_get(&stage, "self", "error h.lua:18: " CIRCLE("self"));
    expect_get(&stage, "a", "error h.lua:20: " CIRCLE("a"));
    expect_get(&stage, "b", "error h.lua:19: " CIRCLE("b"));
    ck_assert_ptr_nonnull(
        strstr(stage_eval(&stage, "select(2, pcall(require, 'self'))"), CIRCLE("self")));
    {
        struct outcome outcome;

        start_get(&stage, &outcome, "wrapped");
        stage_wait(&stage, &outcome);
        ck_assert_msg(strstr(outcome.text, CIRCLE("wrapped")) != NULL, "%s", outcome.text);
        start_get(&stage, &outcome, "child");
        stage_wait(&stage, &outcome);
        ck_assert_int_ne(outcome.result, TASK_TIMEOUT);
    }
    expect_get(&stage, "half", "ok set-var txn.m str fine; set-var txn.more str :preload:");
    stage_close(&stage);
}
END_TEST

/* Each of two loads what the other has begun. */
START_TEST(circle_of_two_tasks)
{
    struct stage stage;
    struct outcome a, b;

    begin(&stage, "module('a', function() return require 'b' end)\n"
                  "module('b', function() return require 'a' end)\n");
    start_get(&stage, &a, "a");
    start_get(&stage, &b, "b");
    stage_turn(&stage);
    stage_expect(&stage, "release", NO_ARGS, "ok");
    stage_wait(&stage, &a);
    stage_wait(&stage, &b);
    ck_assert_int_eq(a.result, TASK_ERROR);
    ck_assert_int_eq(b.result, TASK_ERROR);
    ck_assert_msg(strstr(a.text, "is required while it is being loaded") != NULL, "%s", a.text);
    ck_assert_str_eq(stage_eval(&stage, "runs.a + runs.b"), "2");
    stage_close(&stage);
}
END_TEST

/* Two tasks wait for one another, for the coroutine that loads 'left' is not resumed; a third
 * comes along. */
START_TEST(ring_of_others)
{
    struct stage stage;
    struct outcome first, second, third;
    struct task *tasks[3];

    begin(&stage, "go = true\n"
                  "module('left', function() coroutine.yield() end)\n"
                  "module('b', function() return require 'left' end)\n"
                  "function leave()\n"
                  "  _G.kept = coroutine.wrap(function() require 'left' end)\n"
                  "  kept()\n"
                  "  spoa.sleep(0.01)\n"
                  "  _G.waits = true\n"
                  "  require 'b'\n"
                  "end\n"
                  "function ask() require 'left' end\n");
    tasks[0] = stage_start(&stage, &first, "leave", NO_ARGS);
    tasks[1] = start_get(&stage, &second, "b");
    while (strcmp(stage_eval(&stage, "waits"), "true") != 0)
        stage_turn(&stage);
    tasks[2] = stage_start(&stage, &third, "ask", NO_ARGS);
    for (int i = 0; i < 3; i++)
        stage_cancel(&stage, tasks[i]);
    stage_close(&stage);
}
END_TEST

/* Who cannot wait has an error, and the load goes on. */
START_TEST(where_nothing_can_wait)
{
    struct stage stage;
    struct outcome first;

    begin(&stage, "module('m', function() return 4 end)\n"
                  "function sort() table.sort({ 1, 2 }, function() return require 'm' end) end\n");
    start_get(&stage, &first, "m");
    ck_assert_ptr_nonnull(strstr(stage_play(&stage, "sort", NO_ARGS), "cannot wait here"));
    ck_assert_ptr_nonnull(strstr(stage_eval(&stage, "select(2, pcall(require, 'm'))"),
                                 "can wait only inside of a handler"));
    stage_expect(&stage, "release", NO_ARGS, "ok");
    expect_end(&stage, &first, "ok set-var txn.m str 4; set-var txn.more str :preload:");
    stage_close(&stage);
}
END_TEST

/* The script goes in the middle: AddressSanitizer looks. */
START_TEST(stopped_meanwhile)
{
    struct stage stage;
    struct outcome first, other;

    begin(&stage, "module('m', function() return 4 end)\n");
    start_get(&stage, &first, "m");
    start_get(&stage, &other, "m");
    script_stop(stage.script);
    stage.script = NULL;
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("api_require", results, not_found, searchers, error_with_its_traceback, while_loading,
          in_a_coroutine_of_the_handlers_own, others_wait_for_the_first, others_have_its_false,
          others_have_its_error, the_next_loads_it_when_the_first_is_cancelled,
          who_waits_is_cancelled, the_first_computes_for_too_long, the_first_is_collected, circles,
          circle_of_two_tasks, ring_of_others, where_nothing_can_wait, stopped_meanwhile)
