/* Coroutines that handlers make themselves: api_coroutine.c. */
#include <lualib.h>

#include "stage.h"

/* What Lua's own functions do must not have changed: everything that is no wait. */
static const char plain[] =
    "local log\n"
    "local function say(...)\n"
    "  local t = table.pack(...)\n"
    "  for i = 1, t.n do t[i] = tostring(t[i]):gsub('0x%x+', 'X') end\n"
    "  log[#log + 1] = table.concat(t, ' ')\n"
    "end\n"
    "local co = coroutine\n"
    "local tests = {}\n"
    "function tests.values()\n"
    "  local c = co.create(function(...)\n"
    "    say(...)\n"
    "    say(co.yield(1, nil, 3))\n"
    "    return 'end', nil\n"
    "  end)\n"
    "  say(co.resume(c, 'a', nil, 'b')) say(co.status(c))\n"
    "  say(co.resume(c, 'x')) say(co.status(c))\n"
    "  say(co.resume(c))\n"
    "end\n"
    "function tests.wrapped()\n"
    "  local w = co.wrap(function(a) local b = co.yield(a + 1) return b + 1 end)\n"
    "  say(w(1), w(10))\n"
    "  say(pcall(w))\n"
    "end\n"
    "function tests.raised()\n"
    "  say(co.resume(co.create(function() error('oops', 0) end)))\n"
    "  say(co.resume(co.create(function() error({}) end)))\n"
    "  say(pcall(co.wrap(function() error('oops') end)))\n"
    "  local t = {}\n"
    "  say(select(2, pcall(co.wrap(function() error(t) end))) == t)\n"
    "end\n"
    "function tests.raise_closes()\n"
    "  local w = co.wrap(function()\n"
    "    local x <close> = setmetatable({}, { __close = function(_, e) say('closed', e) end })\n"
    "    error('oops', 0)\n"
    "  end)\n"
    "  say(pcall(w))\n"
    "end\n"
    "function tests.states()\n"
    "  local c\n"
    "  c = co.create(function()\n"
    "    say(co.status(c), co.isyieldable(), select(2, co.running()))\n"
    "    say(co.resume(c))\n"
    "    local d = co.create(function() say(co.status(c), co.resume(c)) end)\n"
    "    co.resume(d)\n"
    "  end)\n"
    "  say(co.resume(c)) say(co.status(c))\n"
    "end\n"
    "function tests.closed()\n"
    "  local c = co.create(function()\n"
    "    local x <close> = setmetatable({}, { __close = function() say('closed') end })\n"
    "    co.yield()\n"
    "  end)\n"
    "  co.resume(c)\n"
    "  say(co.close(c)) say(co.status(c)) say(co.resume(c)) say(co.close(c))\n"
    "end\n"
    "function tests.closed_badly()\n"
    "  local c = co.create(function()\n"
    "    local x <close> = setmetatable({}, { __close = function() error('late', 0) end })\n"
    "    co.yield()\n"
    "  end)\n"
    "  co.resume(c)\n"
    "  say(co.close(c)) say(co.resume(c))\n"
    "end\n"
    "function tests.arguments()\n"
    "  local function refused(f, ...)\n" /* 5.4.4 says thread, later ones coroutine */
    "    local good, why = pcall(f, ...)\n"
    "    say(good, (why:gsub('thread', 'coroutine')))\n"
    "  end\n"
    "  refused(co.resume) refused(co.resume, 5) refused(co.wrap, 5)\n"
    "  refused(co.close) refused(co.close, {})\n"
    "end\n"
    "function tests.many()\n"
    "  local t = table.pack(co.resume(co.create(function(...) return ... end),\n"
    "    table.unpack({}, 1, 5000)))\n"
    "  say(t.n)\n"
    "end\n"
    "function tests.too_many()\n"
    "  local c = co.create(function(...) return select('#', ...) end)\n"
    "  local packed = setmetatable({}, { __index = function() return 1 end })\n"
    "  say(pcall(function() return co.resume(c, table.unpack(packed, 1, 990000)) end))\n"
    "end\n"
    "function tests.deep()\n"
    "  local function nest(n)\n"
    "    if n == 0 then return 'bottom' end\n"
    "    return co.wrap(nest)(n - 1)\n"
    "  end\n"
    "  say(nest(100))\n"
    "  say(pcall(nest, 1000) == false)\n"
    "end\n"
    "local function all()\n"
    "  log = {}\n"
    "  local names = {}\n"
    "  for name in pairs(tests) do names[#names + 1] = name end\n"
    "  table.sort(names)\n"
    "  for _, name in ipairs(names) do say('-- ' .. name) tests[name]() end\n"
    "  return table.concat(log, '\\n')\n"
    "end\n";

/* The same text through Lua's functions and through ours. */
START_TEST(what_does_not_wait_is_as_in_lua)
{
    lua_State *lua = luaL_newstate();
    struct stage stage;
    struct outcome outcome;
    char *source;

    luaL_openlibs(lua);
    ck_assert_int_gt(asprintf(&source, "%s return all()", plain), 0);
    ck_assert_int_eq(luaL_loadbuffer(lua, source, strlen(source), "@h.lua"), LUA_OK);
    ck_assert_msg(lua_pcall(lua, 0, 1, 0) == LUA_OK, "%s", lua_tostring(lua, -1));
    free(source);

    ck_assert_int_gt(asprintf(&source, "%s function run() _G.log = all() end", plain), 0);
    stage_init(&stage);
    stage.options.cpu = 10;
    stage.options.memory = 512u << 20;
    stage_script(&stage, "h.lua", source);
    ck_assert(budget_open(wait_expired));
    ck_assert_msg(stage_load(&stage) != NULL, "%s", stage.faults);
    free(source);
    stage_run(&stage, &outcome, "run", NO_ARGS);
    ck_assert_msg(outcome.result == TASK_OK, "%s", outcome.text);
    lua_getglobal(stage.script->lua, "log");
    stage_text(&stage, outcome.text, lua_tostring(stage.script->lua, -1));
    ck_assert_str_eq(outcome.text, lua_tostring(lua, -1));
    lua_pop(stage.script->lua, 1);
    stage_close(&stage);
    lua_close(lua);
}
END_TEST

START_TEST(iterators_may_wait)
{
    struct stage stage;

    stage_open(&stage, "local function count(n)\n"
                       "  return coroutine.wrap(function()\n"
                       "    for i = 1, n do spoa.sleep(0) coroutine.yield(i) end\n"
                       "  end)\n"
                       "end\n"
                       "function sum()\n"
                       "  local total = 0\n"
                       "  for i in count(10) do\n"
                       "    for j in count(i) do total = total + j end\n"
                       "  end\n"
                       "  return { ['txn.total'] = total }\n"
                       "end");
    stage_expect(&stage, "sum", NO_ARGS, "ok set-var txn.total int64 220");
    stage_close(&stage);
}
END_TEST

START_TEST(resume_waits_inside_and_gives_its_values)
{
    struct stage stage;

    stage_open(&stage, "function f()\n"
                       "  local c = coroutine.create(function(a, b)\n"
                       "    spoa.sleep(0)\n"
                       "    local d = coroutine.yield(a + b)\n"
                       "    spoa.sleep(0)\n"
                       "    error('with ' .. d, 0)\n"
                       "  end)\n"
                       "  local r1, sum = coroutine.resume(c, 2, 3)\n"
                       "  local r2, text = coroutine.resume(c, 'seven')\n"
                       "  return { txn = { r1 = r1, sum = sum, r2 = r2, text = text } }\n"
                       "end");
    stage_expect(&stage, "f", NO_ARGS,
                 "ok set-var txn.r1 bool true; set-var txn.r2 bool false; "
                 "set-var txn.sum int64 5; set-var txn.text str with seven");
    stage_close(&stage);
}
END_TEST

START_TEST(waits_through_many_layers)
{
    struct stage stage;

    stage_open(&stage, "local function nest(n)\n"
                       "  if n == 0 then\n"
                       "    spoa.sleep(0) spoa.sleep(0)\n"
                       "    return 1\n"
                       "  end\n"
                       "  if n % 2 == 0 then return 1 + coroutine.wrap(nest)(n - 1) end\n"
                       "  local good, all, deeper = pcall(coroutine.resume,\n"
                       "    coroutine.create(nest), n - 1)\n"
                       "  return 1 + deeper\n"
                       "end\n"
                       "function f() return { ['txn.n'] = nest(40) } end");
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.n int64 41");
    stage_close(&stage);
}
END_TEST

/* Cancelled, or over its deadline: <close> runs from the innermost coroutine outwards. */
static const char layered[] =
    "closed = ''\n"
    "_G.closed = ''\n"
    "local function closing(name)\n"
    "  return setmetatable({}, { __close = function() _G.closed = _G.closed .. name end })\n"
    "end\n"
    "function f()\n"
    "  local a <close> = closing 'a'\n"
    "  local b <close> = closing 'b'\n"
    "  coroutine.wrap(function()\n"
    "    local c <close> = closing 'c'\n"
    "    coroutine.resume(coroutine.create(function()\n"
    "      local d <close> = closing 'd'\n"
    "      spoa.sleep(1000)\n"
    "    end))\n"
    "  end)()\n"
    "end\n";

START_TEST(cancel_closes_from_the_inside)
{
    struct stage stage;
    struct outcome outcome;
    struct task *task;

    stage_open(&stage, layered);
    task = stage_start(&stage, &outcome, "f", NO_ARGS);
    ck_assert_ptr_nonnull(task);
    stage_cancel(&stage, task);
    ck_assert_uint_eq(outcome.calls, 0);
    ck_assert_str_eq(stage_eval(&stage, "closed"), "dcba");
    stage_close(&stage);
}
END_TEST

START_TEST(deadline_closes_from_the_inside)
{
    struct stage stage;
    struct outcome outcome;

    stage_prepare(&stage, layered);
    stage.options.timeout = 0.05;
    stage_begin(&stage);
    stage_run(&stage, &outcome, "f", NO_ARGS);
    ck_assert_int_eq(outcome.result, TASK_TIMEOUT);
    ck_assert_str_eq(stage_eval(&stage, "closed"), "dcba");
    /* The traceback is that of the coroutine that waits. */
    ck_assert_msg(strstr(outcome.text, "h.lua:13:") != NULL, "%s", outcome.text);
    stage_close(&stage);
}
END_TEST

/* A coroutine that waits is the scheduler's: no other handler may touch it. */
START_TEST(waiting_coroutine_is_nobody_elses)
{
    struct stage stage;
    struct outcome waiting, outcome;

    stage_open(&stage,
               "local co, outer\n"
               "function wait()\n"
               "  outer = coroutine.running()\n"
               "  co = coroutine.create(function() spoa.sleep(0.001) return 'woken' end)\n"
               "  local good, what = coroutine.resume(co)\n"
               "  return { ['txn.what'] = what }\n"
               "end\n"
               "function meddle()\n"
               "  local r1, e1 = coroutine.resume(co)\n"
               "  local r2, e2 = pcall(coroutine.close, co)\n"
               "  local r3, e3 = coroutine.resume(outer)\n"
               "  local r4, e4 = pcall(coroutine.close, outer)\n"
               "  return { txn = { r1 = r1, r2 = r2, r3 = r3, r4 = r4, e1 = e1, e2 = e2 } }\n"
               "end");
    ck_assert_ptr_nonnull(stage_start(&stage, &waiting, "wait", NO_ARGS));
    stage_run(&stage, &outcome, "meddle", NO_ARGS);
    ck_assert_str_eq(
        stage_says(&stage, &outcome),
        "ok set-var txn.e1 str cannot resume a coroutine that waits for something else; "
        "set-var txn.e2 str cannot close a coroutine that waits for something else; "
        "set-var txn.r1 bool false; set-var txn.r2 bool false; "
        "set-var txn.r3 bool false; set-var txn.r4 bool false");
    stage_wait(&stage, &waiting);
    ck_assert_str_eq(stage_says(&stage, &waiting), "ok set-var txn.what str woken");
    stage_close(&stage);
}
END_TEST

/* Left behind by a handler that was cancelled, a coroutine is dead and nothing worse. */
START_TEST(coroutine_of_a_cancelled_handler_is_dead)
{
    struct stage stage;
    struct outcome outcome;
    struct task *task;

    stage_open(&stage, "local co\n"
                       "function wait()\n"
                       "  co = coroutine.create(function() spoa.sleep(1000) end)\n"
                       "  coroutine.resume(co)\n"
                       "end\n"
                       "function look()\n"
                       "  local good, why = coroutine.resume(co)\n"
                       "  return { txn = { status = coroutine.status(co), why = why } }\n"
                       "end");
    task = stage_start(&stage, &outcome, "wait", NO_ARGS);
    ck_assert_ptr_nonnull(task);
    stage_cancel(&stage, task);
    stage_expect(&stage, "look", NO_ARGS,
                 "ok set-var txn.status str dead; "
                 "set-var txn.why str cannot resume dead coroutine");
    stage_close(&stage);
}
END_TEST

/* One handler makes a generator, others go on with it, each waiting in its own task. */
START_TEST(generator_shared_by_handlers)
{
    struct stage stage;

    stage_open(&stage, "local next = coroutine.wrap(function()\n"
                       "  local n = 0\n"
                       "  while true do\n"
                       "    n = n + 1\n"
                       "    spoa.sleep(0)\n"
                       "    coroutine.yield(n)\n"
                       "  end\n"
                       "end)\n"
                       "function step() return { ['txn.n'] = next() } end");
    stage_expect(&stage, "step", NO_ARGS, "ok set-var txn.n int64 1");
    stage_expect(&stage, "step", NO_ARGS, "ok set-var txn.n int64 2");
    stage_expect(&stage, "step", NO_ARGS, "ok set-var txn.n int64 3");
    stage_close(&stage);
}
END_TEST

START_TEST(yield_at_the_top_of_a_handler)
{
    struct stage stage;
    struct outcome outcome;

    stage_open(&stage, "function f()\n"
                       "  local x <close> = setmetatable({}, { __close = function()\n"
                       "    _G.closed = true\n"
                       "  end })\n"
                       "  coroutine.yield(1, 2, 3)\n"
                       "end\n"
                       "function ok() end");
    for (int i = 0; i < 3; i++) {
        stage_run(&stage, &outcome, "f", NO_ARGS);
        ck_assert_str_eq(stage_says(&stage, &outcome),
                         "error h.lua:1: coroutine.yield outside of a coroutine of its own");
        ck_assert_msg(strstr(outcome.text, "h.lua:5:") != NULL, "%s", outcome.text);
        ck_assert_str_eq(stage_eval(&stage, "closed"), "true");
        stage_expect(&stage, "ok", NO_ARGS, "ok");
    }
    stage_close(&stage);
}
END_TEST

/* Where C calls back nothing can wait: an error that says so, and the wait is undone. */
START_TEST(wait_where_c_calls_back)
{
    struct stage stage;
    struct outcome outcome;
    static const char *const names[] = {"sort", "gsub", "wrapped", "printed"};

    stage_open(&stage, "local function nap() spoa.sleep(1000) end\n"
                       "function sort() table.sort({ 3, 2, 1 }, nap) end\n"
                       "function gsub() string.gsub('x', 'x', nap) end\n"
                       "function wrapped() table.sort({ 3, 2, 1 }, coroutine.wrap(nap)) end\n"
                       "function printed() tostring(setmetatable({}, { __tostring = nap })) end\n"
                       "function handled()\n"
                       "  local good, why = pcall(table.sort, { 3, 2, 1 }, coroutine.wrap(nap))\n"
                       "  local again, why2 = pcall(string.gsub, 'x', 'x', nap)\n"
                       "  spoa.sleep(0)\n"
                       "  return { txn = { good = good or again,\n"
                       "    hint = (why .. why2):find('wait before or after', 1, true) ~= nil } }\n"
                       "end");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        stage_run(&stage, &outcome, names[i], NO_ARGS);
        ck_assert_msg(outcome.result == TASK_ERROR, "%s: %s", names[i],
                      stage_says(&stage, &outcome));
        ck_assert_msg(strstr(outcome.text, "cannot wait here") != NULL, "%s: %s", names[i],
                      outcome.text);
    }
    stage_expect(&stage, "handled", NO_ARGS,
                 "ok set-var txn.good bool false; set-var txn.hint bool true");
    stage_close(&stage);
}
END_TEST

/* The wait that was refused was that of a coroutine's coroutine: nothing is left of either. */
START_TEST(wait_refused_two_layers_down)
{
    struct stage stage;
    struct outcome outcome;

    stage_open(
        &stage,
        "_G.closed = ''\n"
        "local function closing(name)\n"
        "  return setmetatable({}, { __close = function() _G.closed = _G.closed .. name end })\n"
        "end\n"
        "local function inner() local x <close> = closing 'i' spoa.sleep(1000) end\n"
        "local function middle()\n"
        "  local x <close> = closing 'm'\n"
        "  coroutine.wrap(inner)()\n"
        "end\n"
        "function f()\n"
        "  local x <close> = closing 'o'\n"
        "  pcall(table.sort, { 3, 2, 1 }, coroutine.wrap(middle))\n"
        "  _G.closed = _G.closed .. '-'\n"
        "  collectgarbage()\n"
        "  spoa.sleep(1000)\n"
        "end\n");
    for (int i = 0; i < 3; i++) {
        struct task *task = stage_start(&stage, &outcome, "f", NO_ARGS);

        ck_assert_ptr_nonnull(task);
        stage_cancel(&stage, task);
    }
    ck_assert_str_eq(stage_eval(&stage, "closed"), "im-oim-oim-o");
    stage_close(&stage);
}
END_TEST

START_TEST(wait_while_loading)
{
    struct stage stage;

    stage_open(&stage, "local n = 0\n"
                       "spoa.sleep(0)\n"
                       "coroutine.wrap(function() spoa.sleep(0) n = n + 1 end)()\n"
                       "function f() return { ['txn.n'] = n } end");
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.n int64 1");
    stage_close(&stage);
}
END_TEST

START_TEST(wait_outside_of_a_task)
{
    struct stage stage;

    stage_open(&stage, "function f() end");
    ck_assert_str_eq(stage_eval(&stage, "select(2, pcall(spoa.sleep, 0))"),
                     "can wait only inside of a handler");
    ck_assert_str_eq(
        stage_eval(&stage, "select(2, coroutine.resume(coroutine.create(spoa.sleep), 0))"),
        "can wait only inside of a handler");
    stage_expect(&stage, "f", NO_ARGS, "ok");
    stage_close(&stage);
}
END_TEST

/* Finalizers run in whoever happens to allocate, or when the state is closed. */
START_TEST(wait_in_a_finalizer)
{
    struct stage stage;

    stage_open(&stage, "_G.why = 'nothing'\n"
                       "local function finalized()\n"
                       "  return setmetatable({}, { __gc = function()\n"
                       "    _G.why = select(2, pcall(spoa.sleep, 1000))\n"
                       "  end })\n"
                       "end\n"
                       "_G.kept = finalized()\n"
                       "function f()\n"
                       "  finalized()\n"
                       "  collectgarbage()\n"
                       "end");
    stage_expect(&stage, "f", NO_ARGS, "ok");
    ck_assert_ptr_nonnull(strstr(stage_eval(&stage, "why"), "cannot wait here"));
    stage_close(&stage);
}
END_TEST

/* What runs while a handler is closed cannot wait either, nor yield, nor make it live on. */
START_TEST(closing_cannot_wait)
{
    struct stage stage;
    struct outcome outcome;
    struct task *task;

    stage_open(&stage, "_G.order = ''\n"
                       "local function closing(f)\n"
                       "  return setmetatable({}, { __close = f })\n"
                       "end\n"
                       "local function mark(name) return closing(function()\n"
                       "  _G.order = _G.order .. name\n"
                       "end) end\n"
                       "function f()\n"
                       "  local z <close> = mark 'z'\n"
                       "  local a <close> = closing(function() spoa.sleep(1000) end)\n"
                       "  local y <close> = mark 'y'\n"
                       "  local b <close> = closing(function() coroutine.yield() end)\n"
                       "  local x <close> = mark 'x'\n"
                       "  local c <close> = closing(function()\n"
                       "    coroutine.wrap(function() spoa.sleep(1000) end)()\n"
                       "  end)\n"
                       "  local w <close> = mark 'w'\n"
                       "  local d <close> = closing(function() error('late') end)\n"
                       "  spoa.sleep(1000)\n"
                       "end");
    task = stage_start(&stage, &outcome, "f", NO_ARGS);
    ck_assert_ptr_nonnull(task);
    stage_cancel(&stage, task);
    ck_assert_uint_eq(outcome.calls, 0);
    ck_assert_str_eq(stage_eval(&stage, "order"), "wxyz");
    stage_close(&stage);
}
END_TEST

/* The same where a handler cancels its child: the wait would be nobody's. */
START_TEST(closing_a_child_cannot_wait)
{
    struct stage stage;

    stage_open(&stage,
               "function f(args)\n"
               "  local why\n"
               "  local child = spoa.spawn(function()\n"
               "    local x <close> = setmetatable({}, { __close = function()\n"
               "      local good\n"
               "      good, why = pcall(spoa.sleep, 0)\n"
               "    end })\n"
               "    local y <close> = setmetatable({}, { __close = function()\n"
               "      spoa.sleep(0)\n"
               "    end })\n"
               "    local z <close> = setmetatable({}, { __close = function()\n"
               "      coroutine.wrap(function() spoa.sleep(0) end)()\n"
               "    end })\n"
               "    spoa.sleep(1000)\n"
               "  end)\n"
               "  spoa.sleep(0)\n"
               "  child:cancel()\n"
               "  child = nil\n"
               "  collectgarbage()\n"
               "  local gave = coroutine.wrap(function() coroutine.yield(5) end)()\n"
               "  for i = 1, 5 do spoa.sleep(0) end\n"
               "  return { txn = { gave = gave, hint = why:find('cannot wait', 1, true) == 1 or\n"
               "    why:find('can wait only', 1, true) == 1 } }\n"
               "end\n");
    for (int i = 0; i < 3; i++)
        stage_expect(&stage, "f", NO_ARGS,
                     "ok set-var txn.gave int64 5; set-var txn.hint bool true");
    stage_close(&stage);
}
END_TEST

/* A <close> variable of a handler that goes on may wait: it is straight-line code. */
START_TEST(close_may_wait_in_a_handler_that_goes_on)
{
    struct stage stage;

    stage_open(&stage, "function f()\n"
                       "  local n = 0\n"
                       "  do\n"
                       "    local x <close> = setmetatable({}, { __close = function()\n"
                       "      spoa.sleep(0)\n"
                       "      n = n + 1\n"
                       "    end })\n"
                       "  end\n"
                       "  pcall(function()\n"
                       "    local x <close> = setmetatable({}, { __close = function()\n"
                       "      spoa.sleep(0)\n"
                       "      n = n + 1\n"
                       "    end })\n"
                       "    error('oops')\n"
                       "  end)\n"
                       "  return { ['txn.n'] = n }\n"
                       "end");
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.n int64 2");
    stage_close(&stage);
}
END_TEST

/* Each closes the next from as deep as Lua lets it go in one: all together the C stack has an end.
 */
START_TEST(coroutines_that_close_one_another)
{
    struct stage stage;

    stage_prepare(&stage,
                  "local function deep(n, f)\n"
                  "  if n == 0 then f() return end\n"
                  "  string.gsub('a', 'a', function() deep(n - 1, f) end)\n"
                  "end\n"
                  "function f()\n"
                  "  local all, errors = {}, {}\n"
                  "  for i = 1, 200 do\n"
                  "    all[i] = coroutine.create(function()\n"
                  "      local x <close> = setmetatable({}, { __close = function()\n"
                  "        local good, why = pcall(deep, 150, function()\n"
                  "          if all[i + 1] then coroutine.close(all[i + 1]) end\n"
                  "        end)\n"
                  "        if not good then errors[#errors + 1] = why:match('too many.*') end\n"
                  "      end })\n"
                  "      coroutine.yield()\n"
                  "    end)\n"
                  "    coroutine.resume(all[i])\n"
                  "  end\n"
                  "  coroutine.close(all[1])\n"
                  "  return { txn = { n = #errors, why = errors[1] } }\n"
                  "end");
    stage.options.cpu = 10;
    stage_begin(&stage);
    for (int i = 0; i < 2; i++)
        stage_expect(&stage, "f", NO_ARGS,
                     "ok set-var txn.n int64 1; "
                     "set-var txn.why str too many coroutines are closing one another");
    stage_close(&stage);
}
END_TEST

/* Lua 5.4.4 would call what is where the handler was. */
START_TEST(closed_while_it_waits_in_xpcall)
{
    struct stage stage;

    stage_open(&stage,
               "_G.called = 0\n"
               "local function fails()\n"
               "  local _ <close> = setmetatable({}, { __close = function()\n"
               "    for i = 1, 50 do local t = { i } end error('closing', 0) end })\n"
               "  local function deep(n, ...)\n"
               "    if n > 0 then return (deep(n - 1, {}, ...)) end\n"
               "    xpcall(coroutine.yield, function(m) _G.called = called + 1 return m end)\n"
               "  end\n"
               "  deep(30)\n"
               "end\n"
               "function f()\n"
               "  local good, why\n"
               "  for i = 1, 100 do\n"
               "    local co = coroutine.create(fails)\n"
               "    coroutine.resume(co)\n"
               "    collectgarbage()\n"
               "    good, why = coroutine.close(co)\n"
               "  end\n"
               "  return { txn = { good = good, why = why, called = called } }\n"
               "end\n");
    stage_expect(&stage, "f", NO_ARGS,
                 "ok set-var txn.called int64 0; set-var txn.good bool false; "
                 "set-var txn.why str closing");
    stage_close(&stage);
}
END_TEST

/* Finalizers that run when the state is closed have no task, and what they resume has limits. */
START_TEST(endless_in_a_finalizer_at_the_end)
{
    struct stage stage;

    stage_open(
        &stage,
        "_G.kept = {}\n"
        "for i = 1, 3 do kept[i] = setmetatable({}, { __gc = function()\n"
        "  coroutine.resume(coroutine.create(function() while true do end end))\n"
        "  coroutine.close(kept.co)\n"
        "end }) end\n"
        "function f()\n"
        "  kept.co = coroutine.create(function()\n"
        "    local _ <close> = setmetatable({}, { __close = function() while true do end end })\n"
        "    coroutine.yield()\n"
        "  end)\n"
        "  coroutine.resume(kept.co)\n"
        "end\n");
    stage_expect(&stage, "f", NO_ARGS, "ok");
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("coroutine", endless_in_a_finalizer_at_the_end, closed_while_it_waits_in_xpcall,
          what_does_not_wait_is_as_in_lua, iterators_may_wait,
          resume_waits_inside_and_gives_its_values, waits_through_many_layers,
          cancel_closes_from_the_inside, deadline_closes_from_the_inside,
          waiting_coroutine_is_nobody_elses, coroutine_of_a_cancelled_handler_is_dead,
          generator_shared_by_handlers, yield_at_the_top_of_a_handler, wait_where_c_calls_back,
          wait_refused_two_layers_down, wait_while_loading, wait_outside_of_a_task,
          wait_in_a_finalizer, closing_cannot_wait, closing_a_child_cannot_wait,
          close_may_wait_in_a_handler_that_goes_on, coroutines_that_close_one_another)
