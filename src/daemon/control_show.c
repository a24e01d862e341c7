#include "daemon/control_show.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/sheet.h"
#include "script/task.h"

/* All workers; to be freed. */
static struct supervisor_worker *workers_of(const struct supervisor *supervisor, size_t *n)
{
    struct supervisor_worker *workers;

    *n = supervisor_workers(supervisor, NULL, 0);
    workers = mem_zalloc(*n * sizeof *workers);
    supervisor_workers(supervisor, workers, *n);
    return workers;
}

/* Rows of a list: JSON wants brackets and commas. */
static void list_begin(const struct sheet *sheet)
{
    fputs(sheet->json ? "[" : "", sheet->out);
}

static void list_next(struct sheet *sheet, bool *first)
{
    if (sheet->json && !*first)
        fputs(",\n", sheet->out);
    *first = false;
}

static void list_end(const struct sheet *sheet)
{
    fputs(sheet->json ? "]\n" : "", sheet->out);
}

void control_show_info(const struct supervisor *supervisor, FILE *out, bool json)
{
    struct sheet sheet = {.out = out, .json = json, .tall = true};
    const char *why;
    bool ready = supervisor_ready(supervisor, &why);
    uint64_t connections = 0, in_flight = 0;
    size_t n;
    struct supervisor_worker *workers = workers_of(supervisor, &n);

    for (size_t i = 0; i < n; i++) {
        connections += workers[i].connections;
        in_flight += metrics_get(workers[i].metrics, METRIC_IN_FLIGHT);
    }
    free(workers);
    sheet_text(&sheet, "name", "spoa-lua");
    sheet_text(&sheet, "version", SPOA_LUA_VERSION);
    sheet_number(&sheet, "pid", (uint64_t)getpid());
    sheet_text(&sheet, "configuration", supervisor_path(supervisor));
    sheet_text(&sheet, "state", ready ? "serving" : why);
    sheet_real(&sheet, "uptime_seconds", supervisor_age(supervisor), 0);
    sheet_number(&sheet, "workers", n);
    sheet_number(&sheet, "connections", connections);
    sheet_number(&sheet, "notifies_in_flight", in_flight);
    sheet_end_row(&sheet);
    fputs(json ? "\n" : "", out);
}

static uint64_t total(const struct supervisor_worker *workers, size_t n, enum metric metric)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += metrics_get(workers[i].metrics, metric);
    return sum;
}

void control_show_stat(const struct supervisor *supervisor, FILE *out, bool json)
{
    static const char *const names[] = {
#define X(id, kind, family, labels, help) #id,
        METRICS(X)
#undef X
    };
    struct sheet sheet = {.out = out, .json = json, .tall = true};
    size_t n;
    struct supervisor_worker *workers = workers_of(supervisor, &n);

    for (unsigned metric = 0; metric < METRIC_COUNT; metric++) {
        char name[64];
        size_t len = strlen(names[metric]);

        for (size_t i = 0; i <= len; i++)
            name[i] = (char)(names[metric][i] >= 'A' && names[metric][i] <= 'Z'
                                 ? names[metric][i] + 'a' - 'A'
                                 : names[metric][i]);
        sheet_number(&sheet, name, total(workers, n, (enum metric)metric));
    }
    for (unsigned result = 0; result < METRICS_RESULTS; result++) {
        char name[64];
        uint64_t sum = 0;

        for (size_t i = 0; i < n; i++)
            sum += metrics_results(workers[i].metrics, result);
        snprintf(name, sizeof name, "messages_%s", task_result_name((enum task_result)result));
        sheet_number(&sheet, name, sum);
    }
    free(workers);
    sheet_end_row(&sheet);
    fputs(json ? "\n" : "", out);
}

static void show_handler(struct sheet *sheet, unsigned worker,
                         const struct metrics_handler *handler)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < METRICS_BUCKETS; i++)
        count += metrics_read(&handler->buckets[i]);
    sheet_text(sheet, "handler", handler->name);
    sheet_number(sheet, "worker", worker);
    for (unsigned result = 0; result < METRICS_RESULTS; result++)
        sheet_number(sheet, task_result_name((enum task_result)result),
                     metrics_read(&handler->results[result]));
    sheet_number(sheet, "running", metrics_read(&handler->running));
    sheet_number(sheet, "blocked", metrics_read(&handler->blocked));
    sheet_real(sheet, "mean_ms",
               count ? (double)metrics_read(&handler->nanoseconds) / (double)count / 1e6 : 0, 3);
    sheet_end_row(sheet);
}

void control_show_handlers(const struct supervisor *supervisor, FILE *out, bool json)
{
    struct sheet sheet = {.out = out, .json = json};
    bool first = true;
    size_t n;
    struct supervisor_worker *workers = workers_of(supervisor, &n);

    list_begin(&sheet);
    for (size_t i = 0; i < n; i++) {
        const struct metrics *metrics = workers[i].metrics;
        unsigned handlers = __atomic_load_n(&metrics->nhandlers, __ATOMIC_ACQUIRE);

        for (unsigned h = 0; h < handlers; h++) {
            list_next(&sheet, &first);
            show_handler(&sheet, workers[i].number, &metrics->handlers[h]);
        }
    }
    list_end(&sheet);
    free(workers);
}

void control_show_workers(const struct supervisor *supervisor, FILE *out, bool json)
{
    struct sheet sheet = {.out = out, .json = json};
    bool first = true;
    size_t n;
    struct supervisor_worker *workers = workers_of(supervisor, &n);

    list_begin(&sheet);
    for (size_t i = 0; i < n; i++) {
        const struct metrics *metrics = workers[i].metrics;

        list_next(&sheet, &first);
        sheet_number(&sheet, "worker", workers[i].number);
        sheet_number(&sheet, "pid", (uint64_t)workers[i].pid);
        sheet_text(&sheet, "state", workers[i].state);
        sheet_real(&sheet, "age_seconds", workers[i].age, 0);
        sheet_number(&sheet, "restarts", workers[i].restarts);
        sheet_number(&sheet, "connections", workers[i].connections);
        sheet_number(&sheet, "in_flight", metrics_get(metrics, METRIC_IN_FLIGHT));
        sheet_real(&sheet, "oldest_seconds",
                   (double)metrics_get(metrics, METRIC_OLDEST_MICROSECONDS) / 1e6, 3);
        sheet_number(&sheet, "lua_bytes", metrics_get(metrics, METRIC_LUA_BYTES));
        sheet_real(&sheet, "loop_lag_seconds",
                   (double)metrics_get(metrics, METRIC_LAG_MICROSECONDS) / 1e6, 6);
        sheet_number(&sheet, "turns_over_50ms", metrics_lag_over(metrics, 50));
        sheet_end_row(&sheet);
    }
    list_end(&sheet);
    free(workers);
}

static void show_error(struct sheet *sheet, unsigned worker, const struct metrics_error *error)
{
    time_t second = (time_t)error->time;
    struct tm utc;
    char when[32], text[sizeof error->text];

    gmtime_r(&second, &utc);
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    /* Its writer may be at it right now. */
    memcpy(text, error->text, sizeof text);
    text[sizeof text - 1] = '\0';
    sheet_text(sheet, "time", when);
    sheet_number(sheet, "worker", worker);
    sheet_text(sheet, "error", text);
    sheet_end_row(sheet);
}

void control_show_errors(const struct supervisor *supervisor, FILE *out, bool json)
{
    struct sheet sheet = {.out = out, .json = json};
    bool first = true;
    size_t n;
    struct supervisor_worker *workers = workers_of(supervisor, &n);

    list_begin(&sheet);
    for (size_t i = 0; i < n; i++) {
        const struct metrics *metrics = workers[i].metrics;
        unsigned long end = metrics->nerrors;
        unsigned long at = end > METRICS_ERRORS ? end - METRICS_ERRORS : 0;

        for (; at < end; at++) {
            list_next(&sheet, &first);
            show_error(&sheet, workers[i].number, &metrics->errors[at % METRICS_ERRORS]);
        }
    }
    list_end(&sheet);
    free(workers);
}
