/*
 * worker_show: what a worker answers to the control socket's questions.
 *
 *   sessions text|json     each connection, a row (sheet.h)
 *   trace MESSAGE N        lines about the next N of that message, while they come
 *   untrace MESSAGE        ends those
 *   ping                   nothing; whatever it was told before is done
 */
#ifndef DAEMON_WORKER_SHOW_H
#define DAEMON_WORKER_SHOW_H

#include "agent/agent.h"
#include "daemon/channel.h"

/* Answers packet, a CHANNEL_ASK, over the channel, now or by and by. */
void worker_show(struct agent *agent, struct channel *channel, const struct packet *packet);

/* Nobody waits for the answer with this number any more. */
void worker_show_forget(struct agent *agent, uint32_t number);

#endif
