/*
 * log: one line an event, to stderr, syslog or a file.
 *
 * As text a line begins with the time in UTC and the level's name, and ends with what it is
 * about (log_about), "peer=127.0.0.1:4242 stream=1".  On a stderr that is systemd's
 * (JOURNAL_STREAM names the very file) it begins with the journal's priority, "<4>", instead.
 * As JSON it is an object.  Whatever
 * is printed stays one line, as base/escape has it, so bytes from a peer or a script cannot forge
 * one, and the journal never takes one for a blob.  A line of more than LOG_LINE bytes is cut and
 * ends in "...".  errno is left as it was.
 *
 * From log_configure on nobody waits for whoever reads the log (base/log_sink): a line that
 * cannot be written at once is lost, and the next that can be has "N lines lost: why" before it.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(identifier, syslog's priority, name in lines and in the configuration) */
#define LOG_LEVELS(X)                                                                              \
    X(ERR, 3, "err")                                                                               \
    X(WARNING, 4, "warning")                                                                       \
    X(NOTICE, 5, "notice")                                                                         \
    X(INFO, 6, "info")                                                                             \
    X(DEBUG, 7, "debug")

enum log_level {
#define X(id, priority, name) LEVEL_##id = priority,
    LOG_LEVELS(X)
#undef X
};

#define LOG_LINE 8192

enum log_format {
    LOG_TEXT,
    LOG_JSON,
};

/* Looks at stderr once and decides the form of the lines. */
void log_open(enum log_level level);

/*
 * From now on in this form, and to there: "stderr", "syslog", "syslog:SOCKET" or a file, which
 * is made if need be and appended to, so that several processes may share it.  False with the
 * fault when it cannot be opened: everything stays as it was.
 */
bool log_configure(enum log_format format, const char *target, char *fault, size_t room);

/* The file was moved away: the next lines go to a new one of its name.  Should that not be
 * possible, they say so and go on where they went. */
void log_reopen(void);

/* Lines that are lost from now on are counted there too, which is added to alone by this process
 * and lasts; those before, another process's after a fork, are forgotten. */
void log_count_lost(uint64_t *metric);

/* What is being worked on.  NULL and "" are left out. */
struct log_subject {
    const char *peer, *engine_id;
    bool numbered; /* it has ids */
    uint64_t stream_id, frame_id;
};

/* A copy with its strings in one block, to be freed, for what goes on after the subject has. */
struct log_subject *log_subject_copy(const struct log_subject *subject);

/* Where it points must last until it is changed again.  Cheap: not even compared. */
struct log_about {
    const struct log_subject *subject; /* NULL: nothing in particular */
    const char *message;               /* the handler that runs, or NULL */
};

extern struct log_about log_about;

void log_set_level(enum log_level level);

/* Worth asking before arguments that cost something to make. */
bool log_enabled(enum log_level level);

void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Something that may happen very often, such as a broken peer's HELLO or one handler's
 * error: the first LOG_BURST lines in LOG_INTERVAL seconds are written, the rest are
 * counted, and the next line that is written (or log_limit_flush) says how many.
 * Starts as all zeroes; embed it in what it belongs to, or make it static.
 */
#define LOG_BURST    3
#define LOG_INTERVAL 10.0

struct log_limit {
    uint64_t since; /* when the interval began, of base/clock; 0 for never */
    unsigned written;
    unsigned long suppressed;
};

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Says how many lines about "what" were not shown, if any were; for whoever ends with a
 * limit of its own, so that no count is lost. */
void log_limit_flush(struct log_limit *limit, enum log_level level, const char *what);

#endif
