#include "agent/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "spop/action.h"

#include "../unit.h"

/* Whoever looks on: the lines that were said, each with its id, and "end" behind a last one. */
static char said[32768];

static void hear(void *context, uint32_t id, const char *line, bool last)
{
    size_t len = strlen(said);

    ck_assert_ptr_eq(context, said);
    snprintf(said + len, sizeof said - len, "%u: %s%s\n", id, line, last ? " end" : "");
}

static void expect(const char *text)
{
    ck_assert_str_eq(said, text);
    said[0] = '\0';
}

static struct trace_list *look_on(struct trace_list *traces)
{
    LIST_INIT(traces);
    said[0] = '\0';
    return traces;
}

static const struct invoke_context context = {
    .subject = {.peer = "127.0.0.1:7", .numbered = true, .stream_id = 3, .frame_id = 4}};

/* A message with one argument, "a", a string of so many bytes. */
static char *begun(const struct trace_list *traces, const char *name, const char *bytes, size_t len)
{
    static uint8_t room[16384];
    struct wire_out out = wire_out_open(room, sizeof room);
    struct value value = {.type = VALUE_STR, .bytes = {bytes, len}};
    struct wire payload;
    struct message message;

    message_put(&out, span_of(name), 1);
    value_put_pair(&out, span_of("a"), &value);
    ck_assert(!out.full);
    payload = wire_open(room, (size_t)(out.at - room));
    ck_assert(message_next(&payload, &message));
    return trace_begun(traces, &message, &context);
}

static void run(struct trace_list *traces, const char *name)
{
    static const struct invoke_report report = {.result = TASK_OK};
    char *text = begun(traces, name, "x", 1);

    if (text)
        trace_ended(traces, text, &report, 1500000);
}

#define LINE "f (stream 3, frame 4, 127.0.0.1:7): a=str x -> no actions [1.500 ms]"

START_TEST(nobody_looks_on)
{
    struct trace_list traces;

    look_on(&traces);
    ck_assert_ptr_null(begun(&traces, "f", "x", 1));
    trace_start(&traces, 1, "f", 1, hear, said);
    ck_assert_ptr_null(begun(&traces, "ff", "x", 1));
    ck_assert_ptr_null(begun(&traces, "", "x", 1));
    trace_stop_all(&traces);
    expect("");
}
END_TEST

START_TEST(so_many_lines)
{
    struct trace_list traces;

    look_on(&traces);
    trace_start(&traces, 1, "f", 2, hear, said);
    run(&traces, "f");
    expect("1: " LINE "\n");
    run(&traces, "g");
    expect("");
    run(&traces, "f");
    expect("1: " LINE " end\n");
    run(&traces, "f");
    expect("");
    ck_assert(LIST_EMPTY(&traces));
}
END_TEST

START_TEST(several_look_on)
{
    struct trace_list traces;

    look_on(&traces);
    trace_start(&traces, 1, "f", 1, hear, said);
    trace_start(&traces, 2, "g", 9, hear, said);
    trace_start(&traces, 3, "f", 2, hear, said);
    run(&traces, "f");
    expect("3: " LINE "\n1: " LINE " end\n");
    run(&traces, "f");
    expect("3: " LINE " end\n");
    ck_assert_uint_eq(trace_stop(&traces, 2, ""), 1);
    expect("");
}
END_TEST

START_TEST(one_is_stopped_silently_and_all_with_a_word)
{
    struct trace_list traces;

    look_on(&traces);
    for (uint32_t id = 1; id <= 3; id++)
        trace_start(&traces, id, id == 2 ? "g" : "f", 9, hear, said);
    trace_start(&traces, 4, "f", 9, hear, said);
    ck_assert_uint_eq(trace_stop(&traces, 3, ""), 1);
    ck_assert_uint_eq(trace_stop(&traces, 3, ""), 0);
    expect("");
    ck_assert_uint_eq(trace_stop(&traces, 0, "f"), 2);
    expect("4:  end\n1:  end\n");
    ck_assert_uint_eq(trace_stop(&traces, 0, "f"), 0);
    trace_stop_all(&traces);
    expect("");
}
END_TEST

/* It began while somebody looked on; when it ends, others do, or nobody. */
START_TEST(who_looks_on_changes_meanwhile)
{
    static const struct invoke_report report = {.result = TASK_OK};
    struct trace_list traces;
    char *text;

    look_on(&traces);
    trace_start(&traces, 1, "f", 1, hear, said);
    text = begun(&traces, "f", "x", 1);
    trace_stop(&traces, 1, "");
    trace_ended(&traces, text, &report, 0);
    expect("");
    trace_start(&traces, 1, "f", 1, hear, said);
    text = begun(&traces, "f", "x", 1);
    trace_stop(&traces, 1, "");
    trace_start(&traces, 2, "f", 1, hear, said);
    trace_ended(&traces, text, &report, 1500000);
    expect("2: " LINE " end\n");
}
END_TEST

START_TEST(what_is_answered)
{
    uint8_t room[256];
    struct wire_out out = wire_out_open(room, sizeof room);
    struct value value = {.type = VALUE_INT64, .integer = 42};
    struct invoke_report report = {.result = TASK_OK};
    struct trace_list traces;

    action_put_set(&out, SCOPE_SESS, span_of("score"), &value);
    action_put_unset(&out, SCOPE_TXN, span_of("x"));
    report.actions = (struct span){(const char *)room, (size_t)(out.at - room)};
    look_on(&traces);
    trace_start(&traces, 1, "f", 2, hear, said);
    trace_ended(&traces, begun(&traces, "f", "\x1b[2J\n\xc2\x9b", 7), &report, 0);
    expect("1: f (stream 3, frame 4, 127.0.0.1:7): a=str \\x1b[2J\\x0a\\xc2\\x9b -> "
           "set-var sess.score int64 42, unset-var txn.x [0.000 ms]\n");
    report =
        (struct invoke_report){.result = TASK_ERROR, .text = "f.lua:1: \r\x1b\nstack traceback"};
    trace_ended(&traces, begun(&traces, "f", "x", 1), &report, 0);
    expect(
        "1: f (stream 3, frame 4, 127.0.0.1:7): a=str x -> error: f.lua:1: \\x0d\\x1b [0.000 ms] "
        "end\n");
}
END_TEST

START_TEST(long_lines_are_cut)
{
    static const struct invoke_report report = {.result = TASK_OK};
    static char bytes[8192];
    struct trace_list traces;

    memset(bytes, 'x', sizeof bytes);
    look_on(&traces);
    trace_start(&traces, 1, "f", 1, hear, said);
    trace_ended(&traces, begun(&traces, "f", bytes, sizeof bytes), &report, 0);
    ck_assert_uint_eq(strlen(said), strlen("1: ") + 4096 + strlen(" end\n"));
    ck_assert_str_eq(said + 3 + 4096 - 5, "xx... end\n");

    /* Between characters. */
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = "\xc3\xbc"[i % 2];
    trace_start(&traces, 2, "f", 1, hear, said);
    said[0] = '\0';
    trace_ended(&traces, begun(&traces, "f", bytes, sizeof bytes), &report, 0);
    ck_assert_ptr_nonnull(strstr(said, "\xc3\xbc... end\n"));
}
END_TEST

UNIT_MAIN("trace", nobody_looks_on, so_many_lines, several_look_on,
          one_is_stopped_silently_and_all_with_a_word, who_looks_on_changes_meanwhile,
          what_is_answered, long_lines_are_cut)
