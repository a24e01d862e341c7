#include "daemon/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../unit.h"

/* ---- a folder to work in ---- */

static char folder[64], path[128];

static void folder_make(void)
{
    strcpy(folder, "/tmp/spoa-lua-listener-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/spoa.sock", folder);
}

static void folder_remove(void)
{
    ck_assert_msg(access(path, F_OK) < 0 && errno == ENOENT, "%s was left behind", path);
    ck_assert_int_eq(rmdir(folder), 0);
}

/* ---- opening ---- */

static struct listener_spec spec_of(const char *text)
{
    struct listener_spec spec;
    const char *wrong = listener_parse(&spec, text);

    ck_assert_msg(!wrong, "%s: %s", text, wrong);
    return spec;
}

static struct listener_spec unix_spec(void)
{
    char text[160];

    snprintf(text, sizeof text, "unix:%s", path);
    return spec_of(text);
}

static struct listener *must_open(const struct listener_spec *spec)
{
    char fault[256] = "";
    struct listener *listener = listener_open(spec, fault, sizeof fault);

    ck_assert_msg(listener != NULL, "%s", fault);
    return listener;
}

static struct listener *must_open_text(const char *text)
{
    struct listener_spec spec = spec_of(text);
    struct listener *listener = must_open(&spec);

    free(spec.text);
    return listener;
}

static void must_fail(const struct listener_spec *spec, int error, const char *expected)
{
    char fault[256] = "";

    errno = 0;
    ck_assert_ptr_null(listener_open(spec, fault, sizeof fault));
    ck_assert_int_eq(errno, error);
    ck_assert_str_eq(fault, expected);
}

/* ---- clients ---- */

static int client_unix(const struct listener_spec *spec)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    if (connect(fd, (const struct sockaddr *)&spec->address, spec->len) == 0)
        return fd;
    close(fd);
    return -1;
}

/* To the port that the listener says it has. */
static int client_inet(const struct listener *listener)
{
    struct listener_spec to = spec_of(listener_name(listener));
    int fd = socket(to.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (const struct sockaddr *)&to.address, to.len), 0);
    free(to.text);
    return fd;
}

struct taken {
    unsigned count;
    int fd; /* the last one */
    char peer[160];
};

static void on_accept(void *context, int fd, const char *peer)
{
    struct taken *taken = context;

    if (taken->fd >= 0)
        close(taken->fd);
    taken->count++;
    taken->fd = fd;
    snprintf(taken->peer, sizeof taken->peer, "%s", peer);
}

static void run_until(struct ev_loop *loop, const struct taken *taken, unsigned count)
{
    while (taken->count < count)
        ev_run(loop, EVRUN_ONCE);
}

static void must_be_ready(int fd)
{
    ck_assert_int_ne(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_ne(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

/* ---- TCP ---- */

static void check_inet(const char *text, const char *prefix)
{
    struct listener *listener = must_open_text(text);
    struct ev_loop *loop = ev_loop_new(0);
    struct taken taken = {.fd = -1};
    int client, nodelay = 0;
    socklen_t len = sizeof nodelay;

    ck_assert_int_eq(strncmp(listener_name(listener), prefix, strlen(prefix)), 0);
    ck_assert_str_ne(listener_name(listener), text);
    client = client_inet(listener);
    listener_start(listener, loop, on_accept, &taken);
    run_until(loop, &taken, 1);
    must_be_ready(taken.fd);
    ck_assert_int_eq(getsockopt(taken.fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
    ck_assert_int_ne(nodelay, 0);
    ck_assert_int_eq(strncmp(taken.peer, prefix, strlen(prefix)), 0);
    ck_assert_str_ne(taken.peer, listener_name(listener));
    listener_close(listener);
    close(client);
    close(taken.fd);
    ev_loop_destroy(loop);
}

START_TEST(test_ip4)
{
    check_inet("127.0.0.1:0", "127.0.0.1:");
}
END_TEST

START_TEST(test_ip6)
{
    check_inet("[::1]:0", "[::1]:");
}
END_TEST

/* [::]:PORT leaves the port free for IPv4. */
START_TEST(test_ip6_only)
{
    struct listener *six = must_open_text("[::]:0"), *four;
    char text[32];

    ck_assert_int_eq(strncmp(listener_name(six), "[::]:", 5), 0);
    snprintf(text, sizeof text, "*:%s", listener_name(six) + 5);
    four = must_open_text(text);
    ck_assert_str_eq(listener_name(four) + strlen("0.0.0.0:"), listener_name(six) + 5);
    listener_close(four);
    listener_close(six);
}
END_TEST

START_TEST(test_in_use)
{
    struct listener *listener = must_open_text("127.0.0.1:0");
    struct listener_spec again = spec_of(listener_name(listener));
    char expected[256];

    snprintf(expected, sizeof expected,
             "listen %s: Address already in use (is another spoa-lua, or HAProxy itself, bound "
             "there?)",
             again.text);
    must_fail(&again, EADDRINUSE, expected);
    listener_close(listener);
    listener_close(must_open(&again));
    free(again.text);
}
END_TEST

/* Connections of the last run in TIME_WAIT do not keep the next from starting. */
START_TEST(test_port_reused)
{
    struct listener *listener = must_open_text("127.0.0.1:0");
    struct listener_spec again = spec_of(listener_name(listener));
    struct ev_loop *loop = ev_loop_new(0);
    struct taken taken = {.fd = -1};
    int client = client_inet(listener);
    char byte;

    listener_start(listener, loop, on_accept, &taken);
    run_until(loop, &taken, 1);
    close(taken.fd); /* this side first: it is the one left in TIME_WAIT */
    ck_assert_int_eq(read(client, &byte, 1), 0);
    close(client);
    listener_close(listener);
    listener_close(must_open(&again));
    free(again.text);
    ev_loop_destroy(loop);
}
END_TEST

START_TEST(test_foreign_address)
{
    struct listener_spec spec = spec_of("192.0.2.1:12345"); /* RFC 5737: nobody's */

    must_fail(&spec, EADDRNOTAVAIL,
              "listen 192.0.2.1:12345: Cannot assign requested address (no interface of this "
              "machine has this address)");
    free(spec.text);
}
END_TEST

/* ---- accepting ---- */

/* A burst is taken in portions, so that others have their turn. */
START_TEST(test_burst)
{
    enum { CLIENTS = 300, A_TURN = 256 };
    struct listener *listener = must_open_text("127.0.0.1:0");
    struct ev_loop *loop = ev_loop_new(0);
    struct taken taken = {.fd = -1};
    int clients[CLIENTS];

    for (int i = 0; i < CLIENTS; i++)
        clients[i] = client_inet(listener);
    listener_start(listener, loop, on_accept, &taken);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(taken.count, A_TURN);
    ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(taken.count, CLIENTS);
    listener_close(listener);
    for (int i = 0; i < CLIENTS; i++)
        close(clients[i]);
    close(taken.fd);
    ev_loop_destroy(loop);
}
END_TEST

/* Without descriptors it neither spins nor gives up. */
START_TEST(test_no_descriptors)
{
    struct listener *listener = must_open_text("127.0.0.1:0");
    struct ev_loop *loop = ev_loop_new(0);
    struct taken taken = {.fd = -1};
    int client = client_inet(listener), late, probe, pair[2];
    struct rlimit before, none;
    char line[512], expected[128];
    ssize_t n;

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    ck_assert_int_eq(dup2(pair[1], STDERR_FILENO), STDERR_FILENO);
    listener_start(listener, loop, on_accept, &taken);
    ev_run(loop, EVRUN_NOWAIT); /* libev opens its own descriptors here */
    run_until(loop, &taken, 1);
    close(client);

    client = client_inet(listener);
    ck_assert_int_ge(probe = dup(client), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = (rlim_t)probe;
    close(probe);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int turn = 0; turn < 20; turn++)
        ev_run(loop, EVRUN_NOWAIT);
    ck_assert_uint_eq(taken.count, 1);
    snprintf(expected, sizeof expected, "%s: accept: Too many open files; trying again in 100 ms\n",
             listener_name(listener));
    ck_assert_int_gt(n = recv(pair[0], line, sizeof line - 1, MSG_DONTWAIT), 0);
    line[n] = '\0';
    ck_assert_msg(strstr(line, expected), "%s", line);

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    late = client_inet(listener); /* valgrind, which plays the limit, has lost the other one */
    run_until(loop, &taken, 2);
    listener_close(listener);
    /* 20 failures would have been more lines than are written, and their count would follow. */
    while ((n = recv(pair[0], line, sizeof line - 1, MSG_DONTWAIT)) > 0) {
        line[n] = '\0';
        ck_assert_msg(!strstr(line, "not shown"), "%s", line);
    }
    close(late);
    close(client);
    close(taken.fd);
    ev_loop_destroy(loop);
}
END_TEST

START_TEST(test_not_before_start)
{
    struct listener *listener = must_open_text("127.0.0.1:0");
    struct ev_loop *loop = ev_loop_new(0);
    int client = client_inet(listener);

    ck_assert_int_eq(ev_run(loop, EVRUN_NOWAIT), 0); /* nothing to wait for */
    listener_close(listener);
    close(client);
    ev_loop_destroy(loop);
}
END_TEST

/* ---- unix sockets ---- */

START_TEST(test_unix)
{
    struct listener_spec spec;
    struct listener *listener;
    struct ev_loop *loop = ev_loop_new(0);
    struct taken taken = {.fd = -1};
    char expected[160];

    folder_make();
    spec = unix_spec();
    listener = must_open(&spec);
    ck_assert_str_eq(listener_name(listener), spec.text);
    listener_start(listener, loop, on_accept, &taken);
    for (unsigned i = 1; i <= 2; i++) {
        int client = client_unix(&spec);

        ck_assert_int_ge(client, 0);
        run_until(loop, &taken, i);
        must_be_ready(taken.fd);
        snprintf(expected, sizeof expected, "unix:%s#%u", path, i);
        ck_assert_str_eq(taken.peer, expected);
        close(client);
    }
    listener_close(listener);
    ck_assert_int_lt(client_unix(&spec), 0);
    free(spec.text);
    close(taken.fd);
    ev_loop_destroy(loop);
    folder_remove();
}
END_TEST

static void check_mode(mode_t given, mode_t expected)
{
    struct listener_spec spec = unix_spec();
    struct listener *listener;
    struct stat st;

    spec.mode = given;
    listener = must_open(&spec);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, expected);
    listener_close(listener);
    free(spec.text);
}

START_TEST(test_unix_mode)
{
    mode_t before = umask(0027);

    folder_make();
    check_mode((mode_t)-1, 0660);
    check_mode(0600, 0600);
    check_mode(0777, 0777);
    check_mode(0, 0);
    ck_assert_uint_eq(umask(before), 0027);
    folder_remove();
}
END_TEST

START_TEST(test_unix_owner)
{
    struct listener_spec spec;
    struct listener *listener;
    struct stat st;

    folder_make();
    spec = unix_spec();
    spec.owner = geteuid() == 0 ? 12345 : geteuid(); /* root alone gives files away */
    spec.group = geteuid() == 0 ? 23456 : getegid();
    listener = must_open(&spec);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_uid, spec.owner);
    ck_assert_uint_eq(st.st_gid, spec.group);
    listener_close(listener);
    free(spec.text);
    folder_remove();
}
END_TEST

/* A daemon that was killed leaves its file. */
START_TEST(test_unix_stale)
{
    struct listener_spec spec;
    struct listener *listener;
    int killed = socket(AF_UNIX, SOCK_STREAM, 0), client;

    folder_make();
    spec = unix_spec();
    ck_assert_int_eq(bind(killed, (const struct sockaddr *)&spec.address, spec.len), 0);
    ck_assert_int_eq(listen(killed, 1), 0);
    close(killed);
    ck_assert_int_eq(access(path, F_OK), 0);
    listener = must_open(&spec);
    ck_assert_int_ge(client = client_unix(&spec), 0);
    close(client);
    listener_close(listener);
    free(spec.text);
    folder_remove();
}
END_TEST

START_TEST(test_unix_live)
{
    struct listener_spec spec;
    struct listener *listener;
    char expected[256];
    int client;

    folder_make();
    spec = unix_spec();
    listener = must_open(&spec);
    snprintf(expected, sizeof expected,
             "listen %s: Address already in use (is another spoa-lua, or HAProxy itself, bound "
             "there?)",
             spec.text);
    must_fail(&spec, EADDRINUSE, expected);
    ck_assert_int_ge(client = client_unix(&spec), 0);
    close(client);
    listener_close(listener);
    free(spec.text);
    folder_remove();
}
END_TEST

/* One that lives but has its backlog full. */
START_TEST(test_unix_full)
{
    struct listener_spec spec;
    int live = socket(AF_UNIX, SOCK_STREAM, 0), waiting[16], n = 0;
    char fault[256];

    folder_make();
    spec = unix_spec();
    ck_assert_int_eq(bind(live, (const struct sockaddr *)&spec.address, spec.len), 0);
    ck_assert_int_eq(listen(live, 1), 0);
    for (;; n++) {
        ck_assert_int_lt(n, 16);
        waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(waiting[n], (const struct sockaddr *)&spec.address, spec.len) < 0)
            break;
    }
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_ptr_null(listener_open(&spec, fault, sizeof fault));
    ck_assert_int_eq(errno, EADDRINUSE);
    for (; n >= 0; n--)
        close(waiting[n]);
    close(live);
    unlink(path);
    free(spec.text);
    folder_remove();
}
END_TEST

START_TEST(test_unix_no_socket)
{
    struct listener_spec spec;
    char expected[256], target[128];
    int fd;

    folder_make();
    spec = unix_spec();
    snprintf(expected, sizeof expected,
             "listen %s: File exists (what is there is no socket: remove it, or choose another "
             "path)",
             spec.text);
    ck_assert_int_ge(fd = open(path, O_CREAT | O_WRONLY, 0600), 0);
    close(fd);
    must_fail(&spec, EEXIST, expected);
    ck_assert_int_eq(unlink(path), 0); /* still there */

    snprintf(target, sizeof target, "%s/elsewhere", folder);
    ck_assert_int_eq(symlink(target, path), 0);
    must_fail(&spec, EEXIST, expected);
    ck_assert_int_eq(unlink(path), 0);
    free(spec.text);
    folder_remove();
}
END_TEST

START_TEST(test_unix_no_folder)
{
    struct listener_spec spec = spec_of("unix:/nonexistent/spoa.sock");

    must_fail(&spec, ENOENT,
              "listen unix:/nonexistent/spoa.sock: No such file or directory (the folder must "
              "exist)");
    free(spec.text);
}
END_TEST

/* What somebody else has put there since is not ours to remove. */
START_TEST(test_unix_replaced)
{
    struct listener_spec spec;
    struct listener *old, *new;
    int client;

    folder_make();
    spec = unix_spec();
    old = must_open(&spec);
    ck_assert_int_eq(unlink(path), 0);
    new = must_open(&spec);
    listener_close(old);
    ck_assert_int_ge(client = client_unix(&spec), 0);
    close(client);
    listener_close(new);
    free(spec.text);
    folder_remove();
}
END_TEST

START_TEST(test_abns)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct ev_loop *loop = ev_loop_new(0);
    struct taken taken = {.fd = -1};
    struct listener *listener;
    char text[64], expected[80];
    int client = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(text, sizeof text, "abns:spoa-lua-test-%d", (int)getpid());
    listener = must_open_text(text);
    ck_assert_str_eq(listener_name(listener), text);
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", text + 5);
    ck_assert_int_eq(connect(client, (const struct sockaddr *)&address, sizeof address), 0);
    listener_start(listener, loop, on_accept, &taken);
    run_until(loop, &taken, 1);
    must_be_ready(taken.fd);
    snprintf(expected, sizeof expected, "%s#1", text);
    ck_assert_str_eq(taken.peer, expected);
    listener_close(listener);
    close(client);
    close(taken.fd);
    ev_loop_destroy(loop);
}
END_TEST

UNIT_MAIN("listener", test_ip4, test_ip6, test_ip6_only, test_in_use, test_port_reused,
          test_foreign_address, test_burst, test_no_descriptors, test_not_before_start, test_unix,
          test_unix_mode, test_unix_owner, test_unix_stale, test_unix_live, test_unix_full,
          test_unix_no_socket, test_unix_no_folder, test_unix_replaced, test_abns)
