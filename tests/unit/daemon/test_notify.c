#include "daemon/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../unit.h"

/* systemd's end, with a name that the kernel chooses; NOTIFY_SOCKET says it. */
static int systemd_open(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = sizeof address;
    char name[sizeof address.sun_path + 1] = "";
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address.sun_family), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    memcpy(name, address.sun_path, len - offsetof(struct sockaddr_un, sun_path));
    name[0] = '@';
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

/* What it has heard, or "". */
static const char *heard(int fd)
{
    static char text[4096];
    ssize_t n = recv(fd, text, sizeof text - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

START_TEST(what_is_said_is_heard)
{
    int fd = systemd_open();

    notify_open();
    notify_send("READY=1\nSTATUS=Serving with %u workers", 4u);
    ck_assert_str_eq(heard(fd), "READY=1\nSTATUS=Serving with 4 workers");
    ck_assert_str_eq(heard(fd), "");
    close(fd);
    notify_send("STOPPING=1"); /* nobody is there: nothing happens */
}
END_TEST

START_TEST(a_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    char folder[] = "/tmp/test_notify_XXXXXX";

    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(address.sun_path, sizeof address.sun_path, "%s/s", folder);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    notify_open();
    notify_send("READY=1");
    ck_assert_str_eq(heard(fd), "READY=1");
    unlink(address.sun_path);
    rmdir(folder);
    close(fd);
}
END_TEST

START_TEST(the_environment_is_cleared)
{
    int fd = systemd_open();

    setenv("WATCHDOG_USEC", "1", 1);
    setenv("WATCHDOG_PID", "1", 1);
    notify_open();
    ck_assert_ptr_null(getenv("NOTIFY_SOCKET"));
    ck_assert_ptr_null(getenv("WATCHDOG_USEC"));
    ck_assert_ptr_null(getenv("WATCHDOG_PID"));
    notify_open(); /* as a process that nobody waits for */
    notify_send("READY=1");
    ck_assert_str_eq(heard(fd), "");
    close(fd);
}
END_TEST

START_TEST(names_that_are_none)
{
    static char names[][200] = {"", "/", "@", "relative", "vsock:2:1", ""};
    int fd = systemd_open();

    memset(names[5], 'x', sizeof names[5] - 1);
    names[5][0] = '/';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        setenv("NOTIFY_SOCKET", names[i], 1);
        notify_open();
        notify_send("READY=1");
    }
    ck_assert_str_eq(heard(fd), "");
    close(fd);
}
END_TEST

START_TEST(long_texts_are_cut)
{
    int fd = systemd_open();
    char text[2000];

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    notify_open();
    notify_send("STATUS=%s", text);
    ck_assert_uint_eq(strlen(heard(fd)), 1023);
    close(fd);
}
END_TEST

START_TEST(reloading_says_when)
{
    int fd = systemd_open();
    struct timespec before, after;
    uint64_t usec;

    notify_open();
    clock_gettime(CLOCK_MONOTONIC, &before);
    notify_reloading();
    clock_gettime(CLOCK_MONOTONIC, &after);
    ck_assert_int_eq(sscanf(heard(fd), "RELOADING=1\nMONOTONIC_USEC=%" SCNu64 "\n", &usec), 1);
    ck_assert_uint_ge(usec, (uint64_t)before.tv_sec * 1000000 + (uint64_t)before.tv_nsec / 1000);
    ck_assert_uint_le(usec, (uint64_t)after.tv_sec * 1000000 + (uint64_t)after.tv_nsec / 1000);
    close(fd);
}
END_TEST

START_TEST(the_watchdog_is_for_one_process)
{
    char pid[32];

    notify_open();
    ck_assert_double_eq(notify_watchdog(), 0);
    setenv("WATCHDOG_USEC", "2500000", 1);
    notify_open();
    ck_assert_double_eq(notify_watchdog(), 2.5);
    setenv("WATCHDOG_USEC", "2500000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    notify_open();
    ck_assert_double_eq(notify_watchdog(), 0);
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    setenv("WATCHDOG_USEC", "2500000", 1);
    setenv("WATCHDOG_PID", pid, 1);
    notify_open();
    ck_assert_double_eq(notify_watchdog(), 2.5);
}
END_TEST

UNIT_MAIN("notify", what_is_said_is_heard, a_path, the_environment_is_cleared, names_that_are_none,
          long_texts_are_cut, reloading_says_when, the_watchdog_is_for_one_process)
