/*
 * query: a question to workers, and who waits for the answers.
 */
#ifndef DAEMON_QUERY_H
#define DAEMON_QUERY_H

#include <stdint.h>
#include <sys/queue.h>

#include "daemon/child.h"
#include "daemon/supervisor.h"

LIST_HEAD(query_list, query);

/* Asks every serving child whose number it is (0: all); NULL when there is none.  answer is
 * called from the loop, the last time with `end`; the query is freed then. */
struct query *query_start(struct query_list *queries, struct child *children, unsigned n,
                          unsigned number, const char *question, supervisor_answer_fn *answer,
                          void *context);

/* A child's ANSWER or END; one that nobody waits for any more is ignored. */
void query_answered(struct query_list *queries, const struct child *child,
                    const struct packet *packet);

/* A child has died: that was its last word to everyone. */
void query_lost(struct query_list *queries, const struct child *child);

/* answer is not called any more; the workers are told. */
void query_forget(struct query *query);

#endif
