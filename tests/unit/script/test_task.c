#include "script/task.h"

#include "stage.h"

/* The code is the body of a handler; how it ends, and the whole text. */
static void expect_failure(const char *code, const char *first_line, const char *inside)
{
    struct stage stage;
    struct outcome outcome;
    char *source;

    ck_assert_int_gt(asprintf(&source,
                              "function ok() return { ['txn.ok'] = 1 } end\n"
                              "function f(args, ctx)\n"
                              "  %s\n"
                              "end\n",
                              code),
                     0);
    stage_open(&stage, source);
    free(source);
    for (int i = 0; i < 3; i++) {
        stage_run(&stage, &outcome, "f", NO_ARGS);
        ck_assert_str_eq(stage_says(&stage, &outcome), first_line);
        ck_assert_msg(strstr(outcome.text, inside) != NULL, "%s", outcome.text);
        stage_expect(&stage, "ok", NO_ARGS, "ok set-var txn.ok int64 1");
    }
    stage_close(&stage);
}

START_TEST(names_of_results)
{
    ck_assert_str_eq(task_result_name(TASK_OK), "ok");
    ck_assert_str_eq(task_result_name(TASK_ERROR), "error");
    ck_assert_str_eq(task_result_name(TASK_TIMEOUT), "timeout");
    ck_assert_str_eq(task_result_name(TASK_MEMORY), "memory");
    ck_assert_str_eq(task_result_name(TASK_TOO_BIG), "too_big");
    ck_assert_str_eq(task_result_name(TASK_BUSY), "busy");
}
END_TEST

START_TEST(returns)
{
    struct stage stage;

    stage_open(&stage, "function f(args) return { ['txn.a'] = args.a } end");
    stage_expect(&stage, "f", ARGS({"a", INT(1)}), "ok set-var txn.a int64 1");
    stage_expect(&stage, "f", ARGS({"a", STR("x")}), "ok set-var txn.a str x");
    /* One coroutine serves them all. */
    ck_assert_uint_eq(stage.script->coroutines.nunused, 1);
    ck_assert_uint_eq(stage.script->tasks.count, 0);
    stage_close(&stage);
}
END_TEST

START_TEST(errors)
{
    expect_failure("error('oops')", "error h.lua:3: oops", "stack traceback:");
    expect_failure("error('oops')", "error h.lua:3: oops", "h.lua:3: in function <h.lua:2>");
    expect_failure("error('no place', 0)", "error no place", "h.lua:3: in function");
    expect_failure("local t\n  t.x = 1", "error h.lua:4: attempt to index a nil value (local 't')",
                   "h.lua:4:");
    expect_failure("return nil + 1", "error h.lua:3: attempt to perform arithmetic on a nil value",
                   "h.lua:3:");
    expect_failure("return { ['txn.x'] = undefined_function() }",
                   "error h.lua:3: attempt to call a nil value (global 'undefined_function')",
                   "h.lua:3:");
}
END_TEST

START_TEST(error_values)
{
    expect_failure("error()", "error (the error is a nil value)", "h.lua:3:");
    expect_failure("error(nil)", "error (the error is a nil value)", "h.lua:3:");
    expect_failure("error({})", "error (the error is a table value)", "h.lua:3:");
    expect_failure("error({ code = 5 })", "error (the error is a table value)", "h.lua:3:");
    expect_failure("error(true)", "error (the error is a boolean value)", "h.lua:3:");
    expect_failure("error(42)", "error 42", "h.lua:3:");
    expect_failure("error(print)", "error (the error is a function value)", "h.lua:3:");
    expect_failure("error(setmetatable({}, { __tostring = function() return 'made up' end }))",
                   "error made up", "h.lua:3:");
    expect_failure("error(setmetatable({}, { __tostring = function() return {} end }))",
                   "error (the error is a table value)", "h.lua:3:");
    expect_failure("error(setmetatable({}, { __tostring = function() error('worse', 0) end }))",
                   "error worse", "worse");
    expect_failure("error(setmetatable({}, { __tostring = function() error({}) end }))",
                   "error (no text for the error)", "no text");
    expect_failure("error(spoa.null)", "error spoa.null", "h.lua:3:");
}
END_TEST

/* Bytes of a peer in an error are shown as they are: the log is who escapes. */
START_TEST(error_with_bytes)
{
    expect_failure("error('a\\0b', 0)", "error a", "a");
}
END_TEST

START_TEST(an_error_closes)
{
    struct stage stage;
    struct outcome outcome;

    stage_open(&stage, "_G.closed = ''\n"
                       "local function closing(name)\n"
                       "  return setmetatable({}, { __close = function(_, e)\n"
                       "    _G.closed = _G.closed .. name .. tostring(e)\n"
                       "  end })\n"
                       "end\n"
                       "function f(args)\n"
                       "  local a <close> = closing 'a'\n"
                       "  if args.wait then spoa.sleep(0) end\n"
                       "  local b <close> = closing 'b'\n"
                       "  error('!', 0)\n"
                       "end\n");
    stage_run(&stage, &outcome, "f", NO_ARGS);
    ck_assert_int_eq(outcome.result, TASK_ERROR);
    ck_assert_str_eq(stage_eval(&stage, "closed"), "b!a!");
    stage_run(&stage, &outcome, "f", ARGS({"wait", value_bool(true)}));
    ck_assert_int_eq(outcome.result, TASK_ERROR);
    ck_assert_str_eq(stage_eval(&stage, "closed"), "b!a!b!a!");
    stage_close(&stage);
}
END_TEST

START_TEST(exit_is_guarded)
{
    expect_failure("os.exit(0)",
                   "error h.lua:3: os.exit would stop the agent for everyone: return, or raise an "
                   "error",
                   "h.lua:3:");
    expect_failure("coroutine.wrap(os.exit)()",
                   "error h.lua:3: os.exit would stop the agent for everyone: return, or raise an "
                   "error",
                   "h.lua:3:");
}
END_TEST

/* ---- waiting ---- */

START_TEST(sleeps)
{
    struct stage stage;
    struct outcome outcome;

    stage_open(&stage, "function f(args)\n"
                       "  local n = 0\n"
                       "  for i = 1, 5 do spoa.sleep(0.001) n = n + 1 end\n"
                       "  local got = table.pack(spoa.sleep(0))\n"
                       "  return { txn = { n = n, got = got.n, a = args.a } }\n"
                       "end");
    ck_assert_ptr_nonnull(stage_start(&stage, &outcome, "f", ARGS({"a", STR("kept")})));
    ck_assert_uint_eq(stage.script->tasks.count, 1);
    stage_wait(&stage, &outcome);
    ck_assert_str_eq(stage_says(&stage, &outcome),
                     "ok set-var txn.a str kept; set-var txn.got int64 0; set-var txn.n int64 5");
    ck_assert_uint_eq(stage.script->tasks.count, 0);
    stage_close(&stage);
}
END_TEST

START_TEST(sleeps_at_least_so_long)
{
    struct stage stage;

    stage_open(&stage, "function f(args, ctx)\n"
                       "  local before = ctx.remaining()\n"
                       "  spoa.sleep(0.05)\n"
                       "  return { ['txn.slept'] = before - ctx.remaining() >= 0.045 }\n"
                       "end");
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.slept bool true");
    stage_close(&stage);
}
END_TEST

/* The loop's clock stands still while a handler computes. */
START_TEST(sleeps_so_long_after_computing_too)
{
    struct stage stage;

    stage_open(&stage, "function f()\n"
                       "  local t = spoa.now()\n"
                       "  while spoa.now() - t < 0.03 do end\n"
                       "  t = spoa.now()\n"
                       "  spoa.sleep(0.02)\n"
                       "  return { ['txn.enough'] = spoa.now() - t > 0.0199 }\n"
                       "end");
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.enough bool true");
    stage_close(&stage);
}
END_TEST

START_TEST(sleeps_under_pcall_and_in_metamethods)
{
    struct stage stage;

    stage_open(&stage,
               "function f()\n"
               "  local t = setmetatable({}, { __index = function(_, k)\n"
               "    spoa.sleep(0)\n"
               "    return k .. '!'\n"
               "  end, __add = function() spoa.sleep(0) return 7 end })\n"
               "  local good, x = pcall(function() return t.x end)\n"
               "  local bad, why = pcall(function() spoa.sleep(0) error('oops', 0) end)\n"
               "  local each = function() spoa.sleep(0) end\n"
               "  for _ in each do end\n"
               "  return { txn = { good = good, x = x, bad = bad, why = why, sum = t + 1 } }\n"
               "end");
    stage_expect(&stage, "f", NO_ARGS,
                 "ok set-var txn.bad bool false; set-var txn.good bool true; "
                 "set-var txn.sum int64 7; set-var txn.why str oops; set-var txn.x str x!");
    stage_close(&stage);
}
END_TEST

START_TEST(sleeps_of_no_length)
{
    expect_failure("spoa.sleep(-1)",
                   "error h.lua:3: bad argument #1 to 'sleep' (seconds must be 0 or more)", "");
    expect_failure("spoa.sleep(0/0)",
                   "error h.lua:3: bad argument #1 to 'sleep' (seconds must be 0 or more)", "");
    expect_failure("spoa.sleep(math.huge)",
                   "error h.lua:3: bad argument #1 to 'sleep' (seconds must be 0 or more)", "");
    expect_failure("spoa.sleep()",
                   "error h.lua:3: bad argument #1 to 'sleep' (number expected, got no value)", "");
    expect_failure("spoa.sleep('soon')",
                   "error h.lua:3: bad argument #1 to 'sleep' (number expected, got string)", "");
}
END_TEST

/* Who waits longer does not keep the others. */
START_TEST(many_wait_at_once)
{
    enum { MANY = 200 };
    static struct outcome outcomes[MANY], forever;
    struct stage stage;
    struct task *task;

    stage_open(&stage, "function f(args)\n"
                       "  spoa.sleep(args.s)\n"
                       "  spoa.sleep(0)\n"
                       "  return { ['txn.n'] = args.n }\n"
                       "end\n"
                       "function forever() spoa.sleep(1000) end");
    task = stage_start(&stage, &forever, "forever", NO_ARGS);
    for (int i = 0; i < MANY; i++)
        stage_start(&stage, &outcomes[i], "f", ARGS({"s", INT(0)}, {"n", INT(i)}));
    for (int i = 0; i < MANY; i++) {
        char expected[64];

        stage_wait(&stage, &outcomes[i]);
        snprintf(expected, sizeof expected, "ok set-var txn.n int64 %d", i);
        ck_assert_str_eq(stage_says(&stage, &outcomes[i]), expected);
    }
    ck_assert_uint_eq(forever.calls, 0);
    stage_cancel(&stage, task);
    stage_close(&stage);
}
END_TEST

START_TEST(deadline)
{
    struct stage stage;
    struct outcome outcome;

    stage_prepare(&stage, "_G.closed = 0\n"
                          "function ok() return { ['txn.ok'] = 1 } end\n"
                          "function f()\n"
                          "  local x <close> = setmetatable({}, { __close = function()\n"
                          "    _G.closed = _G.closed + 1\n"
                          "  end })\n"
                          "  while true do pcall(spoa.sleep, 1000) end\n"
                          "end\n"
                          "function busy() while true do spoa.sleep(0) end end");
    stage.options.limits = (struct script_limit[]){{.name = (char[]){"f"}, .timeout = 0.05},
                                                   {.name = (char[]){"busy"}, .timeout = 0.05}};
    stage.options.nlimits = 2;
    stage_begin(&stage);
    for (int i = 1; i <= 3; i++) {
        char expected[16];

        stage_run(&stage, &outcome, "f", NO_ARGS);
        ck_assert_str_eq(stage_says(&stage, &outcome),
                         "timeout h.lua:3: still waiting at its deadline");
        ck_assert_ptr_nonnull(strstr(outcome.text, "h.lua:7:"));
        snprintf(expected, sizeof expected, "%d", i);
        ck_assert_str_eq(stage_eval(&stage, "closed"), expected);
        /* It counts from the beginning, however often the handler is woken. */
        stage_run(&stage, &outcome, "busy", NO_ARGS);
        ck_assert_int_eq(outcome.result, TASK_TIMEOUT);
        stage_expect(&stage, "ok", NO_ARGS, "ok set-var txn.ok int64 1");
    }
    stage_close(&stage);
}
END_TEST

START_TEST(cancel)
{
    struct stage stage;
    struct outcome outcome;

    stage_open(&stage, "_G.closed = ''\n"
                       "function f()\n"
                       "  local x <close> = setmetatable({}, { __close = function(_, e)\n"
                       "    _G.closed = _G.closed .. 'x' .. tostring(e)\n"
                       "  end })\n"
                       "  pcall(function()\n"
                       "    local y <close> = setmetatable({}, { __close = function()\n"
                       "      _G.closed = _G.closed .. 'y'\n"
                       "    end })\n"
                       "    spoa.sleep(1000)\n"
                       "  end)\n"
                       "  _G.closed = _G.closed .. '(went on)'\n"
                       "end\n"
                       "function ok() return { ['txn.ok'] = 1 } end");
    for (int i = 0; i < 3; i++) {
        struct task *task = stage_start(&stage, &outcome, "f", NO_ARGS);

        ck_assert_ptr_nonnull(task);
        stage_cancel(&stage, task);
        ck_assert_uint_eq(outcome.calls, 0);
        ck_assert_uint_eq(stage.script->tasks.count, 0);
        stage_expect(&stage, "ok", NO_ARGS, "ok set-var txn.ok int64 1");
    }
    ck_assert_str_eq(stage_eval(&stage, "closed"), "yxnilyxnilyxnil");
    ck_assert_uint_eq(outcome.calls, 0);
    /* The loop has nothing left to do: neither a sleep nor a deadline. */
    ck_assert_int_eq(ev_run(stage.loop, EVRUN_NOWAIT), 0);
    stage_close(&stage);
}
END_TEST

/* ---- bounds ---- */

START_TEST(concurrency)
{
    struct stage stage;
    struct outcome waiting[3], outcome;
    struct task *tasks[3];

    stage_prepare(&stage, "function wait() spoa.sleep(1000) end\n"
                          "function ok() return { ['txn.ok'] = 1 } end");
    stage.options.concurrency = 3;
    stage_begin(&stage);
    for (int i = 0; i < 3; i++) {
        stage_expect(&stage, "ok", NO_ARGS, "ok set-var txn.ok int64 1");
        tasks[i] = stage_start(&stage, &waiting[i], "wait", NO_ARGS);
        ck_assert_ptr_nonnull(tasks[i]);
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_ptr_null(stage_start(&stage, &outcome, "ok", NO_ARGS));
        ck_assert_int_eq(outcome.result, TASK_BUSY);
        ck_assert_ptr_null(stage_start(&stage, &outcome, "wait", NO_ARGS));
        ck_assert_int_eq(outcome.result, TASK_BUSY);
    }
    stage_cancel(&stage, tasks[1]);
    stage_expect(&stage, "ok", NO_ARGS, "ok set-var txn.ok int64 1");
    tasks[1] = stage_start(&stage, &waiting[1], "wait", NO_ARGS);
    ck_assert_ptr_nonnull(tasks[1]);
    stage_run(&stage, &outcome, "ok", NO_ARGS);
    ck_assert_int_eq(outcome.result, TASK_BUSY);
    for (int i = 0; i < 3; i++)
        stage_cancel(&stage, tasks[i]);
    stage_close(&stage);
}
END_TEST

START_TEST(concurrency_of_one_handler)
{
    struct stage stage;
    struct outcome waiting, outcome;
    struct task *task;

    stage_prepare(&stage, "function few(args)\n"
                          "  if args.fail then error('oops') end\n"
                          "  spoa.sleep(1000)\n"
                          "end\n"
                          "function ok() return { ['txn.ok'] = 1 } end");
    stage.options.limits = (struct script_limit[]){{.name = (char[]){"few"}, .concurrency = 1}};
    stage.options.nlimits = 1;
    stage_begin(&stage);
    for (int i = 0; i < 3; i++) {
        stage_run(&stage, &outcome, "few", ARGS({"fail", value_bool(true)}));
        ck_assert_int_eq(outcome.result, TASK_ERROR);
        task = stage_start(&stage, &waiting, "few", NO_ARGS);
        ck_assert_ptr_nonnull(task);
        stage_run(&stage, &outcome, "few", NO_ARGS);
        ck_assert_int_eq(outcome.result, TASK_BUSY);
        stage_expect(&stage, "ok", NO_ARGS, "ok set-var txn.ok int64 1");
        stage_cancel(&stage, task);
    }
    stage_close(&stage);
}
END_TEST

/* ---- the context ---- */

START_TEST(context)
{
    struct stage stage;

    stage_open(&stage, "function f(args, ctx)\n"
                       "  local left = ctx.remaining()\n"
                       "  local n = 0\n"
                       "  for _ in pairs(ctx) do n = n + 1 end\n"
                       "  return { txn = { m = ctx.message, s = ctx.stream_id, f = ctx.frame_id,\n"
                       "    e = ctx.engine_id, p = ctx.peer, fields = n,\n"
                       "    left = left > 500 and left <= 600 } }\n"
                       "end\n"
                       "function all(...) return { ['txn.n'] = select('#', ...) } end\n"
                       "function one(args) return { ['txn.a'] = args.a } end\n");
    stage_expect(&stage, "f", NO_ARGS,
                 "ok set-var txn.e str engine; set-var txn.f int64 9; set-var txn.fields int64 6; "
                 "set-var txn.left bool true; set-var txn.m str f; "
                 "set-var txn.p str 127.0.0.1:4321; set-var txn.s int64 7");
    /* 64 bits, like a uint64 argument. */
    stage.context.subject.stream_id = UINT64_MAX;
    stage.context.subject.frame_id = INT64_MAX;
    stage.context.subject.engine_id = "";
    stage_expect(&stage, "f", NO_ARGS,
                 "ok set-var txn.e str ; set-var txn.f int64 9223372036854775807; "
                 "set-var txn.fields int64 6; set-var txn.left bool true; set-var txn.m str f; "
                 "set-var txn.p str 127.0.0.1:4321; set-var txn.s int64 -1");
    stage_expect(&stage, "all", NO_ARGS, "ok set-var txn.n int64 2");
    stage_expect(&stage, "one", ARGS({"a", INT(1)}), "ok set-var txn.a int64 1");
    stage_close(&stage);
}
END_TEST

START_TEST(context_kept_for_longer_than_the_task)
{
    struct stage stage;
    char *peer = strdup("[::1]:9"), *engine = strdup("an engine");

    stage_prepare(&stage,
                  "local kept\n"
                  "function keep(args, ctx) kept = ctx end\n"
                  "function look()\n"
                  "  collectgarbage()\n"
                  "  local left = kept.remaining()\n"
                  "  return { txn = { m = kept.message, p = kept.peer, e = kept.engine_id,\n"
                  "    left = left >= 0 and left < 600, s = kept.stream_id } }\n"
                  "end\n"
                  "function over() spoa.sleep(0.06) return { ['txn.left'] =\n"
                  "  kept.remaining() } end");
    stage.options.limits = (struct script_limit[]){{.name = (char[]){"keep"}, .timeout = 0.05}};
    stage.options.nlimits = 1;
    stage_begin(&stage);
    stage.context.subject.peer = peer;
    stage.context.subject.engine_id = engine;
    stage_expect(&stage, "keep", NO_ARGS, "ok");
    free(peer);
    free(engine);
    stage.context = (struct invoke_context){.subject = {.peer = "another", .engine_id = ""}};
    stage_expect(&stage, "look", NO_ARGS,
                 "ok set-var txn.e str an engine; set-var txn.left bool true; "
                 "set-var txn.m str keep; set-var txn.p str [::1]:9; set-var txn.s int64 7");
    stage_expect(&stage, "over", NO_ARGS, "ok set-var txn.left int64 0");
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("task", names_of_results, returns, errors, error_values, error_with_bytes,
          an_error_closes, exit_is_guarded, sleeps, sleeps_at_least_so_long,
          sleeps_so_long_after_computing_too, sleeps_under_pcall_and_in_metamethods,
          sleeps_of_no_length, many_wait_at_once, deadline, cancel, concurrency,
          concurrency_of_one_handler, context, context_kept_for_longer_than_the_task)
