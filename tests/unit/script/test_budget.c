#include "script/budget.h"

#include <string.h>
#include <time.h>

#include "stage.h"

/*
 * Each runaway is run three times through one script (an error raised in a count hook leaves
 * hooks disabled on its coroutine for good, so the second and third are those that hang),
 * and then a handler that is no runaway.
 */
static void check_runaway(const char *source)
{
    struct stage stage;
    struct outcome outcome;
    char *all;

    ck_assert_int_gt(asprintf(&all, "function ok() return { ['txn.ok'] = 1 } end\n%s", source), 0);
    stage_prepare(&stage, all);
    free(all);
    stage.options.cpu = 0.02;
    stage_begin(&stage);
    for (int i = 0; i < 3; i++) {
        stage_run(&stage, &outcome, "runaway", NO_ARGS);
        ck_assert_msg(outcome.result == TASK_TIMEOUT, "run %d: %s", i + 1,
                      stage_says(&stage, &outcome));
        ck_assert_msg(strstr(outcome.text, "handler-cpu") != NULL, "%s", outcome.text);
        stage_expect(&stage, "ok", NO_ARGS, "ok set-var txn.ok int64 1");
    }
    stage_close(&stage);
}

START_TEST(loop)
{
    check_runaway("function runaway() while true do end end");
}
END_TEST

START_TEST(pcall_cannot_swallow_it)
{
    check_runaway("function runaway()\n"
                  "  while true do pcall(function() while true do end end) end\n"
                  "end");
}
END_TEST

START_TEST(pcall_in_pcall)
{
    check_runaway("local function deep(n)\n"
                  "  while true do\n"
                  "    if n > 0 then pcall(deep, n - 1) else pcall(error) end\n"
                  "  end\n"
                  "end\n"
                  "function runaway() deep(20) end");
}
END_TEST

START_TEST(xpcall_with_a_handler_that_loops)
{
    check_runaway("local function spin() while true do end end\n"
                  "function runaway() while true do xpcall(spin, spin) end end");
}
END_TEST

/* Where nothing can yield the hook raises, and then has hooks off: a message handler that were
 * called would run for ever. */
START_TEST(message_handler_that_loops_where_nothing_can_yield)
{
    check_runaway("local function spin() while true do end end\n"
                  "function runaway()\n"
                  "  table.sort({ 1, 2, 3 }, function() return xpcall(spin, spin) end)\n"
                  "end");
}
END_TEST

START_TEST(inside_wrap)
{
    check_runaway("function runaway()\n"
                  "  coroutine.wrap(function() while true do end end)()\n"
                  "end");
}
END_TEST

START_TEST(inside_resume_inside_wrap_under_pcall)
{
    check_runaway("function runaway()\n"
                  "  local spin = function() while true do pcall(pcall, error) end end\n"
                  "  local middle = coroutine.wrap(function()\n"
                  "    while true do coroutine.resume(coroutine.create(spin)) end\n"
                  "  end)\n"
                  "  while true do pcall(middle) end\n"
                  "end");
}
END_TEST

/* Many short coroutines, each well within the budget. */
START_TEST(coroutine_after_coroutine)
{
    check_runaway("function runaway()\n"
                  "  while true do coroutine.wrap(function() coroutine.yield(1) end)() end\n"
                  "end");
}
END_TEST

START_TEST(generator_that_never_ends)
{
    check_runaway("function runaway()\n"
                  "  local each = coroutine.wrap(function()\n"
                  "    while true do coroutine.yield(1) end\n"
                  "  end)\n"
                  "  for _ in each do end\n"
                  "end");
}
END_TEST

/* Nothing can yield there, so it is stopped by an error. */
START_TEST(inside_sort)
{
    check_runaway("function runaway()\n"
                  "  table.sort({ 3, 2, 1 }, function() while true do end end)\n"
                  "end");
}
END_TEST

START_TEST(inside_sort_under_pcall)
{
    check_runaway("local function spin() while true do pcall(error) end end\n"
                  "function runaway()\n"
                  "  while true do pcall(table.sort, { 3, 2, 1 }, spin) end\n"
                  "end");
}
END_TEST

START_TEST(inside_wrap_inside_sort)
{
    check_runaway("function runaway()\n"
                  "  local spin = coroutine.wrap(function() while true do end end)\n"
                  "  table.sort({ 3, 2, 1 }, spin)\n"
                  "end");
}
END_TEST

START_TEST(inside_gsub)
{
    check_runaway("function runaway()\n"
                  "  string.gsub('x', 'x', function() while true do end end)\n"
                  "end");
}
END_TEST

START_TEST(inside_sort_inside_wrap)
{
    check_runaway("function runaway()\n"
                  "  coroutine.wrap(function()\n"
                  "    table.sort({ 3, 2, 1 }, function() while true do end end)\n"
                  "  end)()\n"
                  "end");
}
END_TEST

START_TEST(inside_a_metamethod)
{
    check_runaway("local t = setmetatable({}, { __index = function() while true do end end })\n"
                  "function runaway() return t.x end");
}
END_TEST

START_TEST(inside_close)
{
    check_runaway("function runaway()\n"
                  "  local x <close> = setmetatable({}, { __close = function()\n"
                  "    while true do end\n"
                  "  end })\n"
                  "end");
}
END_TEST

/* What runs when the runaway is closed has a budget of its own, and no more than that. */
START_TEST(runaway_closes_with_a_runaway)
{
    check_runaway("function runaway()\n"
                  "  local x <close> = setmetatable({}, { __close = function()\n"
                  "    while true do pcall(error) end\n"
                  "  end })\n"
                  "  while true do end\n"
                  "end");
}
END_TEST

START_TEST(runaway_in_wrap_closes_with_a_runaway)
{
    check_runaway("local forever = { __close = function() while true do end end }\n"
                  "function runaway()\n"
                  "  local x <close> = setmetatable({}, forever)\n"
                  "  coroutine.wrap(function()\n"
                  "    local y <close> = setmetatable({}, forever)\n"
                  "    while true do end\n"
                  "  end)()\n"
                  "end");
}
END_TEST

START_TEST(runaway_in_sort_closes_with_a_runaway)
{
    check_runaway("function runaway()\n"
                  "  local x <close> = setmetatable({}, { __close = function()\n"
                  "    while true do end\n"
                  "  end })\n"
                  "  table.sort({ 3, 2, 1 }, function() while true do end end)\n"
                  "end");
}
END_TEST

/* What an iterator's error has closed is not what is running. */
START_TEST(runaway_after_a_wrap_that_failed)
{
    check_runaway("function runaway()\n"
                  "  pcall(coroutine.wrap(function() error('oops') end))\n"
                  "  collectgarbage()\n"
                  "  while true do end\n"
                  "end");
}
END_TEST

/* The hook's error is a string, and no hook is on while it is told. */
START_TEST(runaway_whose_error_has_a_runaway_tostring)
{
    check_runaway("getmetatable('').__tostring = function() while true do end end\n"
                  "function runaway()\n"
                  "  table.sort({ 3, 2, 1 }, function() while true do end end)\n"
                  "end");
}
END_TEST

/* A coroutine that was stopped has hooks off for good, whoever closes it, and however often. */
START_TEST(stopped_coroutine_is_closed_by_another)
{
    struct stage stage;
    struct outcome outcome;

    stage_prepare(&stage, "local stopped\n"
                          "function runaway()\n"
                          "  table.sort({ 3, 2, 1 }, function()\n"
                          "    stopped = coroutine.create(function()\n"
                          "      local x <close> = setmetatable({}, { __close = function()\n"
                          "        while true do end\n"
                          "      end })\n"
                          "      table.sort({ 3, 2, 1 }, function() while true do end end)\n"
                          "    end)\n"
                          "    coroutine.resume(stopped)\n"
                          "  end)\n"
                          "end\n"
                          "function close()\n"
                          "  local good, why\n"
                          "  for i = 1, 10000 do good, why = coroutine.close(stopped) end\n"
                          "  return { txn = { good = good, why = why:match('handler%-cpu'),\n"
                          "    again = select(2, coroutine.resume(stopped)) } }\n"
                          "end");
    stage.options.cpu = 0.02;
    stage_begin(&stage);
    stage_run(&stage, &outcome, "runaway", NO_ARGS);
    ck_assert_int_eq(outcome.result, TASK_TIMEOUT);
    stage_expect(&stage, "close", NO_ARGS,
                 "ok set-var txn.again str cannot resume dead coroutine; "
                 "set-var txn.good bool false; set-var txn.why str handler-cpu");
    stage_close(&stage);
}
END_TEST

/* The same in the background, where a function goes on after spoa.atomic was stopped. */
START_TEST(stopped_in_an_atomic_function)
{
    struct stage stage;

    stage_prepare(&stage, "local how = 'never'\n"
                          "function begin() spoa.after(function()\n"
                          "  local co = coroutine.create(function()\n"
                          "    local x <close> = setmetatable({}, { __close = function()\n"
                          "      while true do end\n"
                          "    end })\n"
                          "    table.sort({ 3, 2, 1 }, function() while true do end end)\n"
                          "  end)\n"
                          "  pcall(spoa.atomic, coroutine.resume, co)\n"
                          "  for i = 1, 1000 do coroutine.close(co) end\n"
                          "  spoa.sleep(0)\n"
                          "  for i = 1, 1000 do coroutine.close(co) end\n"
                          "  how = 'well'\n"
                          "end) end\n"
                          "function ended()\n"
                          "  while how == 'never' do spoa.sleep(0.001) end\n"
                          "  return { ['txn.how'] = how }\n"
                          "end");
    stage.options.cpu = 0.02;
    stage_begin(&stage);
    stage_expect(&stage, "begin", NO_ARGS, "ok");
    stage_expect(&stage, "ended", NO_ARGS, "ok set-var txn.how str well");
    stage_close(&stage);
}
END_TEST

/* Uses up the budget where no hook can see it, then yields. */
static int burn_and_yield(lua_State *lua)
{
    clock_t began = clock();

    while (clock() - began < CLOCKS_PER_SEC / 8)
        continue;
    return lua_yield(lua, 0);
}

/* What debug.gethook would tell. */
static int hooked(lua_State *lua)
{
    lua_pushboolean(lua, lua_gethook(lua_tothread(lua, 1)) != NULL);
    return 1;
}

/* The coroutine is left with the hook on it; who resumes it later has a budget of its own. */
START_TEST(coroutine_left_with_the_hook_on)
{
    struct stage stage;
    struct outcome outcome;

    stage_open(&stage, "local co = coroutine.create(function()\n"
                       "  while true do\n"
                       "    burn_and_yield()\n"
                       "    local n = 0\n"
                       "    for i = 1, 100 do n = n + i end\n"
                       "    coroutine.yield(n)\n"
                       "  end\n"
                       "end)\n"
                       "function runaway() coroutine.resume(co) end\n"
                       "function again()\n"
                       "  local good, n = coroutine.resume(co)\n"
                       "  return { txn = { n = n, good = good, hooked = hooked(co) } }\n"
                       "end");
    lua_register(stage.script->lua, "burn_and_yield", burn_and_yield);
    lua_register(stage.script->lua, "hooked", hooked);
    for (int i = 0; i < 3; i++) {
        stage_run(&stage, &outcome, "runaway", NO_ARGS);
        ck_assert_int_eq(outcome.result, TASK_TIMEOUT);
        stage_expect(&stage, "again", NO_ARGS,
                     "ok set-var txn.good bool true; set-var txn.hooked bool false; "
                     "set-var txn.n int64 5050");
    }
    stage_close(&stage);
}
END_TEST

/* A handler may use its budget again after each wait. */
START_TEST(budget_is_between_waits)
{
    struct stage stage;

    stage_open(&stage, "function work()\n"
                       "  local began = os.clock()\n"
                       "  for i = 1, 8 do\n"
                       "    local slice = os.clock()\n"
                       "    repeat until os.clock() - slice > 0.02\n"
                       "    spoa.sleep(0)\n"
                       "  end\n"
                       "  return { ['txn.enough'] = os.clock() - began > 0.1 }\n"
                       "end");
    stage_expect(&stage, "work", NO_ARGS, "ok set-var txn.enough bool true");
    stage_close(&stage);
}
END_TEST

START_TEST(runaway_after_a_wait)
{
    check_runaway("function runaway()\n"
                  "  coroutine.wrap(function() spoa.sleep(0) end)()\n"
                  "  spoa.sleep(0)\n"
                  "  while true do end\n"
                  "end");
}
END_TEST

/* Closing a child has a budget of its own, and the canceller goes on with its. */
START_TEST(runaway_after_cancelling_a_child)
{
    check_runaway("function runaway()\n"
                  "  local child = spoa.spawn(function() spoa.sleep(1000) end)\n"
                  "  spoa.sleep(0)\n"
                  "  child:cancel()\n"
                  "  while true do end\n"
                  "end");
}
END_TEST

START_TEST(child_that_closes_with_a_runaway)
{
    check_runaway("function runaway()\n"
                  "  local child = spoa.spawn(function()\n"
                  "    local x <close> = setmetatable({}, { __close = function()\n"
                  "      while true do pcall(error) end\n"
                  "    end })\n"
                  "    spoa.sleep(1000)\n"
                  "  end)\n"
                  "  spoa.sleep(0)\n"
                  "  child:cancel()\n"
                  "  while true do end\n"
                  "end");
}
END_TEST

START_TEST(runaway_after_a_child_that_failed)
{
    check_runaway("function runaway()\n"
                  "  pcall(spoa.all, error, function() spoa.sleep(1000) end)\n"
                  "  while true do end\n"
                  "end");
}
END_TEST

START_TEST(runaway_while_its_error_is_described)
{
    struct stage stage;
    struct outcome outcome;

    stage_open(&stage, "local forever = setmetatable({}, { __tostring = function()\n"
                       "  while true do pcall(error) end\n"
                       "end })\n"
                       "function fail() error(forever) end\n"
                       "function ok() return { ['txn.ok'] = 1 } end\n");
    for (int i = 0; i < 3; i++) {
        stage_run(&stage, &outcome, "fail", NO_ARGS);
        ck_assert_int_eq(outcome.result, TASK_TIMEOUT);
        stage_expect(&stage, "ok", NO_ARGS, "ok set-var txn.ok int64 1");
    }
    stage_close(&stage);
}
END_TEST

/* A script's top level may take longer than a handler, and not for ever. */
START_TEST(loading)
{
    struct stage stage;

    stage_init(&stage);
    ck_assert(budget_open(wait_expired));
    stage_script(&stage, "busy.lua",
                 "local began = os.clock()\n"
                 "repeat until os.clock() - began > 0.02\n"
                 "function busy() end\n");
    stage_script(&stage, "spin.lua",
                 "-- for ever\n"
                 "local ever = true while ever do pcall(error) end\n");
    ck_assert_ptr_null(stage_load(&stage));
    ck_assert_uint_eq(stage.nfaults, 1);
    ck_assert_msg(strstr(stage.faults, "spin.lua:1: ") == stage.faults, "%s", stage.faults);
    ck_assert_msg(strstr(stage.faults, "handler-cpu") != NULL, "%s", stage.faults);
    ck_assert_msg(strstr(stage.faults, "spin.lua:2: in main chunk") != NULL, "%s", stage.faults);
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("budget", loop, pcall_cannot_swallow_it, pcall_in_pcall, xpcall_with_a_handler_that_loops,
          message_handler_that_loops_where_nothing_can_yield, inside_wrap,
          inside_resume_inside_wrap_under_pcall, coroutine_after_coroutine,
          generator_that_never_ends, inside_sort, inside_sort_under_pcall, inside_wrap_inside_sort,
          inside_gsub, inside_sort_inside_wrap, inside_a_metamethod, inside_close,
          runaway_closes_with_a_runaway, runaway_in_wrap_closes_with_a_runaway,
          runaway_in_sort_closes_with_a_runaway, runaway_after_a_wrap_that_failed,
          runaway_whose_error_has_a_runaway_tostring, stopped_coroutine_is_closed_by_another,
          stopped_in_an_atomic_function, coroutine_left_with_the_hook_on, budget_is_between_waits,
          runaway_after_a_wait, runaway_after_cancelling_a_child, child_that_closes_with_a_runaway,
          runaway_after_a_child_that_failed, runaway_while_its_error_is_described, loading)
