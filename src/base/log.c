#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What an event's own text may have before it is made printable. */
#define TEXT_MAX LOG_LINE

/* "<4>" or "2026-11-24T05:22:20.123Z warning ". */
#define HEAD_MAX 48

/* " (and 4294967295 more like it ...)" */
#define TAIL_MAX 96

static const char *const level_names[] = {
#define X(id, priority, name) [priority] = name,
    LOG_LEVELS(X)
#undef X
};

static enum log_level log_level = LEVEL_INFO;
static bool log_journal;

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

static size_t log_head(char head[HEAD_MAX], enum log_level level)
{
    struct timespec now;
    struct tm utc;
    size_t len;
    int n;

    if (log_journal) {
        n = snprintf(head, HEAD_MAX, "<%u>", (unsigned)level);
        return (size_t)n;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    len = strftime(head, HEAD_MAX, "%Y-%m-%dT%H:%M:%S", &utc);
    n = snprintf(head + len, HEAD_MAX - len, ".%03ldZ %s ", now.tv_nsec / 1000000,
                 level_names[level]);
    return len + (size_t)n;
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

static void log_put(const char *line, size_t len)
{
    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, line, len);

        /* There is nobody to tell that stderr is full or gone. */
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0) {
            line += n;
            len -= (size_t)n;
        }
    }
}

__attribute__((format(printf, 3, 0))) static void log_line(enum log_level level, const char *tail,
                                                           const char *format, va_list args)
{
    char text[TEXT_MAX], line[LOG_LINE];
    int saved = errno;
    size_t len = log_head(line, level), tail_len = strlen(tail);
    size_t room = sizeof line - len - tail_len - 1, text_len;
    int wanted = vsnprintf(text, sizeof text, format, args);

    text_len = wanted < 0 ? 0 : (size_t)wanted;
    if (text_len >= sizeof text)
        text_len = sizeof text - 1;
    while (text_len > 0 && strchr("\r\n", text[text_len - 1]))
        text_len--;
    len += log_escape(line + len, room, text, text_len, wanted >= (int)sizeof text);
    memcpy(line + len, tail, tail_len);
    len += tail_len;
    line[len++] = '\n';
    log_put(line, len);
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
