#include "modules/dns/resolver.h"

/* ares_query and others, which Debian 12's c-ares needs, are deprecated in Debian 13's. */
#define CARES_NO_DEPRECATED
#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/clock.h"
#include "base/mem.h"
#include "script/wait.h"

#define CLASS_IN 1
/* An answer of more bytes is not kept. */
#define KEEP_BYTES 4096

struct dns_socket {
    LIST_ENTRY(dns_socket) entry;
    struct dns_resolver *resolver;
    ev_io io;
};

struct dns_question {
    UT_hash_handle hh;
    struct dns_resolver *resolver;
    TAILQ_HEAD(, dns_lookup) lookups;
    bool asked;  /* c-ares has it */
    bool hashed; /* it is found by others */
    bool kept;   /* and on the list of the kept */
    enum dns_type type;
    uint64_t expires; /* base/clock; of the kept */
    struct dns_answer answer;
    TAILQ_ENTRY(dns_question) entry;
    char key[DNS_NAME_SIZE + 1]; /* the type as one byte, and the name */
};

/* ---- questions ---- */

static void question_unkeep(struct dns_question *question)
{
    struct dns_resolver *resolver = question->resolver;

    if (question->kept) {
        TAILQ_REMOVE(&resolver->kept, question, entry);
        resolver->cached--;
    }
    question->kept = false;
    if (question->hashed)
        HASH_DEL(resolver->questions, question);
    question->hashed = false;
}

/* Frees it when nobody needs it. */
static void question_release(struct dns_question *question)
{
    if (question->asked || question->kept || !TAILQ_EMPTY(&question->lookups))
        return;
    question_unkeep(question);
    dns_answer_clear(&question->answer);
    free(question);
}

static struct dns_question *question_find(struct dns_resolver *resolver, const char *key)
{
    struct dns_question *question;

    HASH_FIND_STR(resolver->questions, key, question);
    if (!question || !question->kept)
        return question;
    if (question->expires <= clock_look()) {
        question_unkeep(question);
        question_release(question);
        return NULL;
    }
    TAILQ_REMOVE(&resolver->kept, question, entry);
    TAILQ_INSERT_TAIL(&resolver->kept, question, entry);
    return question;
}

static struct dns_question *question_new(struct dns_resolver *resolver, enum dns_type type,
                                         const char *key)
{
    struct dns_question *question = mem_zalloc(sizeof *question);

    question->resolver = resolver;
    question->type = type;
    TAILQ_INIT(&question->lookups);
    snprintf(question->key, sizeof question->key, "%s", key);
    return question;
}

static void question_keep(struct dns_question *question)
{
    struct dns_resolver *resolver = question->resolver;
    struct dns_question *oldest;

    if (!question->answer.ttl || !resolver->cache_max || question->answer.len > KEEP_BYTES) {
        question_unkeep(question);
        return;
    }
    question->expires = clock_after(clock_look(), question->answer.ttl);
    question->kept = true;
    TAILQ_INSERT_TAIL(&resolver->kept, question, entry);
    if (++resolver->cached <= resolver->cache_max)
        return;
    oldest = TAILQ_FIRST(&resolver->kept);
    question_unkeep(oldest);
    question_release(oldest);
}

/* ---- between c-ares and the loop ---- */

static enum dns_code code_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return DNS_OK;
    case ARES_ENODATA:
        return DNS_NODATA;
    case ARES_ENOTFOUND:
        return DNS_NXDOMAIN;
    case ARES_EFORMERR:
        return DNS_FORMERR;
    case ARES_ESERVFAIL:
        return DNS_SERVFAIL;
    case ARES_ENOTIMP:
        return DNS_NOTIMP;
    case ARES_EREFUSED:
        return DNS_REFUSED;
    case ARES_EBADNAME:
        return DNS_BADNAME;
    case ARES_EBADRESP:
        return DNS_BADREPLY;
    case ARES_ECONNREFUSED:
        return DNS_UNREACHABLE;
    case ARES_ETIMEOUT:
        return DNS_TIMEOUT;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
        return DNS_CLOSED;
    default:
        return DNS_FAILED;
    }
}

static void request_answered(struct dns_request *request)
{
    if (--request->pending || !request->wait)
        return;
    request->woken = request->listed = true;
    TAILQ_INSERT_TAIL(&request->resolver->ready, request, ready);
}

/* An ares_callback. */
static void question_answered(void *context, int status, int timeouts, unsigned char *reply,
                              int len)
{
    struct dns_question *question = context;
    struct dns_lookup *lookup;

    (void)timeouts;
    question->asked = false;
    question->resolver->asking--;
    question->answer.code = code_of(status);
    if (reply)
        dns_answer_read(&question->answer, question->answer.code, question->type, reply,
                        (size_t)len);
    else if (question->answer.code == DNS_OK)
        question->answer.code = DNS_BADREPLY;
    TAILQ_FOREACH (lookup, &question->lookups, entry) {
        request_answered(lookup->request);
    }
    question_keep(question);
    question_release(question);
}

/* A handler that goes on may end other requests, or the last task of a retired script and so
 * the resolver: nothing is held across a wait_wake but the flag. */
static void wake_ready(struct dns_resolver *resolver)
{
    struct dns_request *request;
    bool closed = false, *outer = resolver->closed;

    resolver->closed = &closed;
    while (!closed && (request = TAILQ_FIRST(&resolver->ready)) != NULL) {
        TAILQ_REMOVE(&resolver->ready, request, ready);
        request->listed = false;
        ev_timer_stop(resolver->loop, &request->timer);
        wait_wake(request->wait);
    }
    if (!closed)
        resolver->closed = outer;
    else if (outer)
        *outer = true;
}

static void set_timer(struct dns_resolver *resolver)
{
    struct timeval room, *left = ares_timeout(resolver->channel, NULL, &room);

    if (left)
        clock_timer(resolver->loop, &resolver->timer,
                    (double)left->tv_sec + (double)left->tv_usec / 1e6);
    else
        ev_timer_stop(resolver->loop, &resolver->timer);
}

static void drive(struct dns_resolver *resolver, ares_socket_t in, ares_socket_t out)
{
    ares_process_fd(resolver->channel, in, out);
    set_timer(resolver);
    wake_ready(resolver);
}

static void socket_ready(struct ev_loop *loop, ev_io *io, int events)
{
    struct dns_socket *sock = io->data;

    (void)loop;
    drive(sock->resolver, events & EV_READ ? io->fd : ARES_SOCKET_BAD,
          events & EV_WRITE ? io->fd : ARES_SOCKET_BAD);
}

static void timer_over(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)events;
    drive(timer->data, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void socket_forget(struct dns_socket *sock)
{
    ev_io_stop(sock->resolver->loop, &sock->io);
    LIST_REMOVE(sock, entry);
    free(sock);
}

/* An ares_sock_state_cb; neither readable nor writable: it is closed next. */
static void socket_watch(void *context, ares_socket_t fd, int readable, int writable)
{
    struct dns_resolver *resolver = context;
    struct dns_socket *sock;

    LIST_FOREACH (sock, &resolver->sockets, entry) {
        if (sock->io.fd == fd)
            break;
    }
    if (!readable && !writable) {
        if (sock)
            socket_forget(sock);
        return;
    }
    if (!sock) {
        sock = mem_zalloc(sizeof *sock);
        sock->resolver = resolver;
        ev_init(&sock->io, socket_ready);
        sock->io.data = sock;
        LIST_INSERT_HEAD(&resolver->sockets, sock, entry);
    }
    ev_io_stop(resolver->loop, &sock->io);
    ev_io_set(&sock->io, fd, (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
    ev_io_start(resolver->loop, &sock->io);
}

/* ---- requests ---- */

void dns_request_init(struct dns_request *request)
{
    *request = (struct dns_request){.resolver = NULL};
    request->lookups[0].request = request->lookups[1].request = request;
}

static void request_attach(struct dns_request *request, struct dns_resolver *resolver)
{
    if (request->resolver)
        return;
    request->resolver = resolver;
    ev_init(&request->timer, NULL);
    LIST_INSERT_HEAD(&resolver->requests, request, entry);
}

static void question_ask(struct dns_resolver *resolver, struct dns_question *question)
{
    if (resolver->asking == DNS_PENDING_MAX) {
        question->answer.code = DNS_BUSY;
        return;
    }
    question->asked = question->hashed = true;
    resolver->asking++;
    HASH_ADD_STR(resolver->questions, key, question);
    if (resolver->search)
        ares_search(resolver->channel, question->key + 1, CLASS_IN, dns_type_number(question->type),
                    question_answered, question);
    else
        ares_query(resolver->channel, question->key + 1, CLASS_IN, dns_type_number(question->type),
                   question_answered, question);
    set_timer(resolver);
}

void dns_request_ask(struct dns_request *request, struct dns_resolver *resolver, unsigned slot,
                     enum dns_type type, const char *name)
{
    struct dns_lookup *lookup = &request->lookups[slot];
    struct dns_question *question;
    char key[DNS_NAME_SIZE + 1];
    bool fresh;

    snprintf(key, sizeof key, "%c%s", '1' + (int)type, name);
    request_attach(request, resolver);
    question = question_find(resolver, key);
    fresh = !question;
    if (fresh)
        question = question_new(resolver, type, key);
    lookup->question = question;
    TAILQ_INSERT_TAIL(&question->lookups, lookup, entry);
    request->pending++;
    if (fresh)
        question_ask(resolver, question);
    if (!question->asked && (!fresh || question->answer.code == DNS_BUSY))
        request->pending--;
}

static void lookup_leave(struct dns_lookup *lookup)
{
    struct dns_question *question = lookup->question;

    if (!question)
        return;
    lookup->question = NULL;
    TAILQ_REMOVE(&question->lookups, lookup, entry);
    question_release(question);
}

/* What is answered stays. */
static void request_give_up(struct dns_request *request)
{
    for (unsigned i = 0; i < 2; i++) {
        if (request->lookups[i].question && request->lookups[i].question->asked)
            lookup_leave(&request->lookups[i]);
    }
    request->pending = 0;
}

static void request_overdue(struct ev_loop *loop, ev_timer *timer, int events)
{
    struct dns_request *request = timer->data;

    (void)loop;
    (void)events;
    request_give_up(request);
    request->woken = true;
    wait_wake(request->wait);
}

bool dns_request_wait(struct dns_request *request, struct wait *wait, double timeout)
{
    struct dns_resolver *resolver = request->resolver;

    if (!TAILQ_EMPTY(&resolver->ready)) /* asking ended others' questions */
        wake_ready(resolver);
    if (!request->pending)
        return true;
    request->wait = wait;
    ev_init(&request->timer, request_overdue);
    request->timer.data = request;
    clock_timer(resolver->loop, &request->timer, timeout);
    return false;
}

const struct dns_answer *dns_request_answer(const struct dns_request *request, unsigned slot)
{
    static const struct dns_answer overdue = {.code = DNS_TIMEOUT}, closed = {.code = DNS_CLOSED};

    if (request->lookups[slot].question)
        return &request->lookups[slot].question->answer;
    return request->resolver && request->resolver->channel ? &overdue : &closed;
}

void dns_request_end(struct dns_request *request)
{
    struct dns_resolver *resolver = request->resolver;

    if (!resolver)
        return;
    ev_timer_stop(resolver->loop, &request->timer);
    if (request->listed)
        TAILQ_REMOVE(&resolver->ready, request, ready);
    request->listed = false;
    lookup_leave(&request->lookups[0]);
    lookup_leave(&request->lookups[1]);
    LIST_REMOVE(request, entry);
    request->resolver = NULL;
}

/* ---- the resolver ---- */

static int open_channel(struct dns_resolver *resolver, const struct dns_options *options, int flags)
{
    struct ares_options ares = {
        .flags = flags,
        .timeout = (int)(options->try_timeout * 1000),
        .tries = options->tries,
        .sock_state_cb = socket_watch,
        .sock_state_cb_data = resolver,
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;

#ifdef ARES_OPT_UDP_MAX_QUERIES /* a fresh port now and then: harder to forge answers for */
    ares.udp_max_queries = 64;
    mask |= ARES_OPT_UDP_MAX_QUERIES;
#endif
#ifdef ARES_OPT_QUERY_CACHE /* answers are kept here */
    ares.qcache_max_ttl = 0;
    mask |= ARES_OPT_QUERY_CACHE;
#endif
    return ares_init_options(&resolver->channel, &ares, mask);
}

static int open_with_servers(struct dns_resolver *resolver, const struct dns_options *options,
                             int flags)
{
    int status = open_channel(resolver, options, flags);

    if (status != ARES_SUCCESS)
        resolver->channel = NULL;
    else if (options->servers)
        status = ares_set_servers_ports_csv(resolver->channel, options->servers);
    return status;
}

/*
 * c-ares asks the next server when one has failed, but then Debian 12's forgets with what.  When
 * there is no next server, it is to give what the one says as it is.
 */
static bool has_one_server(struct dns_resolver *resolver)
{
    struct ares_addr_port_node *servers = NULL;
    bool one;

    ares_get_servers_ports(resolver->channel, &servers);
    one = servers && !servers->next;
    ares_free_data(servers);
    return one;
}

const char *dns_resolver_open(struct dns_resolver *resolver, struct ev_loop *loop,
                              const struct dns_options *options)
{
    int status;

    *resolver =
        (struct dns_resolver){.loop = loop, .search = options->search, .cache_max = options->cache};
    LIST_INIT(&resolver->sockets);
    LIST_INIT(&resolver->requests);
    TAILQ_INIT(&resolver->ready);
    TAILQ_INIT(&resolver->kept);
    ev_init(&resolver->timer, timer_over);
    resolver->timer.data = resolver;
    if (options->servers)
        resolver->servers = mem_strndup(options->servers, strlen(options->servers));
    status = open_with_servers(resolver, options, 0);
    if (status == ARES_SUCCESS && has_one_server(resolver)) {
        ares_destroy(resolver->channel);
        status = open_with_servers(resolver, options, ARES_FLAG_NOCHECKRESP);
    }
    if (status == ARES_SUCCESS)
        return NULL;
    dns_resolver_close(resolver);
    return ares_strerror(status);
}

static void channel_close(struct dns_resolver *resolver)
{
    struct ares_channeldata *channel = resolver->channel;

    resolver->channel = NULL;
    if (!channel)
        return;
    ares_destroy(channel); /* answers every question with ARES_EDESTRUCTION */
    while (!LIST_EMPTY(&resolver->sockets))
        socket_forget(LIST_FIRST(&resolver->sockets));
    ev_timer_stop(resolver->loop, &resolver->timer);
}

void dns_resolver_stop(struct dns_resolver *resolver)
{
    channel_close(resolver);
    wake_ready(resolver);
}

void dns_resolver_close(struct dns_resolver *resolver)
{
    struct dns_question *question, *next;

    if (resolver->closed)
        *resolver->closed = true;
    resolver->closed = NULL;
    channel_close(resolver);
    while (!LIST_EMPTY(&resolver->requests))
        dns_request_end(LIST_FIRST(&resolver->requests));
    HASH_ITER (hh, resolver->questions, question, next) {
        question_unkeep(question);
        question_release(question);
    }
    free(resolver->servers);
    resolver->servers = NULL;
}

const char *dns_resolver_where(const struct dns_resolver *resolver)
{
    return resolver->servers ? resolver->servers : "the servers of /etc/resolv.conf";
}
