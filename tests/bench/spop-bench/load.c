#include "load.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "client.h"
#include "report.h"
#include "spop/frame.h"

#define SECOND 1000000000.0

#define HELLO_TIMEOUT   5.0
#define GOODBYE_TIMEOUT 1.0

/* How often what is overdue is looked for, in shares of the timeout. */
#define EXPIRE_SHARE 8

#define PROGRESS_INTERVAL 0.5

#define EVENTS_MAX 256
#define IN_BLOCK   (256u * 1024)
#define OUT_BLOCK  (64u * 1024)
#define BUFS_KEPT  64

struct load {
    const struct options *options;
    struct run run;
    struct tally *tally;
    struct client *clients;
    unsigned next;    /* whose turn it is in an open loop */
    bool sending;     /* not yet, or no more */
    uint64_t began;   /* the schedule's first NOTIFY */
    uint64_t expired; /* when what is overdue was looked for */
    uint64_t progressed;
    bool progress;
};

static uint64_t ticks(double seconds)
{
    return (uint64_t)(seconds * SECOND);
}

static unsigned load_count(const struct load *load, enum client_state state)
{
    unsigned count = 0;

    for (unsigned i = 0; i < load->options->connections; i++)
        count += load->clients[i].state == state;
    return count;
}

/* ---- what is sent, when ---- */

static bool load_may_send(const struct load *load)
{
    return load->sending && (!load->options->count || load->tally->sent < load->options->count);
}

/* Closed loop: whatever is not outstanding is sent. */
static void load_refill(struct load *load, struct client *client)
{
    if (!client_ready(client) || !load_may_send(load))
        return;

    uint64_t now = clock_now();
    while (client->nunused > 0 && load_may_send(load))
        client_notify(client, now, now);
    client_flush(client);
}

static uint64_t load_due(const struct load *load)
{
    return load->began + ticks((double)load->tally->sent / load->options->rate);
}

/* The next connection in turn that is ready; NULL when none is. */
static struct client *load_turn(struct load *load)
{
    for (unsigned i = 0; i < load->options->connections; i++) {
        struct client *client = &load->clients[load->next];

        load->next = (load->next + 1) % load->options->connections;
        if (client_ready(client))
            return client;
    }
    return NULL;
}

/* Open loop: sends what the schedule says; returns when it goes on, as far as that is known. */
static uint64_t load_schedule(struct load *load)
{
    uint64_t now = clock_now();

    while (load_may_send(load)) {
        uint64_t due = load_due(load);
        struct client *client = due <= now ? load_turn(load) : NULL;

        if (due > now)
            return due;
        if (!client)
            break;
        client_notify(client, due, now);
        client_flush(client);
    }
    return UINT64_MAX;
}

/* ---- turns of the loop ---- */

static void load_expire(struct load *load, uint64_t now)
{
    load->expired = now;
    for (unsigned i = 0; i < load->options->connections; i++) {
        struct client *client = &load->clients[i];

        if (client->state != CLIENT_RUNNING)
            continue;
        client_expire(client, now);
        if (load->options->rate <= 0)
            load_refill(load, client);
    }
}

static void load_progress(struct load *load, uint64_t now)
{
    load->progressed = now;
    report_progress(load->tally, (double)(now - load->began) / SECOND);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* One turn; over at `until` at the latest. */
static void load_turn_once(struct load *load, uint64_t until)
{
    struct epoll_event events[EVENTS_MAX];
    bool open = load->options->rate > 0 && load->sending;
    uint64_t expire = load->expired + load->run.timeout / EXPIRE_SHARE;
    uint64_t progress = load->progress ? load->progressed + ticks(PROGRESS_INTERVAL) : UINT64_MAX;

    until = earlier(until, earlier(expire, progress));
    if (open)
        until = earlier(until, load_schedule(load));

    uint64_t now = clock_now(), wait = until > now ? until - now : 0;
    struct timespec time = {(time_t)(wait / ticks(1)), (long)(wait % ticks(1))};
    int n = epoll_pwait2(load->run.epoll, events, EVENTS_MAX, &time, NULL);

    for (int i = 0; i < n; i++) {
        struct client *client = events[i].data.ptr;

        client_event(client, events[i].events);
        if (!open)
            load_refill(load, client);
    }
    now = clock_now();
    if (now >= expire)
        load_expire(load, now);
    if (now >= progress)
        load_progress(load, now);
}

/* ---- the phases ---- */

static void load_open(struct load *load)
{
    for (unsigned i = 0; i < load->options->connections; i++)
        client_open(&load->clients[i], &load->run);

    uint64_t until = clock_now() + ticks(HELLO_TIMEOUT);
    while (load_count(load, CLIENT_HELLO) > 0 && clock_now() < until)
        load_turn_once(load, until);
    for (unsigned i = 0; i < load->options->connections; i++) {
        if (load->clients[i].state == CLIENT_HELLO)
            client_close(&load->clients[i]);
    }
}

static void load_begin(struct load *load)
{
    load->began = load->expired = load->progressed = clock_now();
    load->sending = true;
    for (unsigned i = 0; load->options->rate <= 0 && i < load->options->connections; i++)
        load_refill(load, &load->clients[i]);
}

static uint64_t load_waiting(const struct load *load)
{
    uint64_t waiting = 0;

    for (unsigned i = 0; i < load->options->connections; i++)
        waiting += client_waiting(&load->clients[i]);
    return waiting;
}

/* Is everything sent and answered, or is there nobody left to ask? */
static bool load_finished(const struct load *load)
{
    uint64_t count = load->options->count;

    if (load->tally->lost > 0 && load_count(load, CLIENT_RUNNING) == 0)
        return true;
    return count && load->tally->sent >= count &&
           (load->tally->answered >= count || load_waiting(load) == 0);
}

static void load_until(struct load *load, uint64_t until)
{
    uint64_t silent = load->tally->answered, since = clock_now();

    while (!load_finished(load)) {
        uint64_t now = clock_now();

        /* With a count and no time limit, silence must end it. */
        if (load->tally->answered != silent) {
            silent = load->tally->answered;
            since = now;
        }
        if (now >= until || (until == UINT64_MAX && now - since > 3 * load->run.timeout))
            break;
        load_turn_once(load, until);
    }
}

static struct cpu cpu_between(struct cpu before, struct cpu after)
{
    return (struct cpu){after.total - before.total, after.user - before.user,
                        after.system - before.system};
}

static void load_measure(struct load *load, struct result *result)
{
    const struct options *options = load->options;
    uint64_t began;
    struct cpu agent, self;

    if (options->warmup > 0)
        load_until(load, load->began + ticks(options->warmup));
    agent = processes_cpu(&options->processes);
    self = cpu_self();
    began = clock_now();
    load->run.measured = true;
    load_until(load, options->seconds > 0 ? began + ticks(options->seconds) : UINT64_MAX);
    load->run.measured = false;
    result->seconds = (double)(clock_now() - began) / SECOND;
    result->self = cpu_between(self, cpu_self());
    result->agent = cpu_between(agent, processes_cpu(&options->processes));
    result->agent_peak_kib = processes_peak_kib(&options->processes);
}

/* What is outstanding may still come, for as long as the timeout. */
static void load_end(struct load *load)
{
    uint64_t until = clock_now() + load->run.timeout;

    load->sending = false;
    while (load_waiting(load) > 0 && clock_now() < until)
        load_turn_once(load, until);
    for (unsigned i = 0; i < load->options->connections; i++) {
        if (load->clients[i].state == CLIENT_RUNNING)
            client_leave(&load->clients[i]);
    }
    until = clock_now() + ticks(GOODBYE_TIMEOUT);
    while (load_count(load, CLIENT_LEAVING) > 0 && clock_now() < until)
        load_turn_once(load, until);
}

static void descriptors_raise(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* All that one connection may have to say at once, so that it never needs more than a block. */
static size_t output_block(const struct options *options)
{
    size_t all = options->outstanding * (options->notify.len + 2 * FRAME_HEAD_MAX);

    return all > OUT_BLOCK ? all : OUT_BLOCK;
}

static void load_init(struct load *load, struct options *options, struct result *result)
{
    *load = (struct load){
        .options = options,
        .run = {.target = &options->target,
                .hello = &options->hello,
                .notify = &options->notify,
                .expectation = &options->expectation,
                .tally = &result->tally,
                .outstanding = options->outstanding,
                .timeout = ticks(options->timeout),
                .epoll = epoll_create1(EPOLL_CLOEXEC)},
        .tally = &result->tally,
        .clients = mem_zalloc(options->connections * sizeof *load->clients),
        .progress = !options->json && isatty(STDERR_FILENO),
    };
    load->began = load->expired = load->progressed = clock_now();
    buf_pool_init(&load->run.in_pool, IN_BLOCK, BUFS_KEPT);
    buf_pool_init(&load->run.out_pool, output_block(options), BUFS_KEPT);
}

static void load_clear(struct load *load)
{
    for (unsigned i = 0; i < load->options->connections; i++)
        client_free(&load->clients[i]);
    free(load->clients);
    buf_pool_clear(&load->run.in_pool);
    buf_pool_clear(&load->run.out_pool);
    close(load->run.epoll);
}

bool load_run(struct options *options, struct result *result)
{
    struct load load;

    descriptors_raise();
    load_init(&load, options, result);
    load_open(&load);
    result->running = load_count(&load, CLIENT_RUNNING);
    result->agreed = load.run.agreed;
    result->error = load.run.error;
    if (result->running > 0) {
        load_begin(&load);
        load_measure(&load, result);
        load_end(&load);
        if (load.progress)
            report_progress_end();
    }
    load_clear(&load);
    return result->running > 0;
}
