/*
 * spoa.json in the background: a long text is parsed in a thread and made tables of in pieces,
 * between which others have their turn; in a handler nobody has.
 */
#include <time.h>

#include "../script/stage.h"

/* `ticks` counts the turns that somebody else had while a text was decoded. */
static const char script[] =
    "local json = require 'spoa.json'\n"
    "local entries, nested = {}, {}\n"
    "for i = 1, 20000 do entries[i] = ('{\"id\":%d,\"s\":\"x%d\",\"l\":[1,null,[]]}'):format(i, i) "
    "end\n"
    "for i = 1, 20000 do nested[i] = ('\"k%d\":%s'):format(i, entries[i]) end\n"
    "local list = '[' .. table.concat(entries, ',') .. ']'\n"
    "local object = '{\"o\":{' .. table.concat(nested, ',') .. '}}'\n"
    "local short = '[' .. entries[1] .. ']'\n"
    "ticks, during, said, over = 0, 0, '', false\n"
    "local function entry(e, i)\n"
    "  return e.id == i and e.s == 'x' .. i and #e.l == 3 and e.l[2] == json.null and #e.l[3] == "
    "0\n"
    "end\n"
    "local function counted(text)\n"
    "  local before = ticks\n"
    "  local value, why = json.decode(text)\n"
    "  during = ticks - before\n"
    "  return value, why\n"
    "end\n"
    "local function check()\n"
    "  local value = assert(counted(list))\n"
    "  assert(#value == 20000 and during > 5, during)\n"
    "  for i = 1, 20000 do assert(entry(value[i], i)) end\n"
    "  assert(json.encode(value):sub(1, 100) == json.encode(json.decode(list)):sub(1, 100))\n"
    "  local value = assert(counted(object)).o\n"
    "  assert(during > 5)\n"
    "  for i = 1, 20000 do assert(entry(value['k' .. i], i)) end\n"
    "  assert(entry(assert(counted(short))[1], 1) and during == 0)\n"
    "  local value, why = counted(list .. ' x')\n"
    "  assert(value == nil and why:find('end of file expected near \\'x\\'') and during > 0, why)\n"
    "  local value, why = json.decode(list, { max_depth = 2 })\n"
    "  assert(value == nil and why == '1:23: nested deeper than 2 levels', why)\n"
    "  assert(json.decode('\"' .. ('x'):rep(100000) .. '\"') == ('x'):rep(100000))\n"
    "  assert(coroutine.wrap(function() return #json.decode(list) end)() == 20000)\n"
    "  table.sort({ 1, 2 }, function() assert(#json.decode(list) == 20000) end)\n"
    "end\n"
    "local function tick() while not over do spoa.sleep(0) ticks = ticks + 1 end end\n"
    "function background()\n"
    "  over = false\n"
    "  spoa.after(tick)\n"
    "  spoa.after(function() local _, why = pcall(check) said = tostring(why) over = true end)\n"
    "end\n"
    "function result() return { ['txn.said'] = said } end\n"
    "function handler()\n"
    "  over = false\n"
    "  spoa.after(tick)\n"
    "  spoa.sleep(0)\n"
    "  assert(#assert(counted(list)) == 20000)\n"
    "  over = true\n"
    "  return { ['txn.during'] = during }\n"
    "end\n"
    "function forever()\n"
    "  for i = 1, 4 do spoa.after(function() while true do json.decode(list) end end) end\n"
    "end\n";

/* The modules are beside the unit programs. */
static void begin(struct stage *stage)
{
    static char pattern[4096];
    static struct script_path path = {.pattern = pattern, .cpath = true};
    ssize_t len = readlink("/proc/self/exe", pattern, sizeof pattern - 32);

    ck_assert_int_gt(len, 0);
    pattern[len] = '\0';
    strcpy(strrchr(pattern, '/'), "/../modules/?.so");
    stage_prepare(stage, script);
    stage->options.paths = &path;
    stage->options.npaths = 1;
    stage->options.memory = 512u << 20;
    stage->options.cpu = 60;
    stage_begin(stage);
}

START_TEST(in_the_background)
{
    struct stage stage;

    begin(&stage);
    stage_expect(&stage, "background", NO_ARGS, "ok");
    while (stage.script->background.count)
        stage_turn(&stage);
    stage_expect(&stage, "result", NO_ARGS, "ok set-var txn.said str nil");
    stage_close(&stage);
}
END_TEST

START_TEST(in_a_handler)
{
    struct stage stage;

    begin(&stage);
    stage_expect(&stage, "handler", NO_ARGS, "ok set-var txn.during int64 0");
    while (stage.script->background.count)
        stage_turn(&stage);
    stage_close(&stage);
}
END_TEST

/* The script is stopped while the thread parses, while others wait for it, and while tables are
 * made: AddressSanitizer looks. */
START_TEST(stopped_at_any_moment)
{
    for (int turns = 0; turns < 12; turns++) {
        struct stage stage;

        begin(&stage);
        stage_expect(&stage, "forever", NO_ARGS, "ok");
        for (int i = 0; i < turns; i++)
            stage_turn(&stage);
        script_stop(stage.script);
        stage.script = NULL;
        stage_close(&stage);
    }
}
END_TEST

UNIT_MAIN("json_pieces", in_the_background, in_a_handler, stopped_at_any_moment)
