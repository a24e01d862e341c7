/*
 * listener: an address that HAProxy connects to: parsing, binding, accepting.
 *
 * Owns the listening socket and, for unix sockets, the file it made (removed again when it
 * is closed).  Accepted sockets are handed on and never kept.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/types.h>

/* A unix socket's mode unless the configuration says another: without one, who may connect
 * would depend on the umask. */
#define LISTENER_MODE 0660

/* What the configuration says: `listen ADDRESS [mode M] [owner U] [group G]`. */
struct listener_spec {
    char *text; /* ADDRESS as written, for messages; whoever has the spec frees it */
    struct sockaddr_storage address;
    socklen_t len;
    mode_t mode; /* unix sockets only; (mode_t)-1 when not given, likewise the ids */
    uid_t owner;
    gid_t group;
};

/*
 * Parses IP:PORT, [IP6]:PORT, *:PORT and :PORT (every address), unix:PATH, abns:NAME (an
 * abstract socket, its name padded with NULs to the whole of sun_path as HAProxy's abns@
 * does).  NULL when it was understood; otherwise what is wrong, valid until the next call,
 * and there is nothing in *spec to free.
 */
const char *listener_parse(struct listener_spec *spec, const char *text);

/* Is it unix:PATH, which alone has a mode, an owner and a group? */
bool listener_is_file(const struct listener_spec *spec);

/* Are they one address, which cannot be bound twice?  Port 0 is another each time. */
bool listener_same(const struct listener_spec *a, const struct listener_spec *b);

struct listener;

/* Takes the accepted socket: non-blocking, close-on-exec, TCP_NODELAY where it applies.
 * peer is a text for logs ("127.0.0.1:4242", "unix:/run/x.sock#17"), valid for the call.
 * The listener must not be closed in it. */
typedef void listener_accept_fn(void *context, int fd, const char *peer);

/*
 * Binds and listens (deep backlog).  A unix socket's stale file is replaced; one that
 * answers is in use and refused.  NULL on failure: fault says what, and errno is set.
 * Nothing is accepted before listener_start.
 */
struct listener *listener_open(const struct listener_spec *spec, char *fault, size_t room);

/* One that is bound and listens already, as systemd hands them over; its file is never
 * removed.  NULL with the fault when it is no listening stream socket; fd is closed then. */
struct listener *listener_adopt(int fd, char *fault, size_t room);

/* Is the listener at this address? */
bool listener_is_at(const struct listener *listener, const struct listener_spec *spec);

/* Accepts from now on, all that is waiting at each turn of the loop up to a bound.  Out of
 * descriptors (EMFILE ...) it pauses for a moment and says so, rate-limited. */
void listener_start(struct listener *listener, struct ev_loop *loop, listener_accept_fn *accept,
                    void *context);

/* Accepts nothing until told otherwise: who connects waits in the kernel's backlog. */
void listener_hold(struct listener *listener, bool hold);

/* Stops accepting, closes, removes a unix socket's file. */
void listener_close(struct listener *listener);

/* The address as it is bound ("127.0.0.1:43211" where the configuration said port 0). */
const char *listener_name(const struct listener *listener);

#endif
