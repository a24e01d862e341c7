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

static const double bounds[] = {
#define X(bound) (double)(bound) / 1e6,
    METRICS_BOUNDS(X)
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
    }
    return sum;
}

typedef void put_handler_fn(const struct page *page, const char *name,
                            const struct metrics_handler *sum);

/* Each handler once: a name counts where the first worker that has it stands. */
static void each_handler(const struct page *page, put_handler_fn *put)
{
    for (size_t i = 0; i < page->n; i++) {
        const struct metrics *metrics = page->workers[i].metrics;
        unsigned n = __atomic_load_n(&metrics->nhandlers, __ATOMIC_ACQUIRE);

        for (unsigned h = 0; h < n; h++) {
            const char *name = metrics->handlers[h].name;
            struct metrics_handler sum;
            size_t before = 0;

            while (before < i && !handler_at(page->workers[before].metrics, name))
                before++;
            if (before < i)
                continue;
            sum = handler_sum(page, name);
            put(page, name, &sum);
        }
    }
}

static void put_sample(const struct page *page, const char *family, const char *name,
                       const char *label, const char *value)
{
    fprintf(page->out, "%s{message=\"", family);
    escape_put(ESCAPE_QUOTED, page->out, name, strlen(name));
    fprintf(page->out, "\"%s%s%s%s} ", label ? "," : "", label ? label : "", label ? "=" : "",
            label ? value : "");
}

static void put_results(const struct page *page, const char *name,
                        const struct metrics_handler *sum)
{
    for (unsigned r = 0; r < METRICS_RESULTS; r++) {
        char quoted[32];

        snprintf(quoted, sizeof quoted, "\"%s\"", task_result_name((enum task_result)r));
        put_sample(page, "spoa_lua_messages_total", name, "result", quoted);
        fprintf(page->out, "%" PRIu64 "\n", sum->results[r]);
    }
}

static void put_running(const struct page *page, const char *name,
                        const struct metrics_handler *sum)
{
    put_sample(page, "spoa_lua_messages_in_flight", name, NULL, NULL);
    fprintf(page->out, "%" PRIu64 "\n", sum->running);
}

static void put_durations(const struct page *page, const char *name,
                          const struct metrics_handler *sum)
{
    static const char family[] = "spoa_lua_message_duration_seconds";
    uint64_t count = 0;
    char text[64];

    for (unsigned b = 0; b < METRICS_BUCKETS; b++) {
        count += sum->buckets[b];
        if (b + 1 < METRICS_BUCKETS)
            snprintf(text, sizeof text, "\"%g\"", bounds[b]);
        else
            snprintf(text, sizeof text, "\"+Inf\"");
        put_sample(page, "spoa_lua_message_duration_seconds_bucket", name, "le", text);
        fprintf(page->out, "%" PRIu64 "\n", count);
    }
    snprintf(text, sizeof text, "%s_sum", family);
    put_sample(page, text, name, NULL, NULL);
    fprintf(page->out, "%.9f\n", (double)sum->nanoseconds / 1e9);
    snprintf(text, sizeof text, "%s_count", family);
    put_sample(page, text, name, NULL, NULL);
    fprintf(page->out, "%" PRIu64 "\n", count);
}

static void put_handlers(const struct page *page)
{
    put_family(page, "spoa_lua_messages_total", "counter",
               "Messages by their handler and by what became of them.");
    each_handler(page, put_results);
    put_family(page, "spoa_lua_messages_in_flight", "gauge",
               "Messages whose handlers run or wait.");
    each_handler(page, put_running);
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
    put_handlers(&page);
    put_workers(&page);
    put_reloads(&page, supervisor);
    free(page.workers);
}
