#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/escape.h"
#include "base/log_sink.h"
#include "base/mem.h"

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

/* Lines that the sink did not take, until that is said. */
static struct {
    uint64_t count;
    int why;          /* errno of the last */
    uint64_t *metric; /* NULL: nobody's */
} log_lost;

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

/* The next place in a block; NULL stays NULL. */
static const char *place(char **block, const char *text)
{
    size_t size = text ? strlen(text) + 1 : 0;
    char *at = *block;

    if (!text)
        return NULL;
    memcpy(at, text, size);
    *block += size;
    return at;
}

struct log_subject *log_subject_copy(const struct log_subject *subject)
{
    size_t peer = subject->peer ? strlen(subject->peer) + 1 : 0;
    size_t engine = subject->engine_id ? strlen(subject->engine_id) + 1 : 0;
    struct log_subject *copy = mem_alloc(sizeof *copy + peer + engine);
    char *strings = (char *)(copy + 1);

    *copy = *subject;
    copy->peer = place(&strings, subject->peer);
    copy->engine_id = place(&strings, subject->engine_id);
    return copy;
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

    if (log_sink_kind() == LOG_SINK_SYSLOG) {
        log_syslog_time(when, sizeof when);
        line_print(line, "<%u>%s spoa-lua[%d]: ", (unsigned)SYSLOG_DAEMON + level, when,
                   (int)getpid());
    } else if (log_journal && log_sink_kind() == LOG_SINK_STDERR) {
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

/* ---- out with it ---- */

/* False, with errno, when it is lost. */
static bool log_put(enum log_level level, const struct text *text, const char *tail)
{
    struct line line = {.len = 0};

    line_head(&line, level);
    if (log_format == LOG_JSON)
        line_object(&line, level, text, tail);
    else
        line_plain(&line, text, tail);
    line_add(&line, "\n", 1);
    return log_sink_put(line.bytes, line.len);
}

static void log_count(void)
{
    log_lost.why = errno;
    log_lost.count++;
    if (log_lost.metric)
        (*log_lost.metric)++;
}

/* False while the sink does not take that either. */
static bool log_own_up(void)
{
    struct log_about caller = log_about;
    struct text text = {.cut = false};
    bool put;

    if (log_lost.count == 0)
        return true;
    log_about = (struct log_about){NULL, NULL};
    text.len = (size_t)snprintf(
        text.bytes, sizeof text.bytes, "%" PRIu64 " lines lost: %s", log_lost.count,
        log_lost.why == EAGAIN ? "the log's reader did not take them" : strerror(log_lost.why));
    put = log_put(LEVEL_WARNING, &text, "");
    log_about = caller;
    if (put)
        log_lost.count = 0;
    return put;
}

__attribute__((format(printf, 3, 0))) static void log_line(enum log_level level, const char *tail,
                                                           const char *format, va_list args)
{
    int saved = errno;
    struct text text;

    text_print(&text, format, args);
    if (!log_own_up() || !log_put(level, &text, tail))
        log_count();
    errno = saved;
}

void log_count_lost(uint64_t *metric)
{
    log_lost.count = 0;
    log_lost.metric = metric;
}

/* ---- where to ---- */

bool log_configure(enum log_format format, const char *target, char *fault, size_t room)
{
    if (!log_sink_open(target)) {
        snprintf(fault, room, "log-target %s: %s", target, strerror(errno));
        return false;
    }
    log_format = format;
    return true;
}

void log_reopen(void)
{
    if (!log_sink_reopen())
        log_write(LEVEL_ERR, "log-target %s cannot be opened anew: %s", log_sink_path(),
                  strerror(errno));
}

/* ---- what is called ---- */

void log_write(enum log_level level, const char *format, ...)
{
    va_list args;

    if (!log_enabled(level))
        return;
    va_start(args, format);
    log_line(level, "", format, args);
    va_end(args);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *format, ...)
{
    char tail[TAIL_MAX] = "";
    uint64_t now = clock_look();
    double passed = clock_seconds(limit->since, now);
    va_list args;

    if (!log_enabled(level))
        return;
    if (limit->since == 0 || passed >= LOG_INTERVAL) {
        if (limit->suppressed)
            snprintf(tail, sizeof tail, " (and %lu more like it in the last %.0f s, not shown)",
                     limit->suppressed, passed);
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
                  clock_seconds(limit->since, clock_look()));
    limit->suppressed = 0;
}
