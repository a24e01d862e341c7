/*
 * prometheus: everything that is counted, in Prometheus' text format (version 0.0.4).
 */
#ifndef DAEMON_PROMETHEUS_H
#define DAEMON_PROMETHEUS_H

#include <stdio.h>

#include "daemon/supervisor.h"

#define PROMETHEUS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

void prometheus_write(const struct supervisor *supervisor, FILE *out);

#endif
