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

/* What an event's own text may have before it is made printable. */
#define TEXT_MAX LOG_LINE

/* "<4>" or "2026-11-24T05:22:20.123Z warning ". */
#define HEAD_MAX 48

/* " (and 4294967295 more like it ...)" */
#define TAIL_MAX 96

/* LOG_LINE with everything in it quoted for JSON, and what it is about. */
#define LINE_ROOM (2 * LOG_LINE + 4096)

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
static size_t log_time(char *out, size_t room)
{
    struct timespec now;
    struct tm utc;
    size_t len;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    len = strftime(out, room, "%Y-%m-%dT%H:%M:%S", &utc);
    return len + (size_t)snprintf(out + len, room - len, ".%03ldZ", now.tv_nsec / 1000000);
}

/* RFC 3164: "<30>Nov 24 05:22:20 spoa-lua[4242]: ", in local time as syslogd wants it. */
static size_t log_syslog_head(char head[HEAD_MAX], enum log_level level)
{
    time_t now = time(NULL);
    struct tm local;
    char when[32];

    localtime_r(&now, &local);
    strftime(when, sizeof when, "%b %e %H:%M:%S", &local);
    return (size_t)snprintf(head, HEAD_MAX,
                            "<%u>%s spoa-lua[%d]: ", (unsigned)SYSLOG_DAEMON + level, when,
                            (int)getpid());
}

static size_t log_head(char head[HEAD_MAX], enum log_level level)
{
    char when[32];

    if (log_syslog)
        return log_syslog_head(head, level);
    if (log_journal && log_fd == STDERR_FILENO)
        return (size_t)snprintf(head, HEAD_MAX, "<%u>", (unsigned)level);
    if (log_format == LOG_JSON)
        return 0;
    log_time(when, sizeof when);
    return (size_t)snprintf(head, HEAD_MAX, "%s %s ", when, level_names[level]);
}

/*
 * The length of the printable character that begins at text: 1 to 4 bytes of UTF-8 (RFC 3629:
 * nothing overlong, no surrogates, nothing past U+10FFFF), or 0 for a control character (C1
 * too) and for what is not UTF-8.
 */
static size_t log_printable(const unsigned char *text, size_t left)
{
    static const uint32_t least[] = {0, 0, 0xa0, 0x800, 0x10000};
    unsigned char first = text[0];
    size_t len = first < 0x80 ? 1 : first < 0xc0 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    uint32_t code;

    if (len == 1)
        return first >= 0x20 && first != 0x7f;
    if (len == 0 || len > left || first > 0xf4)
        return 0;
    code = first & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3f);
    }
    return code >= least[len] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff) ? len : 0;
}

/* How much of the text is one line end and the indentation of what follows; 0 for none. */
static size_t log_line_end(const char *text, size_t left)
{
    size_t n = 0;

    if (text[0] != '\n' && !(left > 1 && text[0] == '\r' && text[1] == '\n'))
        return 0;
    while (n < left && text[n] != '\0' && strchr("\r\n\t ", text[n]))
        n++;
    return n;
}

/* Makes text printable on one line; at most room bytes, cut with "..." where there were more. */
static size_t log_escape(char *out, size_t room, const char *text, size_t len, bool cut)
{
    size_t used = 0, safe = 0; /* safe: where "..." still fits behind */
    size_t n, took;
    char piece[8];

    for (size_t at = 0; at < len; at += took) {
        if ((took = log_line_end(text + at, len - at)) > 0) {
            memcpy(piece, " | ", n = 3);
        } else if ((n = log_printable((const unsigned char *)text + at, len - at)) > 0) {
            memcpy(piece, text + at, took = n);
        } else {
            snprintf(piece, sizeof piece, "\\x%02x", (unsigned)(unsigned char)text[at]);
            n = 4;
            took = 1;
        }
        cut = cut || used + n > room;
        if (cut && used + n + 3 > room)
            break;
        memcpy(out + used, piece, n);
        used += n;
        if (used + 3 <= room)
            safe = used;
    }
    if (cut) {
        memcpy(out + safe, "...", 3);
        used = safe + 3;
    }
    return used;
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

/* What log_escape has made printable, as a JSON string. */
static void line_json(struct line *line, const char *text, size_t len)
{
    line_add(line, "\"", 1);
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '"' || text[i] == '\\')
            line_add(line, "\\", 1);
        line_add(line, text + i, 1);
    }
    line_add(line, "\"", 1);
}

/* A value of log_about, which a peer may have chosen. */
static void line_field(struct line *line, const char *name, const char *json_name,
                       const char *value)
{
    char text[256];
    size_t len;

    if (!value || !*value)
        return;
    len = log_escape(text, sizeof text, value, strlen(value), false);
    if (log_format == LOG_JSON) {
        line_print(line, ",\"%s\":", json_name);
        line_json(line, text, len);
        return;
    }
    line_print(line, " %s=", name);
    if (memchr(text, ' ', len) || memchr(text, '"', len))
        line_json(line, text, len);
    else
        line_add(line, text, len);
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

static void line_object(struct line *line, enum log_level level, const char *text, size_t len,
                        const char *tail)
{
    char when[32];

    log_time(when, sizeof when);
    line_print(line, "{\"time\":\"%s\",\"level\":\"%s\",\"pid\":%d,\"text\":", when,
               level_names[level], (int)getpid());
    line_json(line, text, len);
    if (*tail)
        line_print(line, ",\"more\":\"%s\"", tail + 1);
    line_about(line);
    line_add(line, "}", 1);
}

__attribute__((format(printf, 3, 0))) static void log_line(enum log_level level, const char *tail,
                                                           const char *format, va_list args)
{
    char text[TEXT_MAX], printable[LOG_LINE], head[HEAD_MAX];
    struct line line = {.len = 0};
    int saved = errno;
    size_t head_len = log_head(head, level), tail_len = strlen(tail), text_len, len;
    int wanted = vsnprintf(text, sizeof text, format, args);

    text_len = wanted < 0 ? 0 : (size_t)wanted;
    if (text_len >= sizeof text)
        text_len = sizeof text - 1;
    while (text_len > 0 && strchr("\r\n", text[text_len - 1]))
        text_len--;
    len = log_escape(printable, LOG_LINE - head_len - tail_len - 1, text, text_len,
                     wanted >= (int)sizeof text);
    line_add(&line, head, head_len);
    if (log_format == LOG_JSON) {
        line_object(&line, level, printable, len, tail);
    } else {
        line_add(&line, printable, len);
        line_add(&line, tail, tail_len);
        line_about(&line);
    }
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
