#include "script/task.h"

#include "stage.h"

/* The functions of a handler that counts how many <close> variables have run. */
#define CLOSING                                                                                    \
    "closed = setmetatable({ n = 0 }, nil)\n"                                                      \
    "local function closing()\n"                                                                   \
    "  return setmetatable({}, { __close = function() closed.n = closed.n + 1 end })\n"            \
    "end\n"                                                                                        \
    "function count() return { ['txn.n'] = closed.n } end\n"

START_TEST(wait_returns_what_the_function_returned)
{
    struct stage stage;

    stage_open(
        &stage,
        "function f()\n"
        "  local t = spoa.spawn(function(a, b) spoa.sleep(0.001) return a + b, 'z' end, 1, 2)\n"
        "  local u = spoa.spawn(function() return 'at once' end)\n"
        "  local n, z = t:wait()\n"
        "  return { txn = { n = n, z = z, u = u:wait(), again = t:wait() } }\n"
        "end");
    stage_expect(&stage, "f", NO_ARGS,
                 "ok set-var txn.again int64 3; set-var txn.n int64 3; set-var txn.u str at once; "
                 "set-var txn.z str z");
    ck_assert_uint_eq(stage.script->tasks.count, 0);
    stage_close(&stage);
}
END_TEST

START_TEST(wait_raises_what_the_function_raised)
{
    struct stage stage;

    stage_open(&stage, "local e = setmetatable({}, { __tostring = function() return 'mine' end })\n"
                       "function f()\n"
                       "  local t = spoa.spawn(function() spoa.sleep(0.001) error(e) end)\n"
                       "  local ok, got = pcall(t.wait, t)\n"
                       "  return { txn = { ok = ok, same = got == e } }\n"
                       "end\n"
                       "function g() spoa.spawn(function() error('deep', 0) end):wait() end");
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.ok bool false; set-var txn.same bool true");
    stage_expect(&stage, "g", NO_ARGS, "error deep");
    stage_close(&stage);
}
END_TEST

START_TEST(children_end_with_their_parent)
{
    struct stage stage;
    struct outcome outcome;

    stage_prepare(&stage, CLOSING
                  "local function long() local c <close> = closing() spoa.sleep(1000) end\n"
                  "function returns() spoa.spawn(long) spoa.sleep(0.001) end\n"
                  "function fails() spoa.spawn(long) spoa.sleep(0.001) error('x') end\n"
                  "function waits() spoa.spawn(function() spoa.spawn(long):wait() end):wait() end\n"
                  "function never() spoa.spawn(long) end");
    stage.options.limits = (struct script_limit[]){{.name = (char[]){"waits"}, .timeout = 0.05}};
    stage.options.nlimits = 1;
    stage_begin(&stage);
    stage_expect(&stage, "returns", NO_ARGS, "ok");
    stage_expect(&stage, "count", NO_ARGS, "ok set-var txn.n int64 1");
    stage_run(&stage, &outcome, "fails", NO_ARGS);
    ck_assert_int_eq(outcome.result, TASK_ERROR);
    stage_expect(&stage, "count", NO_ARGS, "ok set-var txn.n int64 2");
    stage_run(&stage, &outcome, "waits", NO_ARGS);
    ck_assert_int_eq(outcome.result, TASK_TIMEOUT);
    stage_expect(&stage, "count", NO_ARGS, "ok set-var txn.n int64 3");
    /* One that has not begun has nothing to close. */
    stage_expect(&stage, "never", NO_ARGS, "ok");
    stage_expect(&stage, "count", NO_ARGS, "ok set-var txn.n int64 3");
    ck_assert_uint_eq(stage.script->tasks.count, 0);
    stage_close(&stage);
}
END_TEST

START_TEST(children_are_cancelled_with_their_parent)
{
    struct stage stage;
    struct outcome outcome;
    struct task *task;

    stage_open(&stage, CLOSING
               "local function long() local c <close> = closing() spoa.sleep(1000) end\n"
               "function f() spoa.all(long, long, function() spoa.spawn(long):wait() end) end");
    task = stage_start(&stage, &outcome, "f", NO_ARGS);
    ck_assert_ptr_nonnull(task);
    while (stage.script->tasks.count < 5 || !TAILQ_EMPTY(&stage.queue.lanes[LANE_SHORT].jobs))
        stage_turn(&stage);
    stage_cancel(&stage, task);
    ck_assert_uint_eq(outcome.calls, 0);
    stage_expect(&stage, "count", NO_ARGS, "ok set-var txn.n int64 3");
    stage_close(&stage);
}
END_TEST

START_TEST(cancel)
{
    struct stage stage;

    stage_open(
        &stage, CLOSING
        "function f()\n"
        "  local t = spoa.spawn(function() local c <close> = closing() spoa.sleep(1000) end)\n"
        "  local w = spoa.spawn(function() return pcall(t.wait, t) end)\n"
        "  spoa.sleep(0.001)\n"
        "  t:cancel() t:cancel()\n"
        "  local ok, why = w:wait()\n"
        "  return { txn = { closed = closed.n, ok = ok, why = why:match('the task.*') } }\n"
        "end");
    stage_expect(&stage, "f", NO_ARGS,
                 "ok set-var txn.closed int64 1; set-var txn.ok bool false; "
                 "set-var txn.why str the task was cancelled");
    stage_close(&stage);
}
END_TEST

START_TEST(nobody_waits_for_itself)
{
    struct stage stage;

    stage_open(&stage,
               "function f() local t t = spoa.spawn(function() t:wait() end) t:wait() end\n"
               "function g() local t t = spoa.spawn(function() t:cancel() end) t:wait() end");
    stage_expect(&stage, "f", NO_ARGS,
                 "error h.lua:1: a task cannot wait for itself, nor for one it is part of");
    stage_expect(&stage, "g", NO_ARGS,
                 "error h.lua:2: a task cannot cancel itself, nor one it is part of: return");
    stage_close(&stage);
}
END_TEST

START_TEST(all_gives_the_first_result_of_each)
{
    struct stage stage;

    stage_open(&stage,
               "function f()\n"
               "  local a, b, c = spoa.all(function() spoa.sleep(0.002) return 'a', 'x' end,\n"
               "                           function() return 'b' end, function() end)\n"
               "  return { txn = { a = a, b = b, c = c == nil, none = select('#', spoa.all()) } }\n"
               "end");
    stage_expect(&stage, "f", NO_ARGS,
                 "ok set-var txn.a str a; set-var txn.b str b; set-var txn.c bool true; "
                 "set-var txn.none int64 0");
    stage_close(&stage);
}
END_TEST

START_TEST(all_cancels_the_rest_at_the_first_error)
{
    struct stage stage;

    stage_open(&stage,
               CLOSING "local function long() local c <close> = closing() spoa.sleep(1000) end\n"
                       "function f()\n"
                       "  local ok, why = pcall(spoa.all, long, function() spoa.sleep(0.001) "
                       "error('second', 0) end, long)\n"
                       "  return { txn = { ok = ok, why = why, closed = closed.n } }\n"
                       "end");
    stage_expect(
        &stage, "f", NO_ARGS,
        "ok set-var txn.closed int64 2; set-var txn.ok bool false; set-var txn.why str second");
    stage_close(&stage);
}
END_TEST

/* Tasks that only wake one another leave the loop its turns, so the deadline comes. */
START_TEST(spinning_without_waiting_for_anything)
{
    struct stage stage;
    struct outcome outcome;

    stage_prepare(&stage, "function f() while true do spoa.spawn(function() end):wait() end end");
    stage.options.timeout = 0.1;
    stage_begin(&stage);
    stage_run(&stage, &outcome, "f", NO_ARGS);
    ck_assert_int_eq(outcome.result, TASK_TIMEOUT);
    stage_close(&stage);
}
END_TEST

START_TEST(many)
{
    struct stage stage;

    stage_open(
        &stage,
        "function f()\n"
        "  local tasks, sum = {}, 0\n"
        "  for i = 1, 900 do tasks[i] = spoa.spawn(function() spoa.sleep(0.001) return i end) end\n"
        "  for i = 1, 900 do sum = sum + tasks[i]:wait() end\n"
        "  return { ['txn.sum'] = sum }\n"
        "end\n"
        "function g() for i = 1, 2000 do spoa.spawn(function() spoa.sleep(1) end) end end");
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.sum int64 405450");
    stage_expect(&stage, "g", NO_ARGS, "error h.lua:7: too many tasks (handler-concurrency)");
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.sum int64 405450");
    stage_close(&stage);
}
END_TEST

START_TEST(waiting_under_a_callback_is_refused)
{
    struct stage stage;

    stage_open(&stage, "function f() local t = spoa.spawn(function() end)\n"
                       "  table.sort({ 1, 2 }, function() t:wait() end) end");
    stage_expect(&stage, "f", NO_ARGS,
                 "error h.lua:2: cannot wait here: a C function (table.sort, string.gsub "
                 "...) is calling back; wait before or after it");
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("children", wait_returns_what_the_function_returned, wait_raises_what_the_function_raised,
          children_end_with_their_parent, children_are_cancelled_with_their_parent, cancel,
          nobody_waits_for_itself, all_gives_the_first_result_of_each,
          all_cancels_the_rest_at_the_first_error, spinning_without_waiting_for_anything, many,
          waiting_under_a_callback_is_refused)
