/*
 * ctl: `spoa-lua ctl` and `spoa-lua reload`: one command to a running daemon.
 */
#ifndef DAEMON_CTL_H
#define DAEMON_CTL_H

#include <stddef.h>

#include "daemon/listener.h"

/*
 * Sends the words as one line to the control socket and prints the answer: to stdout, or to
 * stderr when it begins with "error:".  EX_OK, 1 for an error, EX_UNAVAILABLE when nobody
 * listens there.
 */
int ctl_run(const struct listener_spec *control, char **words, size_t nwords);

#endif
