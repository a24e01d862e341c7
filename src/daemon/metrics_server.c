#include "daemon/metrics_server.h"

#ifdef WITH_MICROHTTPD

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "daemon/prometheus.h"

/* Whoever scrapes does so from few places; the rest is not let in. */
#define CONNECTIONS_MAX 32
#define CONNECTION_MEM  8192
#define PATIENCE        10u

const bool metrics_server_built = true;

struct metrics_server {
    struct ev_loop *loop;
    const struct supervisor *supervisor;
    struct listener *listener;
    struct MHD_Daemon *daemon;
    ev_io io;
    ev_timer timer;
};

/* ---- the pages ---- */

typedef unsigned page_fn(const struct metrics_server *server, FILE *out);

static unsigned page_metrics(const struct metrics_server *server, FILE *out)
{
    prometheus_write(server->supervisor, out);
    return MHD_HTTP_OK;
}

/* That this is answered is the answer. */
static unsigned page_healthz(const struct metrics_server *server, FILE *out)
{
    (void)server;
    fputs("ok\n", out);
    return MHD_HTTP_OK;
}

static unsigned page_readyz(const struct metrics_server *server, FILE *out)
{
    const char *why;
    bool ready = supervisor_ready(server->supervisor, &why);

    fprintf(out, "%s\n", ready ? "ready" : why);
    return ready ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned page_none(const struct metrics_server *server, FILE *out)
{
    (void)server;
    fputs("there are /metrics, /healthz and /readyz\n", out);
    return MHD_HTTP_NOT_FOUND;
}

static unsigned page_refused(const struct metrics_server *server, FILE *out)
{
    (void)server;
    fputs("GET and HEAD only\n", out);
    return MHD_HTTP_METHOD_NOT_ALLOWED;
}

static const struct page {
    const char *path;
    page_fn *put;
} pages[] = {
    {"/metrics", page_metrics},
    {"/healthz", page_healthz},
    {"/readyz", page_readyz},
    {NULL, page_none},
};

static page_fn *page_find(const char *method, const char *path)
{
    const struct page *page = pages;

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return page_refused;
    while (page->path && strcmp(page->path, path) != 0)
        page++;
    return page->put;
}

/* MHD's access handler: called once for the head, then again until the body has been taken,
 * which we let it drop. */
static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *path,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_len, void **state)
{
    static char begun;
    const struct metrics_server *server = context;
    struct MHD_Response *response;
    enum MHD_Result result;
    char *text = NULL;
    size_t size;
    unsigned status;
    FILE *out;

    (void)version;
    (void)upload;
    if (!*state) {
        *state = &begun;
        return MHD_YES;
    }
    if (*upload_len) {
        *upload_len = 0;
        return MHD_YES;
    }
    out = open_memstream(&text, &size);
    status = page_find(method, path)(server, out);
    fclose(out);
    response = MHD_create_response_from_buffer(size, text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, PROMETHEUS_CONTENT_TYPE);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

/* ---- MHD in our loop ---- */

static void server_run(struct metrics_server *server)
{
    MHD_UNSIGNED_LONG_LONG milliseconds;

    MHD_run(server->daemon);
    ev_timer_stop(server->loop, &server->timer);
    if (MHD_get_timeout(server->daemon, &milliseconds) != MHD_YES)
        return;
    ev_timer_set(&server->timer, (double)milliseconds / 1000, 0);
    ev_timer_start(server->loop, &server->timer);
}

static void on_readable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)loop;
    (void)events;
    server_run(io->data);
}

static void on_timeout(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    server_run(timer->data);
}

/* A listener_accept_fn. */
static void accepted(void *context, int fd, const char *peer)
{
    struct metrics_server *server = context;
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;

    (void)peer;
    getpeername(fd, (struct sockaddr *)&address, &len);
    /* It closes the descriptor when it has too many. */
    MHD_add_connection(server->daemon, fd, (struct sockaddr *)&address, len);
    server_run(server);
}

/* ---- coming and going ---- */

struct metrics_server *metrics_server_open(struct ev_loop *loop,
                                           const struct supervisor *supervisor,
                                           const struct listener_spec *spec, char *fault,
                                           size_t room)
{
    struct listener *listener = listener_open(spec, fault, room);
    struct metrics_server *server;
    const union MHD_DaemonInfo *info;

    if (!listener)
        return NULL;
    server = mem_zalloc(sizeof *server);
    server->loop = loop;
    server->supervisor = supervisor;
    server->listener = listener;
    server->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, answer, server,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, PATIENCE,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEM, MHD_OPTION_END);
    info = server->daemon ? MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        snprintf(fault, room, "libmicrohttpd does not start: %s", strerror(errno));
        metrics_server_close(server);
        return NULL;
    }
    ev_io_init(&server->io, on_readable, info->epoll_fd, EV_READ);
    ev_timer_init(&server->timer, on_timeout, 0, 0);
    server->io.data = server->timer.data = server;
    ev_io_start(loop, &server->io);
    listener_start(listener, loop, accepted, server);
    return server;
}

const char *metrics_server_name(const struct metrics_server *server)
{
    return listener_name(server->listener);
}

void metrics_server_close(struct metrics_server *server)
{
    ev_io_stop(server->loop, &server->io);
    ev_timer_stop(server->loop, &server->timer);
    listener_close(server->listener);
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    free(server);
}

#else

const bool metrics_server_built = false;

struct metrics_server *metrics_server_open(struct ev_loop *loop,
                                           const struct supervisor *supervisor,
                                           const struct listener_spec *spec, char *fault,
                                           size_t room)
{
    (void)loop;
    (void)supervisor;
    (void)spec;
    snprintf(fault, room, "built without libmicrohttpd");
    return NULL;
}

const char *metrics_server_name(const struct metrics_server *server)
{
    (void)server;
    return "";
}

void metrics_server_close(struct metrics_server *server)
{
    (void)server;
}

#endif
