/*
 * target: the agent's address: HOST:PORT, [IP6]:PORT, unix:/PATH or abns:NAME.
 */
#ifndef BENCH_TARGET_H
#define BENCH_TARGET_H

#include <sys/socket.h>

struct target {
    struct sockaddr_storage address;
    socklen_t len;
};

/* Parses, and resolves HOST when it is a name.  NULL, or what is wrong with the text. */
const char *target_parse(struct target *target, const char *text);

/* A non-blocking socket on its way to being connected; -1 and errno when refused at once. */
int target_connect(const struct target *target);

#endif
