/*
 * listeners: all of them, and how a reload opens new ones and closes those that are gone.
 *
 * Owns every listener.  A change comes in two steps, so that nothing is lost when something
 * else of a reload fails.
 */
#ifndef DAEMON_LISTENERS_H
#define DAEMON_LISTENERS_H

#include <sys/queue.h>

#include "daemon/config.h"
#include "daemon/listener.h"

struct listening;

struct listeners {
    struct ev_loop *loop;
    listener_accept_fn *accept;
    void *context;
    TAILQ_HEAD(listening_list, listening) list;
    bool held;
};

/* Of none, which are held: nothing is accepted before listeners_hold(..., false). */
void listeners_init(struct listeners *listeners, struct ev_loop *loop, listener_accept_fn *accept,
                    void *context);

/* Adds those that systemd hands over (activation.h), which then stay whatever a configuration
 * says.  False, having logged why, when one is no listener. */
bool listeners_inherit(struct listeners *listeners);

/* Binds those of the configuration that are not there yet.  0, or what listener_open has in
 * errno, with the fault: then nothing has changed. */
int listeners_prepare(struct listeners *listeners, const struct config *config, char *fault,
                      size_t room);

/* After prepare: those that the configuration does not have are closed, and the new ones
 * listen. */
void listeners_commit(struct listeners *listeners);

/* After prepare: only those from before stay. */
void listeners_abort(struct listeners *listeners);

void listeners_hold(struct listeners *listeners, bool hold);

/* All of them.  Can be done twice. */
void listeners_close(struct listeners *listeners);

#endif
