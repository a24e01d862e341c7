#include "base/metrics.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static const uint64_t bounds[] = {
#define X(bound) UINT64_C(bound) * 1000,
    METRICS_BOUNDS(X)
#undef X
        UINT64_MAX,
};

static const uint64_t lag_bounds[] = {
#define X(bound) UINT64_C(bound) * 1000000,
    METRICS_LAG_BOUNDS(X)
#undef X
        UINT64_MAX,
};

static const bool gauges[] = {
#define COUNTER                           false
#define GAUGE                             true
#define X(id, kind, family, labels, help) kind,
    METRICS(X)
#undef X
#undef COUNTER
#undef GAUGE
};

struct metrics *metrics_open(void)
{
    struct metrics *metrics =
        mmap(NULL, sizeof *metrics, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (metrics == MAP_FAILED)
        abort(); /* as base/mem does without memory */
    return metrics;
}

void metrics_close(struct metrics *metrics)
{
    munmap(metrics, sizeof *metrics);
}

struct metrics *metrics_unseen(void)
{
    static struct metrics unseen;

    return &unseen;
}

void metrics_begin(struct metrics *metrics)
{
    for (unsigned i = 0; i < METRIC_COUNT; i++) {
        if (gauges[i])
            metrics->n[i] = 0;
    }
    for (unsigned i = 0; i < metrics->nhandlers; i++)
        metrics->handlers[i].running = 0;
    metrics->running = 0;
}

unsigned metrics_handler(struct metrics *metrics, const char *name)
{
    struct metrics_handler *handler;
    char cut[sizeof handler->name];

    snprintf(cut, sizeof cut, "%s", name);
    for (unsigned i = 0; i < metrics->nhandlers; i++) {
        if (strcmp(metrics->handlers[i].name, cut) == 0)
            return i;
    }
    if (metrics->nhandlers == METRICS_HANDLERS)
        return METRICS_HANDLERS - 1;
    handler = &metrics->handlers[metrics->nhandlers];
    snprintf(handler->name, sizeof handler->name, "%s",
             metrics->nhandlers == METRICS_HANDLERS - 1 ? METRICS_OTHERS : cut);
    /* A reader sees the place when it has its name. */
    __atomic_store_n(&metrics->nhandlers, metrics->nhandlers + 1, __ATOMIC_RELEASE);
    return metrics->nhandlers - 1;
}

void metrics_duration(struct metrics_handler *handler, uint64_t nanoseconds)
{
    unsigned i = 0;

    while (nanoseconds > bounds[i])
        i++;
    handler->buckets[i]++;
    handler->nanoseconds += nanoseconds;
}

void metrics_lag_slow(struct metrics *metrics, uint64_t nanoseconds)
{
    unsigned i = 0;

    while (nanoseconds > lag_bounds[i])
        i++;
    metrics->lag_buckets[i]++;
}

void metrics_error(struct metrics *metrics, const char *text)
{
    struct metrics_error *error = &metrics->errors[metrics->nerrors % METRICS_ERRORS];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    error->time = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    snprintf(error->text, sizeof error->text, "%s", text);
    metrics->nerrors++;
}

const char *metrics_running(const struct metrics *metrics)
{
    unsigned place = __atomic_load_n(&metrics->running, __ATOMIC_RELAXED);

    return place > 0 && place <= METRICS_HANDLERS ? metrics->handlers[place - 1].name : NULL;
}

uint64_t metrics_lag_over(const struct metrics *metrics, uint64_t milliseconds)
{
    uint64_t sum = 0;

    for (unsigned i = 1; i < METRICS_LAG_BUCKETS; i++) {
        if (lag_bounds[i - 1] >= milliseconds * 1000000)
            sum += metrics_read(&metrics->lag_buckets[i]);
    }
    return sum;
}

uint64_t metrics_results(const struct metrics *metrics, unsigned result)
{
    unsigned n = __atomic_load_n(&metrics->nhandlers, __ATOMIC_ACQUIRE);
    uint64_t sum = 0;

    for (unsigned i = 0; i < n; i++)
        sum += metrics_read(&metrics->handlers[i].results[result]);
    return sum;
}
