/*
 * resolver: the questions of one Lua state, their answers kept for a while, and the c-ares
 * channel that asks the servers on the event loop.
 *
 * A question that is being asked already is not asked twice; whoever gives up on one leaves it,
 * and its answer is kept for the next.  c-ares calls back from anywhere, even from within
 * dns_resolver_ask, so requests are only noted there and woken when c-ares has returned.
 * Waking one may end the Lua state, and with it the resolver.
 */
#ifndef MODULES_DNS_RESOLVER_H
#define MODULES_DNS_RESOLVER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "modules/dns/answer.h"
#include "modules/dns/name.h"

struct ares_channeldata;
struct dns_question;
struct wait;

#define DNS_PENDING_MAX 4096

struct dns_options {
    const char *servers; /* "IP:PORT,[IP6]:PORT"; NULL for those of /etc/resolv.conf */
    int tries;
    double try_timeout; /* seconds, of each server's first; later ones wait longer */
    bool search;        /* with the domains of /etc/resolv.conf */
    unsigned cache;     /* answers kept; 0 for none */
};

/* One or two questions that somebody waits for; embedded there. */
struct dns_request {
    struct dns_resolver *resolver; /* NULL: none of its is held */
    struct wait *wait;
    struct dns_lookup {
        struct dns_request *request;
        struct dns_question *question; /* NULL: not asked, or given up */
        TAILQ_ENTRY(dns_lookup) entry; /* of those who wait for the question */
    } lookups[2];
    unsigned pending; /* lookups without an answer */
    bool woken;       /* on the list of those to be woken, or past it */
    bool listed;      /* on it */
    ev_timer timer;
    LIST_ENTRY(dns_request) entry;
    TAILQ_ENTRY(dns_request) ready;
};

struct dns_resolver {
    struct ev_loop *loop;
    struct ares_channeldata *channel; /* NULL when closed */
    char *servers;                    /* as in the options */
    bool search;
    unsigned cache_max, cached, asking;
    ev_timer timer;
    LIST_HEAD(, dns_socket) sockets;
    LIST_HEAD(, dns_request) requests;
    TAILQ_HEAD(dns_ready, dns_request) ready;
    TAILQ_HEAD(dns_kept, dns_question) kept; /* used last at the end */
    struct dns_question *questions;          /* a hash: those asked, and the kept */
    bool *closed;                            /* of whoever is waking requests, to be told */
};

/* At an address that does not change.  NULL, or why it could not be opened. */
const char *dns_resolver_open(struct dns_resolver *resolver, struct ev_loop *loop,
                              const struct dns_options *options);

/* Requests that wait are woken, without answers. */
void dns_resolver_stop(struct dns_resolver *resolver);

/* Ends everything, wakes no one; a second time does nothing. */
void dns_resolver_close(struct dns_resolver *resolver);

/* Where answers come from, for messages. */
const char *dns_resolver_where(const struct dns_resolver *resolver);

void dns_request_init(struct dns_request *request);

/* Asks; slot is 0, or 1 for a second question of the same request. */
void dns_request_ask(struct dns_request *request, struct dns_resolver *resolver, unsigned slot,
                     enum dns_type type, const char *name);

/* After asking.  True: all is answered already.  False: wait is woken from the loop when it is,
 * or after so many seconds. */
bool dns_request_wait(struct dns_request *request, struct wait *wait, double timeout);

/* The answer, there until dns_request_end.  One with DNS_TIMEOUT or DNS_CLOSED if there was
 * none. */
const struct dns_answer *dns_request_answer(const struct dns_request *request, unsigned slot);

/* Holds nothing any more, in whatever state it is; a second time does nothing. */
void dns_request_end(struct dns_request *request);

#endif
