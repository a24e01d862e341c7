#include "daemon/activation.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit.h"

static void say(const char *pid, const char *fds, const char *names)
{
    char own[32];

    snprintf(own, sizeof own, "%d", (int)getpid());
    setenv("LISTEN_PID", pid ? pid : own, 1);
    setenv("LISTEN_FDS", fds, 1);
    if (names)
        setenv("LISTEN_FDNAMES", names, 1);
}

static void expect_silence(void)
{
    ck_assert_ptr_null(getenv("LISTEN_PID"));
    ck_assert_ptr_null(getenv("LISTEN_FDS"));
    ck_assert_ptr_null(getenv("LISTEN_FDNAMES"));
    ck_assert_uint_eq(activation_take(), 0);
}

START_TEST(nothing_is_said)
{
    ck_assert_uint_eq(activation_take(), 0);
    setenv("LISTEN_FDS", "1", 1); /* for whom? */
    ck_assert_uint_eq(activation_take(), 0);
    expect_silence();
}
END_TEST

START_TEST(descriptors_are_made_ready)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(dup2(ends[0], 3), 3);
    ck_assert_int_eq(dup2(ends[1], 4), 4);
    fcntl(3, F_SETFD, 0);
    fcntl(4, F_SETFD, 0);
    say(NULL, "2", "one:two");
    ck_assert_uint_eq(activation_take(), 2);
    for (int fd = 3; fd <= 4; fd++) {
        ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
        ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    }
    ck_assert_int_eq(fcntl(4, F_GETFL) & O_ACCMODE, O_WRONLY);
    ck_assert_str_eq(activation_name(0), "one");
    ck_assert_str_eq(activation_name(1), "two");
    expect_silence();
}
END_TEST

START_TEST(those_of_others)
{
    static const struct {
        const char *pid, *fds;
    } rows[] = {{"1", "1"},   {"", "1"},     {"x", "1"},
                {NULL, ""},   {NULL, "x"},   {NULL, "0"},
                {NULL, "-1"}, {NULL, "257"}, {NULL, "99999999999999999999"}};

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        say(rows[i].pid, rows[i].fds, "one");
        ck_assert_uint_eq(activation_take(), 0);
        ck_assert_str_eq(activation_name(0), "");
        expect_silence();
    }
}
END_TEST

START_TEST(names)
{
    static char text[8192];

    say(NULL, "2", NULL);
    ck_assert_uint_eq(activation_take(), 2);
    ck_assert_str_eq(activation_name(0), "");
    ck_assert_str_eq(activation_name(1), "");
    say(NULL, "3", ":b:");
    ck_assert_uint_eq(activation_take(), 3);
    ck_assert_str_eq(activation_name(0), "");
    ck_assert_str_eq(activation_name(1), "b");
    ck_assert_str_eq(activation_name(2), "");
    ck_assert_str_eq(activation_name(200), "");
    memset(text, 'x', sizeof text - 1);
    say(NULL, "1", text);
    ck_assert_uint_eq(activation_take(), 1);
    ck_assert_uint_eq(strlen(activation_name(0)), 255);
    ck_assert_str_eq(activation_name(1), "");
}
END_TEST

UNIT_MAIN("activation", nothing_is_said, descriptors_are_made_ready, those_of_others, names)
