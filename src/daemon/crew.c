#include "daemon/crew.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "script/task.h"

/* The worker with the fewest; one that does not take what it is given only if all are so. */
struct child *crew_least_busy(const struct crew *crew)
{
    struct child *best = NULL;

    for (unsigned i = 0; i < crew->n; i++) {
        struct child *child = &crew->children[i];

        if (child->state != CHILD_SERVING || child->deaf)
            continue;
        if (!best || channel_behind(&child->channel) < channel_behind(&best->channel) ||
            (channel_behind(&child->channel) == channel_behind(&best->channel) &&
             child_connections(child) < child_connections(best)))
            best = child;
    }
    return best;
}

bool crew_gone(const struct crew *crew)
{
    for (unsigned i = 0; i < crew->n; i++) {
        if (crew->children[i].state != CHILD_GONE)
            return false;
    }
    return true;
}

uint64_t crew_total(const struct crew *crew, enum metric metric)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < crew->n; i++)
        sum += metrics_get(crew->metrics[i], metric);
    return sum;
}

void crew_tell(struct crew *crew, enum channel_type type, uint32_t number)
{
    for (unsigned i = 0; i < crew->n; i++) {
        struct child *child = &crew->children[i];

        if (child->state != CHILD_GONE)
            child_tell(child, type, number, "");
    }
}

void crew_kill(struct crew *crew)
{
    for (unsigned i = 0; i < crew->n; i++)
        child_kill(&crew->children[i]);
}

unsigned crew_size(unsigned workers, bool single)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (single)
        return 1;
    if (workers > 0)
        return workers;
    return cores > 0 ? (unsigned)cores : 1;
}

void crew_init(struct crew *crew, const struct child_host *host, unsigned n)
{
    crew->children = mem_zalloc(n * sizeof *crew->children);
    crew->metrics = mem_zalloc(n * sizeof(struct metrics *));
    for (unsigned i = 0; i < n; i++) {
        crew->metrics[i] = metrics_open();
        child_init(&crew->children[i], host, i + 1, crew->metrics[i]);
    }
    crew->n = n;
}

void crew_clear(struct crew *crew)
{
    for (unsigned i = 0; i < crew->n; i++) {
        child_clear(&crew->children[i]);
        metrics_close(crew->metrics[i]);
    }
    free(crew->children);
    free(crew->metrics);
}

void crew_log_counts(const struct crew *crew)
{
    uint64_t messages[METRICS_RESULTS] = {0}, refused = crew_total(crew, METRIC_CONNECTIONS_FULL);
    uint64_t connections = crew_total(crew, METRIC_CONNECTIONS_OPENED) - refused;

    for (unsigned i = 0; i < crew->n; i++) {
        const struct metrics *metrics = crew->metrics[i];

        for (unsigned result = 0; result < METRICS_RESULTS; result++)
            messages[result] += metrics_results(metrics, result);
        for (size_t status = 0; status < sizeof metrics->refused / sizeof *metrics->refused;
             status++)
            refused += metrics_read(&metrics->refused[status]);
    }
    log_write(LEVEL_NOTICE,
              "stopped: %" PRIu64 " connections (%" PRIu64 " health checks, %" PRIu64
              " refused), %" PRIu64 " NOTIFYs, %" PRIu64 " ACKs; messages: %" PRIu64 " ok, %" PRIu64
              " error, %" PRIu64 " timeout, %" PRIu64 " memory, %" PRIu64 " too_big, %" PRIu64
              " busy, %" PRIu64 " without a handler",
              connections, crew_total(crew, METRIC_HEALTHCHECKS), refused,
              crew_total(crew, METRIC_NOTIFIES), crew_total(crew, METRIC_FRAMES_OUT_ACK),
              messages[TASK_OK], messages[TASK_ERROR], messages[TASK_TIMEOUT],
              messages[TASK_MEMORY], messages[TASK_TOO_BIG], messages[TASK_BUSY],
              crew_total(crew, METRIC_MESSAGES_UNKNOWN));
}
