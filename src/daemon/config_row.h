/*
 * config_row: what is known of a key, and how a line sets it.  Private to config*.c.
 */
#ifndef DAEMON_CONFIG_ROW_H
#define DAEMON_CONFIG_ROW_H

#include <stdint.h>

#include "daemon/config.h"

/* How the value is written, and so what it becomes in struct config. */
enum config_kind {
    CONFIG_TIME,     /* double, seconds */
    CONFIG_SIZE,     /* size_t or uint32_t, bytes */
    CONFIG_COUNT,    /* unsigned */
    CONFIG_CHOICE,   /* an enum */
    CONFIG_VARIABLE, /* agent.error_scope and agent.error_name */
    CONFIG_ADDRESS,  /* appended to listeners */
    CONFIG_SCRIPT,   /* expanded and appended to script.files */
    CONFIG_PATH,     /* appended to script.paths */
    CONFIG_HANDLER,  /* appended to script.limits */
    CONFIG_USER,     /* user.uid, user.name and user.primary */
    CONFIG_GROUP,    /* user.gid */
    CONFIG_CONTROL,  /* control */
    CONFIG_METRICS,  /* metrics */
    CONFIG_LOG,      /* log_target */
};

struct config_choice {
    const char *name;
    unsigned value;
};

struct config_row {
    const char *heading; /* of the group that begins with this row, or NULL */
    const char *key;
    const char *syntax; /* of what follows the key */
    enum config_kind kind;
    bool repeatable;
    bool restart;          /* a change takes effect at the next start only */
    const char *initial;   /* the default as one would write it; NULL when there is none */
    const char *example;   /* shown where there is no default */
    const char *min, *max; /* times, sizes and counts, as one would write them */
    const struct config_choice *choices; /* ended by a NULL name; of a count: words for one */
    size_t offset, width;                /* of the field in struct config */
    const char *text;                    /* documentation: sentences in plain text, on one line */
};

extern const struct config_row config_rows[];
extern const size_t config_nrows;

/* A time in microseconds, a size in bytes, a count.  NULL, or what is wrong with the text.
 * What does not fit 64 bits is UINT64_MAX. */
const char *config_number(enum config_kind kind, const char *text, uint64_t *number);

/* What has been read so far. */
struct config_input {
    struct config *config;
    const char *path;
    size_t line; /* the current one; 0 for a default */
    FILE *errors;
    size_t faults;
    size_t *set_at;    /* by row: the line that set it last, or 0 */
    size_t *listen_at; /* by listener: its line */
};

/* Reports an error of the current line, as one line whatever the text has in it. */
void config_fault(struct config_input *input, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Gives the key its value; words are what follows the key, at least one.  What is wrong with
 * them is reported, and the field is left as it is. */
void config_set(struct config_input *input, const struct config_row *row, char **words,
                size_t nwords);

#endif
