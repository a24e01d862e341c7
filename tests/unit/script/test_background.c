#include "script/background.h"

#include "stage.h"

static void until(struct stage *stage, const char *name, const char *expected)
{
    for (;;) {
        unsigned holds = stage->script->holds;

        if (strcmp(stage_play(stage, name, NO_ARGS), expected) == 0)
            return;
        if (stage->script->holds == holds) /* nothing was closed after the look */
            stage_turn(stage);
    }
}

START_TEST(after_begins_when_the_message_is_answered)
{
    struct stage stage;

    stage_open(
        &stage,
        "local log = {}\n"
        "function f()\n"
        "  spoa.after(function() spoa.sleep(0.001) log[#log + 1] = 'b' end)\n"
        "  spoa.spawn(function() spoa.after(function() log[#log + 1] = 'c' end) end):wait()\n"
        "  log[#log + 1] = 'a'\n"
        "end\n"
        "function look() return { ['txn.log'] = table.concat(log) } end");
    stage_expect(&stage, "f", NO_ARGS, "ok");
    stage_expect(&stage, "look", NO_ARGS, "ok set-var txn.log str a");
    until(&stage, "look", "ok set-var txn.log str acb");
    ck_assert_uint_eq(stage.script->background.count, 0);
    ck_assert_uint_eq(stage.script->tasks.count, 0);
    stage_close(&stage);
}
END_TEST

START_TEST(after_runs_after_a_failure_but_not_after_a_cancel)
{
    struct stage stage;
    struct outcome outcome;
    struct task *task;

    stage_open(&stage,
               "local n = 0\n"
               "function fails() spoa.after(function() n = n + 1 end) error('x') end\n"
               "function waits() spoa.after(function() n = n + 100 end) spoa.sleep(1000) end\n"
               "function look() return { ['txn.n'] = n } end");
    stage_run(&stage, &outcome, "fails", NO_ARGS);
    until(&stage, "look", "ok set-var txn.n int64 1");
    task = stage_start(&stage, &outcome, "waits", NO_ARGS);
    ck_assert_uint_eq(stage.script->background.count, 1);
    stage_cancel(&stage, task);
    ck_assert_uint_eq(stage.script->background.count, 0);
    stage_expect(&stage, "look", NO_ARGS, "ok set-var txn.n int64 1");
    stage_close(&stage);
}
END_TEST

START_TEST(after_is_bounded_in_number_and_time)
{
    struct stage stage;

    stage_prepare(
        &stage,
        "local closed = 0\n"
        "function f() for i = 1, 11 do spoa.after(function()\n"
        "  local c <close> = setmetatable({}, { __close = function() closed = closed + 1 end })\n"
        "  spoa.sleep(1000) end) end end\n"
        "function look() return { ['txn.n'] = closed } end");
    stage.options.background_concurrency = 10;
    stage.options.background_timeout = 0.05;
    stage_begin(&stage);
    stage_expect(&stage, "f", NO_ARGS,
                 "error h.lua:2: too many functions in the background (background-concurrency is "
                 "10)");
    until(&stage, "look", "ok set-var txn.n int64 10");
    ck_assert_uint_eq(stage.script->background.count, 0);
    stage_close(&stage);
}
END_TEST

START_TEST(every_goes_on_after_an_error_and_ends_with_the_script)
{
    struct stage stage;

    stage_open(&stage, "local n = 0\n"
                       "spoa.every(0.001, function() n = n + 1 error('each time') end)\n"
                       "function look() return { ['txn.enough'] = n > 3 } end\n"
                       "function late() spoa.every(1, print) end");
    stage_expect(&stage, "look", NO_ARGS, "ok set-var txn.enough bool false");
    background_serve(stage.script);
    until(&stage, "look", "ok set-var txn.enough bool true");
    stage_expect(&stage, "late", NO_ARGS,
                 "error h.lua:4: spoa.every is for a script's top level: everything has started");
    script_retire(stage.script, NULL);
    stage.script = NULL;
    stage_close(&stage);
}
END_TEST

START_TEST(scripts_wait_while_they_load_and_at_start)
{
    struct stage stage;

    stage_open(&stage, "spoa.sleep(0.001)\n"
                       "local log = { 'top' }\n"
                       "spoa.at_start(function() spoa.sleep(0.001) log[2] = 'first' end)\n"
                       "spoa.at_start(function() log[3] = 'second' end)\n"
                       "function look() return { ['txn.log'] = table.concat(log, ' ') } end\n"
                       "function late() spoa.at_start(print) end");
    stage_expect(&stage, "look", NO_ARGS, "ok set-var txn.log str top first second");
    stage_expect(
        &stage, "late", NO_ARGS,
        "error h.lua:6: spoa.at_start is for a script's top level: everything has started");
    stage_close(&stage);
}
END_TEST

START_TEST(a_start_that_fails_is_a_fault)
{
    struct stage stage;

    stage_prepare(&stage,
                  "spoa.at_start(function()\n  spoa.sleep(0.001)\n  error('no cache')\nend)");
    ck_assert(budget_open(wait_expired));
    ck_assert_ptr_null(stage_load(&stage));
    ck_assert_uint_eq(stage.nfaults, 1);
    ck_assert_msg(strstr(stage.faults, "h.lua:3: no cache") != NULL, "%s", stage.faults);
    stage_close(&stage);
}
END_TEST

/* The process ends while all kinds of things are under way. */
START_TEST(stop)
{
    struct stage stage;
    struct outcome outcome;

    stage_open(&stage,
               "spoa.every(0.001, function() spoa.sleep(1000) end)\n"
               "function f() spoa.after(function() spoa.sleep(1000) end) end\n"
               "function g() spoa.after(function() end)\n"
               "  spoa.all(function() spoa.sleep(1000) end, function() spoa.sleep(1000) end) end");
    background_serve(stage.script);
    stage_expect(&stage, "f", NO_ARGS, "ok");
    stage_turn(&stage);
    stage_expect(&stage, "f", NO_ARGS, "ok");
    ck_assert_ptr_nonnull(stage_start(&stage, &outcome, "g", NO_ARGS));
    script_stop(stage.script);
    ck_assert_uint_eq(outcome.calls, 0);
    stage.script = NULL;
    stage_close(&stage);
}
END_TEST

START_TEST(poll)
{
    struct stage stage;
    int pair[2];
    char code[512];

    ck_assert_int_eq(pipe(pair), 0);
    snprintf(code, sizeof code,
             "function f()\n"
             "  local none, why = spoa.poll(%d, 'r', 0.001)\n"
             "  local w = spoa.poll(%d, 'w')\n"
             "  local t = spoa.spawn(function() return select(2, spoa.poll({ getfd = function() "
             "return %d end }, 'r')) end)\n"
             "  spoa.spawn(function() spoa.closing(%d) end)\n"
             "  return { txn = { none = none == nil, why = why, w = w, closed = t:wait() } }\n"
             "end\n"
             "function bad() spoa.poll(12345, 'r') end",
             pair[0], pair[1], pair[0], pair[0]);
    stage_open(&stage, code);
    stage_expect(&stage, "f", NO_ARGS,
                 "ok set-var txn.closed str closed; set-var txn.none bool true; set-var txn.w str "
                 "w; set-var txn.why str timeout");
    stage_expect(&stage, "bad", NO_ARGS,
                 "error h.lua:8: bad argument #1 to 'poll' (the descriptor is not open)");
    close(pair[0]);
    close(pair[1]);
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("background", after_begins_when_the_message_is_answered,
          after_runs_after_a_failure_but_not_after_a_cancel, after_is_bounded_in_number_and_time,
          every_goes_on_after_an_error_and_ends_with_the_script,
          scripts_wait_while_they_load_and_at_start, a_start_that_fails_is_a_fault, stop, poll)
