/*
 * reload: a new configuration and new scripts for everyone, or for nobody.
 *
 * A prover loads them first, in a process of its own.  Then new listeners are bound, every
 * worker loads beside its old scripts, and when the last has, all are told to serve with the
 * new ones.  Until then any failure leaves everything as it was.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/child.h"
#include "daemon/listeners.h"
#include "daemon/prover.h"

struct reload;

/* Nothing can fail any more: from now on this configuration, the callee's, holds. */
typedef void reload_commit_fn(void *context, struct config *config);

/* Everyone serves with it, or nobody.  text: every error, a line each, or notes. */
typedef void reload_done_fn(void *context, bool good, const char *text);

/* done is called once, maybe before this returns, which is then NULL. */
struct reload *reload_start(const struct child_host *host, struct child *children, unsigned n,
                            struct listeners *listeners, reload_commit_fn *commit,
                            reload_done_fn *done, void *context);

/* What a child says of it: FAULT, LOADED, FAILED.  Anything may be over after it. */
void reload_said(struct reload *reload, struct child *child, const struct packet *packet);

/* A child that was not asked, since it was loading, serves now: with the old configuration. */
void reload_joined(struct reload *reload, struct child *child);

/* A child has died. */
void reload_lost(struct reload *reload, const struct child *child);

/* Gives it up: done is told so. */
void reload_cancel(struct reload *reload, const char *why);

#endif
