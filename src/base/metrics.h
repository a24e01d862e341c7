/*
 * metrics: what one worker counts, in memory that its supervisor can read.
 *
 * One writer, the worker, without locks; readers use metrics_get.  The memory outlives the
 * worker, so counters go on when another takes its place; gauges begin again.
 *
 * A metric is a row here, and all that is known of it; rows of one family stand together.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* X(identifier, COUNTER or GAUGE, family, labels, help).  Names as Prometheus wants them:
 * base units, _total for counters.  Of a family the first row has the help. */
#define METRICS(X)                                                                                 \
    X(CONNECTIONS_OPENED, COUNTER, "spoa_lua_connections_opened_total", "",                        \
      "Connections taken from HAProxy.")                                                           \
    X(CONNECTIONS_CLOSED, COUNTER, "spoa_lua_connections_closed_total", "",                        \
      "Connections closed by either side.")                                                        \
    X(CONNECTIONS_FULL, COUNTER, "spoa_lua_connections_rejected_total", "",                        \
      "Connections closed at once because of max-connections.")                                    \
    X(HANDSHAKES, COUNTER, "spoa_lua_handshakes_total", "kind=\"session\"",                        \
      "HELLOs that were accepted, by what the connection is for.")                                 \
    X(HEALTHCHECKS, COUNTER, "spoa_lua_handshakes_total", "kind=\"check\"", "")                    \
    X(FRAMES_IN_HELLO, COUNTER, "spoa_lua_frames_total", "direction=\"in\",type=\"hello\"",        \
      "Frames of SPOP, by direction and type.")                                                    \
    X(FRAMES_IN_NOTIFY, COUNTER, "spoa_lua_frames_total", "direction=\"in\",type=\"notify\"", "")  \
    X(FRAMES_IN_FRAGMENT, COUNTER, "spoa_lua_frames_total", "direction=\"in\",type=\"fragment\"",  \
      "")                                                                                          \
    X(FRAMES_IN_DISCONNECT, COUNTER, "spoa_lua_frames_total",                                      \
      "direction=\"in\",type=\"disconnect\"", "")                                                  \
    X(FRAMES_IN_OTHER, COUNTER, "spoa_lua_frames_total", "direction=\"in\",type=\"other\"", "")    \
    X(FRAMES_OUT_HELLO, COUNTER, "spoa_lua_frames_total", "direction=\"out\",type=\"hello\"", "")  \
    X(FRAMES_OUT_ACK, COUNTER, "spoa_lua_frames_total", "direction=\"out\",type=\"ack\"", "")      \
    X(FRAMES_OUT_DISCONNECT, COUNTER, "spoa_lua_frames_total",                                     \
      "direction=\"out\",type=\"disconnect\"", "")                                                 \
    X(BYTES_IN_HELLO, COUNTER, "spoa_lua_bytes_total", "direction=\"in\",type=\"hello\"",          \
      "Bytes of frames, by direction and type.")                                                   \
    X(BYTES_IN_NOTIFY, COUNTER, "spoa_lua_bytes_total", "direction=\"in\",type=\"notify\"", "")    \
    X(BYTES_IN_FRAGMENT, COUNTER, "spoa_lua_bytes_total", "direction=\"in\",type=\"fragment\"",    \
      "")                                                                                          \
    X(BYTES_IN_DISCONNECT, COUNTER, "spoa_lua_bytes_total",                                        \
      "direction=\"in\",type=\"disconnect\"", "")                                                  \
    X(BYTES_IN_OTHER, COUNTER, "spoa_lua_bytes_total", "direction=\"in\",type=\"other\"", "")      \
    X(BYTES_OUT_HELLO, COUNTER, "spoa_lua_bytes_total", "direction=\"out\",type=\"hello\"", "")    \
    X(BYTES_OUT_ACK, COUNTER, "spoa_lua_bytes_total", "direction=\"out\",type=\"ack\"", "")        \
    X(BYTES_OUT_DISCONNECT, COUNTER, "spoa_lua_bytes_total",                                       \
      "direction=\"out\",type=\"disconnect\"", "")                                                 \
    X(NOTIFIES, COUNTER, "spoa_lua_notifies_total", "",                                            \
      "NOTIFYs that were whole and well formed, put together from fragments or not.")              \
    X(NOTIFIES_CANCELLED, COUNTER, "spoa_lua_notifies_cancelled_total", "",                        \
      "NOTIFYs that were not answered, for their connection had ended.")                           \
    X(MESSAGES_UNKNOWN, COUNTER, "spoa_lua_messages_unknown_total", "",                            \
      "Messages without a handler, which set nothing.")                                            \
    X(IN_FLIGHT, GAUGE, "spoa_lua_notifies_in_flight", "", "NOTIFYs that are being answered.")     \
    X(OLDEST_MICROSECONDS, GAUGE, "spoa_lua_oldest_in_flight_seconds", "",                         \
      "How long ago the oldest NOTIFY that is not answered yet came, looked at once a second.")    \
    X(LAG_MICROSECONDS, GAUGE, "spoa_lua_loop_lag_seconds", "",                                    \
      "How late the event loop was at the last beat, of which there is one a second.")             \
    X(LAG_MAX_MICROSECONDS, GAUGE, "spoa_lua_loop_lag_max_seconds", "",                            \
      "The most it was late since the worker began.")                                              \
    X(LUA_BYTES, GAUGE, "spoa_lua_lua_memory_bytes", "",                                           \
      "Memory that Lua has taken from the system, of the at most handler-memory it may.")          \
    X(TASKS, GAUGE, "spoa_lua_tasks", "",                                                          \
      "Handlers and background functions that have begun and not ended.")                          \
    X(HANDLERS, GAUGE, "spoa_lua_handlers", "", "Handlers that the scripts define.")               \
    X(BLOCKED_OTHERS, COUNTER, "spoa_lua_others_blocking_total", "",                               \
      "Times that code which loads or runs in the background held the worker for more than 50 ms " \
      "without waiting.")                                                                          \
    X(LOG_LINES_LOST, COUNTER, "spoa_lua_log_lines_lost_total", "",                                \
      "Lines of the log that its reader, or its disk, did not take.")

enum metric {
#define X(id, kind, family, labels, help) METRIC_##id,
    METRICS(X)
#undef X
        METRIC_COUNT
};

/* From a row of frames to the row of their bytes. */
#define METRIC_BYTES_OF (METRIC_BYTES_IN_HELLO - METRIC_FRAMES_IN_HELLO)

/* How a message can end; script/task.h has the names. */
#define METRICS_RESULTS 6

/* Upper bounds of the duration histogram in microseconds; what is longer is in one more. */
#define METRICS_BOUNDS(X)                                                                          \
    X(25)                                                                                          \
    X(50)                                                                                          \
    X(100)                                                                                         \
    X(250)                                                                                         \
    X(500)                                                                                         \
    X(1000)                                                                                        \
    X(2500)                                                                                        \
    X(5000)                                                                                        \
    X(10000)                                                                                       \
    X(25000) X(50000) X(100000) X(250000) X(500000) X(1000000) X(2500000) X(5000000) X(10000000)

#define X(bound) +1
enum { METRICS_BUCKETS = 1 METRICS_BOUNDS(X) };
#undef X

/* Upper bounds of the loop's turns in milliseconds; what is longer is in one more. */
#define METRICS_LAG_BOUNDS(X) X(1) X(2) X(5) X(10) X(20) X(50) X(100) X(200) X(500) X(1000)

#define X(bound) +1
enum { METRICS_LAG_BUCKETS = 1 METRICS_LAG_BOUNDS(X) };
#undef X

/* Handlers that are told apart; those that come later share the last place. */
#define METRICS_HANDLERS 256
#define METRICS_OTHERS   "(others)"

/* A handler over all reloads. */
struct metrics_handler {
    char name[64]; /* cut where it is longer; "" while the place is free */
    uint64_t results[METRICS_RESULTS];
    uint64_t buckets[METRICS_BUCKETS]; /* each for itself, not cumulative */
    uint64_t nanoseconds;              /* of all together */
    uint64_t running;                  /* a gauge */
    uint64_t blocked; /* runs that held the worker for more than 50 ms without waiting */
};

/* The last errors of messages. */
#define METRICS_ERRORS 32

struct metrics_error {
    double time; /* seconds since the epoch; 0: none */
    char text[512];
};

struct metrics {
    uint64_t n[METRIC_COUNT];
    uint64_t refused[16]; /* HELLOs by status; the last place is for those above */
    uint64_t lag_buckets[METRICS_LAG_BUCKETS]; /* turns of the loop, each for itself */
    uint64_t lag_nanoseconds;                  /* of all together */
    uint64_t beat;                             /* counted up while the loop turns */
    unsigned running; /* whose Lua code is on the C stack: a place in handlers + 1; or 0 */
    unsigned nhandlers;
    unsigned long nerrors; /* so many there were; the next is in errors[nerrors % METRICS_ERRORS] */
    struct metrics_handler handlers[METRICS_HANDLERS];
    struct metrics_error errors[METRICS_ERRORS];
};

static inline void metrics_frame(struct metrics *metrics, enum metric frames, size_t bytes)
{
    metrics->n[frames]++;
    metrics->n[frames + METRIC_BYTES_OF] += bytes;
}

/* All zeroes, shared with the processes that are forked from now on. */
struct metrics *metrics_open(void);
void metrics_close(struct metrics *metrics);

/* For what nobody looks at, such as `spoa-lua -t`: always the same. */
struct metrics *metrics_unseen(void);

/* Another worker begins to write: counters go on, gauges are zero. */
void metrics_begin(struct metrics *metrics);

/* The place of a handler in metrics->handlers, which it keeps. */
unsigned metrics_handler(struct metrics *metrics, const char *name);

/* A message took so long. */
void metrics_duration(struct metrics_handler *handler, uint64_t nanoseconds);

/* A turn of the loop held the worker so long. */
void metrics_lag_slow(struct metrics *metrics, uint64_t nanoseconds);

static inline void metrics_lag(struct metrics *metrics, uint64_t nanoseconds)
{
    metrics->lag_nanoseconds += nanoseconds;
    if (nanoseconds <= 1000000) /* the first bound, and nearly every turn */
        metrics->lag_buckets[0]++;
    else
        metrics_lag_slow(metrics, nanoseconds);
}

void metrics_error(struct metrics *metrics, const char *text);

/* ---- for readers ---- */

static inline uint64_t metrics_read(const uint64_t *number)
{
    return __atomic_load_n(number, __ATOMIC_RELAXED);
}

static inline uint64_t metrics_get(const struct metrics *metrics, enum metric metric)
{
    return metrics_read(&metrics->n[metric]);
}

/* How many turns of the loop were longer than so many milliseconds, which is one of the bounds. */
uint64_t metrics_lag_over(const struct metrics *metrics, uint64_t milliseconds);

/* How many messages ended so, of all handlers. */
uint64_t metrics_results(const struct metrics *metrics, unsigned result);

/* The name of the handler that is in Lua, or NULL. */
const char *metrics_running(const struct metrics *metrics);

#endif
