/* Slices of the background, and spoa.atomic, which has none. */
#include "script/background.h"

#include "stage.h"

/* Plays a handler until it says what is expected. */
static void until(struct stage *stage, const char *name, const char *expected)
{
    while (strcmp(stage_play(stage, name, NO_ARGS), expected) != 0)
        stage_turn(stage);
}

/* What is in the background comes to its end. */
static void finish(struct stage *stage)
{
    while (stage->script->background.count)
        stage_turn(stage);
    stage_close(stage);
}

/* A background function `f` around this body, and a handler that looks on. */
static void open_around(struct stage *stage, const char *body)
{
    char *source;

    ck_assert_int_gt(asprintf(&source,
                              "local seen, said = false, 'nothing'\n"
                              "local function spin(seconds)\n"
                              "  local over = spoa.now() + seconds\n"
                              "  while spoa.now() < over do end\n"
                              "end\n"
                              "local function wait_for_look()\n"
                              "  seen = false\n"
                              "  while not seen do end\n"
                              "end\n"
                              "function f() spoa.after(function()\n%s\nend) end\n"
                              "function look() seen = true return { ['txn.said'] = said } end",
                              body),
                     0);
    stage_prepare(stage, source);
    free(source);
    stage->options.cpu = 0.02;
    stage_begin(stage);
}

static void check_said(const char *body, const char *expected)
{
    struct stage stage;
    char *all;

    open_around(&stage, body);
    ck_assert_int_gt(asprintf(&all, "ok set-var txn.said %s", expected), 0);
    stage_expect(&stage, "f", NO_ARGS, "ok");
    until(&stage, "look", all);
    free(all);
    finish(&stage);
}

/* It would never end if nobody else had a turn. */
START_TEST(others_run_while_the_background_computes)
{
    check_said("wait_for_look() said = 'looked at'", "str looked at");
}
END_TEST

START_TEST(they_run_while_a_coroutine_or_a_task_of_it_computes)
{
    check_said("coroutine.wrap(wait_for_look)()\n"
               "spoa.spawn(wait_for_look):wait()\n"
               "said = 'both'",
               "str both");
}
END_TEST

/* Nothing can yield there: it goes on until it can. */
START_TEST(a_slice_is_stretched_where_nothing_can_yield)
{
    check_said("table.sort({ 2, 1 }, function(a, b) spin(0.01) return a < b end)\n"
               "wait_for_look() said = 'sorted'",
               "str sorted");
}
END_TEST

/* ... and no longer, however little of the time it can. */
START_TEST(a_stretched_slice_ends_with_the_c_function)
{
    check_said("local unseen = 0\n"
               "for _ = 1, 10 do\n"
               "  if not seen then unseen = unseen + 1 end\n"
               "  seen = false\n"
               "  table.sort({ 2, 1 }, function(a, b) spin(0.01) return a < b end)\n"
               "end\n"
               "said = unseen",
               "int64 0");
}
END_TEST

START_TEST(atomic_runs_in_one_go)
{
    struct stage stage;
    const char *said;

    open_around(&stage, "spoa.atomic(function() said = 'half' spin(0.01) said = 'whole' end)");
    stage_expect(&stage, "f", NO_ARGS, "ok");
    do {
        stage_turn(&stage);
        said = stage_play(&stage, "look", NO_ARGS);
        ck_assert_str_ne(said, "ok set-var txn.said str half");
    } while (strcmp(said, "ok set-var txn.said str whole") != 0);
    finish(&stage);
}
END_TEST

START_TEST(atomic_gives_arguments_results_and_errors)
{
    check_said(
        "local mine = {}\n"
        "local a, b, n = spoa.atomic(function(...) return 1, ..., select('#', ...) end, 2)\n"
        "local ok, why = pcall(spoa.atomic, error, mine)\n"
        "said = table.concat({ a, b, n or 'none', tostring(ok), tostring(why == mine) }, ' ')",
        "str 1 2 1 false true");
    check_said("said = select('#', spoa.atomic(function() end)) .. ' '\n"
               "  .. tostring(pcall(spoa.atomic, 'x'))",
               "str 0 false");
}
END_TEST

START_TEST(atomic_cannot_wait)
{
    check_said("local _, why = pcall(spoa.atomic, spoa.sleep, 0)\n"
               "said = why:match('^cannot wait here') or why\n"
               "wait_for_look()\n"
               "said = said .. ', slices go on'",
               "str cannot wait here, slices go on");
}
END_TEST

START_TEST(atomic_has_handler_cpu_and_then_an_error)
{
    check_said("local ok, why = pcall(spoa.atomic, function() while true do end end)\n"
               "local x <close> = setmetatable({}, { __close = function() said = 'closed' end })\n"
               "assert(not ok and why:match('handler%-cpu'), why)\n"
               "wait_for_look()\n"
               "spoa.atomic(spin, 0.005)\n"
               "spoa.sleep(0)",
               "str closed");
}
END_TEST

/* Each for itself is within handler-cpu. */
START_TEST(atomic_counts_for_the_whole_run)
{
    struct stage stage;

    stage_prepare(&stage, "local function spin(seconds)\n"
                          "  local over = spoa.now() + seconds\n"
                          "  while spoa.now() < over do end\n"
                          "end\n"
                          "function f() spoa.after(function()\n"
                          "  while true do spoa.atomic(spin, 0.003) end\n"
                          "end) end");
    stage.options.background_cpu = 0.05;
    stage_begin(&stage);
    stage_expect(&stage, "f", NO_ARGS, "ok");
    finish(&stage);
}
END_TEST

START_TEST(atomic_in_a_handler_is_a_call)
{
    struct stage stage;

    stage_prepare(
        &stage, "function f() return spoa.atomic(function(x) return { ['txn.x'] = x } end, 1) end\n"
                "function waits() spoa.atomic(spoa.sleep, 0) end\n"
                "function fails() spoa.atomic(error, 'mine', 0) end\n"
                "function loops() while true do\n"
                "  pcall(spoa.atomic, function() while true do end end) end end");
    stage.options.cpu = 0.02;
    stage_begin(&stage);
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.x int64 1");
    stage_expect(&stage, "fails", NO_ARGS, "error mine");
    stage_expect(&stage, "waits", NO_ARGS,
                 "error cannot wait here: a C function (table.sort, string.gsub ...) is calling "
                 "back; wait before or after it");
    ck_assert_ptr_nonnull(strstr(stage_play(&stage, "loops", NO_ARGS), "timeout "));
    stage_expect(&stage, "f", NO_ARGS, "ok set-var txn.x int64 1");
    stage_close(&stage);
}
END_TEST

UNIT_MAIN("atomic", others_run_while_the_background_computes,
          they_run_while_a_coroutine_or_a_task_of_it_computes,
          a_slice_is_stretched_where_nothing_can_yield, a_stretched_slice_ends_with_the_c_function,
          atomic_runs_in_one_go, atomic_gives_arguments_results_and_errors, atomic_cannot_wait,
          atomic_has_handler_cpu_and_then_an_error, atomic_counts_for_the_whole_run,
          atomic_in_a_handler_is_a_call)
