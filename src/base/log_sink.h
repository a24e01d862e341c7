/*
 * log_sink: where the log's lines go: stderr, syslog or a file.  One a process.
 *
 * A daemon's never waits, whoever has stopped reading: what cannot be written at once is not
 * written.  So that nobody else's stderr changes, nothing is set on a descriptor that others
 * share: of a pipe or a terminal the process opens a description of its own.  A disk is waited
 * for, as by everybody.
 *
 * Until log_sink_open lines go to stderr, and are waited for: a command that prints and ends
 * serves nobody meanwhile.
 *
 * A line of at most PIPE_BUF bytes reaches a pipe whole or not at all.  One that was torn ends
 * before the next begins.
 */
#ifndef BASE_LOG_SINK_H
#define BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

enum log_sink_kind { LOG_SINK_STDERR, LOG_SINK_SYSLOG, LOG_SINK_FILE };

/* From now on there, as log_configure has it.  False, with errno: all stays as it was. */
bool log_sink_open(const char *target);

/* The same file or socket anew.  False, with errno: all stays as it was. */
bool log_sink_reopen(void);

enum log_sink_kind log_sink_kind(void);

/* The file, or the socket of syslog; NULL for stderr. */
const char *log_sink_path(void);

/* What must stay open, besides stderr; -1: nothing. */
int log_sink_descriptor(void);

/* A line with its end.  False, with errno: it is lost; EAGAIN: it would have had to wait. */
bool log_sink_put(const char *line, size_t len);

#endif
