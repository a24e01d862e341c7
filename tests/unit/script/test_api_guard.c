#include "stage.h"

/* A handler made of these lines, which say true when all is right. */
static void check(const char *lines)
{
    struct stage stage;
    char *source;

    ck_assert_int_gt(asprintf(&source,
                              "local function eq(got, want, what)\n"
                              "  if got ~= want then\n"
                              "    error(('%%s is %%s, not %%s'):format(what, got, want), 2)\n"
                              "  end\n"
                              "end\n"
                              "function f()\n%s\nreturn { ['txn.good'] = true } end",
                              lines),
                     0);
    stage_open(&stage, source);
    free(source);
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.good bool true");
    stage_close(&stage);
}

START_TEST(most_of_debug_is_gone)
{
    check("local kept, gone = {}, 0\n"
          "for name, fn in pairs(debug) do\n"
          "  local good, why = pcall(fn, 1)\n"
          "  if not good and why:find('debug.' .. name .. ' is not there', 1, true) then\n"
          "    gone = gone + 1\n"
          "  else kept[#kept + 1] = name end\n"
          "end\n"
          "table.sort(kept)\n"
          "eq(table.concat(kept, ' '), 'getinfo traceback', 'what is kept')\n"
          "eq(gone >= 14, true, 'that the rest is gone')\n"
          "eq(require 'debug', debug, 'the module')");
}
END_TEST

START_TEST(getinfo_without_the_function)
{
    check("local here = debug.getinfo(1, 'Slf')\n"
          "eq(here.func, nil, 'func')\n"
          "eq(here.short_src:match('[^/]*$'), 'h.lua', 'short_src')\n"
          "eq(here.currentline, 7, 'currentline')\n"
          "local own = debug.getinfo(0, 'nS')\n"
          "eq(own.name, 'getinfo', 'name')\n"
          "eq(own.what, 'C', 'what')\n"
          "local function g() return (debug.getinfo(2, 'l')) end\n"
          "eq(g().currentline, 15, 'the line of the caller')\n"
          "local of = debug.getinfo(g)\n"
          "eq(of.func, nil, 'func of a function')\n"
          "eq(of.linedefined, 14, 'linedefined')\n"
          "eq(debug.getinfo(g, 'L').activelines[14], true, 'activelines')");
}
END_TEST

START_TEST(getinfo_of_a_coroutine)
{
    check("local co = coroutine.create(function() coroutine.yield() end)\n"
          "coroutine.resume(co)\n"
          "eq(debug.getinfo(co, 1, 'l').currentline, 7, 'its line')\n"
          "eq(debug.getinfo(co, 1, 'f').func, nil, 'its function')\n"
          "eq(debug.getinfo(co, 9), nil, 'a level that is not there')\n"
          "eq(debug.getinfo(coroutine.running(), 1, 'l').currentline, 12, 'our line')");
}
END_TEST

START_TEST(getinfo_refuses)
{
    check("eq(debug.getinfo(1000), nil, 'a level that is not there')\n"
          "eq(debug.getinfo(-1), nil, 'a negative one')\n"
          "local function why(...) return select(2, pcall(debug.getinfo, ...)) end\n"
          "eq(why('x'):match('number expected'), 'number expected', 'a string')\n"
          "eq(why(1, 'q'):match('invalid option'), 'invalid option', 'an option')\n"
          "eq(why(1, '>S'):match('invalid option'), 'invalid option', 'the option >')\n"
          "eq(why():match('#1'), '#1', 'nothing')");
}
END_TEST

START_TEST(xpcall_is_luas)
{
    check(
        "eq(select('#', xpcall(function() end, print)), 1, 'no results')\n"
        "local good, a, b, n = xpcall(function(...) return ..., select('#', ...) end, print, 1, "
        "2)\n"
        "eq(good, true, 'good')\n"
        "eq(a, 1, 'a result')\n"
        "eq(b, 2, 'how many arguments')\n"
        "local good, text = xpcall(function(x) error(x, 0) end, function(e, more)\n"
        "  return e .. '!' .. tostring(more)\n"
        "end, 'why')\n"
        "eq(good, false, 'good')\n"
        "eq(text, 'why!nil', 'what the message handler said')\n"
        "eq(select('#', xpcall(error, function() return 1, 2 end)), 2, 'its results')\n"
        "local t = {}\n"
        "eq(select(2, xpcall(error, function(e) return e end, t)), t, 'a table')\n"
        "eq(pcall(xpcall, print), false, 'without a message handler')\n"
        "eq(pcall(xpcall, print, 1), false, 'with a number for one')\n"
        "eq(select(2, xpcall(1, function(e) return e end)), 'attempt to call a number value',\n"
        "  'what cannot be called')\n"
        "eq(xpcall(error, function() error('again') end), false, 'a message handler that fails')");
}
END_TEST

START_TEST(xpcall_tells_where_it_was)
{
    check("local function bad() local x = nil + 1 end\n"
          "local _, text = xpcall(bad, debug.traceback)\n"
          "local first = text:match('traceback:\\n\\t(.-)\\n')\n"
          "eq(first:match('[^/]*$'):match('h.lua:7'), 'h.lua:7', 'the first line')\n"
          "local _, text = xpcall(bad, function(e) return debug.traceback(e, 2) end)\n"
          "eq(text:find('h.lua:7>', 1, true) ~= nil, true, 'that it is in there')");
}
END_TEST

START_TEST(xpcall_may_wait)
{
    check("local good, a, b = xpcall(function(x) spoa.sleep(0) return x, 2 end, print, 1)\n"
          "eq(good, true, 'good')\n"
          "eq(a, 1, 'a result')\n"
          "eq(b, 2, 'another')\n"
          "local good, text = xpcall(function() spoa.sleep(0) error('x', 0) end,\n"
          "  function(e) return e .. 'y' end)\n"
          "eq(good, false, 'good')\n"
          "eq(text, 'xy', 'the error')");
}
END_TEST

UNIT_MAIN("api_guard", most_of_debug_is_gone, getinfo_without_the_function, getinfo_of_a_coroutine,
          getinfo_refuses, xpcall_is_luas, xpcall_tells_where_it_was, xpcall_may_wait)
