#include "agent/agent.h"

#include "peer.h"

static const char handlers[] = "function version() return { ['txn.v'] = 'old' } end\n"
                               "function late(args)\n"
                               "  spoa.sleep(0.001)\n"
                               "  return { ['txn.v'] = 'late in the old' }\n"
                               "end\n"
                               "function only_old() return { ['txn.v'] = 'only old' } end\n"
                               "function forever() spoa.sleep(1000) end\n";

static void note(void *context)
{
    ++*(unsigned *)context;
}

/* ---- connections ---- */

START_TEST(so_many_connections_and_no_more)
{
    struct desk desk;
    struct peer peers[3], refused;

    desk_prepare(&desk, handlers);
    desk.options.max_connections = 3;
    desk_begin(&desk);
    for (int i = 0; i < 3; i++)
        peer_greet(&peers[i], &desk);
    for (int i = 0; i < 2; i++) {
        peer_open(&refused, &desk, SOCK_STREAM);
        peer_expect(&refused, "END");
        peer_close(&refused);
    }
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_CONNECTIONS_FULL), 2);
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_CONNECTIONS_OPENED), 5);
    ck_assert_uint_eq(desk.agent->nconns, 3);
    peer_close(&peers[1]);
    desk_settle(&desk);
    peer_greet(&peers[1], &desk);
    for (int i = 0; i < 3; i++) {
        peer_notify(&peers[i], 1, 1, "version");
        peer_expect(&peers[i], "ACK 1/1: set-var txn.v str old");
        peer_close(&peers[i]);
    }
    desk_close(&desk);
}
END_TEST

START_TEST(connections_do_not_mix)
{
    enum { MANY = 20 };
    struct desk desk;
    static struct peer peers[MANY];

    desk_open(&desk, "function echo(args) spoa.sleep(0) return { ['txn.n'] = args.n } end");
    for (int i = 0; i < MANY; i++)
        peer_greet(&peers[i], &desk);
    for (int i = 0; i < MANY; i++) {
        char message[32];

        snprintf(message, sizeof message, "echo:%d", i);
        peer_notify(&peers[i], 1, 1, message);
    }
    for (int i = MANY; i-- > 0;) {
        char expected[64];

        snprintf(expected, sizeof expected, "ACK 1/1: set-var txn.n int64 %d", i);
        peer_expect(&peers[i], expected);
        peer_close(&peers[i]);
    }
    desk_settle(&desk);
    ck_assert_uint_eq(desk.agent->nconns, 0);
    desk_close(&desk);
}
END_TEST

/* The process ends: whatever there is goes at once (AddressSanitizer looks). */
START_TEST(freed_with_everything_in_flight)
{
    struct desk desk;
    struct peer peers[3], silent;

    desk_open(&desk, handlers);
    for (int i = 0; i < 3; i++) {
        peer_greet(&peers[i], &desk);
        peer_notify(&peers[i], 1, 1, "forever late version");
        peer_notify(&peers[i], 2, 1, "late");
    }
    peer_open(&silent, &desk, SOCK_STREAM);
    peer_frame(&peers[0], FRAME_NOTIFY, 0, 3, 1, (struct span){"\x04late", 5});
    desk_settle(&desk);
    desk_close(&desk);
    for (int i = 0; i < 3; i++)
        peer_close(&peers[i]);
    peer_close(&silent);
}
END_TEST

/* ---- new scripts and options ---- */

/* Told that the second generation has been loaded. */
static void second_loaded(void *context, struct script *script, bool good)
{
    struct script **loaded = context;

    ck_assert(good);
    *loaded = script;
}

static struct script *load_second(struct desk *desk)
{
    struct script *script = NULL;
    char *path;

    ck_assert_ptr_nonnull(mkdtemp(strcpy(desk->stage.folder, "/tmp/spoa-lua-unit-XXXXXX")));
    path = stage_write(&desk->stage, "new.lua",
                       "function version() return { ['txn.v'] = 'new' } end\n"
                       "function late() return { ['txn.v'] = 'new' } end\n"
                       "function only_new() return { ['txn.v'] = 'only new' } end\n");
    desk->stage.options.files = &path;
    desk->stage.options.nfiles = 1;
    script_load(&desk->stage.queue, &desk->stage.options, true, stage_fault, second_loaded,
                &script);
    while (!script)
        stage_turn(&desk->stage);
    stage_forget_files(&desk->stage);
    return script;
}

START_TEST(handlers_finish_where_they_began)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "version");
    peer_expect(&peer, "ACK 1/1: set-var txn.v str old");
    peer_notify(&peer, 2, 1, "late version late");
    desk_settle(&desk);
    ck_assert_uint_eq(metrics_get(desk.agent->metrics, METRIC_NOTIFIES), 2);
    agent_configure(desk.agent, &desk.options, load_second(&desk));
    peer_notify(&peer, 3, 1, "version late only_new");
    peer_notify(&peer, 4, 1, "only_old");
    for (int i = 0; i < 3; i++) {
        static const char *const expected[] = {
            ("ACK 2/1: set-var txn.v str late in the old; set-var txn.v str late in the old; "
             "set-var txn.v str old"),
            "ACK 3/1: set-var txn.v str new; set-var txn.v str new; set-var txn.v str only new",
            "ACK 4/1",
        };
        const char *text = peer_next(&peer);
        unsigned id;

        ck_assert_int_eq(sscanf(text, "ACK %u/1", &id), 1);
        ck_assert_str_eq(text, expected[id - 2]);
    }
    peer_silent(&peer);
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* The connection goes while a handler of the old script runs on it. */
START_TEST(old_script_ends_with_a_connection)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "forever forever");
    desk_settle(&desk);
    agent_configure(desk.agent, &desk.options, load_second(&desk));
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(desk.agent->nconns, 0);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "version");
    peer_expect(&peer, "ACK 1/1: set-var txn.v str new");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* A script that is told to end in the middle of things; LeakSanitizer sees what is left. */
static const char endless[] = "function begin() spoa.after(function()\n"
                              "  local x <close> = setmetatable({}, { __close = function()\n"
                              "    spoa.after(print)\n"
                              "  end })\n"
                              "  spoa.sleep(1000)\n"
                              "end) end\n";

START_TEST(old_script_ends_with_the_agent)
{
    struct desk desk;
    struct peer peer;

    desk_open(&desk, endless);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "begin");
    peer_expect(&peer, "ACK 1/1");
    desk_settle(&desk);
    agent_configure(desk.agent, &desk.options, load_second(&desk));
    ck_assert(!LIST_EMPTY(&desk.agent->retired));
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

START_TEST(new_options_from_the_next_notify_on)
{
    struct desk desk;
    struct peer peer;
    struct agent_options options;

    desk_open(&desk, "function fails() error('oops') end");
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "fails");
    peer_expect(&peer, "ACK 1/1: set-var txn.spoa_error str error");
    options = desk.options;
    options.error_scope = SCOPE_REQ;
    options.error_name = span_of("why");
    options.max_payload = 1;
    agent_configure(desk.agent, &options, load_second(&desk));
    peer_notify(&peer, 2, 1, "version");
    peer_expect(&peer, "ACK 2/1: set-var txn.v str new");
    peer_frame(&peer, FRAME_NOTIFY, 0, 3, 1, (struct span){"", 0});
    peer_frame(&peer, FRAME_UNSET, FRAME_FIN, 3, 1, (struct span){"xx", 2});
    peer_expect(&peer, "ACK ABORT 3/1: set-var req.why str too_big");
    peer_close(&peer);
    desk_close(&desk);
}
END_TEST

/* ---- draining ---- */

START_TEST(drained_of_nothing)
{
    struct desk desk;
    unsigned drained = 0;

    desk_open(&desk, handlers);
    agent_drain(desk.agent, note, &drained);
    ck_assert_uint_eq(drained, 0); /* from the loop */
    desk_settle(&desk);
    ck_assert_uint_eq(drained, 1);
    desk_close(&desk);
}
END_TEST

START_TEST(drained_of_idle_connections)
{
    struct desk desk;
    struct peer peers[3];
    unsigned drained = 0;

    desk_open(&desk, handlers);
    for (int i = 0; i < 3; i++)
        peer_greet(&peers[i], &desk);
    agent_drain(desk.agent, note, &drained);
    for (int i = 0; i < 3; i++) {
        peer_expect(&peers[i], "AGENT-DISCONNECT 0");
        peer_expect(&peers[i], "END");
        ck_assert_uint_eq(drained, 0);
        peer_close(&peers[i]);
        desk_settle(&desk);
    }
    ck_assert_uint_eq(drained, 1);
    ck_assert_uint_eq(desk.agent->nconns, 0);
    desk_close(&desk);
}
END_TEST

/* What spoa.after began in a script that serves no more is as good as in one that does. */
START_TEST(drained_of_what_an_old_script_does)
{
    struct desk desk;
    struct peer peer;
    unsigned drained = 0;

    desk_open(&desk, "function begin() spoa.after(function() spoa.sleep(0.05) end) end");
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "begin");
    peer_expect(&peer, "ACK 1/1");
    peer_close(&peer);
    agent_configure(desk.agent, &desk.options, load_second(&desk));
    agent_drain(desk.agent, note, &drained);
    while (drained == 0)
        stage_turn(&desk.stage);
    ck_assert(LIST_EMPTY(&desk.agent->retired));
    desk_close(&desk);
}
END_TEST

/* What is in flight is answered, then it is goodbye. */
START_TEST(drained_of_work)
{
    struct desk desk;
    struct peer peer;
    unsigned drained = 0;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, 1, 1, "late");
    peer_notify(&peer, 2, 1, "late version");
    desk_settle(&desk);
    agent_drain(desk.agent, note, &drained);
    for (int i = 0; i < 2; i++) {
        const char *text = peer_next(&peer);

        ck_assert_msg(strncmp(text, "ACK ", 4) == 0, "%s", text);
    }
    peer_expect(&peer, "AGENT-DISCONNECT 0");
    peer_expect(&peer, "END");
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(drained, 1);
    desk_close(&desk);
}
END_TEST

/* Never idle, so it is not read any more after a while: what was is answered. */
START_TEST(drained_of_one_that_is_never_idle)
{
    struct desk desk;
    struct peer peer;
    unsigned drained = 0, asked = 1, answered = 0;
    const char *text;

    desk_open(&desk, handlers);
    peer_greet(&peer, &desk);
    peer_notify(&peer, asked++, 1, "late");
    desk_settle(&desk);
    agent_drain(desk.agent, note, &drained);
    for (;;) {
        uint8_t bytes[256];
        struct wire_out out = wire_out_open(bytes, sizeof bytes);

        peer_notify_put(&out, asked++, 1, "late");
        send(peer.fd, bytes, (size_t)(out.at - bytes), MSG_NOSIGNAL);
        text = peer_next(&peer);
        if (strncmp(text, "ACK ", 4) != 0)
            break;
        answered++;
    }
    ck_assert_str_eq(text, "AGENT-DISCONNECT 0");
    ck_assert_uint_ge(answered, 1);
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(drained, 1);
    desk_close(&desk);
}
END_TEST

/* A NOTIFY in pieces is waited for, but not for as long as fragment-timeout. */
START_TEST(drained_of_half_a_notify)
{
    struct desk desk;
    struct peer whole, half;
    unsigned drained = 0;

    desk_open(&desk, handlers);
    peer_greet(&whole, &desk);
    peer_greet(&half, &desk);
    peer_frame(&whole, FRAME_NOTIFY, 0, 1, 1, (struct span){"\x07version", 8});
    peer_frame(&half, FRAME_NOTIFY, 0, 1, 1, (struct span){"\x07version", 8});
    desk_settle(&desk);
    agent_drain(desk.agent, note, &drained);
    desk_settle(&desk);
    peer_frame(&whole, FRAME_UNSET, FRAME_FIN, 1, 1, (struct span){"", 1});
    peer_expect(&whole, "ACK 1/1: set-var txn.v str old");
    peer_expect(&whole, "AGENT-DISCONNECT 0");
    peer_expect(&half, "AGENT-DISCONNECT 0");
    peer_close(&whole);
    peer_close(&half);
    desk_settle(&desk);
    ck_assert_uint_eq(drained, 1);
    desk_close(&desk);
}
END_TEST

/* One that never says HELLO does not keep the agent. */
START_TEST(drained_of_who_says_nothing)
{
    struct desk desk;
    struct peer peer;
    unsigned drained = 0;

    desk_open(&desk, handlers);
    peer_open(&peer, &desk, SOCK_STREAM);
    agent_drain(desk.agent, note, &drained);
    peer_expect(&peer, "AGENT-DISCONNECT 0");
    peer_expect(&peer, "END");
    peer_close(&peer);
    desk_settle(&desk);
    ck_assert_uint_eq(drained, 1);
    desk_close(&desk);
}
END_TEST

UNIT_MAIN("agent", so_many_connections_and_no_more, connections_do_not_mix,
          freed_with_everything_in_flight, handlers_finish_where_they_began,
          old_script_ends_with_a_connection, old_script_ends_with_the_agent,
          new_options_from_the_next_notify_on, drained_of_nothing, drained_of_idle_connections,
          drained_of_work, drained_of_what_an_old_script_does, drained_of_one_that_is_never_idle,
          drained_of_half_a_notify, drained_of_who_says_nothing)
