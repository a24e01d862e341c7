#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/escape.h"

/* "2026-11-24T05:22:20.123Z warning ", or an object's beginning. */
#define HEAD_MAX 128

/* " (and 4294967295 more like it ...)", or as a member of an object */
#define TAIL_MAX 128

/* Of a value that the line is about. */
#define FIELD_MAX 256

/* LOG_LINE, and what it is about. */
#define LINE_ROOM (LOG_LINE + 2048)

static const char *const level_names[] = {
#define X(id, priority, name) [priority] = name,
    LOG_LEVELS(X)
#undef X
};

struct log_about log_about;

static enum log_level log_level = LEVEL_INFO;
static enum log_format log_format;
static bool log_journal; /* stderr is systemd's */

/* Where to.  STDERR_FILENO, or a descriptor of ours. */
static int log_fd = STDERR_FILENO;
static bool log_syslog;
static char *log_target; /* of the descriptor: the file, or syslog's socket */

#define SYSLOG_SOCKET "/dev/log"
#define SYSLOG_DAEMON (3 << 3) /* the facility, in RFC 3164's priorities */

/* systemd.exec(5), JOURNAL_STREAM: "the device and inode numbers, separated by a colon". */
static bool log_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device, inode;
    struct stat st;

    return stream && sscanf(stream, "%ju:%ju", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

void log_open(enum log_level level)
{
    log_level = level;
    log_journal = log_is_journal();
}

void log_set_level(enum log_level level)
{
    log_level = level;
}

bool log_enabled(enum log_level level)
{
    return level <= log_level;
}

/* "2026-11-24T05:22:20.123Z" */
static void log_time(char *out, size_t room)
{
    struct timespec now;
    struct tm utc;
    size_t len;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    len = strftime(out, room, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + len, room - len, ".%03ldZ", now.tv_nsec / 1000000);
}

/* RFC 3164: "Nov 24 05:22:20", in local time as syslogd wants it. */
static void log_syslog_time(char *out, size_t room)
{
    time_t now = time(NULL);
    struct tm local;

    localtime_r(&now, &local);
    strftime(out, room, "%b %e %H:%M:%S", &local);
}

/* ---- where to ---- */

static int syslog_open(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path, strlen(path));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;

        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int target_open(const char *target, bool is_syslog)
{
    if (is_syslog)
        return syslog_open(target);
    return open(target, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

static void target_use(int fd, const char *target, bool is_syslog)
{
    char *copy = target ? strdup(target) : NULL;

    if (log_fd != STDERR_FILENO)
        close(log_fd);
    free(log_target);
    log_fd = fd;
    log_target = copy;
    log_syslog = is_syslog;
}

bool log_configure(enum log_format format, const char *target, char *fault, size_t room)
{
    bool is_syslog = strncmp(target, "syslog", 6) == 0 && (target[6] == '\0' || target[6] == ':');
    const char *where = !is_syslog ? target : target[6] ? target + 7 : SYSLOG_SOCKET;
    int fd;

    if (strcmp(target, "stderr") == 0) {
        target_use(STDERR_FILENO, NULL, false);
    } else {
        fd = target_open(where, is_syslog);
        if (fd < 0) {
            snprintf(fault, room, "log-target %s: %s", target, strerror(errno));
            return false;
        }
        target_use(fd, where, is_syslog);
    }
    log_format = format;
    return true;
}

void log_reopen(void)
{
    char *target = log_target ? strdup(log_target) : NULL;
    int fd;

    if (!target)
        return;
    fd = target_open(target, log_syslog);
    if (fd >= 0)
        target_use(fd, target, log_syslog);
    else
        log_write(LEVEL_ERR, "log-target %s cannot be opened anew: %s", target, strerror(errno));
    free(target);
}

int log_descriptor(void)
{
    return log_fd == STDERR_FILENO ? -1 : log_fd;
}

/* A syslogd that was started anew has a new socket.  Nobody waits for one that is full. */
static void syslog_put(const char *line, size_t len)
{
    int fd;

    if (send(log_fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 || errno == EAGAIN)
        return;
    fd = syslog_open(log_target);
    if (fd < 0)
        return;
    close(log_fd);
    log_fd = fd;
    send(log_fd, line, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void log_put(const char *line, size_t len)
{
    if (log_syslog) {
        syslog_put(line, len - 1); /* its packets need no line end */
        return;
    }
    while (len > 0) {
        ssize_t n = write(log_fd, line, len);

        /* There is nobody to tell that it is full or gone. */
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            line += n;
            len -= (size_t)n;
        }
    }
}

/* ---- one line ---- */

/* An event's own text, as it came. */
struct text {
    char bytes[LOG_LINE];
    size_t len;
    bool cut;
};

/* A line that is being made; what does not fit is left out. */
struct line {
    char bytes[LINE_ROOM];
    size_t len;
};

static void line_add(struct line *line, const char *text, size_t len)
{
    if (len > sizeof line->bytes - line->len)
        len = sizeof line->bytes - line->len;
    memcpy(line->bytes + line->len, text, len);
    line->len += len;
}

__attribute__((format(printf, 2, 3))) static void line_print(struct line *line, const char *format,
                                                             ...)
{
    char text[128];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    line_add(line, text, (size_t)len < sizeof text ? (size_t)len : sizeof text - 1);
}

static void line_head(struct line *line, enum log_level level)
{
    char when[32];

    if (log_syslog) {
        log_syslog_time(when, sizeof when);
        line_print(line, "<%u>%s spoa-lua[%d]: ", (unsigned)SYSLOG_DAEMON + level, when,
                   (int)getpid());
    } else if (log_journal && log_fd == STDERR_FILENO) {
        line_print(line, "<%u>", (unsigned)level);
    } else if (log_format == LOG_TEXT) {
        log_time(when, sizeof when);
        line_print(line, "%s %s ", when, level_names[level]);
    }
}

/* At most `most` bytes of it, or "..." behind what fits. */
static void line_escape(struct line *line, enum escape_dialect dialect, size_t most,
                        const char *text, size_t len, bool cut)
{
    size_t left = sizeof line->bytes - line->len;

    line->len +=
        escape_text(dialect, line->bytes + line->len, most < left ? most : left, text, len, cut);
}

/* A value of log_about, which a peer may have chosen. */
static void line_field(struct line *line, const char *name, const char *json_name,
                       const char *value)
{
    bool json = log_format == LOG_JSON;
    bool quoted;

    if (!value || !*value)
        return;
    quoted = json || escape_wants_quotes(value);
    line_print(line, json ? ",\"%s\":" : " %s=", json ? json_name : name);
    line_add(line, "\"", quoted);
    line_escape(line, quoted ? ESCAPE_QUOTED : ESCAPE_LINE, FIELD_MAX, value, strlen(value), false);
    line_add(line, "\"", quoted);
}

static void line_about(struct line *line)
{
    const struct log_subject *subject = log_about.subject;

    if (subject) {
        line_field(line, "peer", "peer", subject->peer);
        line_field(line, "engine", "engine_id", subject->engine_id);
        if (subject->numbered && log_format == LOG_JSON)
            line_print(line, ",\"stream_id\":%" PRIu64 ",\"frame_id\":%" PRIu64, subject->stream_id,
                       subject->frame_id);
        else if (subject->numbered)
            line_print(line, " stream=%" PRIu64 " frame=%" PRIu64, subject->stream_id,
                       subject->frame_id);
    }
    line_field(line, "message", "message", log_about.message);
}

static void line_object(struct line *line, enum log_level level, const struct text *text,
                        const char *tail)
{
    char when[32];

    log_time(when, sizeof when);
    line_print(line, "{\"time\":\"%s\",\"level\":\"%s\",\"pid\":%d,\"text\":\"", when,
               level_names[level], (int)getpid());
    line_escape(line, ESCAPE_QUOTED, LOG_LINE - HEAD_MAX - TAIL_MAX, text->bytes, text->len,
                text->cut);
    line_add(line, "\"", 1);
    if (*tail)
        line_print(line, ",\"more\":\"%s\"", tail + 1);
    line_about(line);
    line_add(line, "}", 1);
}

static void line_plain(struct line *line, const struct text *text, const char *tail)
{
    size_t tail_len = strlen(tail);

    line_escape(line, ESCAPE_LINE, LOG_LINE - line->len - tail_len - 1, text->bytes, text->len,
                text->cut);
    line_add(line, tail, tail_len);
    line_about(line);
}

/* Without the line ends at its end. */
__attribute__((format(printf, 2, 0))) static void text_print(struct text *text, const char *format,
                                                             va_list args)
{
    int wanted = vsnprintf(text->bytes, sizeof text->bytes, format, args);

    text->cut = wanted >= (int)sizeof text->bytes;
    text->len = wanted < 0 ? 0 : text->cut ? sizeof text->bytes - 1 : (size_t)wanted;
    while (text->len > 0 && strchr("\r\n", text->bytes[text->len - 1]))
        text->len--;
}

__attribute__((format(printf, 3, 0))) static void log_line(enum log_level level, const char *tail,
                                                           const char *format, va_list args)
{
    struct text text;
    struct line line = {.len = 0};
    int saved = errno;

    text_print(&text, format, args);
    line_head(&line, level);
    if (log_format == LOG_JSON)
        line_object(&line, level, &text, tail);
    else
        line_plain(&line, &text, tail);
    line_add(&line, "\n", 1);
    log_put(line.bytes, line.len);
    errno = saved;
}

void log_write(enum log_level level, const char *format, ...)
{
    va_list args;

    if (!log_enabled(level))
        return;
    va_start(args, format);
    log_line(level, "", format, args);
    va_end(args);
}

static double log_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
    char tail[TAIL_MAX] = "";
    double now = log_now();
    va_list args;

    if (!log_enabled(level))
        return;
    if (limit->since == 0 || now - limit->since >= LOG_INTERVAL) {
        if (limit->suppressed)
            snprintf(tail, sizeof tail, " (and %lu more like it in the last %.0f s, not shown)",
                     limit->suppressed, now - limit->since);
        *limit = (struct log_limit){.since = now};
    }
    if (limit->written >= LOG_BURST) {
        limit->suppressed++;
        return;
    }
    limit->written++;
    va_start(args, format);
    log_line(level, tail, format, args);
    va_end(args);
}

void log_limit_flush(struct log_limit *limit, enum log_level level, const char *what)
{
    if (limit->suppressed)
        log_write(level, "%s: %lu more in the last %.0f s, not shown", what, limit->suppressed,
                  log_now() - limit->since);
    limit->suppressed = 0;
}
