/*
 * Out of memory: every allocation that Lua makes for a task, and while scripts are loaded,
 * fails once.  Whatever happens, the task ends once, and the next one is served.
 */
#include "faulty.h"

/* ---- a task ---- */

static const char handlers[] =
    "local function closing()\n"
    "  return setmetatable({}, { __close = function() return ('x'):rep(50) .. 'y' end })\n"
    "end\n"
    "function work(args, ctx)\n"
    "  local a <close> = closing()\n"
    "  local parts = { args.name, #args, tostring(args.ip), ctx.message, ctx.engine_id }\n"
    "  spoa.sleep(0)\n"
    "  for i = 1, 40 do parts[#parts + 1] = ('part %d of %s'):format(i, args.name) end\n"
    "  local each = coroutine.wrap(function()\n"
    "    local b <close> = closing()\n"
    "    for i = 1, 3 do spoa.sleep(0) coroutine.yield({ i }) end\n"
    "  end)\n"
    "  for one in each do parts[#parts + 1] = tostring(one[1]) end\n"
    "  return { ['txn.len'] = #table.concat(parts, ','), txn = { ip = spoa.ipv4(args.ip) },\n"
    "           ['sess.name'] = args.name .. '!', ['req.gone'] = spoa.unset }\n"
    "end\n"
    "function fails(args)\n"
    "  local a <close> = closing()\n"
    "  spoa.sleep(0)\n"
    "  error(setmetatable({}, { __tostring = function() return 'for ' .. args.name end }))\n"
    "end\n"
    "function bad_result(args)\n"
    "  return { ['txn.' .. args.name] = {} }\n"
    "end\n"
    "function late(args)\n"
    "  local a <close> = closing()\n"
    "  coroutine.wrap(function() local b <close> = closing() spoa.sleep(1000) end)()\n"
    "end\n"
    "function waits(args)\n"
    "  local a <close> = closing()\n"
    "  coroutine.wrap(function() local b <close> = closing() spoa.sleep(1000) end)()\n"
    "end\n"
    "function refused(args)\n"
    "  table.sort({ 3, 2, 1 }, coroutine.wrap(function() spoa.sleep(1) end))\n"
    "end\n"
    "function yields(args)\n"
    "  local a <close> = closing()\n"
    "  coroutine.yield()\n"
    "end\n"
    "local function pause(n) local a <close> = closing() spoa.sleep(0) return n, 'x' end\n"
    "function family(args)\n"
    "  local a <close> = closing()\n"
    "  local first = spoa.spawn(pause, 1)\n"
    "  local other = spoa.spawn(function() local b <close> = closing() spoa.sleep(1000) end)\n"
    "  local two, three = spoa.all(function() return pause(2) end, function() return 3 end)\n"
    "  local one = first:wait()\n"
    "  other:cancel()\n"
    "  spoa.after(function() spoa.sleep(0) end)\n"
    "  return { txn = { sum = one + two + three } }\n"
    "end\n"
    "function orphans(args)\n"
    "  spoa.all(function() pause() error('one of them') end,\n"
    "    function() spoa.spawn(spoa.sleep, 1000):wait() end)\n"
    "end\n"
    "function fine(args) return { ['txn.fine'] = args.name } end\n";

static const uint8_t address[] = {192, 0, 2, 1};

static void run(struct stage *stage, struct outcome *outcome, const char *name)
{
    const struct value ip = value_bytes(VALUE_IPV4, (struct span){(const char *)address, 4});

    stage_run(stage, outcome, name,
              ARGS({"name", STR("a name of more than forty bytes, a long one")}, {"ip", ip},
                   {"", value_null()}));
}

/* Whether the handler may end like this when all is well. */
struct ending {
    const char *name;
    enum task_result result;
};

static void check_faults(const struct ending *ending, bool on)
{
    struct stage stage;
    struct outcome outcome;
    struct faulty faulty = {0};
    unsigned long n = 0;
    char expected[STAGE_TEXT];

    log_set_level(
        (enum log_level)(LEVEL_ERR - 1)); /* of children and what runs in the background */
    stage_prepare(&stage, handlers);
    stage.options.limits = (struct script_limit[]){{.name = (char[]){"late"}, .timeout = 0.002}};
    stage.options.nlimits = 1;
    stage_begin(&stage);
    run(&stage, &outcome, ending->name);
    ck_assert_int_eq(outcome.result, ending->result);
    snprintf(expected, sizeof expected, "%s", stage_says(&stage, &outcome));
    while (stage.script->tasks.count)
        stage_turn(&stage);

    faulty.alloc = lua_getallocf(stage.script->lua, &faulty.heap);
    lua_setallocf(stage.script->lua, faulty_alloc, &faulty);
    do {
        /* As in a script's first message: nothing is kept from the one before. */
        if (n % 2)
            coroutine_pool_clear(stage.script);
        faulty_from(&faulty, ++n, on);
        run(&stage, &outcome, ending->name);
        ck_assert_msg(outcome.result == TASK_MEMORY || outcome.result == TASK_ERROR ||
                          outcome.result == ending->result,
                      "%s, allocation %lu: %s", ending->name, n, stage_says(&stage, &outcome));
        if (outcome.result == TASK_OK)
            ck_assert_str_eq(stage_says(&stage, &outcome), expected);
        if (on && faulty_reached(&faulty) && ending->result == TASK_OK)
            ck_assert_msg(outcome.result == TASK_MEMORY || outcome.result == TASK_OK,
                          "%s, from allocation %lu on: %s", ending->name, n,
                          stage_says(&stage, &outcome));

        bool reached = faulty_reached(&faulty);

        /* What is left of spoa.after has its own end. */
        while (stage.script->tasks.count)
            stage_turn(&stage);
        faulty_from(&faulty, 0, false);
        run(&stage, &outcome, "fine");
        ck_assert_int_eq(outcome.result, TASK_OK);
        if (!reached)
            break;
        ck_assert_uint_lt(n, 5000);
    } while (true);
    ck_assert_uint_gt(n, 3);

    lua_setallocf(stage.script->lua, faulty.alloc, faulty.heap);
    run(&stage, &outcome, ending->name);
    while (stage.script->tasks.count)
        stage_turn(&stage);
    ck_assert_int_eq(outcome.result, ending->result);
    if (outcome.result == TASK_OK)
        ck_assert_str_eq(stage_says(&stage, &outcome), expected);
    stage_close(&stage);
}

#define FAULTS(name, result)                                                                       \
    START_TEST(name##_once)                                                                        \
    {                                                                                              \
        check_faults(&(const struct ending){#name, result}, false);                                \
    }                                                                                              \
    END_TEST                                                                                       \
    START_TEST(name##_from_there_on)                                                               \
    {                                                                                              \
        check_faults(&(const struct ending){#name, result}, true);                                 \
    }                                                                                              \
    END_TEST

FAULTS(work, TASK_OK)
FAULTS(fails, TASK_ERROR)
FAULTS(bad_result, TASK_ERROR)
FAULTS(late, TASK_TIMEOUT)
FAULTS(refused, TASK_ERROR)
FAULTS(yields, TASK_ERROR)
FAULTS(family, TASK_OK)
FAULTS(orphans, TASK_ERROR)

/* Cancelled while it waits and there is no memory at all. */
START_TEST(cancel_without_memory)
{
    struct stage stage;
    struct outcome outcome;
    struct faulty faulty = {0};

    stage_open(&stage, handlers);
    faulty.alloc = lua_getallocf(stage.script->lua, &faulty.heap);
    lua_setallocf(stage.script->lua, faulty_alloc, &faulty);
    for (int i = 0; i < 3; i++) {
        struct task *task = stage_start(&stage, &outcome, "waits", NO_ARGS);

        ck_assert_ptr_nonnull(task);
        faulty_from(&faulty, 1, true);
        stage_cancel(&stage, task);
        ck_assert_uint_eq(outcome.calls, 0);
        faulty_from(&faulty, 0, false);
        run(&stage, &outcome, "fine");
        ck_assert_int_eq(outcome.result, TASK_OK);
    }
    lua_setallocf(stage.script->lua, faulty.alloc, faulty.heap);
    stage_close(&stage);
}
END_TEST

/* ---- loading ---- */

static const char first_script[] = "local t = {}\n"
                                   "for i = 1, 20 do t[i] = ('entry %d'):format(i) end\n"
                                   "function one(args) return { ['txn.n'] = #t } end\n"
                                   "function two(args, ctx) end\n";

/* Loads with the n-th allocation failing (none for 0); how many were asked for. */
static unsigned long load_faulty(struct stage *stage, unsigned long n, bool on)
{
    struct faulty faulty = {0};
    unsigned long asked;

    faulty_from(&faulty, n, on);
    loading = &faulty;
    stage_load_again(stage);
    loading = NULL;
    asked = faulty.asked;
    ck_assert((stage->script != NULL) == (stage->nfaults == 0));
    if (stage->script) {
        faulty_from(&faulty, 0, false);
        stage_expect(stage, "one", NO_ARGS, "ok set-var txn.n int64 20");
        lua_setallocf(stage->script->lua, faulty.alloc, faulty.heap);
        script_retire(stage->script, NULL);
        stage->script = NULL;
    }
    return asked;
}

static void check_loading(const char *second, bool on)
{
    unsigned long total;
    struct stage stage;

    stage_init(&stage);
    ck_assert(budget_open(wait_expired));
    stage_script(&stage, "first.lua", first_script);
    stage_script(&stage, "second.lua", second);
    total = load_faulty(&stage, 0, false);
    ck_assert_uint_gt(total, 300);
    for (unsigned long n = 1; n <= total; n++)
        load_faulty(&stage, n, on);
    stage_forget_files(&stage);
    stage_close(&stage);
}

static const char good_script[] = "spoa.at_start(function() _G.started = true end)\n"
                                  "spoa.sleep(0)\n"
                                  "spoa.every(1000, print)\n"
                                  "local names = require 'string'\n"
                                  "function three() return names end\n";
static const char wrong_script[] = "local t = setmetatable({}, { __tostring = function()\n"
                                   "  return 'made ' .. 'here'\n"
                                   "end })\n"
                                   "error(t)\n";

START_TEST(loading_once)
{
    check_loading(good_script, false);
}
END_TEST

START_TEST(loading_from_there_on)
{
    check_loading(good_script, true);
}
END_TEST

START_TEST(loading_a_wrong_script_from_there_on)
{
    check_loading(wrong_script, true);
}
END_TEST

/* handler-memory so small that not even Lua, or not the scripts, fit: an answer at any size. */
START_TEST(loading_into_any_limit)
{
    size_t limit = 0;
    struct stage stage;
    bool loaded;

    stage_init(&stage);
    ck_assert(budget_open(wait_expired));
    stage_script(&stage, "first.lua", first_script);
    stage_script(&stage, "second.lua", good_script);
    do {
        stage.options.memory = limit;
        loaded = stage_load_again(&stage) != NULL;
        ck_assert(loaded == (stage.nfaults == 0));
        limit += 48;
        ck_assert_uint_lt(limit, 1u << 20);
    } while (!loaded);
    ck_assert_uint_gt(limit, 8192);
    stage_forget_files(&stage);
    stage_close(&stage);
}
END_TEST

/* ---- a bomb ---- */

static void check_bomb(const char *source)
{
    struct stage stage;
    struct outcome outcome;
    char *all;

    ck_assert_int_gt(asprintf(&all, "function ok() return { ['txn.ok'] = 1 } end\n%s", source), 0);
    stage_init(&stage);
    stage.options.memory = 1u << 20;
    stage.options.cpu = 60;
    ck_assert(budget_open(wait_expired));
    stage_script(&stage, "h.lua", all);
    free(all);
    ck_assert_msg(stage_load(&stage) != NULL, "%s", stage.faults);
    for (int i = 0; i < 3; i++) {
        stage_run(&stage, &outcome, "bomb", NO_ARGS);
        ck_assert_msg(outcome.result == TASK_MEMORY, "run %d: %s", i + 1,
                      stage_says(&stage, &outcome));
        stage_expect(&stage, "ok", NO_ARGS, "ok set-var txn.ok int64 1");
        ck_assert_uint_le(stage.script->heap.used, 1u << 20);
    }
    stage_close(&stage);
}

START_TEST(bomb_of_tables)
{
    check_bomb("function bomb() local t = {} while true do t = { t } end end");
}
END_TEST

START_TEST(bomb_of_one_string)
{
    check_bomb("function bomb() local s = 'x' while true do s = s .. s end end");
}
END_TEST

START_TEST(bomb_of_rep)
{
    check_bomb("function bomb() return { ['txn.x'] = ('x'):rep(1 << 30) } end");
}
END_TEST

START_TEST(bomb_after_a_wait)
{
    check_bomb("function bomb()\n"
               "  local t = {}\n"
               "  spoa.sleep(0)\n"
               "  while true do t[#t + 1] = #t end\n"
               "end");
}
END_TEST

START_TEST(bomb_in_wrap)
{
    check_bomb("function bomb()\n"
               "  coroutine.wrap(function() local t = {} while true do t = { t } end end)()\n"
               "end");
}
END_TEST

/* What a handler itself catches is its own. */
START_TEST(bomb_that_is_caught)
{
    struct stage stage;

    stage_open(&stage, "function caught()\n"
                       "  local good, why = pcall(string.rep, 'x', 1 << 29)\n"
                       "  return { txn = { good = good, why = why } }\n"
                       "end");
    for (int i = 0; i < 3; i++)
        stage_expect(&stage, "caught", NO_ARGS,
                     "ok set-var txn.good bool false; set-var txn.why str not enough memory");
    stage_close(&stage);
}
END_TEST

/* Others that wait keep what they have. */
START_TEST(bomb_beside_a_handler_that_waits)
{
    struct stage stage;
    struct outcome waiting, outcome;

    stage_init(&stage);
    stage.options.memory = 1u << 20;
    stage.options.cpu = 60;
    ck_assert(budget_open(wait_expired));
    stage_script(&stage, "h.lua",
                 "function wait()\n"
                 "  local t = { ('x'):rep(1000) }\n"
                 "  spoa.sleep(0)\n"
                 "  return { ['txn.n'] = #t[1] }\n"
                 "end\n"
                 "function bomb() local t = {} while true do t[#t + 1] = {} end end\n");
    ck_assert_msg(stage_load(&stage) != NULL, "%s", stage.faults);
    ck_assert_ptr_nonnull(stage_start(&stage, &waiting, "wait", NO_ARGS));
    stage_run(&stage, &outcome, "bomb", NO_ARGS);
    ck_assert_int_eq(outcome.result, TASK_MEMORY);
    stage_wait(&stage, &waiting);
    ck_assert_str_eq(stage_says(&stage, &waiting), "ok set-var txn.n int64 1000");
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("memory", work_once, work_from_there_on, fails_once, fails_from_there_on, bad_result_once,
          bad_result_from_there_on, late_once, late_from_there_on, refused_once,
          refused_from_there_on, yields_once, yields_from_there_on, family_once,
          family_from_there_on, orphans_once, orphans_from_there_on, cancel_without_memory,
          loading_once, loading_from_there_on, loading_a_wrong_script_from_there_on,
          loading_into_any_limit, bomb_of_tables, bomb_of_one_string, bomb_of_rep,
          bomb_after_a_wait, bomb_in_wrap, bomb_that_is_caught, bomb_beside_a_handler_that_waits)
