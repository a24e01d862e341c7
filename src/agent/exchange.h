/*
 * exchange: one NOTIFY and the ACK that answers it.
 *
 * The only object that knows both a connection and Lua tasks.  Its messages start in order
 * and run concurrently where they wait; when the last has ended, their actions leave in
 * message order in one ACK, and if any failed, so does the error variable.
 */
#ifndef AGENT_EXCHANGE_H
#define AGENT_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "script/invoke.h"
#include "spop/frame.h"

struct agent;
struct conn;
struct exchange;

LIST_HEAD(exchange_list, exchange);

/*
 * Starts a NOTIFY whose payload is whole.  The payload is only read before this returns.
 * A malformed one refuses the connection before any of its messages runs.  A message whose
 * handler is known to take long, and those behind it, wait for their turn in the queue.
 */
void exchange_start(struct conn *conn, uint64_t stream_id, uint64_t frame_id, struct wire payload);

/* Answers a NOTIFY that was never started: an ACK with ABORT and the error variable. */
void exchange_reject(struct conn *conn, uint64_t stream_id, uint64_t frame_id,
                     enum task_result why);

/* The connection is gone: handlers are cancelled, nothing is answered. */
void exchange_cancel_all(struct conn *conn);

/* When the oldest that is not answered came, by base/clock; CLOCK_NEVER when there is none. */
uint64_t exchange_oldest(const struct conn *conn);

/* Frees the exchanges that are kept for reuse. */
void exchange_pool_clear(struct agent *agent);

#endif
