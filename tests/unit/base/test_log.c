#include "base/log.h"

#include <errno.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../unit.h"
#include "base/clock.h"

/* What comes out of stderr: each write(2) is one datagram. */
static int tap = -1;

static void tap_open(enum log_level level)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    ck_assert_int_eq(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
    close(pair[1]);
    tap = pair[0];
    ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
    log_open(level);
}

/* The next write, or NULL. */
static const char *tap_next(void)
{
    static char line[2 * LOG_LINE];
    ssize_t n = recv(tap, line, sizeof line - 1, MSG_DONTWAIT);

    if (n < 0)
        return NULL;
    line[n] = '\0';
    return line;
}

/* The next line without its time and line end. */
static const char *tap_event(void)
{
    static char event[2 * LOG_LINE];
    const char *line = tap_next(), *space;
    size_t len;

    if (!line)
        return NULL;
    space = strchr(line, ' ');
    ck_assert_ptr_nonnull(space);
    len = strlen(space + 1);
    ck_assert_int_eq(space[len], '\n');
    memcpy(event, space + 1, len - 1);
    event[len - 1] = '\0';
    return event;
}

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    int status;

    ck_assert_int_eq(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    status = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    return status == 0;
}

START_TEST(test_plain)
{
    time_t before = time(NULL), after;
    struct tm utc;
    char second[32], second_after[32];
    const char *line;

    tap_open(LEVEL_INFO);
    log_write(LEVEL_NOTICE, "listening on %s:%d", "127.0.0.1", 12345);
    line = tap_next();
    after = time(NULL);
    ck_assert_ptr_nonnull(line);
    ck_assert_msg(matches(line,
                          "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
                          "notice listening on 127\\.0\\.0\\.1:12345\n$"),
                  "%s", line);
    strftime(second, sizeof second, "%Y-%m-%dT%H:%M:%S", gmtime_r(&before, &utc));
    strftime(second_after, sizeof second_after, "%Y-%m-%dT%H:%M:%S", gmtime_r(&after, &utc));
    ck_assert_int_ge(strncmp(line, second, 19), 0);
    ck_assert_int_le(strncmp(line, second_after, 19), 0);
    ck_assert_ptr_null(tap_next());
}
END_TEST

START_TEST(test_journal)
{
    char stream[64];
    struct stat st;

    tap_open(LEVEL_INFO);
    ck_assert_int_eq(fstat(STDERR_FILENO, &st), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
    log_open(LEVEL_DEBUG);
    log_write(LEVEL_WARNING, "one");
    ck_assert_str_eq(tap_next(), "<4>one\n");
    log_write(LEVEL_DEBUG, "two");
    ck_assert_str_eq(tap_next(), "<7>two\n");

    /* A shell in a unit inherits the variable, but its stderr is another file. */
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino + 1);
    ck_assert_int_eq(setenv("JOURNAL_STREAM", stream, 1), 0);
    log_open(LEVEL_DEBUG);
    log_write(LEVEL_WARNING, "three");
    ck_assert_str_eq(tap_event(), "warning three");
}
END_TEST

START_TEST(test_levels)
{
    static const char *const names[] = {"err x", "warning x", "notice x", "info x", "debug x"};

    tap_open(LEVEL_DEBUG);
    for (unsigned shown = LEVEL_ERR; shown <= LEVEL_DEBUG; shown++) {
        log_set_level((enum log_level)shown);
        for (unsigned level = LEVEL_ERR; level <= LEVEL_DEBUG; level++) {
            const char *event;

            ck_assert_int_eq(log_enabled((enum log_level)level), level <= shown);
            log_write((enum log_level)level, "x");
            event = tap_event();
            if (level > shown)
                ck_assert_ptr_null(event);
            else
                ck_assert_str_eq(event, names[level - LEVEL_ERR]);
        }
    }
}
END_TEST

START_TEST(test_one_line)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"plain \\x41 %s", "plain \\x41 %s"},
        {"a\nb\r\nc", "a | b | c"},
        {"error\nstack traceback:\n\t[C]: in ?\n", "error | stack traceback: | [C]: in ?"},
        {"end\r\n\n", "end"},
        {"\n\n", ""},
        {"a\rb\tc", "a\\x0db\\x09c"},
        {"\x1b[31m\x7f", "\\x1b[31m\\x7f"},
        {"gr\xc3\xbc\xc3\x9f \xc2\x9b\xff", "gr\xc3\xbc\xc3\x9f \\xc2\\x9b\\xff"},
    };
    char expected[128];

    tap_open(LEVEL_INFO);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        log_write(LEVEL_ERR, "%s", cases[i].text);
        snprintf(expected, sizeof expected, "err %s", cases[i].shown);
        ck_assert_str_eq(tap_event(), expected);
    }
    log_write(LEVEL_ERR, "nul %c here", 0);
    ck_assert_str_eq(tap_event(), "err nul \\x00 here");
}
END_TEST

/* Around the longest text that still fits, and far past it. */
START_TEST(test_long)
{
    static char text[1 << 20];
    size_t head = strlen("2026-11-24T05:22:20.123Z err ");
    size_t fits = LOG_LINE - head - 1;

    tap_open(LEVEL_INFO);
    for (size_t len = fits - 8; len < fits + 8; len++) {
        const char *line;

        memset(text, 'x', len);
        text[len] = '\0';
        log_write(LEVEL_ERR, "%s", text);
        line = tap_next();
        ck_assert_ptr_nonnull(line);
        if (len <= fits) {
            ck_assert_uint_eq(strlen(line), head + len + 1);
            ck_assert_ptr_null(strstr(line, "..."));
        } else {
            ck_assert_uint_eq(strlen(line), LOG_LINE);
            ck_assert_str_eq(line + LOG_LINE - 5, "x...\n");
        }
    }
    memset(text, 1, sizeof text - 1);
    log_write(LEVEL_ERR, "%s", text);
    ck_assert_msg(matches(tap_next(), "\\\\x01\\.\\.\\.\n$"), "an escape was cut");
    ck_assert_ptr_null(tap_next());
}
END_TEST

/* The cut comes between characters, whatever their size. */
START_TEST(test_cut_whole_characters)
{
    static char text[2 * LOG_LINE];

    tap_open(LEVEL_INFO);
    for (size_t shift = 0; shift < 4; shift++) {
        const char *line;
        size_t len = shift;

        memset(text, 'x', shift);
        while (len + 4 < sizeof text) {
            memcpy(text + len, "\xf0\x9f\x90\x8c", 4);
            len += 4;
        }
        text[len] = '\0';
        log_write(LEVEL_ERR, "%s", text);
        line = tap_next();
        ck_assert_ptr_nonnull(line);
        len = strlen(line);
        ck_assert_str_eq(line + len - 8, "\xf0\x9f\x90\x8c...\n");
    }
}
END_TEST

START_TEST(test_errno_kept)
{
    tap_open(LEVEL_INFO);
    close(STDERR_FILENO);
    errno = ENOENT;
    log_write(LEVEL_ERR, "nobody reads this");
    ck_assert_int_eq(errno, ENOENT);
}
END_TEST

START_TEST(test_subject_copied)
{
    char peer[] = "127.0.0.1:4242", engine[] = "an engine";
    struct log_subject subject = {peer, engine, true, 7, 1};
    struct log_subject *copy = log_subject_copy(&subject);

    memset(peer, 'x', sizeof peer - 1);
    memset(engine, 'x', sizeof engine - 1);
    subject.numbered = false;
    tap_open(LEVEL_INFO);
    log_about = (struct log_about){copy, "m"};
    log_write(LEVEL_INFO, "later");
    ck_assert_str_eq(
        tap_event(),
        "info later peer=127.0.0.1:4242 engine=\"an engine\" stream=7 frame=1 message=m");
    free(copy);

    subject = (struct log_subject){.peer = NULL, .engine_id = ""};
    copy = log_subject_copy(&subject);
    ck_assert_ptr_null(copy->peer);
    ck_assert_str_eq(copy->engine_id, "");
    log_about = (struct log_about){copy, NULL};
    log_write(LEVEL_INFO, "of nobody");
    ck_assert_str_eq(tap_event(), "info of nobody");
    free(copy);
}
END_TEST

START_TEST(test_limited)
{
    struct log_limit limit = {0};
    char expected[64];

    tap_open(LEVEL_INFO);
    for (int i = 0; i < 100; i++)
        log_limited(&limit, LEVEL_WARNING, "broken %d", i);
    for (int i = 0; i < LOG_BURST; i++) {
        snprintf(expected, sizeof expected, "warning broken %d", i);
        ck_assert_str_eq(tap_event(), expected);
    }
    ck_assert_ptr_null(tap_next());
    ck_assert_uint_eq(limit.suppressed, 100 - LOG_BURST);

    limit.since -= (uint64_t)LOG_INTERVAL * CLOCK_SECOND;
    log_limited(&limit, LEVEL_WARNING, "broken again");
    ck_assert_msg(matches(tap_event(), "^warning broken again \\(and 97 more like it in the last "
                                       "[0-9]+ s, not shown\\)$"),
                  "no count");
    ck_assert_uint_eq(limit.suppressed, 0);
    log_limited(&limit, LEVEL_WARNING, "once more");
    ck_assert_str_eq(tap_event(), "warning once more");
}
END_TEST

START_TEST(test_limited_below_level)
{
    struct log_limit limit = {0};

    tap_open(LEVEL_ERR);
    for (int i = 0; i < 100; i++)
        log_limited(&limit, LEVEL_WARNING, "broken %d", i);
    log_limit_flush(&limit, LEVEL_ERR, "broken");
    ck_assert_ptr_null(tap_next());
}
END_TEST

/* The count stands at the end even of a line that is cut. */
START_TEST(test_limited_long)
{
    static char text[2 * LOG_LINE];
    struct log_limit limit = {0};
    const char *line;

    memset(text, 'x', sizeof text - 1);
    tap_open(LEVEL_INFO);
    for (int i = 0; i < LOG_BURST + 5; i++)
        log_limited(&limit, LEVEL_ERR, "%s", text);
    for (int i = 0; i < LOG_BURST; i++)
        ck_assert_ptr_nonnull(tap_next());
    limit.since -= (uint64_t)LOG_INTERVAL * CLOCK_SECOND;
    log_limited(&limit, LEVEL_ERR, "%s", text);
    line = tap_next();
    ck_assert_ptr_nonnull(line);
    ck_assert_uint_eq(strlen(line), LOG_LINE);
    ck_assert_msg(matches(line, "x\\.\\.\\. \\(and 5 more like it [^\n]*\\)\n$"), "%s", line);
}
END_TEST

START_TEST(test_limit_flush)
{
    struct log_limit limit = {0};

    tap_open(LEVEL_INFO);
    log_limit_flush(&limit, LEVEL_WARNING, "127.0.0.1:4242");
    ck_assert_ptr_null(tap_next());
    for (int i = 0; i < LOG_BURST + 2; i++)
        log_limited(&limit, LEVEL_WARNING, "x");
    for (int i = 0; i < LOG_BURST; i++)
        ck_assert_str_eq(tap_event(), "warning x");
    log_limit_flush(&limit, LEVEL_WARNING, "127.0.0.1:4242");
    ck_assert_msg(matches(tap_event(), "^warning 127\\.0\\.0\\.1:4242: 2 more in the last "
                                       "[0-9]+ s, not shown$"),
                  "no count");
    log_limit_flush(&limit, LEVEL_WARNING, "127.0.0.1:4242");
    ck_assert_ptr_null(tap_next());
}
END_TEST

UNIT_MAIN("log", test_plain, test_journal, test_levels, test_one_line, test_long,
          test_cut_whole_characters, test_errno_kept, test_subject_copied, test_limited,
          test_limited_below_level, test_limited_long, test_limit_flush)
