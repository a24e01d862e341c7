/*
 * Handlers that do anything in any order: spawn, wait for, cancel and forget tasks, each
 * other's too, sleep, fail, make coroutines that wait, while the test cancels whole messages
 * and deadlines pass.  Nothing may be left of them; AddressSanitizer sees the rest.
 */
#include "stage.h"

static const char handlers[] =
    "local shared, coroutines = {}, {}\n"
    "local act\n"
    "local function closing()\n"
    "  return setmetatable({}, { __close = function()\n"
    "    local what = math.random(6)\n"
    "    if what == 1 then error('in close') end\n"
    "    if what == 2 then spoa.sleep(0) end\n"
    "    if what == 3 and #shared > 0 then shared[math.random(#shared)]:cancel() end\n"
    "    if what == 4 then spoa.spawn(act, 3) end\n"
    "    if what == 5 then coroutine.yield() end\n"
    "  end })\n"
    "end\n"
    "local acts = {\n"
    "  function() spoa.sleep(0) end,\n"
    "  function() spoa.sleep(0.001) end,\n"
    "  function(depth) shared[math.random(20)] = spoa.spawn(act, depth + 1) end,\n"
    "  function(depth) return spoa.spawn(act, depth + 1):wait() end,\n"
    "  function() if #shared > 0 then return shared[math.random(#shared)]:wait() end end,\n"
    "  function() if #shared > 0 then shared[math.random(#shared)]:cancel() end end,\n"
    "  function() if #shared > 0 then table.remove(shared) end end,\n"
    "  function() if math.random(4) == 1 then error('on purpose') end end,\n"
    "  function(depth) coroutine.wrap(act)(depth + 1) end,\n"
    "  function(depth)\n"
    "    local co = coroutine.create(function()\n"
    "      local x <close> = closing()\n"
    "      act(depth + 1)\n"
    "      coroutine.yield()\n"
    "      act(depth + 1)\n"
    "    end)\n"
    "    coroutines[math.random(10)] = co\n"
    "    coroutine.resume(co)\n"
    "  end,\n"
    "  function() local co = coroutines[math.random(10)] if co then coroutine.resume(co) end end,\n"
    "  function() local co = coroutines[math.random(10)] if co then coroutine.close(co) end end,\n"
    "  function(depth)\n"
    "    return spoa.all(function() act(depth + 1) end, function() act(depth + 1) end)\n"
    "  end,\n"
    "  function(depth) table.sort({ 3, 2, 1 }, function() act(depth + 1) return false end) end,\n"
    "  function(depth) spoa.after(function() act(depth + 1) end) end,\n"
    "  function() collectgarbage(math.random(2) == 1 and 'collect' or 'step') end,\n"
    "}\n"
    "function act(depth)\n"
    "  local x <close> = closing()\n"
    "  if depth > 4 then return end\n"
    "  for i = 1, math.random(4) do\n"
    "    local f = acts[math.random(#acts)]\n"
    "    if math.random(3) == 1 then f(depth) else pcall(f, depth) end\n"
    "  end\n"
    "end\n"
    "function f(args)\n"
    "  math.randomseed(args.seed)\n"
    "  act(1)\n"
    "  return { ['txn.seed'] = args.seed }\n"
    "end\n"
    "function forget() shared, coroutines = {}, {} end\n";

/* Every message's reply is its own or an error. */
static void check_done(const struct outcome *outcome, int seed)
{
    char expected[64];

    if (outcome->calls == 0)
        return;
    ck_assert_uint_eq(outcome->calls, 1);
    snprintf(expected, sizeof expected, "set-var txn.seed int64 %d", seed);
    if (outcome->result == TASK_OK)
        ck_assert_str_eq(outcome->actions, expected);
}

static void check_seeds(int from, int to, double timeout)
{
    enum { AT_ONCE = 12 };
    static struct outcome outcomes[AT_ONCE];
    struct task *tasks[AT_ONCE];
    struct stage stage;
    size_t used;

    log_set_level((enum log_level)(LEVEL_ERR - 1));
    srand((unsigned)from);
    stage_prepare(&stage, handlers);
    stage.options.timeout = timeout;
    stage.options.background_timeout = timeout;
    stage.options.concurrency = 300;
    stage.options.cpu = 5;
    stage_begin(&stage);
    for (int seed = from; seed < to; seed += AT_ONCE) {
        for (int i = 0; i < AT_ONCE; i++)
            tasks[i] = stage_start(&stage, &outcomes[i], "f", ARGS({"seed", INT(seed + i)}));
        for (int turn = rand() % 6; turn > 0; turn--)
            ev_run(stage.loop, EVRUN_NOWAIT);
        for (int i = 0; i < AT_ONCE; i++) {
            if (tasks[i] && outcomes[i].calls == 0 && rand() % 2) {
                stage_cancel(&stage, tasks[i]);
                ck_assert_uint_eq(outcomes[i].calls, 0);
            }
        }
        while (stage.script->holds > 0)
            stage_turn(&stage);
        for (int i = 0; i < AT_ONCE; i++)
            check_done(&outcomes[i], seed + i);
    }
    stage_expect(&stage, "forget", NO_ARGS, "ok");
    lua_gc(stage.script->lua, LUA_GCCOLLECT);
    lua_gc(stage.script->lua, LUA_GCCOLLECT);
    used = stage.script->heap.used;
    ck_assert_msg(used < (2u << 20), "%zu bytes are still in use", used);
    stage_close(&stage);
}

START_TEST(short_deadlines)
{
    check_seeds(1, 600, 0.01);
}
END_TEST

START_TEST(long_deadlines)
{
    check_seeds(1000, 1600, 0.2);
}
END_TEST

/* The same with the script stopped at any moment. */
START_TEST(stopped_at_any_moment)
{
    log_set_level((enum log_level)(LEVEL_ERR - 1));
    for (int seed = 1; seed < 60; seed++) {
        enum { AT_ONCE = 8 };
        static struct outcome outcomes[AT_ONCE];
        struct stage stage;

        stage_prepare(&stage, handlers);
        stage.options.cpu = 5;
        stage_begin(&stage);
        for (int i = 0; i < AT_ONCE; i++)
            stage_start(&stage, &outcomes[i], "f", ARGS({"seed", INT(seed * AT_ONCE + i)}));
        for (int turn = seed % 5; turn > 0; turn--)
            ev_run(stage.loop, EVRUN_NOWAIT);
        script_stop(stage.script);
        stage.script = NULL;
        ck_assert_int_eq(ev_run(stage.loop, EVRUN_NOWAIT), 0);
        stage_close(&stage);
    }
}
END_TEST

UNIT_MAIN("stress", short_deadlines, long_deadlines, stopped_at_any_moment)
