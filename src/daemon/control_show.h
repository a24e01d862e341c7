/*
 * control_show: what the supervisor itself can tell about everything.
 */
#ifndef DAEMON_CONTROL_SHOW_H
#define DAEMON_CONTROL_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "daemon/supervisor.h"

typedef void control_show_fn(const struct supervisor *supervisor, FILE *out, bool json);

control_show_fn control_show_info, control_show_stat, control_show_handlers, control_show_workers,
    control_show_errors;

#endif
