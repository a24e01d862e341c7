/*
 * trace: somebody who looks on: what messages of one name bring, and what is answered.
 *
 * Costs nothing while nobody does: agent->traces is empty.  A message that is traced has its
 * arguments written down before its handler runs, since nothing of the frame is left after.
 */
#ifndef AGENT_TRACE_H
#define AGENT_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "script/invoke.h"
#include "spop/message.h"

struct trace;

LIST_HEAD(trace_list, trace);

/* A line about one message, without its end.  last: there will be no more. */
typedef void trace_line_fn(void *context, uint32_t id, const char *line, bool last);

/* Looks on at the next so many messages of that name, as HAProxy spells it. */
void trace_start(struct trace_list *traces, uint32_t id, const char *message, unsigned count,
                 trace_line_fn *line, void *context);

/* Ends the one with this id, or, with 0, all of that message; nothing more is said to it.
 * How many there were. */
unsigned trace_stop(struct trace_list *traces, uint32_t id, const char *message);

void trace_stop_all(struct trace_list *traces);

/* What there is to say of a message that begins: NULL when nobody looks on, to be given to
 * trace_ended otherwise, or freed. */
char *trace_begun(const struct trace_list *traces, const struct message *message,
                  const struct invoke_context *context);

/* begun is freed. */
void trace_ended(struct trace_list *traces, char *begun, const struct invoke_report *report,
                 uint64_t nanoseconds);

#endif
