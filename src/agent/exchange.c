#include "agent/exchange.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/mem.h"
#include "spop/message.h"

/* More than any configuration of HAProxy can name, and a bound for what a peer can make us
 * remember of one NOTIFY. */
#define MESSAGES_MAX 1024

_Static_assert(TASK_BUSY + 1 == METRICS_RESULTS, "a result has its place in the metrics");

/* One message's part. */
struct reply {
    struct task *task; /* while it waits */
    struct handler *handler;
    uint64_t began; /* base/clock */
    char *traced;   /* see trace.h; NULL when nobody looks on */
    size_t at, len; /* its actions in `kept` */
};

struct exchange {
    LIST_ENTRY(exchange) entry;
    struct conn *conn;
    struct invoke_context context;
    struct script *script;
    size_t room;    /* for actions, when there are several messages */
    uint64_t since; /* when it came, by base/clock */
    bool late;      /* HAProxy has given up on it: its ACK carries nothing */
    unsigned nmessages, left;
    unsigned next; /* the first message that has not started */
    /* While that waits for its turn: */
    struct job job;
    ev_timer overdue;
    uint8_t *held; /* the payload from there on */
    size_t held_len;
    enum task_result failure; /* of the first message that failed */
    struct reply *replies;    /* &only, or allocated */
    struct reply only;
    struct span direct; /* a single message's actions, still where the task left them */
    uint8_t *kept;      /* the actions of several messages, in the order they ended */
    size_t kept_len, kept_cap;
    struct background_list after; /* what begins when the ACK is on its way */
};

/* ---- memory ---- */

static struct exchange *exchange_new(struct conn *conn, unsigned nmessages)
{
    struct exchange *exchange = LIST_FIRST(&conn->agent->unused);

    if (exchange)
        LIST_REMOVE(exchange, entry);
    else
        exchange = mem_alloc(sizeof *exchange);
    exchange->conn = conn;
    exchange->since = conn->since;
    exchange->late = false;
    exchange->nmessages = nmessages;
    exchange->next = 0;
    exchange->held = NULL;
    exchange->left = nmessages + 1; /* one for exchange_start itself */
    exchange->failure = TASK_OK;
    exchange->only = (struct reply){0};
    exchange->replies = &exchange->only;
    exchange->direct = (struct span){"", 0};
    exchange->kept = NULL;
    TAILQ_INIT(&exchange->after);
    exchange->kept_len = exchange->kept_cap = 0;
    if (nmessages > 1)
        exchange->replies = mem_zalloc(nmessages * sizeof *exchange->replies);
    LIST_INSERT_HEAD(&conn->exchanges, exchange, entry);
    conn->pending++;
    conn->agent->metrics->n[METRIC_IN_FLIGHT]++;
    return exchange;
}

static void exchange_free(struct exchange *exchange)
{
    struct conn *conn = exchange->conn;

    LIST_REMOVE(exchange, entry);
    conn->pending--;
    conn->agent->metrics->n[METRIC_IN_FLIGHT]--;
    if (exchange->replies != &exchange->only)
        free(exchange->replies);
    free(exchange->kept);
    LIST_INSERT_HEAD(&conn->agent->unused, exchange, entry);
}

void exchange_pool_clear(struct agent *agent)
{
    while (!LIST_EMPTY(&agent->unused)) {
        struct exchange *exchange = LIST_FIRST(&agent->unused);

        LIST_REMOVE(exchange, entry);
        free(exchange);
    }
}

/* ---- the ACK ---- */

/* What the error variable's set-var takes at the most ("too_big" and "timeout" are the longest
 * reasons): whatever its name is by the time of the answer, which a reload may change. */
#define ERROR_ROOM (ACTION_HEAD_MAX + 1 + 1 + 7)

/* The bytes of actions an ACK can have.  HAProxy 3.1 and later freeze on a frame of exactly
 * max-frame-size, so one byte less. */
static size_t ack_room(const struct conn *conn, uint64_t stream_id, uint64_t frame_id)
{
    return conn->max_frame_size - 1 - (1 + 4) - wire_varint_size(stream_id) -
           wire_varint_size(frame_id);
}

static void put_error(struct wire_out *out, const struct agent_options *options,
                      enum task_result why)
{
    struct value value = value_bytes(VALUE_STR, span_of(task_result_name(why)));

    action_put_set(out, options->error_scope, options->error_name, &value);
}

void exchange_reject(struct conn *conn, uint64_t stream_id, uint64_t frame_id, enum task_result why)
{
    const struct agent_options *options = conn->agent->options;
    struct wire_out out = conn_output(conn, FRAME_HEAD_MAX + ERROR_ROOM);
    uint8_t *begin = frame_begin(&out, FRAME_ACK, FRAME_FIN | FRAME_ABORT, stream_id, frame_id);

    put_error(&out, options, why);
    frame_end(&out, begin);
    metrics_frame(conn->agent->metrics, METRIC_FRAMES_OUT_ACK, conn_put_length(conn, &out));
    conn_written(conn, &out);
}

/* Several messages: their actions in message order. */
static void put_kept(const struct exchange *exchange, struct wire_out *out)
{
    for (unsigned i = 0; i < exchange->nmessages; i++) {
        const struct reply *reply = &exchange->replies[i];

        if (reply->len)
            wire_put_bytes(out, exchange->kept + reply->at, reply->len);
    }
}

static void exchange_answer(struct exchange *exchange)
{
    struct conn *conn = exchange->conn;
    const struct agent_options *options = conn->agent->options;
    const struct invoke_context *context = &exchange->context;
    size_t size = exchange->direct.len + exchange->kept_len + ERROR_ROOM;
    struct wire_out out = conn_output(conn, FRAME_HEAD_MAX + size);
    uint8_t *begin = frame_begin(&out, FRAME_ACK, FRAME_FIN, context->subject.stream_id,
                                 context->subject.frame_id);

    if (!exchange->late) {
        wire_put_bytes(&out, exchange->direct.at, exchange->direct.len);
        put_kept(exchange, &out);
        if (exchange->failure != TASK_OK)
            put_error(&out, options, exchange->failure);
    }
    frame_end(&out, begin);
    metrics_frame(conn->agent->metrics, METRIC_FRAMES_OUT_ACK, conn_put_length(conn, &out));
    conn_written(conn, &out);
    background_release(exchange->script, &exchange->after);
    exchange_free(exchange);
    conn_answered(conn);
}

/* ---- the messages ---- */

/* False when, with those of the messages that ended before it, they do not fit an ACK. */
static bool keep_actions(struct exchange *exchange, struct reply *reply, struct span actions)
{
    size_t need = exchange->kept_len + actions.len;

    if (need > exchange->room)
        return false;
    if (need > exchange->kept_cap) {
        exchange->kept_cap = need * 2;
        exchange->kept = mem_resize(exchange->kept, exchange->kept_cap);
    }
    reply->at = exchange->kept_len;
    reply->len = actions.len;
    memcpy(exchange->kept + reply->at, actions.at, actions.len);
    exchange->kept_len = need;
    return true;
}

static void message_failed(struct exchange *exchange, struct handler *handler,
                           enum task_result result, const char *text)
{
    const struct log_subject *subject = &exchange->context.subject;
    const char *message = handler->message ? handler->message : handler->name;
    struct log_about caller = log_about;
    char line[512];

    handler->metrics->results[result]++;
    if (exchange->failure == TASK_OK)
        exchange->failure = result;
    snprintf(line, sizeof line, "message %s (stream %" PRIu64 ", frame %" PRIu64 ", %s): %s: %s",
             message, subject->stream_id, subject->frame_id, subject->peer,
             task_result_name(result), text);
    metrics_error(exchange->conn->agent->metrics, line);
    log_about = (struct log_about){subject, message};
    log_limited(&handler->failures, LEVEL_ERR, "message failed, %s: %s", task_result_name(result),
                text);
    log_about = caller;
}

static void exchange_settle(struct exchange *exchange)
{
    if (--exchange->left == 0)
        exchange_answer(exchange);
}

static void message_traced(struct agent *agent, struct reply *reply,
                           const struct invoke_report *report)
{
    if (!reply->traced)
        return;
    trace_ended(&agent->traces, reply->traced, report, clock_seen() - reply->began);
    reply->traced = NULL;
}

/* An invoke_done_fn. */
static void message_done(void *owner, unsigned slot, const struct invoke_report *report)
{
    struct exchange *exchange = owner;
    struct reply *reply = &exchange->replies[slot];

    reply->task = NULL;
    metrics_duration(reply->handler->metrics, clock_seen() - reply->began);
    message_traced(exchange->conn->agent, reply, report);
    background_move(&exchange->after, report->after);
    if (report->result != TASK_OK)
        message_failed(exchange, reply->handler, report->result, report->text);
    else if (exchange->nmessages > 1 && report->actions.len &&
             !keep_actions(exchange, reply, report->actions))
        message_failed(exchange, reply->handler, TASK_TOO_BIG,
                       "with those of the other messages its actions do not fit an ACK");
    else
        reply->handler->metrics->results[TASK_OK]++;
    if (exchange->nmessages == 1)
        exchange->direct = report->actions;
    exchange_settle(exchange);
}

static void message_unknown(struct conn *conn, struct span name, bool first)
{
    conn->agent->metrics->n[METRIC_MESSAGES_UNKNOWN]++;
    if (first)
        log_limited(&conn->agent->unknowns, LEVEL_WARNING,
                    "message '%.*s' has no handler, so it sets nothing: define a global function "
                    "of that name in a script (other characters than letters and digits as _)",
                    (int)name.len, name.at);
}

static void message_start(struct exchange *exchange, struct handler *handler,
                          const struct message *message, unsigned slot)
{
    struct agent *agent = exchange->conn->agent;
    struct reply *reply = &exchange->replies[slot];
    struct invoke_call call = {
        .handler = handler,
        .message = message,
        .context = &exchange->context,
        .since = exchange->since,
        .room = exchange->room,
        .done = message_done,
        .owner = exchange,
        .slot = slot,
    };

    reply->handler = handler;
    reply->began = clock_seen();
    if (!LIST_EMPTY(&agent->traces))
        reply->traced = trace_begun(&agent->traces, message, &exchange->context);
    reply->task = invoke_start(exchange->script, &call);
}

/* ---- what waits for its turn ---- */

/* It does not wait any more. */
static void exchange_unhold(struct exchange *exchange)
{
    struct agent *agent = exchange->conn->agent;

    queue_remove(agent->queue, &exchange->job);
    ev_timer_stop(agent->loop, &exchange->overdue);
    free(exchange->held);
    exchange->held = NULL;
    exchange->conn->waiting -= exchange->held_len;
    conn_mark_dirty(exchange->conn); /* which may read again */
    script_release(exchange->script);
}

static void exchange_turn(struct job *job);
static void exchange_overdue(struct ev_loop *loop, ev_timer *timer, int events);

/* The rest of the payload, whose first message takes long, is kept until its turn comes, or
 * until that message's deadline. */
static void exchange_hold(struct exchange *exchange, struct wire rest, double timeout)
{
    struct agent *agent = exchange->conn->agent;
    uint64_t until = clock_after(exchange->since, timeout);

    exchange->held_len = wire_left(&rest);
    exchange->held = mem_alloc(exchange->held_len);
    memcpy(exchange->held, rest.at, exchange->held_len);
    exchange->conn->waiting += exchange->held_len;
    exchange->script->holds++;
    job_init(&exchange->job, exchange_turn);
    queue_add(agent->queue, &exchange->job, LANE_LONG);
    ev_timer_init(&exchange->overdue, exchange_overdue, 0, 0);
    exchange->overdue.data = exchange;
    clock_timer(agent->loop, &exchange->overdue, clock_seconds(clock_seen(), until));
}

/* Starts the messages that are next.  Of those that take long one may begin now when it is its
 * turn, and the next one waits for another. */
static void exchange_go_on(struct exchange *exchange, struct wire payload, bool its_turn)
{
    while (exchange->next < exchange->nmessages) {
        struct wire rest = payload;
        struct message message;
        struct handler *handler;
        bool first;

        if (exchange->next + 1 < exchange->nmessages)
            message_next(&payload, &message);
        else
            message_last(&payload, &message);
        handler = handler_find(&exchange->script->handlers, message.name, &first);
        if (handler && handler->cost > QUEUE_LONG && !its_turn) {
            exchange_hold(exchange, rest, handler->timeout);
            return;
        }
        its_turn = false;
        if (handler) {
            message_start(exchange, handler, &message, exchange->next++);
        } else {
            message_unknown(exchange->conn, message.name, first);
            exchange->next++;
            exchange->left--;
        }
    }
    exchange_settle(exchange);
}

static void exchange_turn(struct job *job)
{
    struct exchange *exchange = (struct exchange *)((char *)job - offsetof(struct exchange, job));
    uint8_t *held = exchange->held;
    struct log_about caller = log_about;
    struct script *script = exchange->script;

    exchange->held = NULL;
    script->holds++;
    exchange_unhold(exchange);
    log_about.subject = &exchange->context.subject;
    exchange_go_on(exchange, wire_open(held, exchange->held_len), true);
    log_about = caller;
    free(held);
    script_release(script);
}

/* Its handler refuses it now, for its time is up. */
static void exchange_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct exchange *exchange = timer->data;

    (void)loop;
    (void)events;
    clock_look();
    exchange_turn(&exchange->job);
}

/* ---- coming and going ---- */

/*
 * HAProxy 3.1 and later, without pipelining, has one stream a connection: a NOTIFY behind an
 * unanswered one tells that HAProxy has given up on that.  Nobody reads the older one's
 * actions any more, and together with the next ACK they might be the 16 KiB that freeze
 * HAProxy's multiplexer, so it is answered without them.
 */
static void mark_late(struct conn *conn)
{
    struct exchange *older;

    if (!conn->single)
        return;
    unread_notify(conn);
    LIST_FOREACH (older, &conn->exchanges, entry)
        older->late = true;
}

void exchange_start(struct conn *conn, uint64_t stream_id, uint64_t frame_id, struct wire payload)
{
    size_t room = ack_room(conn, stream_id, frame_id);
    struct exchange *exchange;
    size_t count;

    if (!message_check(payload, &count) || count > MESSAGES_MAX) {
        conn_refuse(conn, STATUS_INVALID);
        return;
    }
    conn->agent->metrics->n[METRIC_NOTIFIES]++;
    mark_late(conn);
    exchange = exchange_new(conn, (unsigned)count);
    exchange->script = conn->agent->script;
    exchange->context = (struct invoke_context){
        .subject =
            {
                .peer = conn->peer,
                .engine_id = conn->engine_id,
                .numbered = true,
                .stream_id = stream_id,
                .frame_id = frame_id,
            },
    };
    if (count > 1)
        room -= ERROR_ROOM;
    exchange->room = room;
    exchange_go_on(exchange, payload, false);
}

void exchange_cancel_all(struct conn *conn)
{
    while (!LIST_EMPTY(&conn->exchanges)) {
        struct exchange *exchange = LIST_FIRST(&conn->exchanges);

        /* In this order: with its last task a retired script is gone. */
        background_discard(exchange->script, &exchange->after);
        if (exchange->held)
            exchange_unhold(exchange);
        for (unsigned i = 0; i < exchange->nmessages; i++) {
            if (exchange->replies[i].task)
                task_cancel(exchange->replies[i].task);
            free(exchange->replies[i].traced);
        }
        conn->agent->metrics->n[METRIC_NOTIFIES_CANCELLED]++;
        exchange_free(exchange);
    }
}

uint64_t exchange_oldest(const struct conn *conn)
{
    const struct exchange *exchange;
    uint64_t oldest = CLOCK_NEVER;

    LIST_FOREACH (exchange, &conn->exchanges, entry)
        oldest = exchange->since; /* each new one is put in front */
    return oldest;
}
