/*
 * metrics_server: HTTP for those who watch: /metrics, /healthz and /readyz, in the
 * supervisor's loop.
 *
 * libmicrohttpd does the HTTP; without it at build time metrics_server_built is false, and
 * nothing else here may be called.
 */
#ifndef DAEMON_METRICS_SERVER_H
#define DAEMON_METRICS_SERVER_H

#include <ev.h>
#include <stdbool.h>

#include "daemon/listener.h"
#include "daemon/supervisor.h"

extern const bool metrics_server_built;

struct metrics_server;

/* NULL with the fault and errno. */
struct metrics_server *metrics_server_open(struct ev_loop *loop,
                                           const struct supervisor *supervisor,
                                           const struct listener_spec *spec, char *fault,
                                           size_t room);

/* The address as it is bound. */
const char *metrics_server_name(const struct metrics_server *server);

void metrics_server_close(struct metrics_server *server);

#endif
