/*
 * config: the configuration file, one directive a line, one row a key.
 *
 * A row (CONFIG rows in config_keys.c) has everything there is to know about a key: its
 * name, kind, default, range, unit, where its value goes, and the text that documents it.
 * The parser, spoa-lua.conf.example and the manual page are all driven by the rows.
 */
#ifndef DAEMON_CONFIG_H
#define DAEMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#include "agent/options.h"
#include "base/log.h"
#include "daemon/listener.h"
#include "daemon/user.h"
#include "script/options.h"

struct config {
    struct agent_options agent;
    struct script_options script;
    enum log_level log_level;
    enum log_format log_format;
    char *log_target;      /* as log_configure has it */
    double drain_timeout;  /* seconds */
    unsigned workers;      /* 0: as many as there are processors */
    double worker_timeout; /* seconds without a beat until one is killed */
    struct listener_spec *listeners;
    size_t nlisteners;
    bool default_listener; /* no line says another */
    struct user user;
    struct listener_spec control, metrics; /* their text is NULL when there is none */
    char **written; /* by row: the values of keys whose change needs a restart */
};

/*
 * Fills *config from the file, with the default of every key that is not in it.  Every
 * error goes to errors as "FILE:LINE: what, and what to write instead", all of them in one
 * run; what is wrong with the file as a whole, or with a default, has no LINE.  Returns how
 * many there were; a key with an error is left zero.  The patterns of `script` are expanded,
 * in the order of the file and alphabetically within one: a plain name that does not exist
 * is an error, a wildcard that matches nothing is not.
 * config_clear must be called in either case.
 */
size_t config_read(struct config *config, const char *path, FILE *errors);

/* The same from text of len bytes that is said to come from path; for tests and fuzzing. */
size_t config_parse(struct config *config, const char *path, const char *text, size_t len,
                    FILE *errors);

/* Every key's default, as if from an empty file, but with no script at all (`spoa-lua
 * call -s`). */
void config_defaults(struct config *config);

/*
 * What differs in keys whose change needs a restart: their names, to be freed, or NULL.  From
 * then on `next` has the values of `now` there, as far as this function is concerned: it goes
 * on to differ from them until the restart.
 */
char *config_needs_restart(const struct config *now, struct config *next);

void config_clear(struct config *config);

/* The same for one that was allocated. */
void config_free(struct config *config);

/* Writes spoa-lua.conf.example, and spoa-lua.conf(5) in mdoc. */
void config_write_example(FILE *out);
void config_write_manual(FILE *out);

#endif
