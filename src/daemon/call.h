/*
 * call: `spoa-lua call`: one message through its handler, without HAProxy.
 */
#ifndef DAEMON_CALL_H
#define DAEMON_CALL_H

#include "daemon/config.h"

/*
 * Runs the handler of `message` with arguments written as [name=]type:value (bin as hex, or
 * @FILE) and prints its actions in HAProxy's words to stdout.  Returns the exit status: EX_OK,
 * 1 when the message failed (the reason and a traceback go to stderr), EX_USAGE for an
 * argument that makes no sense, EX_DATAERR for scripts that do not load.
 */
int call_run(const struct config *config, const char *message, char **args, size_t nargs);

#endif
