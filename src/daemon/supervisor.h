/*
 * supervisor: the process that people start, stop and talk to.
 *
 * Owns the listeners and the workers.  It accepts, hands each connection to the worker that
 * has the fewest, replaces workers that die or hang, and carries out reloads.  It runs no
 * Lua and reads nothing from HAProxy.
 */
#ifndef DAEMON_SUPERVISOR_H
#define DAEMON_SUPERVISOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/metrics.h"
#include "daemon/config.h"

struct supervisor;

/*
 * Serves until it is told to stop (SIGTERM and SIGINT: drain, a second one: at once; SIGHUP:
 * reload; SIGUSR1: open the log anew).  Takes over config, which came from the file at path.
 * single: without another process.  Returns the exit status.
 */
int supervisor_run(struct config *config, const char *path, bool single);

/* ---- for the control socket ---- */

/* text: every error, a line each; or what was done. */
typedef void supervisor_done_fn(void *context, bool good, const char *text);

/* done is called once, before this returns or from the loop; it may be NULL. */
void supervisor_reload(struct supervisor *supervisor, supervisor_done_fn *done, void *context);

/* As the signals do. */
void supervisor_stop(struct supervisor *supervisor, bool at_once);

/* Until the next reload. */
void supervisor_log_level(struct supervisor *supervisor, enum log_level level);

struct query;

/* A piece of a worker's answer.  end: it was the last of all; the query is over then. */
typedef void supervisor_answer_fn(void *context, unsigned worker, const char *text, size_t len,
                                  bool end);

/*
 * Asks one worker (numbered from 1) or all of them (0).  One that is not serving, or dies, has
 * nothing to say.  NULL when nobody is there to be asked: answer is not called.  It is called
 * from the loop.
 */
struct query *supervisor_ask(struct supervisor *supervisor, unsigned worker, const char *question,
                             supervisor_answer_fn *answer, void *context);

/* Nobody wants to hear the rest. */
void supervisor_forget(struct supervisor *supervisor, struct query *query);

struct supervisor_worker {
    unsigned number;
    pid_t pid;         /* 0: there is none at the moment */
    const char *state; /* see CHILD_STATES */
    const struct metrics *metrics;
    double age; /* seconds */
    unsigned restarts;
    unsigned connections;
};

/* How many there are; the first max of them are described. */
size_t supervisor_workers(const struct supervisor *supervisor, struct supervisor_worker *workers,
                          size_t max);

const struct config *supervisor_config(const struct supervisor *supervisor);

/* The configuration's file, and how long ago we started, in seconds. */
const char *supervisor_path(const struct supervisor *supervisor);
double supervisor_age(const struct supervisor *supervisor);

struct supervisor_reloads {
    uint64_t good, failed;
    bool last_failed;
    double last, took; /* seconds since the epoch, seconds */
};

const struct supervisor_reloads *supervisor_reloads(const struct supervisor *supervisor);

/* Whether messages are served, and if not, why. */
bool supervisor_ready(const struct supervisor *supervisor, const char **why);

#endif
