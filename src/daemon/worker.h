/*
 * worker: one process that serves: its loop, its listeners, its agent, its signals.
 *
 * SIGTERM and SIGINT drain (a second one ends at once); SIGHUP reads the configuration and
 * the scripts again, beside the old ones, which stay if anything is wrong with the new.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include "daemon/config.h"

/* Serves until it is told to stop; returns the exit status.  Takes over *config, which came
 * from the file at path. */
int worker_run(struct config *config, const char *path);

/* Loads the scripts and forgets them again; errors go to stderr.  EX_OK or EX_DATAERR. */
int worker_check(const struct config *config);

#endif
