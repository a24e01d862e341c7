#include "agent/exchange.h"

#include "peer.h"

static const char handlers[] =
    "function one() return { ['txn.one'] = 1 } end\n"
    "function two() return { ['txn.two'] = 2 } end\n"
    "function same(args) return { ['txn.same'] = args.n } end\n"
    "function late(args) spoa.sleep(0.001) return { ['txn.late'] = args.n } end\n"
    "function nothing() end\n"
    "function fails() error('oops') end\n"
    "function bad() return { ['txn.x'] = {} } end\n"
    "function big(args) return { ['txn.big' .. args.n] = ('x'):rep(args.n) } end\n"
    "function late_big(args)\n"
    "  spoa.sleep(0.001)\n"
    "  return { ['txn.late_big'] = ('x'):rep(args.n) }\n"
    "end\n"
    "function forever()\n"
    "  local x <close> = setmetatable({}, { __close = function()\n"
    "    _G.closed = (_G.closed or 0) + 1\n"
    "  end })\n"
    "  spoa.sleep(1000)\n"
    "end\n"
    "function counts() _G.count = (_G.count or 0) + 1 end\n"
    "function then_after(args)\n"
    "  spoa.after(function() _G.after = (_G.after or 0) + 1 end)\n"
    "  if args.n then spoa.sleep(args.n) end\n"
    "end\n";

START_TEST(one_message)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "one");
    peer_expect(&peer, "ACK 1/1: set-var txn.one int64 1");
    peer_notify(&peer, 2, 1, "nothing");
    peer_expect(&peer, "ACK 2/1");
    peer_notify(&peer, 3, 1, "late:5");
    peer_expect(&peer, "ACK 3/1: set-var txn.late int64 5");
    peer_notify(&peer, 4, 1, "");
    peer_expect(&peer, "ACK 4/1");
    peer_silent(&peer);
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_NOTIFIES), 4);
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_FRAMES_OUT_ACK), 4);
    ck_assert_uint_eq(metrics_results(desk.agent->metrics, TASK_OK), 3);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(ids_of_64_bits)
{
    static const uint64_t ids[] = {0,      1,      239,        240,        2287,      2288,
                                   264431, 264432, UINT32_MAX, 1ull << 63, UINT64_MAX};
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char expected[128];
        uint64_t frame_id = ids[sizeof ids / sizeof *ids - 1 - i];

        snprintf(expected, sizeof expected, "ACK %" PRIu64 "/%" PRIu64 ": set-var txn.one int64 1",
                 ids[i], frame_id);
        peer_notify(&peer, ids[i], frame_id, "one");
        peer_expect(&peer, expected);
    }
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(several_messages)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "one two");
    peer_expect(&peer, "ACK 1/1: set-var txn.one int64 1; set-var txn.two int64 2");
    peer_notify(&peer, 2, 1, "nothing late:5 unknown two late:6");
    peer_expect(&peer, "ACK 2/1: set-var txn.late int64 5; set-var txn.late int64 6; "
                       "set-var txn.two int64 2");
    peer_notify(&peer, 3, 1, "nothing unknown nothing");
    peer_expect(&peer, "ACK 3/1");
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_MESSAGES_UNKNOWN), 2);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* HAProxy applies actions in order, so the last message must have the last word, in whatever
 * order the handlers end. */
START_TEST(actions_in_message_order)
{
    struct desk desk;
    struct peer peer;
    struct frame frame;
    struct action action;
    size_t used;
    static const char *const names[] = {"late", "same", "one", "late", "same"};
    static const uint64_t values[] = {1, 2, 1, 3, 4};

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "late:1 same:2 one late:3 same:4");
    while (frame_get(peer.in + peer.used, peer.len - peer.used, 16384, &frame, &used) != FRAME_OK) {
        ev_io_start(desk.stage.loop, &peer.readable);
        stage_turn(&desk.stage);
        ev_io_stop(desk.stage.loop, &peer.readable);
        peer_read(&peer);
    }
    for (size_t i = 0; i < 5; i++) {
        ck_assert(action_next(&frame.payload, &action));
        ck_assert(span_is(action.name, names[i]));
        ck_assert_uint_eq(action.value.integer, values[i]);
    }
    ck_assert(!action_next(&frame.payload, &action));
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(nobody_for_a_message)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    for (uint64_t i = 1; i <= 3; i++) {
        char expected[32];

        peer_notify(&peer, i, 1, "unknown");
        snprintf(expected, sizeof expected, "ACK %" PRIu64 "/1", i);
        peer_expect(&peer, expected);
    }
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_MESSAGES_UNKNOWN), 3);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* ---- failures ---- */

START_TEST(failed_message)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "fails");
    peer_expect(&peer, "ACK 1/1: set-var txn.spoa_error str error");
    peer_notify(&peer, 2, 1, "bad");
    peer_expect(&peer, "ACK 2/1: set-var txn.spoa_error str error");
    peer_notify(&peer, 3, 1, "one");
    peer_expect(&peer, "ACK 3/1: set-var txn.one int64 1");
    ck_assert_uint_eq(metrics_results(desk.agent->metrics, TASK_ERROR), 2);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* The others' actions stand, later ones run, and the variable is set once. */
START_TEST(failed_among_others)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "one fails two bad late:3 fails");
    peer_expect(&peer, "ACK 1/1: set-var txn.late int64 3; set-var txn.one int64 1; "
                       "set-var txn.spoa_error str error; set-var txn.two int64 2");
    peer_notify(&peer, 2, 1, "fails fails fails");
    peer_expect(&peer, "ACK 2/1: set-var txn.spoa_error str error");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(error_variable_of_the_configuration)
{
    struct desk desk;
    struct peer peer;

    desk_prepare(&desk, handlers);
    desk.options.error_scope = SCOPE_SESS;
    desk.options.error_name = span_of("why.it_failed");
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "fails");
    peer_expect(&peer, "ACK 1/1: set-var sess.why.it_failed str error");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(busy_and_overdue)
{
    struct desk desk;
    struct peer peer;

    desk_prepare(&desk, handlers);
    desk.stage.options.concurrency = 2;
    desk.stage.options.limits =
        (struct script_limit[]){{.name = (char[]){"forever"}, .timeout = 0.05}};
    desk.stage.options.nlimits = 1;
    desk_begin(&desk);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "forever forever one");
    peer_notify(&peer, 2, 1, "one");
    peer_expect(&peer, "ACK 2/1: set-var txn.spoa_error str busy");
    peer_expect(&peer, "ACK 1/1: set-var txn.spoa_error str busy");
    peer_notify(&peer, 3, 1, "one forever");
    peer_expect(&peer, "ACK 3/1: set-var txn.one int64 1; set-var txn.spoa_error str timeout");
    ck_assert_uint_eq(metrics_results(desk.agent->metrics, TASK_BUSY), 2);
    ck_assert_uint_eq(metrics_results(desk.agent->metrics, TASK_TIMEOUT), 3);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* ---- sizes ---- */

/* The biggest reply that fits makes a frame of max-frame-size - 1. */
START_TEST(biggest_reply)
{
    const size_t head = 1 + 4 + 1 + 1;       /* type, flags, ids */
    const size_t action = 3 + 1 + 8 + 1 + 3; /* head, name's length, name, type, length */
    const size_t biggest = 16384 - 1 - head - action;
    struct desk desk;
    struct peer peer;
    char messages[64];

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    snprintf(messages, sizeof messages, "big:%zu", biggest);
    peer_notify(&peer, 1, 1, messages);
    while (peer.len < 4 + 16383) {
        ev_io_start(desk.stage.loop, &peer.readable);
        stage_turn(&desk.stage);
        ev_io_stop(desk.stage.loop, &peer.readable);
        peer_read(&peer);
    }
    ck_assert_uint_eq(peer.len - peer.used, 4 + 16383);
    ck_assert_mem_eq(peer.in + peer.used, "\x00\x00\x3f\xff\x67", 5);
    peer.used = peer.len;
    snprintf(messages, sizeof messages, "big:%zu", biggest + 1);
    peer_notify(&peer, 2, 1, messages);
    peer_expect(&peer, "ACK 2/1: set-var txn.spoa_error str too_big");
    peer_notify(&peer, 3, 1, "one");
    peer_expect(&peer, "ACK 3/1: set-var txn.one int64 1");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* Each would fit alone: what does not fit any more fails, whole. */
START_TEST(sum_too_big)
{
    struct desk desk;
    struct peer peer;
    const char *text;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "late_big:16000 big:900 one late:3");
    text = peer_next(&peer);
    ck_assert_ptr_nonnull(strstr(text, "set-var txn.one int64 1"));
    ck_assert_ptr_nonnull(strstr(text, "set-var txn.big900 str xxx"));
    ck_assert_ptr_nonnull(strstr(text, "set-var txn.spoa_error str too_big"));
    ck_assert_ptr_null(strstr(text, "late_big"));
    ck_assert_uint_eq(metrics_results(desk.agent->metrics, TASK_TOO_BIG), 1);
    ck_assert_uint_eq(metrics_results(desk.agent->metrics, TASK_OK), 3);
    peer_notify(&peer, 2, 1, "one two");
    peer_expect(&peer, "ACK 2/1: set-var txn.one int64 1; set-var txn.two int64 2");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

static void send_messages(struct peer *peer, uint64_t stream_id, size_t count, const char *name)
{
    size_t room = FRAME_HEAD_MAX + count * 16;
    uint8_t *bytes = malloc(room), *begin;
    struct wire_out out = wire_out_open(bytes, room);

    begin = frame_begin(&out, FRAME_NOTIFY, FRAME_FIN, stream_id, 1);
    for (size_t i = 0; i < count; i++)
        message_put(&out, span_of(name), 0);
    frame_end(&out, begin);
    ck_assert(!out.full);
    peer_send(peer, bytes, (size_t)(out.at - bytes));
    free(bytes);
}

START_TEST(so_many_messages_and_no_more)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    send_messages(&peer, 1, 1024, "counts");
    peer_expect(&peer, "ACK 1/1");
    ck_assert_uint_eq(metrics_results(desk.agent->metrics, TASK_OK), 1024);
    send_messages(&peer, 2, 1025, "counts");
    peer_expect(&peer, "AGENT-DISCONNECT 4");
    peer_expect(&peer, "END");
    ck_assert_uint_eq(metrics_results(desk.agent->metrics, TASK_OK), 1024);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* Wrong in its last byte: the connection is refused before any of its messages runs. */
START_TEST(malformed_payload)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_frame(&peer, FRAME_NOTIFY, FRAME_FIN, 1, 1,
               (struct span){"\x06"
                             "counts\x00\x06"
                             "counts\x01\x01n",
                             18});
    peer_expect(&peer, "AGENT-DISCONNECT 4");
    peer_expect(&peer, "END");
    for (unsigned r = 0; r < TASK_BUSY; r++)
        ck_assert_uint_eq(metrics_results(desk.agent->metrics, r), 0);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* ---- given up, gone ---- */

/* With one stream at a time, a NOTIFY behind an unanswered one tells that HAProxy has given up
 * on that: it is answered, with nothing. */
START_TEST(given_up)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet_single(&peer, &desk);
    peer_notify(&peer, 1, 1, "late:1");
    peer_expect(&peer, "ACK 1/1: set-var txn.late int64 1");
    peer_notify(&peer, 3, 1, "late:3");
    peer_notify(&peer, 5, 1, "late:5 fails");
    peer_notify(&peer, 7, 1, "late:7");
    for (int i = 0; i < 3; i++) {
        const char *text = peer_next(&peer);

        ck_assert_msg(strcmp(text, "ACK 3/1") == 0 || strcmp(text, "ACK 5/1") == 0 ||
                          strcmp(text, "ACK 7/1: set-var txn.late int64 7") == 0,
                      "%s", text);
    }
    peer_silent(&peer);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(pipelined_is_not_given_up)
{
    struct desk desk;
    struct peer peer;
    bool seen[4] = {false};

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    for (uint64_t i = 1; i <= 3; i++)
        peer_notify(&peer, i, 1, "late:9");
    for (int i = 0; i < 3; i++) {
        const char *text = peer_next(&peer);
        unsigned id;

        ck_assert_int_eq(sscanf(text, "ACK %u/1: set-var txn.late int64 9", &id), 1);
        ck_assert(id >= 1 && id <= 3 && !seen[id]);
        seen[id] = true;
        ck_assert_ptr_nonnull(strstr(text, "int64 9"));
    }
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(connection_gone)
{
    struct desk desk;
    struct peer peer;
    lua_State *lua;

    desk_open(&desk, handlers);
    lua = desk.agent->script->lua;
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "forever one forever");
    peer_notify(&peer, 2, 1, "forever");
    peer_silent(&peer);
    ck_assert_uint_eq(desk.agent->script->tasks.count, 3);
    ck_assert_uint_eq(desk_conn(&desk)->pending, 2);
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(desk.agent->nconns, 0);
    ck_assert_uint_eq(desk.agent->script->tasks.count, 0);
    lua_getglobal(lua, "closed");
    ck_assert_int_eq(lua_tointeger(lua, -1), 3);
    lua_pop(lua, 1);
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_FRAMES_OUT_ACK), 0);
    desk_close(&desk);
}
END_TEST

static lua_Integer global_of(const struct desk *desk, const char *name)
{
    lua_State *lua = desk->agent->script->lua;
    lua_Integer n;

    lua_getglobal(lua, name);
    n = lua_tointeger(lua, -1);
    lua_pop(lua, 1);
    return n;
}

/* What spoa.after left runs once the ACK is on its way, and never when there is none. */
START_TEST(after_the_ack)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "then_after one then_after");
    peer_expect(&peer, "ACK 1/1: set-var txn.one int64 1");
    while (global_of(&desk, "after") < 2)
        stage_turn(&desk.stage);
    peer_notify(&peer, 2, 1, "then_after then_after:1000");
    peer_silent(&peer);
    ck_assert_int_eq(global_of(&desk, "after"), 2);
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_int_eq(global_of(&desk, "after"), 2);
    ck_assert_uint_eq(desk.agent->script->tasks.count, 0);
    desk_close(&desk);
}
END_TEST

/* A message that ends at once wakes another, which ends in the same turn: each has its own. */
START_TEST(woken_by_another_message)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, "local shared\n"
                     "function waits()\n"
                     "  shared = spoa.spawn(spoa.sleep, 1000)\n"
                     "  pcall(shared.wait, shared)\n"
                     "  return { ['txn.who'] = 'who waited' }\n"
                     "end\n"
                     "function wakes()\n"
                     "  shared:cancel()\n"
                     "  return { ['txn.who'] = 'who woke it' }\n"
                     "end");
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "waits");
    peer_silent(&peer);
    peer_notify(&peer, 2, 1, "wakes");
    for (int i = 0; i < 2; i++) {
        static const char *const expected[] = {
            "ACK 1/1: set-var txn.who str who waited",
            "ACK 2/1: set-var txn.who str who woke it",
        };
        const char *text = peer_next(&peer);
        unsigned id;

        ck_assert_int_eq(sscanf(text, "ACK %u/1", &id), 1);
        ck_assert_str_eq(text, expected[id - 1]);
    }
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

UNIT_MAIN("exchange", one_message, ids_of_64_bits, several_messages, actions_in_message_order,
          nobody_for_a_message, failed_message, failed_among_others,
          error_variable_of_the_configuration, busy_and_overdue, biggest_reply, sum_too_big,
          so_many_messages_and_no_more, malformed_payload, given_up, pipelined_is_not_given_up,
          connection_gone, after_the_ack, woken_by_another_message)
