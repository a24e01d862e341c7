#include "script/script.h"

#include "stage.h"

static void load_all(struct stage *stage)
{
    ck_assert(budget_open(wait_expired));
    stage_load(stage);
}

static void expect_fault(const char *source, const char *fault)
{
    struct stage stage;

    stage_init(&stage);
    stage_script(&stage, "h.lua", source);
    load_all(&stage);
    ck_assert_ptr_null(stage.script);
    ck_assert_uint_eq(stage.nfaults, 1);
    ck_assert_msg(strncmp(stage.faults, fault, strlen(fault)) == 0, "%s", stage.faults);
    stage_close(&stage);
}

START_TEST(syntax_error)
{
    expect_fault("function f()\n  retrun 1\nend\n", "h.lua:2: syntax error near '1'");
    expect_fault("x = = 1", "h.lua:1: unexpected symbol near '='");
}
END_TEST

START_TEST(runtime_error)
{
    expect_fault("local t\n\nt.x = 1\n", "h.lua:3: attempt to index a nil value (local 't')\n"
                                         "stack traceback:");
    expect_fault("local function f() error 'oops' end\nf()\n", "h.lua:1: oops\nstack traceback:");
}
END_TEST

/* An error value that is no text gives a line with a file all the same. */
START_TEST(error_values)
{
    expect_fault("error({})", "h.lua: (the error is a table value)");
    expect_fault("error()", "h.lua: (the error is a nil value)");
    expect_fault("error(5)", "h.lua: 5");
    expect_fault("error(setmetatable({}, { __tostring = function() return 'made up' end }))",
                 "h.lua: made up");
    expect_fault("error(setmetatable({}, { __tostring = function() return {} end }))", "h.lua: ");
    expect_fault("local e = setmetatable({}, {})\n"
                 "getmetatable(e).__tostring = function() error(e) end\n"
                 "error(e)",
                 "h.lua: ");
}
END_TEST

START_TEST(os_exit_while_loading)
{
    expect_fault("\nos.exit(0)", "h.lua:2: os.exit would stop the agent for everyone");
}
END_TEST

START_TEST(no_such_file)
{
    struct stage stage;
    char *absent;

    stage_init(&stage);
    ck_assert_int_gt(asprintf(&absent, "%s/absent.lua", stage.folder), 0);
    stage.files[0] = absent;
    stage.options.files = stage.files;
    stage.options.nfiles = 1;
    load_all(&stage);
    free(absent);
    ck_assert_ptr_null(stage.script);
    ck_assert_uint_eq(stage.nfaults, 1);
    ck_assert_ptr_nonnull(strstr(stage.faults, "absent.lua"));
    ck_assert_ptr_nonnull(strstr(stage.faults, "No such file or directory"));
    stage_close(&stage);
}
END_TEST

START_TEST(bytecode_is_no_script)
{
    expect_fault("\x1bLua", "h.lua: attempt to load a binary chunk");
}
END_TEST

START_TEST(every_error_is_told)
{
    struct stage stage;

    stage_init(&stage);
    stage_script(&stage, "a.lua", "function a( end");
    stage_script(&stage, "b.lua", "function b() end");
    stage_script(&stage, "c.lua", "error('in c')");
    stage_script(&stage, "d.lua", "\n\nfunction b() end");
    load_all(&stage);
    ck_assert_ptr_null(stage.script);
    ck_assert_uint_eq(stage.nfaults, 3);
    ck_assert_ptr_nonnull(strstr(stage.faults, "a.lua:1: "));
    ck_assert_ptr_nonnull(strstr(stage.faults, "c.lua:1: in c"));
    ck_assert_ptr_nonnull(
        strstr(stage.faults, "d.lua:3: handler 'b' is already defined at b.lua:1"));
    stage_close(&stage);
}
END_TEST

/* More of them than a Lua stack has room for by itself. */
START_TEST(very_many_errors)
{
    enum { MANY = 100 };
    struct stage stage;
    char *files[MANY], source[64];

    stage_init(&stage);
    for (int i = 0; i < MANY; i++) {
        snprintf(source, sizeof source, "error('fault %d', 0)", i);
        stage.npaths = 0;
        snprintf(stage.said, sizeof stage.said, "%d.lua", i);
        files[i] = stage_write(&stage, stage.said, source);
    }
    stage.npaths = 0;
    stage.options.files = files;
    stage.options.nfiles = MANY;
    ck_assert(budget_open(wait_expired));
    ck_assert_ptr_null(stage_load_again(&stage));
    ck_assert_uint_eq(stage.nfaults, MANY);
    for (int i = 0; i < MANY; i++) {
        unlink(files[i]);
        free(files[i]);
    }
    stage_forget_files(&stage);
    stage_close(&stage);
}
END_TEST

START_TEST(long_paths_are_said_whole)
{
    struct stage stage;
    const char *name = "a_name_that_is_longer_than_the_sixty_bytes_Lua_has_for_the_name_of_a_chunk"
                       "_and_would_be_cut.lua";

    stage_init(&stage);
    stage_script(&stage, name, "\nerror('oops')");
    load_all(&stage);
    ck_assert_ptr_null(stage.script);
    ck_assert_msg(strncmp(stage.faults, name, strlen(name)) == 0, "%s", stage.faults);
    ck_assert_ptr_nonnull(strstr(stage.faults, ":2: oops"));
    stage_close(&stage);
}
END_TEST

START_TEST(no_scripts_at_all)
{
    struct stage stage;
    bool first;

    stage_init(&stage);
    load_all(&stage);
    ck_assert_ptr_nonnull(stage.script);
    ck_assert_ptr_null(handler_find(&stage.script->handlers, span_of("print"), &first));
    stage_close(&stage);
}
END_TEST

/* ---- what is a handler ---- */

static bool has_handler(struct stage *stage, const char *name)
{
    bool first;

    return handler_find(&stage->script->handlers, span_of(name), &first) != NULL;
}

START_TEST(global_functions_are_handlers)
{
    struct stage stage;

    stage_open(&stage, "function one() end\n"
                       "two = function() end\n"
                       "_ENV['three-3'] = function() end\n"
                       "rawset(_ENV, 'four', print)\n"
                       "local function five() end\n"
                       "six = 6\n"
                       "seven = setmetatable({}, { __call = function() end })\n"
                       "_ENV[8] = function() end\n"
                       "function _G.nine() end\n"
                       "local t = {}\n"
                       "function t.ten() end\n"
                       "function one_less() end\n"
                       "one_less = nil\n");
    ck_assert(has_handler(&stage, "one"));
    ck_assert(has_handler(&stage, "two"));
    ck_assert(has_handler(&stage, "three-3"));
    ck_assert(has_handler(&stage, "four"));
    ck_assert(!has_handler(&stage, "five"));
    ck_assert(!has_handler(&stage, "six"));
    ck_assert(!has_handler(&stage, "seven"));
    ck_assert(!has_handler(&stage, "8"));
    ck_assert(!has_handler(&stage, "nine"));
    ck_assert(!has_handler(&stage, "ten"));
    ck_assert(!has_handler(&stage, "one_less"));
    ck_assert(!has_handler(&stage, "print"));
    ck_assert(!has_handler(&stage, "string"));
    stage_close(&stage);
}
END_TEST

START_TEST(environments_are_separate)
{
    struct stage stage;

    stage_init(&stage);
    stage_script(&stage, "a.lua",
                 "shared = 'a'\n"
                 "string = nil\n"
                 "function a()\n"
                 "  return { txn = { shared = shared, print = print ~= nil,\n"
                 "    other = b ~= nil } }\n"
                 "end\n"
                 "function set() shared = 'set' end\n");
    stage_script(&stage, "b.lua",
                 "print = 5\n"
                 "function b()\n"
                 "  return { txn = { shared = shared == nil, len = string.len 'x',\n"
                 "    print = print, other = a ~= nil } }\n"
                 "end\n");
    load_all(&stage);
    ck_assert_msg(stage.script != NULL, "%s", stage.faults);
    stage_expect(&stage, "a", NO_ARGS,
                 "ok set-var txn.other bool false; set-var txn.print bool true; "
                 "set-var txn.shared str a");
    stage_expect(&stage, "set", NO_ARGS, "ok");
    stage_expect(&stage, "a", NO_ARGS,
                 "ok set-var txn.other bool false; set-var txn.print bool true; "
                 "set-var txn.shared str set");
    stage_expect(&stage, "b", NO_ARGS,
                 "ok set-var txn.len int64 1; set-var txn.other bool false; "
                 "set-var txn.print int64 5; set-var txn.shared bool true");
    stage_close(&stage);
}
END_TEST

/* ---- modules ---- */

START_TEST(module_beside_the_script)
{
    struct stage stage;

    stage_init(&stage);
    stage_write(&stage, "blocklist.lua",
                "function helper() end\n"
                "loads = (loads or 0) + 1\n"
                "return { answer = function() return 42 end }\n");
    stage_script(&stage, "h.lua",
                 "local blocklist = require 'blocklist'\n"
                 "function ask() return { ['txn.n'] = blocklist.answer() } end\n");
    stage_script(&stage, "i.lua",
                 "local blocklist = require 'blocklist'\n"
                 "function loads_of() return { ['txn.loads'] = loads } end\n");
    load_all(&stage);
    ck_assert_msg(stage.script != NULL, "%s", stage.faults);
    stage_expect(&stage, "ask", NO_ARGS, "ok set-var txn.n int64 42");
    stage_expect(&stage, "loads_of", NO_ARGS, "ok set-var txn.loads int64 1");
    ck_assert(!has_handler(&stage, "helper"));
    ck_assert(!has_handler(&stage, "answer"));
    stage_close(&stage);
}
END_TEST

START_TEST(modules_in_several_folders)
{
    struct stage stage;

    stage_init(&stage);
    stage_write(&stage, "a/in_a.lua", "return 'a'");
    stage_write(&stage, "ab/in_ab.lua", "return 'ab'");
    stage_write(&stage, "in_top.lua", "return 'top'");
    stage_script(&stage, "abc.lua", "top = require 'in_top' function of_top() end");
    stage_script(&stage, "a/h.lua", "a = require 'in_a' function of_a() end");
    stage_script(&stage, "ab/h.lua", "ab = require 'in_ab' function of_ab() end");
    load_all(&stage);
    ck_assert_msg(stage.script != NULL, "%s", stage.faults);
    stage_close(&stage);
}
END_TEST

/* The folder of a script in the working directory is the working directory. */
START_TEST(module_beside_a_script_without_a_folder)
{
    struct stage stage;
    char name[] = "h.lua", other[] = "/dev/null";

    stage_init(&stage);
    stage_write(&stage, "beside.lua", "return 1");
    stage_write(&stage, name, "require 'beside'\nfunction h() end");
    ck_assert_int_eq(chdir(stage.folder), 0);
    stage.files[0] = other;
    stage.files[1] = name;
    stage.options.files = stage.files;
    stage.options.nfiles = 2;
    load_all(&stage);
    ck_assert_msg(stage.script != NULL, "%s", stage.faults);
    ck_assert(has_handler(&stage, "h"));
    stage_close(&stage);
}
END_TEST

/* A script whose path is the beginning of the next one's. */
START_TEST(paths_that_begin_alike)
{
    struct stage stage;
    char *longer;

    stage_init(&stage);
    stage_script(&stage, "x", "function x() end");
    ck_assert_int_gt(asprintf(&longer, "%s/x/h.lua", stage.folder), 0);
    stage.files[stage.options.nfiles++] = longer;
    load_all(&stage);
    ck_assert_ptr_null(stage.script);
    ck_assert_uint_eq(stage.nfaults, 1);
    ck_assert_ptr_nonnull(strstr(stage.faults, "Not a directory"));
    free(longer);
    stage_close(&stage);
}
END_TEST

START_TEST(paths_of_the_configuration)
{
    struct stage stage;
    char *first, *second;

    stage_init(&stage);
    stage_write(&stage, "one/m.lua", "return 'one'");
    stage_write(&stage, "two/m.lua", "return 'two'");
    stage_write(&stage, "m.lua", "return 'beside'");
    stage_script(&stage, "h.lua",
                 "local m = require 'm'\n"
                 "function which() return { ['txn.m'] = m,\n"
                 "  ['txn.c'] = package.cpath:sub(1, 7) } end");
    ck_assert_int_gt(asprintf(&first, "%s/one/?.lua", stage.folder), 0);
    ck_assert_int_gt(asprintf(&second, "%s/two/?.lua", stage.folder), 0);
    stage.options.paths = (struct script_path[]){{first, false}, {(char[]){"/c/?.so"}, true}};
    stage.options.npaths = 2;
    load_all(&stage);
    ck_assert_msg(stage.script != NULL, "%s", stage.faults);
    stage_expect(&stage, "which", NO_ARGS, "ok set-var txn.c str /c/?.so; set-var txn.m str one");
    free(first);
    free(second);
    stage_close(&stage);
}
END_TEST

START_TEST(module_that_is_not_there)
{
    expect_fault("\nrequire 'no.such.module'", "h.lua:2: module 'no.such.module' not found:");
}
END_TEST

START_TEST(module_with_an_error)
{
    struct stage stage;

    stage_init(&stage);
    stage_write(&stage, "m.lua", "local x = = 1");
    stage_script(&stage, "h.lua", "local m = require 'm'");
    load_all(&stage);
    ck_assert_ptr_null(stage.script);
    ck_assert_uint_eq(stage.nfaults, 1);
    ck_assert_msg(strncmp(stage.faults, "h.lua", 5) == 0, "%s", stage.faults);
    ck_assert_ptr_nonnull(strstr(stage.faults, "m.lua:1: unexpected symbol near '='"));
    stage_close(&stage);
}
END_TEST

/* ---- coming and going ---- */

/* A retired script lives as long as its last task; AddressSanitizer sees both mistakes. */
START_TEST(retired_with_tasks_in_flight)
{
    struct stage stage;
    struct outcome first, second;

    stage_open(&stage, "function wait(args)\n"
                       "  spoa.sleep(0.001 * args.turns)\n"
                       "  return { ['txn.turns'] = args.turns }\n"
                       "end");
    ck_assert_ptr_nonnull(stage_start(&stage, &first, "wait", ARGS({"turns", INT(1)})));
    ck_assert_ptr_nonnull(stage_start(&stage, &second, "wait", ARGS({"turns", INT(2)})));
    script_retire(stage.script, NULL);
    stage.script = NULL;
    stage_wait(&stage, &first);
    stage_wait(&stage, &second);
    ck_assert_str_eq(stage_says(&stage, &first), "ok set-var txn.turns int64 1");
    ck_assert_str_eq(stage_says(&stage, &second), "ok set-var txn.turns int64 2");
    stage_close(&stage);
}
END_TEST

START_TEST(retired_then_cancelled)
{
    struct stage stage;
    struct outcome outcome;
    struct task *task;

    stage_open(&stage, "function wait() spoa.sleep(1000) end");
    task = stage_start(&stage, &outcome, "wait", NO_ARGS);
    ck_assert_ptr_nonnull(task);
    script_retire(stage.script, NULL);
    stage.script = NULL;
    stage_cancel(&stage, task);
    ck_assert_uint_eq(outcome.calls, 0);
    stage_close(&stage);
}
END_TEST

START_TEST(retired_then_overdue)
{
    struct stage stage;
    struct outcome outcome;

    stage_prepare(&stage, "function wait() spoa.sleep(1000) end");
    stage.options.timeout = 0.05;
    stage_begin(&stage);
    ck_assert_ptr_nonnull(stage_start(&stage, &outcome, "wait", NO_ARGS));
    script_retire(stage.script, NULL);
    stage.script = NULL;
    stage_wait(&stage, &outcome);
    ck_assert_int_eq(outcome.result, TASK_TIMEOUT);
    stage_close(&stage);
}
END_TEST

START_TEST(coroutines_find_their_script)
{
    struct stage stage;
    lua_State *coroutine;

    stage_open(&stage, "function f() end");
    coroutine = lua_newthread(stage.script->lua);
    ck_assert_ptr_eq(script_of(stage.script->lua), stage.script);
    ck_assert_ptr_eq(script_of(coroutine), stage.script);
    ck_assert_int_eq(lua_gettop(coroutine), 0);
    lua_settop(stage.script->lua, 0);
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("script", syntax_error, runtime_error, error_values, os_exit_while_loading, no_such_file,
          bytecode_is_no_script, every_error_is_told, very_many_errors, long_paths_are_said_whole,
          no_scripts_at_all, global_functions_are_handlers, environments_are_separate,
          module_beside_the_script, modules_in_several_folders,
          module_beside_a_script_without_a_folder, paths_that_begin_alike,
          paths_of_the_configuration, module_that_is_not_there, module_with_an_error,
          retired_with_tasks_in_flight, retired_then_cancelled, retired_then_overdue,
          coroutines_find_their_script)
