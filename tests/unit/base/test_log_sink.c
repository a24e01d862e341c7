#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../unit.h"
#include "base/log.h"

/* More than any pipe or socket holds, of lines of every length up to PIPE_BUF. */
#define FLOOD 2000

/* The log's other end, which is read when the test says so. */
static int tap = -1;

static uint64_t lost;

static void log_to(const char *target)
{
    char fault[256];

    ck_assert_int_eq(unsetenv("JOURNAL_STREAM"), 0);
    log_open(LEVEL_INFO);
    ck_assert_msg(log_configure(LOG_TEXT, target, fault, sizeof fault), "%s", fault);
    log_count_lost(&lost);
}

static void log_to_stderr(int end, int other)
{
    ck_assert_int_eq(dup2(end, STDERR_FILENO), STDERR_FILENO);
    tap = other;
    ck_assert_int_eq(fcntl(tap, F_SETFL, O_NONBLOCK), 0);
    log_to("stderr");
}

/* How many lines were logged, the last of them in vain. */
static uint64_t flood(void)
{
    static char text[PIPE_BUF - 64];
    uint64_t n, before;

    memset(text, 'x', sizeof text);
    for (n = 0; n < FLOOD; n++)
        log_write(LEVEL_INFO, "%.*s|", (int)(n * 997 % sizeof text), text);
    for (before = lost; lost == before; n++)
        log_write(LEVEL_INFO, "%.*s|", (int)sizeof text, text);
    return n;
}

struct drained {
    uint64_t lines, said; /* read, and said to be lost */
};

/* With `whole`, each is as it was written. */
static struct drained drain(bool whole)
{
    static char bytes[8 << 20];
    struct drained drained = {0, 0};
    char *line, *rest = bytes, *note;
    size_t len = 0;
    ssize_t n;

    while ((n = read(tap, bytes + len, sizeof bytes - 1 - len)) > 0)
        len += (size_t)n;
    bytes[len] = '\0';
    while ((line = strsep(&rest, "\n")) != NULL && rest) {
        if ((note = strstr(line, "Z warning ")) != NULL) {
            drained.said += strtoull(note + strlen("Z warning "), NULL, 10);
            continue;
        }
        drained.lines++;
        if (whole)
            ck_assert_msg(strstr(line, "Z info ") && line[strlen(line) - 1] == '|', "%s", line);
    }
    return drained;
}

/* The next line, without its time if it is no object. */
static const char *next(void)
{
    static char line[1024];
    char *space;
    size_t len = 0;

    while (len < sizeof line - 1 && read(tap, line + len, 1) == 1 && line[len] != '\n')
        len++;
    line[len] = '\0';
    space = *line == '{' ? NULL : strchr(line, ' ');
    return space ? space + 1 : line;
}

/* Full, read, and the count is said. */
static void check_flood(bool whole)
{
    uint64_t logged = flood();
    struct drained drained = drain(whole);
    char expected[128];

    if (whole)
        ck_assert_uint_eq(drained.lines + lost, logged);
    log_write(LEVEL_INFO, "again");
    snprintf(expected, sizeof expected,
             "warning %" PRIu64 " lines lost: the log's reader did not take them",
             lost - drained.said);
    ck_assert_str_eq(next(), expected);
    ck_assert_str_eq(next(), "info again");
    log_write(LEVEL_INFO, "and again");
    ck_assert_str_eq(next(), "info and again");
}

START_TEST(a_pipe_that_nobody_reads)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    log_to_stderr(ends[1], ends[0]);
    ck_assert_int_eq(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0); /* what others share is as it was */
    check_flood(true);
}
END_TEST

/* It cannot be opened anew while it has no reader, so it stays the one that others share. */
START_TEST(a_shared_pipe_that_nobody_reads)
{
    char folder[] = "/tmp/test_log_sinkXXXXXX", path[64];
    int reader, writer;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/fifo", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    reader = open(path, O_RDONLY | O_NONBLOCK);
    writer = open(path, O_WRONLY);
    close(reader);
    ck_assert_int_eq(dup2(writer, STDERR_FILENO), STDERR_FILENO);
    log_to("stderr");
    ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
    tap = open(path, O_RDONLY | O_NONBLOCK);
    unlink(path);
    rmdir(folder);
    check_flood(true);
}
END_TEST

START_TEST(a_stream_that_nobody_reads)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    log_to_stderr(ends[1], ends[0]);
    ck_assert_int_eq(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    check_flood(false);
}
END_TEST

/* A line may be torn when it is longer than a pipe's atom: the next begins on its own. */
START_TEST(a_torn_line_has_an_end)
{
    static char text[LOG_LINE];
    int ends[2];
    char last[1024];

    ck_assert_int_eq(pipe(ends), 0);
    log_to_stderr(ends[1], ends[0]);
    memset(text, 'x', sizeof text - 1);
    while (lost == 0)
        log_write(LEVEL_INFO, "%.7000s", text);
    /* What is there ends in the middle of a line, or else at one's end. */
    while (read(tap, last, sizeof last) > 0)
        ;
    log_write(LEVEL_INFO, "again");
    snprintf(last, sizeof last, "%s", next());
    if (*last == '\0')
        snprintf(last, sizeof last, "%s", next());
    ck_assert_str_eq(last, "warning 1 lines lost: the log's reader did not take them");
    ck_assert_str_eq(next(), "info again");
}
END_TEST

static int syslog_bind(struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    unlink(address->sun_path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

/* What follows "spoa-lua[PID]: " in the next packet. */
static const char *syslog_next(void)
{
    static char packet[LOG_LINE + 1];
    ssize_t n = recv(tap, packet, sizeof packet - 1, 0);
    char *text;

    packet[n > 0 ? n : 0] = '\0';
    text = strstr(packet, "]: ");
    return text ? text + 3 : packet;
}

START_TEST(a_syslogd_that_has_stopped)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char folder[] = "/tmp/test_log_sinkXXXXXX", target[128], expected[128];
    uint64_t logged, read = 0;

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/log", folder);
    snprintf(target, sizeof target, "syslog:%s/log", folder);
    tap = syslog_bind(&address);
    log_to(target);
    logged = flood();
    while (*syslog_next())
        read++;
    ck_assert_uint_eq(read + lost, logged);
    log_write(LEVEL_INFO, "again");
    snprintf(expected, sizeof expected,
             "%" PRIu64 " lines lost: the log's reader did not take them", lost);
    ck_assert_str_eq(syslog_next(), expected);
    ck_assert_str_eq(syslog_next(), "again");

    /* It goes, and comes back with another socket. */
    close(tap);
    log_write(LEVEL_INFO, "nobody is there");
    tap = syslog_bind(&address);
    log_write(LEVEL_INFO, "back");
    ck_assert_str_eq(syslog_next(), "1 lines lost: Connection refused");
    ck_assert_str_eq(syslog_next(), "back");
    unlink(address.sun_path);
    rmdir(folder);
}
END_TEST

/* Not even to be opened does it wait for a reader. */
START_TEST(a_fifo_as_the_file)
{
    char folder[] = "/tmp/test_log_sinkXXXXXX", path[64];

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/fifo", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    log_to(path);
    log_write(LEVEL_INFO, "nobody reads yet");
    tap = open(path, O_RDONLY | O_NONBLOCK);
    ck_assert_str_eq(next(), "info nobody reads yet");
    check_flood(true);
    log_reopen();
    log_write(LEVEL_INFO, "the same, anew");
    ck_assert_str_eq(next(), "info the same, anew");
    unlink(path);
    rmdir(folder);
}
END_TEST

START_TEST(a_full_disk)
{
    char fault[256];
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    log_to_stderr(ends[1], ends[0]);
    log_to("/dev/full");
    errno = ENOENT;
    for (int i = 0; i < 3; i++)
        log_write(LEVEL_INFO, "for nobody");
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_uint_eq(lost, 3);
    ck_assert(log_configure(LOG_JSON, "stderr", fault, sizeof fault));
    log_write(LEVEL_INFO, "here");
    ck_assert_ptr_nonnull(strstr(next(), "\"text\":\"3 lines lost: No space left on device\""));
    ck_assert_ptr_nonnull(strstr(next(), "\"text\":\"here\""));
}
END_TEST

/* Its stderr may be a pager. */
START_TEST(a_command_waits_for_its_reader)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    log_open(LEVEL_INFO);
    log_write(LEVEL_INFO, "x");
    ck_assert_int_eq(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(log_sink_descriptor(), -1);
}
END_TEST

UNIT_MAIN("log_sink", a_pipe_that_nobody_reads, a_shared_pipe_that_nobody_reads,
          a_stream_that_nobody_reads, a_torn_line_has_an_end, a_syslogd_that_has_stopped,
          a_fifo_as_the_file, a_full_disk, a_command_waits_for_its_reader)
