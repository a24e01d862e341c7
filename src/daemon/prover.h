/*
 * prover: a throw-away process that reads a configuration and loads its scripts, `spoa-lua
 * -t`, so that what does not load, runs away or crashes does so there.
 */
#ifndef DAEMON_PROVER_H
#define DAEMON_PROVER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

/* Called once, from the loop.  text: every error, a line each, when it is not good. */
typedef void prover_done_fn(void *context, bool good, const char *text);

struct prover;

/* NULL, with errno, when there can be no other process. */
struct prover *prover_start(struct ev_loop *loop, const char *path, prover_done_fn *done,
                            void *context);

/* Kills it; done is not called any more. */
void prover_cancel(struct prover *prover);

#endif
