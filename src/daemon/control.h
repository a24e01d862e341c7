/*
 * control: the socket that operators talk to: `spoa-lua ctl`, or plain socat.
 *
 * One line is one command; the answer ends with the end of the connection.  What commands
 * there are is in control_commands.c.  Everything a client can make it hold is bounded.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include <ev.h>

#include "daemon/listener.h"
#include "daemon/supervisor.h"

struct control;

/* NULL with the fault and errno, as listener_open has them. */
struct control *control_open(struct ev_loop *loop, struct supervisor *supervisor,
                             const struct listener_spec *spec, char *fault, size_t room);

/* Clients get what fits their sockets at once. */
void control_close(struct control *control);

/* ---- for the commands ---- */

struct client;

struct supervisor *client_supervisor(const struct client *client);

/* Appends to the answer.  One that does not fit any more is counted as dropped. */
void client_say(struct client *client, const char *text, size_t len);

/* The answer is whole: it is sent, and the connection ends. */
void client_done(struct client *client);

/* What is to be given up should the client go away before client_done. */
void client_waits(struct client *client, struct query *query);

/* Of an answer that comes in rows: one more; how many there were. */
unsigned long client_row(struct client *client);

/* It wants so many rows and no more. */
void client_want(struct client *client, unsigned long rows);
bool client_has_all(const struct client *client);

/* The same, but others would go on answering: they are told not to. */
void client_cut(struct client *client);

/* Runs one line; client_done follows, before it returns or later. */
void control_run(struct client *client, char *line);

#endif
