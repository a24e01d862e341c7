/*
 * crew: all workers of a supervisor, and what they have counted.
 *
 * Owns the children and their metrics, which outlive each worker.
 */
#ifndef DAEMON_CREW_H
#define DAEMON_CREW_H

#include "base/metrics.h"
#include "daemon/child.h"

struct crew {
    struct child *children;
    unsigned n;
    struct metrics **metrics; /* by child */
};

/* How many the key `workers` (0: auto) means. */
unsigned crew_size(unsigned workers, bool single);

/* So many, none of which is started.  host must outlive the crew. */
void crew_init(struct crew *crew, const struct child_host *host, unsigned n);
void crew_clear(struct crew *crew);

/* The one that serves and has the fewest connections; one that does not take what it is given
 * only if all are so.  NULL when nobody serves. */
struct child *crew_least_busy(const struct crew *crew);

/* Is there no process any more? */
bool crew_gone(const struct crew *crew);

void crew_tell(struct crew *crew, enum channel_type type, uint32_t number);
void crew_kill(struct crew *crew);

/* Of all workers together. */
uint64_t crew_total(const struct crew *crew, enum metric metric);

/* The last line of a log. */
void crew_log_counts(const struct crew *crew);

#endif
