#include "daemon/prometheus.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/mem.h"
#include "script/task.h"
#include "spop/disconnect.h"

/* What METRICS rows are, one after the other. */
static const struct row {
    const char *type, *family, *labels, *help;
} rows[] = {
#define COUNTER                           "counter"
#define GAUGE                             "gauge"
#define X(id, kind, family, labels, help) {kind, family, labels, help},
    METRICS(X)
#undef X
#undef COUNTER
#undef GAUGE
};

/* Seconds. */
static const double bounds[] = {
#define X(bound) (double)(bound) / 1e6,
    METRICS_BOUNDS(X)
#undef X
};

static const double lag_bounds[] = {
#define X(bound) (double)(bound) / 1e3,
    METRICS_LAG_BOUNDS(X)
#undef X
};

/* The sight of all workers that one page is made of. */
struct page {
    FILE *out;
    struct supervisor_worker *workers;
    size_t n;
};

static void put_family(const struct page *page, const char *family, const char *type,
                       const char *help)
{
    fprintf(page->out, "# HELP %s %s\n# TYPE %s %s\n", family, help, family, type);
}

/* buckets: n of them, each for itself; the last has no bound. */
static void put_histogram(const struct page *page, const char *family, const char *labels,
                          const double *upper, const uint64_t *buckets, unsigned n,
                          uint64_t nanoseconds)
{
    uint64_t count = 0;

    for (unsigned b = 0; b < n; b++) {
        count += buckets[b];
        fprintf(page->out, "%s_bucket{%s,le=\"", family, labels);
        if (b + 1 < n)
            fprintf(page->out, "%g\"} %" PRIu64 "\n", upper[b], count);
        else
            fprintf(page->out, "+Inf\"} %" PRIu64 "\n", count);
    }
    fprintf(page->out, "%s_sum{%s} %.9f\n%s_count{%s} %" PRIu64 "\n", family, labels,
            (double)nanoseconds / 1e9, family, labels, count);
}

/* ---- the rows of METRICS, by worker ---- */

static void put_row(const struct page *page, enum metric metric)
{
    const struct row *row = &rows[metric];
    bool seconds = strstr(row->family, "_seconds") != NULL;

    for (size_t i = 0; i < page->n; i++) {
        uint64_t value = metrics_get(page->workers[i].metrics, metric);

        fprintf(page->out, "%s{worker=\"%u\"%s%s} ", row->family, page->workers[i].number,
                *row->labels ? "," : "", row->labels);
        if (seconds) /* they are counted in microseconds */
            fprintf(page->out, "%.6f\n", (double)value / 1e6);
        else
            fprintf(page->out, "%" PRIu64 "\n", value);
    }
}

static void put_rows(const struct page *page)
{
    for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
        if (metric == 0 || strcmp(rows[metric].family, rows[metric - 1].family) != 0)
            put_family(page, rows[metric].family, rows[metric].type, rows[metric].help);
        put_row(page, (enum metric)metric);
    }
}

static void put_refusals(const struct page *page)
{
    static const char family[] = "spoa_lua_handshakes_refused_total";
    const size_t most = sizeof((struct metrics *)NULL)->refused / sizeof(uint64_t) - 1;

    put_family(page, family, "counter", "HELLOs that were refused, by the status that was sent.");
    for (size_t i = 0; i < page->n; i++) {
        for (size_t status = 1; status <= most; status++) {
            fprintf(page->out, "%s{worker=\"%u\",status=\"%d\"} %" PRIu64 "\n", family,
                    page->workers[i].number, status == most ? STATUS_UNKNOWN : (int)status,
                    metrics_read(&page->workers[i].metrics->refused[status]));
        }
    }
}

static void put_turns(const struct page *page)
{
    static const char family[] = "spoa_lua_loop_turn_seconds";

    put_family(page, family, "histogram", "How long each turn of the event loop held the worker.");
    for (size_t i = 0; i < page->n; i++) {
        const struct metrics *metrics = page->workers[i].metrics;
        uint64_t buckets[METRICS_LAG_BUCKETS];
        char labels[32];

        for (unsigned b = 0; b < METRICS_LAG_BUCKETS; b++)
            buckets[b] = metrics_read(&metrics->lag_buckets[b]);
        snprintf(labels, sizeof labels, "worker=\"%u\"", page->workers[i].number);
        put_histogram(page, family, labels, lag_bounds, buckets, METRICS_LAG_BUCKETS,
                      metrics_read(&metrics->lag_nanoseconds));
    }
}

/* ---- handlers, all workers together ---- */

/* A handler's name has a place in each worker of its own. */
static const struct metrics_handler *handler_at(const struct metrics *metrics, const char *name)
{
    unsigned n = __atomic_load_n(&metrics->nhandlers, __ATOMIC_ACQUIRE);

    for (unsigned i = 0; i < n; i++) {
        if (strcmp(metrics->handlers[i].name, name) == 0)
            return &metrics->handlers[i];
    }
    return NULL;
}

/* The sum over all workers. */
static struct metrics_handler handler_sum(const struct page *page, const char *name)
{
    struct metrics_handler sum = {.name = ""};

    for (size_t i = 0; i < page->n; i++) {
        const struct metrics_handler *one = handler_at(page->workers[i].metrics, name);

        if (!one)
            continue;
        for (unsigned b = 0; b < METRICS_BUCKETS; b++)
            sum.buckets[b] += metrics_read(&one->buckets[b]);
        for (unsigned r = 0; r < METRICS_RESULTS; r++)
            sum.results[r] += metrics_read(&one->results[r]);
        sum.nanoseconds += metrics_read(&one->nanoseconds);
        sum.running += metrics_read(&one->running);
        sum.blocked += metrics_read(&one->blocked);
    }
    return sum;
}

/* labels: without their braces. */
typedef void put_handler_fn(const struct page *page, const char *labels,
                            const struct metrics_handler *sum);

static void put_handler(const struct page *page, const char *name, put_handler_fn *put)
{
    struct metrics_handler sum = handler_sum(page, name);
    char quoted[5 * sizeof sum.name], labels[sizeof quoted + 16];

    quoted[escape_text(ESCAPE_QUOTED, quoted, sizeof quoted - 1, name, strlen(name), false)] = 0;
    snprintf(labels, sizeof labels, "message=\"%s\"", quoted);
    put(page, labels, &sum);
}

/* Each handler once: a name counts where the first worker that has it stands. */
static void each_handler(const struct page *page, put_handler_fn *put)
{
    for (size_t i = 0; i < page->n; i++) {
        const struct metrics *metrics = page->workers[i].metrics;
        unsigned n = __atomic_load_n(&metrics->nhandlers, __ATOMIC_ACQUIRE);

        for (unsigned h = 0; h < n; h++) {
            const char *name = metrics->handlers[h].name;
            size_t before = 0;

            while (before < i && !handler_at(page->workers[before].metrics, name))
                before++;
            if (before == i)
                put_handler(page, name, put);
        }
    }
}

static void put_results(const struct page *page, const char *labels,
                        const struct metrics_handler *sum)
{
    for (unsigned r = 0; r < METRICS_RESULTS; r++)
        fprintf(page->out, "spoa_lua_messages_total{%s,result=\"%s\"} %" PRIu64 "\n", labels,
                task_result_name((enum task_result)r), sum->results[r]);
}

static void put_running(const struct page *page, const char *labels,
                        const struct metrics_handler *sum)
{
    fprintf(page->out, "spoa_lua_messages_in_flight{%s} %" PRIu64 "\n", labels, sum->running);
}

static void put_blocked(const struct page *page, const char *labels,
                        const struct metrics_handler *sum)
{
    fprintf(page->out, "spoa_lua_messages_blocking_total{%s} %" PRIu64 "\n", labels, sum->blocked);
}

static void put_durations(const struct page *page, const char *labels,
                          const struct metrics_handler *sum)
{
    put_histogram(page, "spoa_lua_message_duration_seconds", labels, bounds, sum->buckets,
                  METRICS_BUCKETS, sum->nanoseconds);
}

static void put_handlers(const struct page *page)
{
    put_family(page, "spoa_lua_messages_total", "counter",
               "Messages by their handler and by what became of them.");
    each_handler(page, put_results);
    put_family(page, "spoa_lua_messages_in_flight", "gauge",
               "Messages whose handlers run or wait.");
    each_handler(page, put_running);
    put_family(page, "spoa_lua_messages_blocking_total", "counter",
               "Times that a handler held the worker for more than 50 ms without waiting.");
    each_handler(page, put_blocked);
    put_family(page, "spoa_lua_message_duration_seconds", "histogram",
               "From the start of a message's handler to its end, its waits included.");
    each_handler(page, put_durations);
}

/* ---- the supervisor's own ---- */

static void put_workers(const struct page *page)
{
    put_family(page, "spoa_lua_worker_up", "gauge", "Whether the worker serves.");
    for (size_t i = 0; i < page->n; i++)
        fprintf(page->out, "spoa_lua_worker_up{worker=\"%u\"} %d\n", page->workers[i].number,
                strcmp(page->workers[i].state, "serving") == 0);
    put_family(page, "spoa_lua_worker_restarts_total", "counter",
               "How often the worker died and was started again.");
    for (size_t i = 0; i < page->n; i++)
        fprintf(page->out, "spoa_lua_worker_restarts_total{worker=\"%u\"} %u\n",
                page->workers[i].number, page->workers[i].restarts);
    put_family(page, "spoa_lua_connections", "gauge", "Connections that are open.");
    for (size_t i = 0; i < page->n; i++)
        fprintf(page->out, "spoa_lua_connections{worker=\"%u\"} %u\n", page->workers[i].number,
                page->workers[i].connections);
}

static void put_reloads(const struct page *page, const struct supervisor *supervisor)
{
    const struct supervisor_reloads *reloads = supervisor_reloads(supervisor);

    put_family(page, "spoa_lua_reloads_total", "counter", "Reloads by how they ended.");
    fprintf(page->out,
            "spoa_lua_reloads_total{result=\"good\"} %" PRIu64
            "\nspoa_lua_reloads_total{result=\"failed\"} %" PRIu64 "\n",
            reloads->good, reloads->failed);
    put_family(page, "spoa_lua_last_reload_successful", "gauge",
               "Whether the last reload was good; 1 when there was none.");
    fprintf(page->out, "spoa_lua_last_reload_successful %d\n", !reloads->last_failed);
    put_family(page, "spoa_lua_last_reload_timestamp_seconds", "gauge",
               "When the last reload ended, in seconds since the epoch; 0 when there was none.");
    fprintf(page->out, "spoa_lua_last_reload_timestamp_seconds %.3f\n", reloads->last);
    put_family(page, "spoa_lua_last_reload_duration_seconds", "gauge", "How long it took.");
    fprintf(page->out, "spoa_lua_last_reload_duration_seconds %.3f\n", reloads->took);
    put_family(page, "spoa_lua_build_info", "gauge", "Always 1; the version is a label.");
    fprintf(page->out, "spoa_lua_build_info{version=\"" SPOA_LUA_VERSION "\"} 1\n");
}

void prometheus_write(const struct supervisor *supervisor, FILE *out)
{
    struct page page = {.out = out, .n = supervisor_workers(supervisor, NULL, 0)};

    page.workers = mem_zalloc(page.n * sizeof *page.workers);
    supervisor_workers(supervisor, page.workers, page.n);
    put_rows(&page);
    put_refusals(&page);
    put_turns(&page);
    put_handlers(&page);
    put_workers(&page);
    put_reloads(&page, supervisor);
    free(page.workers);
}
