#include "base/metrics.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../unit.h"

START_TEST(another_process_writes)
{
    struct metrics *metrics = metrics_open();
    pid_t pid;

    ck_assert_uint_eq(metrics_get(metrics, METRIC_NOTIFIES), 0);
    pid = fork();
    if (pid == 0) {
        metrics->n[METRIC_NOTIFIES] = 7;
        metrics->handlers[metrics_handler(metrics, "f")].results[0] = 3;
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    ck_assert_uint_eq(metrics_get(metrics, METRIC_NOTIFIES), 7);
    ck_assert_uint_eq(metrics_results(metrics, 0), 3);
    metrics_close(metrics);
}
END_TEST

START_TEST(counters_go_on_and_gauges_begin_again)
{
    struct metrics *metrics = metrics_open();
    unsigned place = metrics_handler(metrics, "f");

    metrics->n[METRIC_NOTIFIES] = metrics->n[METRIC_IN_FLIGHT] = 5;
    metrics->handlers[place].running = 2;
    metrics->handlers[place].results[1] = 4;
    metrics->running = place + 1;
    ck_assert_str_eq(metrics_running(metrics), "f");
    metrics_begin(metrics);
    ck_assert_uint_eq(metrics_get(metrics, METRIC_NOTIFIES), 5);
    ck_assert_uint_eq(metrics_get(metrics, METRIC_IN_FLIGHT), 0);
    ck_assert_uint_eq(metrics->handlers[place].running, 0);
    ck_assert_uint_eq(metrics_results(metrics, 1), 4);
    ck_assert_ptr_null(metrics_running(metrics));
    ck_assert_uint_eq(metrics_handler(metrics, "f"), place);
    metrics_close(metrics);
}
END_TEST

START_TEST(handlers_past_the_last_place_share_it)
{
    struct metrics *metrics = metrics_open();
    char name[100];

    for (unsigned i = 0; i < METRICS_HANDLERS + 50; i++) {
        snprintf(name, sizeof name, "handler_%u", i);
        ck_assert_uint_eq(metrics_handler(metrics, name),
                          i < METRICS_HANDLERS ? i : METRICS_HANDLERS - 1);
    }
    ck_assert_str_eq(metrics->handlers[METRICS_HANDLERS - 1].name, METRICS_OTHERS);
    ck_assert_str_eq(metrics->handlers[METRICS_HANDLERS - 2].name, "handler_254");
    metrics_close(metrics);
}
END_TEST

START_TEST(a_long_name_is_cut_and_found_again)
{
    struct metrics *metrics = metrics_open();
    char name[200];

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ck_assert_uint_eq(metrics_handler(metrics, name), 0);
    ck_assert_uint_eq(metrics_handler(metrics, name), 0);
    ck_assert_uint_eq(strlen(metrics->handlers[0].name), sizeof metrics->handlers[0].name - 1);
    metrics_close(metrics);
}
END_TEST

START_TEST(durations_fall_into_their_buckets)
{
    static const struct {
        uint64_t nanoseconds;
        unsigned bucket;
    } cases[] = {{0, 0},
                 {25000, 0},
                 {25001, 1},
                 {50000, 1},
                 {1000000, 5},
                 {1000001, 6},
                 {10000000000, METRICS_BUCKETS - 2},
                 {10000000001, METRICS_BUCKETS - 1},
                 {UINT64_MAX / 2, METRICS_BUCKETS - 1}};
    struct metrics_handler handler = {.name = "f"};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t before = handler.buckets[cases[i].bucket];

        metrics_duration(&handler, cases[i].nanoseconds);
        ck_assert_uint_eq(handler.buckets[cases[i].bucket], before + 1);
    }
}
END_TEST

START_TEST(turns_fall_into_their_buckets)
{
    static const struct {
        uint64_t nanoseconds;
        unsigned bucket;
    } cases[] = {{0, 0},
                 {1000000, 0},
                 {1000001, 1},
                 {50000000, 5},
                 {50000001, 6},
                 {1000000000, METRICS_LAG_BUCKETS - 2},
                 {1000000001, METRICS_LAG_BUCKETS - 1}};
    struct metrics *metrics = metrics_open();
    uint64_t sum = 0;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t before = metrics->lag_buckets[cases[i].bucket];

        metrics_lag(metrics, cases[i].nanoseconds);
        ck_assert_uint_eq(metrics->lag_buckets[cases[i].bucket], before + 1);
        sum += cases[i].nanoseconds;
    }
    ck_assert_uint_eq(metrics->lag_nanoseconds, sum);
    ck_assert_uint_eq(metrics_lag_over(metrics, 1), 5);
    ck_assert_uint_eq(metrics_lag_over(metrics, 50), 3);
    ck_assert_uint_eq(metrics_lag_over(metrics, 1000), 1);
    metrics_close(metrics);
}
END_TEST

START_TEST(the_last_errors_are_kept)
{
    struct metrics *metrics = metrics_open();
    char text[1000];

    for (unsigned i = 0; i < METRICS_ERRORS + 3; i++) {
        snprintf(text, sizeof text, "error %u", i);
        metrics_error(metrics, text);
    }
    ck_assert_uint_eq(metrics->nerrors, METRICS_ERRORS + 3);
    ck_assert_str_eq(metrics->errors[2].text, "error 34");
    ck_assert_str_eq(metrics->errors[3].text, "error 3");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    metrics_error(metrics, text);
    ck_assert_uint_eq(strlen(metrics->errors[3].text), sizeof metrics->errors[3].text - 1);
    metrics_close(metrics);
}
END_TEST

UNIT_MAIN("metrics", another_process_writes, counters_go_on_and_gauges_begin_again,
          handlers_past_the_last_place_share_it, a_long_name_is_cut_and_found_again,
          durations_fall_into_their_buckets, turns_fall_into_their_buckets,
          the_last_errors_are_kept)
